#include "cli/seen.h"

#include "proto/base/hash.h"
#include "proto/base/mem.h"

#include <string.h>

#define CAPACITY_MIN 256

static bool put(struct seen *self, uint64_t key)
{
    size_t mask = self->capacity - 1;
    for (size_t i = (size_t)key & mask;; i = (i + 1) & mask) {
        if (self->slots[i] == key)
            return false;
        if (self->slots[i] == 0) {
            self->slots[i] = key;
            self->count++;
            return true;
        }
    }
}

static void grow(struct seen *self)
{
    struct seen old = *self;
    self->capacity = old.capacity > 0 ? old.capacity * 2 : CAPACITY_MIN;
    self->slots = mem_new_array(self->capacity, sizeof(*self->slots));
    self->count = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != 0)
            put(self, old.slots[i]);
    }
    free(old.slots);
}

bool seen_add(struct seen *self, const char *a, const char *b)
{
    const uint64_t parts[] = {hash_u64(a, strlen(a)), hash_u64(b, strlen(b))};
    uint64_t key = hash_u64(parts, sizeof(parts));
    if (self->count * 2 >= self->capacity)
        grow(self);
    return put(self, key != 0 ? key : 1);
}

void seen_fini(struct seen *self)
{
    free(self->slots);
    *self = (struct seen){0};
}
