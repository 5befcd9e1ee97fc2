/* size: what trees take on the disk. Blocks; for helpers. */
#ifndef ENV_SIZE_H
#define ENV_SIZE_H

#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Adds up what is below `paths`, in blocks that are there; stops where it is over `enough`. What
 * is absent, or goes away meanwhile, counts nothing, nor does what may not be read. Errors: ERR_IO.
 */
int size_measure(char *const *paths, size_t count, uint64_t enough, uint64_t *bytes,
                 struct err *err) ERR_CHECKED;

/* Measures again and again; returns when it is over `limit`, with what it is then. */
int size_watch(char *const *paths, size_t count, uint64_t limit, uint64_t *bytes,
               struct err *err) ERR_CHECKED;

#endif
