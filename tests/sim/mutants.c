/* The mutation gate. */
#include "tests/sim/mutants.h"

#include "tests/sim/scenario.h"

#include <inttypes.h>
#include <string.h>

/* How a mutation is to be caught: in a mode, or by a scenario, or it only costs time. */
static const struct mutant {
    const char *name;
    enum own_mutation mutation;
    uint32_t swim_faults;
    enum sim_mode mode;
    unsigned budget;      /* seeds; 0: by its scenario alone */
    const char *scenario; /* NULL: none */
} mutants[] = {
    {"ack-before-replicas", OWN_ACK_BEFORE_REPLICAS, 0, SIM_PERM, 50, NULL},
    {"ack-before-fsync", OWN_ACK_BEFORE_FSYNC, 0, SIM_BLACKOUT, 100, NULL},
    {"seal-join-min", OWN_SEAL_JOIN_MIN, 0, SIM_PART, 300, NULL},
    {"no-epoch-bump", OWN_NO_EPOCH_BUMP, 0, SIM_PERM, 100, NULL},
    {"no-quorum", OWN_NO_QUORUM, 0, SIM_PART, 50, NULL},
    {"no-preread-no-grace", OWN_NO_PREREAD_NO_GRACE, 0, SIM_PART, 0, "preread"},
    {"no-adoption", OWN_NO_ADOPTION, 0, SIM_CRASH, 0, "adoption"},
    {"no-promise", OWN_NO_PROMISE, 0, SIM_PART, 0, "promise"},
    {"no-resend", OWN_NO_RESEND, 0, SIM_CRASH, 0, "resend"},
    {"forget-early", OWN_FORGET_EARLY, 0, SIM_PERM, 60, "cloner"},
    {"any-tree", OWN_ANY_TREE, 0, SIM_PART, 0, "commits"},
    {"no-refute", OWN_SOUND, SWIM_FAULT_NO_REFUTE, SIM_PART, 100, NULL},
    {"count-unsent", OWN_SOUND, SWIM_FAULT_COUNT_UNSENT, SIM_PART, 0, "unsent"},
};

bool mutant_apply(const char *name, struct sim_options *options)
{
    for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
        if (strcmp(mutants[i].name, name) == 0) {
            options->mutation = mutants[i].mutation;
            options->swim_faults = mutants[i].swim_faults;
            return true;
        }
    }
    return false;
}

void mutant_list(FILE *to)
{
    for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++)
        fprintf(to, "mutation  %s\n", mutants[i].name);
}

static bool is_caught_by_seeds(const struct mutant *mutant, uint64_t seed)
{
    for (unsigned i = 0; i < mutant->budget; i++) {
        struct sim *sim = sim_new(&(struct sim_options){.seed = seed + i,
                                                        .mode = mutant->mode,
                                                        .mutation = mutant->mutation,
                                                        .swim_faults = mutant->swim_faults,
                                                        .is_quiet = true});
        unsigned violations = sim_run(sim);
        const char *id = sim->first_violation;
        sim_free(sim);
        if (violations > 0) {
            printf("caught %-20s by %s in seed %" PRIu64 " (%u of %u, mode %s)\n", mutant->name, id,
                   seed + i, i + 1, mutant->budget, sim_mode_name(mutant->mode));
            return true;
        }
    }
    return false;
}

static bool is_caught_by_scenario(const struct mutant *mutant)
{
    const struct scenario *scenario = mutant->scenario ? scenario_find(mutant->scenario) : NULL;
    uint64_t hash;
    if (!scenario || scenario_play(scenario,
                                   &(struct sim_options){.seed = 1,
                                                         .mutation = mutant->mutation,
                                                         .swim_faults = mutant->swim_faults,
                                                         .is_quiet = true},
                                   &hash) == 0)
        return false;
    printf("caught %-20s by the scenario %s\n", mutant->name, mutant->scenario);
    return true;
}

int mutants_run(uint64_t seed)
{
    int missed = 0;
    for (size_t i = 0; i < scenario_count; i++) {
        uint64_t hash;
        if (scenario_play(&scenarios[i], &(struct sim_options){.seed = 1}, &hash) == 0)
            continue;
        printf("the scenario %s finds fault with sound nodes\n", scenarios[i].name);
        missed++;
    }
    for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
        if (is_caught_by_scenario(&mutants[i]) || is_caught_by_seeds(&mutants[i], seed))
            continue;
        printf("MISSED %s\n", mutants[i].name);
        missed++;
    }
    printf("mutations %zu missed %d\n", sizeof mutants / sizeof mutants[0], missed);
    return missed > 0;
}
