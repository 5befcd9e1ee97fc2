/* scenario: histories that are written down, for rules that chance seldom tries.
 *
 * Each runs against sound nodes, which must pass, and against nodes that break one rule, which must
 * be caught. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/sim.h"

/* Looks at each message between nodes when it is sent; true: it never arrives. */
struct sim_filter {
    bool (*drops)(void *arg, struct sim *sim, unsigned from, unsigned to,
                  const struct wire_msg *msg);
    void *arg;
};

struct scenario {
    const char *name;
    unsigned nodes;
    /* Plays it; what it sees that must not be, it tells check_violation(). */
    void (*play)(struct sim *sim);
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* NULL: none of that name. */
const struct scenario *scenario_find(const char *name);

/* Plays one with the seed, mutation, faults and trace of `options`. Returns how many violations
 * there were; `hash` gets that of its events. */
unsigned scenario_play(const struct scenario *scenario, const struct sim_options *options,
                       uint64_t *hash);

/* ---- for those who write one ----------------------------------------------------------------- */

void scenario_wait(struct sim *sim, uint64_t us);

/* Goes on until it is so. Else, after the limit, says which scenario went another way than it was
 * meant to. */
typedef bool scenario_fn(struct sim *sim, void *arg);
bool scenario_until(struct sim *sim, scenario_fn *fn, void *arg, uint64_t limit_us,
                    const char *what);

/* Boots all, lets them meet, and submits an evaluation of one project at a node. */
struct sim_eval *scenario_begin(struct sim *sim, unsigned at);

/* All goes well from here on: the rest is for the checker of the second phase. */
void scenario_end(struct sim *sim);

/* The document as a node has it durable; NULL: it has none. */
const struct doc *scenario_doc(const struct sim *sim, unsigned node, const struct sim_eval *eval);

void play_promise(struct sim *sim);
void play_adoption(struct sim *sim);
void play_preread(struct sim *sim);
void play_resend(struct sim *sim);
void play_unsent(struct sim *sim);
void play_cloner(struct sim *sim);
void play_bundle(struct sim *sim);
void play_commits(struct sim *sim);
void play_unwanted(struct sim *sim);

#endif
