/* How far from the best possible the machines are, on the duration sets of xdist's issue #925 and
 * others: makespan over max(sum / slots, longest). */
#include "tests/unit/loadbalance/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct set {
    const char *name;
    uint32_t nodes, slots; /* a node */
    uint32_t count;
    double sigma; /* lognormal; 0: fixed below */
    const uint32_t *fixed;
};

/* xdist issue #925. */
static const uint32_t issue_925[] = {10000, 9000, 8000, 7000, 6000, 1700, 1600, 1500,
                                     1400,  1300, 1200, 1100, 1000, 900,  800};
static uint32_t forty_and_one[41];

enum belief { BELIEF_TRUE, BELIEF_HALF_WRONG, BELIEF_NONE };

static void fill(struct sim *sim, const struct set *set, enum belief belief)
{
    struct sim_project *project = sim_add_project(sim_add_eval(sim, 0, 1), set->count);
    for (uint32_t m = 0; m < set->count; m++) {
        struct sim_module *module = &project->modules[m];
        module->ms = set->fixed ? set->fixed[m]
                                : (uint32_t)(1000 * sim_lognormal(&sim->rand, set->sigma)) + 1;
        module->is_measured = belief != BELIEF_NONE;
        module->estimate_ms = belief == BELIEF_NONE ? 1000 : module->ms;
        if (belief == BELIEF_HALF_WRONG)
            module->estimate_ms = (uint32_t)(module->ms * (50 + rand_below(&sim->rand, 101)) / 100);
    }
}

static double bound_of(const struct sim *sim)
{
    double sum = 0;
    double longest = 0;
    for (uint32_t e = 0; e < sim->eval_count; e++)
        for (uint32_t p = 0; p < sim->evals[e]->count; p++)
            for (uint32_t m = 0; m < sim->evals[e]->projects[p].count; m++) {
                double ms = sim->evals[e]->projects[p].modules[m].ms;
                sum += ms;
                longest = ms > longest ? ms : longest;
            }
    double even = sum / (sim->config.nodes * sim->config.slots);
    return even > longest ? even : longest;
}

static double ratio_of(const struct set *set, enum belief belief, uint64_t seed)
{
    struct sim *sim = sim_new(&(struct sim_config){.seed = seed,
                                                   .nodes = set->nodes,
                                                   .slots = set->slots,
                                                   .latency_min_ms = 0,
                                                   .latency_max_ms = 1});
    fill(sim, set, belief);
    double took = (double)(sim_run(sim, 100000000) - 51);
    double ratio = took / bound_of(sim);
    if (sim->broken)
        fail_msg("%s, SEED=%llu: %s", set->name, (unsigned long long)seed, sim->why);
    sim_free(sim);
    return ratio;
}

static double mean_ratio(const struct set *set, enum belief belief, uint64_t seeds)
{
    double sum = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        sum += ratio_of(set, belief, seed);
    return sum / (double)seeds;
}

static void with_history_it_is_within_a_twentieth_of_the_best(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 41; i++)
        forty_and_one[i] = i < 40 ? 100 : 2000;
    static const struct set sets[] = {
        {"issue 925, 4 slots", 2, 2, 15, 0, issue_925},
        {"40 short, 1 long, 4 slots", 2, 2, 41, 0, forty_and_one},
        {"40 lognormal(1.0), 8", 4, 2, 40, 1.0, NULL},
        {"200 lognormal(1.0), 8", 4, 2, 200, 1.0, NULL},
        {"200 lognormal(1.5), 8", 4, 2, 200, 1.5, NULL},
        {"1000 lognormal(1.5), 32", 8, 4, 1000, 1.5, NULL},
        {"2000 lognormal(1.0), 200", 50, 4, 2000, 1.0, NULL},
    };
    printf("  %-28s %8s %12s %10s\n", "set", "history", "+-50% wrong", "none");
    for (size_t i = 0; i < countof(sets); i++) {
        uint64_t seeds = sets[i].fixed ? 3 : sets[i].count < 1000 ? 20 : 2;
        double known = mean_ratio(&sets[i], BELIEF_TRUE, seeds);
        double wrong = mean_ratio(&sets[i], BELIEF_HALF_WRONG, seeds);
        double none = mean_ratio(&sets[i], BELIEF_NONE, seeds);
        printf("  %-28s %8.3f %12.3f %10.3f\n", sets[i].name, known, wrong, none);
        assert_true(known <= 1.05);
        assert_true(wrong <= 1.35);
    }
}

static double jain(const double *x, size_t count)
{
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    return sum * sum / ((double)count * squares);
}

/* Jain, Chiu, Hawe: "A quantitative measure of fairness", 1984: 1 is equal shares. The slot time
 * that each has had when the half of all is done. */
static void equal_evaluations_get_equal_shares(void **unused)
{
    (void)unused;
    static const uint32_t shapes[][2] = {{1, 1}, {2, 2}, {4, 8}, {30, 1}};
    for (size_t i = 0; i < countof(shapes); i++) {
        struct sim *sim = sim_new(&(struct sim_config){
            .seed = 7, .nodes = shapes[i][0], .slots = shapes[i][1], .latency_max_ms = 2});
        uint64_t sum = 0;
        for (size_t e = 0; e < 4; e++) {
            struct sim_project *project = sim_add_project(sim_add_eval(sim, e * 100, 1), 400);
            for (uint32_t m = 0; m < project->count; m++) {
                project->modules[m].ms = 200 + (uint32_t)rand_below(&sim->rand, 400 + 800 * e);
                project->modules[m].estimate_ms = project->modules[m].ms;
                sum += project->modules[m].ms;
            }
        }
        uint64_t half = sum / 2 / (shapes[i][0] * shapes[i][1]);
        sim_run(sim, half);
        double shares[4];
        for (size_t e = 0; e < 4; e++)
            shares[e] = (double)sim->evals[e]->busy_ms;
        printf("  %u nodes of %u: Jain %.3f\n", shapes[i][0], shapes[i][1], jain(shares, 4));
        assert_true(jain(shares, 4) >= 0.9);
        sim_free(sim);
    }
}

/* A class: every project must be got ready somewhere before anything of it runs. The bound is the
 * most of: the work over the slots, the preparations over what is prepared at the same time, one
 * project's own. */
static double class_ratio(uint64_t seed, bool is_one_environment, uint64_t *messages)
{
    struct sim *sim = sim_new(&(struct sim_config){
        .seed = seed, .nodes = 4, .slots = 2, .latency_max_ms = 2, .is_cold = true});
    struct sim_eval *eval = sim_add_eval(sim, 0, 1);
    double work = 0;
    double prepare = 0;
    double longest = 0;
    for (uint32_t p = 0; p < 300; p++) {
        struct sim_project *project =
            sim_add_project(eval, 1 + (uint32_t)rand_below(&sim->rand, 6));
        project->prepare_ms = 500 + (uint32_t)rand_below(&sim->rand, 4501);
        if (is_one_environment)
            project->environment = 0;
        work += is_one_environment ? 4 : project->prepare_ms / 5;
        prepare += is_one_environment ? 24 : project->prepare_ms;
        double most = 0;
        for (uint32_t m = 0; m < project->count; m++) {
            struct sim_module *module = &project->modules[m];
            module->ms = (uint32_t)(500 * sim_lognormal(&sim->rand, 1.0)) + 1;
            module->estimate_ms = 500;
            work += module->ms;
            most = module->ms > most ? module->ms : most;
        }
        most += is_one_environment ? 0 : project->prepare_ms;
        longest = most > longest ? most : longest;
    }
    double bound = work / 8;
    bound = prepare / 8 > bound ? prepare / 8 : bound;
    bound = longest > bound ? longest : bound;
    double took = (double)(sim_run(sim, 100000000) - 51);
    if (sim->broken)
        fail_msg("SEED=%llu: %s", (unsigned long long)seed, sim->why);
    *messages = sim->messages;
    sim_free(sim);
    return took / bound;
}

static void a_class_of_300_projects_is_near_its_bound(void **unused)
{
    (void)unused;
    for (int same = 0; same < 2; same++) {
        double sum = 0;
        uint64_t messages = 0;
        for (uint64_t seed = 1; seed <= 5; seed++)
            sum += class_ratio(seed, same, &messages);
        printf("  300 projects, %s: %.3f of the bound, %llu messages\n",
               same ? "one environment" : "each its own", sum / 5, (unsigned long long)messages);
        assert_true(sum / 5 <= 1.25);
    }
}

/* One project that is much larger than its preparation: the other nodes help as soon as its modules
 * are known. The bound: two preparations, one after the other, and all slots from then on. */
static void a_large_project_is_helped_with(void **unused)
{
    (void)unused;
    struct sim *sim = sim_new(&(struct sim_config){
        .seed = 3, .nodes = 4, .slots = 2, .latency_max_ms = 2, .is_cold = true});
    struct sim_project *project = sim_add_project(sim_add_eval(sim, 0, 1), 200);
    project->prepare_ms = 3000;
    for (uint32_t m = 0; m < project->count; m++)
        project->modules[m].ms = project->modules[m].estimate_ms = 1000;
    double took = (double)(sim_run(sim, 100000000) - 51);
    double bound = 6000 + (200 * 1000 - 2 * 3000) / 8.0;
    printf("  200 modules of 1 s, 3 s to prepare: %.0f ms, bound %.0f\n", took, bound);
    assert_int_equal(sim->broken, 0);
    assert_true(took <= bound * 1.1);
    sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_history_it_is_within_a_twentieth_of_the_best),
        cmocka_unit_test(equal_evaluations_get_equal_shares),
        cmocka_unit_test(a_class_of_300_projects_is_near_its_bound),
        cmocka_unit_test(a_large_project_is_helped_with),
    };
    return cmocka_run_group_tests_name("makespan", tests, NULL, NULL);
}
