/* environment: an owned copy of a job_environment. Part of server. */
#ifndef RUNNER_JOB_ENVIRONMENT_H
#define RUNNER_JOB_ENVIRONMENT_H

#include "runner/job/engine.h"

/* Fills `out`, which owns all that it points to. */
void environment_copy(struct job_environment *out, const struct job_environment *from);
void environment_fini(struct job_environment *self);

#endif
