/* member: what a node says of itself, and the order in which such records win.
 *
 * The table of members is a map from node to the largest record, by (gen, ver, st). Only the node
 * itself mints (gen, ver), and its attributes travel with them; so tables are joined by taking the
 * larger, in any order, over any path. (SWIM: Das, Gupta, Motivala 2002, with a persisted
 * generation in the incarnation.) */
#ifndef WIRE_MEMBER_H
#define WIRE_MEMBER_H

#include "proto/base/id.h"
#include "proto/wire/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_NAME_MAX    63  /* bytes, as is the next one */
#define WIRE_ADDRESS_MAX 300 /* host:port as shown to people */

/* Versions of the protocol that one side speaks, both ends included; min >= 1. */
struct wire_versions {
    uint8_t min;
    uint8_t max;
};

#define WIRE_VERSION_MIN 1
#define WIRE_VERSION_MAX 1
#define WIRE_VERSIONS    ((struct wire_versions){WIRE_VERSION_MIN, WIRE_VERSION_MAX})

/* Returns the version that two sides speak with each other: the smaller of the two largest, or 0
 * when their ranges do not meet. Symmetric. */
uint8_t wire_version_agree(struct wire_versions a, struct wire_versions b);

/* In the order in which they win inside one (gen, ver). */
enum wire_state {
    WIRE_STATE_ALIVE,
    WIRE_STATE_SUSPECT,
    WIRE_STATE_DEAD,
    WIRE_STATE_LEFT,
    WIRE_STATE_COUNT
};

/* "alive", "suspect", …; static. */
const char *wire_state_name(enum wire_state state);

enum wire_flag {
    WIRE_FLAG_DRAINING = 1, /* takes no new work */
};

struct wire_caps {
    uint16_t slots;
    uint16_t speed; /* percent of the reference machine; 0 unknown */
    uint32_t mem_mb;
};

/* Texts are NUL-terminated UTF-8 without control characters, never NULL on what was decoded; NULL
 * is written as "". A decoded record borrows them from its message. */
struct wire_member {
    struct id_node node; /* id_node_short() names it everywhere else */
    uint64_t gen;        /* one process life: larger than any before, synced before the first use */
    uint32_t ver;        /* within it: raised by refuting and by a change of what is below */
    enum wire_state st;  /* WIRE_STATE_ALIVE in an ALIVE message */
    struct wire_addr addr; /* of the mesh: UDP and TCP; never none */
    uint16_t http;         /* port of the API; 0 none */
    struct wire_versions pv;
    uint32_t feat;  /* bits of features; unknown ones mean nothing */
    uint32_t flags; /* enum wire_flag; unknown ones mean nothing */
    struct wire_caps caps;
    const char *name;    /* a label, at most WIRE_NAME_MAX; need not be unique */
    const char *address; /* host:port shown to people, at most WIRE_ADDRESS_MAX; may be empty */
};

/* Order of two records of one node: (gen, ver, st). Negative, 0 or positive; the larger wins. */
int wire_member_compare(const struct wire_member *a, const struct wire_member *b);

/* 64 bits of BLAKE2b (hash_u64()) over (node, gen, ver, st) and the address (family, ip, port),
 * big-endian. A table's digest is the xor over its records; its low 32 bits are `mhash` in packets,
 * those of one record its tag in MSYNC. The address is in it so that two processes with one id are
 * told apart even when they are equal in all else. */
uint64_t wire_member_hash(const struct wire_member *self);

/* Says whether a text may be sent as a name or an address: at most `max` bytes of valid UTF-8
 * without control characters. What fails this on arrival refuses the message. */
bool wire_text_ok(const char *text, size_t max);

#endif
