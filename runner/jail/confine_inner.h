/* confine_inner: what the files of confine share. */
#ifndef RUNNER_JAIL_CONFINE_INNER_H
#define RUNNER_JAIL_CONFINE_INNER_H

#include "runner/jail/confine.h"

#include <stddef.h>

/* Only the entries of confine.h are seen outside the shared object. */
#define CONFINE_EXPORT __attribute__((visibility("default")))

struct confine_error {
    char *text;
    size_t size;
};

/* Writes "what path: errno's text" and returns -1. `path` may be NULL. */
int confine_fail(const struct confine_error *error, const char *what, const char *path);

/* Copies the tree below `layer` (a folder's descriptor, O_PATH suffices) over the one below `to`.
 */
int confine_copy(int layer, int to, const struct confine_error *error);

/* Returns NULL, or what is wrong with the bytes; static. */
const char *confine_check(const void *spec, size_t len);

#endif
