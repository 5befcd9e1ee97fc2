/* What a jail and a confined job can and cannot do, on the real kernel. The program is its own
 * helper, and runs a second time as an unprivileged user when it is started by root. */
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/child/tree.h"
#include "runner/jail/confine_spec.h"
#include "runner/jail/jail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OTHER_USER 54321
#define SERVER     "/opt/testmesh/forkserver.py"

static char self[4096];
static char folder[] = "/tmp/testmesh-jail-XXXXXX"; /* 0700, as a data folder may be */
static char runtime[64];
static char project[64];
static char python[1024];
static char prefix[1024];
static char why_not[256];
static bool without_proc; /* for what is started from now on */

struct outcome {
    bool is_over;
    struct child_result result; /* with bufs of our own */
};

static void on_done(void *arg, struct child_result *result)
{
    struct outcome *outcome = arg;
    outcome->is_over = true;
    outcome->result = *result;
    result->out = (struct buf)BUF_INIT;
    result->err = (struct buf)BUF_INIT;
}

static void outcome_fini(struct outcome *outcome)
{
    buf_fini(&outcome->result.out);
    buf_fini(&outcome->result.err);
}
#define owned_outcome __attribute__((cleanup(outcome_fini))) struct outcome

static void write_text(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    if (file_replace(path, text, strlen(text), 0644, &err) != 0)
        fail_msg("%s", err.text);
}

/* The first line that a command says. */
static void ask(const char *command, char *out, size_t size)
{
    FILE *pipe = popen(command, "r");
    out[0] = '\0';
    if (pipe && fgets(out, (int)size, pipe))
        out[strcspn(out, "\n")] = '\0';
    if (pipe)
        pclose(pipe);
}

static void need_tier_a(void)
{
    if (why_not[0]) {
        print_message("SKIP: no tier A here: %s\n", why_not);
        skip();
    }
}

/* Runs a jail to its end. `spec` and `child` need no runtime, helper and streams. */
static void run(struct jail_spec spec, struct child_spec child, struct outcome *outcome)
{
    struct err err = ERR_INIT;
    struct child_stream keep = {.kind = CHILD_COLLECT, .head_bytes = 1 << 20};
    struct event_base *base = event_base_new();
    spec.runtime_dir = runtime;
    spec.helper = self;
    spec.without_proc = without_proc;
    if (child.out.kind == CHILD_DISCARD)
        child.out = keep;
    child.err = keep;
    if (!child.limits.wall_ms)
        child.limits.wall_ms = 20000;
    *outcome = (struct outcome){0};
    if (!jail_start(base, &spec, &child, on_done, outcome, &err))
        fail_msg("%s", err.text);
    while (!outcome->is_over)
        event_base_loop(base, EVLOOP_ONCE);
    event_base_free(base);
}

static struct jail_bind binds[3];

static size_t python_binds(void)
{
    binds[0] = (struct jail_bind){.source = prefix};
    return strcmp(prefix, "/usr") == 0 ? 0 : 1;
}

/* Runs Python code as the only program of a plain jail. */
static void run_plain(const char *code, struct child_limits limits, struct outcome *outcome)
{
    const char *argv[] = {python, "-I", "-c", code, NULL};
    struct jail_spec spec = {.argv = argv, .binds = binds, .bind_count = python_binds()};
    run(spec, (struct child_spec){.limits = limits}, outcome);
}

static int memfd_of(const void *bytes, size_t len)
{
    int fd = memfd_create("bytes", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Starts a template with the fork server below tests/ and hands it `jobs`. */
static void run_server(const char *jobs, const struct confine_spec *confine, struct cgroup *cgroup,
                       struct outcome *outcome)
{
    struct err err = ERR_INIT;
    owned_buf bytes = BUF_INIT;
    if (confine_spec_build(confine, &bytes, &err) != 0)
        fail_msg("%s", err.text);
    owned_fd int spec_fd = memfd_of(bytes.data, bytes.len);
    owned_fd int jobs_fd = memfd_of(jobs, strlen(jobs));
    owned_fd int layer = open(project, O_PATH | O_DIRECTORY | O_CLOEXEC);
    owned_mem char *here = mem_strdup(__FILE__);
    *strrchr(here, '/') = '\0';
    owned_mem char *server = mem_printf("%s/forkserver.py", here);
    size_t count = python_binds();
    binds[count++] = (struct jail_bind){.source = server, .target = SERVER};
    const char *argv[] = {python, "-I", SERVER, JAIL_CONFINE_PATH, "3", "4", NULL};
    struct child_fd fds[] = {{spec_fd, 3}, {layer, 4}, {cgroup ? cgroup->procs_fd : -1, 5}};
    struct jail_spec spec = {
        .argv = argv, .binds = binds, .bind_count = count, .is_template = true};
    run(spec, (struct child_spec){.fds = fds, .fd_count = cgroup ? 3 : 2, .stdin_fd = jobs_fd},
        outcome);
}

static struct confine_spec job_limits(void)
{
    struct confine_spec spec = confine_spec_default();
    snprintf(spec.project, sizeof spec.project, "/work/project");
    return spec;
}

static json_t *jobs_run(const char *jobs, const struct confine_spec *confine, struct cgroup *cgroup)
{
    owned_outcome outcome;
    run_server(jobs, confine, cgroup, &outcome);
    json_t *results = json_loads(buf_str(&outcome.result.out), 0, NULL);
    if (!results)
        fail_msg("no answer: %s: %s%s", outcome.result.text, buf_str(&outcome.result.out),
                 buf_str(&outcome.result.err));
    return results;
}

/* Runs one job and checks how it ended and that it printed exactly `wanted`. */
static void job_with(const char *code, const struct confine_spec *confine, const char *kind,
                     int value, const char *wanted)
{
    owned_buf jobs = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &jobs);
    json_out_open_array(&out);
    json_out_open_object(&out);
    json_out_key_str(&out, "code", code);
    json_out_close_object(&out);
    json_out_close_array(&out);
    owned_json *results = jobs_run(jobs.data, confine, NULL);
    const json_t *first = json_array_get(results, 0);
    const json_t *status = json_object_get(first, "status");
    const char *said = json_in_str(first, "out", "");
    if (wanted)
        assert_string_equal(said, wanted);
    if (strcmp(json_string_value(json_array_get(status, 0)), kind) != 0 ||
        json_integer_value(json_array_get(status, 1)) != value)
        fail_msg("ended by %s %d: %s", json_string_value(json_array_get(status, 0)),
                 (int)json_integer_value(json_array_get(status, 1)), said);
}

static void job(const char *code, const char *wanted)
{
    need_tier_a();
    struct confine_spec confine = job_limits();
    job_with(code, &confine, "exit", 0, wanted);
}

/* ---- a plain jail ---- */

static void a_plain_jail_is_uid_1000_without_capabilities(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_outcome outcome;
    run_plain("import os\n"
              "print(os.getuid(), os.getgid(), os.getcwd(), os.uname().nodename)\n"
              "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')])\n"
              "print(sorted(os.environ))\n",
              (struct child_limits){0}, &outcome);
    if (!strstr(buf_str(&outcome.result.out), "1000 1000 /tmp testmesh\n['0000000000000000']\n"
                                              "['HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', "
                                              "'TMPDIR', 'USER']\n"))
        fail_msg("%s%s", buf_str(&outcome.result.out), buf_str(&outcome.result.err));
}

static void a_plain_jail_is_filtered(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_outcome outcome;
    run_plain("import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
              "print(c.unshare(0x10000000), ctypes.get_errno())\n"
              "print(c.ptrace(16, 1, 0, 0), ctypes.get_errno())\n",
              (struct child_limits){0}, &outcome);
    assert_string_equal(buf_str(&outcome.result.out), "-1 1\n-1 1\n");
}

static void a_writable_bind_is_written_and_others_are_not(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_mem char *out = mem_printf("%s/out", folder);
    owned_mem char *file = mem_printf("%s/out/made", folder);
    assert_int_equal(mkdir(out, 0777), 0);
    assert_int_equal(chmod(out, 0777), 0);
    const char *argv[] = {"/bin/sh", "-c", "echo x > /out/made; echo x > /in/made; true", NULL};
    struct jail_bind both[] = {{.source = out, .target = "/out", .writable = true},
                               {.source = project, .target = "/in"},
                               {.source = "/nonexistent/absent", .optional = true}};
    owned_outcome outcome;
    run((struct jail_spec){.argv = argv, .binds = both, .bind_count = 3}, (struct child_spec){0},
        &outcome);
    assert_true(file_exists(file));
    assert_non_null(strstr(buf_str(&outcome.result.err), "Read-only file system"));
    assert_int_equal(outcome.result.verdict.code, 0);
}

static void a_source_that_is_absent_is_named(void **unused)
{
    (void)unused;
    const char *argv[] = {"/bin/true", NULL};
    struct jail_bind bind = {.source = "/nonexistent/absent"};
    struct jail_spec spec = {
        .argv = argv, .runtime_dir = runtime, .helper = self, .binds = &bind, .bind_count = 1};
    struct jail_command command;
    struct err err = ERR_INIT;
    assert_int_equal(jail_command_build(&spec, &command, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/absent"));
}

static void variables_for_the_linker_are_refused(void **unused)
{
    (void)unused;
    const char *argv[] = {"/bin/true", NULL};
    const char *envp[] = {"A=b", "LD_PRELOAD=/tmp/x.so", NULL};
    struct jail_spec spec = {.argv = argv, .runtime_dir = runtime, .helper = self, .envp = envp};
    struct jail_command command;
    struct err err = ERR_INIT;
    assert_int_equal(jail_command_build(&spec, &command, &err), ERR_INVALID);
}

/* True when some process has `mark` among its arguments. */
static bool is_alive(const char *mark)
{
    glob_t found;
    bool is_there = false;
    assert_int_equal(glob("/proc/[0-9]*/cmdline", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc && !is_there; i++) {
        owned_buf line = BUF_INIT;
        if (file_read(found.gl_pathv[i], 1 << 20, &line, NULL) == 0 && line.len)
            is_there = memmem(line.data, line.len, mark, strlen(mark)) != NULL;
    }
    globfree(&found);
    return is_there;
}

static void daemons_that_ignore_signals_go_with_the_jail(void **unused)
{
    (void)unused;
    need_tier_a();
    char mark[32];
    snprintf(mark, sizeof mark, "mark-%d-a", (int)getpid());
    owned_mem char *with_mark =
        mem_printf("import os, sys, time, signal\n"
                   "if os.fork() == 0:\n"
                   "  os.setsid()\n"
                   "  for s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)\n"
                   "  if os.fork() == 0:\n"
                   "    os.execv(sys.executable, ['%s', '-c', 'import time; time.sleep(60)'])\n"
                   "  time.sleep(60)\n"
                   "time.sleep(60)\n",
                   mark);
    owned_outcome outcome;
    uint64_t began = clock_mono_ms();
    run_plain(with_mark, (struct child_limits){.wall_ms = 700}, &outcome);
    assert_int_equal(outcome.result.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(outcome.result.verdict.limit, SUPERVISE_LIMIT_WALL);
    assert_int_equal(outcome.result.verdict.allowed, 700);
    assert_true(clock_mono_ms() - began < 1700);
    usleep(50000); /* the kernel takes the rest of a namespace down on its own time */
    assert_false(is_alive(mark));
}

static void a_cpu_hog_meets_its_limit(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_outcome outcome;
    run_plain("import os\nos.fork()\nwhile True: pass\n", (struct child_limits){.cpu_ms = 600},
              &outcome);
    assert_int_equal(outcome.result.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(outcome.result.verdict.limit, SUPERVISE_LIMIT_CPU);
    assert_true(outcome.result.verdict.used > 600);
    assert_true(outcome.result.wall_ms < 5000);
}

static void a_memory_hog_is_noticed_without_a_cgroup(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_outcome outcome;
    run_plain("import time\nx = []\nfor i in range(100):\n"
              "  x.append(bytearray(b'x') * (8 << 20)); time.sleep(0.02)\n",
              (struct child_limits){.memory_bytes = 128 << 20}, &outcome);
    assert_int_equal(outcome.result.verdict.limit, SUPERVISE_LIMIT_MEMORY);
    assert_true(outcome.result.verdict.used > outcome.result.verdict.allowed);
}

static void a_memory_hog_is_told_by_the_cgroups_counter(void **unused)
{
    (void)unused;
    need_tier_a();
    struct cgroup_root root;
    cgroup_find(&root, "testmesh-test");
    if (root.kind == CGROUP_NONE) {
        print_message("SKIP: %s\n", root.why);
        skip();
    }
    struct cgroup group;
    struct err err = ERR_INIT;
    assert_int_equal(cgroup_open(&group, &root, 0, &err), 0);
    const char *argv[] = {python, "-I", "-c", "x = bytearray(b'x') * (512 << 20)", NULL};
    owned_outcome outcome;
    run((struct jail_spec){.argv = argv, .binds = binds, .bind_count = python_binds()},
        (struct child_spec){.cgroup = &group, .limits.memory_bytes = 64 << 20}, &outcome);
    assert_int_equal(outcome.result.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(outcome.result.verdict.limit, SUPERVISE_LIMIT_MEMORY);
    assert_int_equal(outcome.result.verdict.allowed, 64 << 20);
    assert_true(cgroup_is_empty(&group));

    /* The same group serves the next, which does no wrong. */
    argv[3] = "print('fine')";
    owned_outcome next;
    run((struct jail_spec){.argv = argv, .binds = binds, .bind_count = python_binds()},
        (struct child_spec){.cgroup = &group, .limits.memory_bytes = 64 << 20}, &next);
    assert_int_equal(next.result.verdict.kind, SUPERVISE_EXITED);
    assert_int_equal(next.result.verdict.code, 0);
    cgroup_close(&group);
    cgroup_root_remove(&root);
    assert_false(file_exists(root.memory));
}

/* Starts a jail below a supervisor of its own, kills that after a while, and gives the rest 2 s. */
static void kill_supervisor_after(useconds_t pause_us, bool wait_for_it)
{
    static int round;
    char mark[32];
    snprintf(mark, sizeof mark, "mark-%d-b%d-", (int)getpid(), round++);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        const char *argv[] = {"/bin/sh", "-c",
                              "trap '' TERM HUP INT; setsid sleep 60 & sleep 60 & echo on; wait",
                              mark, NULL};
        owned_outcome outcome;
        run((struct jail_spec){.argv = argv}, (struct child_spec){0}, &outcome);
        _exit(0);
    }
    for (int i = 0; wait_for_it && i < 250 && !is_alive(mark); i++)
        usleep(20000);
    assert_true(!wait_for_it || is_alive(mark));
    usleep(pause_us);
    kill(supervisor, SIGKILL);
    waitpid(supervisor, NULL, 0);
    uint64_t began = clock_mono_ms();
    while (is_alive(mark) && clock_mono_ms() - began < 2000)
        usleep(20000);
    assert_false(is_alive(mark));
}

static void killing_the_supervisor_leaves_nothing(void **unused)
{
    (void)unused;
    need_tier_a();
    kill_supervisor_after(0, true);
    kill_supervisor_after(300000, true);
}

/* bubblewrap by itself has a gap here: see jail_helper.c. */
static void nor_does_a_kill_while_the_jail_is_being_made(void **unused)
{
    (void)unused;
    need_tier_a();
    for (useconds_t pause_us = 1000; pause_us < 60000; pause_us += 2000)
        kill_supervisor_after(pause_us, false);
}

/* ---- a confined job ---- */

static void a_job_is_nobody_special(void **unused)
{
    (void)unused;
    job("import os, pwd\n"
        "print(os.getuid(), os.geteuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name)\n"
        "s = dict(l.split(':', 1) for l in open('/proc/self/status') if ':' in l)\n"
        "print([s[k].strip() for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')])\n"
        "print(s['NoNewPrivs'].strip(), s['Seccomp'].strip(), s['Pid'].strip())\n"
        "print(open('/proc/self/oom_score_adj').read().strip(), os.getsid(0) == os.getpid())\n",
        "1000 1000 1000 tester\n"
        "['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000', "
        "'0000000000000000']\n1 2 2\n1000 True\n");
}

static void a_job_sees_its_project_and_nothing_of_the_host(void **unused)
{
    (void)unused;
    char code[1024];
    snprintf(code, sizeof code,
             "import os\n"
             "print(os.getcwd(), sorted(os.listdir('.')), open('sub/two.txt').read())\n"
             "print(int(os.stat('one.py').st_mtime), os.access('run.sh', os.X_OK))\n"
             "print(os.readlink('link'), sorted(p for p in os.listdir('/proc') if p.isdigit()))\n"
             "for path in ('/etc/shadow', '%s', '/root/.bashrc', '/home/x', '/proc/1/environ',\n"
             "             '/proc/1/mem', '/opt/testmesh/../../tmp/1'):\n"
             "  try: open(path); print('OPEN', path)\n"
             "  except OSError as e: pass\n"
             "print(os.listdir('/home'), os.listdir('/run'), os.listdir('/proc/self/fd'))\n",
             folder);
    job(code, "/work/project ['link', 'one.py', 'run.sh', 'sub'] two\n"
              "1000000000 True\n"
              "one.py ['1', '2']\n"
              "[] [] ['0', '1', '2', '3']\n");
}

static void a_job_writes_where_it_may_only(void **unused)
{
    (void)unused;
    job("import os\n"
        "for path in ('/work/project/x', '/work/x', '/tmp/x', '/dev/shm/x', '/var/tmp/y',\n"
        "             '/usr/x', '/etc/x', '/x', '/dev/x', '/opt/testmesh/x', '/proc/x',\n"
        "             '/run/x', '/home/x', '/opt/testmesh/testmesh-confine.so'):\n"
        "  try: open(path, 'a').close(); print(path)\n"
        "  except OSError: pass\n",
        "/work/project/x\n/work/x\n/tmp/x\n/dev/shm/x\n/var/tmp/y\n");
}

static void the_next_job_finds_nothing_of_the_last(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    owned_json *results =
        jobs_run("[{\"code\": \"open('/tmp/mine', 'w'); open('one.py', 'w'); import time; "
                 "time.sleep(.3)\"}, {\"code\": \"import os, time; time.sleep(.2); "
                 "print(os.listdir('/tmp'), os.stat('one.py').st_size)\"}]",
                 &confine, NULL);
    assert_string_equal(json_in_str(json_array_get(results, 1), "out", ""), "[] 4\n");
}

static void two_jobs_bind_the_same_port_and_reach_no_host(void **unused)
{
    (void)unused;
    need_tier_a();
    owned_fd int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    char one[1024];
    snprintf(one, sizeof one,
             "import socket, time\\n"
             "s = socket.socket(); s.bind(('127.0.0.1', 8080)); s.listen()\\n"
             "time.sleep(.3)\\n"
             "c = socket.create_connection(('localhost', 8080)); print('bound')\\n"
             "try: socket.create_connection(('127.0.0.1', %d), 1); print('REACHED')\\n"
             "except OSError as e: print('refused')\\n",
             ntohs(at.sin_port));
    owned_mem char *jobs = mem_printf("[{\"code\": \"%s\"}, {\"code\": \"%s\"}]", one, one);
    struct confine_spec confine = job_limits();
    owned_json *results = jobs_run(jobs, &confine, NULL);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(json_in_str(json_array_get(results, i), "out", ""), "bound\nrefused\n");
}

/* A network may be one that another job had: nothing of that shows, and no port is kept by it. */
static void a_network_is_handed_on_clean(void **unused)
{
    (void)unused;
    need_tier_a();
    const char *code = "import socket\\n"
                       "s = socket.socket(); s.bind(('127.0.0.1', 8080)); s.listen()\\n"
                       "c = socket.create_connection(('127.0.0.1', 8080)); d, _ = s.accept()\\n"
                       "d.close(); c.close(); s.close()\\n"
                       "try: open('/proc/sys/net/ipv4/ip_local_port_range', 'w'); print('OPEN')\\n"
                       "except OSError: print('bound')\\n";
    owned_buf jobs = BUF_INIT;
    for (int i = 0; i < 8; i++)
        buf_printf(&jobs, "%s{\"alone\": true, \"code\": \"%s\"}", i ? "," : "[", code);
    buf_puts(&jobs, "]");
    struct confine_spec confine = job_limits();
    owned_json *results = jobs_run(jobs.data, &confine, NULL);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(json_in_str(json_array_get(results, i), "out", ""), "bound\n");
}

static void limits_of_disk_files_and_descriptors_hold(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    confine.tmp_bytes = 4 << 20;
    confine.tmp_inodes = 64;
    confine.file_bytes = 2 << 20;
    confine.descriptors = 32;
    job_with("import errno, os, signal\n"
             "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
             "def until(f):\n"
             "  try:\n"
             "    for i in range(1000): f(i)\n"
             "  except OSError as e: print(errno.errorcode[e.errno])\n"
             "big = open('/tmp/big', 'wb', 0)\n"
             "until(lambda i: big.write(b'x' * 65536))\n"
             "f = open('/dev/shm/more', 'wb', 0); g = open('more', 'wb', 0)\n"
             "until(lambda i: (f.write(b'x' * 65536), g.write(b'x' * 65536)))\n"
             "os.unlink('/tmp/big')\n"
             "until(lambda i: open('/tmp/n%d' % i, 'w').close())\n"
             "keep = []\n"
             "until(lambda i: keep.append(open('/dev/null')))\n",
             &confine, "exit", 0, "EFBIG\nENOSPC\nENOSPC\nEMFILE\n");
}

static void a_project_that_does_not_fit_says_so(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    confine.tmp_inodes = 7;
    owned_json *results = jobs_run("[{\"code\": \"\"}]", &confine, NULL);
    assert_non_null(
        strstr(json_in_str(json_array_get(results, 0), "out", ""), "(project too large)"));
}

static void what_reaches_into_the_kernel_is_denied(void **unused)
{
    (void)unused;
    job("import ctypes, errno, os, socket\n"
        "c = ctypes.CDLL(None, use_errno=True)\n"
        "def call(name, *a):\n"
        "  ctypes.set_errno(0)\n"
        "  r = c.syscall(*[ctypes.c_long(x) for x in a])\n"
        "  print(name, errno.errorcode.get(ctypes.get_errno(), 'DONE %d' % r))\n"
        "call('ptrace', 101, 16, 1, 0, 0)\n"
        "call('unshare', 272, 0x10000000)\n"
        "call('setns', 308, 0, 0)\n"
        "call('mount', 165, 0, 0, 0, 0, 0)\n"
        "call('clone', 56, 0x10000011, 0, 0, 0, 0)\n"
        "call('clone3', 435, 0, 0)\n"
        "call('keyctl', 250, 0, 0, 0)\n"
        "call('io_uring', 425, 1, 0)\n"
        "call('bpf', 321, 0, 0, 0)\n"
        "call('perf', 298, 0, 0, 0, 0, 0)\n"
        "call('vm_readv', 310, 1, 0, 0, 0, 0, 0)\n"
        "call('pidfd_getfd', 438, 0, 0, 0)\n"
        "call('x32', 0x40000000 | 39)\n"
        "for family in (40, 16, 17, 38, 2, 1):\n"
        "  try: socket.socket(family, socket.SOCK_RAW if family in (16, 17) else "
        "socket.SOCK_STREAM); print(family)\n"
        "  except OSError as e: print(family, errno.errorcode[e.errno])\n",
        "ptrace EPERM\nunshare EPERM\nsetns EPERM\nmount EPERM\nclone EPERM\nclone3 ENOSYS\n"
        "keyctl EPERM\nio_uring EPERM\nbpf EPERM\nperf EPERM\nvm_readv EPERM\npidfd_getfd EPERM\n"
        "x32 ENOSYS\n40 EPERM\n16\n17 EPERM\n38 EPERM\n2\n1\n");
}

static void init_cannot_be_stopped_and_the_rest_goes_with_the_payload(void **unused)
{
    (void)unused;
    job("import os, signal, time\n"
        "for s in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):\n"
        "  try: os.kill(1, s)\n"
        "  except OSError: pass\n"
        "if os.fork() == 0:\n"
        "  os.setsid(); signal.signal(15, signal.SIG_IGN); time.sleep(60)\n"
        "print('end', flush=True)\n",
        "end\n");
}

/* Where the machine's /proc is partly hidden, as in a plain container, the kernel gives no new one.
 */
static void without_a_proc_a_job_runs_as_nobody(void **unused)
{
    (void)unused;
    without_proc = true;
    job("import os, ctypes\n"
        "open('/tmp/x', 'w').write('x'); open('y', 'w').write('y')\n"
        "print(os.getuid(), os.listdir('/proc'), os.stat('y').st_uid == os.getuid())\n"
        "try: open('/etc/x', 'w'); print('OPEN')\n"
        "except OSError: pass\n"
        "print(ctypes.CDLL(None).unshare(0x10000000))\n",
        "65534 [] True\n-1\n");
    without_proc = false;
}

static void codes_and_signals_are_told_apart(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    job_with("raise SystemExit(139)", &confine, "exit", 139, "");
    job_with("import os; os.kill(os.getpid(), 11)", &confine, "signal", 11, "");
    job_with("import os; os.kill(os.getpid(), 9)", &confine, "signal", 9, "");
    confine.cpu_seconds = 1;
    job_with("while True: pass", &confine, "signal", SIGXCPU, "");
}

static void a_fork_bomb_is_bounded_and_ends_with_its_init(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    owned_json *results = jobs_run(
        "[{\"kill_after\": 1.0, \"code\": \"import os, signal\\nsignal.signal(15, "
        "signal.SIG_IGN)\\n"
        "while True:\\n  try: os.fork()\\n  except OSError: pass\\n\"},"
        " {\"code\": \"import os, time\\ntime.sleep(.5)\\npid = os.fork()\\nprint('forked')\\n"
        "os._exit(0) if pid == 0 else os.wait()\"}]",
        &confine, NULL);
    const json_t *bomb = json_array_get(results, 0);
    assert_true(json_in_real(bomb, "ms", 1e9) < 2000);
    /* Its neighbour has 64 of its own. */
    const char *said = json_in_str(json_array_get(results, 1), "out", "");
    assert_non_null(strstr(said, "forked"));
}

static void a_job_that_eats_its_cgroup_is_killed_alone(void **unused)
{
    (void)unused;
    need_tier_a();
    struct cgroup_root root;
    cgroup_find(&root, "testmesh-test");
    if (root.kind == CGROUP_NONE) {
        print_message("SKIP: %s\n", root.why);
        skip();
    }
    struct cgroup group;
    struct err err = ERR_INIT;
    assert_int_equal(cgroup_open(&group, &root, 1, &err), 0);
    assert_int_equal(cgroup_begin(&group, 64 << 20, &err), 0);
    struct confine_spec confine = job_limits();
    owned_json *results =
        jobs_run("[{\"cgroup\": 5, \"code\": \"x = bytearray(b'x') * (256 << 20)\"},"
                 " {\"code\": \"x = bytearray(b'x') * (128 << 20); print(len(x) >> 20)\"}]",
                 &confine, &group);
    assert_true(cgroup_oom_kills(&group) > 0);
    assert_true(cgroup_memory_peak(&group) <= 64 << 20);
    const json_t *status = json_object_get(json_array_get(results, 0), "status");
    assert_int_equal(json_integer_value(json_array_get(status, 1)), SIGKILL);
    assert_string_equal(json_in_str(json_array_get(results, 1), "out", ""), "128\n");
    cgroup_close(&group);
    cgroup_root_remove(&root);
}

static void a_job_costs_little_more_than_a_fork(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    owned_json *times = jobs_run("{\"bench\": 60}", &confine, NULL);
    print_message("job confined, to its end: %.3f ms; bare fork: %.3f ms\n",
                  json_in_real(times, "confined", 0), json_in_real(times, "bare", 0));
    assert_true(json_in_real(times, "confined", 1e9) < 100);
}

/* ---- the frame ---- */

static void the_same_holds_for_an_unprivileged_user(void **unused)
{
    (void)unused;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setresgid(OTHER_USER, OTHER_USER, OTHER_USER) != 0 ||
            setresuid(OTHER_USER, OTHER_USER, OTHER_USER) != 0)
            _exit(1);
        execl(self, self, NULL);
        _exit(77);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("SKIP: another user cannot execute %s\n", self);
        skip();
    }
    assert_int_equal(status, 0);
}

static int set_up(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    struct jail_report report;
    assert_non_null(mkdtemp(folder));
    snprintf(runtime, sizeof runtime, "%s/runtime", folder);
    snprintf(project, sizeof project, "%s/project", folder);
    if (jail_write_runtime(runtime, &err) != 0)
        fail_msg("%s", err.text);
    char path[128];
    snprintf(path, sizeof path, "%s/sub", project);
    assert_int_equal(file_make_dirs(path, 0755, &err), 0);
    snprintf(path, sizeof path, "%s/sub/two.txt", project);
    write_text(path, "two");
    snprintf(path, sizeof path, "%s/run.sh", project);
    write_text(path, "#!/bin/sh\n");
    chmod(path, 0755);
    snprintf(path, sizeof path, "%s/link", project);
    assert_int_equal(symlink("one.py", path), 0);
    snprintf(path, sizeof path, "%s/one.py", project);
    write_text(path, "one\n");
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    const char *which = geteuid() == 0 ? "python3" : "/usr/bin/python3";
    char command[256];
    snprintf(command, sizeof command, "%s -c 'import sys; print(sys.executable)'", which);
    ask(command, python, sizeof python);
    snprintf(command, sizeof command, "%s -c 'import sys; print(sys.base_prefix)'", which);
    ask(command, prefix, sizeof prefix);
    jail_probe(runtime, self, 0, &report);
    if (report.tier != 'A')
        snprintf(why_not, sizeof why_not, "%.100s; %.100s", report.problem, report.advice);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    return file_remove_tree(folder, &err);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0)
        return strcmp(argv[2], "jail") == 0 ? helper_jail_main(argc, argv)
                                            : helper_jail_probe_main(argc, argv);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_jail_is_uid_1000_without_capabilities),
        cmocka_unit_test(a_plain_jail_is_filtered),
        cmocka_unit_test(a_writable_bind_is_written_and_others_are_not),
        cmocka_unit_test(a_source_that_is_absent_is_named),
        cmocka_unit_test(variables_for_the_linker_are_refused),
        cmocka_unit_test(daemons_that_ignore_signals_go_with_the_jail),
        cmocka_unit_test(a_cpu_hog_meets_its_limit),
        cmocka_unit_test(a_memory_hog_is_noticed_without_a_cgroup),
        cmocka_unit_test(a_memory_hog_is_told_by_the_cgroups_counter),
        cmocka_unit_test(killing_the_supervisor_leaves_nothing),
        cmocka_unit_test(nor_does_a_kill_while_the_jail_is_being_made),
        cmocka_unit_test(a_job_is_nobody_special),
        cmocka_unit_test(a_job_sees_its_project_and_nothing_of_the_host),
        cmocka_unit_test(a_job_writes_where_it_may_only),
        cmocka_unit_test(the_next_job_finds_nothing_of_the_last),
        cmocka_unit_test(two_jobs_bind_the_same_port_and_reach_no_host),
        cmocka_unit_test(a_network_is_handed_on_clean),
        cmocka_unit_test(limits_of_disk_files_and_descriptors_hold),
        cmocka_unit_test(a_project_that_does_not_fit_says_so),
        cmocka_unit_test(what_reaches_into_the_kernel_is_denied),
        cmocka_unit_test(init_cannot_be_stopped_and_the_rest_goes_with_the_payload),
        cmocka_unit_test(without_a_proc_a_job_runs_as_nobody),
        cmocka_unit_test(codes_and_signals_are_told_apart),
        cmocka_unit_test(a_fork_bomb_is_bounded_and_ends_with_its_init),
        cmocka_unit_test(a_job_that_eats_its_cgroup_is_killed_alone),
        cmocka_unit_test(a_job_costs_little_more_than_a_fork),
        cmocka_unit_test(the_same_holds_for_an_unprivileged_user),
    };
    return cmocka_run_group_tests_name("jail", tests, set_up, tear_down);
}
