#include "loadbalance/queue.h"

#include "loadbalance/queue_inner.h"
#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <string.h>

#define PREPARE_MS_DEFAULT         5000
#define PREPARE_TIMEOUT_MS_DEFAULT 1800000

struct queue *queue_new(const struct queue_config *config)
{
    struct queue *self = mem_new(sizeof *self);
    self->config = *config;
    if (self->config.prepare_timeout_ms == 0)
        self->config.prepare_timeout_ms = PREPARE_TIMEOUT_MS_DEFAULT;
    self->prepare_ms = config->prepare_ms ? config->prepare_ms : PREPARE_MS_DEFAULT;
    self->deadline_ms = UINT64_MAX;
    rand_init(&self->rand, config->seed);
    return self;
}

static void eval_free(struct queue_eval *eval)
{
    for (size_t i = 0; i < eval->project_count; i++)
        queue_project_free(&eval->projects[i]);
    for (size_t i = 0; i < eval->link_count; i++)
        queue_link_free(eval->links[i]);
    free(eval->projects);
    free(eval->links);
    free(eval->suspects);
    free(eval);
}

void queue_free(struct queue *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->peer_count; i++)
        while (self->peers[i]->first)
            queue_run_free(self->peers[i]->first);
    for (size_t i = 0; i < self->peer_count; i++)
        free(self->peers[i]);
    for (size_t i = 0; i < self->eval_count; i++)
        eval_free(self->evals[i]);
    for (size_t i = 0; i < QUEUE_INCIDENTS; i++)
        free(self->incidents[i].works);
    free(self->peers);
    free(self->evals);
    free(self);
}

/* ---- effects --------------------------------------------------------------------------------- */

void queue_out_fini(struct queue_out *out)
{
    free(out->effects);
    free(out->items);
    *out = (struct queue_out){0};
}

struct queue_effect *queue_emit(struct queue_out *out, enum queue_effect_kind kind,
                                const struct queue_eval *eval, const struct queue_peer *peer)
{
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    struct queue_effect *effect = &out->effects[out->count++];
    *effect = (struct queue_effect){.kind = kind, .first = out->item_count};
    if (eval) {
        effect->eval = eval->id;
        effect->ballot = eval->ballot;
    }
    if (peer)
        effect->peer = peer->id;
    return effect;
}

void queue_emit_item(struct queue_out *out, const struct work *work, uint32_t estimate_ms)
{
    out->items = mem_grow(out->items, &out->item_capacity, out->item_count + 1, sizeof *out->items);
    out->items[out->item_count++] = (struct work_item){.work = *work, .estimate_ms = estimate_ms};
    out->effects[out->count - 1].count++;
}

void queue_cancel(const struct queue_run *run, struct queue_out *out)
{
    queue_emit(out, QUEUE_CANCEL, run->eval, run->peer);
    queue_emit_item(out, &run->work, 0);
}

/* ---- evaluations ----------------------------------------------------------------------------- */

struct queue_eval *queue_eval_find(const struct queue *self, uint64_t id)
{
    return byid_find(self->evals, self->eval_count, id);
}

uint32_t queue_queued(const struct queue_eval *eval)
{
    size_t queued = eval->waiting + eval->unready;
    return queued < UINT32_MAX ? (uint32_t)queued : UINT32_MAX;
}

static void on_add_eval(struct queue *self, const struct queue_event *event)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    if (eval && work_ballot_compare(event->ballot, eval->ballot) <= 0) {
        self->stats.ignored++;
        return;
    }
    if (!eval) {
        eval = mem_new(sizeof *eval);
        eval->id = event->eval;
        eval->queue = self;
        self->evals = byid_add(self->evals, &self->eval_count, &self->eval_capacity, eval);
        eval->serial = ++self->serial;
        eval->served = self->turn;
    }
    eval->ballot = event->ballot;
    eval->weight = event->weight ? event->weight : 1;
    eval->timeout_ms = event->timeout_ms;
    if (event->is_adopted)
        eval->adopt_until_ms = event->now_ms + QUEUE_ADOPT_MS;
}

static void on_drop(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    if (!eval)
        return;
    for (size_t i = 0; i < self->peer_count; i++) {
        struct queue_peer *peer = self->peers[i];
        struct queue_link *link = queue_link_find(eval, peer);
        if (!link || link->running == 0)
            continue;
        if (!event->is_kept)
            queue_emit(out, QUEUE_CANCEL, eval, peer);
        for (struct queue_run *run = peer->first, *next; run; run = next) {
            next = run->next;
            if (run->eval == eval)
                queue_run_free(run);
        }
    }
    if (eval->is_rumored)
        queue_emit(out, QUEUE_RUMOR, eval, NULL);
    self->waiting -= eval->waiting;
    self->waiting_ms -= eval->waiting_ms;
    byid_remove(self->evals, &self->eval_count, eval->id);
    eval_free(eval);
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool is_too_long(const struct queue *self, const struct queue_run *run, uint64_t now_ms)
{
    uint64_t limit =
        run->work.m == WORK_CHORE ? self->config.prepare_timeout_ms : run->eval->timeout_ms;
    if (run->is_waiting || limit == 0)
        return false;
    return run->since_ms + 2 * limit + QUEUE_SILENCE_MS < now_ms;
}

static void look_after_runs(struct queue *self, struct queue_peer *peer, uint64_t now_ms,
                            struct queue_out *out)
{
    for (struct queue_run *run = peer->first, *next; run; run = next) {
        next = run->next;
        uint64_t heard = run->since_ms > peer->beat_ms ? run->since_ms : peer->beat_ms;
        bool is_silent = heard + QUEUE_SILENCE_MS < now_ms;
        bool is_forgotten = run->is_ended && run->since_ms + QUEUE_SILENCE_MS < now_ms;
        if (!is_silent && !is_forgotten && !is_too_long(self, run, now_ms))
            continue;
        queue_cancel(run, out);
        queue_lose(self, run, LOSS_CLUSTER, now_ms, out);
    }
}

static void release_held(struct queue_eval *eval, uint64_t now_ms)
{
    eval->held = 0;
    for (size_t i = 0; i < eval->project_count; i++) {
        struct queue_project *project = &eval->projects[i];
        if (project->held_until_ms > now_ms) {
            eval->held++;
        } else if (project->held_until_ms > 0) {
            project->held_until_ms = 0;
            queue_project_refresh(eval, project);
        }
    }
}

/* Nodes may have left that were to do better. */
static void judge_chores(struct queue *self, struct queue_eval *eval, struct queue_out *out)
{
    for (size_t i = 0; i < eval->project_count && eval->unready > 0; i++)
        queue_judge_chore(self, eval, &eval->projects[i], out);
}

/* Returns whether it was time. */
static bool on_tick(struct queue *self, uint64_t now_ms, struct queue_out *out)
{
    if (now_ms < self->tick_ms + QUEUE_TICK_MS)
        return false;
    self->tick_ms = now_ms;
    for (size_t i = 0; i < self->peer_count; i++)
        look_after_runs(self, self->peers[i], now_ms, out);
    for (size_t i = 0; i < self->eval_count; i++) {
        if (self->evals[i]->held > 0)
            release_held(self->evals[i], now_ms);
        judge_chores(self, self->evals[i], out);
    }
    return true;
}

static void tell_rumor(struct queue_eval *eval, struct queue_out *out)
{
    bool has_work = queue_queued(eval) > 0;
    if (has_work == eval->is_rumored)
        return;
    eval->is_rumored = has_work;
    struct queue_effect *effect = queue_emit(out, QUEUE_RUMOR, eval, NULL);
    effect->queued = queue_queued(eval);
    effect->weight = eval->weight;
}

/* Offers what is new, and again what waits for too long: the more evaluations wait, the seldomer
 * each, since nobody can begin them all. Returns when it wants to be looked at next. */
static uint64_t offer_what_waits(struct queue *self, struct queue_eval *eval, uint64_t now_ms,
                                 struct queue_out *out)
{
    if (queue_queued(eval) == 0)
        return UINT64_MAX;
    uint64_t again = QUEUE_OFFER_MS + self->offering * QUEUE_OFFER_EACH_MS;
    uint64_t gap = eval->is_news ? QUEUE_OFFER_GAP_MS : again;
    uint64_t due = eval->offered_ms ? eval->offered_ms + gap : now_ms;
    if (due < eval->adopt_until_ms)
        due = eval->adopt_until_ms;
    if (due > now_ms)
        return due;
    queue_offer(self, eval, now_ms, out);
    tell_rumor(eval, out);
    return now_ms + again;
}

static void look_at_all(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    uint64_t next = self->eval_count > 0 ? self->tick_ms + QUEUE_TICK_MS : UINT64_MAX;
    size_t offering = 0;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct queue_eval *eval = self->evals[i];
        uint64_t due = offer_what_waits(self, eval, event->now_ms, out);
        next = due < next ? due : next;
        offering += due != UINT64_MAX;
        if (event->kind == QUEUE_TICK && queue_queued(eval) == 0)
            tell_rumor(eval, out);
    }
    self->offering = offering;
    self->deadline_ms = next;
}

/* Most events touch one evaluation: the others need no look before their time. */
static void settle(struct queue *self, const struct queue_event *event, bool was_tick,
                   struct queue_out *out)
{
    bool is_of_all = event->kind == QUEUE_TICK || event->kind == QUEUE_PEER_LOST ||
                     event->kind == QUEUE_BEAT || event->kind == QUEUE_DROP;
    if (is_of_all || was_tick || event->now_ms >= self->deadline_ms) {
        look_at_all(self, event, out);
        return;
    }
    bool is_end = event->kind == QUEUE_ENDED;
    struct queue_eval *eval = queue_eval_find(self, is_end ? event->work.eval : event->eval);
    uint64_t due = eval ? offer_what_waits(self, eval, event->now_ms, out) : UINT64_MAX;
    uint64_t tick = self->eval_count > 0 ? self->tick_ms + QUEUE_TICK_MS : UINT64_MAX;
    due = due < tick ? due : tick;
    self->deadline_ms = due < self->deadline_ms ? due : self->deadline_ms;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void on_peer(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    bool is_new = !queue_peer_find(self, event->peer);
    queue_peer_update(self, event);
    if (is_new)
        queue_offer_all_to(self, queue_peer_find(self, event->peer), event->now_ms, out);
}

void queue_step(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    out->count = 0;
    out->item_count = 0;
    struct queue_peer *peer;
    switch (event->kind) {
    case QUEUE_TICK:
        break;
    case QUEUE_ADD_EVAL:
        on_add_eval(self, event);
        break;
    case QUEUE_ADD_PROJECT:
        queue_add_project(self, event);
        break;
    case QUEUE_ADD_MODULES:
        queue_add_modules(self, event, out);
        break;
    case QUEUE_MODULE_OVER:
        queue_module_over(self, event, out);
        break;
    case QUEUE_PROJECT_OVER:
        queue_project_over(self, event, out);
        break;
    case QUEUE_DROP:
        on_drop(self, event, out);
        break;
    case QUEUE_CLAIM:
        queue_claim(self, event, out);
        break;
    case QUEUE_ENDED:
        queue_ended(self, event, out);
        break;
    case QUEUE_PEER:
        on_peer(self, event, out);
        break;
    case QUEUE_PEER_LOST:
        peer = queue_peer_find(self, event->peer);
        if (peer)
            queue_peer_lose(self, peer, event, out);
        break;
    case QUEUE_BEAT:
        queue_beat(self, event, out);
        break;
    }
    bool was_tick = on_tick(self, event->now_ms, out);
    settle(self, event, was_tick, out);
}

uint64_t queue_deadline(const struct queue *self) { return self->deadline_ms; }

/* ---- questions ------------------------------------------------------------------------------- */

struct queue_waiting queue_waiting(const struct queue *self)
{
    return (struct queue_waiting){.modules = self->waiting, .ms = self->waiting_ms};
}

struct queue_left queue_left(const struct queue *self, uint64_t id)
{
    struct queue_left left = {0};
    for (size_t i = 0; i < self->eval_count; i++) {
        const struct queue_eval *eval = self->evals[i];
        if (id != 0 && eval->id != id)
            continue;
        left.modules += eval->waiting;
        left.waiting_ms += eval->waiting_ms;
        left.apart += eval->suspect_count;
        left.running += eval->running;
        left.chores += eval->unready;
        for (size_t p = 0; p < eval->project_count; p++)
            left.chores += eval->projects[p].preparing > 0 && eval->projects[p].ready == 0;
    }
    return left;
}

static int compare_attempts(const void *a, const void *b)
{
    const struct queue_attempt *x = a;
    const struct queue_attempt *y = b;
    if (x->work.p != y->work.p)
        return x->work.p < y->work.p ? -1 : 1;
    if (x->work.m != y->work.m)
        return x->work.m < y->work.m ? -1 : 1;
    return x->peer < y->peer ? -1 : x->peer > y->peer;
}

size_t queue_attempts(const struct queue *self, uint64_t eval, struct queue_attempt *list,
                      size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        for (const struct queue_run *run = self->peers[i]->first; run; run = run->next) {
            if (run->work.eval != eval)
                continue;
            if (count < room)
                list[count] = (struct queue_attempt){
                    .work = run->work, .peer = run->peer->id, .since_ms = run->since_ms};
            count++;
        }
    }
    if (room > 0)
        qsort(list, count < room ? count : room, sizeof *list, compare_attempts);
    return count;
}

struct queue_stats queue_stats(const struct queue *self) { return self->stats; }
