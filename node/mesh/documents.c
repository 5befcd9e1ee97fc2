/* documents: appends and fetches, what own and sync do, and what follows when a document changed,
 * from wherever. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_copy.h"
#include "proto/base/mem.h"

#include <string.h>

/* ---- appends --------------------------------------------------------------------------------- */

struct append *mesh_append(struct mesh *self, enum append_for who, const struct delta *delta)
{
    struct append *append = mem_new(sizeof *append);
    append->token = ++self->last_token;
    append->who = who;
    delta_copy(delta, &append->delta);
    *self->appends_end = append;
    self->appends_end = &append->next;
    struct mesh_effect *effect = mesh_effect(self, MESH_APPEND);
    effect->token = append->token;
    effect->eval = delta->id;
    effect->delta = &append->delta;
    return append;
}

static struct append *take_append(struct mesh *self, uint64_t token)
{
    for (struct append **at = &self->appends; *at; at = &(*at)->next) {
        struct append *append = *at;
        if (append->token != token)
            continue;
        *at = append->next;
        if (!*at)
            self->appends_end = at;
        return append;
    }
    return NULL;
}

static void append_fini(void *what)
{
    struct append *append = what;
    delta_fini(&append->delta);
}

static void tell_asker(struct mesh *self, const struct append *append,
                       const struct mesh_event *event)
{
    bool is_ok = event->is_ok;
    struct ending ending = append->ending;
    switch (append->who) {
    case APPEND_FOR_OWN:
        mesh_note_own(self, (struct own_event){.kind = OWN_APPENDED,
                                               .id = append->delta.id,
                                               .token = append->inner,
                                               .is_ok = is_ok,
                                               .code = event->code,
                                               .changed = event->changed});
        break;
    case APPEND_FOR_SYNC:
        mesh_note_sync(self, (struct sync_event){.kind = SYNC_APPENDED,
                                                 .token = append->inner,
                                                 .is_ok = is_ok,
                                                 .changed = event->changed,
                                                 .delta = &append->delta});
        break;
    case APPEND_FOR_RESULT:
        if (is_ok)
            mesh_confirm(self, &ending);
        break;
    case APPEND_FOR_END:
        if (!is_ok) { /* what could not be written has not happened */
            ending.end = WORK_LOST;
            ending.blame = WORK_BLAME_CLUSTER;
        } else if (mesh_tree_is_old(self, &ending.work, NULL)) {
            ending.end = WORK_CANCELLED;
        }
        mesh_tell_ending(self, &ending);
        break;
    case APPEND_FOR_CLONE:
    case APPEND_FOR_ADOPT:
        mesh_clone_appended(self, &append->ending.work, is_ok);
        break;
    case APPEND_FOR_NOBODY:
        break;
    }
}

/* ---- what follows from a change -------------------------------------------------------------- */

static void drop(struct mesh *self, uint64_t eval)
{
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_DROP, .eval = eval});
    mesh_forget_failures(self, eval);
    mesh_forget_trees(self, eval);
    mesh_effect(self, MESH_DROP)->eval = eval;
}

#define LOOKED_AT                                                                                  \
    (DOC_CHANGED_REQ | DOC_CHANGED_FENCE | DOC_CHANGED_CANCEL | DOC_CHANGED_SEAL | DOC_CHANGED_COM)

static void on_changed(struct mesh *self, const struct delta *delta, unsigned changed)
{
    const struct doc *doc = mesh_doc(self, delta->id);
    mesh_note_own(self,
                  (struct own_event){.kind = OWN_CHANGED, .id = delta->id, .changed = changed});
    if (!doc)
        return;
    if ((changed & DOC_CHANGED_FENCE) && doc->fence)
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_OWNER,
                                                   .eval = delta->id,
                                                   .ballot = mesh_ballot(doc->fence->ballot)});
    if (changed & DOC_CHANGED_SOURCE)
        mesh_look_sources(self, delta);
    if (changed & (DOC_CHANGED_PLAN | DOC_CHANGED_RES))
        mesh_feed_changes(self, delta, changed);
    if ((changed & (DOC_CHANGED_SEAL | DOC_CHANGED_COM | DOC_CHANGED_CANCEL)) &&
        (doc->cancel || doc_is_final(doc)))
        drop(self, delta->id);
    if (changed & DOC_CHANGED_CANCEL)
        mesh_unlead(self, delta->id);
    if (changed & LOOKED_AT)
        mesh_look_clones(self, delta->id);
}

void mesh_appended(struct mesh *self, const struct mesh_event *event)
{
    struct append *append = take_append(self, event->token);
    if (!append)
        return;
    mesh_hold(self, append, append_fini);
    if (append->who == APPEND_FOR_OWN) {
        self->taken =
            mem_grow(self->taken, &self->taken_room, self->taken_count + 1, sizeof *self->taken);
        self->taken[self->taken_count++] = append->delta.id;
    }
    tell_asker(self, append, event);
    if (!event->is_ok || !event->changed)
        return;
    on_changed(self, &append->delta, event->changed);
    if (append->who != APPEND_FOR_SYNC)
        mesh_note_sync(self, (struct sync_event){.kind = SYNC_LEARNED,
                                                 .is_ok = true,
                                                 .changed = event->changed,
                                                 .delta = &append->delta});
}

/* ---- fetches --------------------------------------------------------------------------------- */

struct fetch *mesh_fetch(struct mesh *self, const struct wanted *wanted, const uint64_t *sources,
                         size_t source_count)
{
    struct fetch *fetch = mem_new(sizeof *fetch);
    struct hash *blobs = mesh_copy(self, wanted->blobs, wanted->count * sizeof *blobs);
    fetch->token = ++self->last_token;
    fetch->next = self->fetches;
    self->fetches = fetch;
    struct mesh_effect *effect = mesh_effect(self, MESH_FETCH);
    effect->token = fetch->token;
    effect->blobs = blobs;
    effect->blob_count = wanted->count;
    effect->secret = wanted->has_secret ? &blobs[wanted->count - 1] : NULL;
    effect->sources = mesh_copy(self, sources, source_count * sizeof *sources);
    effect->source_count = source_count;
    return fetch;
}

void mesh_fetched(struct mesh *self, const struct mesh_event *event)
{
    struct fetch **at = &self->fetches;
    while (*at && (*at)->token != event->token)
        at = &(*at)->next;
    owned_mem struct fetch *fetch = *at;
    if (!fetch)
        return;
    *at = fetch->next;
    if (fetch->is_clone)
        mesh_clone_fetched(self, fetch, event->is_ok);
    else if (fetch->is_submission)
        mesh_submission_fetched(self, fetch, event->is_ok);
    else if (fetch->work.eval)
        mesh_chore_fetched(self, fetch, event->is_ok);
    else
        mesh_note_own(self, (struct own_event){
                                .kind = OWN_FETCHED, .token = fetch->inner, .is_ok = event->is_ok});
}

/* ---- own ------------------------------------------------------------------------------------- */

static void refused(struct mesh *self, const struct own_effect *from)
{
    static const char *const reasons[] = {[OWN_TOO_FEW] = "too-few-replicas",
                                          [OWN_TOO_LATE] = "replicas-too-late",
                                          [OWN_TAKEN] = "id-taken",
                                          [OWN_NO_DISK] = "store-not-writable",
                                          [OWN_LEAVING] = "draining"};
    struct mesh_effect *effect = mesh_effect(self, MESH_REFUSED);
    effect->eval = from->id;
    effect->reason = reasons[from->why];
    effect->retry_s = from->retry_s;
    mesh_look_clones(self, from->id); /* it may have come with a secret that is not for this node */
}

static void tell_fence(struct mesh *self, const struct own_effect *from)
{
    struct wire_msg *msg = mesh_scratch(self, sizeof *msg);
    msg->kind = WIRE_FENCE;
    msg->fence = (struct wire_fence_news){
        .eid = from->id, .fence = mesh_fence(mesh_ballot(from->fence)), .gen = from->gen};
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_NEWS, .msg = msg});
}

static void answer(struct mesh *self, const struct own_effect *from)
{
    if (from->token & MESH_OWN_TOKEN) {
        if (!mesh_submission_asked(self, from->token))
            mesh_undefer(self, from->token);
        return;
    }
    struct mesh_effect *effect = mesh_effect(self, MESH_ANSWER);
    effect->eval = from->id;
    effect->token = from->token;
    effect->is_ok = from->is_ok;
    effect->stale_ms = from->stale_ms;
}

/* Who asks for a promise has the bundles; the secret only as long as he may need it himself. */
static void fetch_for_own(struct mesh *self, const struct own_effect *effect)
{
    uint64_t sources[1 + DOC_REPS_MAX] = {effect->peer};
    size_t count = 1;
    for (size_t i = 0; effect->secret && effect->at && i < effect->at->rep_count; i++) {
        uint64_t node = id_node_short(&effect->at->reps[i]);
        if (node != self->self && node != effect->peer)
            sources[count++] = node;
    }
    struct wanted wanted = {
        .blobs = effect->blobs, .count = effect->blob_count, .has_secret = effect->secret};
    mesh_fetch(self, &wanted, sources, count)->inner = effect->token;
}

static void act_own(struct mesh *self, const struct own_effect *effect)
{
    struct mesh_effect *out;
    switch (effect->kind) {
    case OWN_APPEND:
        mesh_append(self, APPEND_FOR_OWN, effect->delta)->inner = effect->token;
        break;
    case OWN_SEND:
        mesh_send(self, effect->peer, &effect->msg);
        break;
    case OWN_FETCH:
        fetch_for_own(self, effect);
        break;
    case OWN_ACCEPTED:
        if (mesh_submission_accepted(self, effect->id, effect->replicas))
            break;
        out = mesh_effect(self, MESH_ACCEPTED);
        out->eval = effect->id;
        out->replicas = effect->replicas;
        break;
    case OWN_REFUSED:
        if (!mesh_submission_refused(self, effect->id, effect->why))
            refused(self, effect);
        break;
    case OWN_ACTIVE:
        mesh_lead(self, effect->id, mesh_ballot(effect->fence));
        break;
    case OWN_STEPPED_DOWN:
        mesh_unlead(self, effect->id);
        break;
    case OWN_NEWS:
        tell_fence(self, effect);
        break;
    case OWN_FINAL:
        mesh_unlead(self, effect->id);
        mesh_look_clones(self, effect->id);
        mesh_forget_live(self, effect->id);
        mesh_effect(self, MESH_FINAL)->eval = effect->id;
        break;
    case OWN_CANCELLED:
        out = mesh_effect(self, MESH_CANCELLED);
        out->eval = effect->id;
        out->token = effect->token;
        out->is_ok = effect->is_ok;
        break;
    case OWN_ANSWER:
        answer(self, effect);
        break;
    case OWN_HANDED_OVER:
        self->is_handed_over = true;
        break;
    }
}

static void fini_own_out(void *what) { own_out_fini(what); }

void mesh_own(struct mesh *self, const struct own_event *event)
{
    struct own_out *out = mem_new(sizeof *out);
    mesh_hold(self, out, fini_own_out);
    own_step(self->own, event, out);
    for (size_t i = 0; i < out->count; i++)
        act_own(self, &out->effects[i]);
}

/* ---- sync ------------------------------------------------------------------------------------ */

static void act_sync(struct mesh *self, const struct sync_effect *effect)
{
    switch (effect->kind) {
    case SYNC_APPEND:
        mesh_append(self, APPEND_FOR_SYNC, effect->delta)->inner = effect->token;
        break;
    case SYNC_SEND:
        mesh_send(self, effect->peer, &effect->msg);
        break;
    case SYNC_SYNCED:
        mesh_note_own(self, (struct own_event){.kind = OWN_SYNCED, .peer = effect->peer});
        break;
    case SYNC_WHOLE:
        mesh_effect(self, MESH_WHOLE);
        break;
    }
}

static void fini_sync_out(void *what) { sync_out_fini(what); }

void mesh_sync(struct mesh *self, const struct sync_event *event)
{
    struct sync_out *out = mem_new(sizeof *out);
    mesh_hold(self, out, fini_sync_out);
    sync_step(self->sync, event, out);
    for (size_t i = 0; i < out->count; i++)
        act_sync(self, &out->effects[i]);
}
