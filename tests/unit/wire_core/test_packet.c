#include "proto/wire/wire.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct wire_packet packet;
static struct wire_packet_reader reader;
static struct wire_packet_head head;
static struct wire_msg msg;

static const struct wire_packet_head usual = {
    .gen = 1800000000, .ver = 3, .mhash = 0xdeadbeef, .shash = 7};

static void given(const struct wire_packet_head *with, size_t limit)
{
    wire_packet_fini(&packet);
    wire_packet_init(&packet, with, limit);
}

static bool add_ping(uint32_t seq)
{
    return wire_packet_add(&packet, &(struct wire_msg){.kind = WIRE_PING, .ping = {.seq = seq}});
}

static int open_packet(void)
{
    return wire_packet_open(&reader, packet.body.data, packet.body.len, &head, NULL);
}

static int next(void)
{
    wire_msg_fini(&msg);
    return wire_packet_next(&reader, &msg, NULL);
}

#define open_bytes(bytes) wire_packet_open(&reader, bytes, sizeof(bytes) - 1, &head, NULL)

static void a_packet_brings_its_head_and_messages_in_order(void **unused)
{
    (void)unused;
    given(&usual, WIRE_PACKET_BODY);
    for (uint32_t seq = 1; seq <= 20; seq++)
        assert_true(add_ping(seq));
    assert_int_equal(packet.count, 20);
    assert_int_equal(open_packet(), 0);
    assert_true(head.gen == 1800000000 && head.ver == 3);
    assert_true(head.mhash == 0xdeadbeef && head.shash == 7 && !head.has_load);
    for (uint32_t seq = 1; seq <= 20; seq++) {
        assert_int_equal(next(), 1);
        assert_int_equal(msg.ping.seq, seq);
    }
    assert_int_equal(next(), 0);
    assert_int_equal(next(), 0);
}

static void a_packet_without_messages_is_one_too(void **unused)
{
    (void)unused;
    struct wire_packet_head loaded = usual;
    loaded.gen = loaded.ver = UINT32_MAX;
    loaded.has_load = true;
    loaded.load = (struct wire_load){.node = 5,
                                     .gen32 = 6,
                                     .lseq = 7,
                                     .eta_ms = 8,
                                     .queued = 9,
                                     .free_slots = 10,
                                     .cpu = 11,
                                     .warm_count = 2,
                                     .warm = {12, 13}};
    given(&loaded, WIRE_PACKET_BODY);
    assert_int_equal(open_packet(), 0);
    assert_true(head.has_load);
    assert_memory_equal(&head.load, &loaded.load, sizeof head.load);
    assert_int_equal(next(), 0);
}

static void an_idle_ping_is_small(void **unused)
{
    (void)unused;
    given(&usual, WIRE_PACKET_BODY);
    wire_packet_add(&packet,
                    &(struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 70000, .target = 1}});
    assert_true(packet.body.len <= 40);
}

static void what_does_not_fit_changes_nothing(void **unused)
{
    (void)unused;
    given(&usual, 100);
    uint32_t seq = 0;
    while (add_ping(seq))
        seq++;
    size_t len = packet.body.len;
    assert_true(len <= 100 && len > 90);
    assert_int_equal(packet.count, seq);
    const struct wire_msg left = {.kind = WIRE_LEFT, .left = {.node = 1, .gen = 1}};
    assert_false(wire_packet_add(&packet, &left));
    assert_int_equal(packet.body.len, len);
    assert_int_equal(open_packet(), 0);
    for (uint32_t i = 0; i < seq; i++)
        assert_int_equal(next(), 1);
    assert_int_equal(next(), 0);
}

static void fits_says_what_add_does_to_the_byte(void **unused)
{
    (void)unused;
    const struct wire_msg ping = {.kind = WIRE_PING, .ping = {.seq = 1}}; /* 4 bytes */
    given(&usual, WIRE_PACKET_BODY);
    size_t empty = packet.body.len;
    given(&usual, empty + 3);
    assert_false(wire_packet_add(&packet, &ping));
    assert_int_equal(packet.body.len, empty);
    given(&usual, empty + 4);
    assert_true(wire_packet_add(&packet, &ping));
    assert_false(wire_packet_add(&packet, &ping));
}

static void unknown_messages_and_those_of_streams_are_skipped_and_counted(void **unused)
{
    (void)unused;
    /* An id 30, a BYE, then an ACK. */
    assert_int_equal(
        open_bytes("\x98\x01\x02\x03\x04\xc0\x92\x1e\x81\x01\x02\x92\x29\x01\x92\x02\x09"), 0);
    assert_int_equal(next(), 1);
    assert_true(msg.kind == WIRE_ACK && msg.ack.seq == 9);
    assert_int_equal(next(), 0);
    assert_int_equal(reader.unknown, 2);
}

static void a_bad_message_ends_the_packet(void **unused)
{
    (void)unused;
    assert_int_equal(open_bytes("\x98\x01\x02\x03\x04\xc0\x92\x02\x09\x92\x02\xc0\x92\x02\x0a"), 0);
    assert_int_equal(next(), 1);
    assert_int_equal(next(), ERR_INVALID);
    assert_int_equal(next(), 0);
}

static void a_broken_body_is_refused_before_its_first_message(void **unused)
{
    (void)unused;
    given(&usual, WIRE_PACKET_BODY);
    add_ping(1);
    add_ping(2);
    for (size_t len = 0; len < packet.body.len; len++) {
        owned_mem char *copy = mem_dup(packet.body.data, len);
        assert_int_equal(wire_packet_open(&reader, copy, len, &head, NULL), ERR_INVALID);
        assert_int_equal(next(), 0);
    }
    buf_putc(&packet.body, 1);
    assert_int_equal(open_packet(), ERR_INVALID);
    assert_int_equal(open_bytes("\x94\x01\x02\x03\x04"), ERR_INVALID);
    assert_int_equal(open_bytes("\x95\x01\x02\x03\x04\x05"), ERR_INVALID);
    assert_int_equal(open_bytes("\x95\x01\xcf\0\0\0\1\0\0\0\0\x03\x04\xc0"), ERR_INVALID);
    assert_int_equal(open_bytes("\xdd\x10\x00\x00\x00"), ERR_INVALID);
    assert_int_equal(open_bytes("\xdd\x10\x00\x00\x00\x01\x02\x03\x04\xc0"), ERR_INVALID);
    owned_mem char *zeros = mem_new(65507);
    assert_int_equal(wire_packet_open(&reader, zeros, 65507, &head, NULL), ERR_INVALID);
}

static int teardown(void **unused)
{
    (void)unused;
    wire_packet_fini(&packet);
    wire_msg_fini(&msg);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_brings_its_head_and_messages_in_order),
        cmocka_unit_test(a_packet_without_messages_is_one_too),
        cmocka_unit_test(an_idle_ping_is_small),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(fits_says_what_add_does_to_the_byte),
        cmocka_unit_test(unknown_messages_and_those_of_streams_are_skipped_and_counted),
        cmocka_unit_test(a_bad_message_ends_the_packet),
        cmocka_unit_test(a_broken_body_is_refused_before_its_first_message),
    };
    return cmocka_run_group_tests_name("packet", tests, NULL, teardown);
}
