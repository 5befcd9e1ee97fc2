#include "loadbalance/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

/* One second of four processors at 100 ticks each: `idle` and `own` of 400. */
static uint64_t now, total, idle, own;

static void second(struct slots *slots, uint64_t idle_ticks, uint64_t own_ticks)
{
    now += 1000;
    total += 400;
    idle += idle_ticks;
    own += own_ticks;
    slots_sample(slots, now, total, idle, own);
}

static void a_slot_is_a_processor_with_memory(void **unused)
{
    (void)unused;
    assert_int_equal(slots_base(4, 16 * GIB), 4);
    assert_int_equal(slots_base(16, 4 * GIB), 4);
    assert_int_equal(slots_base(8, GIB / 2), 1);
    assert_int_equal(slots_base(0, 0), 1);
}

static void what_is_ours_or_idle_costs_no_slot(void **unused)
{
    (void)unused;
    struct slots slots = {0};
    assert_int_equal(slots_usable(&slots, 4), 4);
    for (int i = 0; i < 20; i++)
        second(&slots, i % 2 ? 400 : 0, i % 2 ? 0 : 400);
    assert_int_equal(slots_usable(&slots, 4), 4);
}

static void one_busy_second_moves_little_and_a_busy_minute_all(void **unused)
{
    (void)unused;
    struct slots slots = {0};
    second(&slots, 400, 0);
    second(&slots, 0, 0);
    assert_true(slots.external > 0.29 && slots.external < 0.31);
    assert_int_equal(slots_usable(&slots, 4), 3); /* ceil(4 * 0.7) */
    for (int i = 0; i < 60; i++)
        second(&slots, 200, 0); /* half of it is others' */
    assert_int_equal(slots_usable(&slots, 4), 2);
    for (int i = 0; i < 60; i++)
        second(&slots, 0, 0);
    assert_int_equal(slots_usable(&slots, 4), 1);
    assert_int_equal(slots_usable(&slots, 0), 0);
}

static void a_long_gap_counts_for_its_seconds(void **unused)
{
    (void)unused;
    struct slots slots = {0};
    second(&slots, 400, 0);
    now += 9000;
    total += 9 * 400;
    second(&slots, 0, 0);
    assert_true(slots.external > 0.95);
}

static void odd_readings_change_nothing(void **unused)
{
    (void)unused;
    struct slots slots = {0};
    second(&slots, 400, 0);
    second(&slots, 400, 0);
    slots_sample(&slots, now + 100, total + 40, idle, own); /* too soon */
    slots_sample(&slots, now + 2000, total - 1, idle, own); /* counters went back */
    assert_true(slots.external == 0);
    slots_sample(&slots, now + 4000, total + 400, idle + 900, own); /* more idle than time */
    assert_true(slots.external == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_a_processor_with_memory),
        cmocka_unit_test(what_is_ours_or_idle_costs_no_slot),
        cmocka_unit_test(one_busy_second_moves_little_and_a_busy_minute_all),
        cmocka_unit_test(a_long_gap_counts_for_its_seconds),
        cmocka_unit_test(odd_readings_change_nothing),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
