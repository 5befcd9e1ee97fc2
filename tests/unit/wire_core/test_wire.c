#include "tests/unit/wire_core/any_message.h"

#include "proto/base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define KINDS_END 256

static struct pool pool;
static struct buf encoded;

static void given(enum size size, uint64_t seed)
{
    pool_fini(&pool);
    pool.size = size;
    pool.list_max = size == LARGEST ? SIZE_MAX : 9;
    rand_init(&pool.rand, seed);
}

static const struct buf *encode(const struct wire_msg *msg)
{
    buf_clear(&encoded);
    wire_encode(msg, &encoded);
    return &encoded;
}

static int decode(const void *bytes, size_t len, struct wire_msg *out)
{
    /* From memory of exactly this size, so that the sanitizer sees a byte too many. */
    owned_mem char *copy = mem_dup(bytes, len);
    struct err err = ERR_INIT;
    int failed = wire_decode(copy, len, out, &err);
    assert_int_equal(failed, err.code);
    if (failed) {
        assert_null(out->memory.first);
        return failed;
    }
    assert_true(out->memory.bytes <= 4 * len);
    return 0;
}

#define refused(bytes) expect_refused(bytes, sizeof(bytes) - 1)

static void expect_refused(const char *bytes, size_t len)
{
    struct wire_msg msg;
    assert_int_equal(decode(bytes, len, &msg), ERR_INVALID);
}

static void expect_round_trip(const struct wire_msg *msg)
{
    struct wire_msg out;
    struct err err = ERR_INIT;
    encode(msg);
    assert_int_equal(wire_decode(encoded.data, encoded.len, &out, &err), 0);
    assert_true(out.memory.bytes <= 4 * encoded.len);
    assert_true(same_message(msg, &out));
    owned_buf again = BUF_INIT;
    wire_encode(&out, &again);
    assert_int_equal(again.len, encoded.len);
    assert_memory_equal(again.data, encoded.data, again.len);
    wire_msg_fini(&out);
}

#define each_kind(kind)                                                                            \
    for (enum wire_kind kind = (enum wire_kind)1; kind < (enum wire_kind)KINDS_END; kind++)        \
        if (shape_of(kind))

static void every_message_survives_the_way_empty_full_and_random(void **unused)
{
    (void)unused;
    size_t kinds = 0;
    each_kind(kind)
    {
        kinds++;
        for (enum size size = SMALLEST; size <= RANDOM; size++)
            for (uint64_t seed = 0; seed < (size == RANDOM ? 50 : 1); seed++) {
                given(size, seed);
                struct wire_msg msg = any_message(&pool, kind);
                expect_round_trip(&msg);
            }
    }
    assert_true(kinds >= 39);
}

static void a_message_cut_anywhere_or_with_bytes_behind_it_is_refused(void **unused)
{
    (void)unused;
    each_kind(kind)
    {
        given(RANDOM, kind);
        pool.list_max = 3;
        struct wire_msg msg = any_message(&pool, kind);
        const struct buf *whole = encode(&msg);
        struct wire_msg out;
        for (size_t len = 0; len < whole->len; len += 1 + len / 200)
            assert_int_equal(decode(whole->data, len, &out), ERR_INVALID);
        buf_putc(&encoded, 0);
        assert_int_equal(decode(whole->data, whole->len, &out), ERR_INVALID);
    }
}

/* Mutations may well be messages; they must be sound ones, and cheap. */
static void flipped_bits_never_break_the_reader(void **unused)
{
    (void)unused;
    each_kind(kind)
    {
        given(RANDOM, 100u + kind);
        pool.list_max = 3;
        struct wire_msg msg = any_message(&pool, kind);
        encode(&msg);
        size_t len = encoded.len < 400 ? encoded.len : 400;
        for (size_t bit = 0; bit < len * 8; bit++) {
            struct wire_msg out;
            encoded.data[bit / 8] ^= (char)(1 << bit % 8);
            if (decode(encoded.data, encoded.len, &out) == 0)
                wire_msg_fini(&out);
            encoded.data[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
}

#define expect_bytes(msg, bytes)                                                                   \
    do {                                                                                           \
        encode(msg);                                                                               \
        assert_int_equal(encoded.len, sizeof(bytes) - 1);                                          \
        assert_memory_equal(encoded.data, bytes, encoded.len);                                     \
    } while (0)

/* These bytes are the protocol: a change here is another version. */
static void the_bytes_are_those_of_the_protocol(void **unused)
{
    (void)unused;
    expect_bytes((&(struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 7}}), "\x93\x01\x07\xc0");
    expect_bytes((&(struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 300, .target = 1}}),
                 "\x93\x01\xcd\x01\x2c\xcf\0\0\0\0\0\0\0\x01");
    expect_bytes((&(struct wire_msg){.kind = WIRE_PREQ,
                                     .preq = {1, 2, wire_addr_v4((uint8_t[]){10, 0, 0, 9}, 5001)}}),
                 "\x94\x03\x01\xcf\0\0\0\0\0\0\0\x02\xc4\x06\x0a\0\0\x09\x13\x89");
    expect_bytes((&(struct wire_msg){.kind = WIRE_NOWORK, .nowork = {.eid = 5, .fence = {9, 2}}}),
                 "\x95\x35\xcf\0\0\0\0\0\0\0\x05\x92\x02\xcf\0\0\0\0\0\0\0\x09\0\0");
    const struct wire_job_ref work = {.p = 1, .m = WIRE_CHORE, .n = 3, .plan = 4, .est_ms = 5};
    expect_bytes((&(struct wire_msg){.kind = WIRE_ASSIGN,
                                     .assign = {.eid = 1,
                                                .fence = {1, 1},
                                                .work = &work,
                                                .work_count = 1,
                                                .sources = (uint64_t[]){258},
                                                .source_count = 1}}),
                 "\x95\x34\xcf\0\0\0\0\0\0\0\x01\x92\x01\xcf\0\0\0\0\0\0\0\x01"
                 "\x91\x95\x01\xce\xff\xff\xff\xff\x03\xcf\0\0\0\0\0\0\0\x04\x05"
                 "\xc4\x08\0\0\0\0\0\0\x01\x02");
    const struct wire_tag tag = {0x0102030405060708, 0x0a0b0c0d};
    expect_bytes((&(struct wire_msg){.kind = WIRE_MSYNC, .msync = {&tag, 1}}),
                 "\x92\x2c\xc4\x0c\1\2\3\4\5\6\7\x08\x0a\x0b\x0c\x0d");
    expect_bytes((&(struct wire_msg){.kind = WIRE_DELTA, .delta = {1, {(const uint8_t *)"{}", 2}}}),
                 "\x93\x44\xcf\0\0\0\0\0\0\0\x01\xc4\x02{}");
    expect_bytes((&(struct wire_msg){.kind = WIRE_DELTA, .delta = {.eid = 1}}),
                 "\x93\x44\xcf\0\0\0\0\0\0\0\x01\xc0");
}

static void an_alive_has_all_that_a_node_says_of_itself(void **unused)
{
    (void)unused;
    struct wire_msg msg = {.kind = WIRE_ALIVE,
                           .alive = {.node = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
                                     .gen = 1800000000,
                                     .ver = 2,
                                     .addr = wire_addr_v4((uint8_t[]){10, 0, 0, 9}, 5001),
                                     .http = 8080,
                                     .pv = WIRE_VERSIONS,
                                     .feat = 1,
                                     .flags = WIRE_FLAG_DRAINING,
                                     .caps = {.slots = 8, .speed = 100, .mem_mb = 16000},
                                     .name = "ada",
                                     .address = "ada.example:5001"}};
    expect_round_trip(&msg);
    assert_true(encoded.len < 80);
    msg.alive.name = NULL; /* is the empty name */
    encode(&msg);
    struct wire_msg out;
    assert_int_equal(wire_decode(encoded.data, encoded.len, &out, NULL), 0);
    assert_string_equal(out.alive.name, "");
    assert_string_equal(out.alive.address, "ada.example:5001");
    wire_msg_fini(&out);
}

static void what_a_later_version_adds_is_skipped(void **unused)
{
    (void)unused;
    struct wire_msg out;
    assert_int_equal(decode("\x94\x02\x07\x93\x01\x02\x03\xa1x", 9, &out), 0); /* ACK */
    assert_int_equal(out.kind, WIRE_ACK);
    assert_int_equal(out.ack.seq, 7);
    wire_msg_fini(&out);
    /* A field within a fence, in CANCEL. */
    static const char cancel[] = "\x95\x3a\x05\x93\x02\x09\xc3\xc3\x91\x94\x01\x02\x03\xa4more";
    assert_int_equal(decode(cancel, sizeof cancel - 1, &out), 0);
    assert_true(out.cancel.all && out.cancel.fence.epoch == 2 && out.cancel.fence.owner == 9);
    assert_int_equal(out.cancel.work_count, 1);
    assert_int_equal(out.cancel.work[0].n, 3);
    wire_msg_fini(&out);
}

static void what_an_earlier_version_lacks_is_zero(void **unused)
{
    (void)unused;
    struct wire_msg out;
    assert_int_equal(decode("\x92\x01\x07", 3, &out), 0); /* PING without a target */
    assert_true(out.ping.seq == 7 && out.ping.target == 0);
    wire_msg_fini(&out);
    assert_int_equal(decode("\x93\x2a\x01\x02", 4, &out), 0); /* ERR without words */
    assert_string_equal(out.error.text, "");
    wire_msg_fini(&out);
    assert_int_equal(decode("\x91\x29", 2, &out), 0); /* BYE without a reason */
    assert_int_equal(out.bye.reason, 0);
    wire_msg_fini(&out);
    refused("\x91\x01");         /* but a PING without its number is none */
    refused("\x93\x35\x05\x90"); /* nor is a ballot of nothing */
}

static void an_unknown_id_is_no_error_but_must_be_whole(void **unused)
{
    (void)unused;
    struct wire_msg out;
    assert_int_equal(decode("\x92\xcc\xff\x81\x01\x02", 6, &out), 0);
    assert_int_equal(out.kind, WIRE_UNKNOWN);
    wire_msg_fini(&out);
    refused("\x92\xcc\xff\x81\x01");
    refused("\x91\xce\xff\xff\xff\xff"); /* no id is that large */
    refused("\x90");
    refused("\x91\xa1x");
    refused("\x01");
    refused("");
}

static void bombs_cost_nothing(void **unused)
{
    (void)unused;
    refused("\xdd\x10\x00\x00\x00");
    refused("\xdd\xff\xff\xff\xff\x01");
    refused("\xdf\xff\xff\xff\xff\x01\x01");
    refused("\x92\x2c\xc6\xff\xff\xff\xff");                     /* MSYNC */
    refused("\x94\x39\x01\x02\xdd\x00\x00\x10\x00\x90\x90\x90"); /* BEAT */
    refused("\x93\x2d\xdd\x00\x00\x40\x00\x90\xc4\x00");         /* MFULL */
    owned_buf nested = BUF_INIT;
    buf_append(&nested, "\x92\xcc\xff", 3);
    for (int i = 0; i < 60000; i++)
        buf_putc(&nested, (char)0x91);
    expect_refused(nested.data, nested.len);
    owned_mem char *zeros = mem_new(65507);
    expect_refused(zeros, 65507);
    memset(zeros, 0xdd, 65507);
    expect_refused(zeros, 65507);
}

/* A list of items that are nothing on the wire would be large in memory. */
static void memory_is_bounded_by_what_arrived(void **unused)
{
    (void)unused;
    owned_buf beat = BUF_INIT;
    buf_append(&beat, "\x94\x39\x01\x02\xdc\x10\x00", 7);
    for (int i = 0; i < 4096; i++)
        buf_append(&beat, "\x90", 1);
    struct wire_msg out;
    assert_int_equal(decode(beat.data, beat.len, &out), ERR_INVALID);
}

static void room_is_given_within_the_budget_alone(void **unused)
{
    (void)unused;
    struct wire_memory memory = {.first = NULL};
    struct unpack in = {.memory = &memory, .budget = 100};
    assert_null(unpack_room(&in, 100, 1));
    assert_non_null(unpack_room(&in, 5, 10));
    assert_null(unpack_room(&in, 5, 10));
    assert_true(memory.bytes >= 50 && memory.bytes + in.budget == 100);
    unpack_free(&memory);
    assert_true(memory.first == NULL && memory.bytes == 0);
}

static void values_out_of_range_are_refused(void **unused)
{
    (void)unused;
    refused("\x93\x44\x00\xc0");                                 /* evaluation 0 */
    refused("\x93\x44\xcf\x00\x20\x00\x00\x00\x00\x00\x00\xc0"); /* evaluation 2^53 */
    refused("\x92\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00");     /* seq 2^32 */
    refused("\x92\x01\xff");
    refused("\x92\x29\xcd\x01\x00");                             /* BYE 256 */
    refused("\x94\x03\x01\x02\xc4\x06\x0a\x00\x00\x09\x00\x00"); /* port 0 */
    refused("\x94\x03\x01\x02\xc4\x05\x0a\x00\x00\x09\x13");
    refused("\x94\x03\x01\x02\xc0");
    refused("\x94\x2a\x01\x02\xa2\xc3\x28"); /* no UTF-8 */
    refused("\x94\x2a\x01\x02\xa3"
            "a\x00"
            "b");
    refused("\x94\x2a\x01\x02\xa1\x1b"); /* an escape */
    refused("\x92\x2c\xc4\x0b\1\2\3\4\5\6\7\x08\x0a\x0b\x0c");
    refused("\x94\x42\x01\x02\xc4\x08\0\0\0\0\0\0\0\0"); /* SYNC of one bucket */
}

static void the_limits_themselves_are_allowed_and_one_more_is_not(void **unused)
{
    (void)unused;
    owned_buf claim = BUF_INIT;
    buf_append(&claim, "\x97\x33\x05\x92\x01\x02\x01\x01\x01\xdc\x10\x00", 12);
    for (int i = 0; i < WIRE_READY_MAX; i++)
        buf_putc(&claim, 0);
    struct wire_msg out;
    assert_int_equal(decode(claim.data, claim.len, &out), 0);
    assert_int_equal(out.claim.ready_count, WIRE_READY_MAX);
    wire_msg_fini(&out);
    claim.data[11] = 1;
    buf_putc(&claim, 0);
    assert_int_equal(decode(claim.data, claim.len, &out), ERR_INVALID);
}

static void an_alive_that_is_not_alive_is_refused(void **unused)
{
    (void)unused;
    given(RANDOM, 1);
    struct wire_msg msg = {.kind = WIRE_MFULL};
    struct wire_member member = any_message(&pool, WIRE_ALIVE).alive;
    member.st = WIRE_STATE_DEAD;
    msg.mfull = (struct wire_mfull){.members = &member, .member_count = 1};
    expect_round_trip(&msg); /* in a table it may stand */
    struct wire_msg out;
    owned_buf dead = BUF_INIT;
    shape_pack(shape_of(WIRE_ALIVE), &member, &dead);
    assert_int_equal(decode(dead.data, dead.len, &out), ERR_INVALID);
}

static void ballots_are_ordered_by_epoch_then_owner(void **unused)
{
    (void)unused;
    assert_true(wire_fence_compare((struct wire_fence){9, 1}, (struct wire_fence){1, 2}) < 0);
    assert_true(wire_fence_compare((struct wire_fence){9, 1}, (struct wire_fence){1, 1}) > 0);
    assert_true(wire_fence_compare((struct wire_fence){9, 1}, (struct wire_fence){9, 1}) == 0);
}

static void kinds_have_names_and_ways(void **unused)
{
    (void)unused;
    assert_string_equal(wire_kind_name(WIRE_PUT_LOW), "PUT_LOW");
    assert_string_equal(wire_kind_name((enum wire_kind)200), "UNKNOWN");
    assert_true(wire_kind_is_datagram(WIRE_PING) && wire_kind_is_datagram(WIRE_FENCE));
    assert_false(wire_kind_is_datagram(WIRE_HELLO) || wire_kind_is_datagram(WIRE_UNKNOWN));
}

static int teardown(void **unused)
{
    (void)unused;
    pool_fini(&pool);
    buf_fini(&encoded);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives_the_way_empty_full_and_random),
        cmocka_unit_test(a_message_cut_anywhere_or_with_bytes_behind_it_is_refused),
        cmocka_unit_test(flipped_bits_never_break_the_reader),
        cmocka_unit_test(the_bytes_are_those_of_the_protocol),
        cmocka_unit_test(an_alive_has_all_that_a_node_says_of_itself),
        cmocka_unit_test(what_a_later_version_adds_is_skipped),
        cmocka_unit_test(what_an_earlier_version_lacks_is_zero),
        cmocka_unit_test(an_unknown_id_is_no_error_but_must_be_whole),
        cmocka_unit_test(bombs_cost_nothing),
        cmocka_unit_test(memory_is_bounded_by_what_arrived),
        cmocka_unit_test(room_is_given_within_the_budget_alone),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(the_limits_themselves_are_allowed_and_one_more_is_not),
        cmocka_unit_test(an_alive_that_is_not_alive_is_refused),
        cmocka_unit_test(ballots_are_ordered_by_epoch_then_owner),
        cmocka_unit_test(kinds_have_names_and_ways),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, teardown);
}
