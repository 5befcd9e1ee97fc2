/* Statuses on their way, with a helper that writes down what it is told and answers as the test
 * wants: one line of "answers" after the other, and "taken" behind the last. */
#include "node/eval/statuses.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <event2/event.h>

#define DEADLINE_MS 20000

static const char script[] = "#!/bin/sh\n"
                             "cd \"${0%/*}\" || exit 3\n"
                             "n=$(/bin/cat count 2>/dev/null || echo 0)\n"
                             "n=$((n + 1))\n"
                             "echo $n >count\n"
                             "/bin/cat >>log\n"
                             "echo >>log\n"
                             "line=$(/bin/sed -n ${n}p answers)\n"
                             "[ -n \"$line\" ] || line='{\"http\":201,\"retry_after_s\":0}'\n"
                             "echo \"$line\"\n";

static char folder[] = "/tmp/testmesh-statuses-XXXXXX";
static char *helper;
static struct event_base *base;
static struct statuses *statuses;

struct counters {
    uint64_t sent, failed, dropped;
};

static void note_counter(void *arg, const char *name, uint64_t value)
{
    struct counters *self = arg;
    if (strcmp(name, "sent") == 0)
        self->sent = value;
    else if (strcmp(name, "failed") == 0)
        self->failed = value;
    else
        self->dropped = value;
}

static struct counters counters(void)
{
    struct counters all = {0};
    statuses_each_counter(statuses, note_counter, &all);
    return all;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    owned_mem char *path = mem_printf("%s/%s", folder, name);
    struct err err = ERR_INIT;
    if (file_replace(path, text, strlen(text), mode, &err))
        fail_msg("%s", err.text);
}

static void given(const char *answers)
{
    write_file("answers", answers, 0600);
    statuses = statuses_new(&(struct statuses_config){
        .base = base, .policy = {.program = helper}, .apis = NULL, .api_count = 0});
}

static void tell(const char *host, const char *context, enum status_state state)
{
    struct git_url url = {.port = GIT_HTTPS_PORT, .path = "o/n"};
    (void)snprintf(url.host, sizeof url.host, "%s", host);
    statuses_tell(statuses,
                  &(struct status_spec){.url = &url,
                                        .commit = "0123456789012345678901234567890123456789",
                                        .state = state,
                                        .context = context,
                                        .description = "x",
                                        .token = "hunter2"});
}

/* The helper's log so far, owned. */
static char *told(void)
{
    struct buf text = BUF_INIT;
    owned_mem char *path = mem_printf("%s/log", folder);
    if (file_exists(path) && file_read(path, 1 << 20, &text, NULL))
        fail_msg("no log");
    return buf_steal(&text);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

/* Until so many are left. */
static void run_until(size_t left)
{
    bool is_late = false;
    struct event *timer = evtimer_new(base, on_deadline, &is_late);
    event_add(timer, &(struct timeval){.tv_sec = DEADLINE_MS / 1000});
    while (statuses_waiting(statuses) > left && !is_late)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(timer);
    assert_false(is_late);
}

/* Until one was tried, and is not over. */
static void run_one_try(void)
{
    while (statuses_running(statuses) == 0)
        event_base_loop(base, EVLOOP_ONCE);
    while (statuses_running(statuses) > 0)
        event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(statuses_waiting(statuses), 1);
}

static const char *after(const char *text, const char *what)
{
    const char *found = text ? strstr(text, what) : NULL;
    if (!found)
        fail_msg("\"%s\" was not told", what);
    return found + strlen(what);
}

static void states_go_out_in_order(void **unused)
{
    (void)unused;
    given("");
    tell("github.com", "a", STATUS_PENDING);
    tell("github.com", "a", STATUS_FAILURE);
    tell("github.com", "a", STATUS_SUCCESS);
    run_until(0);
    owned_mem char *log = told();
    const char *at = after(log, "https://api.github.com/repos/o/n/statuses/0123456789");
    at = after(at, "\"token\":\"hunter2\"");
    at = after(at, "\\\"state\\\":\\\"pending\\\"");
    at = after(at, "\\\"state\\\":\\\"failure\\\"");
    after(at, "\\\"state\\\":\\\"success\\\"");
    assert_int_equal(counters().sent, 3);
}

static void who_waits_gives_way(void **unused)
{
    (void)unused;
    given("{\"http\":502,\"retry_after_s\":1}\n");
    tell("github.com", "a", STATUS_PENDING);
    run_one_try();
    tell("github.com", "b", STATUS_PENDING);
    tell("github.com", "a", STATUS_SUCCESS);
    run_until(0);
    struct counters all = counters();
    assert_int_equal(all.sent, 2);
    assert_int_equal(all.failed, 0);
}

static void a_no_is_taken_for_one(void **unused)
{
    (void)unused;
    given("{\"http\":404,\"retry_after_s\":0}\n{\"http\":302,\"retry_after_s\":0}\nnonsense\n");
    tell("github.com", "a", STATUS_PENDING);
    tell("github.com", "a", STATUS_FAILURE);
    run_until(0);
    assert_int_equal(counters().failed, 2);
    tell("github.com", "a", STATUS_SUCCESS); /* its helper makes no sense the first time */
    run_until(0);
    assert_int_equal(counters().sent, 1);
}

static void one_host_waits_alone(void **unused)
{
    (void)unused;
    given("{\"http\":429,\"retry_after_s\":2}\n");
    uint64_t began_ms = clock_mono_ms();
    tell("github.com", "a", STATUS_PENDING);
    run_one_try();
    tell("gitlab.com", "a", STATUS_PENDING);
    run_until(1);
    assert_true(clock_mono_ms() - began_ms < 2000);
    assert_int_equal(counters().sent, 1);
    run_until(0);
    assert_true(clock_mono_ms() - began_ms >= 2000);
    assert_int_equal(counters().sent, 2);
}

static void too_many_are_dropped(void **unused)
{
    (void)unused;
    given("");
    for (unsigned i = 0; i < STATUSES_MAX + 5; i++) {
        owned_mem char *context = mem_printf("c%u", i);
        tell("github.com", context, STATUS_PENDING);
    }
    assert_int_equal(statuses_waiting(statuses), STATUSES_MAX);
    assert_int_equal(counters().dropped, 5);
    run_until(STATUSES_MAX - 3); /* and some are under way when it ends */
}

static int set_up(void **unused)
{
    (void)unused;
    base = event_base_new();
    if (!mkdtemp(folder))
        return -1;
    helper = mem_printf("%s/helper", folder);
    write_file("helper", script, 0700);
    return 0;
}

static int forget(void **unused)
{
    (void)unused;
    statuses_free(statuses);
    static const char *const names[] = {"log", "count", "answers"};
    for (size_t i = 0; i < countof(names); i++) {
        owned_mem char *path = mem_printf("%s/%s", folder, names[i]);
        (void)remove(path);
    }
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    event_base_free(base);
    free(helper);
    return file_remove_tree(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(states_go_out_in_order, forget),
        cmocka_unit_test_teardown(who_waits_gives_way, forget),
        cmocka_unit_test_teardown(a_no_is_taken_for_one, forget),
        cmocka_unit_test_teardown(one_host_waits_alone, forget),
        cmocka_unit_test_teardown(too_many_are_dropped, forget),
    };
    return cmocka_run_group_tests_name("statuses", tests, set_up, tear_down);
}
