#include "loadbalance/dispatch.h"

#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The verbs that the stories below are told in. */
static struct dispatch *node;
static struct dispatch_out out;

static int given_a_node(void **unused)
{
    (void)unused;
    node = dispatch_new();
    return 0;
}

static int node_ends(void **unused)
{
    (void)unused;
    dispatch_free(node);
    dispatch_out_fini(&out);
    return 0;
}

static void step(struct dispatch_event event) { dispatch_step(node, &event, &out); }

static void slots(uint32_t count)
{
    step((struct dispatch_event){.kind = DISPATCH_SLOTS, .slots = count});
}

static void modules(uint64_t eval, const uint32_t *estimates, size_t count)
{
    struct dispatch_module list[64] = {0};
    for (size_t i = 0; i < count; i++)
        list[i] = (struct dispatch_module){
            .index = (uint32_t)i, .estimate_ms = estimates[i], .is_measured = true};
    step((struct dispatch_event){.kind = DISPATCH_ADD,
                                 .work = {.eval = eval},
                                 .weight = 1,
                                 .modules = list,
                                 .module_count = count});
}

static void chore(uint64_t eval, uint32_t project)
{
    step((struct dispatch_event){
        .kind = DISPATCH_ADD, .work = {.eval = eval, .project = project}, .weight = 1});
}

static void ends(struct dispatch_work work, bool is_lost)
{
    step((struct dispatch_event){.kind = DISPATCH_ENDED, .work = work, .is_lost = is_lost});
}

static struct dispatch_work started(size_t index)
{
    assert_true(index < out.count);
    assert_int_equal(out.effects[index].kind, DISPATCH_START);
    return out.effects[index].work;
}

static void the_longest_module_starts_first(void **unused)
{
    (void)unused;
    slots(1);
    modules(1, (uint32_t[]){10, 500, 30}, 3);
    struct dispatch_work work = started(0);
    assert_int_equal(work.module, 1);
    ends(work, false);
    assert_int_equal(started(0).module, 2);
    ends(started(0), false);
    assert_int_equal(started(0).module, 0);
    ends(started(0), false);
    assert_int_equal(out.count, 0);
    assert_int_equal(dispatch_load(node, 0).running, 0);
}

/* With one slot nothing runs when it gets free: who has had fewer turns is next. */
static void one_slot_is_shared_too(void **unused)
{
    (void)unused;
    uint64_t turns[16];
    slots(1);
    modules(1, (uint32_t[]){50, 40, 30, 20, 10, 9}, 6);
    turns[0] = started(0).eval;
    struct dispatch_work work = started(0);
    modules(2, (uint32_t[]){5, 4}, 2);
    for (size_t i = 1; i < 8; i++) {
        ends(work, false);
        work = started(0);
        turns[i] = work.eval;
    }
    const uint64_t expected[] = {1, 2, 1, 2, 1, 1, 1, 1};
    assert_memory_equal(turns, expected, sizeof expected);
}

static void turns_are_by_weight(void **unused)
{
    (void)unused;
    struct dispatch_module list[64] = {0};
    size_t heavy = 0;
    for (uint32_t i = 0; i < 64; i++)
        list[i] = (struct dispatch_module){.index = i, .estimate_ms = 5};
    for (uint64_t eval = 1; eval <= 2; eval++)
        step((struct dispatch_event){.kind = DISPATCH_ADD,
                                     .work = {.eval = eval},
                                     .weight = eval == 1 ? 1 : 3,
                                     .modules = list,
                                     .module_count = 64});
    slots(1);
    for (size_t i = 0; i < 40; i++) {
        struct dispatch_work work = started(0);
        heavy += work.eval == 2;
        ends(work, false);
    }
    assert_in_range(heavy, 29, 31);
}

static void a_guess_goes_before_a_measured_module_of_the_same_length(void **unused)
{
    (void)unused;
    struct dispatch_module list[] = {{.index = 0, .estimate_ms = 50, .is_measured = true},
                                     {.index = 1, .estimate_ms = 50, .is_measured = false}};
    step((struct dispatch_event){.kind = DISPATCH_ADD,
                                 .work = {.eval = 1},
                                 .weight = 1,
                                 .modules = list,
                                 .module_count = 2});
    slots(1);
    assert_int_equal(started(0).module, 1);
}

static void no_more_runs_than_there_are_slots(void **unused)
{
    (void)unused;
    slots(2);
    modules(1, (uint32_t[]){1, 1, 1, 1}, 4);
    assert_int_equal(out.count, 2);
    assert_int_not_equal(started(0).slot, started(1).slot);
    struct dispatch_work first = started(0);
    slots(1);
    assert_int_equal(out.count, 0);
    ends(first, false);
    if (first.slot == 0)
        assert_int_equal(out.count, 1);
}

static void a_small_evaluation_does_not_wait_for_a_big_one(void **unused)
{
    (void)unused;
    slots(2);
    modules(1, (uint32_t[]){100, 100, 100, 100, 100, 100}, 6);
    struct dispatch_work first = started(0);
    modules(2, (uint32_t[]){5}, 1);
    assert_int_equal(out.count, 0);
    ends(first, false);
    assert_int_equal(started(0).eval, 2);
}

static void chores_wait_while_enough_modules_are_ready(void **unused)
{
    (void)unused;
    modules(1, (uint32_t[]){9, 8, 7}, 3);
    chore(1, 5);
    slots(1);
    assert_int_equal(started(0).module,
                     0); /* three are ready, and two are enough for one slot ... */
    ends(started(0), false);
    assert_int_equal(started(0).module, 1);
    ends(started(0), false);
    assert_int_equal(started(0).module, DISPATCH_CHORE); /* ... one is not */
    assert_int_equal(started(0).project, 5);
    ends(started(0), false);
    assert_int_equal(started(0).module, 2);
}

static void a_lost_attempt_is_made_again_at_once_and_given_up_after_the_second(void **unused)
{
    (void)unused;
    slots(1);
    modules(1, (uint32_t[]){5, 500}, 2);
    struct dispatch_work work = started(0);
    assert_int_equal(work.attempt, 1);
    ends(work, true);
    work = started(0);
    assert_int_equal(work.module, 1);
    assert_int_equal(work.attempt, 2);
    ends(work, true);
    assert_int_equal(out.effects[0].kind, DISPATCH_GIVE_UP);
    assert_int_equal(out.effects[0].work.module, 1);
    assert_int_equal(started(1).module, 0);
}

static void what_is_dropped_is_stopped_and_never_starts(void **unused)
{
    (void)unused;
    slots(1);
    modules(1, (uint32_t[]){5, 6}, 2);
    struct dispatch_work work = started(0);
    modules(2, (uint32_t[]){1}, 1);
    step((struct dispatch_event){.kind = DISPATCH_DROP, .work = {.eval = 1}});
    assert_int_equal(out.count, 1);
    assert_int_equal(out.effects[0].kind, DISPATCH_STOP);
    assert_int_equal(out.effects[0].work.module, work.module);
    ends(work, true); /* its end frees the slot, and a loss of what nobody wants is no loss */
    assert_int_equal(out.count, 1);
    assert_int_equal(started(0).eval, 2);
}

static void an_end_that_nobody_waits_for_is_ignored(void **unused)
{
    (void)unused;
    slots(1);
    ends((struct dispatch_work){.eval = 9, .slot = 0}, false);
    ends((struct dispatch_work){.eval = 9, .slot = UINT32_MAX}, true);
    assert_int_equal(out.count, 0);
    modules(1, (uint32_t[]){5}, 1);
    struct dispatch_work work = started(0);
    ends(work, false);
    ends(work, true);
    assert_int_equal(out.count, 0);
}

/* Random histories: every module ends exactly once, by a real end or by being given up, and the
 * slots are never overdrawn. */
static void every_module_ends_exactly_once(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        dispatch_free(node);
        node = dispatch_new();
        struct rand rand;
        rand_init(&rand, seed);
        uint32_t slot_count = 1 + (uint32_t)rand_below(&rand, 4);
        struct dispatch_work running[8];
        size_t running_count = 0;
        unsigned over[3][8] = {{0}};
        slots(slot_count);
        uint32_t left = 24;
        for (uint64_t eval = 1; left > 0;) {
            if (eval <= 3) {
                uint32_t estimates[8];
                for (size_t i = 0; i < 8; i++)
                    estimates[i] = (uint32_t)rand_below(&rand, 100);
                modules(eval++, estimates, 8);
            } else {
                assert_true(running_count > 0);
                size_t pick = rand_below(&rand, running_count);
                struct dispatch_work work = running[pick];
                running[pick] = running[--running_count];
                bool is_lost = rand_below(&rand, 4) == 0;
                over[work.eval - 1][work.module] += !is_lost;
                left -= !is_lost;
                ends(work, is_lost);
            }
            for (size_t i = 0; i < out.count; i++) {
                const struct dispatch_work *work = &out.effects[i].work;
                if (out.effects[i].kind == DISPATCH_START) {
                    running[running_count++] = *work;
                } else {
                    over[work->eval - 1][work->module]++;
                    left--;
                }
            }
            assert_true(running_count <= slot_count);
        }
        for (size_t eval = 0; eval < 3; eval++)
            for (size_t module = 0; module < 8; module++)
                if (over[eval][module] != 1)
                    fail_msg("SEED=%llu: module %zu of %zu ended %u times",
                             (unsigned long long)seed, module, eval, over[eval][module]);
        assert_int_equal(dispatch_load(node, 0).waiting, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_module_starts_first, given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(one_slot_is_shared_too, given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(turns_are_by_weight, given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(a_guess_goes_before_a_measured_module_of_the_same_length,
                                        given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(no_more_runs_than_there_are_slots, given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(a_small_evaluation_does_not_wait_for_a_big_one,
                                        given_a_node, node_ends),
        cmocka_unit_test_setup_teardown(chores_wait_while_enough_modules_are_ready, given_a_node,
                                        node_ends),
        cmocka_unit_test_setup_teardown(
            a_lost_attempt_is_made_again_at_once_and_given_up_after_the_second, given_a_node,
            node_ends),
        cmocka_unit_test_setup_teardown(what_is_dropped_is_stopped_and_never_starts, given_a_node,
                                        node_ends),
        cmocka_unit_test_setup_teardown(an_end_that_nobody_waits_for_is_ignored, given_a_node,
                                        node_ends),
        cmocka_unit_test_setup_teardown(every_module_ends_exactly_once, given_a_node, node_ends),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
