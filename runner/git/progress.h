/* progress: the lines by which the child that fetches says how far it is, before its answer. */
#ifndef GIT_PROGRESS_H
#define GIT_PROGRESS_H

#include "proto/base/buf.h"
#include "runner/git/fetch.h"

/* Appends one line. */
void progress_put(const struct fetch_progress *self, struct buf *out);

/* Whether a line (without its end) is one of these: else it is the first of the answer. */
bool progress_is_line(const char *line, size_t len);

/* Reads one. The child has read strangers' bytes: false where a line makes no sense. */
bool progress_read(struct fetch_progress *self, const char *line, size_t len);

/* "waiting", "connecting", … */
const char *progress_phase_name(enum fetch_phase phase);

#endif
