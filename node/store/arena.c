#include "node/store/arena.h"

#include "proto/base/mem.h"
#include "proto/base/utf8.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct arena_block {
    struct arena_block *before;
    size_t used;
    size_t room;
    max_align_t bytes[];
};

struct arena {
    struct arena_block *last;
};

static struct arena_block *add_block(struct arena_block *before, size_t room)
{
    struct arena_block *block = mem_new(sizeof *block + room);
    block->before = before;
    block->room = room;
    return block;
}

static size_t rounded(size_t bytes)
{
    const size_t unit = _Alignof(max_align_t);
    assert(bytes < SIZE_MAX / 2);
    return (bytes + unit - 1) / unit * unit;
}

struct arena *arena_new(size_t bytes)
{
    struct arena_block *block = add_block(NULL, rounded(sizeof(struct arena)) + rounded(bytes));
    struct arena *self = (struct arena *)block->bytes;
    block->used = rounded(sizeof *self);
    self->last = block;
    return self;
}

void arena_free(struct arena *self)
{
    struct arena_block *block = self ? self->last : NULL;
    while (block) {
        struct arena_block *before = block->before;
        free(block);
        block = before;
    }
}

void *arena_take(struct arena *self, size_t bytes)
{
    bytes = rounded(bytes);
    struct arena_block *block = self->last;
    if (block->room - block->used < bytes) {
        size_t room = block->room < 65536 ? block->room * 2 : 65536;
        block = self->last = add_block(block, room < bytes ? bytes : room);
    }
    void *at = (char *)block->bytes + block->used;
    block->used += bytes;
    return at;
}

void *arena_take_array(struct arena *self, size_t count, size_t size)
{
    assert(size == 0 || count < SIZE_MAX / 2 / size);
    return arena_take(self, count * size);
}

const char *arena_text(struct arena *self, const char *text, size_t max)
{
    if (!text)
        return NULL;
    size_t len = strlen(text);
    if (len <= max && utf8_is_valid(text, len)) {
        char *copy = arena_take(self, len + 1);
        memcpy(copy, text, len);
        return copy;
    }
    owned_buf fixed = BUF_INIT;
    utf8_repair(text, len, max, &fixed);
    char *copy = arena_take(self, fixed.len + 1);
    memcpy(copy, buf_str(&fixed), fixed.len);
    return copy;
}
