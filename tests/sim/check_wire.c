/* What must hold of what a node says and does, seen from outside. */
#include "tests/sim/check_inner.h"

#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

/* ---- incarnations ---------------------------------------------------------------------------- */

static struct check_minted *minted_of(struct sim *self, uint64_t node)
{
    struct check *check = self->check;
    for (size_t i = 0; i < check->minted_count; i++)
        if (check->minted[i].node == node)
            return &check->minted[i];
    CHECK_ADD(check, minted, minted_count, minted_room, (struct check_minted){.node = node});
    return &check->minted[check->minted_count - 1];
}

static bool is_newer(const struct check_minted *old, uint64_t gen, uint32_t ver)
{
    return gen != old->gen ? gen > old->gen : ver > old->ver;
}

/* I13: nobody but the node itself makes an incarnation. */
static void check_incarnation(struct sim *self, const struct sim_node *by, uint64_t about,
                              uint64_t gen, uint32_t ver)
{
    struct check_minted *minted = minted_of(self, about);
    if (!is_newer(minted, gen, ver))
        return;
    if (about != by->id)
        check_violation(self, "I13",
                        "%s speaks of an incarnation (%" PRIu64 ", %u) that %016" PRIx64
                        " never gave itself",
                        by->label, gen, ver, about);
    minted->gen = gen;
    minted->ver = ver;
}

void check_booted(struct sim *self, struct sim_node *node)
{
    struct check_minted *minted = minted_of(self, node->id);
    if (node->gen <= minted->gen)
        check_violation(self, "I13", "%s uses generation %" PRIu64 " again", node->label,
                        node->gen);
    minted->gen = node->gen;
    minted->ver = 0;
}

static void check_packet(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    if (effect->len > WIRE_PACKET_BODY)
        check_violation(self, "I14", "%s sends a datagram of %zu bytes", node->label, effect->len);
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    struct err err = ERR_INIT;
    if (wire_packet_open(&reader, effect->bytes, effect->len, &head, &err) != 0) {
        check_violation(self, "I14", "%s sends a bad datagram: %s", node->label, err.text);
        return;
    }
    check_incarnation(self, node, node->id, head.gen, head.ver);
    for (;;) {
        owned_wire_msg msg = {0};
        int got = wire_packet_next(&reader, &msg, &err);
        if (got < 0)
            check_violation(self, "I14", "%s sends a bad datagram: %s", node->label, err.text);
        if (got <= 0)
            return;
        if (msg.kind == WIRE_ALIVE)
            check_incarnation(self, node, id_node_short(&msg.alive.node), msg.alive.gen,
                              msg.alive.ver);
        if (msg.kind == WIRE_SUSPECT || msg.kind == WIRE_DEAD)
            check_incarnation(self, node, msg.suspect.node, msg.suspect.gen, msg.suspect.ver);
    }
}

/* ---- promises -------------------------------------------------------------------------------- */

static bool has_fence(const struct doc *doc, struct doc_ballot ballot)
{
    return doc->fence && doc_ballot_compare(doc->fence->ballot, ballot) >= 0;
}

static bool has_seal_of(const struct doc *doc, struct doc_ballot ballot)
{
    return doc->seal && doc_ballot_compare(doc->seal->ballot, ballot) >= 0;
}

static bool has_blobs(const struct sim_node *node, const struct doc *doc)
{
    const struct doc_req *req = doc->req;
    if (docs_needs_secret(&node->docs, doc) && !disk_has_blob(&node->disk, &req->secret))
        return false;
    for (size_t p = 0; p < req->project_count; p++)
        if (doc_hash_is_set(&req->projects[p].bundle) &&
            !disk_has_blob(&node->disk, &req->projects[p].bundle))
            return false;
    return true;
}

/* One that left in order does not count: it took nothing with it. */
bool check_knows_others(const struct sim_node *node)
{
    const struct swim *swim = mesh_members(node->mesh);
    size_t left = 0;
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        swim_at(swim, i, &view);
        left += view.member.st == WIRE_STATE_LEFT;
        if (!view.is_self && view.member.st != WIRE_STATE_LEFT)
            return true;
    }
    return left == 0 && node->had_peers;
}

/* ---- secrets --------------------------------------------------------------------------------- */

void check_may_hold(struct sim *self, uint64_t node, uint64_t eval)
{
    struct check *check = self->check;
    for (size_t i = 0; i < check->holder_count; i++)
        if (check->holders[i].node == node && check->holders[i].eval == eval)
            return;
    CHECK_ADD(check, holders, holder_count, holder_room,
              (struct check_holder){.node = node, .eval = eval});
}

static bool may_hold(const struct sim *self, uint64_t node, uint64_t eval)
{
    const struct check *check = self->check;
    for (size_t i = 0; i < check->holder_count; i++)
        if (check->holders[i].node == node && check->holders[i].eval == eval)
            return true;
    return false;
}

static struct sim_eval *eval_of_secret(struct sim *self, const struct hash *blob)
{
    for (size_t i = 0; i < self->eval_count; i++)
        if (doc_hash_is_set(blob) && memcmp(&self->evals[i].req.secret, blob, sizeof *blob) == 0)
            return &self->evals[i];
    return NULL;
}

/* I18: who gave it in, who is named by a fence, and who was asked to take it in. */
void check_holds(struct sim *self, const struct sim_node *node, const struct hash *blob)
{
    const struct sim_eval *eval = eval_of_secret(self, blob);
    if (!eval)
        return;
    SOMETIMES(SECRET_FETCHED);
    if (!may_hold(self, node->id, eval->id) && !may_hold(self, node->index + 1, eval->id))
        check_violation(self, "I18", "%s has got the secret of %" PRIu64 ", and is no replica",
                        node->label, eval->id);
}

/* A secret is never fetched as if it were any blob. */
static void check_fetch(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    for (size_t i = 0; i < effect->blob_count; i++)
        if (eval_of_secret(self, &effect->blobs[i]) && effect->secret != &effect->blobs[i])
            check_violation(self, "I18", "%s fetches a secret like any blob", node->label);
}

static void note_replicas(struct sim *self, uint64_t eval, const struct doc_fence *fence)
{
    for (size_t i = 0; i < fence->rep_count; i++)
        check_may_hold(self, id_node_short(&fence->reps[i]), eval);
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

/* I1: so many nodes have the request, a fence and the bundles on their disks. */
static void check_accepted(struct sim *self, struct sim_node *node,
                           const struct mesh_effect *effect)
{
    struct sim_eval *eval = load_find(self, effect->eval);
    if (!eval)
        return;
    eval->holder_count = 0;
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct sim_node *holder = &self->nodes[i];
        const struct doc *doc = disk_find(&holder->disk, eval->id);
        if (doc && doc->req && doc->fence && has_blobs(holder, doc))
            eval->holders[eval->holder_count++] = holder->id;
    }
    const struct doc *mine = disk_find(&node->disk, eval->id);
    for (size_t i = 0; mine && mine->fence && i < mine->fence->rep_count; i++) {
        uint64_t rep = id_node_short(&mine->fence->reps[i]);
        if (!node_by_id(self, rep)) /* it has lost its disk since it said so */
            eval->holders[eval->holder_count++] = rep;
    }
    if (eval->holder_count < effect->replicas)
        check_violation(self, "I1", "%s acknowledges %" PRIu64 " with %u replicas, %zu have it",
                        node->label, eval->id, effect->replicas, eval->holder_count);
    /* Sent again, it was known: finished, or taken in by a node that was alone. */
    const struct doc_fence *newest = check_newest_fence(self, eval->id);
    bool is_degraded =
        (mine && mine->degraded) || (eval->req.key && newest && newest->rep_count == 1);
    if (effect->replicas < 2 && !eval->is_alone && check_knows_others(node) && !is_degraded)
        check_violation(self, "I1", "%s acknowledges %" PRIu64 " with one copy", node->label,
                        eval->id);
}

static struct doc_ballot ballot_of(struct wire_fence fence)
{
    return (struct doc_ballot){.epoch = fence.epoch, .owner = fence.owner};
}

/* I6: who gives out work leads the evaluation: nothing higher is on its disk, and a majority has
 * promised. */
static void check_assign(struct sim *self, struct sim_node *node, const struct wire_assign *assign)
{
    const struct doc *doc = disk_find(&node->disk, assign->eid);
    struct doc_ballot ballot = ballot_of(assign->fence);
    if (!doc || !doc->fence || ballot.owner != node->id) {
        check_violation(self, "I6", "%s gives out work of %" PRIu64 " without a fence of its own",
                        node->label, assign->eid);
        return;
    }
    if (doc_ballot_compare(ballot, doc->fence->ballot) < 0)
        check_violation(self, "I6", "%s gives out work of %" PRIu64 " under an old fence",
                        node->label, assign->eid);
    else if (!check_majority(self, doc->fence, assign->eid, has_fence, ballot) &&
             !check_is_hatch_due(self, assign->eid, ballot))
        check_violation(self, "I6", "%s gives out work of %" PRIu64 " without a majority",
                        node->label, assign->eid);
}

static void note_put(struct sim *self, unsigned from, unsigned to, const struct wire_put *put)
{
    struct check_put note = {
        .from = from, .to = to, .rid = put->rid, .eval = put->eid, .kind = put->kind};
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (delta_decode((const char *)put->delta.data, put->delta.len, &delta, &err) != 0) {
        check_violation(self, "I14", "%s puts what cannot be read: %s", self->nodes[from].label,
                        err.text);
        return;
    }
    if (delta.fence) {
        note.fence = delta.fence->ballot;
        note_replicas(self, put->eid, delta.fence);
    }
    if (delta.seal)
        note.seal = delta.seal->ballot;
    CHECK_ADD(self->check, puts, put_count, put_room, note);
}

/* I6: what is promised or accepted is durable, and nothing higher was promised before. */
static void check_put_ok(struct sim *self, struct sim_node *node, unsigned to,
                         const struct wire_put_ok *ok)
{
    const struct check_put *put = NULL;
    struct check *check = self->check;
    for (size_t i = check->put_count; i > 0 && !put; i--)
        if (check->puts[i - 1].from == to && check->puts[i - 1].to == node->index &&
            check->puts[i - 1].rid == ok->rid && check->puts[i - 1].eval == ok->eid)
            put = &check->puts[i - 1];
    const struct doc *doc = disk_find(&node->disk, ok->eid);
    if (!put)
        return;
    if (put->kind == WIRE_PUT_SUBMIT && (!doc || !doc->req || !has_blobs(node, doc)))
        check_violation(self, "I1", "%s says that it has %" PRIu64 ", and has not", node->label,
                        ok->eid);
    bool is_promise = put->kind == WIRE_PUT_CLAIM ||
                      (put->kind == WIRE_PUT_SUBMIT && !(ok->rid & OWN_RID_SYNC)); /* a home's */
    if (is_promise && (!doc || !has_fence(doc, put->fence)))
        check_violation(self, "I6", "%s promises %" PRIu64 " before it is durable", node->label,
                        ok->eid);
    if (put->kind == WIRE_PUT_SEAL && (!doc || !has_seal_of(doc, put->seal)))
        check_violation(self, "I6", "%s accepts a seal of %" PRIu64 " before it is durable",
                        node->label, ok->eid);
    struct doc_ballot asked = put->kind == WIRE_PUT_SEAL ? put->seal : put->fence;
    if ((put->kind == WIRE_PUT_SEAL || put->kind == WIRE_PUT_CLAIM) && doc && doc->fence &&
        doc_ballot_compare(doc->fence->ballot, asked) > 0)
        check_violation(self, "I6", "%s accepts a lower ballot of %" PRIu64 " than it has promised",
                        node->label, ok->eid);
}

/* ---- results --------------------------------------------------------------------------------- */

static bool has_record(const struct sim_node *node, uint64_t eval, uint32_t p, uint32_t m)
{
    const struct doc *doc = disk_find(&node->disk, eval);
    if (!doc)
        return false;
    if (m == WIRE_CHORE)
        return doc_plan(doc, p) != NULL || doc_is_final(doc) || doc->cancel || doc->seal;
    return doc_counted(doc, p, m) != NULL || doc_is_final(doc) || doc->cancel || doc->seal;
}

static void check_result(struct sim *self, struct sim_node *node, const struct wire_result *result)
{
    if (result->outcome == WIRE_OUTCOME_DONE &&
        !has_record(node, result->eid, result->p, result->m))
        check_violation(self, "I4", "%s tells a result of %" PRIu64 " p%u m%d that is not durable",
                        node->label, result->eid, result->p, (int)result->m);
}

static void check_frame(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    owned_wire_msg msg = {0};
    struct err err = ERR_INIT;
    const struct sim_node *to = node_by_addr(self, &effect->addr);
    if (!to || wire_decode(effect->bytes, effect->len, &msg, &err) != 0 ||
        msg.kind == WIRE_UNKNOWN || wire_kind_is_datagram(msg.kind)) {
        check_violation(self, "I14", "%s sends a bad frame: %s", node->label, err.text);
        return;
    }
    switch ((int)msg.kind) {
    case WIRE_MFULL:
        for (size_t i = 0; i < msg.mfull.member_count; i++)
            check_incarnation(self, node, id_node_short(&msg.mfull.members[i].node),
                              msg.mfull.members[i].gen, msg.mfull.members[i].ver);
        return;
    case WIRE_ASSIGN:
        check_assign(self, node, &msg.assign);
        return;
    case WIRE_PUT:
        note_put(self, node->index, to->index, &msg.put);
        return;
    case WIRE_PUT_OK:
        check_put_ok(self, node, to->index, &msg.put_ok);
        return;
    case WIRE_PUT_LOW:
        SOMETIMES(PUT_LOW);
        return;
    case WIRE_SUBMIT:
        check_may_hold(self, to->index + 1, msg.submit.eid); /* whoever is there by then */
        return;
    case WIRE_RESULT:
        check_result(self, node, &msg.result);
        return;
    default:
        return;
    }
}

void check_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    switch ((int)effect->kind) {
    case MESH_SEND_DATAGRAM:
        check_packet(self, node, effect);
        return;
    case MESH_SEND_FRAME:
        check_frame(self, node, effect);
        return;
    case MESH_ACCEPTED:
        check_accepted(self, node, effect);
        return;
    case MESH_FETCH:
        check_fetch(self, node, effect);
        return;
    default:
        return;
    }
}
