/* Counts of what should happen now and then. */
#include "tests/sim/sim.h"

#include <inttypes.h>

static uint64_t counts[SOME_COUNT];

static const struct {
    const char *name;
    const char *text;
} rows[SOME_COUNT] = {
#define X(name, text) {#name, text},
#include "tests/sim/some.def"
#undef X
};

void some_count(enum sim_some what) { counts[what]++; }

uint64_t some_get(enum sim_some what) { return counts[what]; }

void some_print(FILE *to)
{
    for (size_t i = 0; i < SOME_COUNT; i++)
        fprintf(to, "%10" PRIu64 "  %-20s %s\n", counts[i], rows[i].name, rows[i].text);
}
