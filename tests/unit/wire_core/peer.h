/* A peer of our own making, written from docs/protocol.md with libsodium alone: it agrees with
 * link.c, and it sends what link.c never would. */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include "proto/base/mem.h"
#include "proto/wire/link.h"

#include <sodium.h>
#include <string.h>

#define TAG_MESSAGE 0
#define TAG_FINAL   3

struct peer {
    crypto_secretstream_xchacha20poly1305_state to_link;
    crypto_secretstream_xchacha20poly1305_state from_link;
};

static inline void peer_session_key(const char *direction, const uint8_t *key, uint8_t nonce_c,
                                    uint8_t nonce_s, uint8_t out[32])
{
    uint8_t text[5 + 32 + 32 + 8];
    uint8_t name[16];
    memcpy(text, direction, 5);
    memset(text + 5, nonce_c, 32);
    memset(text + 37, nonce_s, 32);
    crypto_generichash(name, sizeof name, (const uint8_t *)"c", 1, NULL, 0);
    memcpy(text + 69, name, 8);
    crypto_generichash(out, 32, text, sizeof text, key, 32);
}

/* Returns a link that was called by the peer, owned, with both preludes done. */
static inline struct link *peer_call(struct peer *self, struct buf *answer)
{
    uint8_t kid[32], session[32], prelude[37] = "MSH1";
    const uint8_t header[24] = {0};
    struct keys keys;
    keys_from_name("c", &keys);
    const uint8_t *key = keys.key[0].bytes;
    crypto_generichash(kid, sizeof kid, (const uint8_t *)"kid1", 4, key, 32);
    prelude[4] = kid[0];
    memset(prelude + 5, 1, 32);
    struct link_config config = {.keys = &keys, .cluster = "c"};
    memset(config.nonce, 2, sizeof config.nonce);
    struct link *link_owned = link_new(&config, answer);
    link_read(link_owned, prelude, sizeof prelude, answer);
    peer_session_key("tcp1c", key, 1, 2, session);
    crypto_secretstream_xchacha20poly1305_init_pull(&self->to_link, header, session);
    peer_session_key("tcp1s", key, 1, 2, session);
    crypto_secretstream_xchacha20poly1305_init_pull(&self->from_link, header, session);
    return link_owned;
}

static inline void peer_frame(struct peer *self, uint8_t tag, uint8_t flags, const void *piece,
                              size_t len, struct buf *out)
{
    owned_mem uint8_t *plain = mem_new(len + 1);
    plain[0] = flags;
    if (len)
        memcpy(plain + 1, piece, len);
    size_t size = len + 1 + 17;
    owned_mem uint8_t *frame = mem_new(4 + size);
    frame[1] = (uint8_t)(size >> 16);
    frame[2] = (uint8_t)(size >> 8);
    frame[3] = (uint8_t)size;
    crypto_secretstream_xchacha20poly1305_push(&self->to_link, frame + 4, NULL, plain, len + 1,
                                               NULL, 0, tag);
    buf_append(out, frame, 4 + size);
}

#endif
