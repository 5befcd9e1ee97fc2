/* Probes, suspicions and their times. */
#include "solo.h"

#include <math.h>

#define row(test) cmocka_unit_test_teardown(test, ends)

static size_t count_to(enum wire_kind kind, uint32_t to)
{
    size_t count = 0;
    for (size_t i = 0; i < said_count; i++)
        count += said[i].kind == kind && said[i].to == to;
    return count;
}

/* Accusations of `of` by members from `first` on, that have no reason of ours. */
static void accuse(uint32_t of, uint32_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tell_bad(1, WIRE_SUSPECT, of, 100, 0, first + (uint32_t)i);
}

/* A mesh that never pings by itself, so that only what a test tells counts. */
static struct swim_timing quiet(void)
{
    struct swim_timing timing = SWIM_TIMING;
    timing.period_ms = 1000000;
    timing.eager = 0;
    return timing;
}

/* How long a suspect with that many accusers lives among `count` members. */
static uint64_t life_of_suspect(uint32_t count, size_t accusers)
{
    start(quiet(), 3, 0);
    for (uint32_t i = 1; i < count; i++)
        tell_alive(i, i, 100, 0);
    forget();
    uint64_t start_ms = now_ms;
    accuse(2, 10, accusers);
    wait_ms(60000);
    uint64_t died_ms = time_of(2, SWIM_DEAD);
    stop();
    return died_ms == UINT64_MAX ? died_ms : died_ms - start_ms;
}

/* ---- suspicion ---------------------------------------------------------------------------------
 */

static void confirmations_shorten_a_suspicion_as_lifeguard_says(void **unused)
{
    (void)unused;
    for (size_t accusers = 1; accusers <= 6; accusers++) {
        double share = log((double)accusers) / log(3 + 1.0);
        double want = 8000 - 6000 * (share < 1 ? share : 1);
        uint64_t got = life_of_suspect(8, accusers);
        assert_true(fabs((double)got - want) <= 2);
    }
    assert_int_equal(life_of_suspect(4, 1), 8000); /* K = 2 */
    assert_int_equal(life_of_suspect(4, 3), 2000);
    assert_int_equal(life_of_suspect(3, 2), 2000); /* K = 1 */
    /* 1,000 members: three times as long. */
    assert_int_equal(life_of_suspect(1000, 4), 6000);
}

static void a_mesh_of_two_does_not_wait_for_confirmations(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    tell_alive(1, 1, 100, 0);
    wait_ms(10000);
    uint64_t suspect_ms = time_of(1, SWIM_SUSPECT);
    assert_true(suspect_ms != UINT64_MAX);
    assert_int_equal(time_of(1, SWIM_DEAD) - suspect_ms, 2000);
}

static void the_same_accuser_counts_once(void **unused)
{
    (void)unused;
    given_members_timed(8, quiet());
    uint64_t start_ms = now_ms;
    for (int i = 0; i < 5; i++)
        tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    wait_ms(60000);
    assert_int_equal(time_of(2, SWIM_DEAD) - start_ms, 8000);
}

static void only_accusations_that_count_are_passed_on(void **unused)
{
    (void)unused;
    given_members_timed(8, quiet());
    for (uint32_t by = 3; by < 10; by++) {
        forget();
        tell_bad(1, WIRE_SUSPECT, 2, 100, 0, by);
        wait_ms(400);
        bool is_told = false;
        for (size_t i = 0; i < said_count; i++)
            is_told = is_told || (said[i].kind == WIRE_SUSPECT && said[i].from == id_of(by));
        assert_int_equal(is_told, by < 7); /* the first and three more */
    }
}

static void a_member_that_flaps_is_given_more_time(void **unused)
{
    (void)unused;
    given_members_timed(4, quiet());
    uint32_t ver = 0;
    static const uint64_t lives[] = {2000, 4000, 8000, 16000, 16000};
    for (size_t i = 0; i < countof(lives); i++) {
        forget();
        uint64_t start_ms = now_ms;
        for (uint32_t by = 10; by < 13; by++)
            tell_bad(1, WIRE_SUSPECT, 2, 100, ver, by);
        wait_ms(20000);
        assert_int_equal(time_of(2, SWIM_DEAD) - start_ms, lives[i]);
        tell_alive(1, 2, 100, ++ver);
        assert_int_equal(count_changes(2, SWIM_REJOIN), 1);
    }
    wait_ms(600000); /* it has settled */
    forget();
    uint64_t start_ms = now_ms;
    for (uint32_t by = 10; by < 13; by++)
        tell_bad(1, WIRE_SUSPECT, 2, 100, ver, by);
    wait_ms(20000);
    assert_int_equal(time_of(2, SWIM_DEAD) - start_ms, 2000);
}

static void a_restart_is_no_flap(void **unused)
{
    (void)unused;
    given_members_timed(4, quiet());
    for (uint64_t gen = 100; gen < 104; gen++) {
        forget();
        uint64_t start_ms = now_ms;
        for (uint32_t by = 10; by < 13; by++)
            tell_bad(1, WIRE_SUSPECT, 2, gen, 0, by);
        wait_ms(20000);
        assert_int_equal(time_of(2, SWIM_DEAD) - start_ms, 2000);
        tell_alive(1, 2, gen + 1, 0);
    }
}

/* ---- hard evidence -----------------------------------------------------------------------------
 */

static void two_refusals_are_a_death_in_half_a_second(void **unused)
{
    (void)unused;
    given_members(6);
    answers[2] = false;
    refuses[2] = true;
    step((struct swim_event){.kind = SWIM_LINK_LOST, .node = id_of(2)});
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 1); /* refused at once */
    assert_true(kinds[SWIM_CONNECT] >= 1);
    wait_ms(600);
    assert_int_equal(time_of(2, SWIM_DEAD) - time_of(2, SWIM_SUSPECT), 500);
    assert_true(count_said(WIRE_DEAD, 2) > 0);
    for (size_t i = 0; i < said_count; i++)
        if (said[i].kind == WIRE_DEAD)
            assert_int_equal(said[i].why, WIRE_WHY_REFUSED);
    struct swim_view view;
    assert_true(swim_member(swim, id_of(2), &view));
    assert_true(view.is_refused);
    tell_bad(1, WIRE_DEAD, 3, 100, 0, 4); /* for its silence */
    assert_true(swim_member(swim, id_of(3), &view));
    assert_false(view.is_refused);
}

static void one_refusal_proves_nothing_alone(void **unused)
{
    (void)unused;
    given_members(6);
    answers[2] = false;
    step((struct swim_event){.kind = SWIM_LINK_LOST, .node = id_of(2)});
    step((struct swim_event){.kind = SWIM_REFUSED, .seq = last.seq});
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 1);
    wait_ms(1500);
    assert_int_equal(count_changes(2, SWIM_DEAD), 0);
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3); /* somebody else finds so too */
    wait_ms(1);
    assert_int_equal(count_changes(2, SWIM_DEAD), 1);
}

static void a_lost_stream_of_somebody_who_answers_means_nothing(void **unused)
{
    (void)unused;
    given_members(6);
    step((struct swim_event){.kind = SWIM_LINK_LOST, .node = id_of(2)});
    assert_int_equal(count_to(WIRE_PING, 2), 1);
    wait_ms(10000);
    assert_int_equal(change_count, 0);
}

static void an_unreachable_port_is_tried_by_stream_at_once(void **unused)
{
    (void)unused;
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        given_members(3);
        answers[2] = false;
        while (count_to(WIRE_PING, 2) == 0)
            wait_ms(10);
        assert_int_equal(kinds[SWIM_CONNECT], 0);
        step((struct swim_event){.kind = SWIM_UNREACHABLE, .addr = addr_of(2)});
        assert_int_equal(kinds[SWIM_CONNECT], 1);
        step((struct swim_event){.kind = is_refused ? SWIM_REFUSED : SWIM_CONNECTED,
                                 .seq = last.seq});
        assert_int_equal(count_changes(2, SWIM_SUSPECT), is_refused);
        assert_int_equal(swim_health(swim), 0);
        stop();
    }
    given_members(3);
}

static void a_stream_that_says_hello_is_an_answer(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    for (int i = 0; i < 300; i++) { /* datagrams to it are lost, for ever */
        kinds[SWIM_CONNECT] = 0;
        wait_ms(100);
        if (kinds[SWIM_CONNECT] > 0)
            step((struct swim_event){.kind = SWIM_CONNECTED, .seq = last.seq});
    }
    assert_int_equal(change_count, 0);
}

/* ---- probes ------------------------------------------------------------------------------------
 */

static void everybody_has_his_turn_in_every_round(void **unused)
{
    (void)unused;
    given_members(9);
    wait_ms(3000); /* to some turn */
    for (int round = 0; round < 3; round++) {
        forget();
        wait_ms(15000); /* under two whole rounds: none waits longer */
        for (uint32_t i = 1; i < 9; i++)
            assert_in_range(count_to(WIRE_PING, i), 1, 3);
    }
}

static void silence_is_asked_around(void **unused)
{
    (void)unused;
    given_members(6);
    answers[2] = false;
    while (count_to(WIRE_PING, 2) == 0)
        wait_ms(1);
    assert_int_equal(find_said(WIRE_PING, 2)->node, id_of(2));
    assert_int_equal(count_said(WIRE_PREQ, 2), 0);
    wait_ms(50); /* round trips are short here: the least RTO */
    assert_int_equal(count_said(WIRE_PREQ, 2), 3);
    assert_int_equal(kinds[SWIM_CONNECT], 1);
    for (uint32_t i = 1; i < 6; i++)
        if (find_said(WIRE_PREQ, i)) { /* one of them got through */
            send_back(i, WIRE_ACK, find_said(WIRE_PREQ, i)->seq);
            break;
        }
    wait_ms(900);
    assert_int_equal(change_count, 0);
}

static void an_answer_of_somebody_else_is_none(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    while (count_to(WIRE_PING, 2) == 0)
        wait_ms(1);
    send_back(3, WIRE_ACK, find_said(WIRE_PING, 2)->seq); /* nobody asked it */
    answers[2] = false;
    wait_ms(1000);
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 1);
}

/* Runs one failing probe of member 2 in which `nacks` relays say that they cannot reach it either.
 */
static uint32_t health_after(uint32_t members, size_t nacks)
{
    start(SWIM_TIMING, 1, 0);
    for (uint32_t i = 1; i < members; i++) {
        answers[i] = i != 2;
        tell_alive(i, i, 100, 0);
    }
    while (count_said(WIRE_PREQ, 2) == 0 && kinds[SWIM_CONNECT] == 0)
        wait_ms(1);
    memset(answers, 0, sizeof(answers)); /* the next turn is not to count */
    size_t end = said_count;
    for (size_t i = 0; i < end && nacks > 0; i++)
        if (said[i].kind == WIRE_PREQ) {
            send_back(said[i].to, WIRE_NACK, said[i].seq);
            nacks--;
        }
    while (count_changes(2, SWIM_SUSPECT) == 0)
        wait_ms(1);
    uint32_t health = swim_health(swim);
    stop();
    return health;
}

static void relays_that_are_silent_too_make_us_doubt_ourselves(void **unused)
{
    (void)unused;
    assert_int_equal(health_after(6, 3), 0);
    assert_int_equal(health_after(6, 2), 1);
    assert_int_equal(health_after(6, 1), 2);
    assert_int_equal(health_after(6, 0), 3);
    assert_int_equal(health_after(3, 0), 1); /* one relay */
    assert_int_equal(health_after(3, 1), 0);
    start(SWIM_TIMING, 1, 0);
}

static void ill_health_slows_our_probes_and_successes_heal_it(void **unused)
{
    (void)unused;
    given_members(4);
    for (uint32_t i = 0; i < 4; i++)
        tell_bad(1, WIRE_SUSPECT, 0, 100, i * 2, 3);
    assert_int_equal(swim_health(swim), 4);
    wait_ms(1000); /* until the next turn, which was set before */
    uint32_t before = swim_health(swim);
    assert_int_equal(before, 3);
    forget();
    wait_ms(2000);
    assert_int_equal(swim_health(swim), 3); /* (1 + 3 or 4) periods apart */
    wait_ms(20000);
    assert_int_equal(swim_health(swim), 0);
}

static void we_ping_in_place_of_others(void **unused)
{
    (void)unused;
    given_members(4);
    struct wire_msg preq = {.kind = WIRE_PREQ,
                            .preq = {.seq = 42, .target = id_of(2), .addr = addr_of(2)}};
    answers[2] = true;
    tell(1, preq);
    assert_int_equal(count_to(WIRE_PING, 2), 1);
    assert_int_equal(count_to(WIRE_ACK, 1), 1);
    assert_int_equal(find_said(WIRE_ACK, 1)->seq, 42);
    assert_int_equal(count_to(WIRE_NACK, 1), 0);

    forget();
    answers[2] = false;
    tell(1, preq);
    wait_ms(39);
    assert_int_equal(count_to(WIRE_NACK, 1), 0);
    wait_ms(1); /* 0.8 of the least RTO */
    assert_int_equal(count_to(WIRE_NACK, 1), 1);
    send_back(2, WIRE_ACK, find_said(WIRE_PING, 2)->seq); /* late, and still of use */
    assert_int_equal(count_to(WIRE_ACK, 1), 1);
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 0);
}

static void pings_for_others_are_not_ours_to_answer(void **unused)
{
    (void)unused;
    given_members(3);
    tell(1, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 1, .target = id_of(2)}});
    assert_int_equal(count_to(WIRE_ACK, 1), 0);
    tell(1, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 2, .target = id_of(0)}});
    assert_int_equal(count_to(WIRE_ACK, 1), 1);
    assert_int_equal(count_to(WIRE_ALIVE, 1), 0);
    tell(1, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 3}});
    assert_int_equal(count_to(WIRE_ACK, 1), 2);
    assert_int_equal(count_to(WIRE_ALIVE, 1), 1); /* whoever asks who is there is told */
}

/* ---- pauses ------------------------------------------------------------------------------------
 */

static void a_node_that_was_stopped_doubts_itself_first(void **unused)
{
    (void)unused;
    given_members(6);
    answers[2] = false;
    while (count_said(WIRE_PREQ, 2) == 0)
        wait_ms(1);
    uint32_t seq = find_said(WIRE_PING, 2)->seq;
    tell_bad(1, WIRE_SUSPECT, 3, 100, 0, 4);
    assert_int_equal(state_of(3), WIRE_STATE_SUSPECT);
    forget();
    now_ms += 30000; /* SIGSTOP, SIGCONT */
    step((struct swim_event){.kind = SWIM_TICK});
    assert_int_equal(swim_stats(swim)->pauses, 1);
    assert_true(swim_health(swim) >= 1);
    assert_int_equal(change_count, 0);
    answers[2] = true;
    send_back(2, WIRE_ACK, seq);
    tell_alive(1, 3, 100, 1); /* what waited in the socket */
    wait_ms(30000);
    assert_int_equal(count_changes(2, SWIM_DEAD) + count_changes(3, SWIM_DEAD), 0);
}

static void a_late_tick_within_bounds_is_no_pause(void **unused)
{
    (void)unused;
    given_members(4);
    for (int i = 0; i < 50; i++) {
        now_ms = swim_deadline(swim) + 240;
        step((struct swim_event){.kind = SWIM_TICK});
    }
    assert_int_equal(swim_stats(swim)->pauses, 0);
}

static void a_datagram_that_could_not_be_sent_is_an_unanswered_one(void **unused)
{
    (void)unused;
    given_members(3);
    answers[1] = answers[2] = false;
    while (change_count == 0) {
        wait_ms(100);
        step((struct swim_event){.kind = SWIM_SEND_FAILED, .addr = addr_of(2)});
    }
    assert_true(swim_stats(swim)->unsent > 0);
    assert_int_equal(changes[0].what, SWIM_SUSPECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confirmations_shorten_a_suspicion_as_lifeguard_says),
        row(a_mesh_of_two_does_not_wait_for_confirmations),
        row(the_same_accuser_counts_once),
        row(only_accusations_that_count_are_passed_on),
        row(a_member_that_flaps_is_given_more_time),
        row(a_restart_is_no_flap),
        row(two_refusals_are_a_death_in_half_a_second),
        row(one_refusal_proves_nothing_alone),
        row(a_lost_stream_of_somebody_who_answers_means_nothing),
        row(an_unreachable_port_is_tried_by_stream_at_once),
        row(a_stream_that_says_hello_is_an_answer),
        row(everybody_has_his_turn_in_every_round),
        row(silence_is_asked_around),
        row(an_answer_of_somebody_else_is_none),
        row(relays_that_are_silent_too_make_us_doubt_ourselves),
        row(ill_health_slows_our_probes_and_successes_heal_it),
        row(we_ping_in_place_of_others),
        row(pings_for_others_are_not_ours_to_answer),
        row(a_node_that_was_stopped_doubts_itself_first),
        row(a_late_tick_within_bounds_is_no_pause),
        row(a_datagram_that_could_not_be_sent_is_an_unanswered_one),
    };
    return cmocka_run_group_tests_name("swim probe", tests, NULL, NULL);
}
