/* The evaluations and attempts that the agent keeps. */
#include "loadbalance/agent_inner.h"
#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

/* ---- evaluations ----------------------------------------------------------------------------- */

struct agent_eval *agent_eval_find(const struct agent *self, uint64_t id)
{
    return byid_find(self->evals, self->eval_count, id);
}

struct agent_eval *agent_eval_get(struct agent *self, uint64_t id)
{
    struct agent_eval *eval = agent_eval_find(self, id);
    if (eval)
        return eval;
    eval = mem_new(sizeof *eval);
    eval->id = id;
    eval->serial = ++self->serial;
    eval->weight = 1;
    eval->served = self->turn;
    eval->backoff_ms = AGENT_CLAIM_MS;
    self->evals = byid_add(self->evals, &self->eval_count, &self->eval_capacity, eval);
    return eval;
}

void agent_eval_free(struct agent_eval *eval)
{
    free(eval->ready);
    free(eval);
}

void agent_eval_forget(struct agent *self, struct agent_eval *eval)
{
    byid_remove(self->evals, &self->eval_count, eval->id);
    agent_eval_free(eval);
}

void agent_ready_set(struct agent_eval *eval, uint32_t p, bool is_ready)
{
    size_t at = 0;
    while (at < eval->ready_count && eval->ready[at] < p)
        at++;
    bool was_ready = at < eval->ready_count && eval->ready[at] == p;
    if (was_ready == is_ready || p >= WORK_PROJECTS_MAX)
        return;
    if (was_ready) {
        memmove(&eval->ready[at], &eval->ready[at + 1],
                (--eval->ready_count - at) * sizeof *eval->ready);
        return;
    }
    eval->ready =
        mem_grow(eval->ready, &eval->ready_capacity, eval->ready_count + 1, sizeof *eval->ready);
    memmove(&eval->ready[at + 1], &eval->ready[at],
            (eval->ready_count++ - at) * sizeof *eval->ready);
    eval->ready[at] = p;
}

/* ---- attempts -------------------------------------------------------------------------------- */

static int compare(const struct work *a, const struct work *b)
{
    if (a->eval != b->eval)
        return a->eval < b->eval ? -1 : 1;
    if (a->p != b->p)
        return a->p < b->p ? -1 : 1;
    return a->m == b->m ? 0 : a->m < b->m ? -1 : 1;
}

static size_t entry_place(const struct agent *self, const struct work *work)
{
    size_t low = 0;
    size_t high = self->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&self->entries[middle]->work, work) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct agent_entry *agent_entry_find(const struct agent *self, const struct work *work)
{
    size_t at = entry_place(self, work);
    bool is_here = at < self->entry_count && compare(&self->entries[at]->work, work) == 0;
    return is_here ? self->entries[at] : NULL;
}

static struct agent_list *list_of(struct agent *self, const struct agent_entry *entry)
{
    if (entry->has_result)
        return &self->ended;
    return entry->phase == WORK_WAITING ? &self->waiting : &self->active;
}

static bool is_module(const struct agent_entry *entry) { return entry->work.m != WORK_CHORE; }

/* Counts it in (sign 1) or out (-1) of what is summed by phase. */
static void count(struct agent *self, struct agent_entry *entry, int sign)
{
    uint32_t one = (uint32_t)sign;
    if (entry->phase == WORK_WAITING)
        self->waiting_ms += (uint64_t)sign * entry->estimate_ms;
    if (entry->phase == WORK_PREPARING) {
        self->chores += one;
        entry->eval->chores += one;
    }
    if (is_module(entry) && (entry->phase == WORK_WAITING || entry->phase == WORK_RUNNING))
        entry->eval->here += one;
}

static void link_in(struct agent *self, struct agent_entry *entry)
{
    struct agent_list *list = list_of(self, entry);
    entry->next = NULL;
    entry->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = entry;
    list->last = entry;
    list->count++;
    count(self, entry, 1);
}

static void link_out(struct agent *self, struct agent_entry *entry)
{
    struct agent_list *list = list_of(self, entry);
    *(entry->previous ? &entry->previous->next : &list->first) = entry->next;
    *(entry->next ? &entry->next->previous : &list->last) = entry->previous;
    list->count--;
    count(self, entry, -1);
}

struct agent_entry *agent_entry_add(struct agent *self, struct agent_eval *eval,
                                    const struct work *work, enum work_phase phase, uint64_t now_ms)
{
    size_t at = entry_place(self, work);
    self->entries = mem_grow(self->entries, &self->entry_capacity, self->entry_count + 1,
                             sizeof(struct agent_entry *));
    memmove(&self->entries[at + 1], &self->entries[at],
            (self->entry_count - at) * sizeof(struct agent_entry *));
    struct agent_entry *entry = mem_new(sizeof *entry);
    *entry = (struct agent_entry){
        .work = *work, .eval = eval, .phase = phase, .since_ms = now_ms, .slot = AGENT_NO_SLOT};
    self->entries[at] = entry;
    self->entry_count++;
    eval->entries++;
    link_in(self, entry);
    return entry;
}

void agent_entry_move(struct agent *self, struct agent_entry *entry, enum work_phase phase)
{
    link_out(self, entry);
    entry->phase = phase;
    link_in(self, entry);
}

void agent_entry_keep_result(struct agent *self, struct agent_entry *entry)
{
    link_out(self, entry);
    entry->has_result = true;
    link_in(self, entry);
}

void agent_entry_remove(struct agent *self, struct agent_entry *entry)
{
    size_t at = entry_place(self, &entry->work);
    assert(self->entries[at] == entry);
    agent_slot_free(self, entry);
    link_out(self, entry);
    memmove(&self->entries[at], &self->entries[at + 1],
            (--self->entry_count - at) * sizeof(struct agent_entry *));
    struct agent_eval *eval = entry->eval;
    free(entry);
    if (--eval->entries == 0 && eval->is_dropped)
        agent_eval_forget(self, eval);
}

/* ---- slots ----------------------------------------------------------------------------------- */

void agent_slot_take(struct agent *self, struct agent_entry *entry)
{
    uint32_t slot = 0;
    while (self->slots[slot])
        slot++;
    assert(slot < self->slot_count && self->busy < self->slot_count);
    self->slots[slot] = entry;
    self->busy++;
    self->wanting -= entry->wants_slot;
    entry->wants_slot = false;
    entry->slot = slot;
}

void agent_slot_free(struct agent *self, struct agent_entry *entry)
{
    self->wanting -= entry->wants_slot;
    entry->wants_slot = false;
    if (entry->slot == AGENT_NO_SLOT)
        return;
    self->slots[entry->slot] = NULL;
    self->busy--;
    entry->slot = AGENT_NO_SLOT;
}
