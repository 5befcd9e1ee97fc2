#include "loadbalance/agent.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The verbs that the stories below are told in. */
enum { SELF = 1, OWNER = 7, HEIR = 8 };

static struct agent *agent;
static struct agent_out out;
static uint64_t now;
static const struct work_ballot first = {.epoch = 1, .owner = OWNER};
static const struct work_ballot second = {.epoch = 2, .owner = HEIR};

static void step(struct agent_event event)
{
    event.now_ms = now;
    agent_step(agent, &event, &out);
}

static void slots(uint32_t count)
{
    step((struct agent_event){.kind = AGENT_SLOTS, .slots = count});
}

static void offer(uint64_t eval, uint32_t queued)
{
    step((struct agent_event){
        .kind = AGENT_OFFER, .eval = eval, .ballot = first, .queued = queued, .weight = 1});
}

static void nowork(uint64_t eval, uint32_t queued)
{
    step((struct agent_event){
        .kind = AGENT_NOWORK, .eval = eval, .ballot = first, .queued = queued});
}

static struct work work_of(uint64_t eval, uint32_t m)
{
    return (struct work){.eval = eval, .m = m, .n = 1, .ballot = first};
}

static void assign_under(struct work_ballot ballot, uint64_t eval, uint32_t from, uint32_t count)
{
    struct work_item items[16] = {0};
    for (uint32_t i = 0; i < count; i++) {
        items[i].work = work_of(eval, from + i);
        items[i].work.ballot = ballot;
        items[i].estimate_ms = 1000;
    }
    step((struct agent_event){
        .kind = AGENT_ASSIGN, .eval = eval, .ballot = ballot, .items = items, .item_count = count});
}

static void assign(uint64_t eval, uint32_t from, uint32_t count)
{
    assign_under(first, eval, from, count);
}

static void tell(enum agent_event_kind kind, struct work work, enum work_end end)
{
    step((struct agent_event){.kind = kind, .work = work, .end = end});
}

/* Time goes on, with a tick whenever one is wanted; the effects of the last are in `out`. */
static bool passes_until(uint64_t ms, enum agent_effect_kind kind)
{
    for (uint64_t end = now + ms; agent_deadline(agent) <= end;) {
        now = agent_deadline(agent) > now ? agent_deadline(agent) : now + 1;
        step((struct agent_event){.kind = AGENT_TICK});
        for (size_t i = 0; i < out.count; i++)
            if (out.effects[i].kind == kind)
                return true;
    }
    return false;
}

static const struct agent_effect *effect(enum agent_effect_kind kind, size_t index)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.effects[i].kind == kind && index-- == 0)
            return &out.effects[i];
    return NULL;
}

static size_t count_of(enum agent_effect_kind kind)
{
    size_t count = 0;
    while (effect(kind, count))
        count++;
    return count;
}

static struct work work_in(const struct agent_effect *of)
{
    assert_non_null(of);
    return out.items[of->first].work;
}

static int given_an_agent(void **unused)
{
    (void)unused;
    now = 5000;
    agent = agent_new(&(struct agent_config){.self = SELF, .seed = 1, .chores = 1});
    return 0;
}

static int agent_ends(void **unused)
{
    (void)unused;
    agent_free(agent);
    agent_out_fini(&out);
    return 0;
}

/* ---- claims ---------------------------------------------------------------------------------- */

static void free_slots_are_claimed_and_no_more(void **unused)
{
    (void)unused;
    slots(2);
    step((struct agent_event){.kind = AGENT_READY, .eval = 1, .p = 4, .is_ready = true});
    step((struct agent_event){.kind = AGENT_READY, .eval = 1, .p = 2, .is_ready = true});
    assert_int_equal(out.count, 0);
    offer(1, 10);
    const struct agent_effect *claim = effect(AGENT_CLAIM, 0);
    assert_int_equal(claim->owner, OWNER);
    assert_int_equal(claim->slots, 2);
    assert_int_equal(claim->chores, 1);
    assert_int_equal(claim->ready_count, 2);
    assert_int_equal(out.ready[claim->first_ready], 2);
    assert_int_equal(out.ready[claim->first_ready + 1], 4);
    assign(1, 0, 2);
    assert_int_equal(count_of(AGENT_START), 2);
    assert_int_not_equal(effect(AGENT_START, 0)->slot, effect(AGENT_START, 1)->slot);
    assert_int_equal(agent_load(agent, now).free, 0);
    assign(1, 2, 1); /* one too many: it waits */
    assert_int_equal(count_of(AGENT_START), 0);
    tell(AGENT_FREED, work_of(1, 0), 0);
    assert_int_equal(work_in(effect(AGENT_START, 0)).m, 2);
}

static void no_more_is_claimed_than_there_is(void **unused)
{
    (void)unused;
    slots(8);
    offer(1, 3);
    assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 3);
    assert_false(passes_until(200, AGENT_CLAIM));
}

static void slots_are_divided_between_evaluations(void **unused)
{
    (void)unused;
    offer(1, 10);
    offer(2, 10);
    slots(4);
    assert_int_equal(count_of(AGENT_CLAIM), 2);
    assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 2);
    assert_int_equal(effect(AGENT_CLAIM, 1)->slots, 2);
}

/* With one slot nothing runs when it is free: who has had less is next. */
static void one_slot_takes_turns(void **unused)
{
    (void)unused;
    offer(1, 10);
    offer(2, 10);
    slots(1);
    size_t turns[3] = {0};
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 1);
        uint64_t eval = effect(AGENT_CLAIM, 0)->eval;
        turns[eval]++;
        assign(eval, i, 1);
        while (effect(AGENT_CLAIM, 0)) /* for chores alone */
            nowork(effect(AGENT_CLAIM, 0)->eval, 10);
        tell(AGENT_ENDED, work_of(eval, i), WORK_DONE);
    }
    assert_int_equal(turns[1], 4);
    assert_int_equal(turns[2], 4);
}

static void a_lost_claim_is_repeated_and_the_owner_told_what_is_here(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    assert_true(passes_until(AGENT_CLAIM_MS, AGENT_CLAIM));
    assert_int_equal(effect(AGENT_BEAT, 0)->owner, OWNER);
    assert_int_equal(effect(AGENT_BEAT, 0)->count, 0);
    uint64_t before = now;
    for (size_t i = 0; i < 10; i++) {
        assert_true(passes_until(1000, AGENT_CLAIM));
        assert_true(now - before <= 1000);
        before = now;
    }
}

static void nothing_for_us_now_is_asked_again_within_a_second(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    for (size_t i = 0; i < 5; i++) {
        uint64_t before = now;
        nowork(1, 10);
        assert_null(effect(AGENT_CLAIM, 0));
        assert_true(passes_until(1000, AGENT_CLAIM));
        assert_in_range(now - before, AGENT_CLAIM_MS, 1000);
    }
    nowork(1, 0);
    assert_false(passes_until(10000, AGENT_CLAIM));
    offer(1, 1);
    assert_non_null(effect(AGENT_CLAIM, 0));
}

static void a_rumor_is_followed_after_a_while_that_grows_with_the_mesh(void **unused)
{
    (void)unused;
    slots(1);
    step((struct agent_event){
        .kind = AGENT_RUMOR, .eval = 1, .ballot = first, .queued = 5, .weight = 1, .peers = 640});
    assert_null(effect(AGENT_CLAIM, 0));
    uint64_t before = now;
    assert_true(passes_until(1000, AGENT_CLAIM));
    assert_true(now > before);
    step((struct agent_event){
        .kind = AGENT_RUMOR, .eval = 2, .ballot = first, .queued = 0, .peers = 1});
    assert_int_equal(count_of(AGENT_CLAIM), 0);
}

static void another_evaluation_of_the_owner_is_an_answer(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    offer(2, 10);
    assign(2, 0, 1);
    assert_int_equal(work_in(effect(AGENT_START, 0)).eval, 2);
    assert_true(passes_until(1500, AGENT_CLAIM)); /* for a chore; no claim for the slot is out */
    assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 0);
}

/* ---- chores ---------------------------------------------------------------------------------- */

static void a_chore_takes_a_slot_when_it_asks_before_what_waits(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    struct work chore = work_of(1, WORK_CHORE);
    assign(1, 0, 1);
    assign(1, WORK_CHORE, 1);
    assert_int_equal(work_in(effect(AGENT_PREPARE, 0)).m, WORK_CHORE);
    assign(1, 1, 1);
    tell(AGENT_WANTS_SLOT, chore, 0);
    assert_null(effect(AGENT_GIVE_SLOT, 0));
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_non_null(effect(AGENT_GIVE_SLOT, 0));
    assert_null(effect(AGENT_START, 0));
    step((struct agent_event){
        .kind = AGENT_PREPARED, .work = chore, .end = WORK_DONE, .took_ms = 321});
    assert_int_equal(effect(AGENT_RESULT, 0)->took_ms, 321);
    assert_int_equal(work_in(effect(AGENT_START, 0)).m, 1);
    tell(AGENT_ENDED, work_of(1, 1), WORK_DONE);
    const struct agent_effect *claim = effect(AGENT_CLAIM, 0);
    assert_int_equal(claim->ready_count, 1);
    assert_int_equal(out.ready[claim->first_ready], 0);
}

static void chores_are_asked_for_while_the_slots_are_busy(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    assign(1, 0, 1);
    assert_true(passes_until(1500, AGENT_CLAIM));
    assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 0);
    assert_int_equal(effect(AGENT_CLAIM, 0)->chores, 1);
    nowork(1, 9);
    assert_false(passes_until(900, AGENT_CLAIM));
}

static void what_could_not_start_is_given_back_and_not_ready(void **unused)
{
    (void)unused;
    slots(1);
    step((struct agent_event){.kind = AGENT_READY, .eval = 1, .p = 0, .is_ready = true});
    offer(1, 10);
    assign(1, 0, 1);
    tell(AGENT_ENDED, work_of(1, 0), WORK_REFUSED);
    assert_int_equal(effect(AGENT_REFUSE, 0)->refusal, WORK_UNREADY);
    assert_null(effect(AGENT_RESULT, 0));
    assert_int_equal(effect(AGENT_CLAIM, 0)->ready_count, 0);
}

/* ---- waiting, slots -------------------------------------------------------------------------- */

static void what_waits_too_long_goes_back(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    assign(1, 0, 4);
    assert_int_equal(agent_load(agent, now).waiting, 3);
    assert_true(passes_until(AGENT_WAIT_MS, AGENT_REFUSE));
    const struct agent_effect *refuse = effect(AGENT_REFUSE, 0);
    assert_int_equal(refuse->refusal, WORK_FULL);
    assert_int_equal(refuse->count, 3);
    assert_int_equal(agent_load(agent, now).waiting, 0);
}

static void fewer_slots_end_nothing(void **unused)
{
    (void)unused;
    slots(3);
    offer(1, 10);
    assign(1, 0, 3);
    slots(1);
    assert_int_equal(count_of(AGENT_STOP), 0);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_null(effect(AGENT_CLAIM, 0));
    tell(AGENT_ENDED, work_of(1, 1), WORK_DONE);
    assert_null(effect(AGENT_CLAIM, 0));
    tell(AGENT_ENDED, work_of(1, 2), WORK_DONE);
    assert_int_equal(effect(AGENT_CLAIM, 0)->slots, 1);
    assign(1, 3, 1);
    assert_int_equal(effect(AGENT_START, 0)->slot, 0);
}

static void load_says_when_a_slot_gets_free(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 10);
    assert_int_equal(agent_load(agent, now).free, 2);
    assign(1, 0, 1);
    now += 400;
    assert_int_equal(agent_load(agent, now).eta_ms, 0);
    assign(1, 1, 1);
    assert_int_equal(agent_load(agent, now).eta_ms, 600);
    now += 5000; /* later than believed: a quarter of the estimate, again and again */
    assert_int_equal(agent_load(agent, now).eta_ms, 250);
}

/* ---- results --------------------------------------------------------------------------------- */

static void a_result_is_sent_until_it_is_confirmed(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 1);
    assign(1, 0, 1);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_false(effect(AGENT_RESULT, 0)->is_repeat);
    for (size_t i = 0; i < 3; i++) {
        assert_true(passes_until(AGENT_RESEND_MS, AGENT_RESULT));
        assert_true(effect(AGENT_RESULT, 0)->is_repeat);
        assert_int_equal(effect(AGENT_RESULT, 0)->end, WORK_DONE);
    }
    tell(AGENT_ACKED, work_of(1, 0), 0);
    assert_false(passes_until(10000, AGENT_RESULT));
    assert_int_equal(agent_load(agent, now).results, 0);
}

static void a_result_from_before_a_restart_goes_out_too(void **unused)
{
    (void)unused;
    slots(1);
    step((struct agent_event){.kind = AGENT_OWNER, .eval = 1, .ballot = second});
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_int_equal(effect(AGENT_RESULT, 0)->owner, HEIR);
    assert_int_equal(agent_load(agent, now).busy, 0);
}

static void beats_name_everything_that_is_here(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 9);
    assign(1, 0, 4);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_true(passes_until(AGENT_BEAT_MS, AGENT_BEAT));
    const struct agent_effect *beat = effect(AGENT_BEAT, 0);
    assert_int_equal(beat->owner, OWNER);
    assert_int_equal(beat->count, 3); /* one has ended, one was given back */
    assert_int_equal(out.items[beat->first].phase, WORK_ENDED);
    assert_int_equal(out.items[beat->first + 1].phase, WORK_RUNNING);
    assert_in_range(out.items[beat->first + 1].elapsed_ms, 1000, 2000);
}

/* ---- owners ---------------------------------------------------------------------------------- */

static void a_new_owner_gets_what_runs_and_what_ended(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 10);
    assign(1, 0, 2);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    step((struct agent_event){.kind = AGENT_PEER_LOST, .peer = OWNER});
    assert_int_equal(count_of(AGENT_STOP), 0);
    assert_false(passes_until(900, AGENT_CLAIM));
    step((struct agent_event){.kind = AGENT_OWNER, .eval = 1, .ballot = second});
    assert_int_equal(effect(AGENT_BEAT, 0)->owner, HEIR);
    assert_int_equal(effect(AGENT_BEAT, 0)->count, 2);
    assert_int_equal(effect(AGENT_RESULT, 0)->owner, HEIR);
    assert_int_equal(work_in(effect(AGENT_RESULT, 0)).ballot.owner, OWNER);
    tell(AGENT_ACKED, work_of(1, 0), 0);
    assert_int_equal(agent_load(agent, now).results, 0);
}

static void a_deposed_owner_gets_nothing_done(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 10);
    step((struct agent_event){.kind = AGENT_OWNER, .eval = 1, .ballot = second});
    assign(1, 0, 1);
    const struct agent_effect *refuse = effect(AGENT_REFUSE, 0);
    assert_int_equal(refuse->refusal, WORK_FENCED);
    assert_int_equal(refuse->owner, OWNER);
    assert_int_equal(refuse->ballot.owner, HEIR);
    offer(1, 10);
    assert_int_equal(out.count, 0);
    assign_under(second, 1, 0, 1);
    assert_non_null(effect(AGENT_START, 0));
    step((struct agent_event){.kind = AGENT_CANCEL, .eval = 1, .ballot = first});
    assert_null(effect(AGENT_STOP, 0));
}

static void what_is_not_known_is_refused(void **unused)
{
    (void)unused;
    slots(2);
    assign(9, 0, 1);
    assert_int_equal(effect(AGENT_REFUSE, 0)->refusal, WORK_UNKNOWN);
}

static void the_same_twice_runs_once(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 10);
    assign(1, 0, 1);
    assign(1, 0, 1);
    assert_null(effect(AGENT_START, 0));
    assert_int_equal(agent_load(agent, now).busy, 1);
}

static void cancelled_work_frees_its_slot_and_is_forgotten(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    assign(1, 0, 2);
    struct work_item items[] = {{.work = work_of(1, 0)}, {.work = work_of(1, 1)}};
    step((struct agent_event){
        .kind = AGENT_CANCEL, .eval = 1, .ballot = first, .items = items, .item_count = 2});
    assert_int_equal(count_of(AGENT_STOP), 1);
    assert_int_equal(agent_load(agent, now).waiting, 0);
    assert_int_equal(agent_load(agent, now).busy, 1);
    tell(AGENT_ENDED, work_of(1, 0), WORK_CANCELLED);
    assert_null(effect(AGENT_RESULT, 0));
    assert_int_equal(agent_load(agent, now).busy, 0);
}

static void a_dropped_evaluation_leaves_nothing(void **unused)
{
    (void)unused;
    slots(2);
    offer(1, 10);
    assign(1, 0, 3);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    step((struct agent_event){.kind = AGENT_DROP, .eval = 1});
    assert_int_equal(count_of(AGENT_STOP), 2);
    tell(AGENT_ENDED, work_of(1, 1), WORK_CANCELLED);
    tell(AGENT_ENDED, work_of(1, 2), WORK_DONE);
    assert_null(effect(AGENT_RESULT, 0));
    struct work_item items[4];
    assert_int_equal(agent_items(agent, 0, now, items, 4), 0);
    assert_false(passes_until(10000, AGENT_BEAT));
    assert_int_equal(agent_deadline(agent), UINT64_MAX);
}

static void draining_gives_back_and_ends_in_order(void **unused)
{
    (void)unused;
    slots(1);
    offer(1, 10);
    assign(1, 0, 2);
    assign(1, WORK_CHORE, 1);
    step((struct agent_event){.kind = AGENT_DRAIN});
    assert_int_equal(effect(AGENT_REFUSE, 0)->refusal, WORK_DRAINING);
    assert_int_equal(work_in(effect(AGENT_STOP, 0)).m, WORK_CHORE);
    assert_null(effect(AGENT_DRAINED, 0));
    tell(AGENT_PREPARED, work_of(1, WORK_CHORE), WORK_CANCELLED);
    tell(AGENT_ENDED, work_of(1, 0), WORK_DONE);
    assert_null(effect(AGENT_DRAINED, 0));
    assert_null(effect(AGENT_CLAIM, 0));
    tell(AGENT_ACKED, work_of(1, 0), 0);
    assert_non_null(effect(AGENT_DRAINED, 0));
    assign(1, 5, 1);
    assert_int_equal(effect(AGENT_REFUSE, 0)->refusal, WORK_DRAINING);
    assert_null(effect(AGENT_DRAINED, 0));
}

static void what_makes_no_sense_is_counted(void **unused)
{
    (void)unused;
    slots(1);
    tell(AGENT_ACKED, work_of(1, 0), 0);
    tell(AGENT_FREED, work_of(1, 0), 0);
    tell(AGENT_WANTS_SLOT, work_of(1, WORK_CHORE), 0);
    nowork(1, 5);
    step((struct agent_event){.kind = AGENT_CANCEL, .eval = 4, .ballot = first});
    assert_int_equal(agent_stats(agent).ignored, 5);
}

int main(void)
{
#define TOLD(story) cmocka_unit_test_setup_teardown(story, given_an_agent, agent_ends)
    const struct CMUnitTest tests[] = {
        TOLD(free_slots_are_claimed_and_no_more),
        TOLD(no_more_is_claimed_than_there_is),
        TOLD(slots_are_divided_between_evaluations),
        TOLD(one_slot_takes_turns),
        TOLD(a_lost_claim_is_repeated_and_the_owner_told_what_is_here),
        TOLD(nothing_for_us_now_is_asked_again_within_a_second),
        TOLD(a_rumor_is_followed_after_a_while_that_grows_with_the_mesh),
        TOLD(another_evaluation_of_the_owner_is_an_answer),
        TOLD(a_chore_takes_a_slot_when_it_asks_before_what_waits),
        TOLD(chores_are_asked_for_while_the_slots_are_busy),
        TOLD(what_could_not_start_is_given_back_and_not_ready),
        TOLD(what_waits_too_long_goes_back),
        TOLD(fewer_slots_end_nothing),
        TOLD(load_says_when_a_slot_gets_free),
        TOLD(a_result_is_sent_until_it_is_confirmed),
        TOLD(a_result_from_before_a_restart_goes_out_too),
        TOLD(beats_name_everything_that_is_here),
        TOLD(a_new_owner_gets_what_runs_and_what_ended),
        TOLD(a_deposed_owner_gets_nothing_done),
        TOLD(what_is_not_known_is_refused),
        TOLD(the_same_twice_runs_once),
        TOLD(cancelled_work_frees_its_slot_and_is_forgotten),
        TOLD(a_dropped_evaluation_leaves_nothing),
        TOLD(draining_gives_back_and_ends_in_order),
        TOLD(what_makes_no_sense_is_counted),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
