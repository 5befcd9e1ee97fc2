/* The verdict table of verdict.h. */
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/job/verdict_case.h"
#include "runner/job/verdict_problem.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* pytest's exit statuses; it has no others of its own. */
enum { PYTEST_INTERRUPTED = 2, PYTEST_INTERNAL = 3, PYTEST_USAGE = 4 };

static void say(struct verdict_result *out, enum job_outcome outcome, enum job_blame blame,
                const char *message)
{
    out->outcome = outcome;
    out->blame = blame;
    snprintf(out->message, sizeof(out->message), "%s", message);
}

static const struct verdict_problem *first_failure(const struct verdict *self)
{
    for (size_t i = 0; i < self->problem_count; i++) {
        if (self->problems[i].failed)
            return &self->problems[i];
    }
    return NULL;
}

static enum job_outcome outcome_of_limit(enum job_limit limit)
{
    switch (limit) {
    case JOB_LIMIT_MEMORY:
        return JOB_OOM;
    case JOB_LIMIT_OUTPUT:
        return JOB_OUTPUT_LIMIT;
    case JOB_LIMIT_NONE:
    case JOB_LIMIT_WALL:
    case JOB_LIMIT_CPU:
    case JOB_LIMIT_PROCESSES:
    case JOB_LIMIT_FILE:
    case JOB_LIMIT_TMP:
    case JOB_LIMIT_INODES:
        break;
    }
    return JOB_TIMEOUT;
}

static const char *unit_of(enum job_limit limit)
{
    if (limit == JOB_LIMIT_WALL || limit == JOB_LIMIT_CPU)
        return " ms";
    return limit == JOB_LIMIT_PROCESSES || limit == JOB_LIMIT_INODES ? "" : " bytes";
}

static void describe_limit(enum job_limit limit, const struct job_end *end, char *text, size_t size)
{
    snprintf(text, size, "%s limit reached: %llu of %llu%s", job_limit_name(limit),
             (unsigned long long)end->used, (unsigned long long)end->allowed, unit_of(limit));
}

static void say_limit(struct verdict_result *out, const struct job_end *end)
{
    char text[160];
    describe_limit(end->struck, end, text, sizeof(text));
    say(out, outcome_of_limit(end->struck), JOB_BLAME_TESTS, text);
}

/* What it met comes before what it came to. */
static void explain(const struct job_end *end, struct verdict_result *out)
{
    char before[VERDICT_MESSAGE];
    char text[160];
    bool is_good = out->outcome == JOB_PASSED || out->outcome == JOB_SKIPPED;
    if (end->met == JOB_LIMIT_NONE || end->struck != JOB_LIMIT_NONE || is_good)
        return;
    memcpy(before, out->message, sizeof(before));
    describe_limit(end->met, end, text, sizeof(text));
    snprintf(out->message, sizeof(out->message), "%s%s%.800s", text, before[0] ? ": " : "", before);
}

/* Ends that the supervisor knows of and that no record can talk away. */
static bool judge_end(const struct verdict *self, const struct job_end *end,
                      struct verdict_result *out)
{
    if (end->cancelled)
        say(out, JOB_CANCELLED, JOB_BLAME_NONE, "cancelled");
    else if (end->lost)
        say(out, JOB_LOST, JOB_BLAME_CLUSTER, end->text ? end->text : "the runner failed");
    else if (end->setup_failed)
        say(out, JOB_SETUP_FAILED, JOB_BLAME_PROJECT, end->text ? end->text : "set-up failed");
    else if (end->struck != JOB_LIMIT_NONE)
        say_limit(out, end);
    else if (!self->begun && !self->tampered && !end->foreign_record)
        say(out, JOB_LOST, JOB_BLAME_CLUSTER, "the job ended before it began");
    else
        return false;
    return true;
}

static bool judge_records(const struct verdict *self, const struct job_end *end,
                          struct verdict_result *out)
{
    char text[VERDICT_MESSAGE];
    if (self->tampered || end->foreign_record) {
        snprintf(text, sizeof(text), "the results were tampered with: %s",
                 self->tampered ? self->tampered : "a process other than the job's sent some");
        say(out, JOB_ERROR, JOB_BLAME_TESTS, text);
        out->tampered = true;
        return true;
    }
    if (self->ended)
        return false;
    if (WIFSIGNALED(end->wait_status)) {
        int number = WTERMSIG(end->wait_status);
        const char *name = sigabbrev_np(number);
        snprintf(text, sizeof(text), "ended by SIG%s before pytest did", name ? name : "?");
        say(out, JOB_CRASHED, JOB_BLAME_TESTS, text);
        return true;
    }
    snprintf(text, sizeof(text), "the process ended with exit code %d before pytest did",
             WEXITSTATUS(end->wait_status));
    say(out, JOB_ERROR, JOB_BLAME_TESTS, text);
    return true;
}

static bool judge_pytest(const struct verdict *self, struct verdict_result *out)
{
    const struct verdict_problem *problem = first_failure(self);
    if (problem) {
        bool nothing = self->case_count == 0;
        say(out, JOB_ERROR, nothing ? JOB_BLAME_PROJECT : JOB_BLAME_TESTS, problem->message);
        return true;
    }
    if (self->internal.len > 0) {
        say(out, JOB_ERROR, JOB_BLAME_PROJECT, "pytest failed with an internal error");
        return true;
    }
    if (self->exit_status == PYTEST_USAGE) {
        say(out, JOB_ERROR, JOB_BLAME_PROJECT, "pytest did not start: see the output");
        return true;
    }
    if (self->exit_status == PYTEST_INTERNAL) {
        say(out, JOB_ERROR, JOB_BLAME_PROJECT, "pytest failed: see the output");
        return true;
    }
    return false;
}

static void judge_counts(const struct verdict *self, struct verdict_result *out)
{
    const struct job_counts *counts = &out->counts;
    uint32_t good = counts->passed + counts->xpassed + counts->xfailed;
    if (counts->errors > 0)
        say(out, JOB_ERROR, JOB_BLAME_TESTS, "");
    else if (counts->failed > 0)
        say(out, JOB_FAILED, JOB_BLAME_TESTS,
            self->exit_status == 0 ? "pytest's exit status was 0 although tests failed" : "");
    else if (good > 0)
        say(out, JOB_PASSED, JOB_BLAME_NONE, "");
    else if (counts->skipped > 0)
        say(out, JOB_SKIPPED, JOB_BLAME_NONE, "");
    else if (self->kind != JOB_RUN && (self->kind != JOB_DISCOVER || self->module_count > 0))
        say(out, JOB_PASSED, JOB_BLAME_NONE, "");
    else
        say(out, JOB_NO_TESTS, JOB_BLAME_NONE, out->deselected ? "every test is deselected" : "");
}

/* Why a test that was collected has no outcome. */
static const char *why_unreported(const struct verdict *self, const struct verdict_case *test,
                                  const struct verdict_result *out)
{
    if (!self->ended)
        return test->called || test->setup_passed ? "the job ended while it ran" : "it never ran";
    if (out->tampered)
        return "its results cannot be trusted";
    return test->setup_passed ? "its call was never reported"
                              : "collected, and neither run nor deselected";
}

struct case_writer {
    struct buf *out;
    size_t left; /* bytes that texts may still take */
    bool full;
};

static void write_case(struct case_writer *writer, const struct verdict_case *test)
{
    owned_buf whole = BUF_INIT;
    owned_buf bare = BUF_INIT;
    verdict_case_write(test, false, &bare);
    if (writer->left < bare.len) {
        writer->full = true;
        return;
    }
    verdict_case_write(test, true, &whole);
    const struct buf *line = whole.len <= writer->left ? &whole : &bare;
    writer->left -= line->len;
    buf_append(writer->out, line->data, line->len);
}

/* Room for the lines without texts of the tests behind `from`. */
static size_t room_for_rest(const struct verdict *self, size_t from)
{
    size_t bytes = 0;
    for (size_t i = from; i < self->case_count; i++)
        bytes += strlen(self->cases[i].id) + 64;
    return bytes;
}

static void conclude_cases(struct verdict *self, struct case_writer *writer,
                           struct verdict_result *out)
{
    size_t reserve = room_for_rest(self, 0);
    size_t all = writer->left;
    writer->left = all > reserve ? all - reserve : 0;
    for (size_t i = 0; i < self->case_count; i++) {
        struct verdict_case *test = &self->cases[i];
        writer->left += strlen(test->id) + 64;
        if (test->removed)
            continue;
        if (!verdict_case_is_complete(test, self->ended))
            verdict_case_fail(test, why_unreported(self, test, out));
        verdict_case_count(test->worst, &out->counts);
        write_case(writer, test);
    }
}

static void conclude_problems(struct verdict *self, struct case_writer *writer,
                              struct verdict_result *out)
{
    for (size_t i = 0; i < self->problem_count; i++) {
        const struct verdict_problem *problem = &self->problems[i];
        if (!problem->failed && self->case_count > 0)
            continue; /* a class that skipped itself is no test */
        struct verdict_case test = {
            .id = problem->id,
            .texts = {problem->message, problem->longrepr},
            .worst = problem->failed ? CASE_ERROR : CASE_SKIPPED,
        };
        verdict_case_count(test.worst, &out->counts);
        write_case(writer, &test);
    }
}

/* A module of which nothing could be collected is one error, so that it cannot raise a mark. */
static void conclude_nothing(struct verdict *self, const char *output, struct case_writer *writer,
                             struct verdict_result *out)
{
    const char *detail = self->internal.len ? buf_str(&self->internal) : output;
    struct verdict_case test = {
        .id = mem_strdup(self->module ? self->module : "."),
        .texts = {mem_strdup(out->message), detail ? mem_strdup(detail) : NULL},
        .worst = CASE_ERROR,
    };
    verdict_case_count(CASE_ERROR, &out->counts);
    write_case(writer, &test);
    verdict_case_fini(&test);
}

static bool is_of_the_project(enum job_outcome outcome)
{
    return outcome == JOB_ERROR || outcome == JOB_SETUP_FAILED || outcome == JOB_TIMEOUT ||
           outcome == JOB_OOM || outcome == JOB_OUTPUT_LIMIT || outcome == JOB_CRASHED;
}

static bool whole_counts(const struct job_counts *counts)
{
    return counts->passed || counts->failed || counts->errors || counts->skipped ||
           counts->xfailed || counts->xpassed;
}

/* Where nothing else names the trouble: the first test in error does. */
static void borrow_message(const struct verdict *self, struct verdict_result *out)
{
    for (size_t i = 0; i < self->case_count && out->message[0] == 0; i++) {
        const struct verdict_case *test = &self->cases[i];
        if (test->removed || test->worst < CASE_FAILED || !test->texts[CASE_MESSAGE])
            continue;
        if ((test->worst == CASE_ERROR) == (out->outcome == JOB_ERROR))
            snprintf(out->message, sizeof(out->message), "%s", test->texts[CASE_MESSAGE]);
    }
    out->message[strcspn(out->message, "\n")] = 0;
}

void verdict_conclude(struct verdict *self, const struct job_end *end, const char *output,
                      struct buf *cases, struct verdict_result *out)
{
    struct case_writer writer = {.out = cases, .left = VERDICT_CASES_BYTES};
    *out = (struct verdict_result){.deselected = self->deselected,
                                   .exit_code = self->ended ? (int)self->exit_status : -1};
    bool judged =
        judge_end(self, end, out) || judge_records(self, end, out) || judge_pytest(self, out);
    conclude_cases(self, &writer, out);
    conclude_problems(self, &writer, out);
    if (judged && !whole_counts(&out->counts) && is_of_the_project(out->outcome))
        conclude_nothing(self, output, &writer, out);
    if (!judged)
        judge_counts(self, out);
    borrow_message(self, out);
    explain(end, out);
}
