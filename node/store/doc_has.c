/* Whether there is anything to join. */
#include "node/store/doc_copy.h"
#include "node/store/doc_part.h"

#include <string.h>

static bool has_req(const struct doc *self, const struct doc_req *req)
{
    if (!self->req)
        return false;
    owned_buf text = BUF_INIT;
    struct arena *arena = arena_new(2048);
    const struct doc_req *copy = doc_copy_req(arena, req);
    uint64_t dig = doc_part_dig(&text, 'q', &(struct delta){.id = self->id, .req = copy});
    arena_free(arena);
    return dig == self->parts[DOC_PART_REQ].dig;
}

static bool has_source(const struct doc *self, const struct doc_source *source)
{
    const struct doc_source *old = source->p < self->source_room ? self->sources[source->p] : NULL;
    int order = old ? doc_ballot_compare(old->ballot, source->ballot) : -1;
    return order > 0 || (order == 0 && old->hash >= doc_source_hash(source));
}

static bool has_plan(const struct doc *self, const struct doc_plan *plan)
{
    const struct doc_tree_plan *at = doc_tree_plans(self, plan->p);
    while (at && memcmp(&at->tree, &plan->tree, sizeof plan->tree) != 0)
        at = at->next;
    const struct doc_plan *old = at ? at->plan : NULL;
    int order = old ? doc_ballot_compare(old->ballot, plan->ballot) : -1;
    return order > 0 || (order == 0 && old->hash >= doc_plan_hash(plan));
}

/* An attempt has one record: what is of the same attempt is the same. */
static bool has_rec(const struct doc *self, const struct doc_rec *rec)
{
    if (!self->slot_room)
        return false;
    const struct doc_rec *old = doc_slot_of(self, rec->p, rec->plan, rec->m)->rec;
    if (!old || (rec->real && !old->real))
        return false;
    struct doc_rec same = *rec;
    same.dig = old->dig;
    return doc_compare_recs(&same, old) <= 0;
}

static bool has_seal(const struct doc *self, const struct doc_seal *seal)
{
    int order = self->seal ? doc_ballot_compare(self->seal->ballot, seal->ballot) : -1;
    return order > 0 || (order == 0 && self->seal->gen >= seal->gen);
}

bool doc_has(const struct doc *self, const struct delta *delta)
{
    if ((delta->req && !has_req(self, delta->req)) ||
        (delta->fence && (!self->fence || doc_compare_fences(delta->fence, self->fence) > 0)) ||
        (delta->cancel && !self->cancel) || (delta->degraded && !self->degraded) ||
        doc_ballot_compare(delta->com, self->com) > 0 ||
        (delta->seal && !has_seal(self, delta->seal)))
        return false;
    for (size_t i = 0; i < delta->source_count; i++)
        if (!has_source(self, &delta->sources[i]))
            return false;
    for (size_t i = 0; i < delta->plan_count; i++)
        if (!has_plan(self, &delta->plans[i]))
            return false;
    for (size_t i = 0; i < delta->res_count; i++)
        if (!has_rec(self, &delta->res[i]))
            return false;
    return true;
}
