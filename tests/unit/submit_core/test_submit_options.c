#include "node/api/submit_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct submit_options options;
static struct err err;

static int read_text(const char *text)
{
    err = (struct err)ERR_INIT;
    submit_options_fini(&options);
    return submit_options_read(&options, text, strlen(text), &err);
}

static void refused(const char *text, enum err_code code, const char *word)
{
    assert_int_equal(read_text(text), code);
    if (!strstr(err.text, word))
        fail_msg("%s: \"%s\" does not name %s", text, err.text, word);
}

static int clean(void **unused)
{
    (void)unused;
    submit_options_fini(&options);
    options = (struct submit_options){0};
    return 0;
}

static void nothing_is_no_options(void **unused)
{
    (void)unused;
    assert_int_equal(read_text(""), 0);
    assert_int_equal(read_text("{}"), 0);
    assert_int_equal(options.doc.timeout_s, 0);
    assert_int_equal(options.doc.pytest_arg_count, 0);
    assert_int_equal(options.doc.priority, 0);
}

static void options_are_read(void **unused)
{
    (void)unused;
    assert_int_equal(read_text("{\"timeout_s\": 30, \"priority\": -100, \"network\": false, "
                               "\"retries\": 0, \"pytest_args\": [\"-x\", \"-knot slow\"]}"),
                     0);
    assert_int_equal(options.doc.timeout_s, 30);
    assert_int_equal(options.doc.priority, -100);
    assert_int_equal(options.doc.pytest_arg_count, 2);
    assert_string_equal(options.doc.pytest_args[0], "-x");
    assert_string_equal(options.doc.pytest_args[1], "-knot slow");
}

static void what_is_no_json_object_is_refused(void **unused)
{
    (void)unused;
    refused("{", ERR_INVALID, "options");
    refused("[]", ERR_UNPROCESSABLE, "object");
    refused("7", ERR_INVALID, "options");
}

static void options_out_of_range_are_refused_by_name(void **unused)
{
    (void)unused;
    static const char *const rows[][2] = {
        {"{\"timeout_s\": 0}", "timeout_s"},      {"{\"timeout_s\": 86401}", "timeout_s"},
        {"{\"timeout_s\": 1.5}", "timeout_s"},    {"{\"timeout_s\": \"5\"}", "timeout_s"},
        {"{\"timeout_s\": null}", "timeout_s"},   {"{\"priority\": 101}", "priority"},
        {"{\"priority\": -101}", "priority"},     {"{\"network\": true}", "network"},
        {"{\"retries\": 1}", "retries"},          {"{\"colour\": 1}", "colour"},
        {"{\"pytest_args\": \"-x\"}", "list"},    {"{\"pytest_args\": [1]}", "texts"},
        {"{\"pytest_args\": [\"-p\"]}", "\"-p\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused(rows[i][0], ERR_UNPROCESSABLE, rows[i][1]);
}

static void too_many_arguments_are_refused(void **unused)
{
    (void)unused;
    char text[1024] = "{\"pytest_args\": [\"-x\"";
    for (int i = 0; i < 32; i++)
        strcat(text, ", \"-x\"");
    strcat(text, "]}");
    refused(text, ERR_UNPROCESSABLE, "at most 32");
}

/* What was read before the fault is the reader's to free. */
static void a_fault_behind_good_options(void **unused)
{
    (void)unused;
    refused("{\"pytest_args\": [\"-x\", \"-q\", \"--rootdir=/\"]}", ERR_UNPROCESSABLE, "--rootdir");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_is_no_options, clean),
        cmocka_unit_test_teardown(options_are_read, clean),
        cmocka_unit_test_teardown(what_is_no_json_object_is_refused, clean),
        cmocka_unit_test_teardown(options_out_of_range_are_refused_by_name, clean),
        cmocka_unit_test_teardown(too_many_arguments_are_refused, clean),
        cmocka_unit_test_teardown(a_fault_behind_good_options, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
