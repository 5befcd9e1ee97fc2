/* Events that nobody would send, in any order: the machines keep their promises and nothing else
 * matters. Run under sanitizers this is the fuzzing of both. */
#include "loadbalance/agent.h"
#include "loadbalance/queue.h"
#include "proto/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EVALS    3
#define PROJECTS 3
#define MODULES  5

static struct rand chance;

static uint32_t below(uint32_t bound) { return (uint32_t)rand_below(&chance, bound); }

static struct work any_work(void)
{
    struct work work = {.eval = 1 + below(EVALS)};
    work.p = below(PROJECTS);
    work.m = below(6) == 0 ? WORK_CHORE : below(MODULES);
    work.n = 1 + below(3);
    work.ballot.epoch = 1 + below(2);
    work.ballot.owner = 1;
    return work;
}

static size_t any_items(struct work_item *items, size_t room)
{
    size_t count = below((uint32_t)room + 1);
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct work_item){.work = any_work()};
        items[i].estimate_ms = below(1000);
        items[i].phase = (enum work_phase)below(4);
    }
    return count;
}

/* Modules that are out (by place) and what the queue says of them must agree. */
static void check_queue(const struct queue *queue, const struct queue_out *out)
{
    struct queue_attempt attempts[EVALS * PROJECTS * (MODULES + 1) * 8];
    size_t running = 0;
    for (uint64_t eval = 1; eval <= EVALS; eval++) {
        size_t count = queue_attempts(queue, eval, attempts, sizeof attempts / sizeof *attempts);
        running += count;
        for (size_t i = 1; i < count; i++) /* a module is never out twice */
            if (attempts[i].work.m != WORK_CHORE)
                assert_false(attempts[i].work.p == attempts[i - 1].work.p &&
                             attempts[i].work.m == attempts[i - 1].work.m);
        assert_true(queue_left(queue, eval).modules <= PROJECTS * MODULES);
    }
    assert_int_equal(running, queue_left(queue, 0).running);
    for (size_t i = 0; i < out->count; i++)
        assert_true(out->effects[i].first + out->effects[i].count <= out->item_count);
}

static void chaos_in_the_queue(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct queue_out out = {0};
        struct queue *queue = queue_new(&(struct queue_config){.self = 1, .seed = seed});
        uint64_t now = 1;
        rand_init(&chance, seed);
        for (int i = 0; i < 1500; i++) {
            struct work_item items[8];
            struct queue_module modules[4];
            uint32_t ready[4];
            now += below(10) == 0 ? below(20000) : below(300);
            struct queue_event event = {.kind = (enum queue_event_kind)below(QUEUE_BEAT + 1)};
            event.now_ms = now;
            event.peer = 1 + below(4);
            event.work = any_work();
            event.eval = event.work.eval;
            event.ballot = event.work.ballot;
            event.p = event.work.p;
            event.m = below(MODULES);
            event.weight = below(3);
            event.timeout_ms = below(30000);
            event.is_adopted = below(2);
            event.has_plan = below(2);
            event.modules = modules;
            event.module_count = below(5);
            event.slots = below(4);
            event.chores = below(3);
            event.ready = ready;
            event.ready_count = below(5);
            for (size_t k = 0; k < 4; k++) {
                modules[k] = (struct queue_module){.m = below(MODULES), .estimate_ms = below(5000)};
                ready[k] = below(PROJECTS + 1);
            }
            event.end = (enum work_end)(1 + below(5));
            event.blame = (enum work_blame)below(4);
            event.refusal = (enum work_refusal)(1 + below(6));
            event.load.slots = below(4);
            event.load.rtt_us = below(50000);
            event.load.is_draining = below(8) == 0;
            event.loss = (enum queue_loss)below(3);
            event.items = items;
            event.item_count = any_items(items, 8);
            queue_step(queue, &event, &out);
            check_queue(queue, &out);
            assert_true(queue_deadline(queue) > now);
        }
        queue_free(queue);
        queue_out_fini(&out);
    }
}

static void chaos_in_the_agent(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct agent_out out = {0};
        struct agent *agent = agent_new(&(struct agent_config){.self = 1, .seed = seed});
        uint64_t now = 1;
        uint32_t slots = 0;
        rand_init(&chance, seed);
        for (int i = 0; i < 1500; i++) {
            struct work_item items[8];
            now += below(10) == 0 ? below(5000) : below(100);
            /* Draining is for the last part: it ends most of what could go wrong. */
            struct agent_event event = {
                .kind = (enum agent_event_kind)below(i < 1400 ? AGENT_DRAIN : AGENT_DRAIN + 1)};
            event.now_ms = now;
            event.work = any_work();
            event.eval = event.work.eval;
            event.ballot = event.work.ballot;
            event.peer = 1 + below(2);
            event.slots = below(4);
            event.queued = below(5);
            event.weight = below(3);
            event.peers = below(100);
            event.p = below(PROJECTS);
            event.is_ready = below(2);
            event.end = (enum work_end)(1 + below(5));
            event.items = items;
            event.item_count = any_items(items, 8);
            uint32_t busy = agent_load(agent, now).busy;
            agent_step(agent, &event, &out);
            slots = event.kind == AGENT_SLOTS ? event.slots : slots;
            struct agent_load load = agent_load(agent, now);
            assert_true(load.busy <= slots || load.busy <= busy);
            assert_true(agent_deadline(agent) > now || agent_deadline(agent) == UINT64_MAX);
            for (size_t k = 0; k < out.count; k++)
                assert_true(out.effects[k].first + out.effects[k].count <= out.item_count);
        }
        agent_free(agent);
        agent_out_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chaos_in_the_queue),
        cmocka_unit_test(chaos_in_the_agent),
    };
    return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
