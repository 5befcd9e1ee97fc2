/* doc_json: documents and deltas as JSON text, the form that is stored and, later, sent.
 *
 * One form for one value: what is written is canonical, so that digests are hashes of it. Reading
 * is strict where it matters: types, ranges, lengths and counts are checked before anything is
 * allocated for them, hashes that can be computed are, unknown keys are ignored (newer nodes may
 * add some). 64-bit ids and hashes are hex strings: not every JSON reader holds such integers. */
#ifndef NODE_STORE_DOC_JSON_H
#define NODE_STORE_DOC_JSON_H

#include "node/store/doc.h"
#include "proto/base/json.h"

/* Appends one JSON object without line breaks. */
void delta_encode(const struct delta *delta, struct buf *out);

/* Reads one JSON object. `out` is the caller's, zeroed before; delta_fini() frees it.
 * Errors: ERR_INVALID with the field's name, ERR_TOO_LARGE over a limit. */
int delta_decode(const char *text, size_t len, struct delta *out, struct err *err) ERR_CHECKED;

/* The whole document as one object, with its digest; for sealed files and for people. */
void doc_encode(const struct doc *doc, struct buf *out);

/* Reads such an object and checks that its digest is true. Returns owned, or NULL.
 * Errors: as delta_decode(), ERR_CORRUPT when the digest differs. */
struct doc *doc_decode(const char *text, size_t len, struct err *err);

/* One record or plan as a member of an API answer: the stored form. */
void doc_rec_encode(const struct doc_rec *rec, struct json_out *out);
void doc_plan_encode(const struct doc_plan *plan, struct json_out *out);

#endif
