/* Whole meshes: how long deaths take to be known, that partitions heal, that loss kills nobody.
 * SWIM_SEEDS=n runs n seeds a figure instead of the few that every build runs; the figures in
 * docs/protocol.md are from 100. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static uint32_t seeds(uint32_t few)
{
    const char *many = getenv("SWIM_SEEDS");
    return many ? (uint32_t)strtoul(many, NULL, 10) : few;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t show(const char *what, uint32_t count, uint64_t *times, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += times[i];
    qsort(times, n, sizeof(*times), compare);
    printf("%-22s N=%-4u %4zu seeds: mean %.2f  p50 %.2f  p99 %.2f  max %.2f s\n", what, count, n,
           (double)sum / (double)n / 1000, (double)times[n / 2] / 1000,
           (double)times[n * 99 / 100] / 1000, (double)times[n - 1] / 1000);
    return times[n / 2];
}

static void fail_seed(const struct world *world, const char *what)
{
    printf("seed %llu, %u machines: %s\n", (unsigned long long)world->seed, world->count, what);
    fail();
}

/* ---- deaths ------------------------------------------------------------------------------------
 */

static uint64_t time_to_know_in(struct world *world, uint32_t victim)
{
    uint64_t start_ms = world->now_ms;
    while (!world_all_say(world, victim, WIRE_STATE_DEAD)) {
        world_run(world, 20);
        if (world->now_ms - start_ms > 60000)
            fail_seed(world, "a death is not known after a minute");
    }
    return world->now_ms - start_ms;
}

static uint64_t time_to_know(uint64_t seed, uint32_t count, bool is_silent)
{
    struct world *world = world_formed(seed, count);
    world_run(world, seed * 7919 % 5000);
    uint32_t victim = (uint32_t)(seed % count);
    if (is_silent)
        world->machines[victim].is_silent = true;
    else
        world_kill(world, victim);
    uint64_t took_ms = time_to_know_in(world, victim);
    world_run(world, 10000);
    uint64_t wrong = world->deaths - (is_silent ? count - 1 : 0);
    if (wrong != 0)
        fail_seed(world, "somebody who lives was taken for dead");
    world_free(world);
    return took_ms;
}

static uint64_t measure_death(uint32_t count, bool is_silent, uint32_t few)
{
    uint32_t n = seeds(few);
    uint64_t *times = mem_new_array(n, sizeof(*times));
    for (uint32_t i = 0; i < n; i++)
        times[i] = time_to_know(i + 1, count, is_silent);
    uint64_t median = show(is_silent ? "silent host" : "killed process", count, times, n);
    free(times);
    return median;
}

static void a_killed_process_is_known_dead_soon(void **unused)
{
    (void)unused;
    assert_true(measure_death(2, false, 20) <= 2500);
    assert_true(measure_death(4, false, 40) <= 2000);
    assert_true(measure_death(32, false, 5) <= 2500);
    assert_true(measure_death(200, false, 1) <= 4000);
}

static void a_silent_host_is_known_dead_in_time(void **unused)
{
    (void)unused;
    assert_true(measure_death(2, true, 20) <= 5000);
    assert_true(measure_death(4, true, 40) <= 4500);
    assert_true(measure_death(32, true, 5) <= 6000);
    assert_true(measure_death(200, true, 1) <= 9000);
}

/* ---- partitions --------------------------------------------------------------------------------
 */

static uint64_t time_to_heal(uint64_t seed, uint32_t count, uint64_t cut_ms)
{
    struct world *world = world_formed(seed, count);
    for (uint32_t i = 0; i < count; i++)
        world->machines[i].side = i % 2;
    world_run(world, cut_ms);
    for (uint32_t i = 0; i < count; i++) {
        size_t alive;
        swim_alive(world->machines[i].swim, &alive);
        if (alive != count / 2)
            fail_seed(world, "a half does not know that it is one");
        world->machines[i].side = 0;
    }
    uint64_t took_ms = world_until_agreed(world, 60000);
    if (took_ms == UINT64_MAX)
        fail_seed(world, "the halves do not find each other again");
    if (world->restarts != 0)
        fail_seed(world, "somebody is said to have restarted");
    world_free(world);
    return took_ms;
}

static void measure_heal(uint32_t count, uint64_t cut_ms, uint32_t few)
{
    uint32_t n = seeds(few);
    uint64_t *times = mem_new_array(n, sizeof(*times));
    for (uint32_t i = 0; i < n; i++)
        times[i] = time_to_heal(i + 1, count, cut_ms);
    show("heal", count, times, n);
    assert_true(times[n - 1] <= 15000);
    free(times);
}

static void halves_find_each_other_again(void **unused)
{
    (void)unused;
    measure_heal(4, 75000, 20);
    measure_heal(4, 600000, 2);
    measure_heal(32, 75000, 3);
}

/* ---- loss --------------------------------------------------------------------------------------
 */

static void loss_kills_nobody(void **unused)
{
    (void)unused;
    uint32_t n = seeds(3);
    for (uint32_t i = 0; i < n; i++) {
        struct world *world = world_formed(i + 1, 8);
        world->loss = 100;
        world->delay_min_ms = 15;
        world->delay_span_ms = 20;
        world_run(world, 600000);
        if (world->deaths != 0)
            fail_seed(world, "dead of loss");
        world->loss = 0;
        if (world_until_agreed(world, 30000) == UINT64_MAX)
            fail_seed(world, "no agreement after loss");
        world_free(world);
    }
}

/* ---- many --------------------------------------------------------------------------------------
 */

static void machines_that_start_together_find_each_other(void **unused)
{
    (void)unused;
    static const uint32_t counts[] = {2, 4, 32, 200};
    for (size_t i = 0; i < countof(counts); i++) {
        struct world *world = world_new(i + 1, counts[i]);
        for (uint32_t at = 0; at < counts[i]; at++) {
            world_start(world, at);
            if (at > 0)
                world_join(world, at, 0);
        }
        uint64_t ms = world_until_agreed(world, 20000);
        if (ms == UINT64_MAX)
            fail_seed(world, "no agreement");
        printf("start together N=%u: %.2f s, %.1f KB of datagrams and %.1f frames each\n",
               counts[i], (double)ms / 1000, (double)world->bytes / 1000 / counts[i],
               (double)world->frames / counts[i]);
        assert_true(ms <= 3000);
        world_free(world);
    }
}

/* One large world, and ten deaths in it, each followed by a restart. */
static void measure_deaths_in(struct world *world, bool is_silent)
{
    uint64_t times[10];
    for (uint32_t i = 0; i < countof(times); i++) {
        uint32_t victim = 10 + i * 7;
        if (is_silent)
            world->machines[victim].is_silent = true;
        else
            world_kill(world, victim);
        times[i] = time_to_know_in(world, victim);
        world_kill(world, victim);
        world_start(world, victim);
        world_join(world, victim, 0);
        if (world_until_agreed(world, 30000) == UINT64_MAX)
            fail_seed(world, "a restart is not known after half a minute");
        world_run(world, 2000 + i * 370);
    }
    show(is_silent ? "silent host" : "killed process", world->count, times, countof(times));
}

static void a_thousand_are_cheap(void **unused)
{
    (void)unused;
    if (!getenv("SWIM_SEEDS"))
        skip();
    clock_t start = clock();
    struct world *world = world_formed(1, 1000);
    printf("1,000 formed at %.1f virtual s: %.1f s of processor\n", (double)world->now_ms / 1000,
           (double)(clock() - start) / CLOCKS_PER_SEC);
    start = clock();
    world_run(world, 20000);
    printf("rumors told: %.1f s of processor\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    start = clock();
    uint64_t bytes = world->bytes;
    uint64_t packets = world->packets;
    world_run(world, 60000);
    double took_s = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("60 quiet s: %.2f s of processor, %.1f packets/s and %.0f B/s of bodies each\n", took_s,
           (double)(world->packets - packets) / 60000, (double)(world->bytes - bytes) / 60000);
    assert_true(took_s <= 10);
    assert_true(world_agrees(world));
    measure_deaths_in(world, false);
    measure_deaths_in(world, true);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_that_start_together_find_each_other),
        cmocka_unit_test(a_killed_process_is_known_dead_soon),
        cmocka_unit_test(a_silent_host_is_known_dead_in_time),
        cmocka_unit_test(halves_find_each_other_again),
        cmocka_unit_test(loss_kills_nobody),
        cmocka_unit_test(a_thousand_are_cheap),
    };
    return cmocka_run_group_tests_name("swim world", tests, NULL, NULL);
}
