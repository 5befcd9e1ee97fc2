/* live: what runs of an evaluation is in no document. Its owner knows, and tells whoever reads it:
 * the LIVE that comes before a DOC is kept here for as long as it may be true. */
#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

#include <string.h>

#define VIEWS_MAX    256
#define VIEW_LIVE_MS 30000 /* what an owner said so long ago says nothing any more */

struct view {
    uint64_t eval;
    struct work_ballot ballot;
    uint64_t heard_ms;
    bool is_preparing;
    struct mesh_running *running;
    size_t count;
    struct mesh_clone *clones;
    size_t clone_count;
    struct view *next;
};

static void free_view(struct view *view)
{
    free(view->running);
    free(view->clones);
    free(view);
}

void mesh_forget_live(struct mesh *self, uint64_t eval)
{
    for (struct view **at = &self->views; *at;) {
        struct view *view = *at;
        if (eval && view->eval != eval) {
            at = &view->next;
            continue;
        }
        *at = view->next;
        self->view_count--;
        free_view(view);
    }
}

/* Newest first; the oldest makes room. */
static void add_view(struct mesh *self, struct view *view)
{
    view->next = self->views;
    self->views = view;
    if (++self->view_count <= VIEWS_MAX)
        return;
    struct view **at = &self->views;
    while ((*at)->next)
        at = &(*at)->next;
    free_view(*at);
    *at = NULL;
    self->view_count--;
}

/* What the owner under the present fence said lately, or NULL. */
static const struct view *view_of(const struct mesh *self, uint64_t eval)
{
    const struct doc *doc = mesh_doc(self, eval);
    for (const struct view *view = self->views; view; view = view->next)
        if (view->eval == eval)
            return doc && doc->fence && view->heard_ms + VIEW_LIVE_MS > self->now_ms &&
                           work_ballot_compare(view->ballot, mesh_ballot(doc->fence->ballot)) == 0
                       ? view
                       : NULL;
    return NULL;
}

/* ---- from node to node ----------------------------------------------------------------------- */

/* Returns owned. */
static struct wire_clone *pack_clones(const struct mesh *self, uint64_t eval, size_t *count)
{
    owned_mem struct mesh_clone *clones = NULL;
    *count = mesh_cloning(self, eval, &clones);
    *count = *count < WIRE_CLONES_MAX ? *count : WIRE_CLONES_MAX;
    struct wire_clone *packed = mem_new_array(*count + 1, sizeof *packed);
    for (size_t i = 0; i < *count; i++)
        packed[i] = (struct wire_clone){
            .p = clones[i].p,
            .phase = (uint8_t)clones[i].phase,
            .bytes = clones[i].bytes,
            .objects = clones[i].objects,
            .tries = (uint16_t)(clones[i].tries < UINT16_MAX ? clones[i].tries : UINT16_MAX)};
    return packed;
}

void mesh_tell_live(struct mesh *self, uint64_t peer, uint64_t eval)
{
    const struct led *led = mesh_led(self, eval);
    if (!led || peer == self->self)
        return;
    owned_mem struct mesh_running *running = NULL;
    size_t count = mesh_running(self, eval, &running);
    count = count < WIRE_RUNNING_MAX ? count : WIRE_RUNNING_MAX;
    owned_mem struct wire_attempt *attempts = mem_new_array(count + 1, sizeof *attempts);
    for (size_t i = 0; i < count; i++)
        attempts[i] =
            (struct wire_attempt){.p = running[i].work.p,
                                  .m = running[i].work.m,
                                  .n = (uint16_t)running[i].work.n,
                                  .node = running[i].peer,
                                  .elapsed_ms = (uint32_t)(self->now_ms - running[i].since_ms),
                                  .passed = running[i].tally.passed,
                                  .failed = running[i].tally.failed,
                                  .errors = running[i].tally.errors,
                                  .skipped = running[i].tally.skipped};
    size_t clone_count;
    owned_mem struct wire_clone *clones = pack_clones(self, eval, &clone_count);
    struct wire_msg msg = {.kind = WIRE_LIVE,
                           .live = {.eid = eval,
                                    .fence = mesh_fence(led->ballot),
                                    .preparing = mesh_is_preparing(self, eval),
                                    .attempts = attempts,
                                    .attempt_count = count,
                                    .clones = clones,
                                    .clone_count = clone_count}};
    mesh_send(self, peer, &msg);
}

static struct mesh_running running_of(const struct mesh *self, const struct wire_live *live,
                                      const struct wire_attempt *attempt)
{
    uint64_t age_ms = attempt->elapsed_ms < self->now_ms ? attempt->elapsed_ms : self->now_ms;
    return (struct mesh_running){.work = {.eval = live->eid,
                                          .p = attempt->p,
                                          .m = attempt->m,
                                          .n = attempt->n,
                                          .ballot = mesh_ballot_of_wire(live->fence)},
                                 .peer = attempt->node,
                                 .since_ms = self->now_ms - age_ms,
                                 .tally = {.passed = attempt->passed,
                                           .failed = attempt->failed,
                                           .errors = attempt->errors,
                                           .skipped = attempt->skipped}};
}

static bool are_same_clones(const struct view *a, const struct view *b)
{
    if (a->clone_count != b->clone_count)
        return false;
    for (size_t i = 0; i < a->clone_count; i++) {
        const struct mesh_clone *x = &a->clones[i], *y = &b->clones[i];
        if (x->p != y->p || x->phase != y->phase || x->bytes != y->bytes ||
            x->objects != y->objects || x->tries != y->tries)
            return false;
    }
    return true;
}

/* Clocks aside. */
static bool is_same(const struct view *a, const struct view *b)
{
    if (a->count != b->count || !are_same_clones(a, b) || a->is_preparing != b->is_preparing ||
        work_ballot_compare(a->ballot, b->ballot) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!work_is_same(&a->running[i].work, &b->running[i].work) ||
            a->running[i].peer != b->running[i].peer ||
            memcmp(&a->running[i].tally, &b->running[i].tally, sizeof a->running[i].tally) != 0)
            return false;
    return true;
}

/* A phase of a later version is the last one that is known here. */
static struct mesh_clone clone_of(const struct wire_clone *clone)
{
    enum mesh_clone_phase phase = clone->phase < MESH_CLONE_PHASES
                                      ? (enum mesh_clone_phase)clone->phase
                                      : MESH_CLONE_INDEXING;
    return (struct mesh_clone){.p = clone->p,
                               .phase = phase,
                               .bytes = clone->bytes,
                               .objects = clone->objects,
                               .tries = clone->tries};
}

void mesh_hear_live(struct mesh *self, uint64_t peer, const struct wire_live *live)
{
    if (live->fence.owner != peer || mesh_led(self, live->eid))
        return;
    struct view *view = mem_new(sizeof *view);
    *view = (struct view){.eval = live->eid,
                          .ballot = mesh_ballot_of_wire(live->fence),
                          .heard_ms = self->now_ms,
                          .is_preparing = live->preparing,
                          .running = mem_new_array(live->attempt_count + 1, sizeof *view->running),
                          .clones = mem_new_array(live->clone_count + 1, sizeof *view->clones)};
    for (size_t i = 0; i < live->attempt_count; i++)
        view->running[view->count++] = running_of(self, live, &live->attempts[i]);
    for (size_t i = 0; i < live->clone_count; i++)
        view->clones[view->clone_count++] = clone_of(&live->clones[i]);
    const struct view *old = self->views;
    while (old && old->eval != live->eid)
        old = old->next;
    if (!old || !is_same(old, view))
        mesh_effect(self, MESH_RUNNING)->eval = live->eid;
    mesh_forget_live(self, live->eid);
    add_view(self, view);
}

/* ---- questions ------------------------------------------------------------------------------- */

static struct doc_tally tally_of(const struct mesh *self, const struct work *work)
{
    for (const struct progress *at = self->progress; at; at = at->next)
        if (work_is_same(&at->work, work))
            return at->tally;
    return (struct doc_tally){0};
}

static size_t led_running(const struct mesh *self, uint64_t eval, struct mesh_running **out_owned)
{
    size_t room = queue_attempts(self->queue, eval, NULL, 0);
    size_t count = 0;
    owned_mem struct queue_attempt *attempts = mem_new_array(room + 1, sizeof *attempts);
    *out_owned = mem_new_array(room + 1, sizeof **out_owned);
    queue_attempts(self->queue, eval, attempts, room);
    for (size_t i = 0; i < room; i++)
        if (attempts[i].work.m != WORK_CHORE)
            (*out_owned)[count++] =
                (struct mesh_running){.work = attempts[i].work,
                                      .peer = attempts[i].peer,
                                      .since_ms = attempts[i].since_ms,
                                      .tally = tally_of(self, &attempts[i].work)};
    return count;
}

/* What this node runs for others is known here without their word. */
static size_t add_local(const struct mesh *self, uint64_t eval, struct mesh_running *list)
{
    owned_mem struct work_item *items = mem_new_array(AGENT_SLOTS_MAX, sizeof *items);
    size_t found = agent_items(self->agent, eval, self->now_ms, items, AGENT_SLOTS_MAX);
    size_t count = 0;
    for (size_t i = 0; i < found && i < AGENT_SLOTS_MAX; i++)
        if (items[i].phase == WORK_RUNNING && items[i].work.m != WORK_CHORE)
            list[count++] = (struct mesh_running){.work = items[i].work,
                                                  .peer = self->self,
                                                  .since_ms = self->now_ms - items[i].elapsed_ms,
                                                  .tally = tally_of(self, &items[i].work)};
    return count;
}

size_t mesh_running(const struct mesh *self, uint64_t eval, struct mesh_running **out_owned)
{
    if (mesh_led(self, eval))
        return led_running(self, eval, out_owned);
    const struct view *view = view_of(self, eval);
    *out_owned = mem_new_array(AGENT_SLOTS_MAX + (view ? view->count : 0) + 1, sizeof **out_owned);
    size_t count = add_local(self, eval, *out_owned);
    for (size_t i = 0; view && i < view->count; i++)
        if (view->running[i].peer != self->self)
            (*out_owned)[count++] = view->running[i];
    return count;
}

size_t mesh_cloning(const struct mesh *self, uint64_t eval, struct mesh_clone **out_owned)
{
    bool is_led = mesh_led(self, eval) != NULL;
    const struct view *view = is_led ? NULL : view_of(self, eval);
    size_t count = is_led ? mesh_led_clones(self, eval, NULL, 0) : view ? view->clone_count : 0;
    *out_owned = mem_new_array(count + 1, sizeof **out_owned);
    if (is_led)
        mesh_led_clones(self, eval, *out_owned, count);
    for (size_t i = 0; view && i < count; i++)
        (*out_owned)[i] = view->clones[i];
    return count;
}

bool mesh_is_preparing(const struct mesh *self, uint64_t eval)
{
    if (mesh_led(self, eval))
        return queue_left(self->queue, eval).chores > 0 || mesh_led_clones(self, eval, NULL, 0) > 0;
    const struct view *view = view_of(self, eval);
    return view && view->is_preparing;
}

bool mesh_was_led(const struct mesh *self, const struct doc *doc)
{
    if (mesh_led(self, doc->id) || view_of(self, doc->id) || doc->res_count > 0)
        return true;
    for (size_t p = 0; p < doc->plan_room; p++)
        if (doc->plans[p])
            return true;
    return doc_is_final(doc) && !doc->cancel;
}

/* Whoever leads it under the fence that it was submitted with got it acknowledged by all its
 * replicas. Who claimed it later was promised it by a majority, which may lack its bundles. */
static bool is_acknowledged(const struct mesh *self, const struct doc *doc)
{
    uint32_t epoch = doc->fence ? doc->fence->ballot.epoch : 0;
    return (epoch == 1 || epoch == OWN_REPLACED_EPOCH) &&
           (mesh_led(self, doc->id) || view_of(self, doc->id));
}

enum mesh_standing mesh_standing(const struct mesh *self, uint64_t eval, unsigned *replicas)
{
    const struct doc *doc = mesh_doc(self, eval);
    size_t all = doc && doc->fence ? doc->fence->rep_count : 0;
    *replicas = (unsigned)all;
    if (!doc || !doc->req)
        return MESH_UNKNOWN;
    if (is_acknowledged(self, doc))
        return MESH_ACKNOWLEDGED;
    *replicas = doc->degraded ? 1 : (unsigned)(all / 2 + 1);
    if (!mesh_was_led(self, doc))
        return doc->cancel ? MESH_WITHDRAWN : MESH_UNSURE;
    return doc->cancel || doc_is_final(doc) ? MESH_ACKNOWLEDGED : MESH_UNSURE;
}
