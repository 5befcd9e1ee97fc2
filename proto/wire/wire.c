#include "proto/wire/wire.h"

#include "proto/wire/shape.h"

#include <assert.h>

int wire_fence_compare(struct wire_fence a, struct wire_fence b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.owner > b.owner) - (a.owner < b.owner);
}

bool wire_kind_is_datagram(enum wire_kind kind)
{
    return kind != WIRE_UNKNOWN && kind <= WIRE_FENCE;
}

void wire_encode(const struct wire_msg *msg, struct buf *out)
{
    const struct shape *shape = shape_of(msg->kind);
    assert(shape);
    assert(msg->kind != WIRE_ALIVE || msg->alive.st == WIRE_STATE_ALIVE);
    shape_pack(shape, shape_content(msg), out);
}

/* What the shapes cannot say. */
static bool is_sound(const struct wire_msg *msg)
{
    return msg->kind != WIRE_ALIVE || msg->alive.st == WIRE_STATE_ALIVE;
}

static bool read_message(struct unpack *in, struct wire_msg *out)
{
    size_t count;
    uint64_t id;
    struct cursor start = in->in;
    if (!cursor_array(&in->in, SIZE_MAX, &count) || count == 0 ||
        !cursor_uint(&in->in, UINT16_MAX, &id))
        return false;
    const struct shape *shape = shape_of(id);
    if (!shape) {
        in->in = start;
        return cursor_skip(&in->in) && cursor_done(&in->in);
    }
    out->kind = shape->kind;
    return shape_unpack(in, shape, count - 1, shape_content(out)) && cursor_done(&in->in) &&
           is_sound(out);
}

int wire_decode(const void *bytes, size_t len, struct wire_msg *out, struct err *err)
{
    *out = (struct wire_msg){0};
    struct unpack in = {.memory = &out->memory, .budget = 4 * len};
    cursor_init(&in.in, bytes, len);
    if (read_message(&in, out))
        return 0;
    enum wire_kind kind = out->kind;
    size_t at = len - (size_t)(in.in.end - in.in.at);
    wire_msg_fini(out);
    return err_set(err, ERR_INVALID, "message %s: not as it should be at byte %zu of %zu",
                   wire_kind_name(kind), at, len);
}

void wire_msg_fini(struct wire_msg *self)
{
    unpack_free(&self->memory);
    *self = (struct wire_msg){0};
}
