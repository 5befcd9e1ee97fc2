#include "runner/job/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct wire_answer answer;
static struct wire_status status;

#define reads(bytes) wire_decode_answer(&answer, bytes, sizeof(bytes) - 1)

static void answers_of_the_server_are_read(void **unused)
{
    (void)unused;
    assert_true(reads("\x94\xa5hello\x01\xa6"
                      "3.11.7\xa5"
                      "8.3.5"));
    assert_int_equal(answer.kind, WIRE_HELLO);
    assert_true(cursor_text_is(answer.text, "8.3.5"));
    assert_true(reads("\x92\xa7started\x07"));
    assert_int_equal(answer.id, 7);
    assert_true(reads("\x96\xa6"
                      "exited\x07\x00\x02\x03\x04"));
    assert_int_equal(answer.cpu_us, 5);
    assert_int_equal(answer.max_rss_bytes, 4096);
    assert_true(reads("\x93\xa6"
                      "failed\x07\xa2no"));
}

static void anything_else_is_refused(void **unused)
{
    (void)unused;
    assert_false(reads("\x92\xa7stopped\x07"));
    assert_false(reads("\x91\xa7started"));
    assert_false(reads("\x93\xa7started\x07\x07"));
    assert_false(reads("\x92\xa7started\xff"));
    assert_false(reads(""));
}

static void a_status_pipe_says_one_of_three_things(void **unused)
{
    (void)unused;
    int wait_status = 9;
    wire_decode_status(&status, "", 0);
    assert_int_equal(status.kind, WIRE_STATUS_NONE);
    wire_decode_status(&status, &wait_status, sizeof(wait_status));
    assert_int_equal(status.kind, WIRE_STATUS_WAIT);
    assert_int_equal(status.wait_status, 9);
    assert_int_equal(status.end.flags, 0);
    const struct confine_end end = {
        .wait_status = 11, .flags = CONFINE_END_TMP_FULL, .tmp_bytes = 7, .tmp_inodes = 3};
    wire_decode_status(&status, &end, sizeof(end));
    assert_int_equal(status.kind, WIRE_STATUS_WAIT);
    assert_int_equal(status.wait_status, 11);
    assert_memory_equal(&status.end, &end, sizeof(end));
    wire_decode_status(&status, &end, sizeof(end) - 1);
    assert_int_equal(status.kind, WIRE_STATUS_NONE);
    wire_decode_status(&status, "!no room\0\0\0\0", 12); /* init wrote its status behind it */
    assert_int_equal(status.kind, WIRE_STATUS_REFUSED);
    assert_string_equal(status.text, "no room");
}

static void users_may_pass_what_changes_no_rule(void **unused)
{
    (void)unused;
    static const char *const good[] = {"-kfast", "-mnot slow", "-x", "--maxfail=2", "--tb=short"};
    static const char *const bad[] = {
        "-k",        "-p", "-pno:terminal", "--rootdir=/", "-c",    "--pyargs", "",
        "test_a.py", "-o", "--junitxml=/x", "-k\nx",       "-xfoo", "--tb=",    "--collect-only",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(job_arg_allowed(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(job_arg_allowed(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_the_server_are_read),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(a_status_pipe_says_one_of_three_things),
        cmocka_unit_test(users_may_pass_what_changes_no_rule),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
