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

/* The largest plan of one project and tree. */
struct doc_tree_plan {
    struct doc_tree_plan *next; /* of the same project, in order of trees; owned */
    struct hash tree;
    struct doc_part part;
    const struct doc_plan *plan;
};

struct doc_slot {
    struct arena *arena; /* owned; holds the record */
    struct doc_rec *rec; /* NULL in a free slot */
};

/* Says whether the seal brings this very plan, this very source. */
bool doc_seal_has_plan(const struct doc *self, const struct doc_plan *plan);
bool doc_seal_has_source(const struct doc *self, const struct doc_source *source);

/* Returns what the seal, if there is one, says of a project's repository; or NULL. */
const struct doc_source *doc_sealed_source(const struct doc *self, uint32_t p);

/* The share of a part, or a result, in the digest. `text` is for use again. */
uint64_t doc_part_dig(struct buf *text, char kind, const struct delta *part);
uint64_t doc_rec_dig(struct buf *text, uint64_t id, const struct doc_rec *rec);

/* Which of two is the larger: below 0, 0 or above 0. */
int doc_compare_fences(const struct doc_fence *a, const struct doc_fence *b);
int doc_compare_recs(const struct doc_rec *a, const struct doc_rec *b);

/* Returns the list of a project's plans in order of trees, NULL for none. */
struct doc_tree_plan *doc_tree_plans(const struct doc *self, uint32_t p);

/* Returns the slot of a result, free or taken; there must be room (slot_room). */
struct doc_slot *doc_slot_of(const struct doc *self, uint32_t p, uint64_t plan, uint32_t m);

/* Says whether a plan is one of what its project is by now. */
bool doc_plan_fits(const struct doc *self, const struct doc_plan *plan);

/* About what a record with a short message takes. */
#define DOC_REC_BYTES (sizeof(struct doc_rec) + 96)

void doc_join_recs(struct doc *self, const struct doc_rec *recs, size_t count, unsigned *changed);

/* Returns the results in order of (p, plan, m): owned array of borrowed records. */
const struct doc_rec **doc_sorted_results(const struct doc *self);

#endif
