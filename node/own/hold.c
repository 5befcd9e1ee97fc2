#include "node/own/hold.h"

#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "proto/base/mem.h"

struct own_hold {
    struct delta **deltas;
    size_t delta_count, delta_room;
    void **blocks;
    size_t block_count, block_room;
};

static struct own_hold *made(struct own_hold **self)
{
    if (!*self)
        *self = mem_new(sizeof **self);
    return *self;
}

struct delta *hold_delta(struct own_hold **at)
{
    struct own_hold *self = made(at);
    self->deltas =
        mem_grow(self->deltas, &self->delta_room, self->delta_count + 1, sizeof *self->deltas);
    return self->deltas[self->delta_count++] = mem_new(sizeof(struct delta));
}

const struct delta *hold_copy(struct own_hold **at, const struct delta *delta)
{
    struct delta *copy = hold_delta(at);
    delta_copy(delta, copy);
    return copy;
}

void *hold_memory(struct own_hold **at, void *memory)
{
    struct own_hold *self = made(at);
    self->blocks =
        mem_grow(self->blocks, &self->block_room, self->block_count + 1, sizeof *self->blocks);
    return self->blocks[self->block_count++] = memory;
}

struct wire_bytes hold_encoded(struct own_hold **at, const struct delta *delta)
{
    struct buf text = BUF_INIT;
    delta_encode(delta, &text);
    size_t len = text.len;
    return (struct wire_bytes){.data = hold_memory(at, buf_steal(&text)), .len = len};
}

void hold_clear(struct own_hold *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->delta_count; i++) {
        delta_fini(self->deltas[i]);
        free(self->deltas[i]);
    }
    for (size_t i = 0; i < self->block_count; i++)
        free(self->blocks[i]);
    self->delta_count = self->block_count = 0;
}

void hold_free(struct own_hold *self)
{
    if (!self)
        return;
    hold_clear(self);
    free(self->deltas);
    free(self->blocks);
    free(self);
}
