/* Scenarios of repositories: owners that go before, while and after they clone. */
#include "node/store/arena.h"
#include "tests/sim/check_inner.h"
#include "tests/sim/scenario.h"

#include <string.h>

/* ---- what is so ------------------------------------------------------------------------------ */

struct scene {
    struct sim_eval *eval;
    struct hash tree; /* that was found first */
};

/* One project, whose repository is there and opens for a secret alone. */
static struct sim_eval *begin(struct sim *sim)
{
    struct sim_eval *eval = NULL;
    scenario_wait(sim, 3 * SIM_S);
    for (;;) {
        eval = load_make_git(sim, 1);
        if (doc_hash_is_set(&eval->req.secret) && cloner_is_there(sim, eval->id, 0))
            break;
        arena_free(eval->arena);
        sim->eval_count--;
        sim->next_eval++;
    }
    load_submit(sim, eval, 0);
    return eval;
}

static bool clones(const struct sim *sim, unsigned node, const struct sim_eval *eval)
{
    for (size_t i = 0; i < sim->nodes[node].clone_count; i++)
        if (sim->nodes[node].clones[i].work.eval == eval->id)
            return true;
    return false;
}

static bool n0_clones(struct sim *sim, void *arg)
{
    const struct scene *scene = arg;
    return scene->eval->is_acked && clones(sim, 0, scene->eval);
}

static bool another_clones(struct sim *sim, void *arg)
{
    const struct scene *scene = arg;
    for (unsigned n = 1; n < sim->node_count; n++)
        if (clones(sim, n, scene->eval))
            return true;
    return false;
}

static bool is_found_by(struct sim *sim, unsigned node, struct scene *scene)
{
    const struct doc *doc = scenario_doc(sim, node, scene->eval);
    const struct doc_source *source = doc ? doc_source(doc, 0) : NULL;
    if (source)
        scene->tree = source->tree;
    return source;
}

/* n0 has found it, another one knows, and nobody has got the bundle from n0. */
static bool is_told(struct sim *sim, void *arg)
{
    for (unsigned n = 1; n < sim->node_count; n++)
        if (is_found_by(sim, n, arg))
            return true;
    return false;
}

static bool is_found_by_n0(struct sim *sim, void *arg) { return is_found_by(sim, 0, arg); }

static bool is_found_elsewhere(struct sim *sim, void *arg)
{
    struct scene other = *(struct scene *)arg;
    for (unsigned n = 1; n < sim->node_count; n++)
        if (is_found_by(sim, n, &other))
            return true;
    return false;
}

static bool is_done(struct sim *sim, void *arg)
{
    const struct scene *scene = arg;
    unsigned count = 0;
    for (unsigned n = 0; n < sim->node_count; n++) {
        const struct doc *doc = scenario_doc(sim, n, scene->eval);
        count += sim->nodes[n].is_up && doc && doc_is_final(doc);
    }
    return count + sim->gone >= sim->node_count;
}

static void go_for_ever(struct sim *sim, unsigned node)
{
    node_crash(sim, node, NODE_KILLED);
    sim->nodes[node].is_gone = true;
    sim->gone++;
}

static void cut_off(struct sim *sim, unsigned node, bool is_cut)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (i != node && is_cut)
            faults_cut(sim, node, i, true);
}

/* It counts one commit, and all of it; a failure would say that it was lost. */
static void check_counted(struct sim *sim, const struct scene *scene, const struct hash *tree)
{
    for (unsigned n = 0; n < sim->node_count; n++) {
        const struct doc *doc = scenario_doc(sim, n, scene->eval);
        struct doc_project project;
        if (!sim->nodes[n].is_up || !doc)
            continue;
        doc_project(doc, 0, &project);
        if (project.failure || !doc_plan(doc, 0))
            check_violation(sim, "I3", "%s: the repository was not run: %s", sim->nodes[n].label,
                            project.failure ? project.failure : "no plan");
        else if (tree && memcmp(tree, &project.tree, sizeof *tree) != 0)
            check_violation(sim, "I19", "%s: another commit counts than was found",
                            sim->nodes[n].label);
    }
}

/* ---- the owner goes -------------------------------------------------------------------------- */

/* While it clones, for ever: who holds the secret goes on. */
void play_cloner(struct sim *sim)
{
    struct scene scene = {.eval = begin(sim)};
    if (!scenario_until(sim, n0_clones, &scene, 20 * SIM_S, "n0 clones"))
        return;
    scenario_wait(sim, 500 * SIM_MS);
    go_for_ever(sim, 0);
    if (!scenario_until(sim, another_clones, &scene, 30 * SIM_S, "another one clones") ||
        !scenario_until(sim, is_done, &scene, 60 * SIM_S, "it is done"))
        return;
    check_counted(sim, &scene, NULL);
    scenario_end(sim);
}

/* When it has told what it found and before anybody has its bundle: the same commit is cloned
 * again, wherever the branch is now. */
void play_bundle(struct sim *sim)
{
    struct scene scene = {.eval = begin(sim)};
    if (!scenario_until(sim, is_told, &scene, 30 * SIM_S, "n0 tells what it found"))
        return;
    go_for_ever(sim, 0);
    sim->commit = 1;
    struct hash tree = scene.tree;
    if (!scenario_until(sim, another_clones, &scene, 30 * SIM_S, "it is cloned again") ||
        !scenario_until(sim, is_done, &scene, 60 * SIM_S, "it is done"))
        return;
    check_counted(sim, &scene, &tree);
    scenario_end(sim);
}

/* ---- two commits ----------------------------------------------------------------------------- */

/* n0 is cut off while it clones, finds one commit and runs it; the others go on with another
 * commit. When they meet, the higher fence's counts, and nothing that ran of the other one. */
void play_commits(struct sim *sim)
{
    sim->nodes[0].slots = 1; /* so that it has not come to its end by then */
    struct scene scene = {.eval = begin(sim)};
    if (!scenario_until(sim, n0_clones, &scene, 20 * SIM_S, "n0 clones"))
        return;
    cut_off(sim, 0, true);
    sim->commit = 1;
    if (!scenario_until(sim, is_found_by_n0, &scene, 20 * SIM_S, "n0 finds one commit") ||
        !scenario_until(sim, is_found_elsewhere, &scene, 30 * SIM_S, "the others find another"))
        return;
    struct hash tree = cloner_tree(sim, scene.eval->id, 0, 1);
    faults_heal(sim);
    if (!scenario_until(sim, is_done, &scene, 60 * SIM_S, "it is done"))
        return;
    check_counted(sim, &scene, &tree);
    scenario_end(sim);
}

/* ---- a cancel -------------------------------------------------------------------------------- */

static bool is_cancelled(struct sim *sim, void *arg)
{
    const struct scene *scene = arg;
    return scene->eval->cancel_acked && is_done(sim, arg);
}

/* The clone ends, and the secret is gone everywhere. */
void play_unwanted(struct sim *sim)
{
    struct scene scene = {.eval = begin(sim)};
    if (!scenario_until(sim, n0_clones, &scene, 20 * SIM_S, "n0 clones"))
        return;
    load_cancel(sim, scene.eval);
    if (!scenario_until(sim, is_cancelled, &scene, 20 * SIM_S, "it is cancelled"))
        return;
    for (unsigned n = 0; n < sim->node_count; n++) {
        if (clones(sim, n, scene.eval))
            check_violation(sim, "I17", "%s clones what was cancelled", sim->nodes[n].label);
        if (disk_has_blob(&sim->nodes[n].disk, &scene.eval->req.secret))
            check_violation(sim, "L5", "%s keeps the secret of what was cancelled",
                            sim->nodes[n].label);
    }
    scenario_end(sim);
}
