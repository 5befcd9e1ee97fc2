/* frames: messages of other nodes, to the machine that they are for. What a node says of work may
 * be about a document that this node has not got yet: then it is read first. */
#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

/* ---- what waits for its document ------------------------------------------------------------- */

static void defer(struct mesh *self, uint64_t peer, uint64_t eval, const void *bytes, size_t len)
{
    if (self->deferred_count >= MESH_DEFERRED_MAX || len > MESH_DEFERRED_BYTES)
        return;
    struct deferred *deferred = mem_new(sizeof *deferred);
    deferred->token = MESH_OWN_TOKEN | ++self->last_token;
    deferred->peer = peer;
    deferred->bytes = mem_dup(bytes, len);
    deferred->len = len;
    deferred->next = self->deferreds;
    self->deferreds = deferred;
    self->deferred_count++;
    mesh_note_own(self, (struct own_event){.kind = OWN_ASK, .id = eval, .token = deferred->token});
}

static void fini_deferred(void *what)
{
    struct deferred *deferred = what;
    free(deferred->bytes);
}

static void take_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len,
                       bool is_deferred);

void mesh_undefer(struct mesh *self, uint64_t token)
{
    struct deferred **at = &self->deferreds;
    while (*at && (*at)->token != token)
        at = &(*at)->next;
    struct deferred *deferred = *at;
    if (!deferred)
        return;
    *at = deferred->next;
    self->deferred_count--;
    mesh_hold(self, deferred, fini_deferred);
    take_frame(self, deferred->peer, deferred->bytes, deferred->len, true);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void to_own(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_own(self, (struct own_event){.kind = OWN_MESSAGE, .peer = peer, .msg = msg});
}

static void to_sync(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_sync(self, (struct sync_event){.kind = SYNC_MESSAGE, .peer = peer, .msg = msg});
}

static void to_swim(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_FRAME, .node = peer, .msg = msg});
}

static void fini_msg(void *what) { wire_msg_fini(what); }

static void take_talk(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    switch ((int)msg->kind) {
    case WIRE_MSYNC:
    case WIRE_MFULL:
        to_swim(self, peer, msg);
        break;
    case WIRE_READ:
        if (!(msg->read.rid & OWN_RID_SYNC)) /* somebody wants to know, and not a copy alone */
            mesh_tell_live(self, peer, msg->read.eid);
        to_own(self, peer, msg);
        break;
    case WIRE_LIVE:
        mesh_hear_live(self, peer, &msg->live);
        break;
    case WIRE_SUBMIT:
        mesh_on_submit(self, peer, &msg->submit);
        break;
    case WIRE_SUBMITTED:
        mesh_on_submitted(self, peer, &msg->submitted);
        break;
    case WIRE_PUT:
        to_own(self, peer, msg);
        break;
    case WIRE_PUT_OK:
        if (!(msg->put_ok.rid & OWN_RID_SYNC))
            to_own(self, peer, msg);
        else if (!mesh_submission_put_ok(self, peer, &msg->put_ok))
            self->counters.bad_frames++;
        break;
    case WIRE_PUT_LOW:
        if (!(msg->put_low.rid & OWN_RID_SYNC) || !mesh_submission_put_low(self, &msg->put_low))
            to_own(self, peer, msg);
        break;
    case WIRE_DOC:
        if (msg->doc.rid & OWN_RID_SYNC)
            to_sync(self, peer, msg);
        else
            to_own(self, peer, msg);
        break;
    case WIRE_SYNC:
    case WIRE_DIFF:
    case WIRE_DELTA:
        to_sync(self, peer, msg);
        break;
    default:
        self->counters.unknown_messages++;
        break;
    }
}

static void take_work(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    switch ((int)msg->kind) {
    case WIRE_NOWORK:
        mesh_on_nowork(self, peer, &msg->nowork);
        break;
    case WIRE_CANCEL:
        mesh_on_cancel(self, peer, &msg->cancel);
        break;
    case WIRE_RESULT_OK:
        mesh_on_result_ok(self, &msg->result_ok);
        break;
    case WIRE_CLAIM:
        mesh_on_claim(self, peer, &msg->claim);
        break;
    case WIRE_REFUSE:
        mesh_on_refuse(self, peer, &msg->refuse);
        break;
    case WIRE_RESULT:
        mesh_on_result(self, peer, &msg->result);
        break;
    case WIRE_BEAT:
        mesh_on_beat(self, peer, &msg->beat);
        break;
    case WIRE_PROGRESS:
        mesh_on_progress(self, peer, &msg->progress);
        break;
    default:
        take_talk(self, peer, msg);
        break;
    }
}

/* Nobody leads under epoch 0, and nothing that came of it could be kept. */
static bool is_led(struct wire_fence fence) { return fence.epoch > 0; }

static void take_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len,
                       bool is_deferred)
{
    struct err err = ERR_INIT;
    struct wire_msg *msg = mem_new(sizeof *msg);
    mesh_hold(self, msg, fini_msg);
    if (wire_decode(bytes, len, msg, &err) ||
        (msg->kind == WIRE_OFFER && !is_led(msg->offer.fence)) ||
        (msg->kind == WIRE_ASSIGN && !is_led(msg->assign.fence))) {
        self->counters.bad_frames++;
    } else if (msg->kind == WIRE_OFFER) {
        if (!mesh_on_offer(self, peer, &msg->offer) && !is_deferred)
            defer(self, peer, msg->offer.eid, bytes, len);
    } else if (msg->kind == WIRE_ASSIGN) {
        if (!mesh_on_assign(self, peer, &msg->assign, is_deferred))
            defer(self, peer, msg->assign.eid, bytes, len);
    } else {
        take_work(self, peer, msg);
    }
}

void mesh_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len)
{
    if (peer == self->self) /* there is no link to oneself that could carry an answer */
        self->counters.bad_frames++;
    else
        take_frame(self, peer, bytes, len, false);
}
