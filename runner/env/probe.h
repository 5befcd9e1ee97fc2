/* probe: asks a program one question at start-up and returns what it prints. Blocks. */
#ifndef ENV_PROBE_H
#define ENV_PROBE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <sys/types.h>

struct probe {
    const char *const *argv; /* argv[0] is a path */
    const char *const *envp;
    uid_t uid; /* (uid_t)-1: ours */
};

/* Appends at most 8 KiB of its standard output. Errors: ERR_TIMEOUT (10 s), ERR_UNPROCESSABLE (it
 * does not end with 0), ERR_IO. */
int probe_run(const struct probe *spec, struct buf *out, struct err *err) ERR_CHECKED;

#endif
