/* queue_verbs: the verbs that the stories about the queue are told in. */
#ifndef TESTS_LOADBALANCE_QUEUE_VERBS_H
#define TESTS_LOADBALANCE_QUEUE_VERBS_H

#include "loadbalance/queue.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Time goes on only where a story says so. */
enum { OWNER = 1, A = 10, B = 20, C = 30 };

static struct queue *queue;
static struct queue_out out;
static uint64_t now;
static const struct work_ballot ballot = {.epoch = 3, .owner = OWNER};

static inline void step(struct queue_event event)
{
    event.now_ms = now;
    queue_step(queue, &event, &out);
}

static inline void peer(uint64_t id, uint32_t slots, uint32_t rtt_us)
{
    step((struct queue_event){
        .kind = QUEUE_PEER, .peer = id, .load = {.slots = slots, .free = slots, .rtt_us = rtt_us}});
}

static inline void evaluation(uint64_t id)
{
    step((struct queue_event){
        .kind = QUEUE_ADD_EVAL, .eval = id, .ballot = ballot, .weight = 1, .timeout_ms = 60000});
}

static inline void project(uint64_t eval, uint32_t p)
{
    step((struct queue_event){.kind = QUEUE_ADD_PROJECT, .eval = eval, .p = p});
}

static inline void modules(uint64_t eval, uint32_t p, const uint32_t *estimates, size_t count)
{
    owned_mem struct queue_module *list = mem_new_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct queue_module){
            .m = (uint32_t)i, .estimate_ms = estimates[i], .is_measured = true};
    step((struct queue_event){
        .kind = QUEUE_ADD_MODULES, .eval = eval, .p = p, .modules = list, .module_count = count});
}

static const uint32_t all_ready[] = {0, 1, 2, 3};

static inline void claim(uint64_t id, uint64_t eval, uint32_t slots)
{
    step((struct queue_event){.kind = QUEUE_CLAIM,
                              .peer = id,
                              .eval = eval,
                              .ballot = ballot,
                              .slots = slots,
                              .ready = all_ready,
                              .ready_count = countof(all_ready)});
}

static inline void claim_chore(uint64_t id, uint64_t eval, const uint32_t *ready, size_t count)
{
    step((struct queue_event){.kind = QUEUE_CLAIM,
                              .peer = id,
                              .eval = eval,
                              .ballot = ballot,
                              .slots = 1,
                              .chores = 1,
                              .ready = ready,
                              .ready_count = count});
}

static inline void ends(uint64_t id, struct work work, enum work_end end, enum work_blame blame)
{
    step((struct queue_event){
        .kind = QUEUE_ENDED, .peer = id, .work = work, .end = end, .blame = blame});
}

static inline void over(struct work work)
{
    step((struct queue_event){
        .kind = QUEUE_MODULE_OVER, .eval = work.eval, .p = work.p, .m = work.m});
}

static inline void lost(uint64_t id, enum queue_loss loss)
{
    step((struct queue_event){.kind = QUEUE_PEER_LOST, .peer = id, .loss = loss});
}

static inline void passes(uint64_t ms)
{
    for (uint64_t end = now + ms; now < end;) {
        uint64_t next = queue_deadline(queue);
        now = next > now && next < end ? next : now + 1 > end ? end : now + 1;
        if (next <= now)
            step((struct queue_event){.kind = QUEUE_TICK});
    }
}

static inline const struct queue_effect *effect(enum queue_effect_kind kind)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.effects[i].kind == kind)
            return &out.effects[i];
    return NULL;
}

static inline struct work assigned(size_t index)
{
    const struct queue_effect *assign = effect(QUEUE_ASSIGN);
    assert_non_null(assign);
    assert_true(index < assign->count);
    return out.items[assign->first + index].work;
}

static inline size_t assigned_count(void)
{
    const struct queue_effect *assign = effect(QUEUE_ASSIGN);
    return assign ? assign->count : 0;
}

static inline int given_a_queue(void **unused)
{
    (void)unused;
    now = 1000;
    queue = queue_new(&(struct queue_config){.self = OWNER, .seed = 1, .prepare_ms = 1000});
    return 0;
}

static inline int queue_ends(void **unused)
{
    (void)unused;
    queue_free(queue);
    queue_out_fini(&out);
    return 0;
}

static inline void given_modules(const uint32_t *estimates, size_t count)
{
    evaluation(1);
    project(1, 0);
    modules(1, 0, estimates, count);
}

static inline void beat(uint64_t id, const struct work *works, size_t count, enum work_phase phase)
{
    struct work_item items[4] = {0};
    for (size_t i = 0; i < count; i++)
        items[i] = (struct work_item){.work = works[i], .phase = phase};
    step((struct queue_event){.kind = QUEUE_BEAT, .peer = id, .items = items, .item_count = count});
}

#define TOLD(story) cmocka_unit_test_setup_teardown(story, given_a_queue, queue_ends)

#endif
