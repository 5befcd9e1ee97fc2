#include "proto/wire/link.h"

#include "proto/base/mem.h"
#include "proto/wire/squeeze.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define LENGTH    4
#define OVERHEAD  crypto_secretstream_xchacha20poly1305_ABYTES
#define LEAST     (OVERHEAD + 2)                  /* a frame of flags and one byte */
#define PIECE_MAX (LINK_FRAME_MAX - OVERHEAD - 1) /* of a body in one frame */
#define KEPT      (64u << 10)                     /* of a buffer that has nothing in it */

enum flag {
    FLAG_ZSTD = 1, /* the body as a whole is compressed: on each of its pieces */
    FLAG_MORE = 2, /* the body goes on in the next frame */
};

struct link {
    struct keys keys;
    uint8_t cluster[KEYS_NAME_HASH];
    uint8_t nonce[LINK_NONCE];
    bool caller;
    bool open;
    bool proven; /* a frame of the peer has authenticated */
    enum link_verdict verdict;
    crypto_secretstream_xchacha20poly1305_state out;
    crypto_secretstream_xchacha20poly1305_state in;
    struct buf arrived; /* bytes of the stream */
    size_t used;        /* of them */
    struct buf piece;   /* the last frame, opened: flags, then a piece */
    struct buf body;    /* the pieces so far of a body that has several */
    struct buf plain;   /* a body that was compressed */
    bool squeezed;      /* `body` is */
    bool given;         /* the last body was handed out */
    struct buf sealing; /* a piece with its flags */
};

const char *link_verdict_name(enum link_verdict verdict)
{
    static const char *const names[LINK_VERDICTS] = {"ok",        "not-mesh",  "version",
                                                     "key",       "reflected", "forged",
                                                     "oversized", "malformed", "truncated"};
    return (unsigned)verdict < LINK_VERDICTS ? names[verdict] : "unknown";
}

static void send_prelude(const struct link *self, uint8_t kid, struct buf *out)
{
    buf_append(out, LINK_MAGIC, LINK_MAGIC_LEN);
    buf_putc(out, (char)kid);
    buf_append(out, self->nonce, LINK_NONCE);
}

struct link *link_new(const struct link_config *config, struct buf *out)
{
    assert(config->keys->count >= 1 && config->keys->count <= KEYS_MAX);
    struct link *self = mem_new(sizeof *self);
    self->keys = *config->keys;
    self->caller = config->caller;
    memcpy(self->nonce, config->nonce, LINK_NONCE);
    keys_name_hash(config->cluster, self->cluster);
    if (self->caller)
        send_prelude(self, self->keys.key[0].kid, out);
    return self;
}

void link_free(struct link *self_owned)
{
    if (!self_owned)
        return;
    buf_fini(&self_owned->arrived);
    buf_fini(&self_owned->piece);
    buf_fini(&self_owned->body);
    buf_fini(&self_owned->plain);
    buf_fini(&self_owned->sealing);
    sodium_memzero(self_owned, sizeof *self_owned);
    free(self_owned);
}

static enum link_verdict refuse(struct link *self, enum link_verdict why)
{
    if (self->verdict == LINK_OK)
        self->verdict = why;
    return self->verdict;
}

/* The stream of one direction. Its key belongs to this session and direction alone, so the header
 * that libsodium would draw at random and send may be fixed: init_pull() sets up from a given one
 * the very state that init_push() would. */
static void start_stream(const struct link *self, const struct key *key, const uint8_t *theirs,
                         bool from_caller, crypto_secretstream_xchacha20poly1305_state *out)
{
    static const uint8_t header[crypto_secretstream_xchacha20poly1305_HEADERBYTES] = {0};
    const uint8_t *called_by = self->caller ? self->nonce : theirs;
    const uint8_t *answered_by = self->caller ? theirs : self->nonce;
    uint8_t session[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, key->bytes, KEYS_BYTES, sizeof session);
    crypto_generichash_update(&hash, (const uint8_t *)(from_caller ? "tcp1c" : "tcp1s"), 5);
    crypto_generichash_update(&hash, called_by, LINK_NONCE);
    crypto_generichash_update(&hash, answered_by, LINK_NONCE);
    crypto_generichash_update(&hash, self->cluster, KEYS_NAME_HASH);
    crypto_generichash_final(&hash, session, sizeof session);
    crypto_secretstream_xchacha20poly1305_init_pull(out, header, session);
    sodium_memzero(session, sizeof session);
}

static enum link_verdict judge_prelude(const struct link *self, const uint8_t *bytes, size_t len)
{
    size_t some = len < LINK_MAGIC_LEN - 1 ? len : LINK_MAGIC_LEN - 1;
    if (memcmp(bytes, LINK_MAGIC, some) != 0)
        return LINK_NOT_MESH;
    if (len >= LINK_MAGIC_LEN && bytes[LINK_MAGIC_LEN - 1] != LINK_MAGIC[LINK_MAGIC_LEN - 1])
        return LINK_VERSION_UNKNOWN;
    if (len < LINK_PRELUDE)
        return LINK_OK;
    uint8_t kid = bytes[LINK_MAGIC_LEN];
    if (self->caller ? kid != self->keys.key[0].kid : !keys_find(&self->keys, kid))
        return LINK_KEY_UNKNOWN;
    if (memcmp(bytes + LINK_MAGIC_LEN + 1, self->nonce, LINK_NONCE) == 0)
        return LINK_REFLECTED;
    return LINK_OK;
}

static void take_prelude(struct link *self, struct buf *out)
{
    const uint8_t *bytes = (const uint8_t *)self->arrived.data;
    enum link_verdict verdict = judge_prelude(self, bytes, self->arrived.len);
    if (verdict != LINK_OK) {
        refuse(self, verdict);
        return;
    }
    if (self->arrived.len < LINK_PRELUDE)
        return;
    const struct key *key = keys_find(&self->keys, bytes[LINK_MAGIC_LEN]);
    const uint8_t *theirs = bytes + LINK_MAGIC_LEN + 1;
    if (!self->caller)
        send_prelude(self, key->kid, out);
    start_stream(self, key, theirs, self->caller, &self->out);
    start_stream(self, key, theirs, !self->caller, &self->in);
    self->used = LINK_PRELUDE;
    self->open = true;
    keys_wipe(&self->keys);
}

/* Large bodies are rare: their memory does not stay with a link that is idle. */
static void forget(struct buf *buf)
{
    if (buf->capacity > KEPT)
        buf_fini(buf);
    else
        buf_clear(buf);
}

enum link_verdict link_read(struct link *self, const void *bytes, size_t len, struct buf *out)
{
    if (self->verdict != LINK_OK || len == 0)
        return self->verdict;
    if (self->used == self->arrived.len)
        forget(&self->arrived);
    else
        buf_consume(&self->arrived, self->used);
    self->used = 0;
    buf_append(&self->arrived, bytes, len);
    if (!self->open)
        take_prelude(self, out);
    return self->verdict;
}

/* Opens the next frame into `piece`. False when it is not whole yet or refused. */
static bool open_frame(struct link *self)
{
    const uint8_t *at = (const uint8_t *)self->arrived.data + self->used;
    size_t left = self->arrived.len - self->used;
    if (left < LENGTH)
        return false;
    size_t len = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (len > (self->proven ? LINK_FRAME_MAX : LINK_FIRST_MAX))
        return refuse(self, LINK_OVERSIZED), false;
    if (len < LEAST)
        return refuse(self, LINK_MALFORMED), false;
    if (left < LENGTH + len)
        return false;
    buf_clear(&self->piece);
    unsigned char tag;
    if (crypto_secretstream_xchacha20poly1305_pull(
            &self->in, (uint8_t *)buf_reserve(&self->piece, len - OVERHEAD), NULL, &tag,
            at + LENGTH, len, NULL, 0))
        return refuse(self, LINK_FORGED), false;
    buf_added(&self->piece, len - OVERHEAD);
    self->used += LENGTH + len;
    self->proven = true;
    if (tag != crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)
        return refuse(self, LINK_MALFORMED), false;
    return true;
}

/* Adds the piece to its body. True when that is whole: in `body`, or in `piece` if it came in one.
 */
static bool add_piece(struct link *self)
{
    uint8_t flags = (uint8_t)self->piece.data[0];
    bool squeezed = flags & FLAG_ZSTD;
    bool begins = self->body.len == 0;
    if (flags & ~(FLAG_ZSTD | FLAG_MORE) || (!begins && squeezed != self->squeezed))
        return refuse(self, LINK_MALFORMED), false;
    self->squeezed = squeezed;
    if (begins && !(flags & FLAG_MORE))
        return true;
    if (self->body.len + self->piece.len - 1 > LINK_BODY_MAX)
        return refuse(self, LINK_OVERSIZED), false;
    buf_append(&self->body, self->piece.data + 1, self->piece.len - 1);
    return !(flags & FLAG_MORE);
}

static bool give_body(struct link *self, const char *bytes, size_t len, struct wire_bytes *body)
{
    if (self->squeezed) {
        enum link_verdict verdict = unsqueeze(bytes, len, &self->plain);
        if (verdict != LINK_OK)
            return refuse(self, verdict), false;
        bytes = self->plain.data;
        len = self->plain.len;
    }
    *body = (struct wire_bytes){(const uint8_t *)bytes, len};
    return true;
}

bool link_next(struct link *self, struct wire_bytes *body)
{
    *body = (struct wire_bytes){0};
    if (self->given) {
        forget(&self->body);
        forget(&self->plain);
        self->given = false;
    }
    while (self->verdict == LINK_OK && self->open && open_frame(self)) {
        if (!add_piece(self))
            continue;
        bool several = self->body.len > 0;
        const char *bytes = several ? self->body.data : self->piece.data + 1;
        self->given = give_body(self, bytes, several ? self->body.len : self->piece.len - 1, body);
        return self->given;
    }
    forget(&self->piece);
    return false;
}

enum link_verdict link_verdict(const struct link *self) { return self->verdict; }

bool link_is_open(const struct link *self) { return self->open && self->verdict == LINK_OK; }

static void write_frame(struct link *self, uint8_t flags, const char *piece, size_t len,
                        struct buf *out)
{
    buf_clear(&self->sealing);
    buf_putc(&self->sealing, (char)flags);
    buf_append(&self->sealing, piece, len);
    size_t size = len + 1 + OVERHEAD;
    uint8_t *to = (uint8_t *)buf_reserve(out, LENGTH + size);
    for (int i = 0; i < LENGTH; i++)
        to[i] = (uint8_t)(size >> (8 * (LENGTH - 1 - i)));
    crypto_secretstream_xchacha20poly1305_push(
        &self->out, to + LENGTH, NULL, (const uint8_t *)self->sealing.data, len + 1, NULL, 0,
        crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    buf_added(out, LENGTH + size);
}

void link_write(struct link *self, const void *body, size_t len, bool compress, struct buf *out)
{
    assert(link_is_open(self) && len >= 1 && len <= LINK_BODY_MAX);
    owned_buf small = BUF_INIT;
    const char *at = body;
    uint8_t zstd = 0;
    if (compress && len > LINK_PLAIN_MAX && squeeze(body, len, &small)) {
        zstd = FLAG_ZSTD;
        at = small.data;
        len = small.len;
    }
    for (; len > PIECE_MAX; at += PIECE_MAX, len -= PIECE_MAX)
        write_frame(self, zstd | FLAG_MORE, at, PIECE_MAX, out);
    write_frame(self, zstd, at, len, out);
    forget(&self->sealing);
}

void link_send(struct link *self, const struct wire_msg *msg, struct buf *out)
{
    owned_buf body = BUF_INIT;
    wire_encode(msg, &body);
    /* Blobs are compressed where they are kept. */
    link_write(self, body.data, body.len, msg->kind != WIRE_DATA, out);
}

enum link_verdict link_end(struct link *self)
{
    bool inside =
        !self->open || self->used < self->arrived.len || (self->body.len > 0 && !self->given);
    return inside ? refuse(self, LINK_TRUNCATED) : self->verdict;
}
