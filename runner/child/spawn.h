/* spawn: starts a program in a process of its own; the part of child.h between fork and exec. */
#ifndef RUNNER_CHILD_SPAWN_H
#define RUNNER_CHILD_SPAWN_H

#include "runner/child/child.h"

/* What the child's 0, 1 and 2 are; all >= 0. */
struct spawn_streams {
    int in;
    int out;
    int err;
};

struct spawned {
    pid_t pid;
    int pidfd; /* owned by the caller */
};

/* Starts `spec`'s program with `streams` for 0 to 2. Returns after the program was executed, or
 * failed to be. Errors: ERR_NOT_FOUND, ERR_IO. */
int spawn_start(const struct child_spec *spec, const struct spawn_streams *streams,
                struct spawned *out, struct err *err) ERR_CHECKED;

#endif
