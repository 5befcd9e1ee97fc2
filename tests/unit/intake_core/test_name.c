#include "runner/intake/fold.h"
#include "runner/intake/layout.h"
#include "runner/intake/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char path[ARCHIVE_PATH_MAX + 1];
static bool folder;
static struct err err;

/* Returns the path, or the reason that the name is refused for. */
static const char *decoded(const char *raw, bool flagged)
{
    int rc = name_decode((const uint8_t *)raw, strlen(raw), flagged, 32, path, &folder, &err);
    return rc ? err_name(&err) : path;
}

static void separators_and_dots_are_made_plain(void **unused)
{
    (void)unused;
    assert_string_equal(decoded("a/b.py", true), "a/b.py");
    assert_string_equal(decoded("a\\b\\c.py", true), "a/b/c.py");
    assert_string_equal(decoded("./a/./b", true), "a/b");
    assert_false(folder);
    assert_string_equal(decoded("a/b/", true), "a/b");
    assert_true(folder);
    assert_string_equal(decoded("./", true), "");
    assert_true(folder);
    assert_string_equal(decoded("..a/b..", true), "..a/b..");
}

static void what_leaves_is_an_escape(void **unused)
{
    (void)unused;
    static const char *const names[] = {"..",  "../x",  "a/../..", "a/..", "/",     "/x",
                                        "\\x", "..\\x", "C:\\x",   "z:",   "a\\..", "//x"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(decoded(names[i], true), "archive-escape");
}

static void old_tools_write_code_page_437_and_new_ones_utf8(void **unused)
{
    (void)unused;
    assert_string_equal(decoded("\x82t\x82", false), "\u00e9t\u00e9");
    assert_string_equal(decoded("\u00e9", false), "\u00e9"); /* valid UTF-8, unflagged: macOS */
    assert_string_equal(decoded("\x82", true), "archive-bad-name");
    assert_string_equal(decoded("\xff", false), "\u00a0");
    assert_string_equal(decoded("\xdb", false), "\u2588");
    assert_string_equal(decoded("\xed\xa0\x80", true), "archive-bad-name");
}

static void a_name_that_may_be_as_long_as_it_is(void **unused)
{
    (void)unused;
    char name[ARCHIVE_PATH_MAX + 2];
    memset(name, 'a', sizeof name);
    name[255] = '\0';
    assert_string_equal(decoded(name, true), name);
    name[255] = 'a';
    name[256] = '\0';
    assert_string_equal(decoded(name, true), "archive-bad-name");
    memset(name, 'a', sizeof name);
    for (size_t i = 200; i < ARCHIVE_PATH_MAX; i += 200)
        name[i] = '/';
    name[ARCHIVE_PATH_MAX] = '\0';
    assert_string_equal(decoded(name, true), name);
    name[ARCHIVE_PATH_MAX] = 'a';
    name[ARCHIVE_PATH_MAX + 1] = '\0';
    assert_string_equal(decoded(name, true), "archive-bad-name");
}

static void any_bytes_can_be_shown(void **unused)
{
    (void)unused;
    char out[NAME_SHOW_MAX];
    assert_string_equal(name_show((const uint8_t *)"a\x1b[2J", 5, out), "a\\x1b[2J");
    assert_string_equal(name_show((const uint8_t *)"\xff", 1, out), "\\xff");
    uint8_t bytes[600];
    for (unsigned seed = 0; seed < 256; seed++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(seed + i * (seed | 1));
        name_show(bytes, sizeof bytes, out);
        assert_true(strlen(out) < NAME_SHOW_MAX);
        assert_true(name_is_utf8((const uint8_t *)out, strlen(out)));
    }
    memset(bytes, 0xc3, sizeof bytes);
    for (size_t i = 1; i < sizeof bytes; i += 2)
        bytes[i] = 0xa9;
    assert_true(name_is_utf8((const uint8_t *)name_show(bytes, sizeof bytes, out), strlen(out)));
}

static void twins_fold_to_one(void **unused)
{
    (void)unused;
    char a[64];
    char b[64];
    fold_path("\u00c9t\u00e9/X", a, sizeof a);
    fold_path("e\u0301te\u0301/x", b, sizeof b);
    assert_string_equal(a, b);
    fold_path("ete/x", b, sizeof b);
    assert_string_not_equal(a, b);
}

static void links_stay_only_when_they_climb_first(void **unused)
{
    (void)unused;
    assert_true(layout_link_stays("l", "a"));
    assert_true(layout_link_stays("l", "."));
    assert_true(layout_link_stays("a/l", ".."));
    assert_true(layout_link_stays("a/b/l", "../../c/./d"));
    assert_false(layout_link_stays("l", ".."));
    assert_false(layout_link_stays("a/l", "../.."));
    assert_false(layout_link_stays("a/l", "/a"));
    assert_false(layout_link_stays("a/l", ""));
    /* d/l2 may be a link to the root: then this would be outside, whatever it looks like. */
    assert_false(layout_link_stays("l", "d/l2/.."));
}

static void project_names_are_safe_everywhere(void **unused)
{
    (void)unused;
    char out[LAYOUT_NAME_MAX + 1];
    static const char *const pairs[][2] = {
        {"alice", "alice"},     {"../../etc", "_.._etc"},   {"", "project"}, {"...", "project"},
        {"a b (2)", "a b (2)"}, {"a%2fb?c#d", "a_2fb_c_d"}, {"-rf", "rf"},   {"a. ", "a"},
        {"<b>&'\"", "_b____"},  {"Zo\u00eb", "Zo\u00eb"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        layout_name_clean(pairs[i][0], out);
        assert_string_equal(out, pairs[i][1]);
        char again[LAYOUT_NAME_MAX + 1];
        layout_name_clean(out, again);
        assert_string_equal(again, out);
    }
    char lengthy[301] = "x";
    for (size_t i = 1; i < 300; i += 2)
        memcpy(lengthy + i, "\u00eb", 2);
    layout_name_clean(lengthy, out);
    assert_true(strlen(out) <= LAYOUT_NAME_MAX && strlen(out) >= LAYOUT_NAME_MAX - 1);
    assert_true(name_is_utf8((const uint8_t *)out, strlen(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separators_and_dots_are_made_plain),
        cmocka_unit_test(what_leaves_is_an_escape),
        cmocka_unit_test(old_tools_write_code_page_437_and_new_ones_utf8),
        cmocka_unit_test(a_name_that_may_be_as_long_as_it_is),
        cmocka_unit_test(any_bytes_can_be_shown),
        cmocka_unit_test(twins_fold_to_one),
        cmocka_unit_test(links_stay_only_when_they_climb_first),
        cmocka_unit_test(project_names_are_safe_everywhere),
    };
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
