/* requirement_marker: reads an environment marker (PEP 508) and writes it in one form. Pure. */
#ifndef ENV_REQUIREMENT_MARKER_H
#define ENV_REQUIREMENT_MARKER_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

/* Reads from *at (zero-terminated) up to its end or to ` --`, moves *at there and appends " ; " and
 * the marker to `out`. Errors: ERR_UNPROCESSABLE ("requirement-syntax"). */
int requirement_marker_take(const char **at, struct buf *out, struct err *err) ERR_CHECKED;

#endif
