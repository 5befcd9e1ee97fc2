/* What is done with a whole document: sealing it, taking it apart, naming its blobs. */
#include "node/store/arena.h"
#include "node/store/doc.h"
#include "node/store/doc_copy.h"
#include "node/store/doc_part.h"
#include "proto/base/mem.h"

#include <assert.h>

void delta_fini(struct delta *self)
{
    arena_free(self->arena);
    *self = (struct delta){0};
}

static void count_projects(const struct doc *self, struct arena *arena, struct doc_seal *seal)
{
    struct doc_source *sources = arena_take_array(arena, self->source_room, sizeof *sources);
    for (uint32_t p = 0; p < self->source_room; p++)
        if (doc_source(self, p))
            sources[seal->source_count++] = *doc_source(self, p);
    seal->sources = sources;
    struct doc_plan *plans = arena_take_array(arena, self->plan_room, sizeof *plans);
    for (uint32_t p = 0; p < self->plan_room; p++)
        if (doc_plan(self, p))
            plans[seal->plan_count++] = *doc_plan(self, p);
    seal->plans = plans;
}

void doc_make_seal(const struct doc *self, struct doc_ballot ballot, uint64_t gen, uint64_t at_ms,
                   struct delta *out)
{
    *out = (struct delta){.id = self->id, .arena = arena_new(4096)};
    struct doc_seal *seal = arena_take(out->arena, sizeof *seal);
    if (self->seal) {
        *seal = *self->seal;
    } else {
        seal->cancelled = self->cancel;
        seal->at_ms = at_ms;
        count_projects(self, out->arena, seal);
        struct doc_rec *vec = arena_take_array(out->arena, self->res_count, sizeof *vec);
        for (uint32_t p = 0; p < self->plan_room; p++) {
            for (uint32_t m = 0; self->plans[p] && m < self->plans[p]->module_count; m++) {
                const struct doc_rec *rec = doc_result(self, p, m);
                if (rec)
                    vec[seal->vec_count++] = *rec;
            }
        }
        seal->vec = vec;
    }
    seal->ballot = ballot;
    seal->gen = gen;
    out->seal = doc_copy_seal(out->arena, seal);
}

/* Records of one piece: some 100 KB of JSON. */
#define PIECE_RECORDS 256

static void split_results(const struct doc *self, doc_split_fn *fn, void *arg)
{
    owned_mem const struct doc_rec **all = doc_sorted_results(self);
    owned_mem struct doc_rec *some = mem_new_array(PIECE_RECORDS, sizeof *some);
    size_t count = 0;
    for (size_t i = 0; i < self->res_count; i++) {
        const struct doc_rec *sealed = self->seal ? doc_counted(self, all[i]->p, all[i]->m) : NULL;
        if (!sealed || sealed->dig != all[i]->dig) /* else the seal brings it */
            some[count++] = *all[i];
        if (count == PIECE_RECORDS || (count > 0 && i + 1 == self->res_count)) {
            fn(arg, &(struct delta){.id = self->id, .res = some, .res_count = count});
            count = 0;
        }
    }
}

bool doc_seal_has_source(const struct doc *self, const struct doc_source *source)
{
    const struct doc_source *sealed = doc_sealed_source(self, source->p);
    return sealed && sealed->hash == source->hash &&
           doc_ballot_compare(sealed->ballot, source->ballot) == 0;
}

bool doc_seal_has_plan(const struct doc *self, const struct doc_plan *plan)
{
    const struct doc_plan *sealed = self->seal ? doc_plan(self, plan->p) : NULL;
    return sealed && sealed->hash == plan->hash &&
           doc_ballot_compare(sealed->ballot, plan->ballot) == 0;
}

void doc_split(const struct doc *self, doc_split_fn *fn, void *arg)
{
    fn(arg, &(struct delta){
                .id = self->id, .req = self->req, .fence = self->fence, .cancel = self->cancel});
    for (size_t p = 0; p < self->source_room; p++)
        if (self->sources[p] && !doc_seal_has_source(self, self->sources[p]))
            fn(arg,
               &(struct delta){.id = self->id, .sources = self->sources[p], .source_count = 1});
    for (size_t p = 0; p < self->plan_room; p++)
        for (const struct doc_tree_plan *at = self->tree_plans[p]; at; at = at->next)
            if (!doc_seal_has_plan(self, at->plan))
                fn(arg, &(struct delta){.id = self->id, .plans = at->plan, .plan_count = 1});
    split_results(self, fn, arg);
    if (self->seal || self->com.epoch > 0 || self->degraded)
        fn(arg,
           &(struct delta){
               .id = self->id, .seal = self->seal, .com = self->com, .degraded = self->degraded});
}

static void name_blob(const struct hash *blob, doc_blob_fn *fn, void *arg)
{
    if (doc_hash_is_set(blob))
        fn(arg, blob);
}

static void name_rec_blobs(const struct doc_rec *rec, doc_blob_fn *fn, void *arg)
{
    name_blob(&rec->cases, fn, arg);
    name_blob(&rec->out, fn, arg);
}

void doc_each_blob(const struct doc *self, doc_blob_fn *fn, void *arg)
{
    if (self->req) {
        name_blob(&self->req->overlay, fn, arg);
        for (size_t p = 0; p < self->req->project_count; p++)
            name_blob(&self->req->projects[p].bundle, fn, arg);
    }
    for (size_t p = 0; p < self->source_room; p++)
        if (self->sources[p])
            name_blob(&self->sources[p]->bundle, fn, arg);
    for (size_t i = 0; self->seal && i < self->seal->source_count; i++)
        name_blob(&self->seal->sources[i].bundle, fn, arg);
    if (self->req && !doc_is_final(self))
        name_blob(&self->req->secret, fn, arg);
    for (size_t p = 0; p < self->plan_room; p++)
        for (const struct doc_tree_plan *at = self->tree_plans[p]; at; at = at->next)
            name_blob(&at->plan->setup.log, fn, arg);
    for (size_t i = 0; self->seal && i < self->seal->plan_count; i++)
        name_blob(&self->seal->plans[i].setup.log, fn, arg);
    owned_mem const struct doc_rec **all = doc_sorted_results(self);
    for (size_t i = 0; i < self->res_count; i++)
        name_rec_blobs(all[i], fn, arg);
    for (size_t i = 0; self->seal && i < self->seal->vec_count; i++)
        name_rec_blobs(&self->seal->vec[i], fn, arg);
}
