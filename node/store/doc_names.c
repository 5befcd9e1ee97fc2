#include "node/store/doc_names.h"

#include "node/store/doc.h"

#include <assert.h>
#include <string.h>

static const char *const outcomes[DOC_OUTCOME_COUNT] = {
    [DOC_PASSED] = "passed",
    [DOC_FAILED] = "failed",
    [DOC_ERROR] = "error",
    [DOC_SKIPPED] = "skipped",
    [DOC_TIMEOUT] = "timeout",
    [DOC_OOM] = "oom",
    [DOC_OUTPUT_LIMIT] = "output_limit",
    [DOC_CRASHED] = "crashed",
    [DOC_SETUP_FAILED] = "setup_failed",
    [DOC_NO_TESTS] = "no_tests",
    [DOC_CANCELLED] = "cancelled",
    [DOC_LOST] = "lost",
};

static const char *const blames[DOC_BLAME_COUNT] = {
    [DOC_BLAME_NONE] = "none",
    [DOC_BLAME_TESTS] = "tests",
    [DOC_BLAME_PROJECT] = "project",
    [DOC_BLAME_CLUSTER] = "cluster",
};

const char *doc_outcome_name(enum doc_outcome outcome)
{
    assert(outcome < DOC_OUTCOME_COUNT);
    return outcomes[outcome];
}

const char *doc_blame_name(enum doc_blame blame)
{
    assert(blame < DOC_BLAME_COUNT);
    return blames[blame];
}

bool doc_outcome_parse(const char *name, enum doc_outcome *out)
{
    for (enum doc_outcome i = DOC_NO_OUTCOME + 1; i < DOC_OUTCOME_COUNT; i++) {
        if (strcmp(outcomes[i], name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool doc_blame_parse(const char *name, enum doc_blame *out)
{
    for (enum doc_blame i = 0; i < DOC_BLAME_COUNT; i++) {
        if (strcmp(blames[i], name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}
