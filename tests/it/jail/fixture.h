/* fixture: what the tests of jails share. A test program is its own helper, and runs a second time
 * as an unprivileged user when it is started by root. Included by one file of a program. */
#ifndef IT_JAIL_FIXTURE_H
#define IT_JAIL_FIXTURE_H

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

/* Begins main(): true when this process is a helper, whose exit code is then in `*code`. */
static bool is_helper(int argc, char **argv, int *code)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0) {
        *code = strcmp(argv[2], "jail") == 0 ? helper_jail_main(argc, argv)
                                             : helper_jail_probe_main(argc, argv);
        return true;
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    return false;
}

#endif
