#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

#define EFFECT_ARENA_BYTES 4096

/* ---- life ------------------------------------------------------------------------------------ */

/* Whose an open evaluation was when this node last heard of it. */
static void tell_owner(void *arg, const struct doc *doc)
{
    if (doc->fence)
        mesh_note_agent(arg, (struct agent_event){.kind = AGENT_OWNER,
                                                  .eval = doc->id,
                                                  .ballot = mesh_ballot(doc->fence->ballot)});
}

struct mesh *mesh_new(const struct mesh_config *config)
{
    struct mesh *self = mem_new(sizeof *self);
    self->config = *config;
    self->self = id_node_short(&config->self.node);
    self->now_ms = config->now_ms;
    self->appends_end = &self->appends;
    self->swim = swim_new(&(struct swim_config){.self = config->self,
                                                .timing = config->timing,
                                                .boot = config->boot,
                                                .seed = config->seed,
                                                .now_ms = config->now_ms,
                                                .faults = config->faults});
    self->own = own_new(&(struct own_config){.node = config->self.node,
                                             .gen = config->self.gen,
                                             .docs = config->docs,
                                             .seed = config->seed + 1,
                                             .now_ms = config->now_ms,
                                             .allow_single = config->allow_single,
                                             .had_peers = config->had_peers,
                                             .mutation = config->mutation});
    self->queue =
        queue_new(&(struct queue_config){.self = self->self,
                                         .seed = config->seed + 2,
                                         .prepare_timeout_ms = config->prepare_timeout_ms});
    self->agent = agent_new(&(struct agent_config){
        .self = self->self, .seed = config->seed + 3, .chores = config->chores});
    self->sync = sync_new(&(struct sync_config){.self = self->self,
                                                .docs = config->docs,
                                                .seed = config->seed + 4,
                                                .now_ms = config->now_ms});
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_SLOTS, .slots = config->slots});
    config->docs->each_open(config->docs->arg, tell_owner, self);
    mesh_tell_loads(self);
    return self;
}

static void free_appends(struct mesh *self)
{
    while (self->appends) {
        struct append *next = self->appends->next;
        delta_fini(&self->appends->delta);
        free(self->appends);
        self->appends = next;
    }
}

static void free_lists(struct mesh *self)
{
    for (struct fetch *at = self->fetches, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    for (size_t i = 0; i < self->led_count; i++) {
        free(self->leds[i]->fed);
        free(self->leds[i]);
    }
    free(self->leds);
    for (struct deferred *at = self->deferreds, *next; at; at = next) {
        next = at->next;
        free(at->bytes);
        free(at);
    }
    for (struct progress *at = self->progress, *next; at; at = next) {
        next = at->next;
        free(at);
    }
}

void mesh_free(struct mesh *self)
{
    if (!self)
        return;
    mesh_release_holds(self);
    free(self->holds);
    free(self->notes);
    free(self->taken);
    free_appends(self);
    free_lists(self);
    mesh_forget_failures(self, 0);
    mesh_forget_live(self, 0);
    mesh_forget_trees(self, 0);
    mesh_free_clones(self);
    mesh_free_submissions(self);
    sync_free(self->sync);
    agent_free(self->agent);
    queue_free(self->queue);
    own_free(self->own);
    swim_free(self->swim);
    free(self);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void tick(struct mesh *self)
{
    if (swim_deadline(self->swim) <= self->now_ms)
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_TICK});
    if (own_deadline(self->own) <= self->now_ms)
        mesh_note_own(self, (struct own_event){.kind = OWN_TICK});
    if (queue_deadline(self->queue) <= self->now_ms)
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_TICK});
    if (agent_deadline(self->agent) <= self->now_ms)
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_TICK});
    if (sync_deadline(self->sync) <= self->now_ms)
        mesh_note_sync(self, (struct sync_event){.kind = SYNC_TICK});
    if (self->led_count > 0 && self->loads_told_ms + MESH_LOAD_MS <= self->now_ms)
        mesh_tell_loads(self);
    mesh_tick_submissions(self);
    mesh_tick_clones(self);
}

static void drain(struct mesh *self)
{
    if (self->is_draining)
        return;
    self->is_draining = true;
    struct wire_member *member = mesh_scratch(self, sizeof *member);
    struct swim_view view;
    swim_member(self->swim, self->self, &view);
    *member = self->config.self;
    member->flags = view.member.flags | WIRE_FLAG_DRAINING;
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_SELF, .member = member});
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_DRAIN});
    mesh_note_own(self, (struct own_event){.kind = OWN_LEAVE});
}

struct ids {
    uint64_t *list;
    size_t count, room;
};

static void add_id(void *arg, const struct doc *doc)
{
    struct ids *ids = arg;
    ids->list = mem_grow(ids->list, &ids->room, ids->count + 1, sizeof *ids->list);
    ids->list[ids->count++] = doc->id;
}

/* What an earlier life of this node left open. */
static void begin(struct mesh *self)
{
    struct ids open = {0};
    if (self->is_begun)
        return;
    self->is_begun = true;
    self->config.docs->each_open(self->config.docs->arg, add_id, &open);
    for (size_t i = 0; i < open.count; i++)
        mesh_look_clones(self, open.list[i]);
    free(open.list);
}

static void take(struct mesh *self, const struct mesh_event *event)
{
    struct wire_bytes bytes = {.data = event->bytes, .len = event->len};
    switch (event->kind) {
    case MESH_TICK:
        break;
    case MESH_DATAGRAM:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_PACKET,
                                                 .node = event->peer,
                                                 .boot = event->boot,
                                                 .addr = event->addr,
                                                 .bytes = bytes});
        break;
    case MESH_SEND_FAILED:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_SEND_FAILED, .addr = event->addr});
        break;
    case MESH_UNREACHABLE:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_UNREACHABLE, .addr = event->addr});
        break;
    case MESH_FRAME:
        mesh_frame(self, event->peer, event->bytes, event->len);
        break;
    case MESH_LINK_DOWN:
        mesh_link_down(self, event);
        break;
    case MESH_PROBED:
        mesh_note_swim(self,
                       (struct swim_event){.kind = event->is_ok ? SWIM_CONNECTED : SWIM_REFUSED,
                                           .seq = (uint32_t)event->token});
        break;
    case MESH_JOIN:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_JOIN_ADDRESS, .addr = event->addr});
        break;
    case MESH_APPENDED:
        mesh_appended(self, event);
        break;
    case MESH_FETCHED:
        mesh_fetched(self, event);
        break;
    case MESH_GEN_PERSISTED:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = event->token});
        break;
    case MESH_SUBMIT:
        mesh_submit(self, event);
        break;
    case MESH_CANCEL:
        mesh_note_own(
            self, (struct own_event){.kind = OWN_CANCEL, .id = event->eval, .token = event->token});
        break;
    case MESH_ASK:
        mesh_note_own(
            self, (struct own_event){.kind = OWN_ASK, .id = event->eval, .token = event->token});
        break;
    case MESH_CLONED:
        mesh_cloned(self, event);
        break;
    case MESH_CLONE_PROGRESS:
        mesh_clone_progress(self, event);
        break;
    case MESH_WANTS_SLOT:
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_WANTS_SLOT, .work = event->work});
        break;
    case MESH_FREED:
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_FREED, .work = event->work});
        break;
    case MESH_ENDED:
        mesh_ended(self, event);
        break;
    case MESH_PROGRESS:
        mesh_progress(self, event);
        break;
    case MESH_UNREADY:
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_READY,
                                                   .eval = event->eval,
                                                   .p = event->work.p,
                                                   .is_ready = false});
        break;
    case MESH_DRAIN:
        drain(self);
        break;
    case MESH_LEAVE:
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_LEAVE});
        break;
    }
}

static void tell_store_digest(struct mesh *self)
{
    uint32_t shash = (uint32_t)docs_root(self->config.docs);
    if (shash == self->shash)
        return;
    self->shash = shash;
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_SHASH, .shash = shash});
}

static void tell_drained(struct mesh *self)
{
    if (!self->is_draining || self->is_drained || !self->is_agent_drained || !self->is_handed_over)
        return;
    self->is_drained = true;
    mesh_effect(self, MESH_DRAINED);
}

void mesh_step(struct mesh *self, const struct mesh_event *event, struct mesh_out *out)
{
    mesh_release_holds(self);
    if (out->arena)
        arena_free(out->arena);
    out->arena = arena_new(EFFECT_ARENA_BYTES);
    out->count = 0;
    self->out = out;
    self->now_ms = event->now_ms > self->now_ms ? event->now_ms : self->now_ms;
    self->wall_ms = event->wall_ms;
    begin(self);
    take(self, event);
    mesh_take_notes(self);
    tick(self);
    tell_store_digest(self);
    mesh_take_notes(self);
    mesh_look_taken(self);
    mesh_tell_own_load(self);
    mesh_take_notes(self);
    tell_drained(self);
    self->out = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t mesh_deadline(const struct mesh *self)
{
    uint64_t at = swim_deadline(self->swim);
    at = earlier(at, own_deadline(self->own));
    at = earlier(at, queue_deadline(self->queue));
    at = earlier(at, agent_deadline(self->agent));
    at = earlier(at, sync_deadline(self->sync));
    at = earlier(at, mesh_submissions_deadline(self));
    at = earlier(at, mesh_clones_deadline(self));
    if (self->led_count > 0)
        at = earlier(at, self->loads_told_ms + MESH_LOAD_MS);
    return self->note_count ? self->now_ms : at;
}

/* ---- questions ------------------------------------------------------------------------------- */

const struct swim *mesh_members(const struct mesh *self) { return self->swim; }

struct mesh_load mesh_load(const struct mesh *self)
{
    struct agent_load agent = agent_load(self->agent, self->now_ms);
    struct queue_waiting waiting = queue_waiting(self->queue);
    struct mesh_load load = {.slots = agent.slots,
                             .running = agent.busy,
                             .waiting = waiting.modules + agent.waiting,
                             .waiting_ms = waiting.ms,
                             .preparing = agent.chores,
                             .owned = self->led_count};
    return load;
}

struct mesh_counters mesh_counters(const struct mesh *self) { return self->counters; }
