#include "proto/wire/shape.h"
#include "proto/wire/wire.h"

#include <msgpack.h>

#define HEAD_ELEMENTS 5
#define HEADER        3 /* bytes of an array 16, written however few the elements are */

static int append(void *to, const char *bytes, size_t len)
{
    buf_append(to, bytes, len);
    return 0;
}

static void set_count(struct wire_packet *self, size_t count)
{
    self->count = count;
    size_t elements = HEAD_ELEMENTS + count;
    self->body.data[1] = (char)(uint8_t)(elements >> 8);
    self->body.data[2] = (char)(uint8_t)elements;
}

void wire_packet_init(struct wire_packet *self, const struct wire_packet_head *head, size_t limit)
{
    *self = (struct wire_packet){.limit = limit};
    buf_append(&self->body, "\xdc\0\0", HEADER);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &self->body, append);
    msgpack_pack_uint64(&packer, head->gen);
    msgpack_pack_uint32(&packer, head->ver);
    msgpack_pack_fix_uint32(&packer, head->mhash);
    msgpack_pack_fix_uint32(&packer, head->shash);
    if (head->has_load)
        shape_pack(&shape_load, &head->load, &self->body);
    else
        msgpack_pack_nil(&packer);
    set_count(self, 0);
}

void wire_packet_fini(struct wire_packet *self) { buf_fini(&self->body); }

static void cut(struct buf *buf, size_t len)
{
    buf->len = len;
    buf->data[len] = '\0';
}

bool wire_packet_add(struct wire_packet *self, const struct wire_msg *msg)
{
    size_t before = self->body.len;
    wire_encode(msg, &self->body);
    if (self->body.len > self->limit) {
        cut(&self->body, before);
        return false;
    }
    set_count(self, self->count + 1);
    return true;
}

static bool read_head(struct unpack *in, struct wire_packet_head *head, size_t *elements)
{
    uint64_t number;
    if (!cursor_array(&in->in, SIZE_MAX, elements) || *elements < HEAD_ELEMENTS)
        return false;
    cursor_uint(&in->in, UINT64_MAX, &head->gen);
    cursor_uint(&in->in, UINT32_MAX, &number);
    head->ver = (uint32_t)number;
    cursor_uint(&in->in, UINT32_MAX, &number);
    head->mhash = (uint32_t)number;
    cursor_uint(&in->in, UINT32_MAX, &number);
    head->shash = (uint32_t)number;
    if (cursor_peek(&in->in) == CURSOR_NIL)
        return cursor_nil(&in->in);
    size_t count;
    head->has_load = true;
    return cursor_array(&in->in, SIZE_MAX, &count) &&
           shape_unpack(in, &shape_load, count, &head->load);
}

int wire_packet_open(struct wire_packet_reader *self, const void *body, size_t len,
                     struct wire_packet_head *head, struct err *err)
{
    *self = (struct wire_packet_reader){0};
    *head = (struct wire_packet_head){0};
    struct unpack in = {0}; /* a head allocates nothing */
    cursor_init(&in.in, body, len);
    size_t elements;
    if (!read_head(&in, head, &elements))
        return err_set(err, ERR_INVALID, "packet: the head is not as it should be");
    *self = (struct wire_packet_reader){
        .at = in.in.at, .end = in.in.end, .left = elements - HEAD_ELEMENTS};
    for (size_t i = 0; i < self->left; i++)
        if (!cursor_skip(&in.in))
            break;
    if (cursor_done(&in.in))
        return 0;
    self->left = 0;
    return err_set(err, ERR_INVALID, "packet: not made of whole messages");
}

int wire_packet_next(struct wire_packet_reader *self, struct wire_msg *out, struct err *err)
{
    *out = (struct wire_msg){0};
    while (self->left > 0) {
        struct cursor in;
        cursor_init(&in, self->at, (size_t)(self->end - self->at));
        cursor_skip(&in); /* cannot fail: wire_packet_open() did it before */
        const uint8_t *at = self->at;
        self->at = in.at;
        self->left--;
        int refused = wire_decode(at, (size_t)(in.at - at), out, err);
        if (refused) {
            self->left = 0;
            return refused;
        }
        if (wire_kind_is_datagram(out->kind))
            return 1;
        wire_msg_fini(out);
        self->unknown++;
    }
    return 0;
}
