/* Messages of every kind, made from the same table that the codec uses: as small, as large or as
 * random as they may be. */
#ifndef TESTS_ANY_MESSAGE_H
#define TESTS_ANY_MESSAGE_H

#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "proto/wire/shape.h"
#include "proto/wire/wire.h"

#include <string.h>

enum size { SMALLEST, LARGEST, RANDOM };

struct pool {
    void *owned[65536];
    size_t count;
    struct rand rand;
    enum size size;
    size_t list_max; /* items of a list, whatever its own limit */
};

static void pool_fini(struct pool *self)
{
    while (self->count > 0)
        free(self->owned[--self->count]);
}

static inline void *pool_room(struct pool *self, size_t count, size_t size)
{
    return self->owned[self->count++] = mem_new_array(count, size);
}

static inline uint64_t any_number(struct pool *self, uint64_t max)
{
    if (self->size != RANDOM)
        return self->size == LARGEST ? max : 0;
    uint64_t number = rand_u64(&self->rand) >> rand_below(&self->rand, 64);
    return max == UINT64_MAX ? number : number % (max + 1);
}

static inline size_t any_count(struct pool *self, uint64_t max)
{
    return (size_t)any_number(self, max < self->list_max ? max : self->list_max);
}

static inline void any_bytes(struct pool *self, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)any_number(self, UINT8_MAX);
}

static inline struct wire_addr any_addr(struct pool *self)
{
    uint8_t ip[16];
    any_bytes(self, ip, sizeof ip);
    uint16_t port = (uint16_t)(1 + any_number(self, UINT16_MAX - 1));
    return any_number(self, 1) ? wire_addr_v6(ip, port) : wire_addr_v4(ip, port);
}

static inline const char *any_text(struct pool *self, size_t max)
{
    size_t len = (size_t)any_number(self, max);
    char *text = pool_room(self, len + 1, 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('!' + i % 90);
    if (len >= 2)
        memcpy(text, "\xc3\xa9", 2); /* not ASCII alone */
    return text;
}

static inline void any_struct(struct pool *self, const struct shape *shape, void *to);

static inline size_t item_size(const struct shape_field *field)
{
    switch ((int)field->type) {
    case SHAPE_LIST:
        return field->item->size;
    case SHAPE_NUMBERS:
        return sizeof(uint32_t);
    case SHAPE_DIGESTS:
        return sizeof(struct wire_digest);
    case SHAPE_TAGS:
        return sizeof(struct wire_tag);
    case SHAPE_HASHES:
        return sizeof(struct hash);
    default:
        return sizeof(uint64_t);
    }
}

static inline void any_list(struct pool *self, const struct shape_field *field, char *to)
{
    size_t count = any_count(self, field->max);
    if (field->type == SHAPE_BUCKETS)
        count = any_number(self, 1) ? field->max : 0;
    size_t size = item_size(field);
    char *list = pool_room(self, count, size);
    for (size_t i = 0; i < count; i++) {
        if (field->type == SHAPE_LIST)
            any_struct(self, field->item, list + i * size);
        else if (field->type == SHAPE_TAGS)
            ((struct wire_tag *)(void *)list)[i] = (struct wire_tag){
                any_number(self, UINT64_MAX), (uint32_t)any_number(self, UINT32_MAX)};
        else
            any_bytes(self, list + i * size, size);
    }
    *(void **)(void *)(to + field->at) = list;
    *(size_t *)(void *)(to + field->count_at) = count;
}

static inline void any_field(struct pool *self, const struct shape_field *field, char *to)
{
    void *at = to + field->at;
    uint64_t number;
    switch (field->type) {
    case SHAPE_BOOL:
        *(bool *)at = any_number(self, 1);
        break;
    case SHAPE_U8:
        *(uint8_t *)at = (uint8_t)any_number(self, field->max);
        break;
    case SHAPE_U16:
        *(uint16_t *)at = (uint16_t)any_number(self, field->max);
        break;
    case SHAPE_U32:
    case SHAPE_ENUM:
        *(uint32_t *)at = (uint32_t)any_number(self, field->max);
        break;
    case SHAPE_U64:
    case SHAPE_ID:
    case SHAPE_ID_OR_NIL:
        *(uint64_t *)at = any_number(self, UINT64_MAX);
        break;
    case SHAPE_EVAL:
        *(uint64_t *)at = 1 + any_number(self, ID_EVAL_MAX - 1);
        break;
    case SHAPE_NODE:
        any_bytes(self, at, sizeof(struct id_node));
        break;
    case SHAPE_HASH:
        any_bytes(self, at, sizeof(struct hash));
        break;
    case SHAPE_ADDR:
        *(struct wire_addr *)at = any_addr(self);
        break;
    case SHAPE_TEXT:
        *(const char **)at = any_text(self, field->max);
        break;
    case SHAPE_BYTES:
        number = any_number(self, field->max < 70000 ? field->max : 70000);
        *(struct wire_bytes *)at = (struct wire_bytes){pool_room(self, number, 1), number};
        any_bytes(self, self->owned[self->count - 1], number);
        break;
    case SHAPE_STRUCT:
        any_struct(self, field->item, at);
        break;
    case SHAPE_WARM:
        number = any_number(self, WIRE_WARM_MAX);
        *(uint8_t *)(to + field->count_at) = (uint8_t)number;
        any_bytes(self, at, number * sizeof(uint32_t));
        break;
    case SHAPE_NUMBERS:
    case SHAPE_LIST:
    case SHAPE_IDS:
    case SHAPE_BUCKETS:
    case SHAPE_DIGESTS:
    case SHAPE_TAGS:
    case SHAPE_HASHES:
        any_list(self, field, to);
        break;
    }
}

static inline void any_struct(struct pool *self, const struct shape *shape, void *to)
{
    for (size_t i = 0; i < shape->count; i++)
        any_field(self, &shape->fields[i], to);
}

static inline struct wire_msg any_message(struct pool *self, enum wire_kind kind)
{
    struct wire_msg msg = {.kind = kind};
    any_struct(self, shape_of(kind), shape_content(&msg));
    if (kind == WIRE_ALIVE)
        msg.alive.st = WIRE_STATE_ALIVE;
    return msg;
}

/* Compares what two structs of a shape mean. */
static bool same_struct(const struct shape *shape, const void *a, const void *b);

static inline bool same_list(const struct shape_field *field, const char *a, const char *b)
{
    size_t count = *(const size_t *)(const void *)(a + field->count_at);
    const char *of_a = *(const char *const *)(const void *)(a + field->at);
    const char *of_b = *(const char *const *)(const void *)(b + field->at);
    size_t size = item_size(field);
    if (count != *(const size_t *)(const void *)(b + field->count_at))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (field->type == SHAPE_LIST) {
            if (!same_struct(field->item, of_a + i * size, of_b + i * size))
                return false;
        } else if (memcmp(of_a + i * size, of_b + i * size,
                          field->type == SHAPE_TAGS ? 12 : size) != 0)
            return false;
    }
    return true;
}

static inline bool same_field(const struct shape_field *field, const char *a, const char *b)
{
    const void *at_a = a + field->at;
    const void *at_b = b + field->at;
    const struct wire_bytes *bytes_a = at_a;
    const struct wire_bytes *bytes_b = at_b;
    switch (field->type) {
    case SHAPE_BOOL:
    case SHAPE_U8:
        return memcmp(at_a, at_b, 1) == 0;
    case SHAPE_U16:
        return memcmp(at_a, at_b, 2) == 0;
    case SHAPE_U32:
    case SHAPE_ENUM:
        return memcmp(at_a, at_b, 4) == 0;
    case SHAPE_U64:
    case SHAPE_ID:
    case SHAPE_ID_OR_NIL:
    case SHAPE_EVAL:
        return memcmp(at_a, at_b, 8) == 0;
    case SHAPE_NODE:
        return memcmp(at_a, at_b, 16) == 0;
    case SHAPE_HASH:
        return memcmp(at_a, at_b, 32) == 0;
    case SHAPE_ADDR:
        return wire_addr_compare(at_a, at_b) == 0;
    case SHAPE_TEXT:
        return strcmp(*(const char *const *)at_a, *(const char *const *)at_b) == 0;
    case SHAPE_BYTES:
        return bytes_a->len == bytes_b->len &&
               (bytes_a->len == 0 || memcmp(bytes_a->data, bytes_b->data, bytes_a->len) == 0);
    case SHAPE_STRUCT:
        return same_struct(field->item, at_a, at_b);
    case SHAPE_WARM:
        return memcmp(a + field->count_at, b + field->count_at, 1) == 0 &&
               memcmp(at_a, at_b, WIRE_WARM_MAX * sizeof(uint32_t)) == 0;
    case SHAPE_NUMBERS:
    case SHAPE_LIST:
    case SHAPE_IDS:
    case SHAPE_BUCKETS:
    case SHAPE_DIGESTS:
    case SHAPE_TAGS:
    case SHAPE_HASHES:
        return same_list(field, a, b);
    }
    return false;
}

static inline bool same_struct(const struct shape *shape, const void *a, const void *b)
{
    for (size_t i = 0; i < shape->count; i++)
        if (!same_field(&shape->fields[i], a, b))
            return false;
    return true;
}

static inline bool same_message(const struct wire_msg *a, const struct wire_msg *b)
{
    return a->kind == b->kind && same_struct(shape_of(a->kind), shape_content(a), shape_content(b));
}

#endif
