/* attempt: one module in one slot, from its start to its record. */
#include "node/eval/internal.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>

/* ---- results --------------------------------------------------------------------------------- */

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
    struct executor *self = attempt->project->owner;
    const struct work *work = &attempt->work;
    return (struct doc_rec){.p = work->p,
                            .plan = plan->hash,
                            .m = work->m,
                            .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
                            .n = attempt->n,
                            .node = store_identity(self->config.store)->nid_short,
                            .addr = self->config.address,
                            .start_ms = attempt->start_ms,
                            .tier = self->config.tier};
}

static struct doc_rec judge(const struct attempt *attempt, const struct doc_plan *plan,
                            const struct job_result *result)
{
    struct executor *self = attempt->project->owner;
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
    return rec;
}

/* ---- modules that run ------------------------------------------------------------------------ */

/* Takes it out of the list and tells its end. */
static void attempt_end(struct attempt *attempt_owned, enum work_end end, enum work_blame blame,
                        const struct delta *delta)
{
    owned_mem struct attempt *attempt = attempt_owned;
    struct project *project = attempt->project;
    struct executor *self = project->owner;
    struct attempt **at = &self->attempts;
    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    project->attempts--;
    self->config.events->ended(self->config.arg, &attempt->work, end, blame, 0, delta);
    executor_settle(project);
}

static void on_job_progress(void *arg, struct job *job, const struct job_counts *counts)
{
    (void)job;
    const struct attempt *attempt = arg;
    struct executor *self = attempt->project->owner;
    struct doc_tally tally = tally_of(counts);
    self->config.events->progress(self->config.arg, &attempt->work, &tally);
}

static void count(struct executor_stats *stats, const struct job_result *result)
{
    const struct verdict_result *verdict = &result->verdict;
    const struct job_counts *counts = &verdict->counts;
    stats->modules[outcomes[verdict->outcome]][blames[verdict->blame]]++;
    stats->tests.passed += counts->passed;
    stats->tests.failed += counts->failed;
    stats->tests.errors += counts->errors;
    stats->tests.skipped += counts->skipped;
    stats->tests.xfailed += counts->xfailed;
    stats->tests.xpassed += counts->xpassed;
    if (verdict->outcome != JOB_LOST && verdict->outcome != JOB_CANCELLED)
        histogram_add(&stats->module, result->wall_ms * 1000);
}

static void on_job_done(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct attempt *attempt = arg;
    const struct work *work = &attempt->work;
    struct executor *self = attempt->project->owner;
    enum job_outcome outcome = result->verdict.outcome;
    const struct doc *doc = executor_doc(self, work->eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, work->p) : NULL;
    count(&self->stats, result);
    if (outcome == JOB_LOST) {
        log_warn("attempt_lost", "eval=%" PRIu64 " project=%u module=%u attempt=%u %s", work->eval,
                 work->p, work->m, work->n, result->verdict.message);
        attempt_end(
            attempt, WORK_LOST,
            result->verdict.blame == JOB_BLAME_TESTS ? WORK_BLAME_TESTS : WORK_BLAME_CLUSTER, NULL);
    } else if (outcome == JOB_CANCELLED || !plan || plan->hash != attempt->plan) {
        /* Another plan counts by now, perhaps of another commit: what ran is no module of it. */
        attempt_end(attempt, WORK_CANCELLED, WORK_BLAME_CLUSTER, NULL);
    } else {
        struct doc_rec rec = judge(attempt, plan, result);
        attempt_end(attempt, WORK_DONE, WORK_BLAME_NONE,
                    &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
    }
}

static struct job *start_job(struct attempt *attempt, const struct doc *doc, struct err *err)
{
    struct executor *self = attempt->project->owner;
    const struct doc_plan *plan = doc_plan(doc, attempt->work.p);
    const struct doc_options *options = &doc->req->options;
    struct job_spec spec = {.kind = JOB_RUN,
                            .module = plan->modules[attempt->work.m].path,
                            .limits = self->config.limits,
                            .slot = attempt->slot};
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

void attempt_start(struct project *project, const struct work *work, unsigned slot)
{
    struct executor *self = project->owner;
    const struct doc *doc = executor_doc(self, work->eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, work->p) : NULL;
    if (!plan || work->m >= plan->module_count) {
        executor_fail(self, work, WORK_REFUSED);
        return;
    }
    const struct doc_rec *before = doc_result(doc, work->p, work->m);
    struct attempt *attempt = mem_new(sizeof *attempt);
    *attempt = (struct attempt){.project = project,
                                .work = *work,
                                .slot = slot,
                                .plan = plan->hash,
                                .n = work->n + (before ? before->n : 0),
                                .start_ms = clock_wall_ms()};
    struct err err = ERR_INIT;
    attempt->job = start_job(attempt, doc, &err);
    if (!attempt->job) {
        log_error("job_not_started", "eval=%" PRIu64 " %s", work->eval, err.text);
        free(attempt);
        executor_fail(self, work, WORK_LOST);
        return;
    }
    attempt->next = self->attempts;
    self->attempts = attempt;
    project->attempts++;
}
