/* manifest: what the helpers tell their parent, as JSON. Written by a process that has read
 * strangers' bytes: the reader checks everything. */
#ifndef INTAKE_MANIFEST_H
#define INTAKE_MANIFEST_H

#include "proto/base/buf.h"
#include "runner/intake/bundle.h"
#include "runner/intake/intake.h"
#include "runner/intake/layout.h"

/* More than the longest manifest has: each of at most 2,000 projects and 400 notes a few KiB. */
#define MANIFEST_MAX ((size_t)16 << 20)

/* `facts` has an item a project; that of a failed one is not looked at. */
void manifest_write(struct buf *out, const struct layout *layout, const struct bundle_facts *facts);

/* {"error": {"code", "reason", "text"}} */
void manifest_write_error(struct buf *out, const struct err *err);

/* Reads a manifest of either kind: fills `result` (to be ended by intake_result_fini() in any
 * case), or returns the error that it tells of. ERR_INTERNAL when it is no manifest. */
int manifest_read(struct intake_result *result, const char *text, size_t len, const char *out_dir,
                  struct err *err) ERR_CHECKED;

/* As manifest_read() for a helper that has nothing to say but that it is done. */
int manifest_read_done(const char *text, size_t len, struct err *err) ERR_CHECKED;

#endif
