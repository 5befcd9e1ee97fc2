#include "node/eval/internal.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>

#define WEIGHT_OF_PRIORITY_0 101

struct evaluation *evals_find(const struct evals *self, uint64_t id)
{
    for (struct evaluation *eval = self->first; eval; eval = eval->next)
        if (eval->id == id)
            return eval;
    return NULL;
}

const struct doc *evals_document(const struct evaluation *eval)
{
    return store_find(eval->owner->config.store, eval->id, NULL);
}

static void evaluation_free(struct evaluation *eval)
{
    for (size_t p = 0; p < eval->project_count; p++) {
        prepare_free(eval->projects[p].prepared);
        free(eval->projects[p].identity);
    }
    free(eval->projects);
    free(eval);
}

static void forget(struct evaluation *eval)
{
    struct evaluation **at = &eval->owner->first;
    while (*at != eval)
        at = &(*at)->next;
    *at = eval->next;
    evaluation_free(eval);
}

void evals_touch(struct evaluation *eval) { eval->revision = ++eval->owner->revision; }

/* ---- appending ------------------------------------------------------------------------------- */

void evals_on_appended(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    struct evaluation *eval = arg;
    eval->appends--;
    if (err && err->code != ERR_NONE) {
        /* The store has stopped writing; the process is about to drain and start again. */
        log_error("append_failed", "eval=%" PRIu64 " %s", eval->id, err->text);
        return;
    }
    evals_touch(eval);
    evals_seal_if_complete(eval);
}

void evals_append(struct evaluation *eval, const struct delta *delta)
{
    eval->appends++;
    store_apply(eval->owner->config.store, delta, evals_on_appended, eval);
}

struct project *evals_project(const struct evals *self, const struct dispatch_work *work)
{
    struct evaluation *eval = evals_find(self, work->eval);
    return eval && work->project < eval->project_count ? &eval->projects[work->project] : NULL;
}

/* ---- what the dispatcher wants --------------------------------------------------------------- */

static void start(struct evals *self, const struct dispatch_work *work)
{
    struct project *project = evals_project(self, work);
    assert(project);
    if (work->module == DISPATCH_CHORE)
        project_start_chore(project, work);
    else
        attempt_start(self, work);
}

static void stop(struct evals *self, const struct dispatch_work *work)
{
    const struct project *project = evals_project(self, work);
    if (work->module != DISPATCH_CHORE)
        attempt_stop(self, work);
    else if (project && project->is_preparing)
        prepare_cancel(project->prepared);
}

static void drained_if_idle(struct evals *self)
{
    if (!self->is_draining || !self->on_drained || dispatch_load(self->dispatch, 0).running > 0)
        return;
    void (*done)(void *arg) = self->on_drained;
    self->on_drained = NULL;
    done(self->on_drained_arg);
}

static void act(struct evals *self, const struct dispatch_effect *effect)
{
    switch (effect->kind) {
    case DISPATCH_START:
        start(self, &effect->work);
        break;
    case DISPATCH_STOP:
        stop(self, &effect->work);
        break;
    case DISPATCH_GIVE_UP:
        attempt_give_up(self, &effect->work);
        break;
    }
}

static void keep_effects(struct evals *self, const struct dispatch_out *out)
{
    struct dispatch_out *waiting = &self->effects_waiting;
    waiting->effects = mem_grow(waiting->effects, &waiting->capacity, waiting->count + out->count,
                                sizeof *waiting->effects);
    for (size_t i = 0; i < out->count; i++)
        waiting->effects[waiting->count++] = out->effects[i];
}

/* Effects may lead to events in turn, as when a job cannot be started. Their effects are queued, so
 * that a thousand such modules are a thousand rounds and not a stack of a thousand calls. */
void evals_step(struct evals *self, const struct dispatch_event *event)
{
    struct dispatch_out out = {0};
    dispatch_step(self->dispatch, event, &out);
    keep_effects(self, &out);
    dispatch_out_fini(&out);
    if (self->is_acting)
        return;
    self->is_acting = true;
    while (self->effects_next < self->effects_waiting.count) {
        struct dispatch_effect effect = self->effects_waiting.effects[self->effects_next++];
        act(self, &effect);
    }
    self->effects_waiting.count = self->effects_next = 0;
    self->is_acting = false;
    drained_if_idle(self);
}

/* ---- the seal -------------------------------------------------------------------------------- */

static void on_sealed(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    struct evaluation *eval = arg;
    struct evals *self = eval->owner;
    uint64_t id = eval->id;
    if (err && err->code != ERR_NONE) {
        log_error("seal_failed", "eval=%" PRIu64 " %s", id, err->text);
        return;
    }
    log_info("eval_done", "id=%" PRIu64, id);
    forget(eval);
    if (self->on_final)
        self->on_final(self->on_final_arg, id);
}

static bool is_running(const struct evals *self, const struct evaluation *eval)
{
    for (const struct attempt *attempt = self->attempts; attempt; attempt = attempt->next)
        if (attempt->project->eval == eval)
            return true;
    return false;
}

void evals_seal_if_complete(struct evaluation *eval)
{
    struct evals *self = eval->owner;
    if (self->is_stopped || eval->is_sealing || eval->appends > 0 || eval->preparing > 0 ||
        is_running(self, eval))
        return;
    const struct doc *doc = evals_document(eval);
    if (!doc || !(doc_is_complete(doc) || doc->cancel))
        return;
    eval->is_sealing = true;
    owned_delta seal = {0};
    doc_make_seal(doc, eval->ballot, store_identity(self->config.store)->gen, clock_wall_ms(),
                  &seal);
    seal.com = eval->ballot; /* a mesh of one is its own majority */
    store_apply(self->config.store, &seal, on_sealed, eval);
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct evals *evals_new(const struct evals_config *config)
{
    struct evals *self = mem_new(sizeof *self);
    self->config = *config;
    self->revision = store_identity(config->store)->gen << 32;
    self->dispatch = dispatch_new();
    evals_step(self, &(struct dispatch_event){.kind = DISPATCH_SLOTS, .slots = config->slots});
    return self;
}

void evals_free(struct evals *self)
{
    if (!self)
        return;
    while (self->attempts)
        attempt_free(self, self->attempts);
    while (self->first)
        forget(self->first);
    dispatch_free(self->dispatch);
    dispatch_out_fini(&self->effects_waiting);
    free(self);
}

void evals_adopt(struct evals *self, uint64_t id)
{
    const struct doc *doc = store_find(self->config.store, id, NULL);
    if (!doc || !doc->req || !doc->fence || doc_is_final(doc) || evals_find(self, id))
        return;
    struct evaluation *eval = mem_new(sizeof *eval);
    eval->owner = self;
    eval->id = id;
    eval->ballot = doc->fence->ballot;
    eval->weight = (uint32_t)(WEIGHT_OF_PRIORITY_0 + doc->req->options.priority);
    eval->is_cancelled = doc->cancel;
    eval->project_count = doc->req->project_count;
    eval->projects = mem_new_array(eval->project_count, sizeof *eval->projects);
    eval->next = self->first;
    self->first = eval;
    evals_touch(eval);
    for (uint32_t p = 0; p < eval->project_count; p++) {
        struct project *project = &eval->projects[p];
        *project = (struct project){.eval = eval, .p = p, .identity = summary_identity(doc, p)};
        if (!eval->is_cancelled && !self->is_draining && !doc_project_is_complete(doc, p))
            project_prepare(project, doc);
    }
    evals_seal_if_complete(eval);
}

struct claim {
    struct evals *self;
    uint64_t id;
};

static void on_fenced(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    owned_mem struct claim *claim = arg;
    if (err && err->code != ERR_NONE)
        log_error("recover_failed", "eval=%" PRIu64 " %s", claim->id, err->text);
    else
        evals_adopt(claim->self, claim->id);
}

static void reclaim(struct evals *self, uint64_t id)
{
    const struct doc *doc = store_find(self->config.store, id, NULL);
    if (!doc || !doc->req || !doc->fence)
        return;
    const struct store_identity *me = store_identity(self->config.store);
    struct doc_fence fence = {
        .ballot = {.epoch = doc->fence->ballot.epoch + 1, .owner = me->nid_short},
        .gen = me->gen,
        .reps = doc->fence->reps,
        .rep_count = doc->fence->rep_count};
    struct claim *claim = mem_new(sizeof *claim);
    *claim = (struct claim){.self = self, .id = id};
    log_info("eval_recovered", "id=%" PRIu64 " epoch=%u", id, fence.ballot.epoch);
    store_apply(self->config.store, &(struct delta){.id = id, .fence = &fence}, on_fenced, claim);
}

struct unsealed {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};

static bool collect(void *arg, const struct doc *doc)
{
    struct unsealed *list = arg;
    list->ids = mem_grow(list->ids, &list->capacity, list->count + 1, sizeof *list->ids);
    list->ids[list->count++] = doc->id;
    return true;
}

void evals_recover(struct evals *self)
{
    struct unsealed list = {0};
    store_each_unsealed(self->config.store, collect, &list);
    for (size_t i = 0; i < list.count; i++)
        reclaim(self, list.ids[i]);
    free(list.ids);
}

struct cancelling {
    struct evals *self;
    uint64_t id;
    store_done_fn *done;
    void *arg;
};

static void stop_preparing(struct evaluation *eval)
{
    for (size_t p = 0; p < eval->project_count; p++)
        if (eval->projects[p].is_preparing && !eval->projects[p].has_slot)
            prepare_cancel(eval->projects[p].prepared);
}

static void cancel(struct evaluation *eval)
{
    eval->is_cancelled = true;
    evals_touch(eval);
    evals_step(eval->owner,
               &(struct dispatch_event){.kind = DISPATCH_DROP, .work = {.eval = eval->id}});
    stop_preparing(eval);
    evals_seal_if_complete(eval);
}

static void on_cancelled(void *arg, const struct err *err, unsigned changed)
{
    owned_mem struct cancelling *wish = arg;
    struct evaluation *eval = evals_find(wish->self, wish->id);
    if (eval && (!err || err->code == ERR_NONE))
        cancel(eval);
    if (wish->done)
        wish->done(wish->arg, err, changed);
}

void evals_cancel(struct evals *self, uint64_t id, store_done_fn *done, void *arg)
{
    struct cancelling *wish = mem_new(sizeof *wish);
    *wish = (struct cancelling){.self = self, .id = id, .done = done, .arg = arg};
    store_apply(self->config.store, &(struct delta){.id = id, .cancel = true}, on_cancelled, wish);
}

void evals_live(const struct evals *self, uint64_t id, struct evals_live *out)
{
    const struct evaluation *eval = evals_find(self, id);
    *out = (struct evals_live){.revision = eval ? eval->revision : 0};
    out->live.now_ms = clock_wall_ms();
    out->live.preparing = eval && eval->preparing > 0;
    out->running = mem_new_array(self->config.slots, sizeof *out->running);
    for (const struct attempt *attempt = self->attempts; attempt; attempt = attempt->next) {
        if (attempt->work.eval != id)
            continue;
        out->running[out->live.running_count++] =
            (struct summary_running){.p = attempt->project->p,
                                     .m = attempt->work.module,
                                     .n = attempt->n,
                                     .addr = self->config.address,
                                     .start_ms = attempt->start_ms,
                                     .tally = attempt_tally(attempt)};
    }
    out->live.running = out->running;
}

void evals_live_fini(struct evals_live *self) { free(self->running); }

struct evals_load evals_load(const struct evals *self)
{
    struct dispatch_load load = dispatch_load(self->dispatch, 0);
    struct evals_load out = {.slots = self->config.slots,
                             .running = load.running,
                             .waiting = load.waiting,
                             .waiting_ms = load.waiting_ms};
    for (const struct evaluation *eval = self->first; eval; eval = eval->next) {
        out.evaluations++;
        out.preparing += eval->preparing;
    }
    return out;
}

void evals_on_final(struct evals *self, evals_final_fn *fn, void *arg)
{
    self->on_final = fn;
    self->on_final_arg = arg;
}

void evals_drain(struct evals *self, void (*done)(void *arg), void *arg)
{
    self->is_draining = true;
    self->on_drained = done;
    self->on_drained_arg = arg;
    for (struct evaluation *eval = self->first; eval; eval = eval->next)
        stop_preparing(eval);
    evals_step(self, &(struct dispatch_event){.kind = DISPATCH_SLOTS, .slots = 0});
}

void evals_stop(struct evals *self) { self->is_stopped = true; }
