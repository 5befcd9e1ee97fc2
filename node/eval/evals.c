#include "node/eval/evals.h"

#include "loadbalance/dispatch.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* Without history: what a module of so many bytes may take. Only the order depends on it. */
#define GUESS_MS_PER_KIB 4
#define GUESS_MS_BASE    50

#define WEIGHT_OF_PRIORITY_0 101

struct evaluation;

struct project {
    struct evaluation *eval;
    uint32_t p;
    struct prepared *prepared; /* NULL: not begun, or nothing to do */
    bool is_preparing;         /* a `done` of prepare is due */
    struct dispatch_work chore;
    char *identity; /* for durations */
};

struct evaluation {
    struct evals *owner;
    uint64_t id;
    struct doc_ballot ballot;
    uint32_t timeout_s;
    uint32_t weight;
    struct project *projects;
    size_t project_count;
    size_t preparing;
    size_t appends; /* records and plans on their way to the disk */
    bool is_cancelled;
    bool is_sealing;
    struct evaluation *next;
};

/* One attempt that runs. */
struct attempt {
    struct project *project;
    struct dispatch_work work;
    struct job *job;
    uint32_t n;
    uint64_t start_ms;
    struct job_counts counts;
    bool has_begun;
    struct attempt *next;
};

/* A record on its way: its blobs are written first, in the order of the store. */
struct evals {
    struct evals_config config;
    struct dispatch *dispatch;
    struct dispatch_out out;
    struct evaluation *first;
    struct attempt *attempts;
    uint64_t revision;
    evals_final_fn *on_final;
    void *on_final_arg;
    bool is_draining;
    bool is_stopped;
    void (*on_drained)(void *arg);
    void *on_drained_arg;
};

static void step(struct evals *self, const struct dispatch_event *event);
static void seal_if_complete(struct evaluation *eval);

static struct evaluation *find(const struct evals *self, uint64_t id)
{
    for (struct evaluation *eval = self->first; eval; eval = eval->next)
        if (eval->id == id)
            return eval;
    return NULL;
}

static const struct doc *document(const struct evaluation *eval)
{
    return store_find(eval->owner->config.store, eval->id, NULL);
}

static void evaluation_free(struct evaluation *eval)
{
    for (size_t p = 0; p < eval->project_count; p++) {
        prepare_free(eval->projects[p].prepared);
        free(eval->projects[p].identity);
    }
    free(eval->projects);
    free(eval);
}

static void forget(struct evaluation *eval)
{
    struct evaluation **at = &eval->owner->first;
    while (*at != eval)
        at = &(*at)->next;
    *at = eval->next;
    evaluation_free(eval);
}

/* ---- appending ------------------------------------------------------------------------------- */

static void on_appended(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    struct evaluation *eval = arg;
    eval->appends--;
    if (err && err->code != ERR_NONE) {
        /* The store has stopped writing; the process is about to drain and start again. */
        log_error("append_failed", "eval=%" PRIu64 " %s", eval->id, err->text);
        return;
    }
    eval->owner->revision++;
    seal_if_complete(eval);
}

static void append(struct evaluation *eval, const struct delta *delta)
{
    eval->appends++;
    store_apply(eval->owner->config.store, delta, on_appended, eval);
}

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
static void queue_modules(struct project *project)
{
    struct evaluation *eval = project->eval;
    struct evals *self = eval->owner;
    const struct doc *doc = document(eval);
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
    step(self, &(struct dispatch_event){.kind = DISPATCH_ADD,
                                        .work = {.eval = eval->id, .project = project->p},
                                        .weight = eval->weight,
                                        .modules = modules,
                                        .module_count = count});
}

static void on_plan_appended(void *arg, const struct err *err, unsigned changed)
{
    struct project *project = arg;
    if (!err || err->code == ERR_NONE)
        queue_modules(project);
    on_appended(project->eval, err, changed);
}

static void append_plan(struct project *project)
{
    struct evaluation *eval = project->eval;
    struct evals *self = eval->owner;
    const struct prepared *prepared = project->prepared;
    struct doc_plan plan = {.p = project->p,
                            .ballot = eval->ballot,
                            .requirements = prepared->requirements,
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
    project->is_preparing = false;
    project->eval->preparing--;
    project->eval->owner->revision++;
}

static bool has_plan(const struct project *project)
{
    const struct doc *doc = document(project->eval);
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
        queue_modules(project); /* made before a restart; its module list stands */
    else
        append_plan(project);
    step(eval->owner, &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = chore});
    seal_if_complete(eval);
}

static void on_environment(void *arg, struct prepared *prepared)
{
    struct project *project = arg;
    struct evaluation *eval = project->eval;
    if (prepared->setup.outcome == DOC_NO_OUTCOME && !eval->is_cancelled) {
        step(eval->owner,
             &(struct dispatch_event){.kind = DISPATCH_ADD,
                                      .work = {.eval = eval->id, .project = project->p},
                                      .weight = eval->weight});
        return;
    }
    preparing_ended(project);
    if (prepared->setup.outcome != DOC_CANCELLED && !eval->is_cancelled) {
        if (has_plan(project))
            log_error("project_stuck", "eval=%" PRIu64 " project=%u %s", eval->id, project->p,
                      prepared->setup.message);
        else
            append_plan(project);
    }
    seal_if_complete(eval);
}

static bool is_project_over(const struct doc *doc, uint32_t p)
{
    if (doc->req->projects[p].failure)
        return true;
    const struct doc_plan *plan = doc_plan(doc, p);
    if (!plan)
        return false;
    if (plan->setup.outcome != DOC_NO_OUTCOME)
        return true;
    for (uint32_t m = 0; m < plan->module_count; m++)
        if (!doc_result(doc, p, m))
            return false;
    return true;
}

static void prepare_project(struct project *project, const struct doc *doc)
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
                                      &(struct prepare_spec){.project = source->name,
                                                             .bundle_path = bundle,
                                                             .bundle = source->bundle,
                                                             .tree = source->tree,
                                                             .overlay_path = overlay,
                                                             .overlay = doc->req->overlay},
                                      on_environment, project);
}

/* ---- modules --------------------------------------------------------------------------------- */

static void attempt_free(struct evals *self, struct attempt *attempt)
{
    struct attempt **at = &self->attempts;
    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    free(attempt);
    self->revision++;
}

static const enum doc_outcome outcomes[JOB_OUTCOMES] = {
    [JOB_PASSED] = DOC_PASSED,
    [JOB_FAILED] = DOC_FAILED,
    [JOB_ERROR] = DOC_ERROR,
    [JOB_SKIPPED] = DOC_SKIPPED,
    [JOB_TIMEOUT] = DOC_TIMEOUT,
    [JOB_OOM] = DOC_OOM,
    [JOB_OUTPUT_LIMIT] = DOC_OUTPUT_LIMIT,
    [JOB_CRASHED] = DOC_CRASHED,
    [JOB_SETUP_FAILED] = DOC_SETUP_FAILED,
    [JOB_NO_TESTS] = DOC_NO_TESTS,
    [JOB_CANCELLED] = DOC_CANCELLED,
    [JOB_LOST] = DOC_LOST,
};

static const enum doc_blame blames[] = {
    [JOB_BLAME_NONE] = DOC_BLAME_NONE,
    [JOB_BLAME_TESTS] = DOC_BLAME_TESTS,
    [JOB_BLAME_PROJECT] = DOC_BLAME_PROJECT,
    [JOB_BLAME_CLUSTER] = DOC_BLAME_CLUSTER,
};

static struct doc_tally tally_of(const struct job_counts *counts)
{
    return (struct doc_tally){.passed = counts->passed,
                              .failed = counts->failed,
                              .errors = counts->errors,
                              .skipped = counts->skipped,
                              .xfailed = counts->xfailed,
                              .xpassed = counts->xpassed};
}

static struct hash keep_blob(struct store *store, const struct buf *bytes, const char *ext)
{
    if (bytes->len == 0)
        return (struct hash){0};
    store_put_blob(store, bytes->data, bytes->len, ext, NULL, NULL);
    return hash_of(bytes->data, bytes->len);
}

static struct doc_rec record_of(const struct attempt *attempt, const struct doc_plan *plan)
{
    struct evals *self = attempt->project->eval->owner;
    return (struct doc_rec){.p = attempt->project->p,
                            .plan = plan->hash,
                            .m = attempt->work.module,
                            .ballot = attempt->project->eval->ballot,
                            .n = attempt->n,
                            .node = store_identity(self->config.store)->nid_short,
                            .addr = self->config.address,
                            .start_ms = attempt->start_ms,
                            .exit_code = -1,
                            .tier = self->config.tier};
}

static void append_result(struct attempt *attempt, const struct job_result *result)
{
    struct project *project = attempt->project;
    struct evals *self = project->eval->owner;
    const struct doc *doc = document(project->eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, project->p) : NULL;
    if (!plan)
        return;
    const struct verdict_result *verdict = &result->verdict;
    struct doc_rec rec = record_of(attempt, plan);
    rec.real = true;
    rec.outcome = outcomes[verdict->outcome];
    rec.blame = blames[verdict->blame];
    rec.message = verdict->message[0] ? verdict->message : NULL;
    rec.ms = result->wall_ms < UINT32_MAX ? (uint32_t)result->wall_ms : UINT32_MAX;
    rec.tally = tally_of(&verdict->counts);
    rec.tally.deselected = verdict->deselected;
    rec.exit_code = verdict->exit_code;
    rec.limit = (struct doc_limit){.name = job_limit_name(result->limit),
                                   .used = result->limit_used,
                                   .allowed = result->limit_allowed};
    rec.cases = keep_blob(self->config.store, &result->cases, "jsonl");
    rec.out = keep_blob(self->config.store, &result->output.kept, "log");
    append(project->eval, &(struct delta){.id = project->eval->id, .res = &rec, .res_count = 1});
    if (rec.outcome == DOC_PASSED || rec.outcome == DOC_FAILED)
        store_duration_put(self->config.store, project->identity,
                           plan->modules[attempt->work.module].path, rec.ms ? rec.ms : 1);
}

static void on_job_begin(void *arg, struct job *job)
{
    (void)job;
    struct attempt *attempt = arg;
    attempt->has_begun = true;
}

static void on_job_progress(void *arg, struct job *job, const struct job_counts *counts)
{
    (void)job;
    struct attempt *attempt = arg;
    attempt->counts = *counts;
    attempt->project->eval->owner->revision++;
}

static void on_job_done(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct attempt *attempt = arg;
    struct evaluation *eval = attempt->project->eval;
    struct evals *self = eval->owner;
    struct dispatch_work work = attempt->work;
    enum job_outcome outcome = result->verdict.outcome;
    bool is_lost = outcome == JOB_LOST;
    if (is_lost)
        log_warn("attempt_lost", "eval=%" PRIu64 " project=%u module=%u attempt=%u %s", eval->id,
                 work.project, work.module, work.attempt, result->verdict.message);
    else if (outcome != JOB_CANCELLED)
        append_result(attempt, result);
    attempt_free(self, attempt);
    step(self, &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = work, .is_lost = is_lost});
    seal_if_complete(eval);
}

/* ---- what the dispatcher wants --------------------------------------------------------------- */

static struct project *project_of(const struct evals *self, const struct dispatch_work *work)
{
    struct evaluation *eval = find(self, work->eval);
    return eval && work->project < eval->project_count ? &eval->projects[work->project] : NULL;
}

static struct job *start_job(struct attempt *attempt, const struct doc *doc, struct err *err)
{
    struct evals *self = attempt->project->eval->owner;
    const struct doc_plan *plan = doc_plan(doc, attempt->project->p);
    const struct doc_options *options = &doc->req->options;
    struct job_spec spec = {.kind = JOB_RUN,
                            .module = plan->modules[attempt->work.module].path,
                            .limits = self->config.limits,
                            .slot = attempt->work.slot};
    prepare_fill(attempt->project->prepared, &spec);
    for (size_t i = 0; i < options->pytest_arg_count && i < JOB_ARGS_MAX; i++)
        spec.args[spec.arg_count++] = options->pytest_args[i];
    if (options->timeout_s)
        spec.limits.wall_ms = (uint64_t)options->timeout_s * 1000;
    static const struct job_callbacks callbacks = {
        .begin = on_job_begin, .progress = on_job_progress, .done = on_job_done};
    return engine_start(self->config.engine, &spec, &callbacks, attempt, err);
}

static void start_module(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = project_of(self, work);
    const struct doc *doc = document(project->eval);
    const struct doc_rec *before = doc_result(doc, project->p, work->module);
    struct attempt *attempt = mem_new(sizeof *attempt);
    attempt->project = project;
    attempt->work = *work;
    attempt->n = work->attempt + (before ? before->n : 0);
    attempt->start_ms = clock_wall_ms();
    attempt->next = self->attempts;
    self->attempts = attempt;
    self->revision++;
    struct err err = ERR_INIT;
    attempt->job = start_job(attempt, doc, &err);
    if (attempt->job)
        return;
    log_error("job_not_started", "eval=%" PRIu64 " %s", work->eval, err.text);
    struct dispatch_work lost = *work;
    attempt_free(self, attempt);
    step(self, &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = lost, .is_lost = true});
}

static void start(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = project_of(self, work);
    assert(project);
    if (work->module != DISPATCH_CHORE) {
        start_module(self, work);
        return;
    }
    project->chore = *work;
    prepare_modules(project->prepared, work->slot, on_modules, project);
}

static void stop(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = project_of(self, work);
    if (work->module == DISPATCH_CHORE) {
        if (project && project->is_preparing)
            prepare_cancel(project->prepared);
        return;
    }
    for (struct attempt *attempt = self->attempts; attempt; attempt = attempt->next)
        if (attempt->work.slot == work->slot && attempt->job)
            job_cancel(attempt->job);
}

/* Nobody can run it: two attempts took their runner with them, or never got that far. */
static void give_up(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = project_of(self, work);
    const struct doc *doc = document(project->eval);
    const struct doc_plan *plan = doc_plan(doc, project->p);
    struct attempt last = {
        .project = project, .work = *work, .n = work->attempt, .start_ms = clock_wall_ms()};
    struct doc_rec rec = record_of(&last, plan);
    rec.outcome = DOC_LOST;
    rec.blame = DOC_BLAME_CLUSTER;
    rec.message = "lost twice: this node could not run it to its end (see its log)";
    append(project->eval, &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
}

static void drained_if_idle(struct evals *self)
{
    if (!self->is_draining || !self->on_drained || dispatch_load(self->dispatch, 0).running > 0)
        return;
    void (*done)(void *arg) = self->on_drained;
    self->on_drained = NULL;
    done(self->on_drained_arg);
}

/* Effects may lead to events in turn, so each step has a list of its own. */
static void step(struct evals *self, const struct dispatch_event *event)
{
    struct dispatch_out out = {0};
    dispatch_step(self->dispatch, event, &out);
    for (size_t i = 0; i < out.count; i++) {
        const struct dispatch_work *work = &out.effects[i].work;
        switch (out.effects[i].kind) {
        case DISPATCH_START:
            start(self, work);
            break;
        case DISPATCH_STOP:
            stop(self, work);
            break;
        case DISPATCH_GIVE_UP:
            give_up(self, work);
            break;
        }
    }
    dispatch_out_fini(&out);
    drained_if_idle(self);
}

/* ---- the seal -------------------------------------------------------------------------------- */

static void on_sealed(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    struct evaluation *eval = arg;
    struct evals *self = eval->owner;
    uint64_t id = eval->id;
    if (err && err->code != ERR_NONE) {
        log_error("seal_failed", "eval=%" PRIu64 " %s", id, err->text);
        return;
    }
    log_info("eval_done", "id=%" PRIu64, id);
    self->revision++;
    forget(eval);
    if (self->on_final)
        self->on_final(self->on_final_arg, id);
}

static bool is_running(const struct evals *self, const struct evaluation *eval)
{
    for (const struct attempt *attempt = self->attempts; attempt; attempt = attempt->next)
        if (attempt->project->eval == eval)
            return true;
    return false;
}

static void seal_if_complete(struct evaluation *eval)
{
    struct evals *self = eval->owner;
    if (self->is_stopped || eval->is_sealing || eval->appends > 0 || eval->preparing > 0 ||
        is_running(self, eval))
        return;
    const struct doc *doc = document(eval);
    if (!doc || !(doc_is_complete(doc) || doc->cancel))
        return;
    eval->is_sealing = true;
    owned_delta seal = {0};
    doc_make_seal(doc, eval->ballot, store_identity(self->config.store)->gen, clock_wall_ms(),
                  &seal);
    store_apply(self->config.store, &seal, on_sealed, eval);
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct evals *evals_new(const struct evals_config *config)
{
    struct evals *self = mem_new(sizeof *self);
    self->config = *config;
    self->dispatch = dispatch_new();
    step(self, &(struct dispatch_event){.kind = DISPATCH_SLOTS, .slots = config->slots});
    return self;
}

void evals_free(struct evals *self)
{
    if (!self)
        return;
    while (self->attempts)
        attempt_free(self, self->attempts);
    while (self->first)
        forget(self->first);
    dispatch_free(self->dispatch);
    free(self);
}

void evals_adopt(struct evals *self, uint64_t id)
{
    const struct doc *doc = store_find(self->config.store, id, NULL);
    if (!doc || !doc->req || !doc->fence || doc_is_final(doc) || find(self, id))
        return;
    struct evaluation *eval = mem_new(sizeof *eval);
    eval->owner = self;
    eval->id = id;
    eval->ballot = doc->fence->ballot;
    eval->weight = (uint32_t)(WEIGHT_OF_PRIORITY_0 + doc->req->options.priority);
    eval->is_cancelled = doc->cancel;
    eval->project_count = doc->req->project_count;
    eval->projects = mem_new_array(eval->project_count, sizeof *eval->projects);
    eval->next = self->first;
    self->first = eval;
    for (uint32_t p = 0; p < eval->project_count; p++) {
        struct project *project = &eval->projects[p];
        *project = (struct project){.eval = eval, .p = p, .identity = summary_identity(doc, p)};
        if (!eval->is_cancelled && !self->is_draining && !is_project_over(doc, p))
            prepare_project(project, doc);
    }
    seal_if_complete(eval);
}

static void on_fenced(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    owned_mem struct {
        struct evals *self;
        uint64_t id;
    } *claim = arg;
    if (err && err->code != ERR_NONE)
        log_error("recover_failed", "eval=%" PRIu64 " %s", claim->id, err->text);
    else
        evals_adopt(claim->self, claim->id);
}

struct claims {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};

static bool collect(void *arg, const struct doc *doc)
{
    struct claims *claims = arg;
    claims->ids = mem_grow(claims->ids, &claims->capacity, claims->count + 1, sizeof *claims->ids);
    claims->ids[claims->count++] = doc->id;
    return true;
}

static void reclaim(struct evals *self, uint64_t id)
{
    const struct doc *doc = store_find(self->config.store, id, NULL);
    if (!doc || !doc->req || !doc->fence)
        return;
    const struct store_identity *me = store_identity(self->config.store);
    struct doc_fence fence = {
        .ballot = {.epoch = doc->fence->ballot.epoch + 1, .owner = me->nid_short},
        .gen = me->gen,
        .reps = doc->fence->reps,
        .rep_count = doc->fence->rep_count};
    struct {
        struct evals *self;
        uint64_t id;
    } *claim = mem_new(sizeof *claim);
    claim->self = self;
    claim->id = id;
    log_info("eval_recovered", "id=%" PRIu64 " epoch=%u", id, fence.ballot.epoch);
    store_apply(self->config.store, &(struct delta){.id = id, .fence = &fence}, on_fenced, claim);
}

void evals_recover(struct evals *self)
{
    struct claims claims = {0};
    store_each_unsealed(self->config.store, collect, &claims);
    for (size_t i = 0; i < claims.count; i++)
        reclaim(self, claims.ids[i]);
    free(claims.ids);
}

struct cancelling {
    struct evals *self;
    uint64_t id;
    store_done_fn *done;
    void *arg;
};

static void on_cancelled(void *arg, const struct err *err, unsigned changed)
{
    owned_mem struct cancelling *wish = arg;
    struct evaluation *eval = find(wish->self, wish->id);
    if (eval && (!err || err->code == ERR_NONE)) {
        eval->is_cancelled = true;
        eval->owner->revision++;
        step(eval->owner,
             &(struct dispatch_event){.kind = DISPATCH_DROP, .work = {.eval = eval->id}});
        for (size_t p = 0; p < eval->project_count; p++)
            if (eval->projects[p].is_preparing)
                prepare_cancel(eval->projects[p].prepared);
        seal_if_complete(eval);
    }
    if (wish->done)
        wish->done(wish->arg, err, changed);
}

void evals_cancel(struct evals *self, uint64_t id, store_done_fn *done, void *arg)
{
    struct cancelling *wish = mem_new(sizeof *wish);
    *wish = (struct cancelling){.self = self, .id = id, .done = done, .arg = arg};
    store_apply(self->config.store, &(struct delta){.id = id, .cancel = true}, on_cancelled, wish);
}

void evals_live(const struct evals *self, uint64_t id, struct evals_live *out)
{
    *out = (struct evals_live){.revision = self->revision};
    const struct evaluation *eval = find(self, id);
    out->live.now_ms = clock_wall_ms();
    out->live.preparing = eval && eval->preparing > 0;
    out->running = mem_new_array(self->config.slots, sizeof *out->running);
    for (const struct attempt *attempt = self->attempts; attempt; attempt = attempt->next) {
        if (attempt->work.eval != id)
            continue;
        out->running[out->live.running_count++] =
            (struct summary_running){.p = attempt->project->p,
                                     .m = attempt->work.module,
                                     .n = attempt->n,
                                     .addr = self->config.address,
                                     .start_ms = attempt->start_ms,
                                     .tally = tally_of(&attempt->counts)};
    }
    out->live.running = out->running;
}

void evals_live_fini(struct evals_live *self) { free(self->running); }

struct evals_load evals_load(const struct evals *self)
{
    struct dispatch_load load = dispatch_load(self->dispatch, 0);
    struct evals_load out = {.slots = self->config.slots,
                             .running = load.running,
                             .waiting = load.waiting,
                             .waiting_ms = load.waiting_ms};
    for (const struct evaluation *eval = self->first; eval; eval = eval->next)
        out.evaluations++;
    return out;
}

void evals_on_final(struct evals *self, evals_final_fn *fn, void *arg)
{
    self->on_final = fn;
    self->on_final_arg = arg;
}

void evals_drain(struct evals *self, void (*done)(void *arg), void *arg)
{
    self->is_draining = true;
    self->on_drained = done;
    self->on_drained_arg = arg;
    step(self, &(struct dispatch_event){.kind = DISPATCH_SLOTS, .slots = 0});
}

void evals_stop(struct evals *self) { self->is_stopped = true; }
