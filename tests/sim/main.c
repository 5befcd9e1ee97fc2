/* mesh-sim: runs seeds and says what was violated. */
#include "tests/sim/mutants.h"
#include "tests/sim/scenario.h"
#include "tests/sim/sim.h"

#include "proto/base/clock.h"
#include "proto/base/opt.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

struct options {
    int64_t seed, count, nodes;
    uint64_t time_limit_ms;
    int mode; /* SIM_MODES: all */
    int git;  /* enum sim_git */
    char *mutation, *scenario;
    bool trace, stats, gate, list;
};

static const struct opt_row rows[] = {
    {.section = "Seeds",
     .flag = "seed",
     .type = OPT_INT,
     .min = 0,
     .max = INT64_MAX,
     .fallback = "1",
     .help = "the first one",
     .offset = offsetof(struct options, seed)},
    {.flag = "count",
     .type = OPT_INT,
     .min = 1,
     .max = INT64_MAX,
     .fallback = "1",
     .help = "how many",
     .offset = offsetof(struct options, count)},
    {.flag = "mode",
     .type = OPT_CHOICE,
     .choices = "crash part perm disk blackout all",
     .fallback = "all",
     .help = "what goes wrong; all: one after the other",
     .offset = offsetof(struct options, mode)},
    {.flag = "git",
     .type = OPT_CHOICE,
     .choices = "some none all",
     .fallback = "some",
     .help = "evaluations of repositories: in half of the seeds, or in none, or in all",
     .offset = offsetof(struct options, git)},
    {.flag = "nodes",
     .type = OPT_INT,
     .min = 0,
     .max = SIM_NODES_MAX,
     .fallback = "0",
     .zero_word = "drawn",
     .help = "how many nodes",
     .offset = offsetof(struct options, nodes)},
    {.flag = "time-limit",
     .type = OPT_DURATION,
     .min = 0,
     .max = 0,
     .fallback = "0",
     .zero_word = "no limit",
     .help = "begin no seed after that long",
     .offset = offsetof(struct options, time_limit_ms)},
    {.section = "The checker",
     .flag = "mutation",
     .type = OPT_STRING,
     .metavar = "NAME",
     .help = "break a rule in every node; see --list",
     .offset = offsetof(struct options, mutation)},
    {.flag = "scenario",
     .type = OPT_STRING,
     .metavar = "NAME",
     .help = "play a written history in place of drawn ones; see --list",
     .offset = offsetof(struct options, scenario)},
    {.flag = "gate",
     .type = OPT_BOOL,
     .help = "break each rule in turn: fail if one is not caught",
     .offset = offsetof(struct options, gate)},
    {.section = "What to see",
     .flag = "trace",
     .type = OPT_BOOL,
     .help = "print every message and event",
     .offset = offsetof(struct options, trace)},
    {.flag = "stats",
     .type = OPT_BOOL,
     .help = "count what should happen now and then",
     .offset = offsetof(struct options, stats)},
    {.flag = "list",
     .type = OPT_BOOL,
     .help = "name the mutations and the scenarios",
     .offset = offsetof(struct options, list)},
};

static const struct opt_table table = {.program = "mesh-sim",
                                       .usage = "[options]",
                                       .about = "Runs a mesh in a simulated world, a history for "
                                                "each seed, and checks what must hold.",
                                       .rows = rows,
                                       .row_count = sizeof rows / sizeof rows[0]};

static enum sim_mode mode_of(const struct options *options, uint64_t seed)
{
    return options->mode < SIM_MODES ? (enum sim_mode)options->mode
                                     : (enum sim_mode)(seed % SIM_MODES);
}

static int run_seeds(const struct options *options)
{
    uint64_t hash = 0, begin = clock_mono_ms();
    int64_t done = 0, bad = 0;
    struct sim_options sim_options = {.nodes = (unsigned)options->nodes,
                                      .git = (enum sim_git)options->git,
                                      .trace = options->trace ? stdout : NULL};
    if (options->mutation && !mutant_apply(options->mutation, &sim_options)) {
        fprintf(stderr, "mesh-sim: no mutation is called %s\n", options->mutation);
        return 2;
    }
    for (; done < options->count; done++) {
        if (options->time_limit_ms > 0 && clock_mono_ms() - begin > options->time_limit_ms)
            break;
        sim_options.seed = (uint64_t)(options->seed + done);
        sim_options.mode = mode_of(options, sim_options.seed);
        struct sim *sim = sim_new(&sim_options);
        bad += sim_run(sim) > 0;
        hash = sim_hash3(hash, sim_hash(sim), 0, 0);
        sim_free(sim);
    }
    if (options->stats)
        some_print(stdout);
    printf("seeds %" PRId64 " violations %" PRId64 " hash %016" PRIx64 "\n", done, bad, hash);
    return bad > 0;
}

static int run_scenario(const struct options *options)
{
    struct sim_options with = {0};
    if (options->mutation && !mutant_apply(options->mutation, &with)) {
        fprintf(stderr, "mesh-sim: no mutation is called %s\n", options->mutation);
        return 2;
    }
    const struct scenario *scenario = scenario_find(options->scenario);
    if (scenario) {
        uint64_t hash;
        with.seed = (uint64_t)options->seed;
        with.trace = options->trace ? stdout : NULL;
        unsigned bad = scenario_play(scenario, &with, &hash);
        printf("seeds 1 violations %u hash %016" PRIx64 "\n", bad > 0, hash);
        return bad > 0;
    }
    fprintf(stderr, "mesh-sim: no scenario is called %s\n", options->scenario);
    return 2;
}

static int list(void)
{
    mutant_list(stdout);
    for (size_t i = 0; i < scenario_count; i++)
        printf("scenario  %s\n", scenarios[i].name);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct opt_parsed parsed = {0};
    struct err err = ERR_INIT;
    int code;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was found is seen at once */
    if (opt_load(&table, argc - 1, argv + 1, &options, &parsed, &err) != 0) {
        fprintf(stderr, "mesh-sim: %s\n", err.text);
        return 2;
    }
    if (parsed.help) {
        owned_buf text = BUF_INIT;
        opt_help(&table, 80, &text);
        fputs(buf_str(&text), stdout);
        code = 0;
    } else if (options.list) {
        code = list();
    } else if (options.gate) {
        code = mutants_run((uint64_t)options.seed);
    } else if (options.scenario) {
        code = run_scenario(&options);
    } else {
        code = run_seeds(&options);
    }
    opt_fini(&table, &options);
    opt_parsed_fini(&parsed);
    return code;
}
