/* How what is here ends: by itself, by its owner, or with its evaluation. */
#include "loadbalance/agent_inner.h"

/* ---- ends ------------------------------------------------------------------------------------ */

void agent_stop(struct agent *self, struct agent_entry *entry, uint64_t now_ms,
                struct agent_out *out)
{
    if (entry->phase == WORK_WAITING) {
        agent_entry_remove(self, entry);
        return;
    }
    if (entry->phase == WORK_ENDED || entry->is_stopped)
        return;
    entry->is_stopped = true;
    agent_emit(out, AGENT_STOP, entry->eval)->slot = entry->slot;
    agent_emit_entry(out, entry, now_ms);
}

static void stop_all(struct agent *self, const struct agent_eval *eval, uint64_t now_ms,
                     struct agent_out *out)
{
    for (size_t i = self->entry_count; i-- > 0;)
        if (self->entries[i]->eval == eval)
            agent_stop(self, self->entries[i], now_ms, out);
}

void agent_on_cancel(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_eval *eval = agent_eval_find(self, event->eval);
    if (!eval || !agent_heed(self, eval, event->ballot, event->now_ms, out)) {
        self->stats.ignored++;
        return;
    }
    if (event->item_count == 0)
        stop_all(self, eval, event->now_ms, out);
    for (size_t i = 0; i < event->item_count; i++) {
        struct agent_entry *entry = agent_entry_find(self, &event->items[i].work);
        /* A new owner cancels what it adopted under its own ballot. */
        if (entry && entry->work.n == event->items[i].work.n)
            agent_stop(self, entry, event->now_ms, out);
    }
}

void agent_on_drop(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_eval *eval = agent_eval_find(self, event->eval);
    if (!eval || eval->is_dropped)
        return;
    agent_forget_claims(self, eval);
    stop_all(self, eval, event->now_ms, out);
    eval->has_offer = false;
    for (size_t i = self->entry_count; i-- > 0;)
        if (self->entries[i]->eval == eval && self->entries[i]->has_result)
            agent_entry_remove(self, self->entries[i]);
    eval->is_dropped = true;
    if (eval->entries == 0)
        agent_eval_forget(self, eval);
}

static struct agent_entry *entry_of_end(struct agent *self, const struct agent_event *event)
{
    struct agent_entry *entry = agent_entry_find(self, &event->work);
    if (entry)
        return work_is_same(&entry->work, &event->work) ? entry : NULL;
    struct agent_eval *eval = agent_eval_get(self, event->work.eval);
    if (eval->is_dropped)
        return NULL;
    if (eval->ballot.epoch == 0)
        eval->ballot = event->work.ballot;
    enum work_phase phase = event->work.m == WORK_CHORE ? WORK_PREPARING : WORK_RUNNING;
    return agent_entry_add(self, eval, &event->work, phase, event->now_ms);
}

void agent_on_ended(struct agent *self, const struct agent_event *event, struct agent_out *out)
{
    struct agent_entry *entry = entry_of_end(self, event);
    if (!entry || entry->has_result) {
        self->stats.ignored++;
        return;
    }
    struct agent_eval *eval = entry->eval;
    bool is_chore = entry->work.m == WORK_CHORE;
    agent_slot_free(self, entry);
    if (is_chore && event->end == WORK_DONE) {
        agent_ready_set(eval, entry->work.p, true);
        eval->claim_ms = event->now_ms;
        eval->backoff_ms = AGENT_CLAIM_MS;
    }
    if (is_chore)
        eval->chore_ms = event->now_ms;
    if (event->end == WORK_REFUSED) {
        struct work_item item = {.work = entry->work, .estimate_ms = entry->estimate_ms};
        agent_ready_set(eval, entry->work.p, false);
        agent_refuse(self, eval, eval->ballot.owner, &item, WORK_UNREADY, out);
    }
    bool is_over = entry->is_stopped && event->end == WORK_CANCELLED;
    if (is_over || eval->is_dropped || event->end == WORK_REFUSED) {
        agent_entry_remove(self, entry);
        return;
    }
    entry->end = event->end;
    entry->blame = event->blame;
    entry->took_ms = event->took_ms;
    agent_entry_move(self, entry, WORK_ENDED);
    agent_entry_keep_result(self, entry);
    agent_send_result(self, entry, event->now_ms, out);
}

void agent_on_freed(struct agent *self, const struct agent_event *event)
{
    struct agent_entry *entry = agent_entry_find(self, &event->work);
    if (!entry || !work_is_same(&entry->work, &event->work) || entry->slot == AGENT_NO_SLOT) {
        self->stats.ignored++;
        return;
    }
    agent_slot_free(self, entry);
    if (entry->work.m != WORK_CHORE)
        agent_entry_move(self, entry, WORK_ENDED);
}

void agent_on_wants_slot(struct agent *self, const struct agent_event *event)
{
    struct agent_entry *entry = agent_entry_find(self, &event->work);
    if (!entry || entry->phase != WORK_PREPARING || entry->wants_slot ||
        entry->slot != AGENT_NO_SLOT) {
        self->stats.ignored++;
        return;
    }
    entry->wants_slot = true;
    self->wanting++;
}

void agent_on_acked(struct agent *self, const struct agent_event *event)
{
    struct agent_entry *entry = agent_entry_find(self, &event->work);
    if (!entry || !entry->has_result || !work_is_same(&entry->work, &event->work)) {
        self->stats.ignored++;
        return;
    }
    entry->eval->is_owner_lost = false;
    agent_entry_remove(self, entry);
}
