#include "proto/base/mem.h"
#include "runner/intake/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GOOD                                                                                       \
    "{\"name\":\"al\",\"folder\":\"x/al\",\"file_count\":2,\"source_bytes\":9,\"bundle\":\"" HEX   \
    "\",\"tree\":\"" HEX "\",\"bundle_bytes\":7}"
#define NOTES "{\"more\":0,\"rows\":[]}"
#define WITH(projects, notes)                                                                      \
    "{\"projects\":[" projects "],\"ignored\":" notes ",\"remarks\":" NOTES "}"

static struct intake_result result;
static struct err err;

static int read_text(const char *text)
{
    intake_result_fini(&result);
    return manifest_read(&result, text, strlen(text), "/out", &err);
}

static void what_is_written_is_read(void **unused)
{
    (void)unused;
    char names[2][8] = {"bo", "al"};
    char folder[] = "class/bo";
    char failure[] = "f is a pipe";
    struct layout_project projects[2] = {
        {.name = names[0], .folder = folder, .file_count = 3, .size_bytes = 40},
        {.name = names[1], .folder = folder, .failure = failure, .reason = "special-file"},
    };
    struct layout_note row = {folder, "cache"};
    struct layout layout = {
        .projects = projects, .project_count = 2, .ignored = {.rows = &row, .count = 1, .more = 4}};
    struct bundle_facts facts[2] = {{.bundle_bytes = 12}};
    owned_buf text = BUF_INIT;
    manifest_write(&text, &layout, facts);
    assert_int_equal(read_text(buf_str(&text)), 0);
    assert_int_equal(result.project_count, 2);
    assert_string_equal(result.projects[0].name, "al"); /* in byte order */
    assert_string_equal(result.projects[0].reason, "special-file");
    assert_null(result.projects[0].path);
    assert_int_equal(result.projects[1].bundle_bytes, 12);
    assert_string_equal(result.ignored[0].why, "cache");
    assert_int_equal(result.ignored_more, 4);
}

static void an_error_keeps_its_code_and_reason(void **unused)
{
    (void)unused;
    struct err said = ERR_INIT;
    err_refuse(&said, ERR_UNPROCESSABLE, "archive-bomb", "too \"much\"");
    owned_buf text = BUF_INIT;
    manifest_write_error(&text, &said);
    assert_int_equal(read_text(buf_str(&text)), ERR_UNPROCESSABLE);
    assert_string_equal(err.reason, "archive-bomb");
    assert_string_equal(err.text, "too \"much\"");
}

static void nonsense_of_a_captured_helper_is_our_fault(void **unused)
{
    (void)unused;
    assert_int_equal(read_text(WITH(GOOD, NOTES)), 0);
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"projects\":[]}",
        WITH("", NOTES),
        WITH(GOOD "," GOOD, NOTES), /* one name twice */
        WITH("{}", NOTES),
        WITH("{\"name\":\"../x\",\"folder\":\"\",\"file_count\":2,\"source_bytes\":9,"
             "\"bundle\":\"" HEX "\",\"tree\":\"" HEX "\",\"bundle_bytes\":7}",
             NOTES),
        WITH("{\"name\":\"x\",\"folder\":\"../x\",\"file_count\":2,\"source_bytes\":9,"
             "\"bundle\":\"" HEX "\",\"tree\":\"" HEX "\",\"bundle_bytes\":7}",
             NOTES),
        WITH("{\"name\":\"x\",\"folder\":\"\",\"file_count\":-2,\"source_bytes\":9,"
             "\"bundle\":\"" HEX "\",\"tree\":\"" HEX "\",\"bundle_bytes\":7}",
             NOTES),
        WITH("{\"name\":\"x\",\"folder\":\"\",\"file_count\":2,\"source_bytes\":9,"
             "\"bundle\":\"../../x\",\"tree\":\"" HEX "\",\"bundle_bytes\":7}",
             NOTES),
        WITH("{\"name\":\"x\",\"folder\":\"\",\"file_count\":2,\"source_bytes\":9,"
             "\"failure\":\"x\",\"reason\":\"invented\"}",
             NOTES),
        WITH(GOOD, "{\"more\":0,\"rows\":[{\"path\":\"/etc\",\"why\":\"x\"}]}"),
        WITH(GOOD, "{\"more\":-1,\"rows\":[]}"),
        WITH(GOOD, "[]"),
        "{\"error\":{\"code\":0,\"text\":\"fine\"}}",
        "{\"error\":{\"code\":-99,\"text\":\"x\"}}",
        "{\"error\":{\"code\":-9,\"text\":\"\\u001b[2J\"}}",
    };
    for (size_t i = 0; i < countof(texts); i++)
        assert_int_equal(read_text(texts[i]), ERR_INTERNAL);
    assert_int_equal(manifest_read_done("{}", 2, &err), ERR_INTERNAL);
    assert_int_equal(manifest_read_done("{\"done\":true}", 13, &err), 0);
}

static int nothing_is_left(void **unused)
{
    (void)unused;
    intake_result_fini(&result);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(an_error_keeps_its_code_and_reason),
        cmocka_unit_test(nonsense_of_a_captured_helper_is_our_fault),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, nothing_is_left);
}
