/* What the agent asks for, and what starts. */
#include "loadbalance/agent_inner.h"
#include "proto/base/mem.h"

#include <string.h>

/* ---- claims on their way --------------------------------------------------------------------- */

static void remove_pending(struct agent *self, size_t at)
{
    struct agent_pending *pending = &self->pending[at];
    struct agent_eval *eval = agent_eval_find(self, pending->eval);
    self->claimed -= pending->slots;
    self->claimed_chores -= pending->chores;
    if (eval) {
        eval->here -= pending->slots;
        eval->claimed -= pending->slots;
        eval->chores -= pending->chores;
    }
    memmove(pending, pending + 1, (--self->pending_count - at) * sizeof *pending);
}

bool agent_answered(struct agent *self, struct agent_eval *eval, uint64_t now_ms,
                    struct agent_pending *answered)
{
    size_t at = self->pending_count;
    for (size_t i = 0; i < self->pending_count && at == self->pending_count; i++)
        if (self->pending[i].eval == eval->id)
            at = i;
    /* An owner may answer with another of its evaluations, which is further behind. */
    for (size_t i = 0; i < self->pending_count && at == self->pending_count; i++)
        if (self->pending[i].owner == eval->ballot.owner)
            at = i;
    if (at == self->pending_count)
        return false;
    *answered = self->pending[at];
    uint64_t took = now_ms - answered->sent_ms;
    /* With several on their way it may be the answer to a later one. */
    if (self->pending_count == 1 && took < AGENT_CLAIM_MAX_MS)
        eval->latency_ms = (eval->latency_ms * 7 + (uint32_t)took * 3 + 9) / 10;
    remove_pending(self, at);
    return true;
}

void agent_forget_claims(struct agent *self, const struct agent_eval *eval)
{
    for (size_t i = self->pending_count; i-- > 0;)
        if (self->pending[i].eval == eval->id)
            remove_pending(self, i);
}

/* The answer may be what was lost, and then the owner believes that we run what we never saw: the
 * beat tells it before the claim comes again. */
void agent_time_out_claims(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    for (size_t i = 0; i < self->pending_count;) {
        struct agent_pending pending = self->pending[i];
        if (pending.until_ms > now_ms) {
            i++;
            continue;
        }
        remove_pending(self, i);
        self->stats.claim_timeouts++;
        struct agent_eval *eval = agent_eval_find(self, pending.eval);
        if (!eval)
            continue;
        eval->backoff_ms += AGENT_CLAIM_STEP;
        if (eval->backoff_ms > AGENT_CLAIM_MAX_MS)
            eval->backoff_ms = AGENT_CLAIM_MAX_MS;
        agent_beat(self, pending.owner, now_ms, out);
    }
}

/* ---- starts ---------------------------------------------------------------------------------- */

static void give_slot_to_chore(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    for (struct agent_entry *entry = self->active.first; entry; entry = entry->next) {
        if (!entry->wants_slot)
            continue;
        agent_slot_take(self, entry);
        agent_emit(out, AGENT_GIVE_SLOT, entry->eval)->slot = entry->slot;
        agent_emit_entry(out, entry, now_ms);
        return;
    }
}

static void start_first(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    struct agent_entry *entry = self->waiting.first;
    struct agent_eval *eval = entry->eval;
    agent_entry_move(self, entry, WORK_RUNNING);
    agent_slot_take(self, entry);
    entry->started_ms = now_ms;
    if (eval->served > self->turn)
        self->turn = eval->served;
    eval->served += entry->estimate_ms / eval->weight + 1;
    agent_emit(out, AGENT_START, eval)->slot = entry->slot;
    agent_emit_entry(out, entry, now_ms);
    self->stats.started++;
}

static void give_back_old(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    while (self->waiting.first &&
           (self->waiting.first->since_ms + AGENT_WAIT_MS <= now_ms || self->is_draining)) {
        struct agent_entry *entry = self->waiting.first;
        enum work_refusal why = self->is_draining ? WORK_DRAINING : WORK_FULL;
        struct work_item item = {.work = entry->work, .estimate_ms = entry->estimate_ms};
        agent_refuse(self, entry->eval, entry->eval->ballot.owner, &item, why, out);
        agent_entry_remove(self, entry);
    }
}

void agent_start_what_fits(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    while (self->busy < self->slot_count && self->wanting > 0)
        give_slot_to_chore(self, now_ms, out);
    while (self->busy < self->slot_count && self->waiting.first && !self->is_draining)
        start_first(self, now_ms, out);
    give_back_old(self, now_ms, out);
}

/* ---- new claims ------------------------------------------------------------------------------ */

static bool is_open(const struct agent_eval *eval)
{
    return eval->has_offer && !eval->is_owner_lost && !eval->is_dropped;
}

/* May one more slot be asked for? Not for more than its owner said that there is. */
static bool has_more(const struct agent_eval *eval)
{
    uint32_t most = eval->queued > 1 ? eval->queued : 1;
    if (most > AGENT_CLAIM_SLOTS)
        most = AGENT_CLAIM_SLOTS;
    return is_open(eval) && eval->claimed + eval->wanted < most;
}

static bool is_fairer(const struct agent_eval *a, const struct agent_eval *b)
{
    uint64_t share_a = (uint64_t)(a->here + a->wanted) * b->weight;
    uint64_t share_b = (uint64_t)(b->here + b->wanted) * a->weight;
    if (share_a != share_b)
        return share_a < share_b;
    return a->served != b->served ? a->served < b->served : a->serial < b->serial;
}

static struct agent_eval *fairest(const struct agent *self, uint64_t now_ms)
{
    struct agent_eval *best = NULL;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct agent_eval *eval = self->evals[i];
        if (has_more(eval) && eval->claim_ms <= now_ms && (!best || is_fairer(eval, best)))
            best = eval;
    }
    return best;
}

static struct agent_eval *fairest_for_chores(const struct agent *self, uint64_t now_ms)
{
    struct agent_eval *best = NULL;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct agent_eval *eval = self->evals[i];
        bool may_ask = eval->wanted > 0 || eval->chore_ms <= now_ms;
        uint64_t share = (uint64_t)(eval->chores + eval->wanted_chores);
        if (is_open(eval) && may_ask && eval->claim_ms <= now_ms &&
            (!best ||
             share * best->weight < (uint64_t)(best->chores + best->wanted_chores) * eval->weight))
            best = eval;
    }
    return best;
}

static void send_claim(struct agent *self, struct agent_eval *eval, uint64_t now_ms,
                       struct agent_out *out)
{
    struct agent_effect *effect = agent_emit(out, AGENT_CLAIM, eval);
    effect->slots = eval->wanted;
    effect->chores = eval->wanted_chores;
    effect->ready_count = eval->ready_count;
    out->ready = mem_grow(out->ready, &out->ready_capacity,
                          out->ready_count + eval->ready_count + 1, sizeof *out->ready);
    if (eval->ready_count > 0)
        memcpy(out->ready + out->ready_count, eval->ready, eval->ready_count * sizeof *eval->ready);
    out->ready_count += eval->ready_count;
    uint64_t patience = 4 * (uint64_t)eval->latency_ms;
    if (patience > AGENT_CLAIM_MAX_MS)
        patience = AGENT_CLAIM_MAX_MS;
    if (patience < eval->backoff_ms)
        patience = eval->backoff_ms;
    self->pending = mem_grow(self->pending, &self->pending_capacity, self->pending_count + 1,
                             sizeof *self->pending);
    self->pending[self->pending_count++] = (struct agent_pending){.eval = eval->id,
                                                                  .owner = eval->ballot.owner,
                                                                  .slots = eval->wanted,
                                                                  .chores = eval->wanted_chores,
                                                                  .sent_ms = now_ms,
                                                                  .until_ms = now_ms + patience};
    self->claimed += eval->wanted;
    self->claimed_chores += eval->wanted_chores;
    eval->here += eval->wanted;
    eval->claimed += eval->wanted;
    eval->chores += eval->wanted_chores;
    eval->wanted = 0;
    eval->wanted_chores = 0;
    self->stats.claims++;
}

/* Slots that will be free with nothing to do. What is short is asked for a round trip early. */
static uint32_t free_slots(const struct agent *self)
{
    size_t taken = self->busy + self->wanting + self->claimed + self->waiting.count;
    if (taken < self->slot_count)
        return self->slot_count - (uint32_t)taken;
    const struct agent_entry *last = self->waiting.last;
    if (!last || self->claimed > 0)
        return 0;
    uint64_t latency = last->eval->latency_ms;
    bool is_short = last->estimate_ms < AGENT_ROUND_TRIPS * latency;
    return is_short && self->waiting_ms < 2 * latency * self->slot_count ? self->slot_count : 0;
}

void agent_claim_more(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    if (self->is_draining || self->slot_count == 0)
        return;
    bool wants = false;
    for (uint32_t left = free_slots(self); left > 0; left--) {
        struct agent_eval *eval = fairest(self, now_ms);
        if (!eval)
            break;
        eval->wanted++;
        wants = true;
    }
    for (uint32_t used = self->chores + self->claimed_chores; used < self->config.chores; used++) {
        struct agent_eval *eval = fairest_for_chores(self, now_ms);
        if (!eval)
            break;
        eval->wanted_chores++;
        wants = true;
    }
    for (size_t i = 0; wants && i < self->eval_count; i++)
        if (self->evals[i]->wanted > 0 || self->evals[i]->wanted_chores > 0)
            send_claim(self, self->evals[i], now_ms, out);
}

uint64_t agent_claim_deadline(const struct agent *self)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < self->pending_count; i++)
        if (self->pending[i].until_ms < next)
            next = self->pending[i].until_ms;
    if (self->is_draining || self->slot_count == 0)
        return next;
    bool has_slot = free_slots(self) > 0;
    bool has_chore = self->chores + self->claimed_chores < self->config.chores;
    for (size_t i = 0; i < self->eval_count && (has_slot || has_chore); i++) {
        const struct agent_eval *eval = self->evals[i];
        uint64_t at = UINT64_MAX;
        if (has_chore && is_open(eval))
            at = eval->chore_ms > eval->claim_ms ? eval->chore_ms : eval->claim_ms;
        if (has_slot && has_more(eval) && eval->claim_ms < at)
            at = eval->claim_ms;
        if (at < next)
            next = at;
    }
    return next;
}
