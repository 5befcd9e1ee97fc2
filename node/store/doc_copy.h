/* doc_copy: the parts of a document, copied into an arena and made canonical on the way: text is
 * repaired and cut, absent required text becomes "", numbers that JSON cannot carry are capped.
 * Only canonical parts are encoded for digests. Structs that break a rule of doc.h are our own bugs
 * and stop the process; bytes from outside never get here unchecked (doc_json.h). */
#ifndef NODE_STORE_DOC_COPY_H
#define NODE_STORE_DOC_COPY_H

#include "node/store/arena.h"
#include "node/store/doc.h"

struct doc_req *doc_copy_req(struct arena *arena, const struct doc_req *from);
struct doc_fence *doc_copy_fence(struct arena *arena, const struct doc_fence *from);
struct doc_seal *doc_copy_seal(struct arena *arena, const struct doc_seal *from);
struct doc_rec *doc_copy_rec(struct arena *arena, const struct doc_rec *from);

/* These compute the hash too. */
struct doc_plan *doc_copy_plan(struct arena *arena, const struct doc_plan *from);
struct doc_source *doc_copy_source(struct arena *arena, const struct doc_source *from);

/* Copies a whole delta; delta_fini() frees it. */
void delta_copy(const struct delta *from, struct delta *out);

/* Appends the JSON without ballot and hash. */
void doc_source_encode_content(const struct doc_source *source, struct buf *out);
void doc_plan_encode_content(const struct doc_plan *plan, struct buf *out);

#endif
