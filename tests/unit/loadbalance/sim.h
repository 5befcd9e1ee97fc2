/* sim: one owner's queue and N agents on a virtual clock, with messages that take time and get
 * lost, nodes that die and come back, preparations and modules that take as long as they are told
 * to. Node 0 is the owner's own and does not die. Every run of a seed is the same.
 */
#ifndef TESTS_LOADBALANCE_SIM_H
#define TESTS_LOADBALANCE_SIM_H

#include "loadbalance/agent.h"
#include "loadbalance/queue.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SIM_NODES_MAX    256
#define SIM_EVALS_MAX    8
#define SIM_PROJECTS_MAX 512

struct sim_module {
    uint32_t ms;          /* how long it takes */
    uint32_t estimate_ms; /* what the owner believes */
    bool is_measured;
    bool is_poison; /* takes its node with it after a third of its time */
    bool is_over;
    bool is_given_up;
    uint32_t runs;
    enum work_blame blame;
};

struct sim_project {
    struct sim_module *modules; /* owned */
    uint32_t count;
    uint32_t prepare_ms; /* of its environment; nearly nothing where the environment is */
    uint32_t environment;
    bool has_plan;
};

struct sim_eval {
    struct sim_project projects[SIM_PROJECTS_MAX];
    uint32_t count;
    uint32_t weight;
    uint64_t at_ms;   /* when it comes */
    uint64_t done_ms; /* 0: not yet */
    uint64_t busy_ms; /* slot time that it had */
    uint32_t left;
};

struct sim_config {
    uint64_t seed;
    uint32_t nodes;
    uint32_t slots;
    uint32_t latency_min_ms, latency_max_ms;
    uint32_t loss_percent;
    uint32_t rtt_us;        /* what the owner believes; 0: from the latency */
    uint32_t death_each_ms; /* mean time between deaths; 0: none */
    uint32_t deaths_until_ms;
    bool is_cold;           /* projects must be prepared */
    uint32_t owner_dies_ms; /* and another takes over 2 s later; 0: never */
};

enum sim_kind {
    SIM_TO_QUEUE,
    SIM_TO_AGENT,
    SIM_MODULE_ENDS,
    SIM_CHORE_STEP,
    SIM_UP,
    SIM_DEATH,
    SIM_ADD,
    SIM_OWNER_DIES,
    SIM_TAKE_OVER,
};

struct sim_event {
    uint64_t at_ms;
    uint64_t order;
    enum sim_kind kind;
    uint32_t node;
    uint32_t life;
    union {
        struct queue_event to_queue;
        struct agent_event to_agent;
    };
    struct work_item *items; /* owned */
    uint32_t *ready;         /* owned */
    struct work work;
    uint64_t owner; /* a message to this one; 0: to whoever owns */
    uint32_t step;
    uint64_t began_ms;
};

struct sim_node {
    struct agent *agent; /* NULL: dead */
    uint32_t life;
    uint32_t running;
    bool has_environment[SIM_PROJECTS_MAX];
    bool is_ready[SIM_EVALS_MAX][SIM_PROJECTS_MAX];
    bool is_known;    /* to the owner */
    uint64_t idle_ms; /* since when it has a free slot while something waits; 0: not so */
};

struct sim {
    struct sim_config config;
    struct rand rand;
    struct queue *queue;
    struct queue_out queue_out;
    struct agent_out agent_out;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_eval *evals[SIM_EVALS_MAX];
    uint32_t eval_count;
    struct sim_event **heap;
    size_t heap_count, heap_capacity;
    uint64_t now_ms, order;
    uint64_t idle_most_ms; /* the longest that a slot had nothing while something waited */
    uint64_t messages;
    struct work_ballot ballot; /* of the owner; epoch 0: there is none now */
    uint32_t deaths;
    uint32_t broken; /* promises */
    const char *why;
};

static void sim_break(struct sim *self, const char *why)
{
    self->broken++;
    self->why = why;
}

/* ---- time --------------------------------------------------------------------------------------
 */

static bool sim_is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void sim_schedule(struct sim *self, struct sim_event *event_owned, uint64_t at_ms)
{
    struct sim_event *event = event_owned;
    event->at_ms = at_ms;
    event->order = ++self->order;
    self->heap =
        mem_grow(self->heap, &self->heap_capacity, self->heap_count + 1, sizeof *self->heap);
    size_t at = self->heap_count++;
    while (at > 0 && sim_is_before(event, self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = event;
}

static struct sim_event *sim_pop(struct sim *self)
{
    struct sim_event *first = self->heap[0];
    struct sim_event *last = self->heap[--self->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < self->heap_count; child = 2 * at + 1) {
        if (child + 1 < self->heap_count && sim_is_before(self->heap[child + 1], self->heap[child]))
            child++;
        if (!sim_is_before(self->heap[child], last))
            break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return first;
}

static void sim_event_free(struct sim_event *event)
{
    free(event->items);
    free(event->ready);
    free(event);
}

static uint64_t sim_latency(struct sim *self)
{
    uint32_t spread = self->config.latency_max_ms - self->config.latency_min_ms;
    return self->config.latency_min_ms + rand_below(&self->rand, spread + 1);
}

/* A message from `node` to the owner, or the other way; those of node 0 are to itself. */
static void sim_send(struct sim *self, struct sim_event *event_owned, uint32_t node)
{
    self->messages++;
    event_owned->node = node;
    event_owned->life = self->nodes[node].life;
    bool is_local = node == 0;
    if (!is_local && rand_below(&self->rand, 100) < self->config.loss_percent) {
        sim_event_free(event_owned);
        return;
    }
    sim_schedule(self, event_owned, self->now_ms + (is_local ? 0 : sim_latency(self)));
}

/* ---- the owner ---------------------------------------------------------------------------------
 */

static uint64_t sim_peer(uint32_t node) { return 100 + node; }

static void sim_queue_effects(struct sim *self);

static void sim_queue_step(struct sim *self, struct queue_event event)
{
    event.now_ms = self->now_ms;
    queue_step(self->queue, &event, &self->queue_out);
    sim_queue_effects(self);
}

static void sim_to_agent(struct sim *self, const struct queue_effect *effect,
                         enum agent_event_kind kind)
{
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_TO_AGENT;
    if (effect->count > 0)
        event->items = mem_dup(self->queue_out.items + effect->first,
                               effect->count * sizeof(struct work_item));
    event->to_agent = (struct agent_event){.kind = kind,
                                           .eval = effect->eval,
                                           .ballot = effect->ballot,
                                           .queued = effect->queued,
                                           .weight = effect->weight,
                                           .items = event->items,
                                           .item_count = effect->count};
    sim_send(self, event, (uint32_t)(effect->peer - 100));
}

static void sim_over(struct sim *self, const struct work *work)
{
    struct sim_eval *eval = self->evals[work->eval - 1];
    struct sim_module *module = &eval->projects[work->p].modules[work->m];
    if (module->is_over)
        return;
    module->is_over = true;
    if (--eval->left == 0)
        eval->done_ms = self->now_ms;
}

static void sim_give_up(struct sim *self, const struct queue_effect *effect)
{
    struct work work = self->queue_out.items[effect->first].work;
    struct sim_project *project = &self->evals[work.eval - 1]->projects[work.p];
    if (work.m == WORK_CHORE) {
        sim_break(self, "a chore was given up");
        return;
    }
    project->modules[work.m].is_given_up = true;
    project->modules[work.m].blame = effect->blame;
    sim_over(self, &work);
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_TO_QUEUE;
    event->to_queue = (struct queue_event){
        .kind = QUEUE_MODULE_OVER, .eval = work.eval, .p = work.p, .m = work.m};
    sim_send(self, event, 0);
}

static void sim_queue_effects(struct sim *self)
{
    static const enum agent_event_kind kinds[] = {[QUEUE_OFFER] = AGENT_OFFER,
                                                  [QUEUE_ASSIGN] = AGENT_ASSIGN,
                                                  [QUEUE_NOWORK] = AGENT_NOWORK,
                                                  [QUEUE_CANCEL] = AGENT_CANCEL};
    for (size_t i = 0; i < self->queue_out.count; i++) {
        const struct queue_effect *effect = &self->queue_out.effects[i];
        if (effect->kind == QUEUE_GIVE_UP)
            sim_give_up(self, effect);
        else if (effect->kind != QUEUE_RUMOR)
            sim_to_agent(self, effect, kinds[effect->kind]);
    }
}

/* The plan's modules that have no record reach the queue. */
static void sim_add_modules(struct sim *self, uint64_t id, uint32_t p)
{
    struct sim_project *project = &self->evals[id - 1]->projects[p];
    project->has_plan = true;
    owned_mem struct queue_module *list = mem_new_array(project->count + 1, sizeof *list);
    size_t count = 0;
    for (uint32_t m = 0; m < project->count; m++)
        if (!project->modules[m].is_over)
            list[count++] = (struct queue_module){.m = m,
                                                  .estimate_ms = project->modules[m].estimate_ms,
                                                  .is_measured = project->modules[m].is_measured};
    sim_queue_step(
        self,
        (struct queue_event){
            .kind = QUEUE_ADD_MODULES, .eval = id, .p = p, .modules = list, .module_count = count});
}

static void sim_ack(struct sim *self, uint32_t node, const struct work *work)
{
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_TO_AGENT;
    event->to_agent = (struct agent_event){.kind = AGENT_ACKED, .work = *work};
    sim_send(self, event, node);
}

static void sim_at_queue(struct sim *self, const struct sim_event *event)
{
    struct queue_event message = event->to_queue;
    struct work work = message.work;
    sim_queue_step(self, message);
    if (message.kind != QUEUE_ENDED || message.end == WORK_REFUSED)
        return;
    if (message.end == WORK_DONE && work.m == WORK_CHORE &&
        !self->evals[work.eval - 1]->projects[work.p].has_plan)
        sim_add_modules(self, work.eval, work.p);
    if (message.end == WORK_DONE && work.m != WORK_CHORE) {
        sim_over(self, &work);
        sim_queue_step(self,
                       (struct queue_event){
                           .kind = QUEUE_MODULE_OVER, .eval = work.eval, .p = work.p, .m = work.m});
    }
    sim_ack(self, event->node, &work);
}

/* ---- the nodes ---------------------------------------------------------------------------------
 */

static void sim_agent_effects(struct sim *self, uint32_t n);

static void sim_agent_step(struct sim *self, uint32_t n, struct agent_event event)
{
    event.now_ms = self->now_ms;
    if (!self->nodes[n].agent)
        return;
    agent_step(self->nodes[n].agent, &event, &self->agent_out);
    sim_agent_effects(self, n);
}

static struct sim_event *sim_node_event(const struct sim *self, uint32_t n, enum sim_kind kind,
                                        const struct work *work)
{
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = kind;
    event->node = n;
    event->life = self->nodes[n].life;
    event->work = *work;
    event->began_ms = self->now_ms;
    return event;
}

static void sim_start(struct sim *self, uint32_t n, const struct work *work)
{
    struct sim_node *node = &self->nodes[n];
    struct sim_project *project = &self->evals[work->eval - 1]->projects[work->p];
    struct sim_module *module = &project->modules[work->m];
    if (++node->running > self->config.slots)
        sim_break(self, "more runs than there are slots");
    if (self->config.is_cold && !node->is_ready[work->eval - 1][work->p])
        sim_break(self, "a module started where its project is not ready");
    module->runs++;
    bool is_deadly = module->is_poison && n != 0;
    struct sim_event *event =
        sim_node_event(self, n, is_deadly ? SIM_DEATH : SIM_MODULE_ENDS, work);
    event->step = 1;
    sim_schedule(self, event, self->now_ms + (is_deadly ? module->ms / 3 : module->ms));
}

/* Four fifths of a preparation need no slot, the last one does. */
static void sim_prepare(struct sim *self, uint32_t n, const struct work *work)
{
    const struct sim_project *project = &self->evals[work->eval - 1]->projects[work->p];
    bool is_there = self->nodes[n].has_environment[project->environment];
    uint64_t ms = is_there ? 20 : project->prepare_ms;
    sim_schedule(self, sim_node_event(self, n, SIM_CHORE_STEP, work), self->now_ms + ms * 4 / 5);
}

static void sim_chore_has_slot(struct sim *self, uint32_t n, const struct work *work)
{
    const struct sim_project *project = &self->evals[work->eval - 1]->projects[work->p];
    bool is_there = self->nodes[n].has_environment[project->environment];
    if (++self->nodes[n].running > self->config.slots)
        sim_break(self, "more runs than there are slots");
    struct sim_event *event = sim_node_event(self, n, SIM_CHORE_STEP, work);
    event->step = 1;
    sim_schedule(self, event, self->now_ms + (is_there ? 4 : project->prepare_ms / 5));
}

static void sim_to_queue(struct sim *self, uint32_t n, struct queue_event message,
                         const struct agent_effect *effect)
{
    if (effect->owner != self->ballot.owner)
        return;
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_TO_QUEUE;
    event->to_queue = message;
    event->owner = effect->owner;
    event->to_queue.peer = sim_peer(n);
    event->to_queue.eval = effect->eval;
    event->to_queue.ballot = effect->ballot;
    if (effect->count > 0)
        event->items = mem_dup(self->agent_out.items + effect->first,
                               effect->count * sizeof(struct work_item));
    if (effect->ready_count > 0)
        event->ready = mem_dup(self->agent_out.ready + effect->first_ready,
                               effect->ready_count * sizeof(uint32_t));
    event->to_queue.items = event->items;
    event->to_queue.item_count = effect->count;
    event->to_queue.ready = event->ready;
    event->to_queue.ready_count = effect->ready_count;
    sim_send(self, event, n);
}

static void sim_agent_effect(struct sim *self, uint32_t n, const struct agent_effect *effect)
{
    const struct work_item *items = self->agent_out.items + effect->first;
    switch (effect->kind) {
    case AGENT_CLAIM:
        sim_to_queue(self, n,
                     (struct queue_event){
                         .kind = QUEUE_CLAIM, .slots = effect->slots, .chores = effect->chores},
                     effect);
        break;
    case AGENT_BEAT:
        sim_to_queue(self, n, (struct queue_event){.kind = QUEUE_BEAT}, effect);
        break;
    case AGENT_RESULT:
        sim_to_queue(self, n,
                     (struct queue_event){.kind = QUEUE_ENDED,
                                          .work = items[0].work,
                                          .end = effect->end,
                                          .blame = effect->blame,
                                          .prepare_ms = effect->took_ms},
                     effect);
        break;
    case AGENT_REFUSE:
        for (size_t i = 0; i < effect->count; i++)
            sim_to_queue(self, n,
                         (struct queue_event){.kind = QUEUE_ENDED,
                                              .work = items[i].work,
                                              .end = WORK_REFUSED,
                                              .refusal = effect->refusal},
                         effect);
        break;
    case AGENT_START:
        sim_start(self, n, &items[0].work);
        break;
    case AGENT_PREPARE:
        sim_prepare(self, n, &items[0].work);
        break;
    case AGENT_GIVE_SLOT:
        sim_chore_has_slot(self, n, &items[0].work);
        break;
    case AGENT_STOP: /* what is stopped runs to its end here, and brings a record like any other */
    case AGENT_DRAINED:
        break;
    }
}

static void sim_agent_effects(struct sim *self, uint32_t n)
{
    for (size_t i = 0; i < self->agent_out.count; i++)
        sim_agent_effect(self, n, &self->agent_out.effects[i]);
}

static void sim_chore_step(struct sim *self, const struct sim_event *event)
{
    struct sim_node *node = &self->nodes[event->node];
    if (event->step == 0) {
        sim_agent_step(self, event->node,
                       (struct agent_event){.kind = AGENT_WANTS_SLOT, .work = event->work});
        return;
    }
    const struct sim_project *project = &self->evals[event->work.eval - 1]->projects[event->work.p];
    bool was_there = node->has_environment[project->environment];
    node->running--;
    node->has_environment[project->environment] = true;
    node->is_ready[event->work.eval - 1][event->work.p] = true;
    sim_agent_step(self, event->node,
                   (struct agent_event){.kind = AGENT_PREPARED,
                                        .work = event->work,
                                        .end = WORK_DONE,
                                        .took_ms = was_there ? 24 : project->prepare_ms});
}

static void sim_up(struct sim *self, uint32_t n)
{
    struct sim_node *node = &self->nodes[n];
    node->agent =
        agent_new(&(struct agent_config){.self = sim_peer(n), .seed = self->config.seed + n});
    node->running = 0;
    node->idle_ms = 0;
    memset(node->is_ready, 0, sizeof node->is_ready);
    sim_agent_step(self, n, (struct agent_event){.kind = AGENT_SLOTS, .slots = self->config.slots});
    for (uint32_t e = 0; e < self->eval_count && !self->config.is_cold; e++)
        for (uint32_t p = 0; p < self->evals[e]->count; p++)
            sim_agent_step(
                self, n,
                (struct agent_event){.kind = AGENT_READY, .eval = e + 1, .p = p, .is_ready = true});
    uint32_t rtt_us = (self->config.latency_min_ms + self->config.latency_max_ms) * 1000;
    if (self->config.rtt_us)
        rtt_us = self->config.rtt_us;
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_TO_QUEUE;
    event->node = n;
    event->life = node->life;
    event->to_queue = (struct queue_event){.kind = QUEUE_PEER,
                                           .peer = sim_peer(n),
                                           .load = {.slots = self->config.slots,
                                                    .free = self->config.slots,
                                                    .rtt_us = n == 0 ? 0 : rtt_us}};
    sim_schedule(self, event, self->now_ms + (n == 0 ? 0 : sim_latency(self)));
}

static void sim_die(struct sim *self, uint32_t n)
{
    struct sim_node *node = &self->nodes[n];
    if (!node->agent)
        return;
    self->deaths++;
    agent_free(node->agent);
    node->agent = NULL;
    node->life++;
    node->is_known = false;
    struct sim_event *lost = mem_new(sizeof *lost);
    lost->kind = SIM_TO_QUEUE;
    lost->to_queue =
        (struct queue_event){.kind = QUEUE_PEER_LOST, .peer = sim_peer(n), .loss = QUEUE_DIED};
    lost->node = 0;
    uint64_t detected_ms = self->now_ms + 50 + rand_below(&self->rand, 3000);
    sim_schedule(self, lost, detected_ms);
    struct sim_event *up = mem_new(sizeof *up);
    up->kind = SIM_UP;
    up->node = n;
    sim_schedule(self, up, detected_ms + 100 + rand_below(&self->rand, 3000));
}

static void sim_next_death(struct sim *self)
{
    if (self->config.death_each_ms == 0)
        return;
    uint64_t at =
        self->now_ms + rand_below(&self->rand, 2 * (uint64_t)self->config.death_each_ms) + 1;
    if (at > self->config.deaths_until_ms)
        return;
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = SIM_DEATH;
    event->node = 1 + (uint32_t)rand_below(&self->rand, self->config.nodes - 1);
    sim_schedule(self, event, at);
}

/* ---- runs --------------------------------------------------------------------------------------
 */

static struct sim *sim_new(const struct sim_config *config)
{
    struct sim *self = mem_new(sizeof *self);
    self->config = *config;
    rand_init(&self->rand, config->seed);
    self->ballot = (struct work_ballot){.epoch = 1, .owner = sim_peer(0)};
    self->queue = queue_new(&(struct queue_config){
        .self = sim_peer(0), .seed = config->seed, .prepare_ms = config->is_cold ? 2000 : 1});
    return self;
}

static struct sim_eval *sim_add_eval(struct sim *self, uint64_t at_ms, uint32_t weight)
{
    struct sim_eval *eval = mem_new(sizeof *eval);
    eval->at_ms = at_ms;
    eval->weight = weight;
    self->evals[self->eval_count++] = eval;
    return eval;
}

static struct sim_project *sim_add_project(struct sim_eval *eval, uint32_t count)
{
    struct sim_project *project = &eval->projects[eval->count++];
    project->count = count;
    project->modules = mem_new_array(count + 1, sizeof *project->modules);
    project->environment = eval->count - 1;
    eval->left += count;
    return project;
}

static void sim_free(struct sim *self)
{
    while (self->heap_count > 0)
        sim_event_free(sim_pop(self));
    for (uint32_t i = 0; i < self->eval_count; i++) {
        for (uint32_t p = 0; p < self->evals[i]->count; p++)
            free(self->evals[i]->projects[p].modules);
        free(self->evals[i]);
    }
    for (uint32_t n = 0; n < self->config.nodes; n++)
        agent_free(self->nodes[n].agent);
    queue_free(self->queue);
    queue_out_fini(&self->queue_out);
    agent_out_fini(&self->agent_out);
    free(self->heap);
    free(self);
}

static void sim_add(struct sim *self, uint32_t e, bool is_adopted)
{
    struct sim_eval *eval = self->evals[e];
    sim_queue_step(self, (struct queue_event){.kind = QUEUE_ADD_EVAL,
                                              .eval = e + 1,
                                              .ballot = self->ballot,
                                              .weight = eval->weight,
                                              .timeout_ms = 300000,
                                              .is_adopted = is_adopted});
    for (uint32_t p = 0; p < eval->count; p++) {
        bool has_plan = !self->config.is_cold || eval->projects[p].has_plan;
        sim_queue_step(self,
                       (struct queue_event){
                           .kind = QUEUE_ADD_PROJECT, .eval = e + 1, .p = p, .has_plan = has_plan});
        if (has_plan)
            sim_add_modules(self, e + 1, p);
    }
}

static void sim_tell_all(struct sim *self, struct agent_event message)
{
    for (uint32_t n = 0; n < self->config.nodes; n++) {
        struct sim_event *event = mem_new(sizeof *event);
        event->kind = SIM_TO_AGENT;
        event->node = n;
        event->life = self->nodes[n].life;
        event->to_agent = message;
        sim_schedule(self, event, self->now_ms + sim_latency(self));
    }
}

static void sim_schedule_kind(struct sim *self, enum sim_kind kind, uint32_t step, uint64_t at_ms)
{
    struct sim_event *event = mem_new(sizeof *event);
    event->kind = kind;
    event->step = step;
    sim_schedule(self, event, at_ms);
}

static void sim_owner_dies(struct sim *self)
{
    sim_tell_all(self, (struct agent_event){.kind = AGENT_PEER_LOST, .peer = self->ballot.owner});
    self->ballot = (struct work_ballot){0};
    sim_schedule_kind(self, SIM_TAKE_OVER, 0, self->now_ms + 2000);
}

/* The heir has the documents: what has a record, and the plans. */
static void sim_take_over(struct sim *self)
{
    self->ballot = (struct work_ballot){.epoch = 2, .owner = sim_peer(1)};
    queue_free(self->queue);
    self->queue = queue_new(&(struct queue_config){
        .self = sim_peer(1), .seed = 99, .prepare_ms = self->config.is_cold ? 2000 : 1});
    for (uint32_t n = 0; n < self->config.nodes; n++)
        if (self->nodes[n].is_known)
            sim_queue_step(self, (struct queue_event){.kind = QUEUE_PEER,
                                                      .peer = sim_peer(n),
                                                      .load = {.slots = self->config.slots}});
    for (uint32_t e = 0; e < self->eval_count; e++) {
        if (self->evals[e]->at_ms + 50 < self->now_ms)
            sim_add(self, e, true);
        sim_tell_all(
            self, (struct agent_event){.kind = AGENT_OWNER, .eval = e + 1, .ballot = self->ballot});
    }
}

/* A slot that is free while modules wait that its node could start, and for how long. */
static void sim_watch_idle(struct sim *self)
{
    struct queue_left left = queue_left(self->queue, 0);
    bool has_waiting = left.modules > left.apart && self->ballot.epoch > 0;
    for (uint32_t n = 0; n < self->config.nodes; n++) {
        struct sim_node *node = &self->nodes[n];
        bool is_idle =
            has_waiting && node->agent && node->is_known && node->running < self->config.slots;
        if (!is_idle)
            node->idle_ms = 0;
        else if (node->idle_ms == 0)
            node->idle_ms = self->now_ms;
        else if (self->now_ms - node->idle_ms > self->idle_most_ms)
            self->idle_most_ms = self->now_ms - node->idle_ms;
    }
}

static void sim_happen(struct sim *self, const struct sim_event *event)
{
    struct sim_node *node = &self->nodes[event->node];
    bool is_current = event->life == node->life;
    switch (event->kind) {
    case SIM_TO_QUEUE:
        if (event->to_queue.kind == QUEUE_PEER)
            node->is_known = is_current;
        if (self->ballot.epoch == 0 && event->to_queue.kind == QUEUE_PEER_LOST)
            sim_queue_step(self, event->to_queue);
        if (self->ballot.epoch == 0 || (event->owner > 0 && event->owner != self->ballot.owner))
            break;
        if (is_current || event->to_queue.kind != QUEUE_PEER)
            sim_at_queue(self, event);
        break;
    case SIM_TO_AGENT:
        if (is_current)
            sim_agent_step(self, event->node, event->to_agent);
        break;
    case SIM_MODULE_ENDS:
        if (!is_current)
            break;
        node->running--;
        self->evals[event->work.eval - 1]->busy_ms += self->now_ms - event->began_ms;
        sim_agent_step(
            self, event->node,
            (struct agent_event){.kind = AGENT_ENDED, .work = event->work, .end = WORK_DONE});
        break;
    case SIM_CHORE_STEP:
        if (is_current)
            sim_chore_step(self, event);
        break;
    case SIM_UP:
        sim_up(self, event->node);
        break;
    case SIM_DEATH:
        if (event->step == 0) {
            sim_die(self, event->node);
            sim_next_death(self);
        } else if (is_current) {
            sim_die(self, event->node);
        }
        break;
    case SIM_ADD:
        if (self->ballot.epoch == 0) /* whoever owns next */
            sim_schedule_kind(self, SIM_ADD, event->step, self->now_ms + 3000);
        else
            sim_add(self, event->step, false);
        break;
    case SIM_OWNER_DIES:
        sim_owner_dies(self);
        break;
    case SIM_TAKE_OVER:
        sim_take_over(self);
        break;
    }
}

static uint64_t sim_next_time(const struct sim *self)
{
    uint64_t next = self->heap_count > 0 ? self->heap[0]->at_ms : UINT64_MAX;
    if (queue_deadline(self->queue) < next)
        next = queue_deadline(self->queue);
    for (uint32_t n = 0; n < self->config.nodes; n++)
        if (self->nodes[n].agent && agent_deadline(self->nodes[n].agent) < next)
            next = agent_deadline(self->nodes[n].agent);
    return next > self->now_ms ? next : self->now_ms;
}

static bool sim_is_done(const struct sim *self)
{
    for (uint32_t i = 0; i < self->eval_count; i++)
        if (self->evals[i]->left > 0 || (self->evals[i]->count > 0 && self->evals[i]->done_ms == 0))
            return false;
    return true;
}

static void sim_tick(struct sim *self)
{
    if (queue_deadline(self->queue) <= self->now_ms)
        sim_queue_step(self, (struct queue_event){.kind = QUEUE_TICK});
    for (uint32_t n = 0; n < self->config.nodes; n++)
        if (self->nodes[n].agent && agent_deadline(self->nodes[n].agent) <= self->now_ms)
            sim_agent_step(self, n, (struct agent_event){.kind = AGENT_TICK});
}

/* Runs until every module is over, or until `limit_ms`. Returns when the last one was. */
static uint64_t sim_run(struct sim *self, uint64_t limit_ms)
{
    self->now_ms = 1;
    for (uint32_t n = 0; n < self->config.nodes; n++)
        sim_up(self, n);
    for (uint32_t e = 0; e < self->eval_count; e++) {
        struct sim_event *event = mem_new(sizeof *event);
        event->kind = SIM_ADD;
        event->step = e;
        sim_schedule(self, event, self->evals[e]->at_ms + 50);
    }
    if (self->config.owner_dies_ms)
        sim_schedule_kind(self, SIM_OWNER_DIES, 0, self->config.owner_dies_ms);
    sim_next_death(self);
    uint64_t steps = 0;
    while (!sim_is_done(self) && self->now_ms < limit_ms) {
        uint64_t next = sim_next_time(self);
        steps = next == self->now_ms ? steps + 1 : 0;
        if (steps > 100000) {
            sim_break(self, "time stands still");
            break;
        }
        self->now_ms = next;
        sim_tick(self);
        while (self->heap_count > 0 && self->heap[0]->at_ms <= self->now_ms) {
            struct sim_event *event = sim_pop(self);
            sim_happen(self, event);
            sim_event_free(event);
        }
        sim_watch_idle(self);
    }
    if (!sim_is_done(self))
        sim_break(self, "modules are left");
    return self->now_ms;
}

/* exp of a normal number: twelve uniform ones less six, and (1 + x / 1024) ^ 1024. */
static inline double sim_lognormal(struct rand *rand, double sigma)
{
    double x = -6;
    for (int i = 0; i < 12; i++)
        x += (double)rand_below(rand, 1u << 30) / (double)(1u << 30);
    double y = 1 + x * sigma / 1024;
    for (int i = 0; i < 10; i++)
        y *= y;
    return y;
}

#endif
