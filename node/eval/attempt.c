/* attempt: one module in one slot, from its start to its record. */
#include "node/eval/internal.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>

/* ---- modules --------------------------------------------------------------------------------- */

void attempt_free(struct evals *self, struct attempt *attempt)
{
    struct attempt **at = &self->attempts;
    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    evals_touch(attempt->project->eval);
    free(attempt);
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
    const struct doc *doc = evals_document(project->eval);
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
    evals_append(project->eval,
                 &(struct delta){.id = project->eval->id, .res = &rec, .res_count = 1});
    if (rec.outcome == DOC_PASSED || rec.outcome == DOC_FAILED)
        store_duration_put(self->config.store, project->identity,
                           plan->modules[attempt->work.module].path, rec.ms ? rec.ms : 1);
}

static void on_job_progress(void *arg, struct job *job, const struct job_counts *counts)
{
    (void)job;
    struct attempt *attempt = arg;
    attempt->counts = *counts;
    evals_touch(attempt->project->eval);
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
    evals_step(self,
               &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = work, .is_lost = is_lost});
    evals_seal_if_complete(eval);
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
    /* A request may shorten what the operator allows, never lengthen it. */
    uint64_t wanted_ms = (uint64_t)options->timeout_s * 1000;
    if (wanted_ms && wanted_ms < spec.limits.wall_ms)
        spec.limits.wall_ms = wanted_ms;
    static const struct job_callbacks callbacks = {.progress = on_job_progress,
                                                   .done = on_job_done};
    return engine_start(self->config.engine, &spec, &callbacks, attempt, err);
}

void attempt_start(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = evals_project(self, work);
    const struct doc *doc = evals_document(project->eval);
    const struct doc_rec *before = doc_result(doc, project->p, work->module);
    struct attempt *attempt = mem_new(sizeof *attempt);
    attempt->project = project;
    attempt->work = *work;
    attempt->n = work->attempt + (before ? before->n : 0);
    attempt->start_ms = clock_wall_ms();
    attempt->next = self->attempts;
    self->attempts = attempt;
    evals_touch(project->eval);
    struct err err = ERR_INIT;
    attempt->job = start_job(attempt, doc, &err);
    if (attempt->job)
        return;
    log_error("job_not_started", "eval=%" PRIu64 " %s", work->eval, err.text);
    struct dispatch_work lost = *work;
    attempt_free(self, attempt);
    evals_step(self,
               &(struct dispatch_event){.kind = DISPATCH_ENDED, .work = lost, .is_lost = true});
}

void attempt_stop(struct evals *self, const struct dispatch_work *work)
{
    for (struct attempt *attempt = self->attempts; attempt; attempt = attempt->next)
        if (attempt->work.slot == work->slot && attempt->job)
            job_cancel(attempt->job);
}

/* Nobody can run it: two attempts took their runner with them, or never got that far. */
void attempt_give_up(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = evals_project(self, work);
    const struct doc *doc = evals_document(project->eval);
    const struct doc_plan *plan = doc_plan(doc, project->p);
    struct attempt last = {
        .project = project, .work = *work, .n = work->attempt, .start_ms = clock_wall_ms()};
    struct doc_rec rec = record_of(&last, plan);
    rec.outcome = DOC_LOST;
    rec.blame = DOC_BLAME_CLUSTER;
    rec.message = "lost twice: this node could not run it to its end (see its log)";
    evals_append(project->eval, &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
}

void attempt_give_up_rest(struct project *project, const struct doc_setup *why)
{
    struct evaluation *eval = project->eval;
    const struct doc *doc = evals_document(eval);
    const struct doc_plan *plan = doc_plan(doc, project->p);
    owned_mem struct doc_rec *recs = mem_new_array(plan->module_count, sizeof *recs);
    size_t count = 0;
    for (uint32_t m = 0; m < plan->module_count; m++) {
        struct attempt last = {
            .project = project, .work = {.module = m}, .n = 1, .start_ms = clock_wall_ms()};
        if (doc_result(doc, project->p, m))
            continue;
        recs[count] = record_of(&last, plan);
        recs[count].outcome = why->outcome;
        recs[count].blame = why->blame;
        recs[count++].message = why->message;
    }
    evals_append(eval, &(struct delta){.id = eval->id, .res = recs, .res_count = count});
}

struct doc_tally attempt_tally(const struct attempt *attempt) { return tally_of(&attempt->counts); }
