#include "proto/wire/shape.h"

#include "proto/base/id.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

static int append(void *to, const char *bytes, size_t len)
{
    buf_append(to, bytes, len);
    return 0;
}

static void put_bin(msgpack_packer *packer, const void *bytes, size_t len)
{
    msgpack_pack_bin(packer, len);
    msgpack_pack_bin_body(packer, bytes, len);
}

static void put_text(msgpack_packer *packer, const char *text, uint32_t max)
{
    if (!text)
        text = "";
    assert(wire_text_ok(text, max));
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void put_addr(msgpack_packer *packer, const struct wire_addr *addr)
{
    assert(wire_addr_is_set(addr) && addr->port);
    uint8_t bytes[18];
    size_t len = addr->family == 6 ? 16 : 4;
    memcpy(bytes, addr->ip, len);
    bytes[len] = (uint8_t)(addr->port >> 8);
    bytes[len + 1] = (uint8_t)addr->port;
    put_bin(packer, bytes, len + 2);
}

static void put_body_number(msgpack_packer *packer, uint64_t number, int bytes)
{
    uint8_t raw[8];
    for (int i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
    msgpack_pack_bin_body(packer, raw, (size_t)bytes);
}

static void put_ids(msgpack_packer *packer, const uint64_t *ids, size_t count)
{
    msgpack_pack_bin(packer, count * 8);
    for (size_t i = 0; i < count; i++)
        put_body_number(packer, ids[i], 8);
}

static void put_digests(msgpack_packer *packer, const struct wire_digest *digests, size_t count)
{
    msgpack_pack_bin(packer, count * 16);
    for (size_t i = 0; i < count; i++) {
        put_body_number(packer, digests[i].eid, 8);
        put_body_number(packer, digests[i].dig, 8);
    }
}

static void put_tags(msgpack_packer *packer, const struct wire_tag *tags, size_t count)
{
    msgpack_pack_bin(packer, count * 12);
    for (size_t i = 0; i < count; i++) {
        put_body_number(packer, tags[i].node, 8);
        put_body_number(packer, tags[i].tag, 4);
    }
}

static void put_numbers(msgpack_packer *packer, const uint32_t *numbers, size_t count)
{
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_uint32(packer, numbers[i]);
}

static void put_bytes(msgpack_packer *packer, const struct wire_bytes *bytes, uint32_t max)
{
    assert(bytes->len <= max);
    if (bytes->len)
        put_bin(packer, bytes->data, bytes->len);
    else
        msgpack_pack_nil(packer);
}

static void put_fields(msgpack_packer *packer, const struct shape *shape, const void *from);

static void put_part(msgpack_packer *packer, const struct shape *shape, const void *from)
{
    msgpack_pack_array(packer, shape->count);
    put_fields(packer, shape, from);
}

static void put_list(msgpack_packer *packer, const struct shape_field *field, const void *list,
                     size_t count)
{
    assert(count <= field->max);
    switch ((int)field->type) {
    case SHAPE_NUMBERS:
        put_numbers(packer, list, count);
        break;
    case SHAPE_BUCKETS:
        assert(count == 0 || count == field->max);
        put_ids(packer, list, count);
        break;
    case SHAPE_IDS:
        put_ids(packer, list, count);
        break;
    case SHAPE_DIGESTS:
        put_digests(packer, list, count);
        break;
    case SHAPE_TAGS:
        put_tags(packer, list, count);
        break;
    case SHAPE_HASHES:
        put_bin(packer, list, count * sizeof(struct hash));
        break;
    default:
        msgpack_pack_array(packer, count);
        for (size_t i = 0; i < count; i++)
            put_part(packer, field->item, (const char *)list + i * field->item->size);
    }
}

static void put_id(msgpack_packer *packer, enum shape_type type, uint64_t id)
{
    assert(type != SHAPE_EVAL || (id > 0 && id <= ID_EVAL_MAX));
    if (type == SHAPE_ID_OR_NIL && id == 0)
        msgpack_pack_nil(packer);
    else if (type == SHAPE_U64)
        msgpack_pack_uint64(packer, id);
    else
        msgpack_pack_fix_uint64(packer, id);
}

static void put_number(msgpack_packer *packer, const struct shape_field *field, const void *at)
{
    uint32_t number;
    if (field->type == SHAPE_U8)
        number = *(const uint8_t *)at;
    else if (field->type == SHAPE_U16)
        number = *(const uint16_t *)at;
    else
        number = *(const uint32_t *)at;
    assert(number <= field->max);
    msgpack_pack_uint32(packer, number);
}

static void put_warm(msgpack_packer *packer, uint8_t count, const uint32_t *warm)
{
    assert(count <= WIRE_WARM_MAX);
    put_numbers(packer, warm, count);
}

static void put_field(msgpack_packer *packer, const struct shape_field *field, const char *from)
{
    const void *at = from + field->at;
    const void *count_at = from + field->count_at;
    switch (field->type) {
    case SHAPE_BOOL:
        *(const bool *)at ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        break;
    case SHAPE_U8:
    case SHAPE_U16:
    case SHAPE_U32:
    case SHAPE_ENUM:
        put_number(packer, field, at);
        break;
    case SHAPE_U64:
    case SHAPE_ID:
    case SHAPE_ID_OR_NIL:
    case SHAPE_EVAL:
        put_id(packer, field->type, *(const uint64_t *)at);
        break;
    case SHAPE_NODE:
        put_bin(packer, at, sizeof(struct id_node));
        break;
    case SHAPE_HASH:
        put_bin(packer, at, sizeof(struct hash));
        break;
    case SHAPE_ADDR:
        put_addr(packer, at);
        break;
    case SHAPE_TEXT:
        put_text(packer, *(const char *const *)at, field->max);
        break;
    case SHAPE_BYTES:
        put_bytes(packer, at, field->max);
        break;
    case SHAPE_STRUCT:
        put_part(packer, field->item, at);
        break;
    case SHAPE_WARM:
        put_warm(packer, *(const uint8_t *)count_at, at);
        break;
    case SHAPE_NUMBERS:
    case SHAPE_LIST:
    case SHAPE_IDS:
    case SHAPE_BUCKETS:
    case SHAPE_DIGESTS:
    case SHAPE_TAGS:
    case SHAPE_HASHES:
        put_list(packer, field, *(const void *const *)at, *(const size_t *)count_at);
        break;
    }
}

static void put_fields(msgpack_packer *packer, const struct shape *shape, const void *from)
{
    for (size_t i = 0; i < shape->count; i++)
        put_field(packer, &shape->fields[i], from);
}

void shape_pack(const struct shape *shape, const void *from, struct buf *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, append);
    bool message = shape->kind != WIRE_UNKNOWN;
    msgpack_pack_array(&packer, shape->count + (message ? 1u : 0u));
    if (message)
        msgpack_pack_uint32(&packer, shape->kind);
    put_fields(&packer, shape, from);
}
