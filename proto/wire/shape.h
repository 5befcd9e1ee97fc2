/* shape: the fields of a message as data, so that one writer and one reader serve them all and
 * cannot disagree. Private to this room. */
#ifndef WIRE_SHAPE_H
#define WIRE_SHAPE_H

#include "proto/base/buf.h"
#include "proto/base/cursor.h"
#include "proto/wire/message.h"

enum shape_type {
    SHAPE_BOOL,
    SHAPE_U8, /* numbers: at most `max` */
    SHAPE_U16,
    SHAPE_U32,
    SHAPE_ENUM,
    SHAPE_U64,       /* as short as it is */
    SHAPE_ID,        /* a u64 that is random: always 9 bytes */
    SHAPE_ID_OR_NIL, /* 0 as nil */
    SHAPE_EVAL,      /* an evaluation's id: SHAPE_ID in its range */
    SHAPE_NODE,      /* struct id_node: bin 16 */
    SHAPE_HASH,      /* struct hash: bin 32 */
    SHAPE_ADDR,      /* bin 6 or 18: address, port */
    SHAPE_TEXT,      /* str, at most `max` bytes, see wire_text_ok() */
    SHAPE_BYTES,     /* bin, at most `max` bytes; nil for none */
    SHAPE_STRUCT,    /* array: `item`, in place */
    SHAPE_WARM,      /* array of u32, in place, its count a u8 */
    SHAPE_NUMBERS,   /* array of u32, at most `max`; the next ones are lists too */
    SHAPE_LIST,      /* array of arrays: `item` */
    SHAPE_IDS,       /* bin of 8 bytes each */
    SHAPE_BUCKETS,   /* SHAPE_IDS, none or `max` of them */
    SHAPE_DIGESTS,   /* bin of 8 + 8 bytes each: struct wire_digest */
    SHAPE_TAGS,      /* bin of 8 + 4 bytes each: struct wire_tag */
    SHAPE_HASHES,    /* bin of 32 bytes each */
};

struct shape;

struct shape_field {
    enum shape_type type;
    uint16_t at;       /* offset in the struct */
    uint16_t count_at; /* of a list: where its size_t count is */
    uint32_t max;
    const struct shape *item;
};

struct shape {
    const char *name;
    enum wire_kind kind; /* WIRE_UNKNOWN: part of a message */
    uint16_t size;       /* of the struct */
    uint8_t least;       /* elements that must be there; later ones may be missing */
    uint8_t count;
    const struct shape_field *fields;
};

/* Returns the shape of a kind, NULL for one that is not known. */
const struct shape *shape_of(uint64_t kind);

extern const struct shape shape_load; /* as a packet's head holds it, without an id */

/* The first of the union in struct wire_msg: all begin there. */
#define shape_content(msg) (&(msg)->ping)

/* Appends a struct as an array, with its id in front if it is a message. */
void shape_pack(const struct shape *shape, const void *from, struct buf *out);

struct unpack {
    struct cursor in;
    struct wire_memory *memory;
    size_t budget; /* bytes that may yet be allocated */
};

/* Reads the elements that follow an array's header of `count` into the zeroed struct `to`, skipping
 * what is too many. False, with the cursor spoiled or not, when something is not as it should be.
 */
bool shape_unpack(struct unpack *self, const struct shape *shape, size_t count, void *to);

/* Returns zeroed room for `count` items, owned by the message; NULL over budget. */
void *unpack_room(struct unpack *self, size_t count, size_t size);

/* Frees all that a message owns. */
void unpack_free(struct wire_memory *memory);

#endif
