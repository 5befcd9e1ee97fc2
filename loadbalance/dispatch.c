#include "loadbalance/dispatch.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

#define BACKLOG_PER_SLOT 2
#define STRIDE           (UINT64_C(1) << 20)

struct waiting {
    uint32_t project;
    uint32_t module;
    uint32_t estimate_ms;
    bool is_measured;
    uint32_t losses;
};

struct evaluation {
    uint64_t id;
    uint32_t weight;
    uint32_t running;
    uint64_t served;         /* STRIDE / weight for every start, from `now` when it came */
    struct waiting *modules; /* sorted: the next to start is the last */
    size_t module_count;
    size_t module_capacity;
    struct waiting *chores; /* in order of arrival */
    size_t chore_count;
    size_t chore_capacity;
    size_t chore_next;
};

struct slot {
    bool is_busy;
    bool is_dropped; /* its evaluation is no longer wanted */
    struct dispatch_work work;
    struct waiting origin;
};

struct dispatch {
    struct evaluation **evals; /* oldest first */
    size_t eval_count;
    size_t eval_capacity;
    uint64_t now; /* the largest `served` that has had its turn */
    struct slot slots[DISPATCH_SLOTS_MAX];
    uint32_t slot_count;
};

struct dispatch *dispatch_new(void) { return mem_new(sizeof(struct dispatch)); }

static void evaluation_free(struct evaluation *eval)
{
    free(eval->modules);
    free(eval->chores);
    free(eval);
}

void dispatch_free(struct dispatch *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->eval_count; i++)
        evaluation_free(self->evals[i]);
    free(self->evals);
    free(self);
}

void dispatch_out_fini(struct dispatch_out *out)
{
    free(out->effects);
    *out = (struct dispatch_out){0};
}

static void emit(struct dispatch_out *out, enum dispatch_effect_kind kind,
                 const struct dispatch_work *work)
{
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    out->effects[out->count++] = (struct dispatch_effect){.kind = kind, .work = *work};
}

static struct evaluation *find(const struct dispatch *self, uint64_t id)
{
    for (size_t i = 0; i < self->eval_count; i++)
        if (self->evals[i]->id == id)
            return self->evals[i];
    return NULL;
}

static struct evaluation *find_or_add(struct dispatch *self, uint64_t id, uint32_t weight)
{
    struct evaluation *eval = find(self, id);
    if (eval)
        return eval;
    eval = mem_new(sizeof *eval);
    eval->id = id;
    eval->weight = weight ? weight : 1;
    eval->served = self->now;
    self->evals =
        mem_grow(self->evals, &self->eval_capacity, self->eval_count + 1, sizeof *self->evals);
    self->evals[self->eval_count++] = eval;
    return eval;
}

static bool has_waiting(const struct evaluation *eval)
{
    return eval->module_count > 0 || eval->chore_next < eval->chore_count;
}

/* An evaluation without work is forgotten; it comes back with its next DISPATCH_ADD. */
static void forget_if_empty(struct dispatch *self, struct evaluation *eval)
{
    if (has_waiting(eval) || eval->running > 0)
        return;
    for (size_t i = 0; i < self->eval_count; i++) {
        if (self->evals[i] == eval) {
            self->eval_count--;
            memmove(&self->evals[i], &self->evals[i + 1],
                    (self->eval_count - i) * sizeof *self->evals);
            break;
        }
    }
    evaluation_free(eval);
}

/* Does `a` start before `b`? Lost before fresh, long before short, unmeasured before measured; then
 * the order of the plan, so that every run of the machine is the same. */
static bool goes_before(const struct waiting *a, const struct waiting *b)
{
    if (a->losses != b->losses)
        return a->losses > b->losses;
    if (a->estimate_ms != b->estimate_ms)
        return a->estimate_ms > b->estimate_ms;
    if (a->is_measured != b->is_measured)
        return b->is_measured;
    if (a->project != b->project)
        return a->project < b->project;
    return a->module < b->module;
}

static void insert_module(struct evaluation *eval, const struct waiting *fresh)
{
    eval->modules = mem_grow(eval->modules, &eval->module_capacity, eval->module_count + 1,
                             sizeof *eval->modules);
    size_t low = 0;
    size_t high = eval->module_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (goes_before(fresh, &eval->modules[middle]))
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&eval->modules[low + 1], &eval->modules[low],
            (eval->module_count - low) * sizeof *eval->modules);
    eval->modules[low] = *fresh;
    eval->module_count++;
}

static void insert_chore(struct evaluation *eval, const struct waiting *chore)
{
    eval->chores =
        mem_grow(eval->chores, &eval->chore_capacity, eval->chore_count + 1, sizeof *eval->chores);
    eval->chores[eval->chore_count++] = *chore;
}

static void insert(struct evaluation *eval, const struct waiting *fresh)
{
    if (fresh->module == DISPATCH_CHORE)
        insert_chore(eval, fresh);
    else
        insert_module(eval, fresh);
}

static void add(struct dispatch *self, const struct dispatch_event *event)
{
    if (event->modules && event->module_count == 0)
        return;
    struct evaluation *eval = find_or_add(self, event->work.eval, event->weight);
    if (!event->modules) {
        insert(eval, &(struct waiting){.project = event->work.project, .module = DISPATCH_CHORE});
        return;
    }
    for (size_t i = 0; i < event->module_count; i++) {
        const struct dispatch_module *module = &event->modules[i];
        insert(eval, &(struct waiting){.project = event->work.project,
                                       .module = module->index,
                                       .estimate_ms = module->estimate_ms,
                                       .is_measured = module->is_measured});
    }
}

static void ended(struct dispatch *self, const struct dispatch_event *event,
                  struct dispatch_out *out)
{
    if (event->work.slot >= DISPATCH_SLOTS_MAX)
        return;
    struct slot *slot = &self->slots[event->work.slot];
    if (!slot->is_busy || slot->work.eval != event->work.eval ||
        slot->work.project != event->work.project || slot->work.module != event->work.module)
        return;
    slot->is_busy = false;
    struct evaluation *eval = find(self, slot->work.eval);
    if (!eval)
        return;
    if (!slot->is_dropped && eval->running > 0)
        eval->running--;
    if (event->is_lost && !slot->is_dropped) {
        struct waiting again = slot->origin;
        if (++again.losses >= DISPATCH_LOSSES)
            emit(out, DISPATCH_GIVE_UP, &slot->work);
        else
            insert(eval, &again);
    }
    forget_if_empty(self, eval);
}

static void drop(struct dispatch *self, uint64_t id, struct dispatch_out *out)
{
    for (uint32_t i = 0; i < DISPATCH_SLOTS_MAX; i++) {
        struct slot *slot = &self->slots[i];
        if (slot->is_busy && !slot->is_dropped && slot->work.eval == id) {
            slot->is_dropped = true;
            emit(out, DISPATCH_STOP, &slot->work);
        }
    }
    struct evaluation *eval = find(self, id);
    if (!eval)
        return;
    eval->module_count = 0;
    eval->chore_next = eval->chore_count;
    eval->running = 0;
    forget_if_empty(self, eval);
}

static bool is_fairer(const struct evaluation *a, const struct evaluation *b)
{
    uint64_t a_share = (uint64_t)a->running * b->weight;
    uint64_t b_share = (uint64_t)b->running * a->weight;
    return a_share != b_share ? a_share < b_share : a->served < b->served;
}

static struct evaluation *fairest(const struct dispatch *self)
{
    struct evaluation *best = NULL;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct evaluation *eval = self->evals[i];
        if (!has_waiting(eval))
            continue;
        if (!best || is_fairer(eval, best))
            best = eval;
    }
    return best;
}

static struct waiting take(const struct dispatch *self, struct evaluation *eval)
{
    bool has_chore = eval->chore_next < eval->chore_count;
    bool wants_chore = eval->module_count < (size_t)BACKLOG_PER_SLOT * self->slot_count;
    if (has_chore && (wants_chore || eval->module_count == 0))
        return eval->chores[eval->chore_next++];
    assert(eval->module_count > 0);
    return eval->modules[--eval->module_count];
}

static void fill_slots(struct dispatch *self, struct dispatch_out *out)
{
    for (uint32_t i = 0; i < self->slot_count; i++) {
        struct slot *slot = &self->slots[i];
        if (slot->is_busy)
            continue;
        struct evaluation *eval = fairest(self);
        if (!eval)
            return;
        struct waiting next = take(self, eval);
        eval->running++;
        if (eval->served > self->now)
            self->now = eval->served;
        eval->served += STRIDE / eval->weight;
        *slot = (struct slot){
            .is_busy = true,
            .origin = next,
            .work = {.eval = eval->id,
                     .project = next.project,
                     .module = next.module,
                     .attempt = next.losses + 1,
                     .slot = i},
        };
        emit(out, DISPATCH_START, &slot->work);
    }
}

void dispatch_step(struct dispatch *self, const struct dispatch_event *event,
                   struct dispatch_out *out)
{
    out->count = 0;
    switch (event->kind) {
    case DISPATCH_SLOTS:
        self->slot_count = event->slots < DISPATCH_SLOTS_MAX ? event->slots : DISPATCH_SLOTS_MAX;
        break;
    case DISPATCH_ADD:
        add(self, event);
        break;
    case DISPATCH_ENDED:
        ended(self, event, out);
        break;
    case DISPATCH_DROP:
        drop(self, event->work.eval, out);
        break;
    }
    fill_slots(self, out);
}

static void add_waiting(struct dispatch_load *load, const struct evaluation *eval)
{
    load->waiting += eval->module_count + (eval->chore_count - eval->chore_next);
    for (size_t i = 0; i < eval->module_count; i++)
        load->waiting_ms += eval->modules[i].estimate_ms;
}

struct dispatch_load dispatch_load(const struct dispatch *self, uint64_t eval)
{
    struct dispatch_load load = {0};
    for (size_t i = 0; i < self->eval_count; i++)
        if (eval == 0 || self->evals[i]->id == eval)
            add_waiting(&load, self->evals[i]);
    for (size_t i = 0; i < DISPATCH_SLOTS_MAX; i++) {
        const struct slot *slot = &self->slots[i];
        load.running += slot->is_busy && (eval == 0 || slot->work.eval == eval);
    }
    return load;
}
