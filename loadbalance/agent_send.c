/* What the agent tells the owners. */
#include "loadbalance/agent_inner.h"
#include "proto/base/mem.h"

struct agent_effect *agent_emit(struct agent_out *out, enum agent_effect_kind kind,
                                const struct agent_eval *eval)
{
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    struct agent_effect *effect = &out->effects[out->count++];
    *effect = (struct agent_effect){
        .kind = kind, .first = out->item_count, .first_ready = out->ready_count};
    if (eval) {
        effect->owner = eval->ballot.owner;
        effect->eval = eval->id;
        effect->ballot = eval->ballot;
    }
    return effect;
}

static void emit_item(struct agent_out *out, const struct work_item *item)
{
    out->items = mem_grow(out->items, &out->item_capacity, out->item_count + 1, sizeof *out->items);
    out->items[out->item_count++] = *item;
    out->effects[out->count - 1].count++;
}

static uint32_t elapsed(const struct agent_entry *entry, uint64_t now_ms)
{
    if (entry->started_ms == 0 || now_ms < entry->started_ms)
        return 0;
    uint64_t ms = now_ms - entry->started_ms;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void agent_emit_entry(struct agent_out *out, const struct agent_entry *entry, uint64_t now_ms)
{
    emit_item(out, &(struct work_item){.work = entry->work,
                                       .estimate_ms = entry->estimate_ms,
                                       .elapsed_ms = elapsed(entry, now_ms),
                                       .phase = entry->phase});
}

void agent_refuse(struct agent *self, const struct agent_eval *eval, uint64_t owner,
                  const struct work_item *item, enum work_refusal why, struct agent_out *out)
{
    struct agent_effect *last = out->count > 0 ? &out->effects[out->count - 1] : NULL;
    bool is_same = last && last->kind == AGENT_REFUSE && last->eval == item->work.eval &&
                   last->owner == owner && last->refusal == why;
    if (!is_same) {
        struct agent_effect *effect = agent_emit(out, AGENT_REFUSE, eval);
        effect->owner = owner;
        effect->eval = item->work.eval;
        effect->refusal = why;
        if (!eval)
            effect->ballot = item->work.ballot;
    }
    emit_item(out, item);
    self->stats.refused++;
}

/* ---- results --------------------------------------------------------------------------------- */

void agent_send_result(struct agent *self, struct agent_entry *entry, uint64_t now_ms,
                       struct agent_out *out)
{
    bool is_repeat = entry->send_ms > 0;
    struct agent_effect *effect = agent_emit(out, AGENT_RESULT, entry->eval);
    effect->end = entry->end;
    effect->blame = entry->blame;
    effect->took_ms = entry->took_ms;
    effect->is_repeat = is_repeat;
    agent_emit_entry(out, entry, now_ms);
    entry->send_ms = now_ms + (entry->eval->is_owner_lost ? AGENT_LOST_MS : AGENT_RESEND_MS);
    if (entry->send_ms < self->resend_ms)
        self->resend_ms = entry->send_ms;
    self->stats.results++;
    self->stats.resent += is_repeat;
}

void agent_resend(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    if (now_ms < self->resend_ms)
        return;
    self->resend_ms = UINT64_MAX;
    for (struct agent_entry *entry = self->ended.first; entry; entry = entry->next) {
        if (entry->send_ms <= now_ms)
            agent_send_result(self, entry, now_ms, out);
        else if (entry->send_ms < self->resend_ms)
            self->resend_ms = entry->send_ms;
    }
}

/* ---- beats ----------------------------------------------------------------------------------- */

void agent_beat(struct agent *self, uint64_t owner, uint64_t now_ms, struct agent_out *out)
{
    agent_emit(out, AGENT_BEAT, NULL)->owner = owner;
    size_t room = AGENT_ITEMS_MAX;
    for (size_t i = 0; i < self->entry_count && room > 0; i++) {
        if (self->entries[i]->eval->ballot.owner != owner)
            continue;
        agent_emit_entry(out, self->entries[i], now_ms);
        room--;
    }
}

static bool was_told(const struct agent_out *out, size_t from, uint64_t owner)
{
    for (size_t i = from; i < out->count; i++)
        if (out->effects[i].kind == AGENT_BEAT && out->effects[i].owner == owner)
            return true;
    return false;
}

void agent_beat_all(struct agent *self, uint64_t now_ms, struct agent_out *out)
{
    if (self->entry_count == 0) {
        self->beat_ms = 0;
        return;
    }
    if (self->beat_ms == 0)
        self->beat_ms = now_ms + AGENT_BEAT_MS;
    if (now_ms < self->beat_ms)
        return;
    self->beat_ms = now_ms + AGENT_BEAT_MS;
    size_t from = out->count;
    for (size_t i = 0; i < self->eval_count; i++) {
        const struct agent_eval *eval = self->evals[i];
        if (eval->entries > 0 && !was_told(out, from, eval->ballot.owner))
            agent_beat(self, eval->ballot.owner, now_ms, out);
    }
}
