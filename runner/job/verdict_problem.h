/* verdict_problem: a collector that failed or skipped itself: a file, a class, a folder. Part of
 * verdict. */
#ifndef RUNNER_JOB_VERDICT_PROBLEM_H
#define RUNNER_JOB_VERDICT_PROBLEM_H

#include <stdbool.h>

struct verdict_problem {
    char *id;
    char *message;
    char *longrepr;
    bool failed;
};

#endif
