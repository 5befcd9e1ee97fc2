#include "runner/job/verdict.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <msgpack.h>
#include <string.h>

/* The verbs that the stories below are told in: a job that sends records and ends. */
static struct verdict verdict;
static struct verdict_result result;
static struct buf cases;
static uint64_t number;

static int append(void *to, const char *bytes, size_t len)
{
    buf_append(to, bytes, len);
    return 0;
}

static msgpack_packer packer;
static struct buf packet;

static void begin_record(enum record_kind kind, size_t fields)
{
    buf_clear(&packet);
    msgpack_packer_init(&packer, &packet, append);
    msgpack_pack_array(&packer, fields + 2);
    msgpack_pack_uint64(&packer, number++);
    msgpack_pack_int(&packer, (int)kind);
}

static void put_text(const char *value)
{
    msgpack_pack_str_with_body(&packer, value, strlen(value));
}

static void put_uint(uint64_t value) { msgpack_pack_uint64(&packer, value); }

static bool sent(void) { return verdict_take(&verdict, packet.data, packet.len); }

static void given_a_job(enum job_kind kind)
{
    verdict_init(&verdict, kind, "test_a.py");
    number = 0;
    begin_record(RECORD_BEGIN, 1);
    put_uint(RECORD_VERSION);
    sent();
}

static void collected(size_t count)
{
    begin_record(RECORD_COLLECTED, 2);
    put_uint(verdict.case_count);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        put_text("test_a.py::test");
    sent();
}

static bool phase_flagged(uint64_t index, enum record_when when, enum record_outcome outcome,
                          uint64_t flags)
{
    begin_record(RECORD_PHASE, 9);
    put_uint(index);
    put_uint(when);
    put_uint(outcome);
    put_uint(1000);
    put_text(outcome == RECORD_FAILED ? "it failed" : "");
    put_text(outcome == RECORD_FAILED ? "a traceback" : "");
    put_text("");
    put_text("");
    put_uint(flags);
    return sent();
}

static bool phase(uint64_t index, enum record_when when, enum record_outcome outcome)
{
    return phase_flagged(index, when, outcome, 0);
}

static void ran(uint64_t index, enum record_outcome outcome)
{
    phase(index, RECORD_SETUP, RECORD_PASSED);
    phase(index, RECORD_CALL, outcome);
    phase(index, RECORD_TEARDOWN, RECORD_PASSED);
}

static void problem(const char *id, enum record_outcome outcome)
{
    begin_record(RECORD_PROBLEM, 4);
    put_text(id);
    put_uint(outcome);
    put_text("no module named x");
    put_text("a traceback");
    sent();
}

static void ended(int status)
{
    begin_record(RECORD_END, 4);
    msgpack_pack_int(&packer, status);
    put_uint(verdict.case_count);
    put_uint(0);
    put_uint(0);
    sent();
}

static void judged_after(struct job_end end)
{
    buf_clear(&cases);
    verdict_conclude(&verdict, &end, "its last words", &cases, &result);
    verdict_fini(&verdict);
    buf_fini(&packet);
}

static void judged(void) { judged_after((struct job_end){0}); }

#define came_to(expected) assert_string_equal(job_outcome_name(result.outcome), expected)
#define is_blamed_on(who) assert_string_equal(job_blame_name(result.blame), who)

static void a_test_that_ran_and_ended_passes(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    assert_false(phase(0, RECORD_SETUP, RECORD_PASSED));
    assert_false(phase(0, RECORD_CALL, RECORD_PASSED));
    assert_true(phase(0, RECORD_TEARDOWN, RECORD_PASSED)); /* now it is finished */
    assert_int_equal(verdict.counts.passed, 1);
    ended(0);
    judged();
    came_to("passed");
    assert_int_equal(result.counts.passed, 1);
    assert_null(job_blame_name(result.blame));
    assert_string_equal(cases.data,
                        "{\"test\":\"test_a.py::test\",\"outcome\":\"passed\",\"time\":0.003}\n");
}

static void an_exit_status_alone_decides_nothing(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_PASSED);
    ended(1); /* a coverage threshold */
    judged();
    came_to("passed");
    assert_int_equal(result.exit_code, 1);

    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_FAILED);
    ended(0);
    judged();
    came_to("failed");
    assert_non_null(strstr(result.message, "exit status was 0"));
}

static void the_worst_phase_is_the_outcome(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(5);
    phase(0, RECORD_SETUP, RECORD_FAILED);
    phase(0, RECORD_TEARDOWN, RECORD_PASSED);
    phase(1, RECORD_SETUP, RECORD_PASSED);
    phase(1, RECORD_CALL, RECORD_FAILED);
    phase(1, RECORD_TEARDOWN, RECORD_FAILED);
    phase(2, RECORD_SETUP, RECORD_PASSED);
    phase(2, RECORD_SUBTEST, RECORD_FAILED);
    phase(2, RECORD_CALL, RECORD_PASSED);
    phase(2, RECORD_TEARDOWN, RECORD_PASSED);
    phase(3, RECORD_SETUP, RECORD_XFAILED);
    phase(3, RECORD_TEARDOWN, RECORD_PASSED);
    phase(4, RECORD_SETUP, RECORD_PASSED);
    phase(4, RECORD_SUBTEST, RECORD_SKIPPED); /* which changes nothing about its test */
    phase(4, RECORD_CALL, RECORD_PASSED);
    phase(4, RECORD_TEARDOWN, RECORD_PASSED);
    ended(1);
    judged();
    came_to("error");
    assert_int_equal(result.counts.errors, 2);
    assert_int_equal(result.counts.failed, 1);
    assert_int_equal(result.counts.xfailed, 1);
    assert_int_equal(result.counts.passed, 1);
    assert_int_equal(result.counts.skipped, 0);
}

static void a_test_without_its_call_is_an_error(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(3);
    ran(0, RECORD_PASSED);
    phase(1, RECORD_SETUP, RECORD_PASSED);
    phase(1, RECORD_TEARDOWN, RECORD_PASSED);
    ended(0);
    judged();
    came_to("error");
    assert_int_equal(result.counts.errors, 2);
    assert_int_equal(result.counts.passed, 1);
    is_blamed_on("tests");
}

static void what_raised_and_reports_that_it_passed_is_an_error(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    phase(0, RECORD_SETUP, RECORD_PASSED);
    phase_flagged(0, RECORD_CALL, RECORD_PASSED, RECORD_FLAG_RAISED);
    phase(0, RECORD_TEARDOWN, RECORD_PASSED);
    ended(0);
    judged();
    came_to("error");
}

static void a_deselected_test_is_none(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(2);
    begin_record(RECORD_REMOVED, 1);
    put_uint(1);
    sent();
    ran(0, RECORD_PASSED);
    ended(0);
    judged();
    came_to("passed");
    assert_int_equal(result.counts.errors, 0);
}

static void a_test_cannot_be_deselected_after_it_failed(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_FAILED);
    begin_record(RECORD_REMOVED, 1);
    put_uint(0);
    sent();
    ended(0);
    judged();
    came_to("error");
    assert_true(result.tampered);
}

static void a_test_that_is_deselected_while_it_runs_counts(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(2);
    ran(0, RECORD_PASSED);
    phase(1, RECORD_SETUP, RECORD_PASSED);
    begin_record(RECORD_REMOVED, 1);
    put_uint(1);
    sent();
    phase(1, RECORD_CALL, RECORD_FAILED);
    phase(1, RECORD_TEARDOWN, RECORD_PASSED);
    ended(0);
    judged();
    came_to("failed");
    assert_int_equal(result.counts.passed, 1);
    assert_int_equal(result.counts.failed, 1);
}

static void nothing_and_only_skipped_are_no_passes(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    ended(5);
    judged();
    came_to("no_tests");

    given_a_job(JOB_RUN);
    collected(1);
    phase(0, RECORD_SETUP, RECORD_SKIPPED);
    phase(0, RECORD_TEARDOWN, RECORD_PASSED);
    ended(0);
    judged();
    came_to("skipped");
}

static void a_module_that_cannot_be_collected_is_one_error(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    problem("test_a.py", RECORD_FAILED);
    ended(2);
    judged();
    came_to("error");
    is_blamed_on("project");
    assert_int_equal(result.counts.errors, 1);
    assert_string_equal(result.message, "no module named x");
}

static void an_end_without_a_word_is_an_error_or_a_crash(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(2);
    ran(0, RECORD_PASSED);
    judged_after((struct job_end){.wait_status = 0});
    came_to("error");
    assert_int_equal(result.counts.errors, 1);
    assert_int_equal(result.counts.passed, 1);

    given_a_job(JOB_RUN);
    judged_after((struct job_end){.wait_status = SIGSEGV});
    came_to("crashed");
    assert_string_equal(result.message, "ended by SIGSEGV before pytest did");
    assert_int_equal(result.counts.errors, 1);
    assert_non_null(strstr(cases.data, "its last words"));
}

static void a_limit_names_itself_and_keeps_what_was_reported(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(2);
    ran(0, RECORD_PASSED);
    judged_after((struct job_end){
        .struck = JOB_LIMIT_WALL, .used = 301, .allowed = 300, .wait_status = SIGKILL});
    came_to("timeout");
    assert_non_null(strstr(result.message, "301 of 300 ms"));
    assert_int_equal(result.counts.passed, 1);
    assert_int_equal(result.counts.errors, 1);
}

static void a_limit_that_stopped_nothing_explains_and_judges_not(void **unused)
{
    (void)unused;
    const struct job_end end = {.met = JOB_LIMIT_PROCESSES, .used = 64, .allowed = 64};
    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_FAILED);
    ended(1);
    judged_after(end);
    came_to("failed");
    is_blamed_on("tests");
    assert_int_equal(strncmp(result.message, "processes limit reached: 64 of 64", 33), 0);
    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_PASSED);
    ended(0);
    judged_after(end);
    came_to("passed");
    assert_string_equal(result.message, "");
}

static void a_limit_may_be_what_it_died_of(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    judged_after(
        (struct job_end){.met = JOB_LIMIT_FILE, .used = 9, .allowed = 9, .wait_status = SIGXFSZ});
    came_to("crashed");
    assert_string_equal(result.message,
                        "file limit reached: 9 of 9 bytes: ended by SIGXFSZ before pytest did");
}

static void a_test_says_that_the_disk_is_full(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    phase_flagged(0, RECORD_CALL, RECORD_FAILED, 0);
    assert_false(verdict.says_full);
    phase_flagged(0, RECORD_TEARDOWN, RECORD_FAILED, RECORD_FLAG_NO_SPACE);
    assert_true(verdict.says_full);
    assert_null(verdict.tampered);
    phase_flagged(0, RECORD_TEARDOWN, RECORD_FAILED, 4);
    assert_non_null(verdict.tampered);
    judged_after((struct job_end){0});
}

static void our_own_failure_costs_no_mark(void **unused)
{
    (void)unused;
    verdict_init(&verdict, JOB_RUN, "test_a.py");
    judged_after((struct job_end){.lost = true, .text = "no server"});
    came_to("lost");
    is_blamed_on("cluster");
    assert_int_equal(result.counts.errors, 0);
    assert_int_equal(cases.len, 0);
}

static void cancelling_wins(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    judged_after((struct job_end){.cancelled = true, .wait_status = SIGKILL});
    came_to("cancelled");
}

static void tampered_when(const char *expected)
{
    assert_string_equal(verdict.tampered, expected);
    judged();
    came_to("error");
    assert_true(result.tampered);
    is_blamed_on("tests");
}

static void records_that_do_not_fit_are_tampered_with(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    number++;
    ended(0);
    tampered_when("records are missing");

    given_a_job(JOB_RUN);
    number--;
    ended(0);
    tampered_when("a record came twice");

    given_a_job(JOB_RUN);
    ended(0);
    collected(1);
    tampered_when("a record behind the last one");

    given_a_job(JOB_RUN);
    verdict_take(&verdict, "garbage", 7);
    tampered_when("bytes that are no record");

    given_a_job(JOB_RUN);
    phase(0, RECORD_CALL, RECORD_PASSED);
    tampered_when("an unknown test is reported");

    verdict_init(&verdict, JOB_RUN, NULL);
    number = 0;
    ended(0);
    tampered_when("the first record is not the beginning");
}

static void a_record_of_another_process_is_tampering(void **unused)
{
    (void)unused;
    given_a_job(JOB_RUN);
    collected(1);
    ran(0, RECORD_PASSED);
    ended(0);
    judged_after((struct job_end){.foreign_record = true});
    came_to("error");
    assert_true(result.tampered);
}

static void discovery_keeps_modules_in_order(void **unused)
{
    (void)unused;
    given_a_job(JOB_DISCOVER);
    const char *const paths[] = {"b.py", "a.md"};
    for (size_t i = 0; i < 2; i++) {
        begin_record(RECORD_MODULE, 2);
        put_text(paths[i]);
        put_uint(10);
        sent();
    }
    ended(5);
    assert_int_equal(verdict.module_count, 2);
    assert_string_equal(verdict.modules[1].path, "a.md");
    judged();
    came_to("passed");
}

static void texts_are_dropped_before_tests_are(void **unused)
{
    (void)unused;
    static char longrepr[RECORD_LONGREPR_MAX];
    memset(longrepr, 'x', sizeof(longrepr) - 1);
    given_a_job(JOB_RUN);
    size_t count = VERDICT_CASES_BYTES / sizeof(longrepr) + 200;
    collected(count / 2);
    collected(count - count / 2);
    for (size_t i = 0; i < count; i++) {
        begin_record(RECORD_PHASE, 9);
        put_uint(i);
        put_uint(RECORD_CALL);
        put_uint(RECORD_FAILED);
        put_uint(0);
        put_text("why");
        put_text(longrepr);
        put_text("");
        put_text("");
        put_uint(0);
        sent();
    }
    ended(1);
    judged();
    came_to("failed");
    assert_int_equal(result.counts.failed, count);
    assert_true(cases.len <= VERDICT_CASES_BYTES);
    size_t lines = 0;
    for (const char *at = cases.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, count);
}

static int free_cases(void **unused)
{
    (void)unused;
    buf_fini(&cases);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_test_that_ran_and_ended_passes),
        cmocka_unit_test(an_exit_status_alone_decides_nothing),
        cmocka_unit_test(the_worst_phase_is_the_outcome),
        cmocka_unit_test(a_test_without_its_call_is_an_error),
        cmocka_unit_test(what_raised_and_reports_that_it_passed_is_an_error),
        cmocka_unit_test(a_deselected_test_is_none),
        cmocka_unit_test(a_test_cannot_be_deselected_after_it_failed),
        cmocka_unit_test(a_test_that_is_deselected_while_it_runs_counts),
        cmocka_unit_test(nothing_and_only_skipped_are_no_passes),
        cmocka_unit_test(a_module_that_cannot_be_collected_is_one_error),
        cmocka_unit_test(an_end_without_a_word_is_an_error_or_a_crash),
        cmocka_unit_test(a_limit_names_itself_and_keeps_what_was_reported),
        cmocka_unit_test(a_limit_that_stopped_nothing_explains_and_judges_not),
        cmocka_unit_test(a_limit_may_be_what_it_died_of),
        cmocka_unit_test(a_test_says_that_the_disk_is_full),
        cmocka_unit_test(our_own_failure_costs_no_mark),
        cmocka_unit_test(cancelling_wins),
        cmocka_unit_test(records_that_do_not_fit_are_tampered_with),
        cmocka_unit_test(a_record_of_another_process_is_tampering),
        cmocka_unit_test(discovery_keeps_modules_in_order),
        cmocka_unit_test(texts_are_dropped_before_tests_are),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, free_cases);
}
