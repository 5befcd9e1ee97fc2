/* Stories of a few machines, and swarms of faults: whatever happened, once it is calm all agree. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t seeds(uint32_t few)
{
    const char *many = getenv("SWIM_SEEDS");
    return many ? (uint32_t)strtoul(many, NULL, 10) : few;
}

static void fail_seed(const struct world *world, const char *what)
{
    printf("seed %llu, %u machines: %s\n", (unsigned long long)world->seed, world->count, what);
    fail();
}

/* ---- stories -----------------------------------------------------------------------------------
 */

static void a_restart_is_known_at_once(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 5);
        world_kill(world, 2);
        world_run(world, 100); /* long before anybody thinks it dead */
        world_start(world, 2);
        world_join(world, 2, 0);
        uint64_t took_ms = world_until_agreed(world, 5000);
        if (took_ms > 1000 || world->restarts != 4 || world->deaths != 0)
            fail_seed(world, "a restart was not seen as one");
        world_free(world);
    }
}

/* Nobody gave it an address, but the others remember it. */
static void a_restart_without_addresses_is_found(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 5);
        world_kill(world, 0);
        world_run(world, seed % 2 ? 100 : 20000);
        world_start(world, 0);
        if (world_until_agreed(world, 30000) == UINT64_MAX)
            fail_seed(world, "it was not found");
        world_free(world);
    }
}

static void a_lost_generation_is_climbed_over(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 4);
        world_kill(world, 2);
        world_run(world, 15000);
        world->machines[2].gen = 10; /* its disk came from a backup */
        world_start(world, 2);
        world_join(world, 2, 0);
        if (world_until_agreed(world, 10000) == UINT64_MAX || world->machines[2].gen <= 1001)
            fail_seed(world, "an old disk keeps a node out");
        world_free(world);
    }
}

static void leaving_is_no_death(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 8);
        world_step(world, 3, (struct swim_event){.kind = SWIM_LEAVE});
        uint64_t start_ms = world->now_ms;
        while (world->left_done == 0)
            world_run(world, 10);
        if (world->now_ms - start_ms > 1000)
            fail_seed(world, "leaving takes too long");
        world_kill(world, 3);
        world_run(world, 1000);
        if (!world_all_say(world, 3, WIRE_STATE_LEFT))
            fail_seed(world, "not everybody knows who left");
        world_run(world, 60000);
        if (world->left != 7 || !world_agrees(world))
            fail_seed(world, "who left is back, or was heard of twice");
        world_free(world);
    }
}

static void a_node_that_was_stopped_accuses_nobody(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world *world = world_formed(seed, 4);
        struct machine *machine = &world->machines[1];
        machine->paused_until_ms = world->now_ms + 10000;
        world_run(world, 9999);
        if (!world_all_say(world, 1, WIRE_STATE_DEAD))
            fail_seed(world, "ten seconds of silence are no death");
        uint64_t deaths = world->deaths;
        uint64_t took_ms = world_until_agreed(world, 10000);
        if (world->deaths != deaths || took_ms == UINT64_MAX)
            fail_seed(world, "the one that woke up took others for dead, or is not back");
        world_free(world);
    }
}

static void short_stops_cost_nothing(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 8);
        for (int i = 0; i < 20; i++) {
            world->machines[seed % 8].paused_until_ms = world->now_ms + 1500;
            world_run(world, 5000);
        }
        if (world->deaths != 0)
            fail_seed(world, "a stop of 1.5 s is a death");
        world_free(world);
    }
}

static void who_hears_nothing_kills_nobody_else(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *world = world_formed(seed, 8);
        world->machines[3].is_deaf = true;
        world_run(world, 60000);
        for (uint32_t i = 0; i < 8; i++)
            for (uint32_t of = 0; of < 8; of++)
                if (i != 3 && of != 3 && world_state(world, i, of) != WIRE_STATE_ALIVE)
                    fail_seed(world, "one deaf member unsettles the others");
        world->machines[3].is_deaf = false;
        if (world_until_agreed(world, 15000) == UINT64_MAX)
            fail_seed(world, "it is not back");
        world_free(world);
    }
}

static void groups_that_started_apart_merge(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = world_new(seed, 10);
        for (uint32_t i = 0; i < 10; i++) {
            world->machines[i].side = i < 5;
            world_start(world, i);
            world_join(world, i, i < 5 ? 0 : 5);
            world_join(world, i, i < 5 ? 5 : 0);
        }
        world_run(world, 20000);
        for (uint32_t i = 0; i < 10; i++)
            world->machines[i].side = 0;
        if (world_until_agreed(world, 15000) == UINT64_MAX)
            fail_seed(world, "two groups that know each other's addresses stay apart");
        world_free(world);
    }
}

static void news_reach_everybody_once(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = world_formed(seed, 20);
        world->loss = 20;
        for (uint64_t eid = 1; eid <= 50; eid++) {
            struct wire_msg msg = {.kind = WIRE_WORK,
                                   .work = {.eid = eid, .fence = {1, 1}, .seq = 1, .queued = 5}};
            world_step(world, (uint32_t)(eid % 20),
                       (struct swim_event){.kind = SWIM_NEWS, .msg = &msg});
        }
        world_run(world, 5000);
        if (world->told > (uint64_t)50 * 19 || world->told < (uint64_t)50 * 19 * 99 / 100)
            fail_seed(world, "news were told twice, or to few");
        world_free(world);
    }
}

/* ---- swarms ------------------------------------------------------------------------------------
 */

static void break_something(struct world *world, struct rand *chance)
{
    uint32_t index = (uint32_t)rand_below(chance, world->count);
    struct machine *machine = &world->machines[index];
    switch (rand_below(chance, 9)) {
    case 0:
        world_kill(world, index);
        break;
    case 1:
    case 2:
        if (machine->swim)
            break;
        if (rand_below(chance, 4) == 0)
            machine->gen -= 2; /* an old disk */
        world_start(world, index);
        world_join(world, index, (uint32_t)rand_below(chance, world->count));
        break;
    case 3:
        for (uint32_t i = 0; i < world->count; i++)
            world->machines[i].side = (uint32_t)rand_below(chance, 2);
        break;
    case 4:
        for (uint32_t i = 0; i < world->count; i++)
            world->machines[i].side = 0;
        break;
    case 5:
        world->loss = (uint32_t)rand_below(chance, 400);
        break;
    case 6:
        machine->paused_until_ms = world->now_ms + rand_below(chance, 8000);
        break;
    case 7:
        machine->is_deaf = !machine->is_deaf;
        break;
    case 8:
        if (machine->swim && rand_below(chance, 4) == 0)
            world_step(world, index, (struct swim_event){.kind = SWIM_LEAVE});
        break;
    default:
        break;
    }
}

static void calm_down(struct world *world)
{
    world->loss = 0;
    for (uint32_t i = 0; i < world->count; i++) {
        world->machines[i].side = 0;
        world->machines[i].is_deaf = false;
        world->machines[i].is_silent = false;
        world->machines[i].paused_until_ms = 0;
        struct swim_view self;
        if (world->machines[i].swim &&
            (!swim_member(world->machines[i].swim, world->machines[i].node, &self) ||
             self.member.st == WIRE_STATE_LEFT))
            world_kill(world, i);
    }
    /* Whoever lost everybody for an hour might know no address: one that all join through. */
    if (!world->machines[0].swim)
        world_start(world, 0);
    for (uint32_t i = 1; i < world->count; i++)
        if (world->machines[i].swim)
            world_join(world, i, 0);
}

static void swarm(uint64_t seed)
{
    struct rand chance;
    rand_init(&chance, seed);
    struct world *world = world_formed(seed, 3 + (uint32_t)rand_below(&chance, 6));
    for (int i = 0; i < 40; i++) {
        break_something(world, &chance);
        world_run(world, rand_below(&chance, 4000));
    }
    calm_down(world);
    if (world_until_agreed(world, 30000) == UINT64_MAX)
        fail_seed(world, "no agreement half a minute after it became calm");
    uint64_t deaths = world->deaths;
    world_run(world, 60000);
    if (world->deaths != deaths || !world_agrees(world))
        fail_seed(world, "it does not stay calm");
    if (world->exits != 0)
        fail_seed(world, "somebody thinks that he is a copy");
    world_free(world);
}

static void after_any_faults_all_agree(void **unused)
{
    (void)unused;
    uint32_t n = seeds(60);
    for (uint32_t seed = 1; seed <= n; seed++)
        swarm(seed);
}

/* The same seed is the same story, to the byte. */
static void a_seed_is_a_story(void **unused)
{
    (void)unused;
    uint64_t bytes[2];
    uint64_t rejoins[2];
    for (int i = 0; i < 2; i++) {
        struct world *world = world_formed(99, 12);
        world->loss = 200;
        world_run(world, 60000);
        bytes[i] = world->bytes;
        rejoins[i] = world->rejoins;
        world_free(world);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_int_equal(rejoins[0], rejoins[1]);
}

/* ---- mistakes that must show -------------------------------------------------------------------
 */

static uint64_t deaths_under_loss(uint32_t faults)
{
    uint64_t deaths = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world *world = world_new(seed, 6);
        world->faults = faults;
        for (uint32_t i = 0; i < 6; i++) {
            world_start(world, i);
            world_join(world, i, 0);
        }
        world_until_agreed(world, 10000);
        world->loss = 300;
        world_run(world, 120000);
        deaths += world->deaths;
        world_free(world);
    }
    return deaths;
}

static void without_refutation_loss_would_kill(void **unused)
{
    (void)unused;
    uint64_t with = deaths_under_loss(0);
    uint64_t without = deaths_under_loss(SWIM_FAULT_NO_REFUTE);
    printf("30 %% loss, 6 machines, 10 min: %llu wrong deaths, without refutation %llu\n",
           (unsigned long long)with, (unsigned long long)without);
    assert_int_equal(with, 0);
    assert_true(without > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_is_known_at_once),
        cmocka_unit_test(a_restart_without_addresses_is_found),
        cmocka_unit_test(a_lost_generation_is_climbed_over),
        cmocka_unit_test(leaving_is_no_death),
        cmocka_unit_test(a_node_that_was_stopped_accuses_nobody),
        cmocka_unit_test(short_stops_cost_nothing),
        cmocka_unit_test(who_hears_nothing_kills_nobody_else),
        cmocka_unit_test(groups_that_started_apart_merge),
        cmocka_unit_test(news_reach_everybody_once),
        cmocka_unit_test(after_any_faults_all_agree),
        cmocka_unit_test(a_seed_is_a_story),
        cmocka_unit_test(without_refutation_loss_would_kill),
    };
    return cmocka_run_group_tests_name("swim swarm", tests, NULL, NULL);
}
