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

/* Networks (confine_net.c). In the server, before a fork: chooses one for the job; -1 when the
 * server could not come back from making one. After it: lets go of the child's end. In init: enters
 * one, with lo up, and forgets all others. */
int confine_net_prepare(void);
void confine_net_forked(void);
int confine_net_enter(const struct confine_error *error);
void confine_net_forget(void);

/* Limits that are met and end nothing (confine_limits.c). In init, before the payload: what both
 * share. In the payload: notes a write that the size of a file refuses. */
void confine_limits_share(void);
void confine_limits_catch(void);

/* In init. The first, now and then: what is used on disk; returns after how many ms to look again.
 * The second when the payload has ended. */
unsigned confine_limits_look(struct confine_end *end);
void confine_limits_end(const struct confine_spec *spec, struct confine_end *end);

/* Returns NULL, or what is wrong with the bytes; static. */
const char *confine_check(const void *spec, size_t len);

#endif
