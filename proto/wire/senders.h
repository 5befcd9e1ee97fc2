/* senders: which counters were seen of whom. A bounded table of replay windows with the derived
 * key beside each; only what authenticated may be given to senders_admit(). Private to seal.c. */
#ifndef WIRE_SENDERS_H
#define WIRE_SENDERS_H

#include "proto/wire/seal.h"

#include <stdbool.h>

struct sender {
    uint64_t node;
    uint64_t boot;
    uint64_t top;  /* the largest counter seen */
    uint64_t seen; /* bit i: top - i was */
    uint8_t key[KEYS_BYTES];
    uint8_t kid;
    uint32_t same_bucket; /* links are indices, NONE at the end */
    uint32_t older;
    uint32_t newer;
};

struct senders {
    struct sender *list; /* grows to SEAL_SENDERS */
    size_t capacity;
    size_t count;
    uint32_t *buckets;
    uint32_t oldest;
    uint32_t newest;
};

void senders_init(struct senders *self);
void senders_fini(struct senders *self);

/* Returns the sender, borrowed until the next senders_admit(); NULL for an unknown one. */
struct sender *senders_find(struct senders *self, uint64_t node, uint64_t boot);

/* Returns the sender, now the newest; a new one has taken the place of the one longest unheard, or
 * of this node's own where it has SEAL_BOOTS. Borrowed until the next call. */
struct sender *senders_admit(struct senders *self, uint64_t node, uint64_t boot);

/* Notes a counter: SEAL_OK if it is new, SEAL_OLD, SEAL_REPLAYED. */
enum seal_verdict sender_note(struct sender *self, uint64_t ctr);

#endif
