/* link: the crypto and the framing of one stream, as a machine fed with bytes of any split.
 *
 *   prelude, each way:  "MSH1" | kid (1) | nonce (32)   the caller's first, then the answer
 *   session keys        BLAKE2b-256(key: cluster key `kid`,
 *                         "tcp1c" or "tcp1s" | nonce_c | nonce_s | name)
 *                       name: the first 8 bytes of BLAKE2b-128(cluster)
 *   frame               length (4, big-endian) | ciphertext of libsodium's secretstream
 *   plain frame         flags (1) | a piece of a body
 *
 * A body is one message. One over LINK_PLAIN_MAX is compressed as a whole (zstd) if that makes it
 * smaller; one that does not fit a frame goes on in the next ones. Frames can be neither changed,
 * nor left out, repeated or swapped: the first that does not authenticate ends the link. Until the
 * first frame of a peer has, it may be LINK_FIRST_MAX long at most, so that strangers cost little.
 *
 * The peer whose prelude does not fit gets no answer. An end of the stream is no message: what it
 * means is for the reader to say. No forward secrecy: who gets the key reads what was recorded.
 * Pure: the nonce comes from the caller. */
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

#include "proto/wire/keys.h"
#include "proto/wire/wire.h"

#define LINK_MAGIC     "MSH1"
#define LINK_MAGIC_LEN 4
#define LINK_NONCE     32
#define LINK_PRELUDE   (LINK_MAGIC_LEN + 1 + LINK_NONCE)
#define LINK_FRAME_MAX (1u << 20)  /* bytes of ciphertext */
#define LINK_FIRST_MAX 4096        /* of the first frame */
#define LINK_BODY_MAX  (16u << 20) /* plain bytes of one message */
#define LINK_PLAIN_MAX 4096        /* longer bodies are compressed */

enum link_verdict {
    LINK_OK,
    LINK_NOT_MESH,        /* does not begin with "MSH" */
    LINK_VERSION_UNKNOWN, /* a mesh stream of another version */
    LINK_KEY_UNKNOWN,     /* no key of that kid, or the answer names another one */
    LINK_REFLECTED,       /* our own nonce came back */
    LINK_FORGED,          /* a frame that does not authenticate: changed, other key or cluster */
    LINK_OVERSIZED,       /* a frame or a body over its limit */
    LINK_MALFORMED,       /* an authentic frame that is none: empty, unknown flags, bad zstd */
    LINK_TRUNCATED,       /* the stream ended inside a prelude, a frame or a body */
    LINK_VERDICTS
};

/* "not-mesh", "forged", …; static. */
const char *link_verdict_name(enum link_verdict verdict);

struct link_config {
    const struct keys *keys;
    const char *cluster;
    bool caller;               /* opened the connection */
    uint8_t nonce[LINK_NONCE]; /* random, drawn for this connection */
};

struct link;

/* Copies all it needs. Appends to `out` what is to be sent first: the caller's prelude. Returns
 * owned. */
struct link *link_new(const struct link_config *config, struct buf *out);
void link_free(struct link *self_owned);

/* Takes bytes that arrived, appends to `out` what is to be sent at once: the answer's prelude.
 * Returns how it stands; anything but LINK_OK is for good. */
enum link_verdict link_read(struct link *self, const void *bytes, size_t len, struct buf *out);

/* Takes the next whole body: returns true with `body` borrowed until the next call. False: none yet
 * or refused, see link_verdict(). Call it until it says false after each link_read(). */
bool link_next(struct link *self, struct wire_bytes *body);

/* How it stands. */
enum link_verdict link_verdict(const struct link *self);

/* True once both preludes are exchanged, so that frames may be written. Whether the peer holds the
 * key is known only from its first frame: link_next(). */
bool link_is_open(const struct link *self);

/* Appends the frames of one message to `out`; the link is open. */
void link_send(struct link *self, const struct wire_msg *msg, struct buf *out);

/* As link_send(), of a body of 1 … LINK_BODY_MAX bytes. */
void link_write(struct link *self, const void *body, size_t len, bool compress, struct buf *out);

/* The stream has ended: LINK_TRUNCATED if inside something. */
enum link_verdict link_end(struct link *self);

#endif
