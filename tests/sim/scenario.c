/* The list of scenarios, and how one is played. */
#include "tests/sim/scenario.h"

const struct scenario scenarios[] = {{0}};
const size_t scenario_count = 0;

unsigned scenario_run(const struct scenario *scenario, enum own_mutation mutation, uint64_t seed,
                      FILE *trace, uint64_t *hash)
{
    struct sim *sim = sim_new(&(struct sim_options){.seed = seed,
                                                    .mode = SIM_CRASH,
                                                    .nodes = scenario->nodes,
                                                    .mutation = mutation,
                                                    .trace = trace,
                                                    .is_quiet = mutation != OWN_SOUND,
                                                    .is_scripted = true});
    scenario->play(sim);
    unsigned violations = sim->violations;
    *hash = sim_hash(sim);
    sim_free(sim);
    return violations;
}
