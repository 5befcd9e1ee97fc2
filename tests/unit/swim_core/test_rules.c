/* The state machine of one member in another's eyes, row by row, as docs/protocol.md has it. */
#include "solo.h"

/* ---- nobody ------------------------------------------------------------------------------------
 */

static void hearsay_is_asked_before_it_is_believed(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(1, 9, 100, 0);
    assert_int_equal(state_of(9), -1);
    assert_non_null(find_said(WIRE_PING, 9));
    assert_int_equal(count_said(WIRE_ALIVE, 9), 0);
    tell_alive(9, 9, 100, 0); /* its answer */
    assert_int_equal(state_of(9), WIRE_STATE_ALIVE);
    assert_int_equal(count_changes(9, SWIM_JOIN), 1);
    wait_ms(200);
    assert_true(count_said(WIRE_ALIVE, 9) > 0);
}

static void hearsay_that_does_not_answer_is_asked_again_and_never_shown(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(1, 9, 100, 0);
    wait_ms(740);
    size_t pings = 0;
    for (size_t i = 0; i < said_count; i++)
        pings += said[i].kind == WIRE_PING && said[i].to == 9;
    assert_int_equal(pings, 3);
    assert_int_equal(state_of(9), -1);
    forget();
    wait_ms(20000); /* as somebody who may come back */
    assert_non_null(find_said(WIRE_PING, 9));
}

static void bad_news_of_nobody_makes_no_member(void **unused)
{
    (void)unused;
    given_members(3);
    tell_bad(1, WIRE_SUSPECT, 9, 100, 0, 2);
    tell_bad(1, WIRE_DEAD, 9, 100, 0, 2);
    tell_bad(1, WIRE_LEFT, 9, 100, 0, 2);
    tell_table(1, record_of(9, 100, 0), WIRE_STATE_LEFT);
    assert_int_equal(state_of(9), -1);
    assert_int_equal(said_count, 0);
    wait_ms(20000);
    assert_null(find_said(WIRE_PING, 9));
}

static void the_dead_of_others_are_looked_for_but_not_shown(void **unused)
{
    (void)unused;
    given_members(3);
    tell_table(1, record_of(9, 100, 0), WIRE_STATE_DEAD);
    assert_int_equal(state_of(9), -1);
    assert_int_equal(swim_count(swim), 3);
    wait_ms(20000);
    assert_non_null(find_said(WIRE_PING, 9));
    tell_alive(9, 9, 100, 1);
    assert_int_equal(count_changes(9, SWIM_JOIN), 1);
}

static void whoever_speaks_for_himself_is_a_member(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(9, 9, 100, 0);
    assert_int_equal(state_of(9), WIRE_STATE_ALIVE);
    wait_ms(300);
    assert_true(count_said(WIRE_ALIVE, 9) > 0);
}

static void a_stranger_without_a_record_is_asked_for_it(void **unused)
{
    (void)unused;
    given_members(3);
    tell(9, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 5, .target = id_of(0)}});
    assert_int_equal(state_of(9), -1);
    assert_int_equal(find_said(WIRE_ACK, 9)->seq, 5);
    assert_int_equal(find_said(WIRE_PING, 9)->node, 0);
}

static void a_stranger_whose_answer_tells_nothing_is_not_asked_in_circles(void **unused)
{
    (void)unused;
    given_members(3);
    answers[9] = true; /* ACK, without its ALIVE */
    tell(9, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 5, .target = id_of(0)}});
    assert_int_equal(said_count, 2); /* ACK, PING */
}

static void a_table_of_a_member_is_believed(void **unused)
{
    (void)unused;
    given_members(3);
    tell_table(1, record_of(9, 100, 4), WIRE_STATE_ALIVE);
    assert_int_equal(state_of(9), WIRE_STATE_ALIVE);
    assert_int_equal(count_changes(9, SWIM_JOIN), 1);
    tell_table(1, record_of(10, 100, 4), WIRE_STATE_SUSPECT);
    assert_int_equal(state_of(10), WIRE_STATE_SUSPECT);
}

static void a_table_of_a_stranger_is_not(void **unused)
{
    (void)unused;
    given_members(3);
    tell_table(20, record_of(9, 100, 4), WIRE_STATE_ALIVE);
    assert_int_equal(state_of(9), -1);
}

/* ---- alive -------------------------------------------------------------------------------------
 */

static void silence_makes_a_suspect(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    wait_ms(4500);
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 1);
    assert_true(count_said(WIRE_SUSPECT, 2) > 0);
    for (size_t i = 0; i < said_count; i++)
        if (said[i].kind == WIRE_SUSPECT)
            assert_int_equal(said[i].from, id_of(0));
}

static void an_accusation_is_passed_on_and_tried_at_once(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    wait_ms(100);
    assert_non_null(find_said(WIRE_PING, 2));
    assert_true(find_said(WIRE_PING, 2)->at_ms <= now_ms - 50);
    assert_true(count_said(WIRE_SUSPECT, 2) > 0);
}

static void an_accusation_of_the_past_is_ignored(void **unused)
{
    (void)unused;
    given_members(4);
    tell_alive(2, 2, 100, 5);
    forget();
    tell_bad(1, WIRE_SUSPECT, 2, 100, 4, 3);
    tell_bad(1, WIRE_SUSPECT, 2, 99, 9, 3);
    tell_bad(1, WIRE_DEAD, 2, 100, 4, 3);
    tell_bad(1, WIRE_LEFT, 2, 100, 4, 3);
    tell_table(1, record_of(2, 100, 4), WIRE_STATE_DEAD);
    assert_int_equal(state_of(2), WIRE_STATE_ALIVE);
    assert_int_equal(change_count, 0);
}

static void a_death_is_believed(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_DEAD, 2, 100, 0, 3);
    assert_int_equal(count_changes(2, SWIM_DEAD), 1);
    wait_ms(300);
    assert_true(count_said(WIRE_DEAD, 2) > 0);
    tell_bad(1, WIRE_DEAD, 2, 100, 0, 3); /* once */
    assert_int_equal(count_changes(2, SWIM_DEAD), 1);
}

static void a_death_in_a_table_is_a_suspicion(void **unused)
{
    (void)unused;
    given_members(4);
    tell_table(1, record_of(2, 100, 0), WIRE_STATE_DEAD);
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    assert_int_equal(count_changes(2, SWIM_SUSPECT), 1);
    assert_int_equal(count_changes(2, SWIM_DEAD), 0);
}

static void a_change_of_attributes_is_told_and_a_mere_refutation_is_not(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(2, 2, 100, 1);
    assert_int_equal(change_count, 0);
    struct wire_member record = record_of(2, 100, 2);
    record.flags = WIRE_FLAG_DRAINING;
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = record});
    assert_int_equal(count_changes(2, SWIM_CHANGED), 1);
    struct swim_view view;
    assert_true(swim_member(swim, id_of(2), &view));
    assert_int_equal(view.member.flags, WIRE_FLAG_DRAINING);
    record.flags = 0; /* an older one, late */
    record.ver = 1;
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = record});
    assert_true(swim_member(swim, id_of(2), &view));
    assert_int_equal(view.member.flags, WIRE_FLAG_DRAINING);
}

static void a_new_process_is_a_restart(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(2, 2, 101, 0);
    assert_int_equal(count_changes(2, SWIM_RESTART), 1);
    assert_int_equal(state_of(2), WIRE_STATE_ALIVE);
}

/* ---- suspect -----------------------------------------------------------------------------------
 */

static void a_suspect_must_answer_for_himself(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    forget();
    tell(2, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 999}});
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    const struct said *buddy = find_said(WIRE_SUSPECT, 2);
    assert_non_null(find_said(WIRE_PING, 2));
    assert_non_null(buddy);
    assert_int_equal(buddy->node, id_of(2));
    assert_int_equal(buddy->from, id_of(3));
    forget();
    tell_alive(1, 2, 100, 0); /* the same incarnation clears nothing */
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    tell_alive(1, 2, 100, 1);
    assert_int_equal(state_of(2), WIRE_STATE_ALIVE);
    assert_int_equal(count_changes(2, SWIM_ALIVE), 1);
    wait_ms(10000);
    assert_int_equal(count_changes(2, SWIM_DEAD), 0);
}

static void a_ping_of_a_suspect_is_answered_with_the_accusation(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    forget();
    tell(2, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 5, .target = id_of(0)}});
    const struct said *buddy = find_said(WIRE_SUSPECT, 2);
    assert_non_null(buddy);
    assert_int_equal(buddy->packet, find_said(WIRE_ACK, 2)->packet);
}

static void a_suspect_dies_in_the_end(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    wait_ms(9000);
    assert_int_equal(count_changes(2, SWIM_DEAD), 1);
    for (size_t i = 0; i < said_count; i++)
        if (said[i].kind == WIRE_DEAD) {
            assert_int_equal(said[i].from, id_of(0));
            assert_int_equal(said[i].why, WIRE_WHY_TIMEOUT);
        }
    assert_true(count_said(WIRE_DEAD, 2) > 0);
}

static void an_accusation_of_the_next_incarnation_is_a_new_one(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    wait_ms(1500);
    forget();
    tell_bad(1, WIRE_SUSPECT, 2, 100, 1, 3);
    wait_ms(1500);
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    tell_alive(1, 2, 100, 1);
    assert_int_equal(state_of(2), WIRE_STATE_SUSPECT);
    tell_alive(1, 2, 100, 2);
    assert_int_equal(state_of(2), WIRE_STATE_ALIVE);
}

/* ---- dead and gone -----------------------------------------------------------------------------
 */

static void the_dead_come_back_with_a_higher_incarnation_only(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_DEAD, 2, 100, 3, 3);
    tell_alive(2, 2, 100, 3);
    assert_int_equal(state_of(2), WIRE_STATE_DEAD);
    assert_int_equal(find_said(WIRE_DEAD, 2)->ver, 3); /* it is told, so that it can refute */
    tell_alive(2, 2, 100, 4);
    assert_int_equal(count_changes(2, SWIM_REJOIN), 1);
    tell_bad(1, WIRE_DEAD, 2, 100, 4, 3);
    tell_alive(2, 2, 101, 0);
    assert_int_equal(count_changes(2, SWIM_RESTART), 1);
    assert_int_equal(count_changes(2, SWIM_REJOIN), 1);
}

static void who_left_is_gone_and_not_looked_for(void **unused)
{
    (void)unused;
    given_members(4);
    answers[2] = false;
    tell_bad(2, WIRE_LEFT, 2, 100, 0, 2);
    assert_int_equal(count_changes(2, SWIM_LEFT), 1);
    wait_ms(300);
    assert_true(count_said(WIRE_LEFT, 2) > 0);
    forget();
    tell_bad(1, WIRE_DEAD, 2, 100, 0, 3); /* of the same incarnation: LEFT is the larger */
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    wait_ms(60000);
    assert_int_equal(change_count, 0);
    assert_null(find_said(WIRE_PING, 2));
    tell_alive(2, 2, 101, 0);
    assert_int_equal(count_changes(2, SWIM_JOIN), 1);
}

static void who_left_or_died_is_forgotten_in_time(void **unused)
{
    (void)unused;
    struct swim_timing timing = SWIM_TIMING;
    timing.left_keep_ms = 100000;
    timing.dead_keep_ms = 300000;
    given_members_timed(5, timing);
    answers[2] = answers[3] = false;
    tell_bad(2, WIRE_LEFT, 2, 100, 0, 2);
    tell_bad(1, WIRE_DEAD, 3, 100, 0, 1);
    wait_ms(90000);
    assert_int_equal(state_of(2), WIRE_STATE_LEFT);
    wait_ms(80000);
    assert_int_equal(state_of(2), -1);
    assert_int_equal(state_of(3), WIRE_STATE_DEAD);
    wait_ms(220000);
    assert_int_equal(state_of(3), -1);
    assert_int_equal(swim_count(swim), 3);
}

/* ---- ourselves ---------------------------------------------------------------------------------
 */

static void news_of_our_own_death_are_refuted(void **unused)
{
    (void)unused;
    static const enum wire_kind kinds_of_news[] = {WIRE_SUSPECT, WIRE_DEAD};
    for (size_t i = 0; i < countof(kinds_of_news); i++) {
        given_members(4);
        tell_bad(1, kinds_of_news[i], 0, 100, 6, 3);
        assert_int_equal(swim_health(swim), 1);
        wait_ms(200);
        assert_true(count_said(WIRE_ALIVE, 0) > 0);
        for (size_t at = 0; at < said_count; at++)
            if (said[at].kind == WIRE_ALIVE)
                assert_int_equal(said[at].ver, 7);
        tell_bad(1, kinds_of_news[i], 0, 100, 6, 3); /* old by now */
        assert_int_equal(swim_stats(swim)->refutations, 1);
        stop();
    }
    given_members(4);
    tell_table(1, record_of(0, 100, 2), WIRE_STATE_DEAD);
    assert_int_equal(swim_stats(swim)->refutations, 1);
}

static void a_node_that_may_not_refute_is_silent(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, SWIM_FAULT_NO_REFUTE);
    answers[1] = true;
    tell_alive(1, 1, 100, 0);
    wait_ms(4000);
    forget();
    tell_bad(1, WIRE_DEAD, 0, 100, 6, 1);
    wait_ms(500);
    assert_int_equal(count_said(WIRE_ALIVE, 0), 0);
}

static void an_old_disk_takes_a_higher_generation(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(1, 0, 200, 3);
    assert_int_equal(kinds[SWIM_PERSIST_GEN], 1);
    assert_int_equal(last.gen, 201);
    assert_int_equal(swim_gen(swim), 100); /* not before it is on disk */
    tell_bad(1, WIRE_DEAD, 0, 200, 3, 2);
    assert_int_equal(kinds[SWIM_PERSIST_GEN], 1); /* asked once */
    step((struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = 201});
    assert_int_equal(swim_gen(swim), 201);
    wait_ms(300);
    assert_true(count_said(WIRE_ALIVE, 0) > 0);
    assert_int_equal(find_said(WIRE_ALIVE, 1)->gen, 201);
}

static void a_death_of_a_later_generation_is_refuted_after_it_is_on_disk(void **unused)
{
    (void)unused;
    given_members(3);
    tell_bad(1, WIRE_DEAD, 0, 300, 1, 2);
    assert_int_equal(last.gen, 301);
    tell_bad(1, WIRE_DEAD, 0, 100, UINT32_MAX, 2); /* no room above in this one */
    assert_int_equal(kinds[SWIM_PERSIST_GEN], 1);
}

static void the_end_of_versions_is_a_new_generation(void **unused)
{
    (void)unused;
    given_members(3);
    tell_bad(1, WIRE_SUSPECT, 0, 100, UINT32_MAX, 2);
    assert_int_equal(kinds[SWIM_PERSIST_GEN], 1);
    assert_int_equal(last.gen, 101);
}

/* Else nobody would take its record for news, and the other would never hear of it. */
static void of_two_equal_processes_one_goes_above(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member copy = record_of(0, 100, 0);
    struct swim_view me;
    copy.addr = addr_of(0);
    copy.addr.port = 1; /* below ours */
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = copy});
    assert_int_equal(kinds[SWIM_EXIT], 0);
    assert_true(swim_member(swim, id_node_short(&copy.node), &me));
    assert_int_equal(me.member.gen, 100);
    assert_int_equal(me.member.ver, 1);
}

/* The older of two processes with one id still says what it says, from elsewhere. */
static void a_copy_of_a_member_s_past_is_told_of_it(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member newer = record_of(2, 101, 0);
    newer.addr = addr_of(50);
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = newer});
    forget();
    struct wire_packet packet = packet_of(2, 100, 4);
    deliver(2, &packet);
    const struct said *said_to_it = find_said(WIRE_ALIVE, 2);
    assert_non_null(said_to_it);
    assert_int_equal(said_to_it->node, id_of(2));
    assert_int_equal(said_to_it->gen, 101);
    forget();
    packet = packet_of(2, 100, 4); /* not for each of its packets */
    deliver(2, &packet);
    assert_null(find_said(WIRE_ALIVE, 2));
}

static void a_late_packet_of_a_member_is_not_answered(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(2, 2, 100, 4);
    forget();
    struct wire_packet packet = packet_of(2, 100, 3);
    deliver(2, &packet);
    assert_int_equal(said_count, 0);
}

static void the_older_of_two_processes_with_one_id_ends(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member copy = record_of(0, 101, 0);
    copy.addr = addr_of(50);
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = copy});
    assert_int_equal(kinds[SWIM_EXIT], 1);
    assert_int_equal(last.exit, SWIM_EXIT_COPY);
    assert_int_equal(wire_addr_compare(&last.addr, &copy.addr), 0);
    assert_true(swim_deadline(swim) == UINT64_MAX);
    forget();
    tell_alive(5, 5, 100, 0);
    assert_int_equal(said_count + change_count, 0);
}

static void the_newer_of_two_processes_with_one_id_speaks_up(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member copy = record_of(0, 99, 7);
    copy.addr = addr_of(50);
    tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = copy});
    assert_int_equal(kinds[SWIM_EXIT], 0);
    wait_ms(200);
    assert_true(count_said(WIRE_ALIVE, 0) > 0);
    forget();
    struct wire_packet packet = packet_of(0, 99, 7); /* and to its face */
    deliver(0, &packet);
    assert_int_equal(count_said(WIRE_ALIVE, 0), 1);
}

static void of_two_equal_copies_one_ends(void **unused)
{
    (void)unused;
    for (uint32_t other = 0; other < 2; other++) {
        given_members(3);
        struct wire_member copy = record_of(0, 100, 0);
        copy.addr = addr_of(50);
        if (other == 1) {
            uint8_t ip[4] = {9, 0, 0, 1};
            copy.addr = wire_addr_v4(ip, 5001);
        }
        tell(1, (struct wire_msg){.kind = WIRE_ALIVE, .alive = copy});
        assert_int_equal(kinds[SWIM_EXIT], other == 0);
        stop();
    }
    given_members(3);
}

static void generations_have_an_end(void **unused)
{
    (void)unused;
    given_members(3);
    tell_alive(2, 2, UINT64_MAX, 0);
    tell_alive(9, 9, SWIM_GEN_MAX + 1, 0);
    tell_bad(1, WIRE_DEAD, 2, UINT64_MAX, 0, 1);
    tell_bad(1, WIRE_SUSPECT, 2, UINT64_MAX, 0, 1);
    tell_bad(1, WIRE_LEFT, 2, UINT64_MAX, 0, 1);
    tell_alive(1, 0, UINT64_MAX, 0);
    tell_bad(1, WIRE_DEAD, 0, UINT64_MAX, 0, 1);
    assert_int_equal(change_count, 0);
    assert_int_equal(state_of(9), -1);
    assert_int_equal(swim_stats(swim)->malformed, 7);
    tell_alive(2, 2, SWIM_GEN_MAX, 0);
    assert_int_equal(count_changes(2, SWIM_RESTART), 1);
    tell_bad(1, WIRE_DEAD, 0, SWIM_GEN_MAX, 0, 1); /* there is nothing above */
    assert_int_equal(kinds[SWIM_EXIT], 1);
    assert_int_equal(last.exit, SWIM_EXIT_GENERATION);
}

static void a_change_of_ourselves_is_a_new_version(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member self = record_of(0, 0, 0);
    step((struct swim_event){.kind = SWIM_SELF, .member = &self});
    wait_ms(300);
    assert_int_equal(count_said(WIRE_ALIVE, 0), 0); /* nothing changed */
    self.flags = WIRE_FLAG_DRAINING;
    step((struct swim_event){.kind = SWIM_SELF, .member = &self});
    wait_ms(300);
    assert_true(count_said(WIRE_ALIVE, 0) > 0);
    assert_int_equal(find_said(WIRE_ALIVE, 1)->ver, 1);
}

static void other_versions_are_shown_as_such(void **unused)
{
    (void)unused;
    given_members(3);
    struct wire_member record = record_of(9, 100, 0);
    record.pv = (struct wire_versions){WIRE_VERSION_MAX + 1, WIRE_VERSION_MAX + 3};
    tell(9, (struct wire_msg){.kind = WIRE_ALIVE, .alive = record});
    struct swim_view view;
    assert_true(swim_member(swim, id_of(9), &view));
    assert_false(view.is_compatible);
    assert_true(swim_member(swim, id_of(1), &view));
    assert_true(view.is_compatible);
}

static void members_are_in_the_order_of_their_ids(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    static const uint32_t order[] = {7, 3, 9, 1, 5};
    for (size_t i = 0; i < countof(order); i++)
        tell_alive(order[i], order[i], 100, 0);
    tell_bad(1, WIRE_DEAD, 5, 100, 0, 1);
    size_t count;
    const uint64_t *alive = swim_alive(swim, &count);
    assert_int_equal(count, 5);
    for (size_t i = 1; i < count; i++)
        assert_true(alive[i - 1] < alive[i]);
    assert_int_equal(swim_count(swim), 6);
    struct swim_view before;
    struct swim_view view;
    for (size_t i = 1; i < 6; i++) {
        swim_at(swim, i - 1, &before);
        swim_at(swim, i, &view);
        assert_true(id_node_short(&before.member.node) < id_node_short(&view.member.node));
    }
}

static void nonsense_is_counted_and_changes_nothing(void **unused)
{
    (void)unused;
    given_members(3);
    uint32_t mhash = swim_mhash(swim);
    struct wire_packet packet = packet_from(1);
    for (size_t len = 0; len + 1 < packet.body.len; len++)
        step((struct swim_event){.kind = SWIM_PACKET,
                                 .node = id_of(1),
                                 .addr = addr_of(1),
                                 .bytes = {(const uint8_t *)packet.body.data, len}});
    assert_int_equal(swim_stats(swim)->malformed, packet.body.len - 1);
    wire_packet_fini(&packet);
    step((struct swim_event){.kind = SWIM_CONNECTED, .seq = 12345});
    step((struct swim_event){.kind = SWIM_REFUSED, .seq = 12345});
    step((struct swim_event){.kind = SWIM_UNREACHABLE, .addr = addr_of(99)});
    step((struct swim_event){.kind = SWIM_LINK_LOST, .node = 12345});
    step((struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = 5});
    assert_int_equal(swim_mhash(swim), mhash);
    assert_int_equal(change_count, 0);
}

#define row(test) cmocka_unit_test_teardown(test, ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        row(hearsay_is_asked_before_it_is_believed),
        row(hearsay_that_does_not_answer_is_asked_again_and_never_shown),
        row(bad_news_of_nobody_makes_no_member),
        row(the_dead_of_others_are_looked_for_but_not_shown),
        row(whoever_speaks_for_himself_is_a_member),
        row(a_stranger_without_a_record_is_asked_for_it),
        row(a_stranger_whose_answer_tells_nothing_is_not_asked_in_circles),
        row(a_table_of_a_member_is_believed),
        row(a_table_of_a_stranger_is_not),
        row(silence_makes_a_suspect),
        row(an_accusation_is_passed_on_and_tried_at_once),
        row(an_accusation_of_the_past_is_ignored),
        row(a_death_is_believed),
        row(a_death_in_a_table_is_a_suspicion),
        row(a_change_of_attributes_is_told_and_a_mere_refutation_is_not),
        row(a_new_process_is_a_restart),
        row(a_suspect_must_answer_for_himself),
        row(a_ping_of_a_suspect_is_answered_with_the_accusation),
        row(a_suspect_dies_in_the_end),
        row(an_accusation_of_the_next_incarnation_is_a_new_one),
        row(the_dead_come_back_with_a_higher_incarnation_only),
        row(who_left_is_gone_and_not_looked_for),
        row(who_left_or_died_is_forgotten_in_time),
        row(news_of_our_own_death_are_refuted),
        row(a_node_that_may_not_refute_is_silent),
        row(an_old_disk_takes_a_higher_generation),
        row(a_death_of_a_later_generation_is_refuted_after_it_is_on_disk),
        row(the_end_of_versions_is_a_new_generation),
        row(of_two_equal_processes_one_goes_above),
        row(a_copy_of_a_member_s_past_is_told_of_it),
        row(a_late_packet_of_a_member_is_not_answered),
        row(the_older_of_two_processes_with_one_id_ends),
        row(the_newer_of_two_processes_with_one_id_speaks_up),
        row(of_two_equal_copies_one_ends),
        row(generations_have_an_end),
        row(a_change_of_ourselves_is_a_new_version),
        row(other_versions_are_shown_as_such),
        row(members_are_in_the_order_of_their_ids),
        row(nonsense_is_counted_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("swim rules", tests, NULL, NULL);
}
