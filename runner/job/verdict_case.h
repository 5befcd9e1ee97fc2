/* verdict_case: one collected test, and the line that is written about it. Part of verdict. */
#ifndef RUNNER_JOB_VERDICT_CASE_H
#define RUNNER_JOB_VERDICT_CASE_H

#include "proto/base/buf.h"
#include "runner/job/record.h"
#include "runner/job/verdict.h"

enum case_outcome {
    CASE_PASSED,
    CASE_SKIPPED,
    CASE_XFAILED,
    CASE_XPASSED,
    CASE_FAILED,
    CASE_ERROR,
};

/* Texts that a test holds, most wanted first: what goes first when there are too many goes last in
 * this list. */
enum case_text { CASE_MESSAGE, CASE_LONGREPR, CASE_OUT, CASE_ERR, CASE_TEXTS };

struct verdict_case {
    char *id;                /* owned; NULL until announced */
    char *texts[CASE_TEXTS]; /* owned; NULL for none */
    uint64_t duration_us;
    enum case_outcome worst; /* of the phases so far */
    bool setup_passed;
    bool called;   /* a call was reported, or will never be: the set-up did not pass */
    bool finished; /* its teardown was reported */
    bool removed;  /* deselected after it had been collected */
};

/* Folds one phase into the test; a text longer than `room` is left out. */
void verdict_case_fold(struct verdict_case *self, const struct record *phase, size_t room);

/* Returns how many bytes of text it holds. */
size_t verdict_case_bytes(const struct verdict_case *self);

/* True when nothing more is needed to know its outcome. `ended`: pytest came to its end. */
bool verdict_case_is_complete(const struct verdict_case *self, bool ended);

/* Replaces the outcome by an error that nothing better is known about. */
void verdict_case_fail(struct verdict_case *self, const char *message);

void verdict_case_count(enum case_outcome outcome, struct job_counts *counts);
const char *case_outcome_name(enum case_outcome outcome);

/* Appends one line of JSON. Leaves the texts out when `texts` is false. */
void verdict_case_write(const struct verdict_case *self, bool texts, struct buf *out);

void verdict_case_fini(struct verdict_case *self);

#endif
