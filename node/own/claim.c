/* When an evaluation is taken up, and how. */
#include "node/own/own_inner.h"

/* Says whether what others know has come here, as far as it can. A document that only ever was here
 * needs nobody. */
static bool may_claim(struct own *self, const struct doc *doc)
{
    uint64_t grace = self->boot_ms + BOOT_GRACE;
    bool is_alone = doc->fence->rep_count == 1 && fence_index(doc->fence, self->self) == 0;
    if (is_alone || self->config.mutation == OWN_NO_PREREAD_NO_GRACE)
        return true;
    if (self->now_ms < grace) {
        own_arm(self, grace);
        return false;
    }
    if (!peers_any_alive(self) || peers_any_synced(self))
        return true;
    own_arm(self, self->boot_ms + 5 * BOOT_GRACE);
    return self->now_ms >= self->boot_ms + 5 * BOOT_GRACE; /* whatever keeps it from syncing */
}

static bool can_lead(const struct peer *peer)
{
    return peer && peer->state == OWN_ALIVE && !peer->is_draining;
}

/* Replicas in the order of the fence, the first at once; then the others, by preference. */
static uint64_t rank_wait(const struct own *self, const struct doc *doc)
{
    const struct doc_fence *fence = doc->fence;
    int mine = fence_index(fence, self->self);
    uint64_t wait = RANK_FIRST;
    for (int i = 0; i < (int)fence->rep_count && i != mine; i++)
        wait += can_lead(peers_find(self, id_node_short(&fence->reps[i]))) ? RANK_STEP : 0;
    if (mine >= 0)
        return wait;
    if (!docs_can_lead(self->config.docs, doc))
        return NEVER;
    uint64_t weight = hash_weight(doc->id, self->self);
    wait += OUTSIDE_WAIT;
    for (size_t i = 0; i < self->peer_count; i++) {
        const struct peer *peer = self->peers[i];
        if (can_lead(peer) && fence_index(fence, peer->id) < 0 &&
            hash_weight(doc->id, peer->id) > weight)
            wait += RANK_STEP;
    }
    return wait;
}

enum ownership { OWNED_HERE = 1, OWNED_BY_NOBODY, OWNED_BY_STRANGER, OWNED_BY_RESTARTED };

/* Returns how long to wait, from when it became so, before claiming; NEVER while another leads. */
static uint64_t claim_wait(const struct own *self, const struct eval *eval, const struct doc *doc,
                           uint64_t *situation)
{
    struct doc_ballot top = eval_top(eval, doc);
    bool is_known = doc_ballot_compare(top, doc->fence->ballot) == 0;
    const struct peer *owner = peers_find(self, top.owner);
    enum ownership how = 0;
    uint64_t wait = NEVER;
    if (top.epoch >= OWN_EPOCH_MAX) {
        /* nobody counts that far: a fence that was made up, and there is none above it */
    } else if (top.owner == self->self) {
        how = OWNED_HERE;
        wait = is_known ? 0 : LOST_WAIT;
    } else if (!owner) {
        how = OWNED_BY_STRANGER;
        wait = RESTART_WAIT;
    } else if (owner->state != OWN_ALIVE) {
        how = OWNED_BY_NOBODY;
        wait = 0;
    } else if (is_known && owner->gen > doc->fence->gen) {
        how = OWNED_BY_RESTARTED;
        wait = RESTART_WAIT;
    }
    *situation = hash_weight(top.owner + how, top.epoch) | 1;
    if (how == OWNED_HERE || wait == NEVER)
        return wait;
    uint64_t rank = rank_wait(self, doc);
    return rank == NEVER ? NEVER : wait + rank;
}

static void mint(struct own *self, struct eval *eval, const struct doc *doc)
{
    struct doc_fence fence = *doc->fence;
    uint32_t epoch = eval_top(eval, doc).epoch;
    fence.ballot = (struct doc_ballot){.epoch = epoch + 1, .owner = self->self};
    if (self->config.mutation == OWN_NO_EPOCH_BUMP)
        fence.ballot.epoch = epoch;
    fence.gen = self->config.gen;
    struct append *append =
        own_append(self, APPEND_FENCE, &(struct delta){.id = doc->id, .fence = &fence});
    append->ballot = fence.ballot;
    eval->mine = fence.ballot;
    eval->stage = STAGE_MINTING;
}

static void begin(struct own *self, struct eval *eval, const struct doc *doc)
{
    self->stats.claims++;
    eval->stage = STAGE_READING;
    eval->reads = 0;
    for (size_t i = 0; i < doc->fence->rep_count; i++) {
        uint64_t rep = id_node_short(&doc->fence->reps[i]);
        if (rep == self->self || !peers_reachable(self, rep) ||
            self->config.mutation == OWN_NO_PREREAD_NO_GRACE)
            continue;
        eval->reads +=
            reads_begin(self, &(struct read){.purpose = READ_CLAIM, .id = eval->id, .peer = rep});
    }
    if (eval->reads == 0)
        mint(self, eval, doc);
}

void claim_look_idle(struct own *self, struct eval *eval, const struct doc *doc)
{
    uint64_t situation;
    eval->claim_ms = NEVER;
    if (self->is_leaving || !doc->req || !doc->fence)
        return;
    uint64_t wait = claim_wait(self, eval, doc, &situation);
    if (situation != eval->situation) {
        eval->situation = situation;
        eval->since_ms = self->now_ms;
    }
    if (wait == NEVER)
        return;
    if (!may_claim(self, doc)) {
        eval->since_ms = self->now_ms;
        return;
    }
    eval->claim_ms = eval->since_ms + wait;
    if (self->now_ms >= eval->claim_ms)
        begin(self, eval, doc);
    else
        own_arm(self, eval->claim_ms);
}

/* All have answered, or had their time: still nobody's, and still the same fence? */
void claim_look_reading(struct own *self, struct eval *eval, const struct doc *doc)
{
    uint64_t situation;
    if (eval->reads > 0)
        return;
    eval->stage = STAGE_IDLE;
    if (!self->is_leaving && claim_wait(self, eval, doc, &situation) != NEVER &&
        situation == eval->situation)
        mint(self, eval, doc);
    else
        claim_look_idle(self, eval, doc);
}

void claim_appended(struct own *self, struct eval *eval, struct doc_ballot ballot,
                    enum err_code code)
{
    if (eval->stage != STAGE_MINTING || doc_ballot_compare(ballot, eval->mine) != 0)
        return;
    if (code) {
        eval->stage = STAGE_IDLE;
        eval->since_ms = self->now_ms + RESTART_WAIT;
        return;
    }
    eval->stage = STAGE_CLAIMING;
    round_begin(self, eval, WIRE_PUT_CLAIM);
    eval_look(self, eval);
}

void claim_look_claiming(struct own *self, struct eval *eval, const struct doc *doc)
{
    uint64_t solo_ms = eval->round.begun_ms + self->config.solo_ms;
    if (round_has_majority(self, eval, doc)) {
        eval->round.rid = 0;
        lead_activate(self, eval);
    } else if (self->now_ms >= solo_ms) {
        eval->is_solo = true;
        lead_activate(self, eval);
    } else {
        own_arm(self, solo_ms);
        round_go_on(self, eval, doc);
    }
}
