#include "proto/base/rand.h"

#include <assert.h>
#include <sodium.h>

void rand_init(struct rand *self, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        self->state[i] = z ^ z >> 31;
    }
}

static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t rand_u64(struct rand *self)
{
    uint64_t *s = self->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rand_below(struct rand *self, uint64_t bound)
{
    assert(bound > 0);
    uint64_t threshold = -bound % bound;
    for (;;) {
        uint64_t value = rand_u64(self);
        if (value >= threshold)
            return value % bound;
    }
}

void rand_system(void *out, size_t len) { randombytes_buf(out, len); }
