/* The results of a document: a hash table by project, plan and module. */
#include "node/store/doc_copy.h"
#include "node/store/doc_part.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <stdlib.h>

static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

struct doc_slot *doc_slot_of(const struct doc *self, uint32_t p, uint64_t plan, uint32_t m)
{
    uint64_t mix = (plan ^ ((uint64_t)p << 32 | m)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(mix ^ mix >> 29) & (self->slot_room - 1);
    for (;; at = (at + 1) & (self->slot_room - 1)) {
        const struct doc_rec *rec = self->slots[at].rec;
        if (!rec || (rec->m == m && rec->p == p && rec->plan == plan))
            return &self->slots[at];
    }
}

static void make_room_for_result(struct doc *self)
{
    if (self->res_count * 4 < self->slot_room * 3)
        return;
    struct doc_slot *old = self->slots;
    size_t old_room = self->slot_room;
    self->slot_room = old_room ? old_room * 2 : 16;
    self->slots = mem_new_array(self->slot_room, sizeof *self->slots);
    for (size_t i = 0; i < old_room; i++)
        if (old[i].rec)
            *doc_slot_of(self, old[i].rec->p, old[i].rec->plan, old[i].rec->m) = old[i];
    free(old);
}

int doc_compare_recs(const struct doc_rec *a, const struct doc_rec *b)
{
    if (a->real != b->real)
        return a->real ? 1 : -1;
    int order = doc_ballot_compare(a->ballot, b->ballot);
    if (!order)
        order = compare_u64(b->n, a->n);
    if (!order)
        order = compare_u64(a->node, b->node);
    return order ? order : compare_u64(a->dig, b->dig);
}

static void join_rec(struct doc *self, const struct doc_rec *rec, struct buf *text,
                     unsigned *changed)
{
    struct arena *arena = arena_new(DOC_REC_BYTES);
    struct doc_rec *copy = doc_copy_rec(arena, rec);
    copy->dig = doc_rec_dig(text, self->id, copy);
    make_room_for_result(self);
    struct doc_slot *slot = doc_slot_of(self, rec->p, rec->plan, rec->m);
    if (slot->rec && doc_compare_recs(copy, slot->rec) <= 0) {
        arena_free(arena);
        return;
    }
    self->res_count += !slot->rec;
    self->digest ^= copy->dig ^ (slot->rec ? slot->rec->dig : 0);
    arena_free(slot->arena);
    *slot = (struct doc_slot){.arena = arena, .rec = copy};
    *changed |= DOC_CHANGED_RES;
}

void doc_join_recs(struct doc *self, const struct doc_rec *recs, size_t count, unsigned *changed)
{
    owned_buf text = BUF_INIT;
    for (size_t i = 0; i < count; i++)
        join_rec(self, &recs[i], &text, changed);
}

static int in_order(const void *a, const void *b)
{
    const struct doc_rec *x = *(const struct doc_rec *const *)a;
    const struct doc_rec *y = *(const struct doc_rec *const *)b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    if (x->plan != y->plan)
        return x->plan < y->plan ? -1 : 1;
    return (x->m > y->m) - (x->m < y->m);
}

const struct doc_rec **doc_sorted_results(const struct doc *self)
{
    const struct doc_rec **all = mem_new_array(self->res_count + 1, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < self->slot_room; i++)
        if (self->slots[i].rec)
            all[count++] = self->slots[i].rec;
    assert(count == self->res_count);
    qsort(all, count, sizeof(const struct doc_rec *), in_order);
    return all;
}
