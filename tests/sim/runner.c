/* What runs on a node. How long it takes and how it ends follows from the seed and the attempt, so
 * that the truth is known. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

#define TIMEOUT_MS  8000 /* of a module that hangs */
#define MODULES_MAX 9    /* of a project */

/* ---- the truth ------------------------------------------------------------------------------- */

enum fate { PASSES, FAILS, ERRORS, SKIPS, HANGS, FLAKES, LOSES_RUNNER, KILLS_NODE };

static uint64_t module_hash(const struct sim *self, const struct work *work)
{
    return sim_hash3(self->options.seed, work->eval, work->p, work->m);
}

static enum fate fate_of(const struct sim *self, const struct work *work)
{
    const struct sim_swarm *swarm = &self->swarm;
    unsigned chance = (unsigned)(module_hash(self, work) % 100);
    if (chance < 4)
        return swarm->has_killers ? KILLS_NODE : PASSES;
    if (chance < 10)
        return swarm->has_losses ? LOSES_RUNNER : FAILS;
    if (chance < 15)
        return swarm->has_hangs ? HANGS : PASSES;
    if (chance < 30)
        return swarm->has_flaky ? FLAKES : PASSES;
    if (chance < 45)
        return FAILS;
    return chance < 50 ? ERRORS : chance < 55 ? SKIPS : PASSES;
}

static uint64_t attempt_hash(const struct sim *self, const struct sim_node *node,
                             const struct work *work)
{
    return sim_hash3(module_hash(self, work), work->n ^ (uint64_t)work->ballot.epoch << 32,
                     work->ballot.owner, node->id);
}

static uint32_t duration_ms(const struct sim *self, const struct sim_node *node,
                            const struct work *work)
{
    if (fate_of(self, work) == HANGS)
        return TIMEOUT_MS;
    uint64_t usual = 40 + module_hash(self, work) / 128 % 1000;
    if (module_hash(self, work) % 7 == 0)
        usual *= 5;
    return (uint32_t)(usual + attempt_hash(self, node, work) % (usual / 2 + 1));
}

static enum doc_outcome outcome_of(const struct sim *self, const struct sim_node *node,
                                   const struct work *work)
{
    switch (fate_of(self, work)) {
    case FAILS:
        return DOC_FAILED;
    case ERRORS:
        return DOC_ERROR;
    case SKIPS:
        return DOC_SKIPPED;
    case HANGS:
        return DOC_TIMEOUT;
    case FLAKES:
        return attempt_hash(self, node, work) % 2 ? DOC_FAILED : DOC_PASSED;
    case PASSES:
    case LOSES_RUNNER:
    case KILLS_NODE:
        return DOC_PASSED;
    }
    return DOC_PASSED;
}

/* How many executions of such a module end so, before one goes well. */
static unsigned bad_runs(const struct sim *self, const struct work *work)
{
    return 1 + (unsigned)(module_hash(self, work) / 1024 % 2);
}

enum chore_fate { CHORE_DOES, CHORE_FAILS_HERE, CHORE_FAILS };

static enum chore_fate chore_fate_of(const struct sim *self, const struct sim_node *node,
                                     const struct work *work)
{
    if (!self->swarm.has_unready)
        return CHORE_DOES;
    if (sim_hash3(self->options.seed, work->eval, work->p, 7) % 8 == 0)
        return CHORE_FAILS;
    if (self->is_calm)
        return CHORE_DOES;
    return attempt_hash(self, node, work) % 8 == 0 ? CHORE_FAILS_HERE : CHORE_DOES;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static struct sim_job *find_job(struct sim_node *node, const struct work *work)
{
    for (size_t i = 0; i < node->job_count; i++)
        if (work_is_same(&node->jobs[i].work, work))
            return &node->jobs[i];
    return NULL;
}

static struct sim_job *find_ticket(struct sim_node *node, uint64_t ticket)
{
    for (size_t i = 0; i < node->job_count; i++)
        if (node->jobs[i].ticket == ticket)
            return &node->jobs[i];
    return NULL;
}

static void schedule(struct sim *self, struct sim_node *node, const struct sim_job *job,
                     enum sim_kind kind, uint64_t after_us)
{
    sim_push(self, &(struct sim_event){.at_us = self->now_us + after_us,
                                       .kind = kind,
                                       .node = node->index,
                                       .life = node->life,
                                       .a = job->ticket,
                                       .b = job->kind});
}

static struct sim_job *add_job(struct sim *self, struct sim_node *node,
                               const struct mesh_effect *effect, enum sim_job_kind kind)
{
    if (find_job(node, &effect->work))
        check_violation(self, "I12", "%s starts one attempt twice: eval %" PRIu64 " p%u m%u n%u",
                        node->label, effect->work.eval, effect->work.p, effect->work.m,
                        effect->work.n);
    node->jobs = mem_grow(node->jobs, &node->job_room, node->job_count + 1, sizeof *node->jobs);
    struct sim_job *job = &node->jobs[node->job_count++];
    *job = (struct sim_job){.ticket = self->next_ticket++,
                            .work = effect->work,
                            .slot = effect->slot,
                            .kind = kind,
                            .has_slot = kind == SIM_JOB_MODULE,
                            .began_us = self->now_us};
    return job;
}

static struct sim_ready *find_ready(const struct sim_node *node, const struct work *work)
{
    for (size_t i = 0; i < node->ready_count; i++)
        if (node->ready[i].work.eval == work->eval && node->ready[i].work.p == work->p)
            return &node->ready[i];
    return NULL;
}

static void make_ready(struct sim_node *node, const struct sim_job *job)
{
    struct sim_ready *ready = find_ready(node, &job->work);
    if (!ready) {
        node->ready =
            mem_grow(node->ready, &node->ready_room, node->ready_count + 1, sizeof *node->ready);
        ready = &node->ready[node->ready_count++];
    }
    *ready = (struct sim_ready){.work = job->work, .tree = job->tree};
}

/* Of the commit that the document has now; 0 for an upload. */
static struct hash tree_of(const struct sim_node *node, const struct work *work)
{
    const struct doc *doc = disk_find(&node->disk, work->eval);
    struct doc_project project = {0};
    if (doc && doc->req && work->p < doc->req->project_count)
        doc_project(doc, work->p, &project);
    return project.tree;
}

static bool is_same_tree(const struct hash *a, const struct hash *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static struct sim_job take_job(struct sim_node *node, struct sim_job *job)
{
    struct sim_job taken = *job;
    *job = node->jobs[--node->job_count];
    return taken;
}

static uint32_t took_ms(const struct sim *self, const struct sim_job *job)
{
    return (uint32_t)((self->now_us - job->began_us) / SIM_MS);
}

static void end_job(struct sim *self, struct sim_node *node, const struct sim_job *job,
                    struct mesh_event *event)
{
    event->kind = MESH_ENDED;
    event->work = job->work;
    event->took_ms = took_ms(self, job);
    SIM_CHART(self, "%s: p%u m%d n%u of %" PRIu64 " ends: %d, blame %d", node->label, job->work.p,
              (int)job->work.m, job->work.n, job->work.eval, event->end, event->blame);
    node_step(self, node, event);
}

/* ---- effects --------------------------------------------------------------------------------- */

void runner_prepare(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_job *job = add_job(self, node, effect, SIM_JOB_PREPARE);
    job->tree = tree_of(node, &job->work);
    check_started(self, node, job);
    uint64_t usual =
        50 * SIM_MS + sim_hash3(self->options.seed, effect->work.eval, effect->work.p, 1) % SIM_S;
    schedule(self, node, job, SIM_WORKED, usual + rand_below(&node->rand, usual));
}

void runner_give_slot(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_job *job = find_job(node, &effect->work);
    if (!job || job->kind != SIM_JOB_WAITS) {
        if (!job)
            check_violation(self, "I12", "%s gives a slot to a chore that is not there",
                            node->label);
        return;
    }
    job->kind = SIM_JOB_DISCOVER;
    job->slot = effect->slot;
    job->has_slot = true;
    check_started(self, node, job);
    schedule(self, node, job, SIM_WORKED, 20 * SIM_MS + rand_below(&node->rand, 300 * SIM_MS));
}

void runner_start(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_job *job = add_job(self, node, effect, SIM_JOB_MODULE);
    const struct doc *doc = disk_find(&node->disk, job->work.eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, job->work.p) : NULL;
    if (!plan || job->work.m >= plan->module_count) {
        check_violation(self, "I12", "%s starts a module that its store does not know",
                        node->label);
        return;
    }
    const struct sim_ready *ready = find_ready(node, &job->work);
    if (!ready) { /* what was ready went away: it is given back */
        SOMETIMES(START_REFUSED);
        job->kind = SIM_JOB_REFUSED;
        schedule(self, node, job, SIM_WORKED, SIM_MS);
        return;
    }
    if (!is_same_tree(&ready->tree, &plan->tree))
        check_violation(self, "I19", "%s runs p%u of %" PRIu64 " from another commit's files",
                        node->label, job->work.p, job->work.eval);
    job->plan = plan->hash;
    SIM_CHART(self, "%s: runs p%u m%u n%u of %" PRIu64 " in slot %u", node->label, job->work.p,
              job->work.m, job->work.n, job->work.eval, job->slot);
    check_started(self, node, job);
    uint64_t takes = duration_ms(self, node, &job->work) * SIM_MS;
    schedule(self, node, job, SIM_WORKED, takes);
    schedule(self, node, job, SIM_PROGRESS, takes / 2);
}

void runner_stop(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_job *job = find_job(node, &effect->work);
    if (!job || job->is_stopped)
        return;
    if (job->kind == SIM_JOB_MODULE)
        SOMETIMES(MODULE_STOPPED);
    job->is_stopped = true;
    schedule(self, node, job, SIM_WORKED, rand_below(&node->rand, 300 * SIM_MS));
}

void runner_crash(struct sim *self, struct sim_node *node)
{
    for (size_t i = 0; i < node->job_count; i++)
        if (node->jobs[i].kind == SIM_JOB_MODULE)
            check_lost(self, node->jobs[i].work.eval, node->jobs[i].work.p, node->jobs[i].work.m);
    node->job_count = node->ready_count = 0;
}

/* ---- ends: chores ---------------------------------------------------------------------------- */

static const char *const paths[MODULES_MAX + 1] = {
    "test_a.py", "test_b.py", "test_c.py", "test_d.py", "test_e.py",
    "test_f.py", "test_g.py", "test_h.py", "test_i.py", "test_j.py"};

/* What a chore leaves: the project's modules, as this node finds them. */
static void end_with_plan(struct sim *self, struct sim_node *node, const struct sim_job *job,
                          bool has_failed)
{
    struct doc_module modules[MODULES_MAX + 1];
    size_t count = sim_hash3(self->options.seed, job->work.eval, job->work.p, 2) % MODULES_MAX;
    count = (count + job->tree.bytes[0]) % MODULES_MAX; /* commits differ */
    if (self->swarm.has_variants && sim_hash3(job->work.eval, job->work.p, node->id, 3) % 4 == 0)
        count++; /* finds one more than others do */
    for (size_t i = 0; i < count; i++)
        modules[i] = (struct doc_module){.path = paths[i], .bytes = 100 + i};
    struct doc_plan plan = {
        .p = job->work.p,
        .tree = job->tree,
        .ballot = {.epoch = job->work.ballot.epoch, .owner = job->work.ballot.owner},
        .modules = modules,
        .module_count = has_failed ? 0 : count};
    if (!has_failed)
        make_ready(node, job);
    else
        plan.setup = (struct doc_setup){.outcome = DOC_SETUP_FAILED,
                                        .blame = DOC_BLAME_PROJECT,
                                        .message = "no such requirement",
                                        .addr = node->address};
    const struct doc *doc = disk_find(&node->disk, job->work.eval);
    const struct doc_plan *known = doc ? doc_plan(doc, job->work.p) : NULL;
    if (known && !is_same_tree(&known->tree, &job->tree)) {
        SOMETIMES(TREE_CHANGED);
        known = NULL;
    }
    struct delta delta = {.id = job->work.eval, .plans = &plan, .plan_count = 1};
    if (known && !has_failed)
        SOMETIMES(PLAN_TWICE);
    if (known && known->hash != doc_plan_hash(&plan))
        SOMETIMES(PLANS_DIFFER);
    end_job(self, node, job,
            &(struct mesh_event){.end = has_failed ? WORK_UNPREPARED : WORK_DONE,
                                 .blame = has_failed ? WORK_BLAME_PROJECT : WORK_BLAME_NONE,
                                 .delta = known ? NULL : &delta});
}

static void worked_prepare(struct sim *self, struct sim_node *node, struct sim_job *job)
{
    enum chore_fate fate = chore_fate_of(self, node, &job->work);
    if (fate == CHORE_DOES) {
        job->kind = SIM_JOB_WAITS;
        node_step(self, node, &(struct mesh_event){.kind = MESH_WANTS_SLOT, .work = job->work});
        return;
    }
    struct sim_job taken = take_job(node, job);
    if (fate == CHORE_FAILS) {
        SOMETIMES(PROJECT_FAILED);
        end_with_plan(self, node, &taken, true);
    } else {
        SOMETIMES(CHORE_FAILED);
        end_job(self, node, &taken,
                &(struct mesh_event){.end = WORK_UNPREPARED, .blame = WORK_BLAME_CLUSTER});
    }
}

/* ---- ends: modules --------------------------------------------------------------------------- */

static void end_with_record(struct sim *self, struct sim_node *node, const struct sim_job *job)
{
    uint64_t sum = attempt_hash(self, node, &job->work);
    enum doc_outcome outcome = outcome_of(self, node, &job->work);
    struct doc_rec rec = {
        .p = job->work.p,
        .plan = job->plan,
        .m = job->work.m,
        .ballot = {.epoch = job->work.ballot.epoch, .owner = job->work.ballot.owner},
        .n = job->work.n,
        .node = node->id,
        .addr = node->address,
        .real = true,
        .outcome = outcome,
        .blame = outcome == DOC_PASSED || outcome == DOC_SKIPPED ? DOC_BLAME_NONE : DOC_BLAME_TESTS,
        .start_ms = node_wall_ms(self, node) - took_ms(self, job),
        .ms = took_ms(self, job),
        .tally = {.passed = outcome == DOC_PASSED ? 1 + (uint32_t)(sum % 9) : 0,
                  .failed = outcome == DOC_FAILED,
                  .errors = outcome == DOC_ERROR || outcome == DOC_TIMEOUT,
                  .skipped = outcome == DOC_SKIPPED},
        .tier = 'A'};
    if (outcome == DOC_TIMEOUT)
        SOMETIMES(MODULE_HUNG);
    rec.cases = hash_of(&sum, sizeof sum);
    disk_add_blob(&node->disk, &rec.cases);
    check_ran(self, job->work.eval, &rec);
    end_job(self, node, job,
            &(struct mesh_event){
                .end = WORK_DONE,
                .delta = &(struct delta){.id = job->work.eval, .res = &rec, .res_count = 1}});
}

static void kill_node(struct sim *self, struct sim_node *node)
{
    SOMETIMES(MODULE_KILLED_NODE);
    node_crash(self, node->index, NODE_KILLED);
    sim_push(self, &(struct sim_event){.at_us = self->now_us +
                                                sim_draw(&node->rand, 300 * SIM_MS, 3 * SIM_S),
                                       .kind = SIM_BOOT,
                                       .node = node->index});
}

static void worked_module(struct sim *self, struct sim_node *node, struct sim_job *job)
{
    enum fate fate = fate_of(self, &job->work);
    bool is_bad = (fate == LOSES_RUNNER || fate == KILLS_NODE) &&
                  check_runs(self, &job->work) <= bad_runs(self, &job->work);
    if (is_bad && fate == KILLS_NODE) {
        kill_node(self, node);
        return;
    }
    if (is_bad) {
        SOMETIMES(MODULE_LOST);
        struct sim_job taken = take_job(node, job);
        check_lost(self, taken.work.eval, taken.work.p, taken.work.m);
        end_job(self, node, &taken,
                &(struct mesh_event){.end = WORK_LOST, .blame = WORK_BLAME_TESTS});
        return;
    }
    if (job->has_slot && sim_chance(&node->rand, 300000)) { /* its output is still to be written */
        job->has_slot = false;
        schedule(self, node, job, SIM_WORKED, sim_draw(&node->rand, SIM_MS, 40 * SIM_MS));
        node_step(self, node, &(struct mesh_event){.kind = MESH_FREED, .work = job->work});
        return;
    }
    struct sim_job taken = take_job(node, job);
    end_with_record(self, node, &taken);
}

void runner_event(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    struct sim_job *job = find_ticket(node, event->a);
    if (!job)
        return;
    if (event->kind == SIM_PROGRESS) {
        node_step(
            self, node,
            &(struct mesh_event){.kind = MESH_PROGRESS, .work = job->work, .tally = {.passed = 1}});
        return;
    }
    if (job->is_stopped) {
        struct sim_job taken = take_job(node, job);
        end_job(self, node, &taken, &(struct mesh_event){.end = WORK_CANCELLED});
        return;
    }
    if (event->b != (uint64_t)job->kind)
        return;
    if (job->kind == SIM_JOB_REFUSED) {
        struct sim_job taken = take_job(node, job);
        end_job(self, node, &taken, &(struct mesh_event){.end = WORK_REFUSED});
    } else if (job->kind == SIM_JOB_PREPARE) {
        worked_prepare(self, node, job);
    } else if (job->kind == SIM_JOB_DISCOVER) {
        struct sim_job taken = take_job(node, job);
        end_with_plan(self, node, &taken, false);
    } else if (job->kind == SIM_JOB_MODULE) {
        worked_module(self, node, job);
    }
}
