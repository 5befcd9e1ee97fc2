#include "node/sync/sync_inner.h"

#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

struct sync *sync_new(const struct sync_config *config)
{
    struct sync *self = mem_new(sizeof *self);
    self->config = *config;
    self->now_ms = config->now_ms;
    self->push_ms = NEVER;
    rand_init(&self->rand, config->seed);
    self->last_rid = (uint32_t)rand_u64(&self->rand) | OWN_RID_SYNC;
    return self;
}

void sync_free(struct sync *self)
{
    if (!self)
        return;
    push_free(self);
    for (size_t i = 0; i < self->peer_count; i++)
        free(self->peers[i]);
    free(self->peers);
    free(self->waiting);
    free(self->busy);
    free(self->appends);
    free(self);
}

void sync_out_fini(struct sync_out *self)
{
    hold_free(self->hold);
    free(self->effects);
    *self = (struct sync_out){0};
}

/* ---- effects --------------------------------------------------------------------------------- */

struct sync_effect *sync_emit(struct sync *self, enum sync_effect_kind kind, uint64_t peer)
{
    struct sync_out *out = self->out;
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    struct sync_effect *effect = &out->effects[out->count++];
    *effect = (struct sync_effect){.kind = kind, .peer = peer};
    return effect;
}

struct wire_msg *sync_send(struct sync *self, uint64_t peer, enum wire_kind kind)
{
    assert(peer != self->config.self);
    struct sync_effect *effect = sync_emit(self, SYNC_SEND, peer);
    effect->msg.kind = kind;
    return &effect->msg;
}

uint32_t sync_rid(struct sync *self)
{
    self->last_rid = (self->last_rid + 1) | OWN_RID_SYNC;
    return self->last_rid;
}

struct append *sync_append(struct sync *self, struct delta *delta)
{
    struct delta *held = hold_delta(&self->out->hold);
    *held = *delta;
    *delta = (struct delta){0};
    self->appends =
        mem_grow(self->appends, &self->append_room, self->append_count + 1, sizeof *self->appends);
    struct append *append = &self->appends[self->append_count++];
    *append = (struct append){.token = ++self->last_token, .id = held->id};
    append->has_req = held->req != NULL;
    struct sync_effect *effect = sync_emit(self, SYNC_APPEND, 0);
    effect->token = append->token;
    effect->delta = held;
    return append;
}

uint64_t sync_digest(const struct sync *self, uint64_t id)
{
    struct docs_info info;
    const struct docs *docs = self->config.docs;
    return docs->info(docs->arg, id, &info) ? info.digest : 0;
}

/* ---- members --------------------------------------------------------------------------------- */

struct peer *sync_peer(const struct sync *self, uint64_t id)
{
    return byid_find(self->peers, self->peer_count, id);
}

static void peer_down(struct sync *self, uint64_t id)
{
    pulls_peer_down(self, id);
    if (self->round.number && self->round.peer == id)
        rounds_abort(self);
}

static void on_member(struct sync *self, uint64_t id, bool is_alive)
{
    struct peer *peer = sync_peer(self, id);
    if (id == self->config.self)
        return;
    if (!peer) {
        peer = mem_new(sizeof *peer);
        peer->id = id;
        self->peers = byid_add(self->peers, &self->peer_count, &self->peer_room, peer);
    }
    bool came = is_alive && !peer->is_alive;
    peer->is_alive = is_alive;
    if (came) {
        peer->is_synced = false;
        peer->is_wanted = peer->is_urgent = true;
        self->is_whole = false;
    } else if (!is_alive) {
        peer->is_synced = peer->is_wanted = false;
        peer_down(self, id);
        rounds_check_whole(self);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_appended(struct sync *self, const struct sync_event *event)
{
    if (self->append_first == self->append_count ||
        self->appends[self->append_first].token != event->token)
        return;
    struct append append = self->appends[self->append_first++];
    if (self->append_first == self->append_count) {
        self->append_first = self->append_count = 0;
    } else if (self->append_first > 64 && self->append_first * 2 > self->append_count) {
        self->append_count -= self->append_first;
        memmove(self->appends, &self->appends[self->append_first],
                self->append_count * sizeof append);
        self->append_first = 0;
    }
    if (append.rid)
        pulls_appended(self, &append, event->is_ok);
    else
        push_appended(self, &append, event->is_ok, event->changed);
}

static void on_message(struct sync *self, uint64_t peer, const struct wire_msg *msg)
{
    if (peer == self->config.self)
        self->stats.ignored++;
    else if (msg->kind == WIRE_SYNC)
        rounds_sync(self, peer, &msg->sync);
    else if (msg->kind == WIRE_DIFF)
        rounds_diff(self, peer, &msg->diff);
    else if (msg->kind == WIRE_DOC)
        pulls_doc(self, peer, &msg->doc);
    else if (msg->kind == WIRE_DELTA)
        push_delta(self, &msg->delta);
    else
        self->stats.ignored++;
}

static void on_differs(struct sync *self, uint64_t id)
{
    struct peer *peer = sync_peer(self, id);
    if (peer && peer->is_alive)
        peer->is_wanted = true;
}

static void on_event(struct sync *self, const struct sync_event *event)
{
    switch (event->kind) {
    case SYNC_TICK:
        break;
    case SYNC_MEMBER:
        on_member(self, event->peer, event->is_ok);
        break;
    case SYNC_DIFFERS:
        on_differs(self, event->peer);
        break;
    case SYNC_MESSAGE:
        on_message(self, event->peer, event->msg);
        break;
    case SYNC_LINK_DOWN:
        peer_down(self, event->peer);
        break;
    case SYNC_APPENDED:
        on_appended(self, event);
        break;
    case SYNC_LEARNED:
        push_learned(self, event->delta);
        break;
    }
}

void sync_step(struct sync *self, const struct sync_event *event, struct sync_out *out)
{
    out->count = 0;
    hold_clear(out->hold);
    self->out = out;
    self->now_ms = event->now_ms;
    on_event(self, event);
    if (self->round.number && self->now_ms >= self->round.until_ms)
        rounds_abort(self);
    pulls_tick(self);
    pulls_go_on(self);
    rounds_begin_next(self);
    push_tick(self);
    self->out = NULL;
}

static bool is_round_due(const struct sync *self)
{
    for (size_t i = 0; !self->round.number && i < self->peer_count; i++)
        if (self->peers[i]->is_alive && self->peers[i]->is_wanted)
            return true;
    return false;
}

uint64_t sync_deadline(const struct sync *self)
{
    uint64_t due = self->push_ms;
    if (self->round.number && self->round.until_ms < due)
        due = self->round.until_ms;
    if (is_round_due(self) && self->next_round_ms < due)
        due = self->next_round_ms;
    for (size_t i = 0; i < self->read_count; i++)
        if (self->reads[i].until_ms < due)
            due = self->reads[i].until_ms;
    return due;
}

struct sync_stats sync_stats(const struct sync *self)
{
    struct sync_stats stats = self->stats;
    stats.waiting = self->waiting_count - self->waiting_first;
    return stats;
}
