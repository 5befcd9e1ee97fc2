#include "cli/seen.h"
#include "cli/skip.h"
#include "cli/text.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *safe(const char *text, size_t max)
{
    struct buf out = BUF_INIT;
    text_safe(text, max, &out);
    buf_puts(&out, "");
    return buf_steal(&out);
}

static void is(char *text_owned, const char *want)
{
    assert_string_equal(text_owned != NULL ? text_owned : "", want);
    free(text_owned);
}

static void nothing_turns_the_line_around(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    text_safe("a\u202eb\u2066c\u2026d\u2069", 100, &out);
    assert_string_equal(buf_str(&out), "a?b?c\u2026d?");
}

static void no_control_survives(void **unused)
{
    (void)unused;
    is(safe("a\x1b[31mb\x07", 99), "a?[31mb?");
    is(safe("a\nb\tc\r", 99), "a b c");
    is(safe("x\xc2\x9b"
            "31m",
            99),
       "x?31m");
    is(safe("\xc3\xa9t\xc3\xa9", 99), "\xc3\xa9t\xc3\xa9");
}

static void a_cut_text_says_so_and_keeps_characters_whole(void **unused)
{
    (void)unused;
    is(safe("abcdef", 6), "abcdef");
    is(safe("abcdef", 3), "abc…");
    is(safe("a\xc3\xa9z", 2), "a…");
}

static void cells_have_their_width(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    text_cell("\xc3\xa9", 3, true, &out);
    assert_string_equal(buf_str(&out), "\xc3\xa9  ");
    buf_clear(&out);
    text_cell("abcdef", 4, true, &out);
    assert_string_equal(buf_str(&out), "abc…");
    assert_int_equal(text_columns(buf_str(&out)), 4);
}

static void durations_and_sizes_read_well(void **unused)
{
    (void)unused;
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {{-1, "0.00 s"},  {0.314, "0.31 s"}, {12.34, "12.3 s"},
                {185, "3m 05s"}, {7800, "2h 10m"},  {6e32, "555555h 33m"}};
    for (size_t i = 0; i < countof(rows); i++) {
        owned_buf out = BUF_INIT;
        text_duration(rows[i].seconds, &out);
        assert_string_equal(buf_str(&out), rows[i].text);
    }
    owned_buf out = BUF_INIT;
    text_size(812, &out);
    text_size(3565158, &out);
    assert_string_equal(buf_str(&out), "812 B3.4 MiB");
}

static void names_are_left_out_whole_never_in_part(void **unused)
{
    (void)unused;
    assert_true(skip_entry(".git", true));
    assert_true(skip_entry(".git", false)); /* a worktree's or a submodule's */
    assert_true(skip_entry("__pycache__", true));
    assert_true(skip_entry("a.pyc", false));
    assert_false(skip_entry("cache.py", false));
    assert_false(skip_entry("my__pycache__", true));
    assert_false(skip_entry(".gitignore", false));
    assert_false(skip_entry(".pyc", false));
    assert_false(skip_entry("build", true));
    assert_false(skip_entry("a.pyc", true));
}

static void a_pair_is_new_once(void **unused)
{
    (void)unused;
    struct seen seen = {0};
    char name[20];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof(name), "%d", i);
            assert_int_equal(seen_add(&seen, "p", name), round == 0);
        }
    }
    assert_true(seen_add(&seen, "p1", ""));
    assert_true(seen_add(&seen, "", "p1"));
    seen_fini(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_control_survives),
        cmocka_unit_test(nothing_turns_the_line_around),
        cmocka_unit_test(a_cut_text_says_so_and_keeps_characters_whole),
        cmocka_unit_test(cells_have_their_width),
        cmocka_unit_test(durations_and_sizes_read_well),
        cmocka_unit_test(names_are_left_out_whole_never_in_part),
        cmocka_unit_test(a_pair_is_new_once),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
