/* seen: a set of pairs of texts, by hash. Pure. */
#ifndef CLI_SEEN_H
#define CLI_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
    uint64_t *slots; /* 0: free */
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* Adds the pair. Returns false when it was there already. Two pairs with one 64-bit hash count as
 * the same: among a million that is once in ten million runs, and costs one line of output. */
bool seen_add(struct seen *self, const char *a, const char *b);

void seen_fini(struct seen *self);

#endif
