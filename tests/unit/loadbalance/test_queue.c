#include "loadbalance/queue.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The verbs that the stories below are told in. `now` goes on by itself only where they say so. */
enum { OWNER = 1, A = 10, B = 20, C = 30 };

static struct queue *queue;
static struct queue_out out;
static uint64_t now;
static const struct work_ballot ballot = {.epoch = 3, .owner = OWNER};

static void step(struct queue_event event)
{
    event.now_ms = now;
    queue_step(queue, &event, &out);
}

static void peer(uint64_t id, uint32_t slots, uint32_t rtt_us)
{
    step((struct queue_event){
        .kind = QUEUE_PEER, .peer = id, .load = {.slots = slots, .free = slots, .rtt_us = rtt_us}});
}

static void evaluation(uint64_t id)
{
    step((struct queue_event){
        .kind = QUEUE_ADD_EVAL, .eval = id, .ballot = ballot, .weight = 1, .timeout_ms = 60000});
}

static void project(uint64_t eval, uint32_t p)
{
    step((struct queue_event){.kind = QUEUE_ADD_PROJECT, .eval = eval, .p = p});
}

static void modules(uint64_t eval, uint32_t p, const uint32_t *estimates, size_t count)
{
    owned_mem struct queue_module *list = mem_new_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct queue_module){
            .m = (uint32_t)i, .estimate_ms = estimates[i], .is_measured = true};
    step((struct queue_event){
        .kind = QUEUE_ADD_MODULES, .eval = eval, .p = p, .modules = list, .module_count = count});
}

static const uint32_t all_ready[] = {0, 1, 2, 3};

static void claim(uint64_t id, uint64_t eval, uint32_t slots)
{
    step((struct queue_event){.kind = QUEUE_CLAIM,
                              .peer = id,
                              .eval = eval,
                              .ballot = ballot,
                              .slots = slots,
                              .ready = all_ready,
                              .ready_count = countof(all_ready)});
}

static void claim_chore(uint64_t id, uint64_t eval, const uint32_t *ready, size_t count)
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

static void ends(uint64_t id, struct work work, enum work_end end, enum work_blame blame)
{
    step((struct queue_event){
        .kind = QUEUE_ENDED, .peer = id, .work = work, .end = end, .blame = blame});
}

static void over(struct work work)
{
    step((struct queue_event){
        .kind = QUEUE_MODULE_OVER, .eval = work.eval, .p = work.p, .m = work.m});
}

static void lost(uint64_t id, enum queue_loss loss)
{
    step((struct queue_event){.kind = QUEUE_PEER_LOST, .peer = id, .loss = loss});
}

static void passes(uint64_t ms)
{
    for (uint64_t end = now + ms; now < end;) {
        uint64_t next = queue_deadline(queue);
        now = next > now && next < end ? next : now + 1 > end ? end : now + 1;
        if (next <= now)
            step((struct queue_event){.kind = QUEUE_TICK});
    }
}

static const struct queue_effect *effect(enum queue_effect_kind kind)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.effects[i].kind == kind)
            return &out.effects[i];
    return NULL;
}

static struct work assigned(size_t index)
{
    const struct queue_effect *assign = effect(QUEUE_ASSIGN);
    assert_non_null(assign);
    assert_true(index < assign->count);
    return out.items[assign->first + index].work;
}

static size_t assigned_count(void)
{
    const struct queue_effect *assign = effect(QUEUE_ASSIGN);
    return assign ? assign->count : 0;
}

static int given_a_queue(void **unused)
{
    (void)unused;
    now = 1000;
    queue = queue_new(&(struct queue_config){.self = OWNER, .seed = 1, .prepare_ms = 1000});
    return 0;
}

static int queue_ends(void **unused)
{
    (void)unused;
    queue_free(queue);
    queue_out_fini(&out);
    return 0;
}

static void given_modules(const uint32_t *estimates, size_t count)
{
    evaluation(1);
    project(1, 0);
    modules(1, 0, estimates, count);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void the_longest_goes_first(void **unused)
{
    (void)unused;
    peer(A, 4, 0);
    given_modules((uint32_t[]){10, 500, 30}, 3);
    claim(A, 1, 2);
    assert_int_equal(assigned_count(), 2);
    assert_int_equal(assigned(0).m, 1);
    assert_int_equal(assigned(1).m, 2);
    assert_int_equal(assigned(0).n, 1);
    assert_int_equal(assigned(0).ballot.owner, OWNER);
}

static void a_guess_goes_before_a_measured_one_of_the_same_length(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    const struct queue_module list[] = {{.m = 0, .estimate_ms = 50, .is_measured = true},
                                        {.m = 1, .estimate_ms = 50}};
    step((struct queue_event){
        .kind = QUEUE_ADD_MODULES, .eval = 1, .modules = list, .module_count = 2});
    claim(A, 1, 1);
    assert_int_equal(assigned(0).m, 1);
}

static void the_longest_of_all_ready_projects_goes_first(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    modules(1, 0, (uint32_t[]){100, 50}, 2);
    modules(1, 1, (uint32_t[]){200, 70}, 2);
    modules(1, 7, (uint32_t[]){900}, 1); /* not ready there */
    static const uint32_t expected[][2] = {{1, 0}, {0, 0}, {1, 1}, {0, 1}};
    for (size_t i = 0; i < countof(expected); i++) {
        claim(A, 1, 1);
        assert_int_equal(assigned(0).p, expected[i][0]);
        assert_int_equal(assigned(0).m, expected[i][1]);
    }
    claim(A, 1, 1);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 2); /* the module, and the chore for it */
}

static void short_ones_come_in_batches_where_the_way_is_long(void **unused)
{
    (void)unused;
    uint32_t estimates[1000];
    for (size_t i = 0; i < 1000; i++)
        estimates[i] = 10;
    peer(A, 2, 1000); /* 1 ms: 10 ms is less than 20 round trips */
    peer(B, 2, 100);  /* 0.1 ms: it is more */
    given_modules(estimates, 1000);
    claim(A, 1, 1);
    assert_int_equal(assigned_count(), 20); /* 200 ms */
    claim(B, 1, 2);
    assert_int_equal(assigned_count(), 2);
    step((struct queue_event){.kind = QUEUE_CLAIM,
                              .peer = A,
                              .eval = 1,
                              .slots = 1,
                              .want_ms = 50,
                              .ready = all_ready,
                              .ready_count = 1});
    assert_int_equal(assigned_count(), 5);
}

/* Guided: the batches shrink with what is left, so that all slots end together. */
static void batches_shrink_towards_the_end(void **unused)
{
    (void)unused;
    uint32_t estimates[40];
    for (size_t i = 0; i < 40; i++)
        estimates[i] = 10;
    peer(A, 2, 1000);
    peer(B, 2, 1000);
    given_modules(estimates, 40);
    claim(A, 1, 1);
    assert_int_equal(assigned_count(), 5); /* 400 ms over 2 * 4 slots */
    claim(A, 1, 1);
    assert_int_equal(assigned_count(), 4);
}

static void the_one_that_is_behind_is_served_first(void **unused)
{
    (void)unused;
    uint32_t estimates[8] = {3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000};
    peer(A, 8, 0);
    evaluation(1);
    modules(1, 0, estimates, 8);
    evaluation(2);
    modules(2, 0, estimates, 8);
    claim(A, 2, 1); /* it has asked for both, so it has both documents */
    claim(A, 1, 1);
    size_t first = 0;
    for (size_t i = 0; i < 6; i++) {
        claim(A, 1, 1);
        first += assigned(0).eval == 1;
    }
    assert_in_range(first, 2, 4);
    assert_int_equal(queue_left(queue, 1).modules + queue_left(queue, 2).modules, 8);
}

/* ---- chores ---------------------------------------------------------------------------------- */

static void a_project_is_got_ready_once_and_its_modules_go_there(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    struct work chore = assigned(0);
    assert_int_equal(chore.m, WORK_CHORE);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0); /* somebody is at it */
    step((struct queue_event){
        .kind = QUEUE_ENDED, .peer = A, .work = chore, .end = WORK_DONE, .prepare_ms = 800});
    modules(1, 0, (uint32_t[]){100, 200}, 2);
    claim_chore(A, 1, all_ready, 1);
    assert_int_equal(assigned(0).m, 1);
    claim_chore(B, 1, NULL, 0); /* 100 ms are left, a preparation takes 800 */
    assert_int_equal(assigned_count(), 0);
    assert_non_null(effect(QUEUE_NOWORK));
}

static void another_node_helps_where_it_gains_more_than_it_costs(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    step((struct queue_event){
        .kind = QUEUE_ENDED, .peer = A, .work = assigned(0), .end = WORK_DONE, .prepare_ms = 800});
    modules(1, 0, (uint32_t[]){900, 900, 900}, 3);
    claim_chore(B, 1, NULL, 0); /* 2700 ms on one slot: two would save 1350 */
    assert_int_equal(assigned(0).m, WORK_CHORE);
    assert_int_equal(assigned(0).n, 2);
    peer(C, 1, 0);
    claim_chore(C, 1, NULL, 0); /* three would save 450 more */
    assert_int_equal(assigned_count(), 0);
}

static void no_chore_while_enough_is_ready(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    modules(1, 0, (uint32_t[]){5000, 4000}, 2);
    project(1, 1);
    claim_chore(A, 1, all_ready, 1);
    assert_int_equal(assigned_count(), 1); /* 4 s are left, a preparation takes 1 s */
    claim_chore(A, 1, all_ready, 1);
    assert_int_equal(assigned_count(), 2);
    assert_int_equal(assigned(1).m, WORK_CHORE);
    assert_int_equal(assigned(1).p, 1);
}

static void what_fails_on_one_node_is_tried_on_another(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    ends(A, assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    claim_chore(B, 1, NULL, 0);
    ends(B, assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    claim_chore(A, 1, NULL, 0); /* it failed everywhere: from the start */
    ends(A, assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    const struct queue_effect *gave_up = effect(QUEUE_GIVE_UP);
    assert_non_null(gave_up);
    assert_int_equal(gave_up->blame, WORK_BLAME_CLUSTER);
    assert_int_equal(out.items[gave_up->first].work.m, WORK_CHORE);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 0);
}

static void a_broken_project_waits_for_its_record(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    ends(A, assigned(0), WORK_UNPREPARED, WORK_BLAME_PROJECT);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    step((struct queue_event){.kind = QUEUE_PROJECT_OVER, .eval = 1, .p = 0});
    passes(5000);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    assert_int_equal(queue_left(queue, 1).chores, 0);
}

static void what_only_a_dead_node_had_ready_is_prepared_again(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    given_modules((uint32_t[]){10, 20}, 2);
    claim(A, 1, 1);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    lost(A, QUEUE_LEFT);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned(0).m, WORK_CHORE);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_module_counts_once_wherever_its_record_comes_from(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){100, 50}, 2);
    claim(A, 1, 1);
    struct work first = assigned(0);
    over(first); /* through another node: what still runs is not wanted */
    assert_int_equal(effect(QUEUE_CANCEL)->peer, A);
    ends(A, first, WORK_DONE, WORK_BLAME_NONE);
    over(first);
    ends(A, first, WORK_LOST, WORK_BLAME_TESTS);
    assert_int_equal(out.count, 0);
    over((struct work){.eval = 1, .p = 0, .m = 1}); /* one that still waited */
    claim(A, 1, 1);
    assert_int_equal(assigned_count(), 0);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 0);
}

static void a_result_that_never_becomes_durable_is_run_again(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){100}, 1);
    claim(A, 1, 1);
    ends(A, assigned(0), WORK_DONE, WORK_BLAME_NONE);
    assert_int_equal(queue_left(queue, 1).modules, 0);
    passes(QUEUE_SILENCE_MS + 1000);
    assert_int_equal(queue_left(queue, 1).modules, 1);
}

static void a_runner_that_dies_twice_is_the_modules_doing(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){10, 900}, 2);
    claim(A, 1, 1);
    ends(A, assigned(0), WORK_LOST, WORK_BLAME_TESTS);
    assert_null(effect(QUEUE_GIVE_UP));
    claim(A, 1, 1);
    assert_int_equal(assigned(0).m, 1);
    assert_int_equal(assigned(0).n, 2);
    ends(A, assigned(0), WORK_LOST, WORK_BLAME_TESTS);
    assert_int_equal(effect(QUEUE_GIVE_UP)->blame, WORK_BLAME_TESTS);
    claim(A, 1, 1);
    assert_int_equal(assigned(0).m, 0);
}

static void what_the_cluster_lost_goes_to_the_front_and_is_tried_often(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){10, 900}, 2);
    over((struct work){.eval = 1, .p = 0, .m = 1});
    modules(1, 1, (uint32_t[]){5}, 1);
    for (uint32_t n = 1; n < QUEUE_ATTEMPTS_MAX; n++) {
        claim(A, 1, 1);
        assert_int_equal(assigned(0).p, 0);
        assert_int_equal(assigned(0).n, n);
        ends(A, assigned(0), WORK_LOST, WORK_BLAME_CLUSTER);
        assert_null(effect(QUEUE_GIVE_UP));
    }
    claim(A, 1, 1);
    ends(A, assigned(0), WORK_LOST, WORK_BLAME_CLUSTER);
    assert_int_equal(effect(QUEUE_GIVE_UP)->blame, WORK_BLAME_CLUSTER);
}

static void what_was_refused_or_stopped_is_no_loss(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){10}, 1);
    for (uint32_t n = 1; n <= 3 * QUEUE_ATTEMPTS_MAX; n++) {
        claim(A, 1, 1);
        assert_int_equal(assigned_count(), 1);
        ends(A, assigned(0), n % 2 ? WORK_REFUSED : WORK_CANCELLED, WORK_BLAME_NONE);
        assert_null(effect(QUEUE_GIVE_UP));
    }
}

/* Module 0 is on each of three nodes that die. Is it given up then? */
static bool is_given_up_after(uint64_t first, uint64_t second, uint64_t third)
{
    const uint64_t nodes[] = {first, second, third};
    bool is_given_up = false;
    for (size_t i = 0; i < 3; i++) {
        peer(nodes[i], 2, 0);
        claim(nodes[i], 1, 1);
        assert_int_equal(assigned(0).m, 0);
        lost(nodes[i], QUEUE_DIED);
        is_given_up = effect(QUEUE_GIVE_UP) != NULL;
        passes(i == 1 ? QUEUE_WATCH_MS + 100 : 100);
    }
    return is_given_up;
}

static void three_nodes_that_die_under_it_and_none_without_it(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){900, 10}, 2);
    peer(OWNER, 1, 0);
    const uint64_t nodes[] = {A, B, C};
    for (size_t i = 0; i < 3; i++) {
        peer(nodes[i], 2, 0);
        claim(nodes[i], 1, 1);
        if (i == 2) { /* a suspect of two deaths waits, and the other module goes */
            assert_int_equal(assigned(0).m, 1);
            passes(QUEUE_WATCH_MS + 100);
            claim(nodes[i], 1, 1);
        }
        assert_int_equal(assigned(0).m, 0);
        lost(nodes[i], i == 1 ? QUEUE_RESTARTED : QUEUE_DIED);
        assert_int_equal(effect(QUEUE_GIVE_UP) != NULL, i == 2);
    }
    assert_int_equal(effect(QUEUE_GIVE_UP)->blame, WORK_BLAME_TESTS);
    assert_int_equal(effect(QUEUE_GIVE_UP)->count, 1);
    assert_int_equal(queue_left(queue, 1).modules, 1); /* its neighbour is tried again */
}

static void a_node_that_died_without_it_clears_it(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){900}, 1);
    peer(OWNER, 1, 0);
    peer(40, 1, 0);
    lost(40, QUEUE_DIED);
    assert_false(is_given_up_after(A, B, C));
}

static void one_node_alone_proves_nothing(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){900}, 1);
    peer(OWNER, 1, 0);
    peer(B, 1, 0);
    const struct queue_effect *gave_up = NULL;
    for (size_t i = 0; i < 3; i++) {
        peer(A, 1, 0);
        claim(A, 1, 1);
        if (i == 2) { /* another node is asked first; when it does not come, the same one again */
            passes(QUEUE_WATCH_MS + 100);
            claim(A, 1, 1);
            assert_int_equal(assigned_count(), 0);
            passes(QUEUE_WATCH_MS);
            claim(A, 1, 1);
        }
        assert_int_equal(assigned_count(), 1);
        lost(A, QUEUE_DIED);
        gave_up = effect(QUEUE_GIVE_UP);
    }
    assert_null(gave_up);
}

static void two_suspects_never_run_on_one_node(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){900, 800}, 2);
    peer(OWNER, 1, 0);
    for (uint64_t id = A; id <= B; id += B - A) {
        peer(id, 2, 0);
        claim(id, 1, 2);
        assert_int_equal(assigned_count(), 2);
        lost(id, QUEUE_DIED);
    }
    passes(QUEUE_WATCH_MS + 100);
    peer(C, 2, 0);
    claim(C, 1, 2);
    assert_int_equal(assigned_count(), 1);
    struct work guilty = assigned(0);
    lost(C, QUEUE_DIED);
    assert_int_equal(effect(QUEUE_GIVE_UP)->count, 1);
    assert_int_equal(out.items[effect(QUEUE_GIVE_UP)->first].work.m, guilty.m);
    assert_int_equal(queue_left(queue, 1).modules, 1);
}

static void who_leaves_in_order_took_nothing_with_it(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){900}, 1);
    for (size_t i = 0; i < 20; i++) {
        peer(A, 1, 0);
        claim(A, 1, 1);
        assert_int_equal(assigned_count(), 1);
        lost(A, QUEUE_LEFT);
        assert_null(effect(QUEUE_GIVE_UP));
    }
}

/* ---- beats and time -------------------------------------------------------------------------- */

static void beat(uint64_t id, const struct work *works, size_t count, enum work_phase phase)
{
    struct work_item items[4] = {0};
    for (size_t i = 0; i < count; i++)
        items[i] = (struct work_item){.work = works[i], .phase = phase};
    step((struct queue_event){.kind = QUEUE_BEAT, .peer = id, .items = items, .item_count = count});
}

static void what_its_node_does_not_name_is_lost(void **unused)
{
    (void)unused;
    peer(A, 2, 0);
    given_modules((uint32_t[]){900, 800}, 2);
    claim(A, 1, 2);
    struct work kept = assigned(0);
    beat(A, &kept, 1, WORK_RUNNING); /* the assignment may be on its way */
    assert_int_equal(queue_left(queue, 1).running, 2);
    now += 1000;
    beat(A, &kept, 1, WORK_RUNNING);
    assert_int_equal(queue_left(queue, 1).running, 1);
    claim(A, 1, 1);
    assert_int_equal(assigned(0).m, 1);
    assert_int_equal(assigned(0).n, 2);
}

static void silence_is_a_loss_after_a_while(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){900}, 1);
    claim(A, 1, 1);
    struct work work = assigned(0);
    for (size_t i = 0; i < 10; i++) {
        passes(5000);
        beat(A, &work, 1, WORK_RUNNING);
    }
    assert_int_equal(queue_left(queue, 1).running, 1);
    passes(QUEUE_SILENCE_MS - 500);
    assert_int_equal(queue_left(queue, 1).running, 1);
    passes(1500);
    assert_int_equal(queue_left(queue, 1).running, 0);
    assert_int_equal(queue_left(queue, 1).modules, 1);
}

static void nothing_runs_for_ever(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){900}, 1);
    claim(A, 1, 1);
    struct work work = assigned(0);
    for (size_t i = 0; i < 23; i++) {
        passes(5000);
        beat(A, &work, 1, WORK_RUNNING);
    }
    assert_int_equal(queue_left(queue, 1).running, 1); /* 115 s of 2 * 60 */
    passes(6000);
    assert_int_equal(queue_left(queue, 1).modules, 1);
}

static void a_new_owner_adopts_what_runs_and_hands_out_the_rest(void **unused)
{
    (void)unused;
    peer(A, 2, 0);
    step((struct queue_event){
        .kind = QUEUE_ADD_EVAL, .eval = 1, .ballot = ballot, .weight = 1, .is_adopted = true});
    modules(1, 0, (uint32_t[]){100, 900}, 2);
    claim(A, 1, 2);
    assert_int_equal(assigned_count(), 0);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 2);
    struct work old = {.eval = 1, .m = 1, .n = 4, .ballot = {.epoch = 2, .owner = 99}};
    beat(A, &old, 1, WORK_RUNNING);
    assert_int_equal(queue_left(queue, 1).running, 1);
    passes(QUEUE_ADOPT_MS);
    claim(A, 1, 2);
    assert_int_equal(assigned_count(), 1);
    assert_int_equal(assigned(0).m, 0);
    struct queue_attempt attempts[2];
    assert_int_equal(queue_attempts(queue, 1, attempts, 2), 2);
    assert_int_equal(attempts[1].work.ballot.owner, 99);
    assert_int_equal(attempts[1].work.n, 4);
    ends(A, old, WORK_DONE, WORK_BLAME_NONE);
    over(old);
    assert_null(effect(QUEUE_CANCEL));
}

static void a_second_run_of_the_same_is_stopped(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    given_modules((uint32_t[]){100}, 1);
    claim(A, 1, 1);
    struct work other = {.eval = 1, .m = 0, .n = 1, .ballot = {.epoch = 2, .owner = 99}};
    beat(B, &other, 1, WORK_RUNNING);
    assert_int_equal(effect(QUEUE_CANCEL)->peer, B);
    assert_int_equal(queue_left(queue, 1).running, 1);
}

static void a_dropped_evaluation_is_stopped_everywhere(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    peer(C, 1, 0);
    given_modules((uint32_t[]){100, 90, 80}, 3);
    claim(A, 1, 1);
    claim(B, 1, 1);
    step((struct queue_event){.kind = QUEUE_DROP, .eval = 1});
    size_t cancels = 0;
    for (size_t i = 0; i < out.count; i++)
        cancels += out.effects[i].kind == QUEUE_CANCEL && out.effects[i].count == 0;
    assert_int_equal(cancels, 2);
    claim(A, 1, 1);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 0);
}

/* ---- offers ---------------------------------------------------------------------------------- */

static size_t offers(void)
{
    size_t count = 0;
    for (size_t i = 0; i < out.count; i++)
        count += out.effects[i].kind == QUEUE_OFFER;
    return count;
}

static void work_is_offered_to_the_best_and_to_who_comes_later(void **unused)
{
    (void)unused;
    for (uint64_t id = 100; id < 110; id++)
        step((struct queue_event){
            .kind = QUEUE_PEER,
            .peer = id,
            .load = {.slots = 2, .free = id < 104 ? 2 : 0, .eta_ms = 5000, .rtt_us = 100}});
    evaluation(1);
    modules(1, 0, (uint32_t[]){10}, 1);
    assert_int_equal(offers(), 4);
    for (size_t i = 0; i < out.count; i++)
        if (out.effects[i].kind == QUEUE_OFFER)
            assert_in_range(out.effects[i].peer, 100, 103);
    peer(A, 1, 0);
    assert_int_equal(offers(), 1);
    step((struct queue_event){
        .kind = QUEUE_PEER, .peer = B, .load = {.slots = 2, .is_draining = true}});
    assert_int_equal(offers(), 0);
}

static void a_hungry_node_hears_of_new_work_at_once(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 2, 0);
    given_modules((uint32_t[]){100}, 1);
    claim(A, 1, 1);
    struct work work = assigned(0);
    claim(B, 1, 2);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 0);
    passes(100);
    ends(A, work, WORK_LOST, WORK_BLAME_CLUSTER);
    assert_non_null(effect(QUEUE_OFFER));
    assert_int_equal(effect(QUEUE_OFFER)->peer, B);
}

static void a_draining_node_gets_nothing(void **unused)
{
    (void)unused;
    given_modules((uint32_t[]){100}, 1);
    step((struct queue_event){
        .kind = QUEUE_PEER, .peer = A, .load = {.slots = 2, .is_draining = true}});
    claim(A, 1, 1);
    assert_int_equal(assigned_count(), 0);
}

static void what_makes_no_sense_is_counted(void **unused)
{
    (void)unused;
    claim(A, 1, 1); /* a stranger */
    assert_non_null(effect(QUEUE_NOWORK));
    project(9, 0);
    modules(9, 0, (uint32_t[]){1}, 1);
    evaluation(1);
    evaluation(1);
    project(1, WORK_PROJECTS_MAX);
    over((struct work){.eval = 1, .p = 0, .m = WORK_MODULES_MAX});
    beat(A, NULL, 0, WORK_RUNNING);
    assert_int_equal(queue_stats(queue).ignored, 7);
}

/* ---- speed ----------------------------------------------------------------------------------- */

/* No claim looks at all that waits: the rate does not fall with the length of the queue. Printed;
 * the bound is one that a build with sanitizers on a busy machine holds, too. */
static void claims_are_cheap_however_long_the_queue(void **unused)
{
    (void)unused;
    enum { COUNT = 10000, PROJECTS = 4, NODES = 50 };
    uint32_t estimates[COUNT / PROJECTS];
    for (uint64_t id = 0; id < NODES; id++)
        peer(100 + id, 4, 0);
    evaluation(1);
    for (uint32_t p = 0; p < PROJECTS; p++) {
        for (uint32_t m = 0; m < COUNT / PROJECTS; m++)
            estimates[m] = 1 + (m * 7919 + p) % 5000;
        modules(1, p, estimates, COUNT / PROJECTS);
    }
    uint64_t began_us = clock_mono_us();
    for (size_t i = 0; i < COUNT; i++) {
        claim(100 + i % NODES, 1, 1);
        struct work work = assigned(0);
        ends(100 + i % NODES, work, WORK_DONE, WORK_BLAME_NONE);
        over(work);
    }
    uint64_t took_us = clock_mono_us() - began_us;
    printf("  %.0f assignments a second\n", COUNT * 1e6 / (double)(took_us + 1));
    assert_int_equal(queue_left(queue, 1).modules, 0);
    assert_true(took_us < 2000000);
}

int main(void)
{
#define TOLD(story) cmocka_unit_test_setup_teardown(story, given_a_queue, queue_ends)
    const struct CMUnitTest tests[] = {
        TOLD(the_longest_goes_first),
        TOLD(a_guess_goes_before_a_measured_one_of_the_same_length),
        TOLD(the_longest_of_all_ready_projects_goes_first),
        TOLD(short_ones_come_in_batches_where_the_way_is_long),
        TOLD(batches_shrink_towards_the_end),
        TOLD(the_one_that_is_behind_is_served_first),
        TOLD(a_project_is_got_ready_once_and_its_modules_go_there),
        TOLD(another_node_helps_where_it_gains_more_than_it_costs),
        TOLD(no_chore_while_enough_is_ready),
        TOLD(what_fails_on_one_node_is_tried_on_another),
        TOLD(a_broken_project_waits_for_its_record),
        TOLD(what_only_a_dead_node_had_ready_is_prepared_again),
        TOLD(a_module_counts_once_wherever_its_record_comes_from),
        TOLD(a_result_that_never_becomes_durable_is_run_again),
        TOLD(a_runner_that_dies_twice_is_the_modules_doing),
        TOLD(what_the_cluster_lost_goes_to_the_front_and_is_tried_often),
        TOLD(what_was_refused_or_stopped_is_no_loss),
        TOLD(three_nodes_that_die_under_it_and_none_without_it),
        TOLD(a_node_that_died_without_it_clears_it),
        TOLD(one_node_alone_proves_nothing),
        TOLD(two_suspects_never_run_on_one_node),
        TOLD(who_leaves_in_order_took_nothing_with_it),
        TOLD(what_its_node_does_not_name_is_lost),
        TOLD(silence_is_a_loss_after_a_while),
        TOLD(nothing_runs_for_ever),
        TOLD(a_new_owner_adopts_what_runs_and_hands_out_the_rest),
        TOLD(a_second_run_of_the_same_is_stopped),
        TOLD(a_dropped_evaluation_is_stopped_everywhere),
        TOLD(work_is_offered_to_the_best_and_to_who_comes_later),
        TOLD(a_hungry_node_hears_of_new_work_at_once),
        TOLD(a_draining_node_gets_nothing),
        TOLD(what_makes_no_sense_is_counted),
        TOLD(claims_are_cheap_however_long_the_queue),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
