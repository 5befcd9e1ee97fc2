/* What a confined job of a template can and cannot do, on the real kernel. */
#include "fixture.h"

#define SERVER "/opt/testmesh/forkserver.py"

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

static int flags_of(const json_t *results, size_t i)
{
    const json_t *seen = json_object_get(json_array_get(results, i), "seen");
    return (int)json_integer_value(json_array_get(seen, 0));
}

static void what_a_job_met_is_told_at_its_end(void **unused)
{
    (void)unused;
    need_tier_a();
    struct confine_spec confine = job_limits();
    confine.file_bytes = 1 << 20;
    confine.tmp_bytes = 4 << 20;
    confine.tmp_inodes = 500;
    owned_json *results = jobs_run(
        "[{\"code\": \"import os\\nf = open('/tmp/f', 'wb')\\ntry: os.truncate(f.fileno(), 2 << 20)"
        "\\nexcept OSError as e: print(e.errno)\"},"
        " {\"code\": \"import os; os.system('exec head -c 2000000 /dev/zero > /dev/shm/f')\"},"
        " {\"code\": \"import os\\ntry:\\n for n in range(9):\\n  open(str(n), 'wb').write(b'x' * "
        "999999)"
        "\\nexcept OSError as e: print(e.errno)\"},"
        " {\"code\": \"import os\\ntry:\\n for n in range(900): open('/tmp/%d' % n, 'w').close()"
        "\\nexcept OSError as e: print(e.errno)\\nfor n in os.listdir('/tmp'): "
        "os.unlink('/tmp/' + n)\\nopen('/tmp/x', 'wb').write(b'x' * 1000000)\"},"
        " {\"code\": \"print(0)\"}]",
        &confine, NULL);
    static const int flags[] = {CONFINE_END_FILE_REFUSED, CONFINE_END_FILE_FULL,
                                CONFINE_END_TMP_FULL, 0, 0};
    static const char *const said[] = {"27\n", "", "28\n", "28\n", "0\n"};
    for (size_t i = 0; i < countof(flags); i++) {
        assert_int_equal(flags_of(results, i) & ~CONFINE_END_INODES_FULL, flags[i]);
        assert_string_equal(json_in_str(json_array_get(results, i), "out", ""), said[i]);
    }
}

static void refused_forks_are_counted_where_a_group_can(void **unused)
{
    (void)unused;
    need_tier_a();
    struct cgroup_root root;
    cgroup_find(&root, "testmesh-test");
    if (root.kind == CGROUP_NONE || !root.pids[0]) {
        print_message("SKIP: no cgroup counts processes here\n");
        skip();
    }
    struct cgroup group;
    struct err err = ERR_INIT;
    assert_int_equal(cgroup_open(&group, &root, 2, &err), 0);
    assert_int_equal(cgroup_begin(&group, 0, &err), 0);
    assert_true(cgroup_limit_processes(&group, 4));
    char job[256];
    snprintf(job, sizeof(job),
             "[{\"cgroup\": 5, \"code\": \"import os, time\\nfor n in range(%d):\\n"
             " if os.fork() == 0: time.sleep(9)\"}]",
             2);
    struct confine_spec confine = job_limits();
    int procs = group.procs_fd;
    group.procs_fd = group.pids_fd >= 0 ? group.pids_fd : procs; /* the list that it joins */
    json_decref(jobs_run(job, &confine, &group));
    assert_int_equal(cgroup_forks_refused(&group), 0);
    strstr(job, "range(2")[6] = '9';
    json_decref(jobs_run(job, &confine, &group));
    assert_int_equal(cgroup_forks_refused(&group), 1);
    assert_true(cgroup_limit_processes(&group, 4));
    assert_int_equal(cgroup_forks_refused(&group), 0);
    group.procs_fd = procs;
    cgroup_close(&group);
    assert_int_equal(access(group.path, F_OK), -1);
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

int main(int argc, char **argv)
{
    int code;
    if (is_helper(argc, argv, &code))
        return code;
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(what_a_job_met_is_told_at_its_end),
        cmocka_unit_test(refused_forks_are_counted_where_a_group_can),
        cmocka_unit_test(a_job_costs_little_more_than_a_fork),
        cmocka_unit_test(the_same_holds_for_an_unprivileged_user),
    };
    return cmocka_run_group_tests_name("confine", tests, set_up, tear_down);
}
