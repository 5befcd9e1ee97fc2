/* members: what swim does, and what the other machines hear of members. */
#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

#include <string.h>

/* ---- what the others hear -------------------------------------------------------------------- */

static bool takes_part(const struct swim_view *view)
{
    return view->is_compatible &&
           (view->member.st == WIRE_STATE_ALIVE || view->member.st == WIRE_STATE_SUSPECT);
}

static void tell_load(struct mesh *self, uint64_t peer, const struct swim_view *view)
{
    const struct wire_load *load = swim_load(self->swim, peer);
    struct queue_load known = {.slots = view->member.caps.slots,
                               .free = load ? load->free_slots : view->member.caps.slots,
                               .eta_ms = load ? load->eta_ms : 0,
                               .rtt_us = view->is_self ? 0 : view->rtt_ms * 1000,
                               .speed = view->member.caps.speed,
                               .is_draining = view->member.flags & WIRE_FLAG_DRAINING};
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_PEER, .peer = peer, .load = known});
}

void mesh_tell_loads(struct mesh *self)
{
    self->loads_told_ms = self->now_ms;
    for (size_t i = 0; i < swim_count(self->swim); i++) {
        struct swim_view view;
        swim_at(self->swim, i, &view);
        if (takes_part(&view))
            tell_load(self, id_node_short(&view.member.node), &view);
    }
}

static void lose(struct mesh *self, uint64_t node, enum queue_loss loss)
{
    mesh_note_queue(self,
                    (struct queue_event){.kind = QUEUE_PEER_LOST, .peer = node, .loss = loss});
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_PEER_LOST, .peer = node});
    mesh_submission_peer_lost(self, node);
}

static void tell_machines(struct mesh *self, const struct swim_view *view, enum swim_what what)
{
    uint64_t node = id_node_short(&view->member.node);
    enum wire_state st = view->member.st;
    bool is_there = takes_part(view);
    struct own_member member = {.node = view->member.node,
                                .gen = view->member.gen,
                                .state = st == WIRE_STATE_LEFT ? OWN_LEFT
                                         : is_there            ? OWN_ALIVE
                                                               : OWN_DEAD,
                                .is_refused = view->is_refused,
                                .is_draining = view->member.flags & WIRE_FLAG_DRAINING};
    if (what == SWIM_RESTART)
        lose(self, node, QUEUE_RESTARTED);
    else if (!is_there)
        lose(self, node, st == WIRE_STATE_LEFT ? QUEUE_LEFT : QUEUE_DIED);
    mesh_note_own(self, (struct own_event){.kind = OWN_MEMBER, .member = member});
    if (what != SWIM_CHANGED)
        mesh_note_sync(self,
                       (struct sync_event){.kind = SYNC_MEMBER, .peer = node, .is_ok = is_there});
    if (is_there)
        tell_load(self, node, view);
    if (is_there && what != SWIM_CHANGED)
        mesh_clones_member(self);
}

static void on_member(struct mesh *self, const struct swim_effect *told)
{
    struct swim_view view;
    struct mesh_effect *effect = mesh_effect(self, MESH_MEMBER);
    effect->peer = told->node;
    effect->what = told->what;
    if (!swim_member(self->swim, told->node, &view))
        return;
    effect->addr = view.member.addr;
    /* A suspect is a member still: what it has is taken away when it is dead. */
    if (!view.is_self && told->what != SWIM_SUSPECT && told->what != SWIM_ALIVE)
        tell_machines(self, &view, told->what);
}

/* ---- news ------------------------------------------------------------------------------------ */

static bool is_final(const struct mesh *self, uint64_t eval)
{
    struct docs_info info;
    return self->config.docs->info(self->config.docs->arg, eval, &info) && info.is_final;
}

static void on_told(struct mesh *self, const struct wire_msg *msg)
{
    if (msg->kind == WIRE_FENCE) {
        const struct wire_fence_news *news = &msg->fence;
        mesh_note_own(self, (struct own_event){
                                .kind = OWN_HEARD,
                                .id = news->eid,
                                .fence = {.epoch = news->fence.epoch, .owner = news->fence.owner}});
        if (!is_final(self, news->eid)) /* nobody would tell the agent to forget it again */
            mesh_note_agent(self, (struct agent_event){.kind = AGENT_OWNER,
                                                       .eval = news->eid,
                                                       .ballot = mesh_ballot_of_wire(news->fence)});
        return;
    }
    const struct wire_work *work = &msg->work;
    const struct doc *doc = mesh_doc(self, work->eid);
    size_t peers;
    (void)swim_alive(self->swim, &peers);
    /* Who has not got the request yet hears of it by an OFFER. */
    if (doc && doc->req && !doc_is_final(doc) && !doc->cancel && work->fence.owner != self->self)
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_RUMOR,
                                                   .peer = work->fence.owner,
                                                   .eval = work->eid,
                                                   .ballot = mesh_ballot_of_wire(work->fence),
                                                   .queued = work->queued,
                                                   .weight = 1,
                                                   .peers = (uint32_t)peers});
}

/* ---- effects --------------------------------------------------------------------------------- */

static void send_datagram(struct mesh *self, const struct swim_effect *from)
{
    struct mesh_effect *effect = mesh_effect(self, MESH_SEND_DATAGRAM);
    effect->addr = from->addr;
    effect->peer = from->node;
    effect->bytes = mesh_copy(self, from->bytes.data, from->bytes.len);
    effect->len = from->bytes.len;
}

static void exit_with(struct mesh *self, enum swim_exit why)
{
    struct mesh_effect *effect = mesh_effect(self, MESH_EXIT);
    effect->reason = why == SWIM_EXIT_COPY ? "copied-node" : "generation-exhausted";
}

static void act(struct mesh *self, const struct swim_effect *effect)
{
    struct mesh_effect *out;
    switch (effect->kind) {
    case SWIM_SEND:
        send_datagram(self, effect);
        break;
    case SWIM_SEND_FRAME:
        mesh_send_to(self, effect->node, &effect->addr, effect->msg);
        break;
    case SWIM_CONNECT:
        out = mesh_effect(self, MESH_PROBE);
        out->peer = effect->node;
        out->addr = effect->addr;
        out->token = effect->seq;
        break;
    case SWIM_PERSIST_GEN:
        mesh_effect(self, MESH_PERSIST_GEN)->gen = effect->gen;
        break;
    case SWIM_MEMBER:
        on_member(self, effect);
        break;
    case SWIM_TOLD:
        on_told(self, effect->msg);
        break;
    case SWIM_SHASH_DIFFERS:
        mesh_note_sync(self, (struct sync_event){.kind = SYNC_DIFFERS, .peer = effect->node});
        break;
    case SWIM_LEFT_DONE:
        mesh_effect(self, MESH_GONE);
        break;
    case SWIM_EXIT:
        exit_with(self, effect->exit);
        break;
    }
}

void mesh_swim(struct mesh *self, const struct swim_event *event)
{
    struct swim_out out = {0};
    swim_step(self->swim, event, &out);
    for (size_t i = 0; i < out.count; i++)
        act(self, &out.effects[i]);
    swim_out_fini(&out);
}

void mesh_link_down(struct mesh *self, const struct mesh_event *event)
{
    if (event->link_end == MESH_LINK_LOST)
        mesh_note_swim(self, (struct swim_event){.kind = SWIM_LINK_LOST, .node = event->peer});
    mesh_note_own(self, (struct own_event){.kind = OWN_LINK_DOWN, .peer = event->peer});
    mesh_note_sync(self, (struct sync_event){.kind = SYNC_LINK_DOWN, .peer = event->peer});
    mesh_submission_peer_lost(self, event->peer);
}

/* ---- own load -------------------------------------------------------------------------------- */

void mesh_tell_own_load(struct mesh *self)
{
    struct agent_load agent = agent_load(self->agent, self->now_ms);
    size_t waiting = queue_waiting(self->queue).modules;
    struct wire_load load = {
        .free_slots = (uint8_t)(agent.free < UINT8_MAX ? agent.free : UINT8_MAX),
        .queued = (uint16_t)(waiting < UINT16_MAX ? waiting : UINT16_MAX),
        /* It falls with the clock by itself: told when it changes otherwise. */
        .eta_ms = agent.free > 0 ? 0 : agent.eta_ms};
    if (load.free_slots == self->load.free_slots && load.queued == self->load.queued)
        return;
    self->load = load;
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_LOAD, .load = load});
}
