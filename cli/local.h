/* local: programs on this machine that the client asks or starts. */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct local_run {
    const char *const *argv; /* NULL at the end; argv[0] a path, or a name that is on PATH */
    uint32_t timeout_ms;     /* then it is killed */
    size_t output_max;       /* bytes of standard output that are taken; more is an error */
};

/* Runs a program with nothing to read and no place for its standard error, and appends what it
 * writes to `out`. Errors: ERR_NOT_FOUND (it cannot be started), ERR_TIMEOUT, ERR_TOO_LARGE,
 * ERR_UNPROCESSABLE (it ended with another code than 0). */
int local_run(const struct local_run *spec, struct buf *out, struct err *err) ERR_CHECKED;

#endif
