/* Stories of a queue with thousands of evaluations. */
#include "tests/unit/loadbalance/queue_verbs.h"

#define MANY 2000

static void given_many(void)
{
    static const uint32_t estimates[] = {1000, 2000};
    peer(A, 2, 1000);
    peer(B, 2, 1000);
    for (uint64_t id = 1; id <= MANY; id++) {
        evaluation(id);
        project(id, 0);
        modules(id, 0, estimates, countof(estimates));
    }
}

static size_t count_offers(void)
{
    size_t count = 0;
    for (size_t i = 0; i < out.count; i++)
        count += out.effects[i].kind == QUEUE_OFFER;
    return count;
}

static void what_nobody_can_begin_is_offered_seldom(void **unused)
{
    (void)unused;
    given_many();
    size_t offers = 0;
    for (uint64_t end = now + 10000; now < end;) {
        uint64_t next = queue_deadline(queue);
        now = next > now ? next : now + 1;
        step((struct queue_event){.kind = QUEUE_TICK});
        offers += count_offers();
    }
    /* Each to both nodes, and again some times: not 25 times. */
    assert_in_range(offers, (size_t)2 * MANY, (size_t)12 * MANY);
}

static void a_new_one_is_offered_at_once_all_the_same(void **unused)
{
    (void)unused;
    given_many();
    passes(5000);
    evaluation(MANY + 1);
    project(MANY + 1, 0);
    const struct queue_effect *offer = effect(QUEUE_OFFER);
    assert_non_null(offer);
    assert_int_equal(offer->eval, MANY + 1);
}

/* What is kept up to date is what can be counted. */
static void is_consistent(void)
{
    struct queue_left left = queue_left(queue, 0);
    assert_int_equal(queue_waiting(queue).modules, left.modules);
    assert_int_equal(queue_waiting(queue).ms, left.waiting_ms);
}

static void the_sum_of_what_waits_is_right(void **unused)
{
    (void)unused;
    given_many();
    is_consistent();
    assert_int_equal(queue_waiting(queue).modules, 2 * MANY);
    claim(A, 7, 2);
    is_consistent();
    assert_int_equal(queue_waiting(queue).modules, 2 * MANY - 2);
    struct work first = assigned(0);
    struct work second = assigned(1);
    ends(A, first, WORK_LOST, WORK_BLAME_CLUSTER);
    is_consistent();
    over(first);
    over(second);
    is_consistent();
    for (uint64_t id = 1; id <= MANY; id++)
        step((struct queue_event){.kind = QUEUE_DROP, .eval = id});
    is_consistent();
    assert_int_equal(queue_waiting(queue).modules, 0);
    assert_int_equal(queue_waiting(queue).ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(what_nobody_can_begin_is_offered_seldom),
        TOLD(a_new_one_is_offered_at_once_all_the_same),
        TOLD(the_sum_of_what_waits_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
