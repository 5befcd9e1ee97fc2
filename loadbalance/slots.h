/* slots: how many of a node's slots may be used while others use its processors, too.
 *
 * usable = ceil(slots * (1 - external)), where external is the share of the processors' time that
 * goes to what is not ours, as an EWMA so that one busy second moves nothing much.
 */
#ifndef LOADBALANCE_SLOTS_H
#define LOADBALANCE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_MEMORY_EACH (UINT64_C(1) << 30)
#define SLOTS_SAMPLE_MS   1000

struct slots {
    double external; /* 0 … 1 */
    bool has_sample;
    uint64_t at_ms;
    uint64_t total, idle, own; /* the last reading */
};

/* How many a machine has: one a processor, as far as memory goes (1 GiB each), at least one. */
uint32_t slots_base(uint32_t cpus, uint64_t memory_bytes);

/* Takes a reading of counters that only grow, all in one unit of processor time: everything, idle,
 * and that of our own children. Readings sooner than SLOTS_SAMPLE_MS after the last are ignored;
 * weight 0.3 for one second, more for a longer gap. */
void slots_sample(struct slots *self, uint64_t now_ms, uint64_t total, uint64_t idle, uint64_t own);

/* 1 … base (0 only when base is 0). */
uint32_t slots_usable(const struct slots *self, uint32_t base);

#endif
