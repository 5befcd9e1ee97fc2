/* The scenarios, and what they have in common. */
#include "tests/sim/scenario.h"

#include "node/store/arena.h"

#include <string.h>

const struct scenario scenarios[] = {
    {"promise", 4, play_promise}, {"adoption", 4, play_adoption}, {"preread", 4, play_preread},
    {"resend", 3, play_resend},   {"unsent", 8, play_unsent},     {"cloner", 4, play_cloner},
    {"bundle", 4, play_bundle},   {"commits", 4, play_commits},   {"unwanted", 4, play_unwanted}};
const size_t scenario_count = sizeof scenarios / sizeof scenarios[0];

const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

unsigned scenario_play(const struct scenario *scenario, const struct sim_options *options,
                       uint64_t *hash)
{
    struct sim_options with = *options;
    with.mode = SIM_CRASH;
    with.nodes = scenario->nodes;
    with.is_scripted = true;
    struct sim *sim = sim_new(&with);
    scenario->play(sim);
    unsigned violations = sim->violations;
    *hash = sim_hash(sim);
    sim_free(sim);
    return violations;
}

void scenario_wait(struct sim *sim, uint64_t us)
{
    uint64_t until_us = sim->now_us + us;
    while (sim->heap_count > 0 && sim->heap[0].at_us <= until_us && sim_step(sim))
        ;
}

bool scenario_until(struct sim *sim, scenario_fn *fn, void *arg, uint64_t limit_us,
                    const char *what)
{
    uint64_t until_us = sim->now_us + limit_us;
    while (!fn(sim, arg)) {
        if (sim->now_us < until_us && sim_step(sim))
            continue;
        check_violation(sim, "scenario", "it did not come so far: %s", what);
        return false;
    }
    return true;
}

struct sim_eval *scenario_begin(struct sim *sim, unsigned at)
{
    scenario_wait(sim, 3 * SIM_S);
    struct sim_eval *eval = load_make(sim, 1);
    while (eval && (eval->req.projects[0].failure ||
                    sim_hash3(sim->options.seed, eval->id, 0, 2) % 9 < 2)) {
        sim->eval_count--; /* one that has modules */
        arena_free(eval->arena);
        sim->next_eval++;
        eval = load_make(sim, 1);
    }
    load_submit(sim, eval, at);
    return eval;
}

void scenario_end(struct sim *sim)
{
    sim->filter = NULL;
    sim_push(sim, &(struct sim_event){.at_us = sim->now_us, .kind = SIM_CALM});
    while (sim_step(sim))
        ;
}

const struct doc *scenario_doc(const struct sim *sim, unsigned node, const struct sim_eval *eval)
{
    return disk_find(&sim->nodes[node].disk, eval->id);
}
