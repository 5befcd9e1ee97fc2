#include "proto/base/clock.h"
#include "tests/unit/loadbalance/queue_verbs.h"

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
    const struct queue_effect *gave_up = effect(QUEUE_GIVE_UP); /* it failed everywhere */
    assert_non_null(gave_up);
    assert_int_equal(gave_up->blame, WORK_BLAME_CLUSTER);
    assert_int_equal(out.items[gave_up->first].work.m, WORK_CHORE);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    assert_int_equal(effect(QUEUE_NOWORK)->queued, 0);
}

static void a_node_alone_is_not_asked_twice(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    ends(A, assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    assert_int_equal(effect(QUEUE_GIVE_UP)->blame, WORK_BLAME_CLUSTER);
}

static void what_failed_on_three_nodes_is_not_tried_on_a_fourth(void **unused)
{
    (void)unused;
    const uint64_t nodes[] = {A, B, C};
    peer(40, 1, 0);
    evaluation(1);
    project(1, 0);
    for (size_t i = 0; i < QUEUE_PREPARES_MAX; i++)
        peer(nodes[i], 1, 0);
    for (size_t i = 0; i < QUEUE_PREPARES_MAX; i++) {
        assert_null(effect(QUEUE_GIVE_UP));
        claim_chore(nodes[i], 1, NULL, 0);
        ends(nodes[i], assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    }
    assert_int_equal(effect(QUEUE_GIVE_UP)->blame, WORK_BLAME_CLUSTER);
}

static void nobody_waits_for_a_node_that_left(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    ends(A, assigned(0), WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    assert_null(effect(QUEUE_GIVE_UP));
    lost(B, QUEUE_LEFT);
    uint64_t given_up = queue_stats(queue).given_up;
    passes(2000);
    assert_int_equal(queue_stats(queue).given_up, given_up + 1);
}

/* It goes on elsewhere, and may begin here again. */
static void a_node_that_drains_has_no_say(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    project(1, 0);
    claim_chore(A, 1, NULL, 0);
    struct work chore = assigned(0);
    step((struct queue_event){
        .kind = QUEUE_PEER, .peer = A, .load = {.slots = 1, .is_draining = true}});
    ends(A, chore, WORK_UNPREPARED, WORK_BLAME_CLUSTER);
    passes(5000);
    assert_int_equal(queue_stats(queue).given_up, 0);
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

static void project_of(uint64_t home)
{
    step((struct queue_event){.kind = QUEUE_ADD_PROJECT, .eval = 1, .home = home});
}

static void a_project_goes_home_first(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project_of(B);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned(0).m, WORK_CHORE);
}

static void nobody_waits_long_for_a_home(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    peer(B, 1, 0);
    evaluation(1);
    project_of(B);
    passes(QUEUE_HOME_MS);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned(0).m, WORK_CHORE);
}

static void a_home_that_is_not_there_is_none(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    evaluation(1);
    project_of(B);
    claim_chore(A, 1, NULL, 0);
    assert_int_equal(assigned(0).m, WORK_CHORE);
}

/* Modules that were thought short turn out long: then another node shall help. */
static void a_wrong_guess_is_seen_while_it_runs(void **unused)
{
    (void)unused;
    uint32_t estimates[20];
    for (size_t i = 0; i < countof(estimates); i++)
        estimates[i] = 50;
    peer(A, 1, 0);
    peer(B, 1, 0);
    given_modules(estimates, countof(estimates));
    claim(A, 1, 1);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned_count(), 0);
    passes(2000);
    claim_chore(B, 1, NULL, 0);
    assert_int_equal(assigned(0).m, WORK_CHORE);
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
        TOLD(a_node_alone_is_not_asked_twice),
        TOLD(what_failed_on_three_nodes_is_not_tried_on_a_fourth),
        TOLD(nobody_waits_for_a_node_that_left),
        TOLD(a_node_that_drains_has_no_say),
        TOLD(a_broken_project_waits_for_its_record),
        TOLD(what_only_a_dead_node_had_ready_is_prepared_again),
        TOLD(a_project_goes_home_first),
        TOLD(nobody_waits_long_for_a_home),
        TOLD(a_home_that_is_not_there_is_none),
        TOLD(a_wrong_guess_is_seen_while_it_runs),
        TOLD(work_is_offered_to_the_best_and_to_who_comes_later),
        TOLD(a_hungry_node_hears_of_new_work_at_once),
        TOLD(a_draining_node_gets_nothing),
        TOLD(what_makes_no_sense_is_counted),
        TOLD(claims_are_cheap_however_long_the_queue),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
