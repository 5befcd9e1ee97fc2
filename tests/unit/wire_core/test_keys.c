#include "proto/wire/keys.h"

#include "proto/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ONE   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TWO   "1111111111111111111111111111111111111111111111111111111111111111"
#define THREE "2222222222222222222222222222222222222222222222222222222222222222"
#define FOUR  "3333333333333333333333333333333333333333333333333333333333333333"

static struct keys keys;
static struct err err;

static int parse(const char *text)
{
    err = (struct err)ERR_INIT;
    return keys_parse(text, strlen(text), &keys, &err);
}

static void a_file_has_a_key_a_line(void **unused)
{
    (void)unused;
    assert_int_equal(parse("# made today\n\n  " ONE " \r\n" TWO "\n#" FOUR "\n" THREE), 0);
    assert_int_equal(keys.count, 3);
    assert_int_equal(keys.key[0].bytes[1], 0x11);
    assert_int_equal(keys.key[2].bytes[31], 0x22);
    for (size_t i = 0; i < keys.count; i++)
        assert_ptr_equal(keys_find(&keys, keys.key[i].kid), &keys.key[i]);
    assert_int_equal(parse("00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"), 0);
}

static void what_is_no_key_file_is_refused_and_leaves_nothing(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        "\n\n# nothing\n",
        "00",
        ONE "0",
        ONE "00",
        "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "00 112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ONE "\n" ONE,
        ONE "\n" TWO "\n" THREE "\n" FOUR,
        ONE "\nsecret-password",
    };
    static const struct keys none;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(parse(texts[i]), ERR_INVALID);
        assert_memory_equal(&keys, &none, sizeof keys);
        assert_null(strstr(err.text, "secret"));
        assert_null(strstr(err.text, "0011"));
    }
    assert_int_equal(keys_parse(ONE "\0", 65, &keys, &err), ERR_INVALID);
    owned_buf large = BUF_INIT;
    while (large.len <= KEYS_TEXT_MAX)
        buf_puts(&large, "# comment\n");
    assert_int_equal(parse(large.data), ERR_TOO_LARGE);
}

/* Two of 256 first keys: found by trying, so that the case is there whatever the hash. */
static void two_keys_of_one_kid_are_refused(void **unused)
{
    (void)unused;
    assert_int_equal(parse(ONE), 0);
    uint8_t kid = keys.key[0].kid;
    char text[200];
    int twins = 0;
    for (unsigned i = 0; i < 2000 && !twins; i++) {
        snprintf(text, sizeof text, "%064x", i);
        assert_int_equal(parse(text), 0);
        if (keys.key[0].kid != kid)
            continue;
        twins++;
        snprintf(text, sizeof text, ONE "\n%064x\n", i);
        assert_int_equal(parse(text), ERR_INVALID);
        assert_non_null(strstr(err.text, "draw another"));
    }
    assert_int_equal(twins, 1);
}

static void a_key_from_a_name_is_the_name_s_own(void **unused)
{
    (void)unused;
    struct keys a, again, b;
    keys_from_name("a", &a);
    keys_from_name("a", &again);
    keys_from_name("b", &b);
    assert_int_equal(a.count, 1);
    assert_memory_equal(&a, &again, sizeof a);
    assert_memory_not_equal(a.key[0].bytes, b.key[0].bytes, KEYS_BYTES);
    keys_wipe(&a);
    assert_int_equal(a.count, 0);
    assert_null(keys_find(&a, 0));
}

static void names_have_distinct_hashes(void **unused)
{
    (void)unused;
    uint8_t a[KEYS_NAME_HASH], b[KEYS_NAME_HASH];
    keys_name_hash("testmesh", a);
    keys_name_hash("testmesh2", b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_a_key_a_line),
        cmocka_unit_test(what_is_no_key_file_is_refused_and_leaves_nothing),
        cmocka_unit_test(two_keys_of_one_kid_are_refused),
        cmocka_unit_test(a_key_from_a_name_is_the_name_s_own),
        cmocka_unit_test(names_have_distinct_hashes),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
