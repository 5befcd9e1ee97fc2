/* doc_part: what the files of a document share and its users do not see. */
#ifndef NODE_STORE_DOC_PART_H
#define NODE_STORE_DOC_PART_H

#include "node/store/arena.h"
#include "node/store/doc.h"

enum { DOC_PART_REQ, DOC_PART_FENCE, DOC_PART_SEAL, DOC_PART_COM, DOC_PART_COUNT };

struct doc_part {
    struct arena *arena; /* owned; holds the part */
    uint64_t dig;        /* its share of the digest; 0 while absent */
};

struct doc_slot {
    struct arena *arena; /* owned; holds the record */
    struct doc_rec *rec; /* NULL in a free slot */
};

/* Says whether the seal brings this very plan. */
bool doc_seal_has_plan(const struct doc *self, const struct doc_plan *plan);

/* Returns the results in order of (p, plan, m): owned array of borrowed records. */
const struct doc_rec **doc_sorted_results(const struct doc *self);

#endif
