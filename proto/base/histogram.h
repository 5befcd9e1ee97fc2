/* histogram: how long things took, counted in buckets of fixed bounds.
 *
 * The owner of what is measured holds one among its counters; whoever tells about it reads the
 * fields. Two scales are enough for everything here, and equal bounds can be added up over nodes.
 * Pure. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 14

struct histogram_scale {
    uint64_t bounds_us[HISTOGRAM_BOUNDS]; /* ascending; a value equal to a bound belongs to it */
};

extern const struct histogram_scale histogram_short; /* 1 ms … 30 s: answers, syncs, the loop */
extern const struct histogram_scale histogram_long;  /* 100 ms … 1 h: modules, installations */

struct histogram {
    const struct histogram_scale *scale;   /* static */
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* each alone, not added up; the last: above all */
    uint64_t sum_us;
};

#define HISTOGRAM_SHORT ((struct histogram){.scale = &histogram_short})
#define HISTOGRAM_LONG  ((struct histogram){.scale = &histogram_long})

void histogram_add(struct histogram *self, uint64_t us);

/* How many were added. */
uint64_t histogram_count(const struct histogram *self);

#endif
