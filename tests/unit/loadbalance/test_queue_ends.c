#include "tests/unit/loadbalance/queue_verbs.h"

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

/* Three that help with the same project die at about the same time: that is one piece of news about
 * them and none about the project, which has not been tried by itself. */
static void deaths_at_the_same_time_convict_nobody(void **unused)
{
    (void)unused;
    const uint64_t helpers[] = {B, C, 40};
    peer(OWNER, 1, 0);
    peer(A, 1, 0);
    evaluation(1);
    project(1, 0);
    modules(1, 0, (uint32_t[]){90000, 90000, 90000}, 3);
    claim(A, 1, 1);
    for (size_t i = 0; i < countof(helpers); i++) {
        peer(helpers[i], 1, 0);
        claim_chore(helpers[i], 1, NULL, 0);
        assert_int_equal(assigned(0).m, WORK_CHORE);
    }
    for (size_t i = 0; i < countof(helpers); i++) {
        lost(helpers[i], QUEUE_DIED);
        assert_null(effect(QUEUE_GIVE_UP));
    }
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
    for (size_t i = 0; i < 26; i++) {
        passes(5000);
        beat(A, &work, 1, WORK_RUNNING);
    }
    assert_int_equal(queue_left(queue, 1).running, 1); /* 130 s of 2 * 60 + 15 */
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

static void what_runs_of_one_that_is_handed_over_goes_on(void **unused)
{
    (void)unused;
    peer(A, 1, 0);
    given_modules((uint32_t[]){100, 90}, 2);
    claim(A, 1, 1);
    step((struct queue_event){.kind = QUEUE_DROP, .eval = 1, .is_kept = true});
    assert_null(effect(QUEUE_CANCEL));
    assert_int_equal(queue_left(queue, 1).running, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(a_module_counts_once_wherever_its_record_comes_from),
        TOLD(a_result_that_never_becomes_durable_is_run_again),
        TOLD(a_runner_that_dies_twice_is_the_modules_doing),
        TOLD(what_the_cluster_lost_goes_to_the_front_and_is_tried_often),
        TOLD(what_was_refused_or_stopped_is_no_loss),
        TOLD(three_nodes_that_die_under_it_and_none_without_it),
        TOLD(a_node_that_died_without_it_clears_it),
        TOLD(one_node_alone_proves_nothing),
        TOLD(two_suspects_never_run_on_one_node),
        TOLD(deaths_at_the_same_time_convict_nobody),
        TOLD(who_leaves_in_order_took_nothing_with_it),
        TOLD(what_its_node_does_not_name_is_lost),
        TOLD(silence_is_a_loss_after_a_while),
        TOLD(nothing_runs_for_ever),
        TOLD(a_new_owner_adopts_what_runs_and_hands_out_the_rest),
        TOLD(a_second_run_of_the_same_is_stopped),
        TOLD(a_dropped_evaluation_is_stopped_everywhere),
        TOLD(what_runs_of_one_that_is_handed_over_goes_on),
    };
    return cmocka_run_group_tests_name("queue_ends", tests, NULL, NULL);
}
