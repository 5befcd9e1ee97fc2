/* The first byte chooses: bytes of a stranger as a stream; the frames of a member who may say
 * anything; or a body that goes through a link. However the stream is cut into reads, what comes
 * out is the same. */
#include "tests/unit/wire_core/peer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

/* Feeds a stream in pieces of `step` and gathers the bodies, each behind its length. */
static enum link_verdict gather(struct link *self, const struct buf *stream, size_t step,
                                struct buf *out)
{
    owned_buf answer = BUF_INIT;
    for (size_t at = 0; at < stream->len; at += step) {
        size_t len = stream->len - at < step ? stream->len - at : step;
        owned_mem char *copy = mem_dup(stream->data + at, len);
        link_read(self, copy, len, &answer);
        struct wire_bytes body;
        while (link_next(self, &body)) {
            expect(body.len > 0 && body.len <= LINK_BODY_MAX);
            buf_printf(out, "%zu:", body.len);
            buf_append(out, body.data, body.len);
        }
    }
    return link_end(self);
}

static void stranger(const uint8_t *data, size_t size)
{
    struct keys keys;
    keys_from_name("c", &keys);
    owned_buf out = BUF_INIT;
    owned_buf stream = BUF_INIT;
    if (size && data[0] & 1) { /* with a prelude that fits */
        buf_puts(&stream, LINK_MAGIC);
        buf_putc(&stream, (char)keys.key[0].kid);
        for (size_t i = 0; i < LINK_NONCE; i++)
            buf_putc(&stream, 1);
    }
    buf_append(&stream, data, size);
    struct link *self = link_new(&(struct link_config){.keys = &keys, .cluster = "c"}, &out);
    gather(self, &stream, 1 + size / 3, &out);
    expect(out.len == 0);
    link_free(self);
}

/* Frames as in [flags, low and high byte of the length, piece …]. */
static void member(const uint8_t *data, size_t size)
{
    struct peer peer;
    owned_buf answer = BUF_INIT;
    owned_buf stream = BUF_INIT;
    owned_buf whole = BUF_INIT;
    owned_buf split = BUF_INIT;
    struct link *one = peer_call(&peer, &answer);
    while (size >= 3) {
        size_t len = (size_t)data[2] << 8 | data[1];
        len = len < size - 3 ? len : size - 3;
        peer_frame(&peer, data[0] >> 6, data[0] & 0x3f, data + 3, len, &stream);
        data += 3 + len;
        size -= 3 + len;
    }
    struct link *two = peer_call(&peer, &answer);
    enum link_verdict verdict = gather(one, &stream, stream.len + 1, &whole);
    expect(gather(two, &stream, 7, &split) == verdict);
    expect(whole.len == split.len);
    expect(whole.len == 0 || memcmp(whole.data, split.data, whole.len) == 0);
    link_free(one);
    link_free(two);
}

static void round_trip(const uint8_t *data, size_t size)
{
    struct keys keys;
    keys_from_name("c", &keys);
    owned_buf there = BUF_INIT;
    owned_buf back = BUF_INIT;
    owned_buf bodies = BUF_INIT;
    struct link *ends[2];
    for (int i = 0; i < 2; i++) {
        struct link_config config = {.keys = &keys, .cluster = "c", .caller = i == 0};
        config.nonce[0] = (uint8_t)i;
        ends[i] = link_new(&config, &there);
    }
    link_read(ends[1], there.data, there.len, &back);
    link_read(ends[0], back.data, back.len, &there);
    buf_clear(&there);
    link_write(ends[0], "x", 1, false, &there);
    link_write(ends[0], data, size, true, &there);
    expect(gather(ends[1], &there, 1 + size / 5, &bodies) == LINK_OK);
    owned_buf want = BUF_INIT;
    buf_printf(&want, "1:x%zu:", size);
    buf_append(&want, data, size);
    expect(want.len == bodies.len && memcmp(want.data, bodies.data, want.len) == 0);
    link_free(ends[0]);
    link_free(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] % 3 == 0)
        stranger(data + 1, size - 1);
    else if (data[0] % 3 == 1)
        member(data + 1, size - 1);
    else
        round_trip(data + 1, size - 1);
    return 0;
}
