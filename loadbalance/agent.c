#include "loadbalance/agent.h"

#include "loadbalance/agent_inner.h"
#include "proto/base/mem.h"

#define CHORES_DEFAULT 2

struct agent *agent_new(const struct agent_config *config)
{
    struct agent *self = mem_new(sizeof *self);
    self->config = *config;
    if (self->config.chores == 0)
        self->config.chores = CHORES_DEFAULT;
    self->resend_ms = UINT64_MAX;
    self->deadline_ms = UINT64_MAX;
    rand_init(&self->rand, config->seed);
    return self;
}

void agent_free(struct agent *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->entry_count; i++)
        free(self->entries[i]);
    for (size_t i = 0; i < self->eval_count; i++)
        agent_eval_free(self->evals[i]);
    free(self->entries);
    free(self->evals);
    free(self->pending);
    free(self);
}

void agent_out_fini(struct agent_out *out)
{
    free(out->effects);
    free(out->items);
    free(out->ready);
    *out = (struct agent_out){0};
}

/* ---- owners ---------------------------------------------------------------------------------- */

static bool has_results(const struct agent *self, const struct agent_eval *eval)
{
    for (const struct agent_entry *entry = self->ended.first; entry; entry = entry->next)
        if (entry->eval == eval)
            return true;
    return false;
}

/* The new owner hears at once what is here, and gets the results that nobody confirmed. */
static void change_owner(struct agent *self, struct agent_eval *eval, struct work_ballot ballot,
                         uint64_t now_ms, struct agent_out *out)
{
    bool is_first = eval->ballot.epoch == 0;
    agent_forget_claims(self, eval);
    eval->ballot = ballot;
    eval->has_offer = false;
    eval->is_owner_lost = false;
    eval->queued = 0;
    if (is_first || eval->entries == 0)
        return;
    agent_beat(self, ballot.owner, now_ms, out);
    if (!has_results(self, eval))
        return;
    for (struct agent_entry *entry = self->ended.first; entry; entry = entry->next)
        if (entry->eval == eval)
            entry->send_ms = now_ms;
    self->resend_ms = now_ms;
}

bool agent_heed(struct agent *self, struct agent_eval *eval, struct work_ballot ballot,
                uint64_t now_ms, struct agent_out *out)
{
    int order = work_ballot_compare(ballot, eval->ballot);
    if (order > 0)
        change_owner(self, eval, ballot, now_ms, out);
    eval->is_owner_lost = eval->is_owner_lost && order < 0;
    return order >= 0;
}

static void on_owner(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    agent_heed(self, agent_eval_get(self, event->eval), event->ballot, event->now_ms, out);
}

static void on_offer(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_eval *eval = agent_eval_get(self, event->eval);
    if (eval->is_dropped || !agent_heed(self, eval, event->ballot, event->now_ms, out)) {
        self->stats.ignored++;
        return;
    }
    bool is_rumor = event->kind == AGENT_RUMOR;
    uint64_t spread = is_rumor ? (uint64_t)50 * event->peers / 32 : 0;
    uint64_t at = event->now_ms + (spread ? rand_below(&self->rand, spread + 1) : 0);
    /* An owner whose work is for others says again and again that there is some: that is no news to
     * who has just asked in vain, and must not keep it from asking those who have some for it. */
    bool is_news = !eval->has_offer || event->queued > eval->queued;
    if (is_news) {
        eval->claim_ms = at;
        eval->chore_ms = at;
        eval->backoff_ms = AGENT_CLAIM_MS;
    }
    eval->has_offer = event->queued > 0;
    eval->queued = event->queued;
    eval->weight = event->weight ? event->weight : 1;
}

static void on_peer_lost(struct agent *self, const struct agent_event *event)
{
    for (size_t i = 0; i < self->eval_count; i++) {
        struct agent_eval *eval = self->evals[i];
        if (eval->ballot.owner != event->peer)
            continue;
        agent_forget_claims(self, eval);
        eval->is_owner_lost = true;
        eval->has_offer = false;
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The more evaluations there are, the seldomer each that has nothing for this node is asked. */
static void wait_before_next(const struct agent *self, struct agent_eval *eval, uint64_t now_ms)
{
    size_t most = AGENT_CLAIM_MAX_MS + AGENT_CLAIM_EACH_MS * self->eval_count;
    eval->claim_ms = now_ms + eval->backoff_ms;
    eval->backoff_ms *= 2;
    if (eval->backoff_ms > most)
        eval->backoff_ms = (uint32_t)most;
}

static void on_nowork(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_eval *eval = agent_eval_find(self, event->eval);
    struct agent_pending claim;
    if (!eval || !agent_heed(self, eval, event->ballot, event->now_ms, out) ||
        !agent_answered(self, eval, event->now_ms, &claim)) {
        self->stats.ignored++;
        return;
    }
    eval->queued = event->queued;
    eval->has_offer = event->queued > 0;
    if (claim.slots > 0)
        wait_before_next(self, eval, event->now_ms);
    if (claim.chores > 0)
        eval->chore_ms = event->now_ms + AGENT_CHORE_MS;
}

static void take(struct agent *self, struct agent_eval *eval, const struct work_item *item,
                 uint64_t now_ms, struct agent_out *out)
{
    const struct work *work = &item->work;
    /* Already here as another attempt, whose end is as good: the next beat says so. */
    if (agent_entry_find(self, work))
        return;
    if (work->m == WORK_CHORE) {
        struct agent_entry *entry = agent_entry_add(self, eval, work, WORK_PREPARING, now_ms);
        entry->estimate_ms = item->estimate_ms;
        entry->started_ms = now_ms;
        agent_emit(out, AGENT_PREPARE, eval);
        agent_emit_entry(out, entry, now_ms);
        return;
    }
    struct agent_entry *entry = agent_entry_add(self, eval, work, WORK_WAITING, now_ms);
    entry->estimate_ms = item->estimate_ms;
    self->waiting_ms += item->estimate_ms;
}

static enum work_refusal why_not(const struct agent *self, const struct agent_eval *eval,
                                 struct work_ballot ballot)
{
    if (!eval || eval->is_dropped)
        return WORK_UNKNOWN;
    if (work_ballot_compare(ballot, eval->ballot) < 0)
        return WORK_FENCED;
    if (self->is_draining)
        return WORK_DRAINING;
    return self->slot_count == 0 || self->entry_count >= AGENT_ITEMS_MAX ? WORK_FULL : 0;
}

static void on_assign(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_eval *eval = agent_eval_find(self, event->eval);
    if (eval && !eval->is_dropped)
        agent_heed(self, eval, event->ballot, event->now_ms, out);
    struct agent_pending claim = {0};
    if (eval && work_ballot_compare(event->ballot, eval->ballot) == 0)
        agent_answered(self, eval, event->now_ms, &claim);
    uint32_t modules = 0;
    uint32_t chores = 0;
    for (size_t i = 0; i < event->item_count; i++) {
        const struct work_item *item = &event->items[i];
        enum work_refusal why = why_not(self, eval, event->ballot);
        if (why == 0 && item->work.eval == event->eval) {
            take(self, eval, item, event->now_ms, out);
            modules += item->work.m != WORK_CHORE;
            chores += item->work.m == WORK_CHORE;
        } else {
            agent_refuse(self, eval, event->ballot.owner, item, why ? why : WORK_UNKNOWN, out);
        }
    }
    if (!eval)
        return;
    eval->queued -= modules < eval->queued ? modules : eval->queued;
    if (claim.chores > 0 && chores == 0)
        eval->chore_ms = event->now_ms + AGENT_CHORE_MS;
    if (modules < claim.slots && claim.eval == eval->id)
        wait_before_next(self, eval, event->now_ms);
    else
        eval->backoff_ms = AGENT_CLAIM_MS;
}

/* ---- the node itself ------------------------------------------------------------------------- */

static void on_drain(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    self->is_draining = true;
    for (struct agent_entry *entry = self->active.first; entry; entry = entry->next)
        if (entry->phase == WORK_PREPARING)
            agent_stop(self, entry, event->now_ms, out);
}

static void on_slots(struct agent *self, const struct agent_event *event)
{
    self->slot_count = event->slots < AGENT_SLOTS_MAX ? event->slots : AGENT_SLOTS_MAX;
}

static void on_ready(struct agent *self, const struct agent_event *event)
{
    struct agent_eval *eval = agent_eval_get(self, event->eval);
    agent_ready_set(eval, event->p, event->is_ready);
    if (event->is_ready)
        eval->claim_ms = event->now_ms;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void settle(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    agent_time_out_claims(self, now_ms, out);
    agent_start_what_fits(self, now_ms, out);
    agent_claim_more(self, now_ms, out);
    agent_resend(self, now_ms, out);
    agent_beat_all(self, now_ms, out);
    if (self->is_draining && !self->is_drained && self->entry_count == 0) {
        self->is_drained = true;
        agent_emit(out, AGENT_DRAINED, NULL);
    }
    uint64_t next = agent_claim_deadline(self);
    if (self->waiting.first && self->waiting.first->since_ms + AGENT_WAIT_MS < next)
        next = self->waiting.first->since_ms + AGENT_WAIT_MS;
    if (self->resend_ms < next)
        next = self->resend_ms;
    if (self->beat_ms > 0 && self->beat_ms < next)
        next = self->beat_ms;
    self->deadline_ms = next;
}

static void take_event(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    switch (event->kind) {
    case AGENT_TICK:
        break;
    case AGENT_SLOTS:
        on_slots(self, event);
        break;
    case AGENT_OFFER:
    case AGENT_RUMOR:
        on_offer(self, event, out);
        break;
    case AGENT_NOWORK:
        on_nowork(self, event, out);
        break;
    case AGENT_ASSIGN:
        on_assign(self, event, out);
        break;
    case AGENT_CANCEL:
        agent_on_cancel(self, event, out);
        break;
    case AGENT_READY:
        on_ready(self, event);
        break;
    case AGENT_WANTS_SLOT:
        agent_on_wants_slot(self, event);
        break;
    case AGENT_FREED:
        agent_on_freed(self, event);
        break;
    case AGENT_ENDED:
    case AGENT_PREPARED:
        agent_on_ended(self, event, out);
        break;
    case AGENT_ACKED:
        agent_on_acked(self, event);
        break;
    case AGENT_PEER_LOST:
        on_peer_lost(self, event);
        break;
    case AGENT_OWNER:
        on_owner(self, event, out);
        break;
    case AGENT_DROP:
        agent_on_drop(self, event, out);
        break;
    case AGENT_DRAIN:
        on_drain(self, event, out);
        break;
    }
}

void agent_step(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    out->count = 0;
    out->item_count = 0;
    out->ready_count = 0;
    take_event(self, event, out);
    settle(self, event->now_ms, out);
}

uint64_t agent_deadline(const struct agent *self) { return self->deadline_ms; }

/* ---- questions ------------------------------------------------------------------------------- */

static uint32_t eta_ms(const struct agent *self, uint64_t now_ms)
{
    uint64_t least = UINT32_MAX;
    for (uint32_t i = 0; i < AGENT_SLOTS_MAX; i++) {
        const struct agent_entry *entry = self->slots[i];
        if (!entry)
            continue;
        uint64_t elapsed = now_ms - (entry->started_ms ? entry->started_ms : entry->since_ms);
        uint64_t floor = entry->estimate_ms / 4;
        uint64_t left = entry->estimate_ms > elapsed ? entry->estimate_ms - elapsed : 0;
        left = left > floor ? left : floor;
        least = left < least ? left : least;
    }
    return (uint32_t)least;
}

struct agent_load agent_load(const struct agent *self, uint64_t now_ms)
{
    struct agent_load load = {.slots = self->slot_count,
                              .busy = self->busy,
                              .waiting = (uint32_t)self->waiting.count,
                              .chores = self->chores,
                              .results = (uint32_t)self->ended.count};
    size_t taken = self->busy + self->waiting.count;
    load.free = taken < self->slot_count ? self->slot_count - (uint32_t)taken : 0;
    load.eta_ms = load.free > 0 || self->busy == 0 ? 0 : eta_ms(self, now_ms);
    return load;
}

size_t agent_items(const struct agent *self, uint64_t eval, uint64_t now_ms, struct work_item *list,
                   size_t room)
{
    struct agent_out out = {0};
    size_t count = 0;
    agent_emit(&out, AGENT_BEAT, NULL);
    for (size_t i = 0; i < self->entry_count; i++) {
        if (eval != 0 && self->entries[i]->work.eval != eval)
            continue;
        out.item_count = 0;
        agent_emit_entry(&out, self->entries[i], now_ms);
        if (count < room)
            list[count] = out.items[0];
        count++;
    }
    agent_out_fini(&out);
    return count;
}

struct agent_stats agent_stats(const struct agent *self) { return self->stats; }
