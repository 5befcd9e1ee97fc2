/* Who is told what, in which order, how often. */
#include "solo.h"

#define row(test) cmocka_unit_test_teardown(test, ends)

static struct wire_msg work(uint64_t eid, uint32_t epoch, uint32_t seq, uint32_t queued)
{
    return (struct wire_msg){.kind = WIRE_WORK,
                             .work = {.eid = eid,
                                      .fence = {.owner = id_of(1), .epoch = epoch},
                                      .seq = seq,
                                      .queued = queued}};
}

static size_t count_eid(enum wire_kind kind, uint64_t eid)
{
    size_t count = 0;
    for (size_t i = 0; i < said_count; i++)
        count += said[i].kind == kind && said[i].node == eid;
    return count;
}

static void ping(uint32_t from)
{
    tell(from, (struct wire_msg){.kind = WIRE_PING, .ping = {.seq = 1, .target = id_of(0)}});
}

/* ---- counting ----------------------------------------------------------------------------------
 */

static void a_rumor_is_told_as_often_as_the_mesh_is_large(void **unused)
{
    (void)unused;
    static const struct {
        uint32_t members;
        size_t times;
    } rows[] = {{2, 4}, {9, 4}, {10, 8}, {99, 8}, {100, 12}};
    for (size_t i = 0; i < countof(rows); i++) {
        given_members(rows[i].members);
        wait_ms(20000);
        forget();
        struct wire_msg news = work(7, 1, 1, 5);
        step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
        wait_ms(10000);
        assert_int_equal(count_eid(WIRE_WORK, 7), rows[i].times);
        stop();
    }
    start(SWIM_TIMING, 1, 0);
}

/* More rumors than fit: each is told exactly as often as if it had been alone. */
static size_t least_told(uint32_t faults)
{
    start(SWIM_TIMING, 1, faults);
    for (uint32_t i = 1; i < 4; i++) {
        answers[i] = true;
        tell_alive(i, i, 100, 0);
    }
    wait_ms(4000);
    forget();
    for (uint64_t eid = 1; eid <= 500; eid++) {
        struct wire_msg news = work(eid, 1, 1, 5);
        step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    }
    wait_ms(30000);
    size_t least = SIZE_MAX;
    for (uint64_t eid = 1; eid <= 500; eid++) {
        size_t count = count_eid(WIRE_WORK, eid);
        least = count < least ? count : least;
    }
    assert_in_range(longest, 1000, WIRE_PACKET_BODY);
    stop();
    return least;
}

static void a_rumor_that_did_not_fit_loses_nothing(void **unused)
{
    (void)unused;
    assert_int_equal(least_told(0), 4);
    assert_true(least_told(SWIM_FAULT_COUNT_UNSENT) < 4); /* the test would see it */
    start(SWIM_TIMING, 1, 0);
}

static void nobody_is_told_of_himself_nor_is_it_counted(void **unused)
{
    (void)unused;
    start(SWIM_TIMING, 1, 0);
    answers[1] = true;
    tell_alive(1, 1, 100, 0);
    wait_ms(10000);
    assert_int_equal(count_said(WIRE_ALIVE, 1), 0);
    forget();
    tell_alive(2, 2, 100, 0);
    wait_ms(10000);
    for (size_t i = 0; i < said_count; i++)
        assert_false(said[i].kind == WIRE_ALIVE && said[i].node == id_of(said[i].to));
    assert_int_equal(count_said(WIRE_ALIVE, 1), 4);
}

static void a_mesh_at_rest_says_only_its_pings(void **unused)
{
    (void)unused;
    given_members(20);
    wait_ms(20000);
    forget();
    uint64_t bytes = swim_stats(swim)->bytes_out;
    wait_ms(60000);
    assert_in_range(said_count, 59, 61);
    for (size_t i = 0; i < said_count; i++)
        assert_int_equal(said[i].kind, WIRE_PING);
    assert_true((swim_stats(swim)->bytes_out - bytes) / 60 <= 40);
    assert_int_equal(kinds[SWIM_SEND_FRAME], 0);
}

/* ---- order -------------------------------------------------------------------------------------
 */

static void answers_come_first_then_what_concerns_the_reader_then_rumors(void **unused)
{
    (void)unused;
    given_members(8);
    tell_bad(1, WIRE_SUSPECT, 2, 100, 0, 3);
    wait_ms(300); /* told some times */
    tell_alive(9, 9, 100, 0);
    tell_bad(1, WIRE_DEAD, 4, 100, 0, 3);
    forget();
    ping(2);
    static const enum wire_kind order[] = {WIRE_ACK, WIRE_SUSPECT, WIRE_DEAD, WIRE_ALIVE};
    assert_true(said_count >= countof(order));
    for (size_t i = 0; i < countof(order); i++) {
        assert_int_equal(said[i].kind, order[i]);
        assert_int_equal(said[i].packet, said[0].packet);
    }
    assert_int_equal(said[1].node, id_of(2));
    assert_int_equal(said[2].node, id_of(4)); /* the latest of those never told */
    assert_int_equal(said[3].node, id_of(9));
}

static void what_was_told_least_goes_first(void **unused)
{
    (void)unused;
    given_members(4);
    for (uint64_t eid = 1; eid <= 200; eid++) {
        struct wire_msg news = work(eid, 1, 1, 5);
        step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    }
    wait_ms(300);
    struct wire_msg news = work(999, 1, 1, 5);
    step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    forget();
    ping(1);
    assert_int_equal(said[0].kind, WIRE_ACK);
    assert_int_equal(said[1].node, 999);
}

static void loads_of_others_come_last_and_only_when_there_is_work(void **unused)
{
    (void)unused;
    given_members(12);
    struct wire_msg load = {.kind = WIRE_LOAD, .load = {.gen32 = 100, .lseq = 1, .free_slots = 2}};
    for (uint32_t i = 2; i < 12; i++) {
        load.load.node = id_of(i);
        tell(1, load);
    }
    forget();
    ping(1);
    assert_int_equal(said_count, 1); /* nobody waits for a slot: who cares */
    load.load.node = id_of(2);
    load.load.lseq = 2;
    load.load.queued = 9;
    tell(1, load);
    struct wire_msg news = work(999, 1, 1, 5);
    step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    forget();
    ping(1);
    assert_int_equal(said[1].kind, WIRE_WORK);
    size_t loads = 0;
    for (size_t i = 2; i < said_count; i++) {
        assert_int_equal(said[i].kind, WIRE_LOAD);
        loads++;
    }
    assert_int_equal(loads, 6);
    now_ms += 200;
    wait_ms(20000); /* old news */
    forget();
    ping(1);
    assert_int_equal(said_count, 1);
}

/* ---- news --------------------------------------------------------------------------------------
 */

static void news_are_told_upwards_once(void **unused)
{
    (void)unused;
    given_members(4);
    tell(1, work(7, 1, 1, 5));
    assert_int_equal(kinds[SWIM_TOLD], 1);
    assert_int_equal(last.msg->work.queued, 5);
    tell(2, work(7, 1, 1, 5));
    tell(3, work(7, 1, 0, 9)); /* overtaken */
    assert_int_equal(kinds[SWIM_TOLD], 1);
    tell(3, work(7, 1, 2, 0));
    assert_int_equal(kinds[SWIM_TOLD], 2);
    assert_int_equal(last.msg->work.queued, 0);
    tell(3, work(7, 2, 1, 3)); /* a new owner counts anew */
    assert_int_equal(kinds[SWIM_TOLD], 3);
    struct wire_msg fence = {.kind = WIRE_FENCE,
                             .fence = {.eid = 7, .fence = {id_of(2), 3}, .gen = 100}};
    tell(3, fence);
    tell(2, fence);
    assert_int_equal(kinds[SWIM_TOLD], 4);
    fence.fence.gen = 101;
    tell(2, fence);
    assert_int_equal(kinds[SWIM_TOLD], 5);
    wait_ms(500);
    assert_true(count_eid(WIRE_WORK, 7) > 0 && count_eid(WIRE_FENCE, 7) > 0);
}

static void own_news_are_not_told_to_ourselves(void **unused)
{
    (void)unused;
    given_members(4);
    struct wire_msg news = work(7, 1, 1, 5);
    step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    tell(1, news);
    assert_int_equal(kinds[SWIM_TOLD], 0);
}

static void the_memory_for_news_has_an_end(void **unused)
{
    (void)unused;
    given_members(4);
    for (uint64_t eid = 1; eid <= SWIM_NEWS_MAX + 10; eid++) {
        struct wire_msg news = work(eid, 1, 1, 5);
        now_ms += 1;
        step((struct swim_event){.kind = SWIM_NEWS, .msg = &news});
    }
    assert_int_equal(swim_stats(swim)->dropped, 10);
    forget();
    tell(1, work(SWIM_NEWS_MAX + 10, 1, 1, 5));
    assert_int_equal(kinds[SWIM_TOLD], 0);
    tell(1, work(1, 1, 1, 5));
    assert_int_equal(kinds[SWIM_TOLD], 1);
}

/* ---- loads -------------------------------------------------------------------------------------
 */

static void the_newest_load_is_kept(void **unused)
{
    (void)unused;
    given_members(4);
    struct wire_msg load = {.kind = WIRE_LOAD,
                            .load = {.node = id_of(2), .gen32 = 100, .lseq = 5, .free_slots = 2}};
    assert_null(swim_load(swim, id_of(2)));
    tell(1, load);
    assert_int_equal(swim_load(swim, id_of(2))->free_slots, 2);
    load.load.free_slots = 1;
    tell(1, load); /* the same number: the same record */
    load.load.lseq = 4;
    tell(1, load);
    load.load.lseq = 6;
    load.load.gen32 = 99; /* of a process that is gone */
    tell(1, load);
    assert_int_equal(swim_load(swim, id_of(2))->free_slots, 2);
    load.load.gen32 = 100;
    tell(1, load);
    assert_int_equal(swim_load(swim, id_of(2))->free_slots, 1);
    tell_alive(2, 2, 101, 0); /* what it had is gone with it */
    assert_null(swim_load(swim, id_of(2)));
    assert_null(swim_load(swim, 12345));
}

static void our_load_travels_in_every_packet_while_it_is_news(void **unused)
{
    (void)unused;
    given_members(4);
    struct wire_load load = {.free_slots = 2, .cpu = 10};
    step((struct swim_event){.kind = SWIM_LOAD, .load = load});
    assert_int_equal(swim_load(swim, id_of(0))->lseq, 1);
    step((struct swim_event){.kind = SWIM_LOAD, .load = load}); /* nothing new */
    assert_int_equal(swim_load(swim, id_of(0))->lseq, 1);
    load.free_slots = 1;
    step((struct swim_event){.kind = SWIM_LOAD, .load = load});
    assert_int_equal(swim_load(swim, id_of(0))->lseq, 2);
    assert_int_equal(swim_load(swim, id_of(0))->gen32, 100);

    for (int round = 0; round < 2; round++) {
        struct wire_packet packet = packet_from(1);
        struct wire_msg msg = {.kind = WIRE_PING, .ping = {.seq = 1, .target = id_of(0)}};
        wire_packet_add(&packet, &msg);
        deliver(1, &packet);
        struct wire_packet_head head;
        struct wire_packet_reader reader;
        for (size_t i = 0; i < out.count; i++)
            if (out.effects[i].kind == SWIM_SEND) {
                assert_int_equal(wire_packet_open(&reader, out.effects[i].bytes.data,
                                                  out.effects[i].bytes.len, &head, NULL),
                                 0);
                assert_int_equal(head.has_load, round == 0);
                if (round == 0)
                    assert_int_equal(head.load.free_slots, 1);
                assert_int_equal(head.mhash, swim_mhash(swim));
                assert_int_equal(head.gen, 100);
            }
        wait_ms(15000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        row(a_rumor_is_told_as_often_as_the_mesh_is_large),
        row(a_rumor_that_did_not_fit_loses_nothing),
        row(nobody_is_told_of_himself_nor_is_it_counted),
        row(a_mesh_at_rest_says_only_its_pings),
        row(answers_come_first_then_what_concerns_the_reader_then_rumors),
        row(what_was_told_least_goes_first),
        row(loads_of_others_come_last_and_only_when_there_is_work),
        row(news_are_told_upwards_once),
        row(own_news_are_not_told_to_ourselves),
        row(the_memory_for_news_has_an_end),
        row(the_newest_load_is_kept),
        row(our_load_travels_in_every_packet_while_it_is_news),
    };
    return cmocka_run_group_tests_name("swim rumor", tests, NULL, NULL);
}
