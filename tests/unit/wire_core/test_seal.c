#include "proto/wire/seal.h"

#include "proto/base/mem.h"
#include "proto/wire/senders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OLD "1111111111111111111111111111111111111111111111111111111111111111\n"
#define NEW "2222222222222222222222222222222222222222222222222222222222222222\n"
#define BAD "3333333333333333333333333333333333333333333333333333333333333333\n"

static struct seal_opened opened;

struct packet {
    size_t len;
    uint8_t bytes[WIRE_PACKET_MAX];
};

static struct keys ring(const char *text)
{
    struct keys keys = {.count = 0};
    assert_int_equal(keys_parse(text, strlen(text), &keys, NULL), 0);
    return keys;
}

static struct seal *node_of(uint64_t node, uint64_t boot, const char *keys, const char *cluster)
{
    struct keys parsed = ring(keys);
    return seal_new(&(struct seal_config){&parsed, cluster, node, boot});
}

static struct seal *alice, *bob;

static int setup(void **unused)
{
    (void)unused;
    alice = node_of(0xa11ce, 1, OLD, "c");
    bob = node_of(0xb0b, 2, OLD, "c");
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    seal_free(alice);
    seal_free(bob);
    return 0;
}

static struct packet sealed(struct seal *by, const void *body, size_t len)
{
    struct packet packet;
    packet.len = seal_close(by, body, len, packet.bytes);
    assert_int_equal(packet.len, len + WIRE_SEAL_OVERHEAD);
    return packet;
}

/* From memory of exactly this size, so that the sanitizer sees a byte too many. */
static enum seal_verdict open_bytes(struct seal *by, const uint8_t *bytes, size_t len)
{
    owned_mem uint8_t *copy = mem_dup(bytes, len);
    return seal_open(by, copy, len, &opened);
}

static enum seal_verdict open_packet(struct seal *by, const struct packet *packet)
{
    return open_bytes(by, packet->bytes, packet->len);
}

static void what_one_member_seals_another_opens(void **unused)
{
    (void)unused;
    static uint8_t body[WIRE_PACKET_BODY];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)i;
    const size_t lens[] = {0, 1, 15, 16, 17, sizeof body};
    for (size_t i = 0; i < countof(lens); i++) {
        struct packet packet = sealed(alice, body, lens[i]);
        assert_int_equal(open_packet(bob, &packet), SEAL_OK);
        assert_true(opened.node == 0xa11ce && opened.boot == 1);
        assert_int_equal(opened.len, lens[i]);
        assert_memory_equal(opened.body, body, lens[i]);
    }
    assert_int_equal(seal_counts(bob)[SEAL_OK], countof(lens));
}

/* Another implementation of the same words, made once with the RFCs' algorithms in Python. */
static void the_bytes_are_those_of_the_protocol(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "hello", 5);
    static const uint8_t want[] = {
        0x01, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x11, 0xce, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x47, 0xd4, 0x23, 0x1d, 0x77, 0xd5,
        0xa3, 0x19, 0x84, 0x01, 0xb3, 0x6c, 0x71, 0xef, 0xa3, 0x8e, 0x36, 0x49, 0xdd, 0xea, 0x6f};
    assert_int_equal(packet.len, sizeof want);
    assert_memory_equal(packet.bytes, want, sizeof want);
}

static void no_bit_can_be_changed(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "hello", 5);
    for (size_t bit = 0; bit < packet.len * 8; bit++) {
        struct packet changed = packet;
        changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum seal_verdict verdict = open_packet(bob, &changed);
        enum seal_verdict want = bit < 8    ? SEAL_VERSION_UNKNOWN
                                 : bit < 16 ? SEAL_KEY_UNKNOWN
                                            : SEAL_FORGED;
        assert_int_equal(verdict, want);
    }
    assert_int_equal(seal_sender_count(bob), 0);
    assert_int_equal(open_packet(bob, &packet), SEAL_OK); /* none of that cost anything */
}

static void no_length_but_its_own_opens(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "hello", 5);
    for (size_t len = 0; len < packet.len; len++)
        assert_int_equal(open_bytes(bob, packet.bytes, len),
                         len < WIRE_SEAL_OVERHEAD ? SEAL_SHORT : SEAL_FORGED);
    packet.bytes[packet.len] = 0;
    assert_int_equal(open_bytes(bob, packet.bytes, packet.len + 1), SEAL_FORGED);
    owned_mem uint8_t *large = mem_new(65507);
    assert_int_equal(open_bytes(bob, large, 65507), SEAL_LONG);
    assert_int_equal(open_bytes(bob, large, WIRE_PACKET_MAX + 1), SEAL_LONG);
    assert_int_equal(open_bytes(bob, large, WIRE_PACKET_MAX), SEAL_VERSION_UNKNOWN);
    assert_int_equal(open_bytes(bob, large, 0), SEAL_SHORT);
}

static void other_keys_and_other_clusters_do_not_open(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "hello", 5);
    struct seal *stranger = node_of(3, 3, BAD, "c");
    struct seal *neighbour = node_of(4, 4, OLD, "d");
    assert_int_equal(open_packet(stranger, &packet), SEAL_KEY_UNKNOWN);
    struct keys bad = ring(BAD);
    packet.bytes[1] = bad.key[0].kid;
    assert_int_equal(open_packet(stranger, &packet), SEAL_FORGED);
    packet = sealed(alice, "hello", 5);
    assert_int_equal(open_packet(neighbour, &packet), SEAL_FORGED);
    seal_free(stranger);
    seal_free(neighbour);
}

static void a_packet_opens_once(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "hello", 5);
    assert_int_equal(open_packet(bob, &packet), SEAL_OK);
    assert_int_equal(open_packet(bob, &packet), SEAL_REPLAYED);
    assert_int_equal(open_packet(bob, &packet), SEAL_REPLAYED);
    assert_int_equal(seal_counts(bob)[SEAL_REPLAYED], 2);
}

static void packets_may_overtake_each_other_within_the_window(void **unused)
{
    (void)unused;
    struct packet packets[SEAL_WINDOW + 2];
    for (size_t i = 0; i < countof(packets); i++)
        packets[i] = sealed(alice, &i, sizeof i);
    assert_int_equal(open_packet(bob, &packets[SEAL_WINDOW]), SEAL_OK);
    assert_int_equal(open_packet(bob, &packets[0]), SEAL_OLD); /* 64 behind */
    for (size_t i = SEAL_WINDOW - 1; i > 0; i--)
        assert_int_equal(open_packet(bob, &packets[i]), SEAL_OK);
    for (size_t i = 1; i <= SEAL_WINDOW; i++)
        assert_int_equal(open_packet(bob, &packets[i]), SEAL_REPLAYED);
    assert_int_equal(open_packet(bob, &packets[SEAL_WINDOW + 1]), SEAL_OK);
    assert_int_equal(open_packet(bob, &packets[1]), SEAL_OLD);
    assert_int_equal(open_packet(bob, &packets[2]), SEAL_REPLAYED);
}

static void counters_begin_at_one_and_end_where_they_must(void **unused)
{
    (void)unused;
    const uint64_t last = (UINT64_C(1) << 48) - 1;
    struct sender sender = {.node = 1};
    assert_int_equal(sender_note(&sender, 0), SEAL_OLD);
    assert_int_equal(sender_note(&sender, 1), SEAL_OK);
    assert_int_equal(sender_note(&sender, 0), SEAL_OLD);
    assert_int_equal(sender_note(&sender, last), SEAL_OK);
    assert_int_equal(sender_note(&sender, last - SEAL_WINDOW + 1), SEAL_OK);
    assert_int_equal(sender_note(&sender, last - SEAL_WINDOW), SEAL_OLD);
    assert_int_equal(sender_note(&sender, last), SEAL_REPLAYED);
}

static void a_leap_forgets_what_is_behind(void **unused)
{
    (void)unused;
    struct packet first = sealed(alice, "", 0);
    struct packet second = sealed(alice, "", 0);
    for (int leap = 0; leap < 1000; leap++)
        sealed(alice, "", 0);
    struct packet last = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &first), SEAL_OK);
    assert_int_equal(open_packet(bob, &last), SEAL_OK);
    assert_int_equal(open_packet(bob, &first), SEAL_OLD);
    assert_int_equal(open_packet(bob, &second), SEAL_OLD);
    assert_int_equal(open_packet(bob, &last), SEAL_REPLAYED);
}

static void a_restart_has_a_window_of_its_own(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        struct packet packet = sealed(alice, "", 0);
        assert_int_equal(open_packet(bob, &packet), SEAL_OK);
    }
    struct seal *again = node_of(0xa11ce, 9, OLD, "c");
    struct packet packet = sealed(again, "", 0);
    assert_int_equal(open_packet(bob, &packet), SEAL_OK);
    assert_int_equal(opened.boot, 9);
    assert_int_equal(seal_sender_count(bob), 2);
    seal_free(again);
}

static void our_own_packets_are_known(void **unused)
{
    (void)unused;
    struct packet packet = sealed(alice, "", 0);
    assert_int_equal(open_packet(alice, &packet), SEAL_OWN);
    assert_int_equal(seal_sender_count(alice), 0);
    struct seal *twin = node_of(0xa11ce, 9, OLD, "c"); /* a copied data folder */
    packet = sealed(twin, "", 0);
    assert_int_equal(open_packet(alice, &packet), SEAL_OK);
    seal_free(twin);
}

static void keys_are_rotated_by_adding_promoting_and_removing(void **unused)
{
    (void)unused;
    struct keys both = ring(OLD NEW), promoted = ring(NEW OLD), three = ring(NEW OLD BAD),
                only = ring(NEW);
    struct packet before = sealed(alice, "", 0);
    struct packet late = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &before), SEAL_OK);
    seal_set_keys(bob, &both);
    seal_set_keys(alice, &promoted);
    struct packet after = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &after), SEAL_OK);
    assert_int_equal(open_packet(bob, &after), SEAL_REPLAYED); /* the windows went on */
    assert_int_equal(open_packet(bob, &late), SEAL_OK);
    assert_int_equal(open_packet(bob, &before), SEAL_REPLAYED);
    seal_set_keys(bob, &three);
    after = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &after), SEAL_OK);
    seal_set_keys(alice, &both); /* would seal with the old one again */
    late = sealed(alice, "", 0);
    seal_set_keys(bob, &only);
    assert_int_equal(open_packet(bob, &late), SEAL_KEY_UNKNOWN);
}

static void senders_are_bounded_and_the_one_longest_unheard_gives_way(void **unused)
{
    (void)unused;
    struct packet kept, lost;
    for (uint64_t node = 1; node <= SEAL_SENDERS; node++) {
        struct seal *seal = node_of(node, 1, OLD, "c");
        struct packet packet = sealed(seal, "", 0);
        if (node == 1) {
            kept = packet;
            struct packet next = sealed(seal, "", 0);
            lost = next;
        } else if (node == SEAL_SENDERS) {
            assert_int_equal(open_packet(bob, &lost), SEAL_OK); /* node 1 is heard again */
        }
        assert_int_equal(open_packet(bob, &packet), SEAL_OK);
        seal_free(seal);
    }
    assert_int_equal(seal_sender_count(bob), SEAL_SENDERS);
    struct packet one_more = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &one_more), SEAL_OK);
    assert_int_equal(seal_sender_count(bob), SEAL_SENDERS);
    assert_int_equal(open_packet(bob, &kept), SEAL_REPLAYED); /* node 2 went instead */
    struct seal *second = node_of(2, 1, OLD, "c");
    struct packet again = sealed(second, "", 0);
    assert_int_equal(open_packet(bob, &again), SEAL_OK);
    seal_free(second);
}

static void one_node_s_many_boots_drive_nobody_else_out(void **unused)
{
    (void)unused;
    struct packet first = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &first), SEAL_OK);
    struct packet newest;
    for (uint64_t boot = 1; boot <= SEAL_SENDERS + 10; boot++) {
        struct seal *seal = node_of(7, boot, OLD, "c");
        newest = sealed(seal, "", 0);
        assert_int_equal(open_packet(bob, &newest), SEAL_OK);
        seal_free(seal);
    }
    assert_int_equal(seal_sender_count(bob), 1 + SEAL_BOOTS);
    assert_int_equal(open_packet(bob, &newest), SEAL_REPLAYED);
    assert_int_equal(open_packet(bob, &first), SEAL_REPLAYED);
}

static void strangers_take_no_place(void **unused)
{
    (void)unused;
    struct packet first = sealed(alice, "", 0);
    assert_int_equal(open_packet(bob, &first), SEAL_OK);
    for (uint64_t i = 0; i < 2 * SEAL_SENDERS; i++) {
        struct packet forged = first;
        memcpy(forged.bytes + 2, &i, sizeof i);
        assert_int_equal(open_packet(bob, &forged), SEAL_FORGED);
    }
    assert_int_equal(seal_sender_count(bob), 1);
    assert_int_equal(open_packet(bob, &first), SEAL_REPLAYED);
    assert_int_equal(seal_counts(bob)[SEAL_FORGED], 2 * SEAL_SENDERS);
}

static void verdicts_have_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < SEAL_VERDICTS; i++)
        assert_non_null(seal_verdict_name((enum seal_verdict)i));
    assert_string_equal(seal_verdict_name(SEAL_FORGED), "forged");
}

#define a_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(what_one_member_seals_another_opens),
        a_test(the_bytes_are_those_of_the_protocol),
        a_test(no_bit_can_be_changed),
        a_test(no_length_but_its_own_opens),
        a_test(other_keys_and_other_clusters_do_not_open),
        a_test(a_packet_opens_once),
        a_test(packets_may_overtake_each_other_within_the_window),
        a_test(counters_begin_at_one_and_end_where_they_must),
        a_test(a_leap_forgets_what_is_behind),
        a_test(a_restart_has_a_window_of_its_own),
        a_test(our_own_packets_are_known),
        a_test(keys_are_rotated_by_adding_promoting_and_removing),
        a_test(senders_are_bounded_and_the_one_longest_unheard_gives_way),
        a_test(one_node_s_many_boots_drive_nobody_else_out),
        a_test(strangers_take_no_place),
        a_test(verdicts_have_names),
    };
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
