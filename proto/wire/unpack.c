#include "proto/wire/shape.h"

#include "proto/base/id.h"
#include "proto/base/mem.h"

#include <string.h>

struct wire_chunk {
    struct wire_chunk *next;
    uint64_t data[]; /* aligned for all that goes here */
};

void *unpack_room(struct unpack *self, size_t count, size_t size)
{
    size_t bytes = sizeof(struct wire_chunk) + count * size; /* count: bounded by its field */
    if (bytes > self->budget)
        return NULL;
    self->budget -= bytes;
    self->memory->bytes += bytes;
    struct wire_chunk *chunk = mem_new(bytes);
    chunk->next = self->memory->first;
    self->memory->first = chunk;
    return chunk->data;
}

void unpack_free(struct wire_memory *memory)
{
    while (memory->first) {
        struct wire_chunk *next = memory->first->next;
        free(memory->first);
        memory->first = next;
    }
    memory->bytes = 0;
}

static bool take_number(struct unpack *self, const struct shape_field *field, void *at)
{
    uint64_t number;
    if (!cursor_uint(&self->in, field->max, &number))
        return false;
    if (field->type == SHAPE_U8)
        *(uint8_t *)at = (uint8_t)number;
    else if (field->type == SHAPE_U16)
        *(uint16_t *)at = (uint16_t)number;
    else
        *(uint32_t *)at = (uint32_t)number;
    return true;
}

static bool take_id(struct unpack *self, enum shape_type type, uint64_t *out)
{
    if (type == SHAPE_ID_OR_NIL && cursor_peek(&self->in) == CURSOR_NIL)
        return cursor_nil(&self->in);
    if (type == SHAPE_EVAL)
        return cursor_uint(&self->in, ID_EVAL_MAX, out) && *out > 0;
    return cursor_uint(&self->in, UINT64_MAX, out);
}

static bool take_exactly(struct unpack *self, size_t len, void *out)
{
    struct cursor_text bin;
    if (!cursor_bin(&self->in, len, &bin) || bin.len != len)
        return false;
    memcpy(out, bin.data, len);
    return true;
}

static bool take_addr(struct unpack *self, struct wire_addr *out)
{
    struct cursor_text bin;
    if (!cursor_bin(&self->in, 18, &bin) || (bin.len != 6 && bin.len != 18))
        return false;
    const uint8_t *bytes = (const uint8_t *)bin.data;
    uint16_t port = (uint16_t)(bytes[bin.len - 2] << 8 | bytes[bin.len - 1]);
    *out = bin.len == 6 ? wire_addr_v4(bytes, port) : wire_addr_v6(bytes, port);
    return port > 0;
}

static bool take_text(struct unpack *self, uint32_t max, const char **out)
{
    struct cursor_text text;
    if (!cursor_str(&self->in, max, &text))
        return false;
    if (text.len == 0)
        return true; /* "" already */
    char *copy = unpack_room(self, text.len + 1, 1);
    if (!copy)
        return false;
    memcpy(copy, text.data, text.len);
    *out = copy;
    return strlen(copy) == text.len && wire_text_ok(copy, max);
}

static bool take_bytes(struct unpack *self, uint32_t max, struct wire_bytes *out)
{
    struct cursor_text bin;
    if (cursor_peek(&self->in) == CURSOR_NIL)
        return cursor_nil(&self->in);
    if (!cursor_bin(&self->in, max, &bin))
        return false;
    if (bin.len)
        *out = (struct wire_bytes){(const uint8_t *)bin.data, bin.len};
    return true;
}

static bool take_part(struct unpack *self, const struct shape *shape, void *to)
{
    size_t count;
    return cursor_array(&self->in, SIZE_MAX, &count) && shape_unpack(self, shape, count, to);
}

static bool take_warm(struct unpack *self, uint8_t *count, uint32_t *warm)
{
    size_t items;
    if (!cursor_array(&self->in, WIRE_WARM_MAX, &items))
        return false;
    *count = (uint8_t)items;
    const struct shape_field number = {.type = SHAPE_U32, .max = UINT32_MAX};
    for (size_t i = 0; i < items; i++)
        if (!take_number(self, &number, &warm[i]))
            return false;
    return true;
}

/* Lists of arrays and of numbers: a value each. */
static bool take_items(struct unpack *self, const struct shape_field *field, const void **list,
                       size_t *count)
{
    size_t items;
    size_t size = field->type == SHAPE_LIST ? field->item->size : sizeof(uint32_t);
    if (!cursor_array(&self->in, field->max, &items))
        return false;
    if (items == 0)
        return true;
    char *room = unpack_room(self, items, size);
    if (!room)
        return false;
    *list = room;
    *count = items;
    const struct shape_field number = {.type = SHAPE_U32, .max = UINT32_MAX};
    for (size_t i = 0; i < items; i++) {
        void *to = room + i * size;
        if (field->type == SHAPE_LIST ? !take_part(self, field->item, to)
                                      : !take_number(self, &number, to))
            return false;
    }
    return true;
}

static uint64_t number_in(const char *bytes, int len)
{
    uint64_t number = 0;
    for (int i = 0; i < len; i++)
        number = number << 8 | (uint8_t)bytes[i];
    return number;
}

static void unpack_item(enum shape_type type, const char *from, void *to)
{
    switch ((int)type) {
    case SHAPE_DIGESTS:
        *(struct wire_digest *)to =
            (struct wire_digest){number_in(from, 8), number_in(from + 8, 8)};
        break;
    case SHAPE_TAGS:
        *(struct wire_tag *)to =
            (struct wire_tag){number_in(from, 8), (uint32_t)number_in(from + 8, 4)};
        break;
    case SHAPE_HASHES:
        memcpy(to, from, sizeof(struct hash));
        break;
    default:
        *(uint64_t *)to = number_in(from, 8);
    }
}

/* Lists as one bin of items of one length. */
static bool take_packed(struct unpack *self, const struct shape_field *field, const void **list,
                        size_t *count)
{
    size_t step = 8;
    size_t size = sizeof(uint64_t);
    if (field->type == SHAPE_DIGESTS)
        step = size = sizeof(struct wire_digest);
    else if (field->type == SHAPE_HASHES)
        step = size = sizeof(struct hash);
    else if (field->type == SHAPE_TAGS) {
        step = 12;
        size = sizeof(struct wire_tag);
    }
    struct cursor_text bin;
    if (!cursor_bin(&self->in, field->max * step, &bin) || bin.len % step)
        return false;
    size_t items = bin.len / step;
    if (items == 0)
        return true;
    if (field->type == SHAPE_BUCKETS && items != field->max)
        return false;
    char *room = unpack_room(self, items, size);
    if (!room)
        return false;
    for (size_t i = 0; i < items; i++)
        unpack_item(field->type, bin.data + i * step, room + i * size);
    *list = room;
    *count = items;
    return true;
}

static bool take_field(struct unpack *self, const struct shape_field *field, char *to)
{
    void *at = to + field->at;
    void *count = to + field->count_at;
    switch (field->type) {
    case SHAPE_BOOL:
        return cursor_bool(&self->in, at);
    case SHAPE_U8:
    case SHAPE_U16:
    case SHAPE_U32:
    case SHAPE_ENUM:
        return take_number(self, field, at);
    case SHAPE_U64:
    case SHAPE_ID:
    case SHAPE_ID_OR_NIL:
    case SHAPE_EVAL:
        return take_id(self, field->type, at);
    case SHAPE_NODE:
        return take_exactly(self, sizeof(struct id_node), at);
    case SHAPE_HASH:
        return take_exactly(self, sizeof(struct hash), at);
    case SHAPE_ADDR:
        return take_addr(self, at);
    case SHAPE_TEXT:
        return take_text(self, field->max, at);
    case SHAPE_BYTES:
        return take_bytes(self, field->max, at);
    case SHAPE_STRUCT:
        return take_part(self, field->item, at);
    case SHAPE_WARM:
        return take_warm(self, count, at);
    case SHAPE_NUMBERS:
    case SHAPE_LIST:
        return take_items(self, field, at, count);
    case SHAPE_IDS:
    case SHAPE_BUCKETS:
    case SHAPE_DIGESTS:
    case SHAPE_TAGS:
    case SHAPE_HASHES:
        return take_packed(self, field, at, count);
    }
    return false;
}

bool shape_unpack(struct unpack *self, const struct shape *shape, size_t count, void *to)
{
    for (size_t i = 0; i < shape->count; i++)
        if (shape->fields[i].type == SHAPE_TEXT)
            *(const char **)(void *)((char *)to + shape->fields[i].at) = "";
    if (count < shape->least)
        return false;
    for (size_t i = 0; i < count; i++) {
        bool fine =
            i < shape->count ? take_field(self, &shape->fields[i], to) : cursor_skip(&self->in);
        if (!fine)
            return false;
    }
    return true;
}
