#include "proto/base/histogram.h"

#define MS 1000
#define S  UINT64_C(1000000)

const struct histogram_scale histogram_short = {{1 * MS, 2500, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
                                                 100 * MS, 250 * MS, 500 * MS, 1 * S, 2500 * MS,
                                                 5 * S, 10 * S, 30 * S}};

const struct histogram_scale histogram_long = {{100 * MS, 250 * MS, 500 * MS, 1 * S, 2500 * MS,
                                                5 * S, 10 * S, 30 * S, 60 * S, 120 * S, 300 * S,
                                                600 * S, 1800 * S, 3600 * S}};

void histogram_add(struct histogram *self, uint64_t us)
{
    size_t at = 0;
    while (at < HISTOGRAM_BOUNDS && us > self->scale->bounds_us[at])
        at++;
    self->counts[at]++;
    self->sum_us += us;
}

uint64_t histogram_count(const struct histogram *self)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        count += self->counts[i];
    return count;
}
