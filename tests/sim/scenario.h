/* scenario: histories that are written down, for rules that chance seldom tries.
 *
 * Each runs against sound nodes, which must pass, and against nodes that break one rule, which must
 * be caught. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/sim.h"

enum sim_verdict { SIM_PASS, SIM_DROP, SIM_HOLD /* comes when the scenario releases it */ };

/* Looks at each message between nodes before it travels. */
struct sim_filter {
    enum sim_verdict (*fn)(void *arg, struct sim *sim, unsigned from, unsigned to,
                           const struct wire_msg *msg);
    void *arg;
};

struct scenario {
    const char *name;
    enum own_mutation catches;
    unsigned nodes;
    /* Plays it; what it sees that must not be, it tells check_violation(). */
    void (*play)(struct sim *sim);
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* Plays one; returns how many violations there were. `hash` gets that of its events. */
unsigned scenario_run(const struct scenario *scenario, enum own_mutation mutation, uint64_t seed,
                      FILE *trace, uint64_t *hash);

#endif
