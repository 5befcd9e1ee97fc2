#include "proto/wire/link.h"

#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OLD "1111111111111111111111111111111111111111111111111111111111111111\n"
#define NEW "2222222222222222222222222222222222222222222222222222222222222222\n"

#define LENGTH 4 /* of a frame, before it */

/* Two ends, and what is on its way to each. */
static struct link *caller, *answerer;
static struct buf to_answerer, to_caller;
static struct wire_bytes body;
static struct buf received;

static struct link *end_of(bool calls, const char *keys, const char *cluster, uint8_t nonce)
{
    struct link_config config = {.cluster = cluster, .caller = calls};
    struct keys parsed = {.count = 0};
    assert_int_equal(keys_parse(keys, strlen(keys), &parsed, NULL), 0);
    config.keys = &parsed;
    memset(config.nonce, nonce, sizeof config.nonce);
    return link_new(&config, calls ? &to_answerer : &to_caller);
}

static void given(struct link *calling, struct link *answering)
{
    link_free(caller);
    link_free(answerer);
    caller = calling;
    answerer = answering;
}

static int teardown(void **unused)
{
    (void)unused;
    given(NULL, NULL);
    buf_fini(&to_answerer);
    buf_fini(&to_caller);
    buf_fini(&received);
    return 0;
}

static enum link_verdict deliver(struct link *to, struct buf *bytes, struct buf *answer)
{
    owned_mem char *copy = mem_dup(bytes->data, bytes->len); /* of exactly this size */
    size_t len = bytes->len;
    buf_clear(bytes);
    return link_read(to, copy, len, answer);
}

static int setup(void **unused)
{
    (void)unused;
    given(end_of(true, OLD, "c", 1), end_of(false, OLD, "c", 2));
    return 0;
}

static void shake_hands(void)
{
    assert_int_equal(deliver(answerer, &to_answerer, &to_caller), LINK_OK);
    assert_int_equal(deliver(caller, &to_caller, &to_answerer), LINK_OK);
    assert_true(link_is_open(caller) && link_is_open(answerer));
    assert_int_equal(to_answerer.len + to_caller.len, 0);
}

static void write_text(struct link *by, const char *text)
{
    link_write(by, text, strlen(text), true, by == caller ? &to_answerer : &to_caller);
}

static void expect_text(struct link *at, const char *text)
{
    assert_true(link_next(at, &body));
    assert_int_equal(body.len, strlen(text));
    assert_memory_equal(body.data, text, body.len);
}

static void expect_end(struct link *at, enum link_verdict verdict)
{
    assert_false(link_next(at, &body));
    assert_int_equal(link_verdict(at), verdict);
}

/* Opens both ends, and proves the caller to the answerer. */
static void talk(void)
{
    shake_hands();
    write_text(caller, "hello");
    assert_int_equal(deliver(answerer, &to_answerer, &to_caller), LINK_OK);
    expect_text(answerer, "hello");
    expect_end(answerer, LINK_OK);
}

static char *random_bytes(size_t len)
{
    struct rand rand;
    rand_init(&rand, len);
    char *bytes = mem_new(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)rand_u64(&rand);
    return bytes;
}

static void messages_go_both_ways_in_order(void **unused)
{
    (void)unused;
    talk();
    write_text(answerer, "hello yourself");
    write_text(answerer, "and more");
    deliver(caller, &to_caller, &to_answerer);
    expect_text(caller, "hello yourself");
    expect_text(caller, "and more");
    expect_end(caller, LINK_OK);
    assert_int_equal(link_end(caller), LINK_OK);
    assert_int_equal(link_end(answerer), LINK_OK);
}

static void a_message_goes_as_one(void **unused)
{
    (void)unused;
    shake_hands();
    link_send(caller,
              &(struct wire_msg){.kind = WIRE_ERR, .error = {.rid = 1, .code = 2, .text = "no"}},
              &to_answerer);
    deliver(answerer, &to_answerer, &to_caller);
    assert_true(link_next(answerer, &body));
    struct wire_msg msg;
    assert_int_equal(wire_decode(body.data, body.len, &msg, NULL), 0);
    assert_int_equal(msg.kind, WIRE_ERR);
    assert_string_equal(msg.error.text, "no");
    wire_msg_fini(&msg);
}

static void bytes_may_come_one_by_one(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < to_answerer.len; i++) {
        assert_false(link_is_open(answerer));
        assert_int_equal(to_caller.len, 0);
        assert_int_equal(link_read(answerer, &to_answerer.data[i], 1, &to_caller), LINK_OK);
    }
    buf_clear(&to_answerer);
    for (size_t i = 0; i < to_caller.len; i++)
        link_read(caller, &to_caller.data[i], 1, &to_answerer);
    write_text(caller, "one");
    size_t first = to_answerer.len;
    write_text(caller, "two");
    for (size_t i = 0; i < to_answerer.len; i++) {
        link_read(answerer, &to_answerer.data[i], 1, &to_caller);
        if (i + 1 == first)
            expect_text(answerer, "one");
        else if (i + 1 < to_answerer.len)
            expect_end(answerer, LINK_OK);
    }
    expect_text(answerer, "two");
}

static void bodies_of_every_size_arrive(void **unused)
{
    (void)unused;
    talk();
    const size_t lens[] = {1,
                           LINK_PLAIN_MAX,
                           LINK_PLAIN_MAX + 1,
                           LINK_FRAME_MAX - 18,
                           LINK_FRAME_MAX - 17,
                           LINK_FRAME_MAX,
                           3u * LINK_FRAME_MAX};
    for (size_t i = 0; i < countof(lens); i++) {
        owned_mem char *bytes = random_bytes(lens[i]);
        for (int compress = 0; compress <= 1; compress++) {
            link_write(caller, bytes, lens[i], compress, &to_answerer);
            deliver(answerer, &to_answerer, &to_caller);
            assert_true(link_next(answerer, &body));
            assert_int_equal(body.len, lens[i]);
            assert_memory_equal(body.data, bytes, body.len);
            expect_end(answerer, LINK_OK);
        }
    }
}

static void no_frame_is_over_its_limit(void **unused)
{
    (void)unused;
    talk();
    owned_mem char *bytes = random_bytes(2 * LINK_FRAME_MAX);
    link_write(caller, bytes, 2 * LINK_FRAME_MAX, false, &to_answerer);
    size_t frames = 0;
    for (size_t at = 0; at < to_answerer.len; frames++) {
        const uint8_t *head = (const uint8_t *)to_answerer.data + at;
        size_t len = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        assert_true(head[0] == 0 && len <= LINK_FRAME_MAX);
        at += LENGTH + len;
    }
    assert_int_equal(frames, 3);
}

static void long_text_is_compressed_to_the_largest_body(void **unused)
{
    (void)unused;
    talk();
    owned_mem char *zeros = mem_new(LINK_BODY_MAX);
    link_write(caller, zeros, LINK_BODY_MAX, true, &to_answerer);
    assert_true(to_answerer.len < 10000);
    deliver(answerer, &to_answerer, &to_caller);
    assert_true(link_next(answerer, &body));
    assert_int_equal(body.len, LINK_BODY_MAX);
    assert_memory_equal(body.data, zeros, body.len);
    link_write(caller, zeros, LINK_PLAIN_MAX, true, &to_answerer);
    assert_true(to_answerer.len > LINK_PLAIN_MAX); /* not worth it */
}

/* ---- preludes -------------------------------------------------------------------------------- */

static void expect_no_prelude(const char *bytes, size_t len, enum link_verdict verdict)
{
    setup(NULL);
    buf_clear(&to_answerer);
    buf_append(&to_answerer, bytes, len);
    assert_int_equal(deliver(answerer, &to_answerer, &to_caller), verdict);
    assert_int_equal(to_caller.len, 0); /* strangers get no answer */
    assert_false(link_is_open(answerer));
    assert_int_equal(link_read(answerer, "x", 1, &to_caller), verdict);
}

static void what_is_no_mesh_stream_gets_no_answer(void **unused)
{
    (void)unused;
    expect_no_prelude("GET / HTTP/1.1\r\n", 16, LINK_NOT_MESH);
    expect_no_prelude("M S", 3, LINK_NOT_MESH);
    expect_no_prelude("\0", 1, LINK_NOT_MESH);
    expect_no_prelude("MSH2", 4, LINK_VERSION_UNKNOWN);
    owned_buf prelude = BUF_INIT;
    struct keys other;
    assert_int_equal(keys_parse(NEW, 65, &other, NULL), 0);
    buf_append(&prelude, "MSH1", 4);
    buf_putc(&prelude, (char)other.key[0].kid);
    while (prelude.len < LINK_PRELUDE)
        buf_putc(&prelude, 7);
    expect_no_prelude(prelude.data, prelude.len, LINK_KEY_UNKNOWN);
}

static void our_own_prelude_is_no_answer(void **unused)
{
    (void)unused;
    assert_int_equal(deliver(caller, &to_answerer, &to_caller), LINK_REFLECTED);
}

static void another_key_or_cluster_shows_at_the_first_frame(void **unused)
{
    (void)unused;
    given(end_of(true, OLD, "c", 1), end_of(false, OLD, "d", 2));
    buf_consume(&to_answerer, LINK_PRELUDE); /* that of setup() */
    shake_hands();
    write_text(caller, "hello");
    deliver(answerer, &to_answerer, &to_caller);
    expect_end(answerer, LINK_FORGED);
    assert_false(link_is_open(answerer));
}

static void any_key_of_the_ring_answers(void **unused)
{
    (void)unused;
    given(end_of(true, OLD, "c", 1), end_of(false, NEW OLD, "c", 2));
    buf_consume(&to_answerer, LINK_PRELUDE);
    talk();
    setup(NULL);
    buf_clear(&to_answerer);
    given(end_of(true, NEW OLD, "c", 1), end_of(false, OLD, "c", 2));
    assert_int_equal(deliver(answerer, &to_answerer, &to_caller), LINK_KEY_UNKNOWN);
}

/* ---- attacks on frames ----------------------------------------------------------------------- */

static void no_bit_of_a_frame_can_be_changed(void **unused)
{
    (void)unused;
    size_t bits = 8;
    for (size_t bit = 0; bit < bits; bit++) {
        setup(NULL);
        buf_consume(&to_answerer, to_answerer.len - LINK_PRELUDE);
        shake_hands();
        write_text(caller, "hi");
        write_text(caller, "there");
        bits = (LENGTH + 17 + 1 + 2) * 8;
        to_answerer.data[bit / 8] ^= (char)(1 << bit % 8);
        deliver(answerer, &to_answerer, &to_caller);
        assert_false(link_next(answerer, &body));
        if (bit / 8 < LENGTH) /* a length: too long, too short, or the wrong bytes */
            assert_int_not_equal(link_end(answerer), LINK_OK);
        else
            assert_int_equal(link_verdict(answerer), LINK_FORGED);
    }
}

static void frames_cannot_be_repeated_left_out_or_swapped(void **unused)
{
    (void)unused;
    for (int attack = 0; attack < 3; attack++) {
        setup(NULL);
        buf_consume(&to_answerer, to_answerer.len - LINK_PRELUDE);
        talk();
        write_text(caller, "one");
        owned_buf first = BUF_INIT;
        buf_append(&first, to_answerer.data, to_answerer.len);
        buf_clear(&to_answerer);
        write_text(caller, "two");
        owned_buf stream = BUF_INIT;
        if (attack == 0) /* repeated */
            buf_append(&stream, first.data, first.len);
        if (attack != 1) /* left out */
            buf_append(&stream, first.data, first.len);
        buf_append(&stream, to_answerer.data, to_answerer.len);
        if (attack == 2) { /* swapped */
            buf_consume(&stream, first.len);
            buf_append(&stream, first.data, first.len);
        }
        buf_clear(&to_answerer);
        deliver(answerer, &stream, &to_caller);
        if (attack == 0)
            expect_text(answerer, "one");
        expect_end(answerer, LINK_FORGED);
        assert_int_equal(link_end(answerer), LINK_FORGED);
    }
}

static void frames_do_not_go_back_to_their_sender_nor_into_another_session(void **unused)
{
    (void)unused;
    shake_hands();
    write_text(caller, "mine");
    owned_buf frame = BUF_INIT;
    buf_append(&frame, to_answerer.data, to_answerer.len);
    deliver(caller, &to_answerer, &to_caller);
    expect_end(caller, LINK_FORGED);
    given(end_of(true, OLD, "c", 1), end_of(false, OLD, "c", 3)); /* the caller's all again */
    shake_hands();
    deliver(answerer, &frame, &to_caller);
    expect_end(answerer, LINK_FORGED);
}

static void a_stream_that_ends_inside_something_is_truncated(void **unused)
{
    (void)unused;
    owned_mem char *bytes = random_bytes(LINK_FRAME_MAX + 10);
    shake_hands();
    write_text(caller, "hello");
    link_write(caller, bytes, LINK_FRAME_MAX + 10, false, &to_answerer);
    owned_buf stream = BUF_INIT;
    buf_append(&stream, to_answerer.data, to_answerer.len);
    const size_t hello = LENGTH + 17 + 1 + 5;
    const struct {
        size_t len;
        enum link_verdict verdict;
    } rows[] = {{0, LINK_OK},
                {3, LINK_TRUNCATED},
                {hello - 1, LINK_TRUNCATED},
                {hello, LINK_OK},
                {hello + LENGTH + LINK_FRAME_MAX, LINK_TRUNCATED}, /* between two pieces */
                {stream.len - 1, LINK_TRUNCATED},
                {stream.len, LINK_OK}};
    for (size_t i = 0; i < countof(rows); i++) {
        buf_clear(&to_answerer);
        setup(NULL);
        shake_hands();
        link_read(answerer, stream.data, rows[i].len, &to_caller);
        while (link_next(answerer, &body))
            ;
        assert_int_equal(link_end(answerer), rows[i].verdict);
    }
    buf_clear(&to_answerer);
    setup(NULL);
    assert_int_equal(link_end(answerer), LINK_TRUNCATED); /* not even a prelude */
}

static void strangers_cannot_make_us_wait_for_a_megabyte(void **unused)
{
    (void)unused;
    shake_hands();
    assert_int_equal(link_read(answerer, "\0\0\x10\x01", 4, &to_caller), LINK_OK);
    expect_end(answerer, LINK_OVERSIZED);
    buf_clear(&to_answerer);
    setup(NULL);
    talk();
    link_read(answerer, "\0\x10\0\0", 4, &to_caller);
    expect_end(answerer, LINK_OK); /* a member may */
    buf_clear(&to_answerer);
    setup(NULL);
    talk();
    link_read(answerer, "\0\x10\0\x01", 4, &to_caller);
    expect_end(answerer, LINK_OVERSIZED);
    buf_clear(&to_answerer);
    setup(NULL);
    talk();
    link_read(answerer, "\0\0\0\x12", 4, &to_caller);
    expect_end(answerer, LINK_MALFORMED); /* flags and nothing */
}

static void after_a_refusal_nothing_comes_any_more(void **unused)
{
    (void)unused;
    talk();
    write_text(caller, "changed");
    to_answerer.data[LENGTH] ^= 1;
    deliver(answerer, &to_answerer, &to_caller);
    expect_end(answerer, LINK_FORGED);
    write_text(caller, "good");
    assert_int_equal(deliver(answerer, &to_answerer, &to_caller), LINK_FORGED);
    expect_end(answerer, LINK_FORGED);
}

static void verdicts_have_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < LINK_VERDICTS; i++)
        assert_non_null(link_verdict_name((enum link_verdict)i));
    assert_string_equal(link_verdict_name(LINK_NOT_MESH), "not-mesh");
}

#define a_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(messages_go_both_ways_in_order),
        a_test(a_message_goes_as_one),
        a_test(bytes_may_come_one_by_one),
        a_test(bodies_of_every_size_arrive),
        a_test(no_frame_is_over_its_limit),
        a_test(long_text_is_compressed_to_the_largest_body),
        a_test(what_is_no_mesh_stream_gets_no_answer),
        a_test(our_own_prelude_is_no_answer),
        a_test(another_key_or_cluster_shows_at_the_first_frame),
        a_test(any_key_of_the_ring_answers),
        a_test(no_bit_of_a_frame_can_be_changed),
        a_test(frames_cannot_be_repeated_left_out_or_swapped),
        a_test(frames_do_not_go_back_to_their_sender_nor_into_another_session),
        a_test(a_stream_that_ends_inside_something_is_truncated),
        a_test(strangers_cannot_make_us_wait_for_a_megabyte),
        a_test(after_a_refusal_nothing_comes_any_more),
        a_test(verdicts_have_names),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
