#include "cli/cli.h"
#include "cli/doc.h"
#include "cli/report.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define INFO                                                                                       \
    "\"_run_info\":{\"errors\":0,\"%%passed\":50,\"%%failed\":50,\"nota\":10,"                     \
    "\"mean_nota\":15.5,\"eval_time\":2.5}"
#define TAIL ",\"executed\":2,\"executing\":0,\"pending\":0,"
#define MODULE(outcome, passed, failed, errors)                                                    \
    "{\"passed\":" #passed ",\"failed\":" #failed ",\"errors\":" #errors                           \
    ",\"skipped\":0,\"time\":0.5,\"status\":\"done\",\"outcome\":\"" outcome "\",\"blame\":null}"
#define PROJECT(nota) "{\"nota\":" nota ",\"time\":1}"

static struct doc doc;
static struct err err;

/* An evaluation of projects a and b with one module each. */
static int given(const char *status, const char *nota_b, const char *module_b)
{
    doc_fini(&doc);
    err = (struct err)ERR_INIT;
    owned_mem char *text =
        mem_printf("{\"id\":\"7\",\"status\":\"%s\"," INFO TAIL
                   "\"module_results\":{\"b\":{\"t/b.py\":%s},\"a\":{\"t/a.py\":" MODULE(
                       "passed", 2, 0,
                       0) "}},"
                          "\"projects\":{\"b\":{\"nota\":%s,\"time\":1},\"a\":" PROJECT("20") "}}",
                   status, module_b, nota_b);
    return doc_read_answer(&doc, text, strlen(text), &err);
}

static int forget(void **unused)
{
    (void)unused;
    doc_fini(&doc);
    return 0;
}

static void a_document_is_read_by_project(void **unused)
{
    (void)unused;
    assert_int_equal(given("done", "0", MODULE("failed", 1, 2, 0)), 0);
    assert_true(doc.final);
    assert_int_equal(doc.project_count, 2);
    assert_string_equal(doc.projects[0].name, "a");
    assert_string_equal(doc.projects[1].name, "b");
    assert_int_equal(doc.projects[1].counts.failed, 2);
    assert_int_equal(doc.counts.passed, 3);
    assert_int_equal(doc.modules[1].project, 1);
    assert_string_equal(doc.modules[1].path, "t/b.py");
    assert_int_equal(given("running", "0", MODULE("failed", 1, 2, 0)), 0);
    assert_false(doc.final);
}

static void how_a_program_ends(void **unused)
{
    (void)unused;
    assert_int_equal(given("done", "20", MODULE("passed", 1, 0, 0)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_PASSED);
    assert_int_equal(given("done", "0", MODULE("failed", 0, 1, 0)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_FAILED);
    assert_int_equal(doc_exit_code(&doc, 50), CLI_PASSED);
    assert_int_equal(doc_exit_code(&doc, 51), CLI_FAILED);
    assert_int_equal(given("done", "0", MODULE("setup_failed", 0, 0, 1)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_SETUP);
    assert_int_equal(given("done", "0", MODULE("no_tests", 0, 0, 0)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_NO_TESTS);
    assert_int_equal(given("done", "null", MODULE("lost", 0, 0, 1)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_CLUSTER);
    assert_int_equal(doc_exit_code(&doc, 10), CLI_CLUSTER);
    assert_int_equal(given("cancelled", "0", MODULE("cancelled", 0, 0, 0)), 0);
    assert_int_equal(doc_exit_code(&doc, -1), CLI_CANCELLED);
}

static void what_makes_no_sense_names_its_place(void **unused)
{
    (void)unused;
    assert_int_equal(given("done", "\"20\"", MODULE("passed", 1, 0, 0)), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "projects.b.nota is not a number"));
    assert_int_equal(given("done", "20", MODULE("passed", -1, 0, 0)), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "module_results.b.t/b.py.passed is not a count"));
    assert_int_equal(given("done", "20", "[]"), ERR_CORRUPT);
    assert_int_equal(doc_read_answer(&doc, "{", 1, &err), ERR_CORRUPT);
    assert_null(doc.id);
}

static void the_table_tells_marks_and_reasons(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    assert_int_equal(given("done", "null", MODULE("timeout", 1, 0, 1)), 0);
    report_table(&doc, 0, false, &out);
    assert_string_equal(
        buf_str(&out),
        "project      passed  failed  errors  skipped  mark/20      time  note\n"
        "a                 2       0       0        0    20.00    1.00 s\n"
        "b                 1       0       1        0        -    1.00 s  timeout; no mark, the "
        "node's fault\n"
        "all together      3       0       1        0    10.00    2.50 s  mean mark 15.50\n");
}

static void of_a_long_message_the_first_lines_are_shown(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    report_failure(&(struct report_failure){"p", "t.py::a", "failed", "\n a\n  b\nc\nd"}, false,
                   &out);
    assert_string_equal(buf_str(&out), "  failed p  t.py::a\n         a\n         b\n         c\n");
}

static void a_status_line_keeps_to_its_width(void **unused)
{
    (void)unused;
    assert_int_equal(given("running", "0", MODULE("failed", 1, 2, 0)), 0);
    for (size_t width = 10; width < 120; width++) {
        owned_buf out = BUF_INIT;
        report_status(&doc, 61, (unsigned)width, width, &out);
        assert_in_range(out.len, 1, width + 2); /* "…" is one column and three bytes */
        assert_null(strchr(buf_str(&out), '\n'));
    }
}

#define FETCH(phase, more)                                                                         \
    "0,\"fetch\":{\"phase\":\"" phase                                                              \
    "\",\"received_bytes\":1572864,\"objects\":9,\"tries\":2" more "}"

static void a_fetch_is_told(void **unused)
{
    (void)unused;
    owned_buf status = BUF_INIT;
    owned_buf waits = BUF_INIT;
    owned_buf done = BUF_INIT;
    assert_int_equal(given("preparing", FETCH("receiving", ""), "[]"), ERR_CORRUPT);
    assert_int_equal(
        given("preparing", FETCH("waiting", ",\"next_try_s\":3.6"), MODULE("failed", 1, 2, 0)), 0);
    assert_true(doc_is_fetching(&doc.projects[1].fetch));
    assert_false(doc_is_fetching(&doc.projects[0].fetch));
    report_status(&doc, 61, 0, 300, &status);
    assert_non_null(
        strstr(buf_str(&status), "] fetching 1 of 2 repositories, 1.5 MiB: b waiting, 2/2 mod"));
    report_fetch(&doc.projects[1], false, &waits);
    assert_string_equal(buf_str(&waits), "waiting      b  1.5 MiB, 2 tries, the next try in 4 s\n");
    assert_int_equal(given("running", FETCH("done", ""), MODULE("failed", 1, 2, 0)), 0);
    assert_false(doc_is_fetching(&doc.projects[1].fetch));
    report_fetch(&doc.projects[1], false, &done);
    assert_string_equal(buf_str(&done), "fetched      b  1.5 MiB, 2 tries\n");
    assert_int_equal(given("running", "0,\"fetch\":{\"phase\":1}", MODULE("failed", 1, 2, 0)),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "projects.b.fetch.phase is not a text"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_document_is_read_by_project, forget),
        cmocka_unit_test_teardown(how_a_program_ends, forget),
        cmocka_unit_test_teardown(what_makes_no_sense_names_its_place, forget),
        cmocka_unit_test_teardown(the_table_tells_marks_and_reasons, forget),
        cmocka_unit_test(of_a_long_message_the_first_lines_are_shown),
        cmocka_unit_test_teardown(a_status_line_keeps_to_its_width, forget),
        cmocka_unit_test_teardown(a_fetch_is_told, forget),
    };
    return cmocka_run_group_tests_name("doc", tests, NULL, NULL);
}
