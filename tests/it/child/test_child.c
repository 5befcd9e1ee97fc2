/* Children of all kinds on the real kernel. */
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "runner/child/child.h"
#include "runner/child/tree.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct event_base *base;

struct outcome {
    bool is_over;
    struct child_result result;
    struct buf handed;
};

static void outcome_fini(struct outcome *outcome)
{
    buf_fini(&outcome->result.out);
    buf_fini(&outcome->result.err);
    buf_fini(&outcome->handed);
}
#define owned_outcome __attribute__((cleanup(outcome_fini))) struct outcome

static void on_done(void *arg, struct child_result *result)
{
    struct outcome *outcome = arg;
    outcome->is_over = true;
    outcome->result = *result;
    result->out = (struct buf)BUF_INIT;
    result->err = (struct buf)BUF_INIT;
}

static void on_bytes(void *arg, const void *bytes, size_t len)
{
    buf_append(&((struct outcome *)arg)->handed, bytes, len);
}

static const struct child_stream keep = {
    .kind = CHILD_COLLECT, .head_bytes = 1000, .tail_bytes = 1000};

static struct child *start(const char *script, struct child_spec spec, struct outcome *outcome)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct err err = ERR_INIT;
    *outcome = (struct outcome){0};
    spec.argv = argv;
    struct child *child = child_start(base, &spec, on_done, outcome, &err);
    if (!child)
        fail_msg("%s", err.text);
    return child;
}

static void wait_for(struct outcome *outcome)
{
    while (!outcome->is_over)
        event_base_loop(base, EVLOOP_ONCE);
}

static void run(const char *script, struct child_spec spec, struct outcome *outcome)
{
    start(script, spec, outcome);
    wait_for(outcome);
}

static void output_and_code_arrive(void **unused)
{
    (void)unused;
    owned_outcome it;
    run("echo out; echo err >&2; exit 7", (struct child_spec){.out = keep, .err = keep}, &it);
    assert_int_equal(it.result.verdict.kind, SUPERVISE_EXITED);
    assert_int_equal(it.result.verdict.code, 7);
    assert_string_equal(buf_str(&it.result.out), "out\n");
    assert_string_equal(buf_str(&it.result.err), "err\n");
    assert_string_equal(it.result.text, "exited with code 7");
}

static void nothing_is_inherited(void **unused)
{
    (void)unused;
    int open_to_all = dup(2); /* not close-on-exec, as a library's might be */
    const char *envp[] = {"ONLY=this", NULL};
    setenv("SECRET", "x", 1);
    signal(SIGUSR1, SIG_IGN);
    owned_outcome it;
    run("/usr/bin/env | grep -v PWD | grep -v _=; ls /proc/self/fd | tr '\\n' ' '; pwd; "
        "grep SigIgn /proc/self/status; kill -USR1 $$",
        (struct child_spec){.out = keep, .err = keep, .envp = envp}, &it);
    signal(SIGUSR1, SIG_DFL);
    close(open_to_all);
    assert_string_equal(buf_str(&it.result.out),
                        "ONLY=this\n0 1 2 3 /\nSigIgn:\t0000000000000000\n");
    assert_int_equal(it.result.verdict.kind, SUPERVISE_SIGNALLED);
    assert_int_equal(it.result.verdict.signal, SIGUSR1);
}

static void descriptors_go_where_they_are_told(void **unused)
{
    (void)unused;
    int first[2];
    int second[2];
    assert_int_equal(pipe2(first, O_CLOEXEC), 0);
    assert_int_equal(pipe2(second, O_CLOEXEC), 0);
    /* Each is to be where the other is: no order of dup2() alone can do it. */
    struct child_fd fds[] = {{first[1], second[1]}, {second[1], first[1]}};
    char script[100];
    snprintf(script, sizeof script, "echo one >&%d; echo two >&%d", second[1], first[1]);
    owned_outcome it;
    run(script, (struct child_spec){.fds = fds, .fd_count = 2, .err = keep}, &it);
    char text[10] = "";
    assert_int_equal(read(first[0], text, 4), 4);
    assert_string_equal(text, "one\n");
    assert_int_equal(read(second[0], text, 4), 4);
    assert_string_equal(text, "two\n");
    for (size_t i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
}

static void a_program_that_is_not_there_is_said_at_once(void **unused)
{
    (void)unused;
    const char *argv[] = {"/nonexistent/program", NULL};
    struct err err = ERR_INIT;
    struct outcome it;
    assert_null(child_start(base, &(struct child_spec){.argv = argv}, on_done, &it, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/program"));
    argv[0] = "/bin/true";
    assert_null(child_start(base, &(struct child_spec){.argv = argv, .cwd = "/nonexistent"},
                            on_done, &it, &err));
    assert_non_null(strstr(err.text, "working folder"));
    argv[0] = "true";
    assert_null(child_start(base, &(struct child_spec){.argv = argv}, on_done, &it, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and no zombie is left */
    assert_int_equal(errno, ECHILD);
}

static void the_last_kilobytes_are_not_lost(void **unused)
{
    (void)unused;
    owned_outcome it;
    run("head -c 300000 /dev/zero | tr '\\0' x; printf END",
        (struct child_spec){.out = {.kind = CHILD_BYTES, .on_bytes = on_bytes}}, &it);
    assert_int_equal(it.handed.len, 300003);
    assert_memory_equal(it.handed.data + 300000, "END", 3);
    assert_int_equal(it.result.out_bytes, 300003);
}

static void head_and_tail_are_kept_of_much(void **unused)
{
    (void)unused;
    owned_outcome it;
    run("printf BEGIN; head -c 100000 /dev/zero | tr '\\0' x; printf END",
        (struct child_spec){.out = keep}, &it);
    assert_int_equal(strncmp(buf_str(&it.result.out), "BEGIN", 5), 0);
    assert_non_null(strstr(buf_str(&it.result.out), "98008 bytes left out"));
    assert_non_null(strstr(buf_str(&it.result.out), "xEND"));
}

static void a_flood_is_stopped_at_its_limit(void **unused)
{
    (void)unused;
    owned_outcome it;
    uint64_t began = clock_mono_ms();
    run("trap '' TERM; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
        (struct child_spec){.out = keep, .limits.output_bytes = 1 << 20}, &it);
    assert_int_equal(it.result.verdict.limit, SUPERVISE_LIMIT_OUTPUT);
    assert_int_equal(it.result.verdict.allowed, 1 << 20);
    assert_true(it.result.verdict.used < (2 << 20));
    assert_int_equal(it.result.verdict.signal, SIGKILL);
    assert_true(clock_mono_ms() - began < 10000);
}

static void a_grandchild_that_holds_the_stream_is_not_waited_for(void **unused)
{
    (void)unused;
    owned_outcome it;
    uint64_t began = clock_mono_ms();
    run("sleep 30 & echo started", (struct child_spec){.out = keep}, &it);
    assert_true(clock_mono_ms() - began < 5000);
    assert_int_equal(it.result.verdict.kind, SUPERVISE_EXITED);
    assert_string_equal(buf_str(&it.result.out), "started\n");
}

static void the_wall_limit_ends_a_tree_that_ignores_term(void **unused)
{
    (void)unused;
    owned_outcome it;
    run("trap '' TERM; sleep 30 & echo $!; sleep 30; sleep 30",
        (struct child_spec){.out = keep, .limits.wall_ms = 200}, &it);
    assert_int_equal(it.result.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(it.result.verdict.limit, SUPERVISE_LIMIT_WALL);
    assert_true(it.result.wall_ms < 2000);
    pid_t sleeper = (pid_t)strtol(buf_str(&it.result.out), NULL, 10);
    struct tree_usage left;
    for (int i = 0; i < 100 && tree_measure(sleeper, &left) > 0; i++)
        usleep(10000);
    assert_int_equal(tree_measure(sleeper, &left), 0); /* at most a zombie that init has not met */
}

static void the_trees_cpu_is_summed(void **unused)
{
    (void)unused;
    owned_outcome it;
    run("(while :; do :; done) & (while :; do :; done) & wait",
        (struct child_spec){.limits.cpu_ms = 500}, &it);
    assert_int_equal(it.result.verdict.limit, SUPERVISE_LIMIT_CPU);
    assert_true(it.result.verdict.used > 500);
    assert_true(it.result.cpu_ms >= it.result.verdict.used);
}

static void stopping_is_cancelled_and_twice_is_harmless(void **unused)
{
    (void)unused;
    owned_outcome it;
    struct child *child = start("sleep 30", (struct child_spec){.out = keep}, &it);
    child_stop(child);
    child_stop(child);
    wait_for(&it);
    assert_int_equal(it.result.verdict.kind, SUPERVISE_CANCELLED);
    assert_true(it.result.wall_ms < 1000);
}

static void a_limit_of_the_caller_is_named(void **unused)
{
    (void)unused;
    owned_outcome it;
    struct child *child = start("sleep 30", (struct child_spec){.out = keep}, &it);
    child_limit(child, SUPERVISE_LIMIT_DISK, 300, 256);
    wait_for(&it);
    assert_string_equal(it.result.text, "disk limit: used 300 bytes of 256 bytes");
}

static void a_dropped_child_is_gone_and_silent(void **unused)
{
    (void)unused;
    owned_outcome it;
    struct child *child = start("sleep 30", (struct child_spec){.out = keep}, &it);
    pid_t pid = child_pid(child);
    child_drop(child);
    assert_int_equal(kill(pid, 0), -1);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_false(it.is_over);
}

static void many_at_once_keep_apart(void **unused)
{
    (void)unused;
    enum { COUNT = 30 };
    static struct outcome all[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char script[64];
        snprintf(script, sizeof script, "sleep 0.0%d; echo %d; exit %d", i % 7, i, i);
        start(script, (struct child_spec){.out = keep}, &all[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%d\n", i);
        wait_for(&all[i]);
        assert_int_equal(all[i].result.verdict.code, i);
        assert_string_equal(buf_str(&all[i].result.out), wanted);
        outcome_fini(&all[i]);
    }
}

static void a_tree_is_measured_and_a_pidfd_named(void **unused)
{
    (void)unused;
    owned_outcome it;
    struct child *child =
        start("sleep 30 & sleep 30 & wait", (struct child_spec){.out = keep}, &it);
    struct tree_usage usage;
    for (int i = 0; i < 200 && tree_measure(child_pid(child), &usage) < 3; i++)
        usleep(10000);
    assert_int_equal(usage.process_count, 3);
    assert_true(usage.rss_bytes > 1 << 20);
    uint64_t shared_once = tree_proportional_bytes(child_pid(child));
    assert_true(shared_once > 0 && shared_once < usage.rss_bytes);
    owned_fd int pidfd = (int)syscall(SYS_pidfd_open, child_pid(child), 0);
    assert_int_equal(tree_pid_of(pidfd), child_pid(child));
    child_drop(child);
    assert_int_equal(tree_pid_of(pidfd), -1);
}

static int set_up(void **unused)
{
    (void)unused;
    base = event_base_new();
    return base ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_code_arrive),
        cmocka_unit_test(nothing_is_inherited),
        cmocka_unit_test(descriptors_go_where_they_are_told),
        cmocka_unit_test(a_program_that_is_not_there_is_said_at_once),
        cmocka_unit_test(the_last_kilobytes_are_not_lost),
        cmocka_unit_test(head_and_tail_are_kept_of_much),
        cmocka_unit_test(a_flood_is_stopped_at_its_limit),
        cmocka_unit_test(a_grandchild_that_holds_the_stream_is_not_waited_for),
        cmocka_unit_test(the_wall_limit_ends_a_tree_that_ignores_term),
        cmocka_unit_test(the_trees_cpu_is_summed),
        cmocka_unit_test(stopping_is_cancelled_and_twice_is_harmless),
        cmocka_unit_test(a_limit_of_the_caller_is_named),
        cmocka_unit_test(a_dropped_child_is_gone_and_silent),
        cmocka_unit_test(many_at_once_keep_apart),
        cmocka_unit_test(a_tree_is_measured_and_a_pidfd_named),
    };
    return cmocka_run_group_tests_name("child", tests, set_up, tear_down);
}
