#include "proto/wire/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct wire_addr addr(const char *text)
{
    struct wire_addr out;
    assert_true(wire_addr_parse(text, &out));
    return out;
}

static void addresses_are_read_as_they_are_written(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"127.0.0.1:1", "255.255.255.255:65535", "[::1]:5001",
                                        "[2001:db8::7]:80",
                                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct wire_addr parsed = addr(texts[i]);
        char out[WIRE_ADDR_TEXT];
        assert_string_equal(wire_addr_format(&parsed, out), texts[i]);
    }
    char out[WIRE_ADDR_TEXT];
    assert_string_equal(wire_addr_format(&(struct wire_addr){0}, out), "-");
}

static void what_is_no_address_is_none(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        ":",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:01",
        "1.2.3.4:65536",
        "1.2.3.4:99999999999",
        "1.2.3.4:1 ",
        "1.2.3.4:+1",
        "1.2.3:1",
        "01.2.3.4:1",
        "1.2.3.4.5:1",
        "localhost:1",
        "::1:1",
        "[::1]",
        "[::1]1",
        "[::1:1",
        "[fe80::1%eth0]:1",
        "[1.2.3.4]:1",
        "0x7f.1:1",
        " 1.2.3.4:1",
        "[::1]:",
        "[0000000000000000000000000000000000000000000000000000000000000000001]:1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct wire_addr out;
        assert_false(wire_addr_parse(texts[i], &out));
        assert_false(wire_addr_is_set(&out));
    }
}

static void a_mapped_address_is_the_plain_one(void **unused)
{
    (void)unused;
    struct wire_addr plain = addr("192.0.2.7:5001");
    struct wire_addr mapped = addr("[::ffff:192.0.2.7]:5001");
    assert_int_equal(wire_addr_compare(&plain, &mapped), 0);
    assert_int_equal(mapped.family, 4);
}

static void addresses_have_one_order(void **unused)
{
    (void)unused;
    struct wire_addr sorted[] = {
        {.family = 0}, addr("1.2.3.4:9"), addr("1.2.3.4:10"), addr("2.0.0.1:1"), addr("[::1]:1")};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            int order = wire_addr_compare(&sorted[i], &sorted[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void loopback_is_known_in_both_families(void **unused)
{
    (void)unused;
    struct wire_addr yes[] = {addr("127.9.9.9:1"), addr("[::1]:1"), addr("[::ffff:127.0.0.1]:1")};
    struct wire_addr no[] = {addr("128.0.0.1:1"), addr("[::2]:1"), {.family = 0}};
    for (int i = 0; i < 3; i++) {
        assert_true(wire_addr_is_loopback(&yes[i]));
        assert_false(wire_addr_is_loopback(&no[i]));
    }
}

static void a_record_wins_by_generation_then_version_then_state(void **unused)
{
    (void)unused;
    const struct wire_member sorted[] = {{.gen = 1, .ver = 1, .st = WIRE_STATE_ALIVE},
                                         {.gen = 1, .ver = 1, .st = WIRE_STATE_SUSPECT},
                                         {.gen = 1, .ver = 1, .st = WIRE_STATE_DEAD},
                                         {.gen = 1, .ver = 1, .st = WIRE_STATE_LEFT},
                                         {.gen = 1, .ver = UINT32_MAX},
                                         {.gen = 2, .ver = 0},
                                         {.gen = UINT64_MAX, .ver = 0},
                                         {.gen = UINT64_MAX, .ver = UINT32_MAX}};
    int count = sizeof sorted / sizeof *sorted;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            assert_int_equal(wire_member_compare(&sorted[i], &sorted[j]), (i > j) - (i < j));
}

static void a_record_s_hash_depends_on_each_part_of_it(void **unused)
{
    (void)unused;
    static const uint8_t ip[2][4] = {{192, 0, 2, 7}, {192, 0, 2, 8}};
    struct wire_member plain = {.gen = 2, .ver = 3, .addr = wire_addr_v4(ip[0], 5001)};
    struct wire_member records[8];
    for (int i = 0; i < 8; i++)
        records[i] = plain;
    records[1].node.bytes[0] = 1;
    records[2].gen = 3;
    records[3].ver = 2;
    records[4].st = WIRE_STATE_DEAD;
    records[5].addr = wire_addr_v4(ip[1], 5001);
    records[6].addr = wire_addr_v4(ip[0], 5002);
    records[7].addr.family = 6;
    uint64_t hashes[8];
    for (int i = 0; i < 8; i++)
        hashes[i] = wire_member_hash(&records[i]);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++)
            assert_true(hashes[i] != hashes[j] && (uint32_t)hashes[i] != (uint32_t)hashes[j]);
    /* All nodes must agree on it: a change is another version of the protocol. */
    assert_true(hashes[0] == UINT64_C(0xfec1f5135aaaffad));
}

static void two_sides_speak_the_newest_that_both_know(void **unused)
{
    (void)unused;
    static const struct {
        struct wire_versions a, b;
        uint8_t spoken;
    } rows[] = {{{1, 1}, {1, 1}, 1}, {{1, 3}, {2, 5}, 3}, {{1, 9}, {1, 2}, 2}, {{1, 2}, {3, 4}, 0},
                {{2, 2}, {1, 9}, 2}, {{0, 0}, {0, 0}, 0}, {{9, 1}, {1, 9}, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(wire_version_agree(rows[i].a, rows[i].b), rows[i].spoken);
        assert_int_equal(wire_version_agree(rows[i].b, rows[i].a), rows[i].spoken);
    }
}

static void texts_are_short_clean_utf8(void **unused)
{
    (void)unused;
    assert_true(wire_text_ok("", 0));
    assert_true(wire_text_ok("r\xc3\xa9mi", 5));
    assert_false(wire_text_ok("r\xc3\xa9mi", 4));
    assert_false(wire_text_ok("r\xc3(", 9));
    assert_false(wire_text_ok("a\nb", 9));
    assert_false(wire_text_ok("\x1b[31m", 9));
    assert_false(wire_text_ok("\x7f", 9));
}

static void states_have_names(void **unused)
{
    (void)unused;
    assert_string_equal(wire_state_name(WIRE_STATE_SUSPECT), "suspect");
    assert_string_equal(wire_state_name((enum wire_state)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_as_they_are_written),
        cmocka_unit_test(what_is_no_address_is_none),
        cmocka_unit_test(a_mapped_address_is_the_plain_one),
        cmocka_unit_test(addresses_have_one_order),
        cmocka_unit_test(loopback_is_known_in_both_families),
        cmocka_unit_test(a_record_wins_by_generation_then_version_then_state),
        cmocka_unit_test(a_record_s_hash_depends_on_each_part_of_it),
        cmocka_unit_test(two_sides_speak_the_newest_that_both_know),
        cmocka_unit_test(texts_are_short_clean_utf8),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests_name("member", tests, NULL, NULL);
}
