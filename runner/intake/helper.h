/* helper: runs one of our helpers as a child and hands back what it wrote. */
#ifndef INTAKE_HELPER_H
#define INTAKE_HELPER_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/child/child.h"

/* Told once. `rc` is 0 when the helper wrote a whole answer (which may tell of an error) in `out`;
 * else `err` says how it died. Both are borrowed. */
typedef void helper_done_fn(void *arg, int rc, const struct buf *out, const struct err *err);

struct helper_spec {
    const char *program;     /* NULL: this one */
    const char *const *argv; /* the helper's name and its arguments, NULL at the end */
    uint32_t timeout_ms;     /* 0: 120 s */
    size_t answer_max;       /* bytes on its standard output */
};

struct helper;

struct helper *helper_start(struct event_base *base, const struct helper_spec *spec,
                            helper_done_fn *done, void *arg, struct err *err);

/* Kills it; `done` is not called. */
void helper_drop(struct helper *self);

#endif
