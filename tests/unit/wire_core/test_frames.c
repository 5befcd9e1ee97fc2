#include "tests/unit/wire_core/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct peer peer;
static struct link *self; /* the answerer */
static struct buf answer;
static struct wire_bytes body;

static int setup(void **unused)
{
    (void)unused;
    self = peer_call(&peer, &answer);
    assert_true(link_is_open(self));
    assert_int_equal(answer.len, 37);
    buf_clear(&answer);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    link_free(self);
    buf_fini(&answer);
    return 0;
}

static void send_frame(uint8_t tag, uint8_t flags, const void *piece, size_t len)
{
    owned_buf frame = BUF_INIT;
    peer_frame(&peer, tag, flags, piece, len, &frame);
    link_read(self, frame.data, frame.len, &answer);
}

static void expect_refusal(enum link_verdict verdict)
{
    assert_false(link_next(self, &body));
    assert_int_equal(link_verdict(self), verdict);
}

static void the_frames_are_those_of_the_protocol(void **unused)
{
    (void)unused;
    send_frame(TAG_MESSAGE, 0, "ping", 4);
    assert_true(link_next(self, &body));
    assert_int_equal(body.len, 4);
    assert_memory_equal(body.data, "ping", 4);
    link_write(self, "pong", 4, true, &answer);
    assert_int_equal(answer.len, 4 + 4 + 18);
    assert_memory_equal(answer.data, "\0\0\0\x16", 4);
    uint8_t plain[5];
    uint8_t tag;
    assert_int_equal(crypto_secretstream_xchacha20poly1305_pull(&peer.from_link, plain, NULL, &tag,
                                                                (const uint8_t *)answer.data + 4,
                                                                22, NULL, 0),
                     0);
    assert_int_equal(tag, TAG_MESSAGE);
    assert_memory_equal(plain, "\0pong", 5);
}

static void a_body_in_pieces_is_put_together(void **unused)
{
    (void)unused;
    send_frame(TAG_MESSAGE, 2, "a", 1);
    assert_false(link_next(self, &body));
    send_frame(TAG_MESSAGE, 2, "b", 1);
    send_frame(TAG_MESSAGE, 0, "c", 1);
    send_frame(TAG_MESSAGE, 0, "next", 4);
    assert_true(link_next(self, &body));
    assert_int_equal(body.len, 3);
    assert_memory_equal(body.data, "abc", 3);
    assert_true(link_next(self, &body));
    assert_int_equal(body.len, 4);
    assert_memory_equal(body.data, "next", 4);
}

static void unknown_flags_are_refused(void **unused)
{
    (void)unused;
    send_frame(TAG_MESSAGE, 4, "a", 1);
    expect_refusal(LINK_MALFORMED);
}

static void pieces_of_one_body_are_of_one_kind(void **unused)
{
    (void)unused;
    static const char zstd[] = "\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello"; /* "hello", not packed */
    send_frame(TAG_MESSAGE, 3, zstd, 8);
    send_frame(TAG_MESSAGE, 1, zstd + 8, sizeof zstd - 9);
    assert_true(link_next(self, &body));
    assert_int_equal(body.len, 5);
    assert_memory_equal(body.data, "hello", 5);
    send_frame(TAG_MESSAGE, 2, zstd, 8);
    send_frame(TAG_MESSAGE, 1, zstd + 8, sizeof zstd - 9);
    expect_refusal(LINK_MALFORMED);
}

static void what_is_not_compressed_may_not_say_so(void **unused)
{
    (void)unused;
    send_frame(TAG_MESSAGE, 1, "not zstd", 8);
    expect_refusal(LINK_MALFORMED);
}

static void a_bomb_is_refused(void **unused)
{
    (void)unused;
    send_frame(TAG_MESSAGE, 1, "\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f", 13);
    expect_refusal(LINK_OVERSIZED);
}

static void other_tags_are_refused(void **unused)
{
    (void)unused;
    send_frame(TAG_FINAL, 0, "a", 1);
    expect_refusal(LINK_MALFORMED);
}

static void endless_pieces_are_refused(void **unused)
{
    (void)unused;
    size_t len = LINK_FRAME_MAX - 18;
    owned_mem char *piece = mem_new(len);
    send_frame(TAG_MESSAGE, 0, "first", 5);
    assert_true(link_next(self, &body));
    for (size_t sent = len; sent <= LINK_BODY_MAX; sent += len) {
        send_frame(TAG_MESSAGE, 2, piece, len);
        expect_refusal(LINK_OK);
    }
    send_frame(TAG_MESSAGE, 2, piece, len);
    expect_refusal(LINK_OVERSIZED);
}

#define a_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(the_frames_are_those_of_the_protocol),
        a_test(a_body_in_pieces_is_put_together),
        a_test(unknown_flags_are_refused),
        a_test(pieces_of_one_body_are_of_one_kind),
        a_test(what_is_not_compressed_may_not_say_so),
        a_test(a_bomb_is_refused),
        a_test(other_tags_are_refused),
        a_test(endless_pieces_are_refused),
    };
    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
