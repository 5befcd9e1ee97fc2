#include "proto/wire/member.h"

#include "proto/base/hash.h"
#include "proto/base/utf8.h"

#include <string.h>

uint8_t wire_version_agree(struct wire_versions a, struct wire_versions b)
{
    uint8_t spoken = a.max < b.max ? a.max : b.max;
    return spoken >= a.min && spoken >= b.min ? spoken : 0;
}

const char *wire_state_name(enum wire_state state)
{
    static const char *const names[WIRE_STATE_COUNT] = {"alive", "suspect", "dead", "left"};
    return (unsigned)state < WIRE_STATE_COUNT ? names[state] : "unknown";
}

int wire_member_compare(const struct wire_member *a, const struct wire_member *b)
{
    if (a->gen != b->gen)
        return a->gen < b->gen ? -1 : 1;
    if (a->ver != b->ver)
        return a->ver < b->ver ? -1 : 1;
    return (a->st > b->st) - (a->st < b->st);
}

static uint8_t *put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

uint64_t wire_member_hash(const struct wire_member *self)
{
    uint8_t bytes[21 + 19];
    uint8_t *at = put(bytes, id_node_short(&self->node), 8);
    at = put(at, self->gen, 8);
    at = put(at, self->ver, 4);
    at = put(at, self->st, 1);
    at = put(at, self->addr.family, 1);
    memcpy(at, self->addr.ip, sizeof self->addr.ip);
    put(at + sizeof self->addr.ip, self->addr.port, 2);
    return hash_u64(bytes, sizeof bytes);
}

bool wire_text_ok(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len > max || !utf8_is_valid(text, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}
