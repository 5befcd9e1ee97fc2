/* What the version before wrote, which knew neither sources nor the tree of a plan. */
#include "tests/unit/store_core/random_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const old_log[] = {
    /* request and fence: one repository that was cloned before the 202, one that could not be */
    "{\"id\":4711,\"req\":{\"created_ms\":1790000000000,\"kind\":\"git\",\"name\":\"two\","
    "\"options\":{},\"body\":\"090000000000000000000000000000000000000000000000000000000000"
    "0000\",\"projects\":[{\"name\":\"y\",\"source\":\"https://github.com/x/y/tree/4a6f4a6f"
    "4a6f4a6f4a6f4a6f4a6f4a6f4a6f4a6f\",\"bundle\":\"01020000000000000000000000000000000000"
    "00000000000000000000000000\",\"tree\":\"0304000000000000000000000000000000000000000000"
    "000000000000000000\",\"bytes\":10,\"files\":2},{\"name\":\"z\",\"source\":\"https://gi"
    "thub.com/x/z\",\"failure\":\"no such repository\"}],\"ignored\":[{\"path\":\"y/.venv\""
    ",\"why\":\"an environment\"}]},\"fence\":{\"epoch\":1,\"owner\":\"000000000000000a\","
    "\"gen\":100,\"reps\":[\"01000000000000000000000000000000\"]}}",
    /* a plan that names no tree */
    "{\"id\":4711,\"plans\":[{\"p\":0,\"epoch\":1,\"owner\":\"000000000000000a\",\"hash\":"
    "\"663e5c0712f90a76\",\"env\":\"0800000000000000000000000000000000000000000000000000000"
    "000000000\",\"requirements\":\"pyproject.toml\",\"modules\":[{\"path\":\"test_a.py\","
    "\"bytes\":7}]}]}",
    "{\"id\":4711,\"res\":[{\"p\":0,\"plan\":\"663e5c0712f90a76\",\"m\":0,\"epoch\":1,\"own"
    "er\":\"000000000000000a\",\"n\":1,\"node\":\"000000000000000a\",\"addr\":\"10.0.0.1:50"
    "00\",\"real\":true,\"outcome\":\"passed\",\"blame\":\"none\",\"start_ms\":179000000100"
    "0,\"ms\":250,\"passed\":3,\"failed\":0}]}",
    "{\"id\":4711,\"seal\":{\"epoch\":1,\"owner\":\"000000000000000a\",\"gen\":100,\"at_ms"
    "\":1790000002000,\"plans\":[{\"p\":0,\"epoch\":1,\"owner\":\"000000000000000a\",\"hash"
    "\":\"663e5c0712f90a76\",\"env\":\"0800000000000000000000000000000000000000000000000000"
    "000000000000\",\"requirements\":\"pyproject.toml\",\"modules\":[{\"path\":\"test_a.py"
    "\",\"bytes\":7}]}],\"vec\":[{\"p\":0,\"plan\":\"663e5c0712f90a76\",\"m\":0,\"epoch\":1"
    ",\"owner\":\"000000000000000a\",\"n\":1,\"node\":\"000000000000000a\",\"addr\":\"10.0."
    "0.1:5000\",\"real\":true,\"outcome\":\"passed\",\"blame\":\"none\",\"start_ms\":179000"
    "0001000,\"ms\":250,\"passed\":3,\"failed\":0}]},\"com\":{\"epoch\":1,\"owner\":\"00000"
    "0000000000a\"}}",
};
static const char old_file[] =
    "{\"id\":4711,\"digest\":\"2ce0893cae001e63\",\"req\":{\"created_ms\":1790000000000,\"k"
    "ind\":\"git\",\"name\":\"two\",\"options\":{},\"body\":\"09000000000000000000000000000"
    "00000000000000000000000000000000000\",\"projects\":[{\"name\":\"y\",\"source\":\"https"
    "://github.com/x/y/tree/4a6f4a6f4a6f4a6f4a6f4a6f4a6f4a6f4a6f4a6f\",\"bundle\":\"0102000"
    "000000000000000000000000000000000000000000000000000000000\",\"tree\":\"030400000000000"
    "0000000000000000000000000000000000000000000000000\",\"bytes\":10,\"files\":2},{\"name"
    "\":\"z\",\"source\":\"https://github.com/x/z\",\"failure\":\"no such repository\"}],\""
    "ignored\":[{\"path\":\"y/.venv\",\"why\":\"an environment\"}]},\"fence\":{\"epoch\":1,"
    "\"owner\":\"000000000000000a\",\"gen\":100,\"reps\":[\"0100000000000000000000000000000"
    "0\"]},\"plans\":[],\"res\":[],\"seal\":{\"epoch\":1,\"owner\":\"000000000000000a\",\"g"
    "en\":100,\"at_ms\":1790000002000,\"plans\":[{\"p\":0,\"epoch\":1,\"owner\":\"000000000"
    "000000a\",\"hash\":\"663e5c0712f90a76\",\"env\":\"080000000000000000000000000000000000"
    "0000000000000000000000000000\",\"requirements\":\"pyproject.toml\",\"modules\":[{\"pat"
    "h\":\"test_a.py\",\"bytes\":7}]}],\"vec\":[{\"p\":0,\"plan\":\"663e5c0712f90a76\",\"m"
    "\":0,\"epoch\":1,\"owner\":\"000000000000000a\",\"n\":1,\"node\":\"000000000000000a\","
    "\"addr\":\"10.0.0.1:5000\",\"real\":true,\"outcome\":\"passed\",\"blame\":\"none\",\"s"
    "tart_ms\":1790000001000,\"ms\":250,\"passed\":3,\"failed\":0}]},\"com\":{\"epoch\":1,"
    "\"owner\":\"000000000000000a\"}}";

static void a_log_of_the_version_before_means_the_same(void **unused)
{
    (void)unused;
    owned_doc *doc = doc_new(RANDOM_ID);
    for (size_t i = 0; i < countof(old_log); i++) {
        owned_delta delta = {0};
        struct err err = ERR_INIT;
        if (delta_decode(old_log[i], strlen(old_log[i]), &delta, &err))
            fail_msg("%s", err.text);
        join_piece(doc, &delta);
        assert_false(doc_is_uncloned(doc, 0));
        assert_null(doc_source(doc, 0));
        if (i == 1)
            assert_int_equal(doc_plan(doc, 0)->module_count, 1);
        if (i >= 2)
            assert_int_equal(doc_counted(doc, 0, 0)->tally.passed, 3);
        assert_int_equal(doc_is_complete(doc), i >= 2);
    }
    assert_true(doc_is_final(doc));
    owned_mem char *text = text_of_doc(doc);
    assert_string_equal(text, old_file); /* its digest, too */
}

static void a_file_of_the_version_before_checks(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    owned_doc *back = doc_decode(old_file, strlen(old_file), &err);
    if (!back)
        fail_msg("%s", err.text);
    assert_true(doc_is_final(back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_of_the_version_before_means_the_same),
        cmocka_unit_test(a_file_of_the_version_before_checks),
    };
    return cmocka_run_group_tests_name("doc_earlier", tests, NULL, NULL);
}
