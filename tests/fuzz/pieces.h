/* pieces: an input as what happens to a machine, one thing after the other, with nodes of a fixed
 * name and place.
 *
 * A piece is: who u8 | length u16, little-endian | bytes. `who` from PIECE_EVENT on is no node that
 * says bytes: something else happens, and the length is a number that goes with it. */
#ifndef TESTS_FUZZ_PIECES_H
#define TESTS_FUZZ_PIECES_H

#include "proto/wire/member.h"

#include <stdlib.h>

#define PIECE_EVENT 0xf0

struct piece {
    uint8_t who;
    uint16_t number;
    const uint8_t *bytes; /* none of an event; fewer than `number` at the input's end */
    size_t len;
};

/* Takes the first piece off the input. Returns false when there is none. */
static inline bool piece_next(const uint8_t **data, size_t *size, struct piece *out)
{
    const size_t head = 3;
    if (*size < head)
        return false;
    *out = (struct piece){.who = (*data)[0],
                          .number = (uint16_t)((*data)[1] | (*data)[2] << 8),
                          .bytes = *data + head};
    *data += head;
    *size -= head;
    if (out->who < PIECE_EVENT)
        out->len = out->number < *size ? out->number : *size;
    *data += out->len;
    *size -= out->len;
    return true;
}

static inline void expect(bool ok)
{
    if (!ok)
        abort();
}

static inline struct id_node node_k(unsigned k) { return (struct id_node){.bytes = {(uint8_t)k}}; }

static inline uint64_t short_k(unsigned k)
{
    struct id_node node = node_k(k);
    return id_node_short(&node);
}

static inline struct wire_addr addr_k(unsigned k)
{
    return wire_addr_v4((const uint8_t[4]){10, 0, 0, (uint8_t)k}, 5001);
}

#endif
