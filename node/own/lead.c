/* Rounds of PUT to the replicas; leading, stepping down, handing over. */
#include "node/own/own_inner.h"

#include "proto/base/mem.h"

void round_begin(struct own *self, struct eval *eval, enum wire_put_kind kind)
{
    eval->round = (struct round){.rid = own_rid(self),
                                 .kind = kind,
                                 .begun_ms = self->now_ms,
                                 .next_ms = self->now_ms,
                                 .wait_ms = RESEND_FIRST};
}

static struct delta round_delta(const struct eval *eval, const struct doc *doc)
{
    struct delta delta = {.id = eval->id, .fence = doc->fence};
    if (eval->round.kind == WIRE_PUT_SUBMIT)
        delta.req = doc->req;
    if (eval->round.kind == WIRE_PUT_SEAL)
        delta.seal = doc->seal;
    return delta;
}

/* Returns how many bytes went to each. */
static size_t send_round(struct own *self, struct eval *eval, const struct doc *doc)
{
    struct wire_bytes bytes = {0};
    for (size_t i = 0; i < doc->fence->rep_count; i++) {
        uint64_t rep = id_node_short(&doc->fence->reps[i]);
        if (rep == self->self || (eval->round.acked >> i & 1) || !peers_reachable(self, rep))
            continue;
        if (!bytes.data) {
            struct delta delta = round_delta(eval, doc);
            bytes = hold_encoded(&self->out->hold, &delta);
        }
        if (bytes.len > WIRE_DELTA_MAX) {
            self->stats.dropped++;
            return 0;
        }
        struct wire_msg *msg = own_send(self, rep, WIRE_PUT);
        msg->put = (struct wire_put){.rid = eval->round.rid,
                                     .eid = eval->id,
                                     .kind = (uint8_t)eval->round.kind,
                                     .delta = bytes};
    }
    return bytes.len;
}

void round_go_on(struct own *self, struct eval *eval, const struct doc *doc)
{
    struct round *round = &eval->round;
    if (!round->rid || doc_ballot_compare(doc->fence->ballot, eval->mine) != 0)
        return;
    if (self->now_ms >= round->next_ms) {
        uint64_t wait_ms = round->wait_ms + send_round(self, eval, doc) / BYTES_PER_MS;
        round->next_ms = self->now_ms + wait_ms + rand_below(&self->rand, round->wait_ms);
        round->wait_ms = round->wait_ms * 2 < RESEND_MOST ? round->wait_ms * 2 : RESEND_MOST;
    }
    own_arm(self, round->next_ms);
}

static size_t votes(const struct own *self, const struct eval *eval, const struct doc *doc)
{
    size_t count = fence_index(doc->fence, self->self) >= 0;
    for (size_t i = 0; i < doc->fence->rep_count; i++)
        count += eval->round.acked >> i & 1;
    return count;
}

bool round_has_all(const struct own *self, const struct eval *eval, const struct doc *doc)
{
    if (self->config.mutation == OWN_ACK_BEFORE_REPLICAS)
        return true;
    return votes(self, eval, doc) == doc->fence->rep_count;
}

/* Of two replicas the other one is down for sure (its port is closed), and we have all that it had
 * when it was up: it cannot have decided anything without us, and will ask us before it does. */
static bool is_last_of_two(const struct own *self, const struct doc_fence *fence)
{
    int mine = fence_index(fence, self->self);
    if (fence->rep_count != 2 || mine < 0)
        return false;
    const struct peer *other = peers_find(self, id_node_short(&fence->reps[1 - mine]));
    return other && other->state == OWN_DEAD && other->is_refused && other->is_synced;
}

bool round_has_majority(const struct own *self, const struct eval *eval, const struct doc *doc)
{
    if (doc_ballot_compare(doc->fence->ballot, eval->mine) != 0)
        return false;
    if (self->config.mutation == OWN_NO_QUORUM || is_last_of_two(self, doc->fence))
        return true;
    /* A list that replaced another one, and that not all have acknowledged: a majority of it need
     * not meet one of the old list, which may have come to a result of its own. */
    if (eval->is_refused && eval->is_replaced)
        return round_has_all(self, eval, doc);
    return votes(self, eval, doc) > doc->fence->rep_count / 2;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What a repository was found to hold is no part of a promise, but who promises may have forgotten
 * already what opens it, for it has what was found: so a claimant reads that before the promise
 * counts. Else it could find another commit, and be lost with the only bundle of it. */
static bool must_be_seen(const struct eval *eval, const struct doc *doc, int index)
{
    return eval->round.kind == WIRE_PUT_CLAIM && eval->stage != STAGE_HANDING &&
           !eval->is_refused && !(eval->round.seen >> index & 1) && doc->req &&
           doc_hash_is_set(&doc->req->secret) && !doc->cancel && !doc->seal;
}

void lead_put_ok(struct own *self, uint64_t peer, const struct wire_put_ok *ok)
{
    struct eval *eval = evals_find(self, ok->eid);
    const struct doc *doc = eval ? own_doc(self, ok->eid) : NULL;
    int index = doc ? fence_index(doc->fence, peer) : -1;
    if (index < 0 || ok->rid == 0 || ok->rid != eval->round.rid ||
        doc_ballot_compare(doc->fence->ballot, eval->mine) != 0)
        return;
    struct doc_ballot theirs = {.epoch = ok->seal.epoch, .owner = ok->seal.owner};
    struct doc_ballot ours = doc->seal ? doc->seal->ballot : (struct doc_ballot){0};
    if (doc_ballot_compare(theirs, ours) > 0 && self->config.mutation != OWN_NO_ADOPTION) {
        /* its promise counts when what it has accepted is known here */
        reads_begin(self, &(struct read){.purpose = READ_NEWER, .id = ok->eid, .peer = peer});
        return;
    }
    if (must_be_seen(eval, doc, index)) {
        reads_begin(self, &(struct read){.purpose = READ_NEWER,
                                         .id = ok->eid,
                                         .peer = peer,
                                         .round = eval->round.rid});
        return;
    }
    eval->round.acked |= 1u << index;
    eval_look(self, eval);
}

void lead_put_low(struct own *self, uint64_t peer, const struct wire_put_low *low)
{
    struct eval *eval = evals_find(self, low->eid);
    if (!eval)
        return;
    const struct doc *doc = own_doc(self, low->eid);
    struct doc_ballot fence = {.epoch = low->fence.epoch, .owner = low->fence.owner};
    bool is_ours = low->rid != 0 && low->rid == eval->round.rid;
    if (low->why == WIRE_LOW_CONFLICT && is_ours && eval->stage == STAGE_ACCEPTING &&
        !eval->is_refused) {
        accept_refuse(self, eval, OWN_TAKEN);
        return;
    }
    if (low->why == WIRE_LOW_REFUSED && is_ours && doc && fence_index(doc->fence, peer) >= 0)
        eval->round.missing |= 1u << fence_index(doc->fence, peer);
    if (doc && doc_ballot_compare(fence, eval_top(eval, doc)) > 0) {
        eval->heard = fence;
        reads_begin(self, &(struct read){.purpose = READ_NEWER, .id = low->eid, .peer = peer});
    }
    eval_look(self, eval);
}

/* ---- leading --------------------------------------------------------------------------------- */

void lead_activate(struct own *self, struct eval *eval)
{
    const struct doc *doc = own_doc(self, eval->id);
    eval->stage = STAGE_ACTIVE;
    if (!eval->is_refused) {
        struct own_effect *news = own_emit(self, OWN_NEWS, eval->id);
        news->fence = eval->mine;
        news->gen = self->config.gen;
        if (!doc->seal && !doc->cancel && !doc_is_complete(doc)) {
            own_emit(self, OWN_ACTIVE, eval->id)->fence = eval->mine;
            eval->is_told = true;
        }
    }
    eval_look(self, eval);
}

void lead_end(struct own *self, struct eval *eval)
{
    if (eval->is_told)
        own_emit(self, OWN_STEPPED_DOWN, eval->id)->fence = eval->mine;
    eval->is_told = false;
}

void lead_step_down(struct own *self, struct eval *eval)
{
    lead_end(self, eval);
    eval->stage = STAGE_IDLE;
    eval->round.rid = 0;
    eval->is_solo = false;
    eval->situation = 0;
    self->stats.stepped_down++;
}

/* ---- handing over ---------------------------------------------------------------------------- */

/* A replica that is there, else whoever is: but nobody else has the repositories' secret. */
static const struct peer *successor(const struct own *self, const struct doc *doc)
{
    for (size_t i = 0; i < doc->fence->rep_count; i++) {
        const struct peer *peer = peers_find(self, id_node_short(&doc->fence->reps[i]));
        if (peer && peer->state == OWN_ALIVE && !peer->is_draining)
            return peer;
    }
    struct id_node best;
    if (docs_needs_secret(self->config.docs, doc))
        return NULL;
    return peers_best(self, doc->id, NULL, &best, 1) ? peers_find(self, id_node_short(&best))
                                                     : NULL;
}

static void hand_over(struct own *self, struct eval *eval, const struct doc *doc)
{
    const struct peer *to = successor(self, doc);
    lead_end(self, eval);
    eval->is_solo = false;
    eval->round.rid = 0;
    if (!to || eval_top(eval, doc).epoch >= OWN_EPOCH_MAX) { /* it goes on in the next life */
        eval->stage = STAGE_IDLE;
        return;
    }
    struct doc_fence fence = *doc->fence;
    fence.ballot = (struct doc_ballot){.epoch = eval_top(eval, doc).epoch + 1, .owner = to->id};
    fence.gen = 0; /* no life of its owner's has minted it: it claims under a ballot of its own */
    eval->stage = STAGE_MINTING;
    eval->mine = fence.ballot;
    eval->handed_ms = self->now_ms;
    own_append(self, APPEND_HAND_OVER, &(struct delta){.id = eval->id, .fence = &fence});
}

void lead_handed(struct own *self, struct eval *eval, enum err_code code)
{
    if (eval->stage != STAGE_MINTING)
        return;
    eval->stage = code ? STAGE_IDLE : STAGE_HANDING;
    round_begin(self, eval, WIRE_PUT_CLAIM);
    eval_look(self, eval);
}

/* The successor claims as soon as it knows; that a majority knows too is enough for us. */
void lead_look_handing(struct own *self, struct eval *eval, const struct doc *doc)
{
    uint64_t to = doc->fence->ballot.owner;
    int index = fence_index(doc->fence, to);
    bool is_told = index < 0 || eval->round.acked >> index & 1;
    own_arm(self, eval->handed_ms + HAND_OVER_MAX);
    if (index < 0 && eval->round.begun_ms == eval->round.next_ms && peers_reachable(self, to)) {
        struct delta delta = {.id = doc->id, .req = doc->req, .fence = doc->fence};
        struct wire_msg *msg = own_send(self, to, WIRE_PUT);
        msg->put = (struct wire_put){.rid = own_rid(self),
                                     .eid = doc->id,
                                     .kind = WIRE_PUT_DATA,
                                     .delta = hold_encoded(&self->out->hold, &delta)};
    }
    round_go_on(self, eval, doc);
    if ((is_told && round_has_majority(self, eval, doc)) ||
        self->now_ms >= eval->handed_ms + HAND_OVER_MAX) {
        eval->stage = STAGE_IDLE;
        eval->round.rid = 0;
    }
}

static bool can_hand_over(const struct eval *eval)
{
    return eval->stage == STAGE_CLAIMING || eval->stage == STAGE_ACTIVE ||
           eval->stage == STAGE_VOTING;
}

void lead_leave(struct own *self)
{
    self->is_leaving = true;
    evals_look_all(self);
}

void lead_check_left(struct own *self)
{
    if (!self->is_leaving || self->is_handed_over)
        return;
    bool is_over = true;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct eval *eval = self->evals[i];
        const struct doc *doc = can_hand_over(eval) ? own_doc(self, eval->id) : NULL;
        if (doc)
            hand_over(self, eval, doc);
        is_over = is_over && (eval->stage == STAGE_IDLE || eval->stage == STAGE_READING ||
                              eval->stage == STAGE_DEAD);
    }
    self->is_handed_over = is_over;
    if (is_over)
        own_emit(self, OWN_HANDED_OVER, 0);
}
