#include "proto/base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct cursor in;

#define given(bytes) cursor_init(&in, bytes, sizeof(bytes) - 1)
#define whole(bytes) cursor_check(bytes, sizeof(bytes) - 1)

static void numbers_are_read_in_every_form(void **unused)
{
    (void)unused;
    uint64_t u;
    int64_t i;
    given("\x7f\xcc\x80\xcd\x01\x00\xd0\x05");
    assert_true(cursor_uint(&in, 127, &u) && u == 127);
    assert_true(cursor_uint(&in, UINT64_MAX, &u) && u == 128);
    assert_true(cursor_uint(&in, UINT64_MAX, &u) && u == 256);
    assert_true(cursor_uint(&in, UINT64_MAX, &u) && u == 5); /* signed form, not negative */
    assert_true(cursor_done(&in));
    given("\xff\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    assert_true(cursor_int(&in, -1, 0, &i) && i == -1);
    assert_true(cursor_int(&in, INT64_MIN, 0, &i) && i == INT64_MIN);
    assert_true(cursor_done(&in));
}

static void a_value_over_its_bound_spoils_all_that_follows(void **unused)
{
    (void)unused;
    uint64_t u = 9;
    given("\x0a\x01");
    assert_false(cursor_uint(&in, 9, &u));
    assert_int_equal(u, 0);
    assert_false(cursor_uint(&in, 9, &u));
    assert_false(cursor_ok(&in));
    assert_int_equal(cursor_peek(&in), CURSOR_END);
}

static void a_text_is_borrowed_and_bounded(void **unused)
{
    (void)unused;
    struct cursor_text text;
    given("\xa3"
          "abc");
    assert_true(cursor_str(&in, 3, &text));
    assert_true(cursor_text_is(text, "abc"));
    assert_false(cursor_text_is(text, "ab"));
    given("\xa3"
          "abc");
    assert_false(cursor_str(&in, 2, &text));
    given("\xa3"
          "ab");
    assert_false(cursor_str(&in, 3, &text));
    assert_int_equal(text.len, 0);
}

static void a_count_never_exceeds_the_bytes_that_are_left(void **unused)
{
    (void)unused;
    size_t count;
    given("\xdd\x10\x00\x00\x00");
    assert_false(cursor_array(&in, SIZE_MAX, &count));
    given("\x93\x01\x02");
    assert_false(cursor_array(&in, SIZE_MAX, &count));
    given("\x82\x01\x02\x03");
    assert_false(cursor_map(&in, SIZE_MAX, &count));
    assert_int_equal(count, 0);
}

static void a_whole_value_is_six_deep_at_most(void **unused)
{
    (void)unused;
    assert_true(whole("\x91\x91\x91\x91\x91\x91\x01"));
    assert_true(whole("\x91\x91\x91\x91\x91\x91\x90"));
    assert_false(whole("\x91\x91\x91\x91\x91\x91\x91\x01"));
}

static void extensions_rests_and_cut_values_are_refused(void **unused)
{
    (void)unused;
    assert_false(whole("\xd4\x01\x02"));
    assert_false(whole("\xc1"));
    assert_false(whole("\x01\x01"));
    assert_false(whole(""));
    assert_false(whole("\xcb\x00\x00"));
    assert_false(whole("\x82\xa1"
                       "a\x01\xa1"
                       "b"));
    assert_true(whole("\x82\xa1"
                      "a\x01\xa1"
                      "b\xc0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_in_every_form),
        cmocka_unit_test(a_value_over_its_bound_spoils_all_that_follows),
        cmocka_unit_test(a_text_is_borrowed_and_bounded),
        cmocka_unit_test(a_count_never_exceeds_the_bytes_that_are_left),
        cmocka_unit_test(a_whole_value_is_six_deep_at_most),
        cmocka_unit_test(extensions_rests_and_cut_values_are_refused),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
