/* wire: messages to bytes and back.
 *
 * A message is the msgpack array [id, field, …]. On a stream it is the body of one frame (link.h);
 * a datagram's body is [gen, ver, mhash, shash, load or nil, message, …] (seal.h hides it from
 * strangers). Arrays may grow at their end: more elements than this version knows are skipped,
 * fewer leave the last fields zero; ids that it does not know are skipped and counted. Everything
 * else that is not as docs/protocol.md says refuses the message.
 *
 * Bytes are never given to a general unpacker: proto/base/cursor.h reads them. Pure. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/message.h"

/* ---- one message ----------------------------------------------------------------------------- */

/* Appends the message. A field beyond its limit is a bug of ours (assert): check texts from
 * configuration with wire_text_ok() and lists by the limits in message.h. */
void wire_encode(const struct wire_msg *msg, struct buf *out);

/* Reads one message that fills the bytes. On success `out` is to be given to wire_msg_fini(); its
 * `struct wire_bytes` borrow from `bytes`. An unknown id succeeds as WIRE_UNKNOWN. Allocates at
 * most 4 * len. On failure `out` owns nothing.
 * Errors: ERR_INVALID. */
int wire_decode(const void *bytes, size_t len, struct wire_msg *out, struct err *err) ERR_CHECKED;

/* Frees what a decoded message owns; harmless on one that a caller built. */
void wire_msg_fini(struct wire_msg *self);
#define owned_wire_msg __attribute__((cleanup(wire_msg_fini))) struct wire_msg

/* Says whether a kind travels in datagrams; the others travel on streams. */
bool wire_kind_is_datagram(enum wire_kind kind);

/* ---- a datagram's body ----------------------------------------------------------------------- */

/* Of the body, so that body, seal and UDP header fit 1280, the least that IPv6 carries whole. */
#define WIRE_PACKET_MAX    1200                                   /* bytes of UDP payload */
#define WIRE_PACKET_BODY   (WIRE_PACKET_MAX - WIRE_SEAL_OVERHEAD) /* plain bytes */
#define WIRE_SEAL_OVERHEAD 40                                     /* what seal.h adds */

/* What stands at the front of every packet. (gen, ver) is the sender's incarnation. */
struct wire_packet_head {
    uint64_t gen;
    uint32_t ver;
    uint32_t mhash; /* low half of the xor of wire_member_hash() over the sender's table */
    uint32_t shash; /* low half of its store's digest */
    bool has_load;
    struct wire_load load; /* the sender's own */
};

/* A body that is being filled. */
struct wire_packet {
    struct buf body; /* complete after each call: ready to be sealed */
    size_t limit;
    size_t count; /* messages in it */
};

/* Starts a body of at most `limit` bytes, of which the head needs some 60: WIRE_PACKET_BODY. */
void wire_packet_init(struct wire_packet *self, const struct wire_packet_head *head, size_t limit);
void wire_packet_fini(struct wire_packet *self);

/* Appends a message if it fits; else changes nothing and returns false. */
bool wire_packet_add(struct wire_packet *self, const struct wire_msg *msg);

/* Reads a body. Borrows the bytes it was opened on. */
struct wire_packet_reader {
    const uint8_t *at;
    const uint8_t *end;
    size_t left;    /* messages */
    size_t unknown; /* messages that were skipped so far, for not being known */
};

/* Reads the head and checks that the rest is a run of whole values, so that a broken body is
 * refused before any of it is acted upon.
 * Errors: ERR_INVALID. */
int wire_packet_open(struct wire_packet_reader *self, const void *body, size_t len,
                     struct wire_packet_head *head, struct err *err) ERR_CHECKED;

/* Reads the next message that is known and belongs in a datagram. Returns 1 with `out` to be given
 * to wire_msg_fini(), 0 at the end, ERR_INVALID for a message that is not well made: the rest is
 * then not read. */
int wire_packet_next(struct wire_packet_reader *self, struct wire_msg *out,
                     struct err *err) ERR_CHECKED;

#endif
