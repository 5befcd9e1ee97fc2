#include "loadbalance/slots.h"

#define WEIGHT 0.3 /* of a reading that covers one second */

uint32_t slots_base(uint32_t cpus, uint64_t memory_bytes)
{
    uint64_t by_memory = memory_bytes / SLOTS_MEMORY_EACH;
    uint64_t base = cpus < by_memory ? cpus : by_memory;
    return base > 0 ? (uint32_t)base : 1;
}

static bool is_later(const struct slots *self, uint64_t total, uint64_t idle, uint64_t own)
{
    return total > self->total && idle >= self->idle && own >= self->own;
}

/* The part that is neither idle nor ours. */
static double external_share(const struct slots *self, uint64_t total, uint64_t idle, uint64_t own)
{
    double all = (double)(total - self->total);
    double rest = all - (double)(idle - self->idle) - (double)(own - self->own);
    double share = rest / all;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

void slots_sample(struct slots *self, uint64_t now_ms, uint64_t total, uint64_t idle, uint64_t own)
{
    uint64_t gap_ms = now_ms - self->at_ms;
    if (self->has_sample && (now_ms < self->at_ms || gap_ms < SLOTS_SAMPLE_MS))
        return;
    if (self->has_sample && is_later(self, total, idle, own)) {
        double share = external_share(self, total, idle, own);
        double keep = 1;
        for (uint64_t second = 0; second < gap_ms / 1000 && second < 32; second++)
            keep *= 1 - WEIGHT;
        self->external = share + (self->external - share) * keep;
    }
    self->has_sample = true;
    self->at_ms = now_ms;
    self->total = total;
    self->idle = idle;
    self->own = own;
}

uint32_t slots_usable(const struct slots *self, uint32_t base)
{
    /* A hair off, so that 0.75 of 4 slots is not 3.0000001, hence 4. */
    double usable = (double)base * (1 - self->external) - 1e-6;
    uint32_t whole = usable > 0 ? (uint32_t)usable + 1 : 0;
    if (whole > base)
        whole = base;
    return whole > 0 || base == 0 ? whole : 1;
}
