#include "node/own/own_inner.h"

#include "proto/base/mem.h"

#include <assert.h>

static void take_open(void *arg, const struct doc *doc)
{
    struct own *self = arg;
    struct eval *eval = evals_add(self, doc->id);
    eval->fresh_ms = self->now_ms;
}

struct own *own_new(const struct own_config *config)
{
    struct own *self = mem_new(sizeof *self);
    self->config = *config;
    self->config.replicas = config->replicas ? config->replicas : 3;
    if (self->config.replicas > DOC_REPS_MAX)
        self->config.replicas = DOC_REPS_MAX;
    self->config.solo_ms = config->solo_ms ? config->solo_ms : SOLO_AFTER;
    self->self = id_node_short(&config->node);
    self->now_ms = self->boot_ms = config->now_ms;
    rand_init(&self->rand, config->seed);
    self->last_rid = (uint32_t)rand_u64(&self->rand) & ~OWN_RID_SYNC;
    config->docs->each_open(config->docs->arg, take_open, self);
    self->due_ms = self->now_ms;
    return self;
}

void own_free(struct own *self)
{
    if (!self)
        return;
    evals_free(self);
    acceptor_free(self);
    peers_free(self);
    free(self->appends);
    free(self->reads);
    free(self->asks);
    free(self);
}

void own_out_fini(struct own_out *self)
{
    hold_free(self->hold);
    free(self->effects);
    *self = (struct own_out){0};
}

/* ---- effects --------------------------------------------------------------------------------- */

struct own_effect *own_emit(struct own *self, enum own_effect_kind kind, uint64_t id)
{
    struct own_out *out = self->out;
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    struct own_effect *effect = &out->effects[out->count++];
    *effect = (struct own_effect){.kind = kind, .id = id};
    return effect;
}

struct wire_msg *own_send(struct own *self, uint64_t peer, enum wire_kind kind)
{
    assert(peer != self->self);
    struct own_effect *effect = own_emit(self, OWN_SEND, 0);
    effect->peer = peer;
    effect->msg.kind = kind;
    return &effect->msg;
}

uint32_t own_rid(struct own *self)
{
    self->last_rid = (self->last_rid + 1) & ~OWN_RID_SYNC;
    return self->last_rid ? self->last_rid : ++self->last_rid;
}

void own_arm(struct own *self, uint64_t at_ms)
{
    if (at_ms < self->due_ms)
        self->due_ms = at_ms;
}

static struct append *append(struct own *self, enum append_kind kind, const struct delta *held)
{
    if (self->append_first > 0 && self->append_first == self->append_count)
        self->append_first = self->append_count = 0;
    self->appends =
        mem_grow(self->appends, &self->append_room, self->append_count + 1, sizeof *self->appends);
    struct append *append = &self->appends[self->append_count++];
    *append = (struct append){.token = ++self->last_token, .kind = kind, .id = held->id};
    struct own_effect *effect = own_emit(self, OWN_APPEND, held->id);
    effect->token = append->token;
    effect->delta = held;
    return append;
}

struct append *own_append(struct own *self, enum append_kind kind, const struct delta *delta)
{
    return append(self, kind, hold_copy(&self->out->hold, delta));
}

struct append *own_append_owned(struct own *self, enum append_kind kind, struct delta *delta)
{
    struct delta *held = hold_delta(&self->out->hold);
    *held = *delta;
    *delta = (struct delta){0};
    return append(self, kind, held);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_eval_appended(struct own *self, const struct append *append, enum err_code code)
{
    struct eval *eval = evals_find(self, append->id);
    if (!eval)
        return;
    if (append->kind == APPEND_SUBMIT)
        accept_appended(self, eval, code);
    else if (append->kind == APPEND_FENCE)
        claim_appended(self, eval, append->ballot, code);
    else if (append->kind == APPEND_SEAL)
        seal_appended(self, eval, append->ballot, code);
    else if (append->kind == APPEND_COM)
        seal_com_appended(self, eval, code);
    else if (append->kind == APPEND_HAND_OVER)
        lead_handed(self, eval, code);
}

static void on_appended(struct own *self, const struct own_event *event)
{
    if (self->append_first == self->append_count ||
        self->appends[self->append_first].token != event->token)
        return;
    struct append append = self->appends[self->append_first++];
    if (self->append_first > 64 && self->append_first * 2 > self->append_count) {
        self->append_count -= self->append_first;
        for (size_t i = 0; i < self->append_count; i++)
            self->appends[i] = self->appends[self->append_first + i];
        self->append_first = 0;
    }
    if (append.kind == APPEND_PUT)
        acceptor_appended(self, &append, event->code);
    else if (append.kind == APPEND_READ)
        reads_appended(self, append.rid, event->code);
    else if (append.kind == APPEND_CANCEL)
        ask_cancelled(self, &append, event->code);
    else
        on_eval_appended(self, &append, event->code);
}

static void on_message(struct own *self, uint64_t peer, const struct wire_msg *msg)
{
    if (peer == self->self)
        self->stats.ignored++;
    else if (msg->kind == WIRE_READ)
        acceptor_read(self, peer, &msg->read);
    else if (msg->kind == WIRE_PUT)
        acceptor_put(self, peer, &msg->put);
    else if (msg->kind == WIRE_DOC)
        reads_doc(self, peer, &msg->doc);
    else if (msg->kind == WIRE_PUT_OK)
        lead_put_ok(self, peer, &msg->put_ok);
    else if (msg->kind == WIRE_PUT_LOW)
        lead_put_low(self, peer, &msg->put_low);
    else
        self->stats.ignored++;
}

static void on_changed(struct own *self, uint64_t id, unsigned changed)
{
    struct eval *eval = evals_find(self, id);
    if (!eval) {
        if (own_is_final(self, id) || !own_doc(self, id))
            return;
        eval = evals_add(self, id);
    }
    if (changed & (DOC_CHANGED_FENCE | DOC_CHANGED_REQ))
        eval->fresh_ms = self->now_ms;
    eval_look(self, eval);
}

static void on_heard(struct own *self, const struct own_event *event)
{
    struct eval *eval = evals_find(self, event->id);
    if (!eval || doc_ballot_compare(event->fence, eval->heard) <= 0)
        return;
    eval->heard = event->fence;
    eval_look(self, eval);
}

static void on_synced(struct own *self, uint64_t id)
{
    struct peer *peer = peers_find(self, id);
    if (!peer || peer->is_synced)
        return;
    peer->is_synced = true;
    evals_look_all(self);
}

static void on_tick(struct own *self)
{
    self->due_ms = NEVER;
    reads_tick(self);
    evals_look_all(self);
}

void own_step(struct own *self, const struct own_event *event, struct own_out *out)
{
    out->count = 0;
    hold_clear(out->hold);
    self->out = out;
    self->now_ms = event->now_ms;
    if (event->wall_ms)
        self->wall_ms = event->wall_ms;
    switch (event->kind) {
    case OWN_TICK:
        on_tick(self);
        break;
    case OWN_MEMBER:
        peers_take(self, &event->member);
        evals_look_all(self);
        break;
    case OWN_MESSAGE:
        on_message(self, event->peer, event->msg);
        break;
    case OWN_LINK_DOWN:
        reads_link_down(self, event->peer);
        break;
    case OWN_APPENDED:
        on_appended(self, event);
        break;
    case OWN_CHANGED:
        on_changed(self, event->id, event->changed);
        break;
    case OWN_FETCHED:
        acceptor_fetched(self, event->token, event->is_ok);
        break;
    case OWN_HEARD:
        on_heard(self, event);
        break;
    case OWN_SYNCED:
        on_synced(self, event->peer);
        break;
    case OWN_SUBMIT:
        accept_submit(self, event);
        break;
    case OWN_CANCEL:
        ask_cancel(self, event);
        break;
    case OWN_ASK:
        ask_begin(self, event);
        break;
    case OWN_LEAVE:
        lead_leave(self);
        break;
    }
    lead_check_left(self);
    self->out = NULL;
}

uint64_t own_deadline(const struct own *self) { return self->due_ms; }

/* ---- questions ------------------------------------------------------------------------------- */

bool own_is_active(const struct own *self, uint64_t id, struct doc_ballot *fence)
{
    const struct eval *eval = evals_find(self, id);
    if (!eval || !eval->is_told)
        return false;
    if (fence)
        *fence = eval->mine;
    return true;
}

bool own_is_taking(const struct own *self, uint64_t id)
{
    for (size_t i = self->append_first; i < self->append_count; i++)
        if (self->appends[i].kind == APPEND_PUT && self->appends[i].id == id)
            return true;
    for (size_t i = 0; i < self->fetch_count; i++)
        if (self->fetches[i].delta.id == id)
            return true;
    return false;
}

struct own_stats own_stats(const struct own *self)
{
    struct own_stats stats = self->stats;
    stats.open = self->eval_count;
    for (size_t i = 0; i < self->eval_count; i++)
        stats.active += self->evals[i]->is_told;
    return stats;
}
