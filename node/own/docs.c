#include "node/own/docs.h"

unsigned docs_bucket(uint64_t id)
{
    return (unsigned)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 56) % DOCS_BUCKETS;
}

uint64_t docs_root(const struct docs *self)
{
    const uint64_t *buckets = self->buckets(self->arg);
    uint64_t root = 0;
    for (size_t i = 0; i < DOCS_BUCKETS; i++)
        root ^= buckets[i];
    return root;
}
