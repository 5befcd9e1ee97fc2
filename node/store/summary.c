#include "node/store/summary.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

static const char *const statuses[SUMMARY_STATUS_COUNT] = {
    [SUMMARY_SUBMITTED] = "submitted", [SUMMARY_PREPARING] = "preparing",
    [SUMMARY_RUNNING] = "running",     [SUMMARY_DONE] = "done",
    [SUMMARY_CANCELLED] = "cancelled", [SUMMARY_FAILED] = "failed",
};

const char *summary_status_name(enum summary_status status)
{
    assert(status < SUMMARY_STATUS_COUNT);
    return statuses[status];
}

bool summary_status_parse(const char *name, enum summary_status *out)
{
    for (enum summary_status i = 0; i < SUMMARY_STATUS_COUNT; i++) {
        if (strcmp(statuses[i], name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

const char *summary_phase_name(enum summary_phase phase)
{
    return phase == SUMMARY_FINISHED ? "done" : phase == SUMMARY_EXECUTING ? "running" : "pending";
}

uint64_t summary_good(const struct summary_tally *tally) { return tally->passed + tally->xpassed; }
uint64_t summary_bad(const struct summary_tally *tally) { return tally->failed + tally->errors; }

static uint64_t divided_half_up(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)a * 2 + b) / ((wide)b * 2));
}

struct summary_marks summary_marks_of(const struct summary_tally *tally)
{
    uint64_t good = summary_good(tally), total = good + summary_bad(tally);
    if (total == 0)
        return (struct summary_marks){0};
    assert(good < UINT64_MAX / 1000000);
    uint32_t passed = (uint32_t)divided_half_up(good * 1000000, total);
    return (struct summary_marks){
        .passed_e4 = passed, .failed_e4 = 1000000 - passed, .nota_e5 = passed * 2};
}

static struct summary_tally widened(const struct doc_tally *tally)
{
    return (struct summary_tally){.passed = tally->passed,
                                  .failed = tally->failed,
                                  .errors = tally->errors,
                                  .skipped = tally->skipped,
                                  .xfailed = tally->xfailed,
                                  .xpassed = tally->xpassed,
                                  .deselected = tally->deselected};
}

static void add_tally(struct summary_tally *to, const struct summary_tally *from)
{
    to->passed += from->passed;
    to->failed += from->failed;
    to->errors += from->errors;
    to->skipped += from->skipped;
    to->xfailed += from->xfailed;
    to->xpassed += from->xpassed;
    to->deselected += from->deselected;
}

/* How much an outcome says about a project that has several: the largest is the whole's. */
static int weight(enum doc_outcome outcome)
{
    static const int weights[DOC_OUTCOME_COUNT] = {
        [DOC_NO_OUTCOME] = 0, [DOC_NO_TESTS] = 1, [DOC_SKIPPED] = 2,       [DOC_PASSED] = 3,
        [DOC_FAILED] = 4,     [DOC_ERROR] = 5,    [DOC_OUTPUT_LIMIT] = 6,  [DOC_TIMEOUT] = 7,
        [DOC_OOM] = 8,        [DOC_CRASHED] = 9,  [DOC_SETUP_FAILED] = 10, [DOC_LOST] = 11,
        [DOC_CANCELLED] = 12,
    };
    return weights[outcome];
}

/* Outcomes that are bad news about the project even when no single test was reported as bad. */
static bool is_bad(enum doc_outcome outcome)
{
    return weight(outcome) >= weight(DOC_FAILED) && outcome != DOC_CANCELLED;
}

/* ---- modules --------------------------------------------------------------------------------- */

static void finish_module(struct summary_module *self, enum doc_outcome outcome,
                          enum doc_blame blame)
{
    self->phase = SUMMARY_FINISHED;
    self->outcome = outcome;
    self->blame = blame;
    if (blame == DOC_BLAME_CLUSTER)
        self->tally = (struct summary_tally){0};
    else if (is_bad(outcome) && summary_bad(&self->tally) == 0)
        self->tally.errors = 1;
}

static void module_from_rec(struct summary_module *self, const struct doc_rec *rec)
{
    self->rec = rec;
    self->tally = widened(&rec->tally);
    self->ms = rec->ms;
    self->node = rec->node;
    self->addr = rec->addr;
    self->attempts = rec->n;
    self->cached = rec->cached;
    finish_module(self, rec->outcome, rec->blame);
}

static void module_from_run(struct summary_module *self, const struct summary_running *run,
                            uint64_t now_ms)
{
    if (self->phase == SUMMARY_FINISHED)
        return;
    self->phase = SUMMARY_EXECUTING;
    self->tally = widened(&run->tally);
    self->ms = now_ms > run->start_ms ? now_ms - run->start_ms : 0;
    self->addr = run->addr;
    self->attempts = run->n;
}

static void fill_module(struct summary_module *self, const struct doc *doc,
                        const struct doc_plan *plan, uint32_t m)
{
    self->p = plan->p;
    self->m = m;
    self->path = plan->modules[m].path;
    const struct doc_rec *rec = doc_counted(doc, plan->p, m);
    if (rec) {
        module_from_rec(self, rec);
    } else if (plan->setup.outcome != DOC_NO_OUTCOME) {
        self->node = plan->ballot.owner; /* who planned it tried to set it up */
        self->addr = plan->setup.addr;
        finish_module(self, plan->setup.outcome, plan->setup.blame);
    } else if (doc->seal) {
        finish_module(self, DOC_CANCELLED, DOC_BLAME_NONE);
    }
}

static void fill_modules(struct summary *self, const struct doc *doc)
{
    for (size_t p = 0; p < self->project_count; p++) {
        struct summary_project *project = &self->projects[p];
        const struct doc_plan *plan = doc_plan(doc, (uint32_t)p);
        project->first_module = self->module_count;
        project->module_count = plan ? plan->module_count : 0;
        self->module_count += project->module_count;
    }
    self->modules = mem_new_array(self->module_count + 1, sizeof *self->modules);
    for (size_t p = 0; p < self->project_count; p++)
        for (size_t m = 0; m < self->projects[p].module_count; m++)
            fill_module(&self->modules[self->projects[p].first_module + m], doc,
                        doc_plan(doc, (uint32_t)p), (uint32_t)m);
}

static void fill_running(struct summary *self, const struct summary_live *live)
{
    for (size_t i = 0; i < live->running_count; i++) {
        const struct summary_running *run = &live->running[i];
        if (run->p < self->project_count && run->m < self->projects[run->p].module_count)
            module_from_run(&self->modules[self->projects[run->p].first_module + run->m], run,
                            live->now_ms);
    }
}

/* ---- projects -------------------------------------------------------------------------------- */

static void count_module(struct summary_project *self, struct summary_module *module)
{
    module->marks = summary_marks_of(&module->tally);
    self->ms += module->ms;
    self->executed += module->phase == SUMMARY_FINISHED;
    self->executing += module->phase == SUMMARY_EXECUTING;
    self->pending += module->phase == SUMMARY_PENDING;
    if (module->phase != SUMMARY_FINISHED)
        return;
    add_tally(&self->tally, &module->tally);
    if (module->blame == DOC_BLAME_CLUSTER)
        self->has_nota = false;
    if (weight(module->outcome) > weight(self->outcome)) {
        self->outcome = module->outcome;
        self->blame = module->blame;
    }
}

static void end_project(struct summary_project *self, const struct doc *doc,
                        const struct doc_project *project, const struct doc_plan *plan)
{
    self->phase = SUMMARY_FINISHED;
    if (plan && plan->setup.outcome != DOC_NO_OUTCOME) {
        self->outcome = plan->setup.outcome;
        self->blame = plan->setup.blame;
        self->has_nota = self->has_nota && self->blame != DOC_BLAME_CLUSTER;
    } else if (project->failure) {
        self->outcome = DOC_ERROR;
        self->blame = project->is_clusters ? DOC_BLAME_CLUSTER : DOC_BLAME_PROJECT;
        self->has_nota = self->has_nota && !project->is_clusters;
        self->message = project->failure;
    } else if (plan && plan->module_count == 0) {
        self->outcome = DOC_NO_TESTS;
    } else if (!plan && doc->seal) {
        self->outcome = DOC_CANCELLED;
    } else if (!plan || self->executing + self->pending > 0) {
        self->phase = self->executing + self->executed > 0 ? SUMMARY_EXECUTING : SUMMARY_PENDING;
        self->outcome = DOC_NO_OUTCOME;
        self->blame = DOC_BLAME_NONE;
    }
    if (!self->has_nota)
        self->blame = DOC_BLAME_CLUSTER;
}

static void fill_project(struct summary *self, const struct doc *doc, uint32_t p)
{
    struct summary_project *project = &self->projects[p];
    struct doc_project from;
    const struct doc_plan *plan = doc_plan(doc, p);
    doc_project(doc, p, &from);
    project->p = p;
    project->name = from.name;
    project->source = from.source;
    project->has_nota = true;
    if (plan) {
        project->requirements = plan->requirements;
        project->notes = plan->notes;
        project->note_count = plan->note_count;
        project->message = plan->setup.message;
        project->log = doc_hash_is_set(&plan->setup.log) ? &plan->setup.log : NULL;
    }
    for (size_t i = 0; i < project->module_count; i++)
        count_module(project, &self->modules[project->first_module + i]);
    end_project(project, doc, &from, plan);
    project->marks = summary_marks_of(&project->tally);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void fill_whole(struct summary *self)
{
    uint64_t notas = 0, marked = 0;
    for (size_t p = 0; p < self->project_count; p++) {
        const struct summary_project *project = &self->projects[p];
        add_tally(&self->tally, &project->tally);
        self->executed += project->executed;
        self->executing += project->executing;
        self->pending += project->pending;
        if (project->has_nota) {
            notas += project->marks.nota_e5;
            marked++;
        } else {
            self->incomplete = true;
        }
    }
    self->marks = summary_marks_of(&self->tally);
    self->has_mean_nota = marked > 0;
    self->mean_nota_e5 = marked > 0 ? (uint32_t)divided_half_up(notas, marked) : 0;
}

static bool was_planned(const struct doc *doc, uint32_t p)
{
    struct doc_project project;
    doc_project(doc, p, &project);
    const struct doc_plan *plan = project.failure ? NULL : doc_plan(doc, p);
    return plan && (plan->module_count > 0 || plan->setup.outcome == DOC_NO_OUTCOME ||
                    plan->setup.outcome == DOC_SETUP_FAILED);
}

enum summary_status summary_status_of(const struct doc *doc)
{
    if (!doc_is_final(doc)) {
        if (doc->res_count > 0 || doc->seal)
            return SUMMARY_RUNNING;
        for (uint32_t p = 0; p < doc->plan_room; p++)
            if (doc->plans[p])
                return SUMMARY_PREPARING;
        for (uint32_t p = 0; doc->req && p < doc->req->project_count; p++)
            if (doc_is_uncloned(doc, p))
                return SUMMARY_PREPARING;
        return SUMMARY_SUBMITTED;
    }
    if (doc->seal->cancelled)
        return SUMMARY_CANCELLED;
    for (uint32_t p = 0; doc->req && p < doc->req->project_count; p++)
        if (was_planned(doc, p))
            return SUMMARY_DONE;
    return SUMMARY_FAILED;
}

/* What runs now is in no document. */
static enum summary_status status_of(const struct summary *self, const struct doc *doc,
                                     const struct summary_live *live)
{
    enum summary_status status = summary_status_of(doc);
    if (status < SUMMARY_RUNNING && self->executing > 0)
        return SUMMARY_RUNNING;
    if (status < SUMMARY_PREPARING && live && live->preparing)
        return SUMMARY_PREPARING;
    return status;
}

static uint64_t end_of(const struct summary *self, const struct doc *doc,
                       const struct summary_live *live)
{
    if (doc->seal)
        return doc->seal->at_ms;
    if (live)
        return live->now_ms;
    uint64_t end = 0;
    for (size_t i = 0; i < self->module_count; i++) {
        const struct doc_rec *rec = self->modules[i].rec;
        if (rec && rec->start_ms + rec->ms > end)
            end = rec->start_ms + rec->ms;
    }
    return end;
}

void summary_init(struct summary *out, const struct doc *doc, const struct summary_live *live)
{
    *out = (struct summary){.id = doc->id, .name = "", .degraded = doc->degraded};
    if (doc->req) {
        out->name = doc->req->name;
        out->created_ms = doc->req->created_ms;
        out->project_count = doc->req->project_count;
    }
    out->projects = mem_new_array(out->project_count + 1, sizeof *out->projects);
    fill_modules(out, doc);
    if (live)
        fill_running(out, live);
    for (uint32_t p = 0; p < out->project_count; p++)
        fill_project(out, doc, p);
    fill_whole(out);
    out->status = status_of(out, doc, live);
    uint64_t end = end_of(out, doc, live);
    out->eval_ms = end > out->created_ms ? end - out->created_ms : 0;
}

void summary_fini(struct summary *self)
{
    free(self->projects);
    free(self->modules);
    *self = (struct summary){0};
}
