/* project: from a bundle to a plan, and the plan's modules to the dispatcher. */
#include "node/eval/internal.h"

#include "proto/base/mem.h"

/* Without history: what a module of so many bytes may take. Only the order depends on it. */
#define GUESS_MS_PER_KIB 4
#define GUESS_MS_BASE    50

/* ---- plans ----------------------------------------------------------------------------------- */

static uint32_t estimate(const struct evals *self, const struct project *project,
                         const struct doc_module *module, bool *is_measured)
{
    uint32_t known = store_duration_get(self->config.store, project->identity, module->path);
    *is_measured = known > 0;
    if (known)
        return known;
    uint64_t guess = GUESS_MS_BASE + module->bytes / 1024 * GUESS_MS_PER_KIB;
    return guess < UINT32_MAX ? (uint32_t)guess : UINT32_MAX;
}

/* Hands the modules of a planned project that have no result yet to the dispatcher. */
static void project_queue_modules(struct project *project)
{
    struct evaluation *eval = project->eval;
    struct evals *self = eval->owner;
    const struct doc *doc = evals_document(eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, project->p) : NULL;
    if (!plan || plan->setup.outcome != DOC_NO_OUTCOME || eval->is_cancelled)
        return;
    owned_mem struct dispatch_module *modules = mem_new_array(plan->module_count, sizeof *modules);
    size_t count = 0;
    for (uint32_t m = 0; m < plan->module_count; m++) {
        if (doc_result(doc, project->p, m))
            continue;
        struct dispatch_module *module = &modules[count++];
        module->index = m;
        module->estimate_ms = estimate(self, project, &plan->modules[m], &module->is_measured);
    }
    evals_step(self, &(struct dispatch_event){.kind = DISPATCH_ADD,
                                              .work = {.eval = eval->id, .project = project->p},
                                              .weight = eval->weight,
                                              .modules = modules,
                                              .module_count = count});
}

static void on_plan_appended(void *arg, const struct err *err, unsigned changed)
{
    struct project *project = arg;
    if (!err || err->code == ERR_NONE)
        project_queue_modules(project);
    evals_on_appended(project->eval, err, changed);
}

static void append_plan(struct project *project)
{
    struct evaluation *eval = project->eval;
    struct evals *self = eval->owner;
    const struct prepared *prepared = project->prepared;
    const struct describe *describe = &prepared->describe;
    union {
        char **in;
        const char *const *out;
    } notes = {.in = describe->notes};
    struct doc_plan plan = {
        .p = project->p,
        .ballot = eval->ballot,
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
    if (prepared->setup_log.len > 0) {
        plan.setup.log = hash_of(prepared->setup_log.data, prepared->setup_log.len);
        store_put_blob(self->config.store, prepared->setup_log.data, prepared->setup_log.len, "txt",
                       NULL, NULL);
    }
    eval->appends++;
    store_apply(self->config.store,
                &(struct delta){.id = eval->id, .plans = &plan, .plan_count = 1}, on_plan_appended,
                project);
}

/* ---- preparing ------------------------------------------------------------------------------- */

static void preparing_ended(struct project *project)
{
    project->is_preparing = project->has_slot = false;
    project->eval->preparing--;
    evals_touch(project->eval);
}

static bool has_plan(const struct project *project)
{
    const struct doc *doc = evals_document(project->eval);
    return doc && doc_plan(doc, project->p);
}

static void on_modules(void *arg, struct prepared *prepared)
{
    struct project *project = arg;
    struct evaluation *eval = project->eval;
    struct dispatch_work chore = project->chore;
    preparing_ended(project);
    if (prepared->setup.outcome == DOC_CANCELLED)
        ;
    else if (has_plan(project))
        project_queue_modules(project); /* made before a restart; its module list stands */
    else
        append_plan(project);
    evals_step(eval->owner, &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = chore});
    evals_seal_if_complete(eval);
}

static void on_environment(void *arg, struct prepared *prepared)
{
    struct project *project = arg;
    struct evaluation *eval = project->eval;
    if (prepared->setup.outcome == DOC_NO_OUTCOME && !eval->is_cancelled) {
        evals_step(eval->owner,
                   &(struct dispatch_event){.kind = DISPATCH_ADD,
                                            .work = {.eval = eval->id, .project = project->p},
                                            .weight = eval->weight});
        return;
    }
    preparing_ended(project);
    if (prepared->setup.outcome != DOC_CANCELLED && !eval->is_cancelled) {
        if (has_plan(project)) /* of an earlier life, when there was an environment */
            attempt_give_up_rest(project, &prepared->setup);
        else
            append_plan(project);
    }
    evals_seal_if_complete(eval);
}

void project_prepare(struct project *project, const struct doc *doc)
{
    struct evaluation *eval = project->eval;
    struct store *store = eval->owner->config.store;
    const struct doc_project *source = &doc->req->projects[project->p];
    owned_mem char *bundle = store_blob_path(store, &source->bundle, "zst");
    bool has_overlay = doc_hash_is_set(&doc->req->overlay);
    owned_mem char *overlay =
        has_overlay ? store_blob_path(store, &doc->req->overlay, "zst") : NULL;
    project->is_preparing = true;
    eval->preparing++;
    project->prepared = prepare_start(eval->owner->config.prepare,
                                      &(struct prepare_spec){.group = eval->id,
                                                             .project = source->name,
                                                             .bundle_path = bundle,
                                                             .bundle = source->bundle,
                                                             .tree = source->tree,
                                                             .overlay_path = overlay,
                                                             .overlay = doc->req->overlay},
                                      on_environment, project);
}

void project_start_chore(struct project *project, const struct dispatch_work *work)
{
    project->chore = *work;
    project->has_slot = true;
    prepare_modules(project->prepared, work->slot, on_modules, project);
}
