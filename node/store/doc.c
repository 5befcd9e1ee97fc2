#include "node/store/doc.h"

#include "node/store/arena.h"
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "node/store/doc_part.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* The digest is the xor of one hash a part; a hash covers the evaluation's id and the part's kind
 * besides its canonical JSON, so that equal parts of two documents do not cancel out. */
static void begin_part(struct buf *text, uint64_t id, char kind)
{
    buf_clear(text);
    for (unsigned shift = 0; shift < 64; shift += 8)
        buf_putc(text, (char)(id >> shift & 0xff));
    buf_putc(text, kind);
}

static uint64_t end_part(const struct buf *text) { return hash_u64(text->data, text->len); }

uint64_t doc_part_dig(struct buf *text, char kind, const struct delta *part)
{
    begin_part(text, part->id, kind);
    delta_encode(part, text);
    return end_part(text);
}

uint64_t doc_rec_dig(struct buf *text, uint64_t id, const struct doc_rec *rec)
{
    begin_part(text, id, 'r');
    struct json_out json;
    json_out_init(&json, text);
    doc_rec_encode(rec, &json);
    return end_part(text);
}

int doc_ballot_compare(struct doc_ballot a, struct doc_ballot b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.owner > b.owner) - (a.owner < b.owner);
}

static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

bool doc_hash_is_set(const struct hash *hash)
{
    static const struct hash none;
    return memcmp(hash, &none, sizeof none) != 0;
}

struct doc *doc_new(uint64_t id)
{
    struct doc *self = mem_new(sizeof *self);
    self->id = id;
    self->parts = mem_new_array(DOC_PART_COUNT, sizeof *self->parts);
    return self;
}

static void free_plans(struct doc_tree_plan *list)
{
    while (list) {
        struct doc_tree_plan *next = list->next;
        arena_free(list->part.arena);
        free(list);
        list = next;
    }
}

void doc_free(struct doc *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < DOC_PART_COUNT; i++)
        arena_free(self->parts[i].arena);
    for (size_t p = 0; p < self->source_room; p++)
        arena_free(self->source_parts[p].arena);
    for (size_t p = 0; p < self->plan_room; p++)
        free_plans(self->tree_plans[p]);
    for (size_t i = 0; i < self->slot_room; i++)
        arena_free(self->slots[i].arena);
    free(self->parts);
    free(self->source_parts);
    free(self->sources);
    free(self->tree_plans);
    free(self->plans);
    free(self->slots);
    free(self);
}

/* Puts a new owner and hash in the place of a part's old ones. */
static void replace_part(struct doc *self, struct doc_part *part, struct arena *arena_owned,
                         uint64_t dig)
{
    arena_free(part->arena);
    part->arena = arena_owned;
    self->digest ^= part->dig ^ dig;
    part->dig = dig;
}

static int compare_plans(const struct doc_plan *a, const struct doc_plan *b)
{
    int order = doc_ballot_compare(a->ballot, b->ballot);
    return order ? order : compare_u64(a->hash, b->hash);
}

/* ---- write once, and the registers ----------------------------------------------------------- */

/* Chooses the plan that counts anew: of one more plan, or of what the project has come to be. */
static void choose_plan(struct doc *self, uint32_t p)
{
    const struct doc_plan *best = NULL;
    for (const struct doc_tree_plan *at = doc_tree_plans(self, p); at; at = at->next)
        if (doc_plan_fits(self, at->plan) && (!best || compare_plans(at->plan, best) > 0))
            best = at->plan;
    if (p < self->plan_room)
        self->plans[p] = best;
}

static int join_req(struct doc *self, const struct doc_req *req, unsigned *changed, struct err *err)
{
    owned_buf text = BUF_INIT;
    struct arena *arena = arena_new(2048);
    const struct doc_req *copy = doc_copy_req(arena, req);
    uint64_t dig = doc_part_dig(&text, 'q', &(struct delta){.id = self->id, .req = copy});
    if (self->req) {
        arena_free(arena);
        if (dig == self->parts[DOC_PART_REQ].dig)
            return 0;
        return err_set(err, ERR_CONFLICT, "evaluation %" PRIu64 " has another request", self->id);
    }
    self->req = copy;
    replace_part(self, &self->parts[DOC_PART_REQ], arena, dig);
    for (uint32_t p = 0; p < self->plan_room; p++)
        choose_plan(self, p);
    *changed |= DOC_CHANGED_REQ;
    return 0;
}

int doc_compare_fences(const struct doc_fence *a, const struct doc_fence *b)
{
    int order = doc_ballot_compare(a->ballot, b->ballot);
    if (!order)
        order = compare_u64(a->gen, b->gen);
    if (!order)
        order = compare_u64(a->rep_count, b->rep_count);
    if (!order && a->rep_count > 0)
        order = memcmp(a->reps, b->reps, a->rep_count * sizeof *a->reps);
    return order;
}

static void join_fence(struct doc *self, const struct doc_fence *fence, unsigned *changed)
{
    struct arena *arena = arena_new(512);
    const struct doc_fence *copy = doc_copy_fence(arena, fence);
    if (self->fence && doc_compare_fences(copy, self->fence) <= 0) {
        arena_free(arena);
        return;
    }
    owned_buf text = BUF_INIT;
    self->fence = copy;
    replace_part(self, &self->parts[DOC_PART_FENCE], arena,
                 doc_part_dig(&text, 'f', &(struct delta){.id = self->id, .fence = copy}));
    *changed |= DOC_CHANGED_FENCE;
}

/* Returns how many entries a list by project has to have for this one. */
static size_t room_for(const struct doc *self, uint32_t p)
{
    size_t room = self->req ? self->req->project_count : 0;
    return room > p ? room : (size_t)p + 1;
}

static void make_room_for_source(struct doc *self, uint32_t p)
{
    if (p < self->source_room)
        return;
    size_t room = room_for(self, p);
    self->sources = mem_resize(self->sources, room, sizeof *self->sources);
    self->source_parts = mem_resize(self->source_parts, room, sizeof *self->source_parts);
    for (size_t i = self->source_room; i < room; i++) {
        self->sources[i] = NULL;
        self->source_parts[i] = (struct doc_part){0};
    }
    self->source_room = room;
}

static void join_source(struct doc *self, const struct doc_source *source, unsigned *changed)
{
    struct arena *arena = arena_new(1024);
    const struct doc_source *copy = doc_copy_source(arena, source);
    const struct doc_source *old = source->p < self->source_room ? self->sources[source->p] : NULL;
    int order = old ? doc_ballot_compare(copy->ballot, old->ballot) : 1;
    if (!order)
        order = compare_u64(copy->hash, old->hash);
    if (order <= 0) {
        arena_free(arena);
        return;
    }
    owned_buf text = BUF_INIT;
    make_room_for_source(self, source->p);
    self->sources[source->p] = copy;
    replace_part(self, &self->source_parts[source->p], arena,
                 doc_part_dig(&text, 'o',
                              &(struct delta){.id = self->id, .sources = copy, .source_count = 1}));
    choose_plan(self, source->p);
    *changed |= DOC_CHANGED_SOURCE;
}

static void make_room_for_plan(struct doc *self, uint32_t p)
{
    if (p < self->plan_room)
        return;
    size_t room = room_for(self, p);
    self->plans = mem_resize(self->plans, room, sizeof *self->plans);
    self->tree_plans = mem_resize(self->tree_plans, room, sizeof *self->tree_plans);
    for (size_t i = self->plan_room; i < room; i++) {
        self->plans[i] = NULL;
        self->tree_plans[i] = NULL;
    }
    self->plan_room = room;
}

/* Returns the register of a plan, which may be new and empty. */
static struct doc_tree_plan *register_of(struct doc *self, const struct doc_plan *plan)
{
    make_room_for_plan(self, plan->p);
    struct doc_tree_plan **at = &self->tree_plans[plan->p];
    int order = -1;
    while (*at && (order = memcmp(&(*at)->tree, &plan->tree, sizeof plan->tree)) < 0)
        at = &(*at)->next;
    if (*at && order == 0)
        return *at;
    struct doc_tree_plan *fresh = mem_new(sizeof *fresh);
    fresh->tree = plan->tree;
    fresh->next = *at;
    return *at = fresh;
}

static void join_plan(struct doc *self, const struct doc_plan *plan, unsigned *changed)
{
    struct arena *arena = arena_new(2048);
    const struct doc_plan *copy = doc_copy_plan(arena, plan);
    struct doc_tree_plan *to = register_of(self, copy);
    if (to->plan && compare_plans(copy, to->plan) <= 0) {
        arena_free(arena);
        return;
    }
    owned_buf text = BUF_INIT;
    to->plan = copy;
    replace_part(
        self, &to->part, arena,
        doc_part_dig(&text, 'p', &(struct delta){.id = self->id, .plans = copy, .plan_count = 1}));
    choose_plan(self, plan->p);
    *changed |= DOC_CHANGED_PLAN;
}

static void join_cancel(struct doc *self, unsigned *changed)
{
    if (self->cancel)
        return;
    owned_buf text = BUF_INIT;
    self->cancel = true;
    self->digest ^= doc_part_dig(&text, 'c', &(struct delta){.id = self->id, .cancel = true});
    *changed |= DOC_CHANGED_CANCEL;
}

static void join_degraded(struct doc *self, unsigned *changed)
{
    if (self->degraded)
        return;
    owned_buf text = BUF_INIT;
    self->degraded = true;
    self->digest ^= doc_part_dig(&text, 'g', &(struct delta){.id = self->id, .degraded = true});
    *changed |= DOC_CHANGED_DEGRADED;
}

static void join_com(struct doc *self, struct doc_ballot com, unsigned *changed)
{
    if (doc_ballot_compare(com, self->com) <= 0)
        return;
    owned_buf text = BUF_INIT;
    self->com = com;
    replace_part(self, &self->parts[DOC_PART_COM], NULL,
                 doc_part_dig(&text, 'm', &(struct delta){.id = self->id, .com = com}));
    *changed |= DOC_CHANGED_COM;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static void join_seal(struct doc *self, const struct doc_seal *seal, unsigned *changed)
{
    owned_buf text = BUF_INIT;
    struct arena *arena = arena_new(1024 + seal->vec_count * DOC_REC_BYTES);
    struct doc_seal *copy = doc_copy_seal(arena, seal);
    struct doc_rec *vec = (struct doc_rec *)copy->vec; /* ours until it is published below */
    for (size_t i = 0; i < copy->vec_count; i++)
        vec[i].dig = doc_rec_dig(&text, self->id, &vec[i]);
    copy->dig = doc_part_dig(&text, 's', &(struct delta){.id = self->id, .seal = copy});
    for (size_t i = 0; i < copy->source_count; i++)
        join_source(self, &copy->sources[i], changed);
    for (size_t i = 0; i < copy->plan_count; i++)
        join_plan(self, &copy->plans[i], changed);
    doc_join_recs(self, copy->vec, copy->vec_count, changed);
    int order = self->seal ? doc_ballot_compare(copy->ballot, self->seal->ballot) : 1;
    if (!order)
        order = compare_u64(copy->gen, self->seal->gen);
    if (!order)
        order = compare_u64(copy->dig, self->seal->dig);
    if (order <= 0) {
        arena_free(arena);
        return;
    }
    self->seal = copy;
    replace_part(self, &self->parts[DOC_PART_SEAL], arena, copy->dig);
    *changed |= DOC_CHANGED_SEAL;
}

int doc_apply(struct doc *self, const struct delta *delta, unsigned *changed, struct err *err)
{
    assert(delta->id == self->id);
    *changed = 0;
    if (delta->req) {
        int rc = join_req(self, delta->req, changed, err);
        if (rc)
            return rc;
    }
    if (delta->fence)
        join_fence(self, delta->fence, changed);
    for (size_t i = 0; i < delta->source_count; i++)
        join_source(self, &delta->sources[i], changed);
    for (size_t i = 0; i < delta->plan_count; i++)
        join_plan(self, &delta->plans[i], changed);
    if (delta->cancel)
        join_cancel(self, changed);
    doc_join_recs(self, delta->res, delta->res_count, changed);
    if (delta->seal)
        join_seal(self, delta->seal, changed);
    join_com(self, delta->com, changed);
    if (delta->degraded)
        join_degraded(self, changed);
    return 0;
}
