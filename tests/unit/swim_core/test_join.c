/* Coming, going, finding each other again, and the exchange of tables. */
#include "solo.h"

#define row(test) cmocka_unit_test_teardown(test, ends)

static size_t pings_to(uint32_t to)
{
    size_t count = 0;
    for (size_t i = 0; i < said_count; i++)
        count += said[i].kind == WIRE_PING && said[i].to == to;
    return count;
}

static void join_through(uint32_t index)
{
    step((struct swim_event){.kind = SWIM_JOIN_ADDRESS, .addr = addr_of(index)});
}

/* The last frame's effect borrows from the step that made it: the copies that tests need. */
static struct wire_tag tags[64];
static size_t tag_count;
static uint64_t given[64]; /* nodes of a MFULL */
static enum wire_state given_st[64];
static size_t given_count;
static uint64_t need[64];
static size_t need_count;

static void look_at_frames(void)
{
    tag_count = given_count = need_count = 0;
    for (size_t i = 0; i < out.count; i++) {
        const struct swim_effect *effect = &out.effects[i];
        if (effect->kind != SWIM_SEND_FRAME)
            continue;
        const struct wire_msg *msg = effect->msg;
        if (msg->kind == WIRE_MSYNC)
            for (size_t at = 0; at < msg->msync.tag_count; at++)
                tags[tag_count++] = msg->msync.tags[at];
        if (msg->kind != WIRE_MFULL)
            continue;
        for (size_t at = 0; at < msg->mfull.member_count; at++) {
            given[given_count] = id_node_short(&msg->mfull.members[at].node);
            given_st[given_count++] = msg->mfull.members[at].st;
        }
        for (size_t at = 0; at < msg->mfull.need_count; at++)
            need[need_count++] = msg->mfull.need[at];
    }
}

static void frame(uint32_t from, struct wire_msg msg)
{
    step((struct swim_event){.kind = SWIM_FRAME, .node = id_of(from), .msg = &msg});
    look_at_frames();
}

static uint32_t tag_of(uint32_t index, uint64_t gen, uint32_t ver, enum wire_state st)
{
    struct wire_member record = record_of(index, gen, ver);
    record.st = st;
    return (uint32_t)wire_member_hash(&record);
}

/* ---- joining -----------------------------------------------------------------------------------
 */

static void whoever_is_alone_asks_for_ever_and_ever_slower(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    join_through(1);
    assert_int_equal(pings_to(1), 1);
    assert_non_null(find_said(WIRE_ALIVE, 1)); /* so that the other knows us at once */
    assert_int_equal(find_said(WIRE_PING, 1)->node, 0);
    uint64_t start_ms = now_ms;
    wait_ms(400000);
    uint64_t before_ms = start_ms;
    uint64_t longest_ms = 0;
    for (size_t i = 1; i < said_count; i++) {
        if (said[i].kind != WIRE_PING)
            continue;
        uint64_t gap_ms = said[i].at_ms - before_ms;
        longest_ms = gap_ms > longest_ms ? gap_ms : longest_ms;
        before_ms = said[i].at_ms;
    }
    assert_in_range(longest_ms, 1000, 10000);
    assert_true(now_ms - before_ms <= 10000);
    assert_in_range(pings_to(1), 40, 130);
}

static void three_addresses_are_asked_at_once_and_then_the_others(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    for (uint32_t i = 1; i <= 7; i++)
        join_through(i);
    join_through(3); /* again, as a name that resolves anew */
    wait_ms(20000);
    for (uint32_t i = 1; i <= 7; i++)
        assert_true(pings_to(i) >= 1);
}

static void own_addresses_are_recognised(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    join_through(0);
    wait_ms(30000);
    assert_int_equal(said_count, 0);
    join_through(44); /* another name of ourselves: our own packet comes back */
    assert_int_equal(pings_to(44), 1);
    step((struct swim_event){
        .kind = SWIM_PACKET, .node = id_of(0), .boot = BOOT, .addr = addr_of(44)});
    forget();
    wait_ms(60000);
    assert_int_equal(said_count, 0);
    assert_int_equal(kinds[SWIM_EXIT], 0);
}

static void an_answer_is_followed_by_the_table(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    join_through(1);
    struct wire_packet packet = packet_of(1, 100, 0);
    struct wire_msg ack = {.kind = WIRE_ACK, .ack = {.seq = find_said(WIRE_PING, 1)->seq}};
    struct wire_msg alive = {.kind = WIRE_ALIVE, .alive = record_of(1, 100, 0)};
    wire_packet_add(&packet, &ack);
    wire_packet_add(&packet, &alive);
    deliver(1, &packet);
    look_at_frames();
    assert_int_equal(count_changes(1, SWIM_JOIN), 1);
    assert_int_equal(kinds[SWIM_SEND_FRAME], 1);
    assert_int_equal(tag_count, 2);
    forget();
    struct wire_member records[3] = {record_of(2, 100, 0), record_of(3, 100, 0),
                                     record_of(4, 100, 0)};
    frame(1,
          (struct wire_msg){.kind = WIRE_MFULL, .mfull = {.members = records, .member_count = 3}});
    assert_int_equal(swim_count(swim), 5);
    assert_int_equal(change_count, 3);
    for (uint32_t i = 1; i < 5; i++)
        answers[i] = true;
    wait_ms(5000);
    for (uint32_t i = 2; i < 5; i++)
        assert_int_equal(count_said(WIRE_ALIVE, i), 0); /* all of them know: told by the table */
    assert_true(count_said(WIRE_ALIVE, 0) > 0);
}

static void a_joiner_is_given_all(void **unused)
{
    (void)unused;
    given_members(5);
    tell_bad(1, WIRE_DEAD, 4, 100, 0, 1);
    tell_alive(9, 9, 100, 0);
    struct wire_tag tag = {id_of(9), tag_of(9, 100, 0, WIRE_STATE_ALIVE)};
    frame(9, (struct wire_msg){.kind = WIRE_MSYNC, .msync = {.tags = &tag, .tag_count = 1}});
    assert_int_equal(given_count, 4); /* of the living; the dead are no joiner's concern */
    assert_int_equal(need_count, 0);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

static void equal_digests_exchange_nothing(void **unused)
{
    (void)unused;
    given_members(4);
    for (int i = 0; i < 600; i++) {
        tell(1 + (uint32_t)i % 3, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
        wait_ms(100);
    }
    assert_int_equal(kinds[SWIM_SEND_FRAME], 0);
    struct swim_view view;
    assert_true(swim_member(swim, id_of(1), &view));
    assert_true(view.agrees);
}

static void digests_that_differ_for_long_exchange_tables(void **unused)
{
    (void)unused;
    given_members(4);
    disagrees = true;
    uint64_t start_ms = now_ms;
    for (int i = 0; i < 19; i++) {
        tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
        wait_ms(100);
    }
    assert_int_equal(kinds[SWIM_SEND_FRAME], 0); /* a rumor may be on its way */
    while (kinds[SWIM_SEND_FRAME] == 0) {
        now_ms += 10;
        tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
        look_at_frames();
    }
    assert_in_range(now_ms - start_ms, 2000, 2100);
    assert_int_equal(kinds[SWIM_SEND_FRAME], 1);
    assert_int_equal(tag_count, 4);
    struct swim_view view;
    assert_true(swim_member(swim, id_of(1), &view));
    assert_false(view.agrees);
    uint64_t first_ms = now_ms;
    while (kinds[SWIM_SEND_FRAME] < 2) {
        wait_ms(50);
        tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
    }
    assert_true(now_ms - first_ms >= 2000);
}

static void a_short_difference_exchanges_nothing(void **unused)
{
    (void)unused;
    given_members(4);
    for (int i = 0; i < 50; i++) { /* now and then somebody is ahead or behind */
        disagrees = true;
        tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
        disagrees = false;
        wait_ms(7000);
    }
    assert_int_equal(kinds[SWIM_SEND_FRAME], 0);
}

static void what_differs_is_given_and_asked_for(void **unused)
{
    (void)unused;
    given_members(6);
    tell_alive(1, 3, 100, 2);
    tell_bad(1, WIRE_DEAD, 4, 100, 0, 1);
    struct wire_tag theirs[] = {
        {id_of(0), tag_of(0, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(1), tag_of(1, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(3), tag_of(3, 100, 0, WIRE_STATE_ALIVE)}, /* older */
        {id_of(4), tag_of(4, 100, 0, WIRE_STATE_ALIVE)}, /* dead here */
        {id_of(5), tag_of(5, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(9), tag_of(9, 100, 0, WIRE_STATE_ALIVE)}, /* unknown here */
    };
    frame(1, (struct wire_msg){.kind = WIRE_MSYNC,
                               .msync = {.tags = theirs, .tag_count = countof(theirs)}});
    assert_int_equal(given_count, 3);
    assert_int_equal(given[0], id_of(3));
    assert_int_equal(given[1], id_of(4));
    assert_int_equal(given_st[1], WIRE_STATE_DEAD);
    assert_int_equal(given[2], id_of(2)); /* not named */
    assert_int_equal(need_count, 1);
    assert_int_equal(need[0], id_of(9));

    struct wire_tag same[] = {
        {id_of(0), tag_of(0, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(1), tag_of(1, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(2), tag_of(2, 100, 0, WIRE_STATE_ALIVE)},
        {id_of(3), tag_of(3, 100, 2, WIRE_STATE_ALIVE)},
        {id_of(5), tag_of(5, 100, 0, WIRE_STATE_ALIVE)},
    };
    forget();
    frame(1, (struct wire_msg){.kind = WIRE_MSYNC,
                               .msync = {.tags = same, .tag_count = countof(same)}});
    assert_int_equal(kinds[SWIM_SEND_FRAME], 0);

    /* Equal but for where it lives: two processes with one id, and one of them asks. */
    struct wire_member elsewhere = record_of(1, 100, 0);
    elsewhere.addr.port++;
    same[1].tag = (uint32_t)wire_member_hash(&elsewhere);
    frame(1, (struct wire_msg){.kind = WIRE_MSYNC,
                               .msync = {.tags = same, .tag_count = countof(same)}});
    assert_int_equal(given_count, 1);
    assert_int_equal(given[0], id_of(1));
}

static void an_older_record_is_answered_with_ours_and_a_need_is_met(void **unused)
{
    (void)unused;
    given_members(6);
    tell_bad(1, WIRE_DEAD, 4, 100, 3, 1);
    struct wire_member records[2] = {record_of(4, 100, 3), record_of(5, 100, 0)};
    uint64_t wanted[2] = {id_of(2), id_of(77)};
    frame(1,
          (struct wire_msg){
              .kind = WIRE_MFULL,
              .mfull = {.members = records, .member_count = 2, .need = wanted, .need_count = 2}});
    assert_int_equal(given_count, 2);
    assert_int_equal(given[0], id_of(4));
    assert_int_equal(given_st[0], WIRE_STATE_DEAD);
    assert_int_equal(given[1], id_of(2));
    assert_int_equal(state_of(4), WIRE_STATE_DEAD);
}

static void stores_that_differ_are_told_at_a_measured_pace(void **unused)
{
    (void)unused;
    given_members(4);
    answers[1] = answers[2] = answers[3] = false;
    step((struct swim_event){.kind = SWIM_SHASH, .shash = 5}); /* the others have 0 */
    uint64_t start_ms = now_ms;
    size_t count = 0;
    for (int i = 0; i < 50; i++) {
        tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
        for (size_t at = 0; at < out.count; at++)
            if (out.effects[at].kind == SWIM_SHASH_DIFFERS) {
                assert_int_equal(out.effects[at].node, id_of(1));
                assert_int_equal(out.effects[at].since_ms, start_ms);
                count++;
            }
        now_ms += 100;
    }
    assert_int_equal(count, 5);
    step((struct swim_event){.kind = SWIM_SHASH, .shash = 0});
    forget();
    tell(1, (struct wire_msg){.kind = WIRE_ACK, .ack = {.seq = 9999}});
    assert_int_equal(kinds[SWIM_SHASH_DIFFERS], 0);
}

/* ---- healing -----------------------------------------------------------------------------------
 */

static void the_dead_are_pinged_for_ever(void **unused)
{
    (void)unused;
    given_members(4);
    answers[3] = false;
    tell_bad(1, WIRE_DEAD, 3, 100, 0, 1);
    wait_ms(1000);
    forget();
    wait_ms(600000);
    assert_in_range(pings_to(3), 110, 125); /* every 5 s */
    for (size_t i = 0; i < said_count; i++)
        if (said[i].kind == WIRE_PING && said[i].to == 3) { /* with what is said of it */
            assert_int_equal(said[i].node, 0);
            break;
        }
    assert_true(count_said(WIRE_DEAD, 3) >= 110);
}

static void a_large_mesh_pings_its_dead_no_more_often(void **unused)
{
    (void)unused;
    given_members(80);
    answers[3] = false;
    tell_bad(1, WIRE_DEAD, 3, 100, 0, 1);
    wait_ms(1000);
    forget();
    wait_ms(600000);
    assert_in_range(pings_to(3), 3, 30); /* a tenth of 120 */
}

static void missing_addresses_are_pinged_for_ever(void **unused)
{
    (void)unused;
    given_members(3);
    join_through(1); /* a member: nobody needs to ask */
    join_through(9);
    wait_ms(600000);
    assert_in_range(pings_to(9), 110, 125);
    forget();
    tell_alive(9, 9, 100, 0);
    answers[9] = true;
    wait_ms(1000);
    forget();
    wait_ms(60000);
    for (size_t i = 0; i < said_count; i++)
        assert_false(said[i].kind == WIRE_PING && said[i].node == 0);
}

static void a_revenant_is_given_the_table_at_once(void **unused)
{
    (void)unused;
    given_members(4);
    tell_bad(1, WIRE_DEAD, 3, 100, 0, 1);
    tell_alive(3, 3, 100, 1);
    assert_int_equal(count_changes(3, SWIM_REJOIN), 1);
    assert_int_equal(kinds[SWIM_SEND_FRAME], 1);
}

/* ---- leaving -----------------------------------------------------------------------------------
 */

static void leaving_is_told_and_then_over(void **unused)
{
    (void)unused;
    given_members(4);
    wait_ms(5000);
    forget();
    step((struct swim_event){.kind = SWIM_LEAVE});
    uint64_t start_ms = now_ms;
    while (kinds[SWIM_LEFT_DONE] == 0)
        wait_ms(10);
    assert_true(now_ms - start_ms <= 1000);
    assert_int_equal(count_said(WIRE_LEFT, 0), 4);
    assert_true(swim_deadline(swim) == UINT64_MAX);
    forget();
    step((struct swim_event){.kind = SWIM_LEAVE});
    assert_int_equal(out.count, 0);
}

static void leaving_takes_no_longer_than_it_may(void **unused)
{
    (void)unused;
    given_members(3);
    for (uint64_t eid = 1; eid <= 2000; eid++) { /* more than can be told */
        struct wire_msg news = {.kind = WIRE_WORK, .work = {.eid = eid, .fence = {1, 1}}};
        step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    }
    forget();
    step((struct swim_event){.kind = SWIM_LEAVE});
    assert_true(count_said(WIRE_LEFT, 0) > 0); /* ahead of all that */
    wait_ms(1000);
    assert_int_equal(kinds[SWIM_LEFT_DONE], 1);
}

static void whoever_is_alone_leaves_at_once(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    forget();
    step((struct swim_event){.kind = SWIM_LEAVE});
    assert_int_equal(kinds[SWIM_LEFT_DONE], 1);
}

static void whoever_leaves_answers_but_accuses_and_refutes_no_more(void **unused)
{
    (void)unused;
    struct swim_timing timing = SWIM_TIMING;
    timing.leave_ms = 30000;
    timing.retransmit = 1000; /* capped by us: told often */
    given_members_timed(4, timing);
    answers[1] = answers[2] = answers[3] = false;
    forget();
    step((struct swim_event){.kind = SWIM_LEAVE});
    tell(1, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 4, .target = id_of(0)}});
    assert_int_equal(find_said(WIRE_ACK, 1)->seq, 4);
    tell_bad(1, WIRE_SUSPECT, 0, 100, 9, 2);
    assert_int_equal(swim_stats(swim)->refutations, 0);
    wait_ms(800);
    assert_int_equal(change_count, 0);
    size_t alive;
    swim_alive(swim, &alive);
    assert_int_equal(alive, 3); /* not self */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        row(whoever_is_alone_asks_for_ever_and_ever_slower),
        row(three_addresses_are_asked_at_once_and_then_the_others),
        row(own_addresses_are_recognised),
        row(an_answer_is_followed_by_the_table),
        row(a_joiner_is_given_all),
        row(equal_digests_exchange_nothing),
        row(digests_that_differ_for_long_exchange_tables),
        row(a_short_difference_exchanges_nothing),
        row(what_differs_is_given_and_asked_for),
        row(an_older_record_is_answered_with_ours_and_a_need_is_met),
        row(stores_that_differ_are_told_at_a_measured_pace),
        row(the_dead_are_pinged_for_ever),
        row(a_large_mesh_pings_its_dead_no_more_often),
        row(missing_addresses_are_pinged_for_ever),
        row(a_revenant_is_given_the_table_at_once),
        row(leaving_is_told_and_then_over),
        row(leaving_takes_no_longer_than_it_may),
        row(whoever_is_alone_leaves_at_once),
        row(whoever_leaves_answers_but_accuses_and_refutes_no_more),
    };
    return cmocka_run_group_tests_name("swim join", tests, NULL, NULL);
}
