/* project: from a bundle to a tree, an environment and a plan. */
#include "node/eval/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

/* ---- the end of a chore ---------------------------------------------------------------------- */

static void keep_log(struct store *store, const struct buf *log, struct hash *out)
{
    if (log->len == 0)
        return;
    *out = hash_of(log->data, log->len);
    store_put_blob(store, log->data, log->len, "txt", NULL, NULL);
}

static void count(struct executor_stats *stats, enum work_end end, enum work_blame blame,
                  uint64_t took_ms)
{
    if (end == WORK_CANCELLED)
        stats->projects_cancelled++;
    else if (end == WORK_UNPREPARED)
        stats->projects_failed[blame == WORK_BLAME_CLUSTER ? DOC_BLAME_CLUSTER
                                                           : DOC_BLAME_PROJECT]++;
    else
        histogram_add(&stats->prepare, took_ms * 1000);
}

static void tell_end(struct project *project, enum work_end end, enum work_blame blame,
                     const struct delta *delta)
{
    struct executor *self = project->owner;
    struct work chore = project->chore;
    uint64_t took_ms = clock_mono_ms() - project->started_ms;
    project->is_preparing = false;
    count(&self->stats, end, blame, took_ms);
    project->is_telling = true;
    self->config.events->ended(self->config.arg, &chore, end, blame,
                               took_ms < UINT32_MAX ? (uint32_t)took_ms + 1 : UINT32_MAX, delta);
    project->is_telling = false;
    executor_settle(project);
}

static void tell_plan(struct project *project, enum work_end end, enum work_blame blame)
{
    struct executor *self = project->owner;
    const struct prepared *prepared = project->prepared;
    const struct describe *describe = &prepared->describe;
    union {
        char **in;
        const char *const *out;
    } notes = {.in = describe->notes};
    struct doc_plan plan = {
        .p = project->p,
        .ballot = {.epoch = project->chore.ballot.epoch, .owner = project->chore.ballot.owner},
        .tree = project->tree,
        .requirements = prepared->requirements,
        .notes = notes.out,
        .note_count = describe->note_count < DOC_NOTES_MAX ? describe->note_count : DOC_NOTES_MAX,
        .setup = prepared->setup,
        .modules = prepared->modules,
        .module_count = prepared->module_count};
    if (prepared->env && hash_from_hex(&plan.env, prepared->env->key))
        plan.env = (struct hash){0};
    if (plan.setup.outcome != DOC_NO_OUTCOME)
        plan.setup.addr = self->config.address;
    keep_log(self->config.store, &prepared->setup_log, &plan.setup.log);
    tell_end(project, end, blame,
             &(struct delta){.id = project->eval, .plans = &plan, .plan_count = 1});
}

static bool has_plan(const struct project *project)
{
    const struct doc *doc = executor_doc(project->owner, project->eval);
    return doc && doc_plan(doc, project->p);
}

/* A failure by the project's fault is its plan; one by the cluster's is for the owner to judge:
 * another node may do better. Where there is a plan, somebody has done better, and it is no fault
 * of the project. */
static void tell_failure(struct project *project)
{
    const struct doc_setup *setup = &project->prepared->setup;
    if (setup->outcome == DOC_CANCELLED)
        tell_end(project, WORK_CANCELLED, WORK_BLAME_CLUSTER, NULL);
    else if (setup->blame == DOC_BLAME_CLUSTER || has_plan(project))
        tell_plan(project, WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    else
        tell_plan(project, WORK_UNPREPARED, WORK_BLAME_PROJECT);
}

/* ---- its two halves -------------------------------------------------------------------------- */

static void on_modules(void *arg, struct prepared *prepared)
{
    struct project *project = arg;
    if (prepared->setup.outcome != DOC_NO_OUTCOME) {
        tell_failure(project);
        return;
    }
    project->has_modules = true;
    if (has_plan(project))
        tell_end(project, WORK_DONE, WORK_BLAME_NONE, NULL);
    else
        tell_plan(project, WORK_DONE, WORK_BLAME_NONE);
}

static void on_environment(void *arg, struct prepared *prepared)
{
    struct project *project = arg;
    struct executor *self = project->owner;
    if (prepared->setup.outcome != DOC_NO_OUTCOME)
        tell_failure(project);
    else
        self->config.events->wants_slot(self->config.arg, &project->chore);
}

void executor_give_slot(struct executor *self, const struct work *work, unsigned slot)
{
    struct project *project = executor_project(self, work->eval, work->p);
    if (project && project->is_preparing && work_is_same(&project->chore, work))
        prepare_modules(project->prepared, slot, on_modules, project);
}

void project_prepare(struct project *project, const struct doc *doc)
{
    struct executor *self = project->owner;
    struct store *store = self->config.store;
    struct doc_project source;
    doc_project(doc, project->p, &source);
    owned_mem char *bundle = store_blob_path(store, &source.bundle, "zst");
    bool has_overlay = doc_hash_is_set(&doc->req->overlay);
    owned_mem char *overlay =
        has_overlay ? store_blob_path(store, &doc->req->overlay, "zst") : NULL;
    if (project->prepared) { /* ready from an earlier chore */
        executor_want_slot(self, &project->chore);
        return;
    }
    project->prepared = prepare_start(self->config.prepare,
                                      &(struct prepare_spec){.group = project->eval,
                                                             .project = source.name,
                                                             .bundle_path = bundle,
                                                             .bundle = source.bundle,
                                                             .tree = source.tree,
                                                             .overlay_path = overlay,
                                                             .overlay = doc->req->overlay},
                                      on_environment, project);
}
