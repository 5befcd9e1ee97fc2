/* seal: datagrams that only members can write and read.
 *
 *   0      1      2                10             18           24                   n-16   n
 *   | ver  | kid  | sender (8)     | boot (8)     | ctr (6)    | ChaCha20-Poly1305   | tag  |
 *
 *   key   = BLAKE2b-256(key: cluster key `kid`, "udp1" | sender | boot)
 *   nonce = 6 zero bytes | ctr       ctr counts from 1; boot is random at each start
 *   AAD   = the 24 bytes of the header | first 8 bytes of BLAKE2b-128(cluster)
 *
 * Numbers are big-endian. RFC 8439 (IETF nonce), RFC 7693. A packet that does not open is counted
 * and never answered. Of one that does, the counter must be new within a window of 64 (the way of
 * RFC 4303, 3.4.3), kept for each (sender, boot).
 *
 * Replay that remains: after a restart of the receiver, or for a sender that was heard so long ago
 * that its window was given away, an old packet opens once more. The order of (gen, ver) in the
 * messages makes it old news. Pure. */
#ifndef WIRE_SEAL_H
#define WIRE_SEAL_H

#include "proto/wire/keys.h"
#include "proto/wire/wire.h"

#define SEAL_VERSION 1
#define SEAL_HEAD    24
#define SEAL_TAG     16
#define SEAL_WINDOW  64   /* counters behind the newest that are told apart */
#define SEAL_SENDERS 4096 /* windows kept; the one longest unheard gives way */
#define SEAL_BOOTS   4    /* of them for one sender */

/* What became of a packet; the index of a counter. */
enum seal_verdict {
    SEAL_OK,
    SEAL_SHORT, /* no room for a header and a tag */
    SEAL_LONG,  /* over WIRE_PACKET_MAX */
    SEAL_VERSION_UNKNOWN,
    SEAL_KEY_UNKNOWN, /* no key of that kid */
    SEAL_FORGED,      /* does not authenticate: changed, another key, another cluster */
    SEAL_OWN,         /* our own packet came back */
    SEAL_OLD,         /* behind the window */
    SEAL_REPLAYED,    /* seen before */
    SEAL_VERDICTS
};

/* "short", "forged", …; static. */
const char *seal_verdict_name(enum seal_verdict verdict);

struct seal_config {
    const struct keys *keys;
    const char *cluster;
    uint64_t node; /* ours */
    uint64_t boot; /* random, drawn for this start of the process: never used twice with a key */
};

struct seal;

/* Copies all it needs. Returns owned. */
struct seal *seal_new(const struct seal_config *config);
void seal_free(struct seal *self_owned);

/* Takes another ring from now on. The counter and the windows go on. */
void seal_set_keys(struct seal *self, const struct keys *keys);

/* Seals a body of at most WIRE_PACKET_BODY bytes into `out`, which has room for WIRE_PACKET_MAX.
 * Returns the packet's length. */
size_t seal_close(struct seal *self, const void *body, size_t len, uint8_t *out);

struct seal_opened {
    uint64_t node; /* who sealed it */
    uint64_t boot;
    size_t len;                     /* of the body */
    uint8_t body[WIRE_PACKET_BODY]; /* meaningful after SEAL_OK alone */
};

/* Opens a packet of any bytes. Only SEAL_OK may be acted upon; each verdict is counted. Nothing but
 * the counters changes unless the packet authenticates. */
enum seal_verdict seal_open(struct seal *self, const void *packet, size_t len,
                            struct seal_opened *out);

/* Packets so far by verdict: SEAL_VERDICTS counters, borrowed. */
const uint64_t *seal_counts(const struct seal *self);

/* Windows kept now. */
size_t seal_sender_count(const struct seal *self);

#endif
