#include "runner/job/verdict.h"

#include "proto/base/mem.h"
#include "runner/job/verdict_case.h"
#include "runner/job/verdict_problem.h"

#define PROBLEMS_MAX 256
#define MODULES_MAX  20000
#define BLOB_MAX     (16u << 20)

void verdict_init(struct verdict *self, enum job_kind kind, const char *module)
{
    *self = (struct verdict){.kind = kind, .module = module};
    record_order_init(&self->order);
}

void verdict_fini(struct verdict *self)
{
    for (size_t i = 0; i < self->case_count; i++)
        verdict_case_fini(&self->cases[i]);
    for (size_t i = 0; i < self->problem_count; i++) {
        free(self->problems[i].id);
        free(self->problems[i].message);
        free(self->problems[i].longrepr);
    }
    for (size_t i = 0; i < self->module_count; i++)
        free(self->modules[i].path);
    free(self->cases);
    free(self->problems);
    free(self->modules);
    buf_fini(&self->internal);
    buf_fini(&self->blob);
}

static bool tampered(struct verdict *self, const char *why)
{
    if (!self->tampered)
        self->tampered = why;
    return false;
}

static bool take_collected(struct verdict *self, const struct record *record)
{
    struct cursor ids = record->collected.ids;
    if (record->collected.first != self->case_count)
        return tampered(self, "tests are announced out of order");
    for (size_t i = 0; i < record->collected.count; i++) {
        struct cursor_text id;
        if (!cursor_str(&ids, RECORD_ID_MAX, &id))
            return tampered(self, "unreadable ids");
        self->id_bytes += id.len;
        if (self->case_count > RECORD_INDEX_MAX || self->id_bytes > VERDICT_IDS_BYTES)
            return tampered(self, "more tests than one module may have");
        self->cases =
            mem_grow(self->cases, &self->case_capacity, self->case_count + 1, sizeof(*self->cases));
        self->cases[self->case_count++] = (struct verdict_case){.id = mem_strndup(id.data, id.len)};
    }
    return false;
}

static bool take_removed(struct verdict *self, const struct record *record)
{
    if (record->removed.index >= self->case_count)
        return tampered(self, "an unknown test is deselected");
    struct verdict_case *test = &self->cases[record->removed.index];
    if (test->called || test->finished)
        return tampered(self, "a test is deselected after it ran");
    test->removed = true;
    return false;
}

/* While it runs, shows what is known: the test may still be found wanting at the end. */
static bool count_progress(struct verdict *self, const struct verdict_case *test)
{
    self->finished++;
    verdict_case_count(test->called ? test->worst : CASE_ERROR, &self->counts);
    return true;
}

static bool take_phase(struct verdict *self, const struct record *record)
{
    if (record->phase.index >= self->case_count)
        return tampered(self, "an unknown test is reported");
    struct verdict_case *test = &self->cases[record->phase.index];
    bool was_finished = test->finished;
    test->removed = false; /* what runs counts, whoever takes it back */
    self->says_full = self->says_full || (record->phase.flags & RECORD_FLAG_NO_SPACE);
    size_t before = verdict_case_bytes(test);
    size_t room =
        self->text_bytes < VERDICT_CASES_BYTES ? VERDICT_CASES_BYTES - self->text_bytes : 0;
    verdict_case_fold(test, record, room);
    self->text_bytes += verdict_case_bytes(test) - before;
    return test->finished && !was_finished && count_progress(self, test);
}

static bool take_problem(struct verdict *self, const struct record *record)
{
    if (self->problem_count == PROBLEMS_MAX)
        return false;
    self->problems = mem_grow(self->problems, &self->problem_capacity, self->problem_count + 1,
                              sizeof(*self->problems));
    self->problems[self->problem_count++] = (struct verdict_problem){
        .id = mem_strndup(record->problem.id.data, record->problem.id.len),
        .message = mem_strndup(record->problem.message.data, record->problem.message.len),
        .longrepr = mem_strndup(record->problem.longrepr.data, record->problem.longrepr.len),
        .failed = record->problem.outcome == RECORD_FAILED,
    };
    return false;
}

static bool take_end(struct verdict *self, const struct record *record)
{
    self->ended = true;
    self->exit_status = record->end.exit_status;
    self->deselected = (uint32_t)record->end.deselected;
    if (record->end.collected != self->case_count && self->kind == JOB_RUN)
        return tampered(self, "the figures of the end do not fit the tests");
    return false;
}

static bool take_module(struct verdict *self, const struct record *record)
{
    self->id_bytes += record->module.path.len;
    if (self->module_count == MODULES_MAX || self->id_bytes > VERDICT_IDS_BYTES)
        return tampered(self, "more modules than a project may have");
    self->modules = mem_grow(self->modules, &self->module_capacity, self->module_count + 1,
                             sizeof(*self->modules));
    self->modules[self->module_count++] = (struct verdict_module){
        .path = mem_strndup(record->module.path.data, record->module.path.len),
        .bytes = record->module.bytes,
    };
    return false;
}

static bool take_record(struct verdict *self, const struct record *record)
{
    switch (record->kind) {
    case RECORD_BEGIN:
        self->begun = true;
        return false;
    case RECORD_COLLECTED:
        return take_collected(self, record);
    case RECORD_REMOVED:
        return take_removed(self, record);
    case RECORD_COUNTED:
        self->deselected = (uint32_t)record->counted.deselected;
        return false;
    case RECORD_PHASE:
        return take_phase(self, record);
    case RECORD_PROBLEM:
        return take_problem(self, record);
    case RECORD_INTERNAL:
        buf_clear(&self->internal);
        buf_append(&self->internal, record->internal.text.data, record->internal.text.len);
        return false;
    case RECORD_END:
        return take_end(self, record);
    case RECORD_MODULE:
        return take_module(self, record);
    case RECORD_BLOB:
        if (self->blob.len + record->blob.piece.len > BLOB_MAX)
            return tampered(self, "a report that is too large");
        buf_append(&self->blob, record->blob.piece.data, record->blob.piece.len);
        return false;
    case RECORD_KINDS:
        break;
    }
    return false;
}

bool verdict_take(struct verdict *self, const void *packet, size_t len)
{
    struct record record;
    if (self->tampered)
        return false;
    if (!record_decode(&record, packet, len))
        return tampered(self, "bytes that are no record");
    const char *why = record_order_take(&self->order, &record);
    if (why)
        return tampered(self, why);
    return take_record(self, &record);
}

const char *job_outcome_name(enum job_outcome outcome)
{
    static const char *const names[JOB_OUTCOMES] = {
        [JOB_PASSED] = "passed",
        [JOB_FAILED] = "failed",
        [JOB_ERROR] = "error",
        [JOB_SKIPPED] = "skipped",
        [JOB_TIMEOUT] = "timeout",
        [JOB_OOM] = "oom",
        [JOB_OUTPUT_LIMIT] = "output_limit",
        [JOB_CRASHED] = "crashed",
        [JOB_SETUP_FAILED] = "setup_failed",
        [JOB_NO_TESTS] = "no_tests",
        [JOB_CANCELLED] = "cancelled",
        [JOB_LOST] = "lost",
    };
    return names[outcome];
}

const char *job_blame_name(enum job_blame blame)
{
    static const char *const names[] = {NULL, "tests", "project", "cluster"};
    return names[blame];
}

const char *job_limit_name(enum job_limit limit)
{
    static const char *const names[] = {NULL,   "wall", "cpu",    "memory", "processes",
                                        "file", "tmp",  "inodes", "output"};
    return names[limit];
}
