#include "tests/it/net/hand.h"

static void a_hello_that_does_not_fit_is_told_why(void **unused)
{
    (void)unused;
    struct node a;
    struct wire_msg hello = hello_of(9);
    start(&a, 1);

    struct hand old = hand_connect(&a);
    until(hand_read(&old) && link_is_open(old.link));
    hello.hello.pv = (struct wire_versions){200, 201};
    hand_send(&old, &hello);
    until(hand_read(&old) && old.ended);
    assert_true(old.last == WIRE_ERR && old.reason == WIRE_ERR_VERSION);
    hand_free(&old);

    struct hand other = hand_connect(&a);
    until(hand_read(&other) && link_is_open(other.link));
    hello = hello_of(9);
    hello.hello.cluster = "street";
    hand_send(&other, &hello);
    until(hand_read(&other) && other.ended);
    assert_true(other.last == WIRE_ERR && other.reason == WIRE_ERR_CLUSTER);
    hand_free(&other);

    struct hand self = hand_connect(&a);
    until(hand_read(&self) && link_is_open(self.link));
    hello = hello_of(1);
    hand_send(&self, &hello);
    until(hand_read(&self) && self.ended);
    hand_free(&self);

    struct hand rude = hand_connect(&a);
    until(hand_read(&rude) && link_is_open(rude.link));
    hand_send(&rude, &(struct wire_msg){.kind = WIRE_BEAT});
    until(hand_read(&rude) && rude.ended);
    hand_free(&rude);

    until(net_stats(a.net).strangers == 0);
    assert_int_equal(net_stats(a.net).links_mismatched, 3);
    assert_true(a.ups == 0 && a.downs == 0 && a.frames == 0);
    stop(&a);
}

static void an_end_without_bye_is_a_loss(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    struct hand hand = hand_link(&a);
    hand_send(&hand, &(struct wire_msg){.kind = WIRE_BEAT}); /* what came before it counts */
    hand_free(&hand);
    until(a.downs == 1);
    assert_true(a.down == NET_DOWN_LOST && a.frames == 1);
    stop(&a);
}

static void a_reset_is_a_loss(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    struct hand hand = hand_link(&a);
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(hand.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    hand_free(&hand);
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_LOST);
    stop(&a);
}

static void a_bye_is_answered(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    struct hand hand = hand_link(&a);
    hand_send(&hand, &(struct wire_msg){.kind = WIRE_BYE, .bye = {.reason = WIRE_BYE_LEAVING}});
    assert_int_equal(shutdown(hand.fd, SHUT_WR), 0);
    until(hand_read(&hand) && hand.ended);
    assert_int_equal(hand.last, WIRE_BYE);
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_BYE);
    hand_free(&hand);
    stop(&a);
}

/* Says BYE and then keeps the connection: it is not waited for long. */
static void who_does_not_end_after_bye_is_cut(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    one.linger_ms = 100;
    start_with(&a, &one, "127.0.0.1:0");
    struct hand hand = hand_link(&a);
    hand_send(&hand, &(struct wire_msg){.kind = WIRE_BYE, .bye = {.reason = WIRE_BYE_IDLE}});
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_BYE);
    hand_free(&hand);
    stop(&a);
}

/* A flipped bit in any byte of a frame ends the link, and none of it is acted upon. */
static void a_changed_frame_ends_the_link(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    for (size_t at = 0; at < 24; at++) {
        struct hand hand = hand_link(&a);
        struct buf out = BUF_INIT;
        link_send(hand.link, &(struct wire_msg){.kind = WIRE_BEAT}, &out);
        assert_true(out.len > at);
        out.data[at] ^= 1;
        raw_send(hand.fd, out.data, out.len);
        buf_fini(&out);
        shutdown(hand.fd, SHUT_WR); /* a length that grew would wait */
        until(a.downs == 1);
        assert_int_equal(a.down, NET_DOWN_LOST);
        assert_int_equal(a.frames, 0);
        a.ups = a.downs = 0;
        hand_free(&hand);
    }
    stop(&a);
}

static void a_slow_reader_is_bounded_and_then_closed(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    one.queue_bytes = 4 << 20;
    one.stall_ms = 300;
    start_with(&a, &one, "127.0.0.1:0");
    struct hand hand = hand_link(&a);
    struct node nine = {.id = UINT64_C(0x0909090909090909), .addr = a.addr};
    owned_mem uint8_t *noise = mem_new(65536);
    rand_system(noise, 65536);
    size_t taken = 0;
    int rc = 0;
    while ((rc = net_send_frame(a.net, nine.id, &nine.addr, noise, 65536)) == 0) {
        taken++;
        assert_true(net_queued(a.net, nine.id) <= (4 << 20) + 65536);
        assert_true(taken < 1000);
        event_base_loop(world_base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(rc, ERR_BUSY);
    assert_int_equal(net_stats(a.net).frames_refused, 1);
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_LOST);
    assert_true(net_stats(a.net).links_stalled <= 1); /* the kernel may notice first */
    assert_int_equal(net_queued(a.net, nine.id), 0);
    hand_free(&hand);
    stop(&a);
}

/* ---- the other side does not answer ---------------------------------------------------------- */

static void half_open_is_given_up(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    struct node silent = {.id = 5};
    one.handshake_ms = 150;
    start_with(&a, &one, "127.0.0.1:0");
    int listener = raw_bound(SOCK_STREAM, &silent.addr);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(say(&a, &silent, 1, 4), 0); /* the kernel connects; nobody speaks */
    until(a.downs == 1);
    assert_true(a.down == NET_DOWN_UNREACHED && a.ups == 0);
    assert_int_equal(net_stats(a.net).frames_lost, 1);
    close(listener);
    stop(&a);
}

static void no_connection_in_time_is_given_up(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    struct node full = {.id = 5};
    int fillers[8];
    one.connect_ms = 150;
    start_with(&a, &one, "127.0.0.1:0");
    int listener = raw_bound(SOCK_STREAM, &full.addr);
    assert_int_equal(listen(listener, 0), 0); /* a full backlog drops further SYNs */
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(full.addr.port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < countof(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&where, sizeof where);
    }
    assert_int_equal(say(&a, &full, 1, 4), 0);
    net_probe(a.net, &full.addr, 3);
    until(a.downs == 1 && a.probes == 1);
    assert_true(a.down == NET_DOWN_UNREACHED && a.probed == NET_PROBE_TIMEOUT);
    for (size_t i = 0; i < countof(fillers); i++)
        close(fillers[i]);
    close(listener);
    stop(&a);
}

static void a_queue_without_a_link_is_bounded(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    struct node silent = {.id = 5};
    one.queue_bytes = 1000;
    start_with(&a, &one, "127.0.0.1:0");
    int listener = raw_bound(SOCK_STREAM, &silent.addr);
    assert_int_equal(listen(listener, 8), 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(say(&a, &silent, i, 100), 0);
    assert_int_equal(say(&a, &silent, 10, 100), ERR_BUSY);
    assert_int_equal(net_queued(a.net, 5), 1000);
    assert_int_equal(net_stats(a.net).queued_bytes, 1000);
    net_drop_link(a.net, 5);
    assert_int_equal(net_stats(a.net).queued_bytes, 0);
    assert_int_equal(a.downs, 0);
    close(listener);
    stop(&a);
}

/* Ours was turned away for the sake of theirs, which never comes: then ours is tried again. */
static void turned_away_it_asks_again(void **unused)
{
    (void)unused;
    struct node a;
    struct wire_addr addr;
    struct node nine = {.id = UINT64_C(0x0909090909090909)};
    start(&a, 1);
    int listener = raw_bound(SOCK_STREAM, &addr);
    nine.addr = addr;
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(say(&a, &nine, 42, 4), 0);
    for (int round = 0; round < 2; round++) {
        until(net_stats(a.net).links_opened == (uint64_t)round + 1);
        struct hand hand = hand_accept(listener);
        until(hand_read(&hand) && hand.last == WIRE_HELLO);
        if (round == 0) {
            hand_send(&hand,
                      &(struct wire_msg){.kind = WIRE_BYE, .bye = {.reason = WIRE_BYE_DOUBLE}});
        } else {
            struct wire_msg hello = hello_of(9);
            hand_send(&hand, &hello);
            until(hand_read(&hand) && hand.bodies == 2);
            assert_int_equal(a.ups, 1);
        }
        until(hand_read(&hand) && (round == 1 || hand.ended));
        hand_free(&hand);
    }
    assert_int_equal(net_stats(a.net).frames_lost, 0);
    close(listener);
    stop(&a);
}

/* ---- meetings -------------------------------------------------------------------------------- */

#define NINE UINT64_C(0x0909090909090909)

/* The old link is saying goodbye when the next one comes: order is kept by waiting. */
static void a_new_link_waits_for_the_old_ones_end(void **unused)
{
    (void)unused;
    struct node a;
    struct wire_msg hello = hello_of(9), bye = {.kind = WIRE_BYE, .bye = {.reason = WIRE_BYE_IDLE}};
    start(&a, 1);
    struct hand old = hand_link(&a);
    hand_send(&old, &bye);
    until(hand_read(&old) && old.last == WIRE_BYE);
    struct hand next = hand_connect(&a);
    until(hand_read(&next) && link_is_open(next.link));
    hand_send(&next, &hello);
    hand_send(&next, &(struct wire_msg){.kind = WIRE_BEAT});
    until(net_stats(a.net).strangers == 0); /* it is known who calls */
    struct hand third = hand_connect(&a);   /* and again: the latest counts */
    until(hand_read(&third) && link_is_open(third.link));
    hand_send(&third, &hello);
    hand_send(&third, &(struct wire_msg){.kind = WIRE_BEAT});
    until(hand_read(&next) && next.ended);
    assert_true(a.ups == 1 && a.downs == 0 && a.frames == 0);
    hand_free(&old);
    until(a.ups == 2 && a.frames == 1);
    assert_true(a.downs == 1 && a.down == NET_DOWN_BYE);
    until(hand_read(&third) && third.last == WIRE_HELLO);
    hand_free(&next);
    hand_free(&third);
    stop(&a);
}

static void who_lost_the_link_gets_another(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    struct hand old = hand_link(&a);
    a.ups = 0;
    struct hand next = hand_link(&a); /* the same life, and it opened both */
    assert_true(a.downs == 1 && a.down == NET_DOWN_LOST);
    assert_int_equal(net_stats(a.net).links, 1);
    until(hand_read(&old) && old.ended);
    hand_free(&old);
    hand_free(&next);
    stop(&a);
}

/* Ours is the smaller id, so theirs is turned away; but ours comes to nothing. Then theirs it is.
 */
static void what_waits_goes_out_on_their_link(void **unused)
{
    (void)unused;
    struct node a, nine = {.id = NINE};
    struct net_config one = world_config(1);
    struct wire_msg hello = hello_of(9);
    one.handshake_ms = 200;
    start_with(&a, &one, "127.0.0.1:0");
    int silent = raw_bound(SOCK_STREAM, &nine.addr);
    assert_int_equal(listen(silent, 8), 0);
    assert_int_equal(say(&a, &nine, 42, 4), 0);
    struct hand hand = hand_connect(&a);
    until(hand_read(&hand) && link_is_open(hand.link));
    hand_send(&hand, &hello);
    until(hand_read(&hand) && hand.ended);
    assert_true(hand.last == WIRE_BYE && hand.reason == WIRE_BYE_DOUBLE);
    hand_free(&hand);
    until(net_stats(a.net).strangers == 0 && net_queued(a.net, NINE) == 4);
    uint64_t later = clock_mono_ms() + 300; /* ours has failed by then */
    until(clock_mono_ms() >= later);
    hand = hand_link(&a);
    until(hand_read(&hand) && hand.bodies == 2);
    assert_true(a.downs == 0 && net_stats(a.net).frames_lost == 0);
    hand_free(&hand);
    close(silent);
    stop(&a);
}

static void too_many_links_are_told_so(void **unused)
{
    (void)unused;
    struct node a, b, other = {.id = 5};
    struct net_config one = world_config(1);
    one.links_max = 1;
    start_with(&a, &one, "127.0.0.1:0");
    start(&b, 2);
    struct hand hand = hand_link(&a);
    other.addr = b.addr;
    assert_int_equal(say(&a, &other, 1, 4), ERR_BUSY);
    assert_int_equal(say(&b, &a, 1, 4), 0);
    until(b.downs == 1);
    assert_int_equal(b.down, NET_DOWN_UNREACHED);
    assert_int_equal(net_stats(a.net).links_crowded, 1);
    hand_free(&hand);
    stop(&a);
    stop(&b);
}

static void a_link_may_be_dropped(void **unused)
{
    (void)unused;
    struct node a;
    start(&a, 1);
    struct hand hand = hand_link(&a);
    net_drop_link(a.net, NINE);
    assert_false(net_has_link(a.net, NINE));
    assert_int_equal(net_stats(a.net).links, 0);
    until(hand_read(&hand) && hand.ended);
    assert_int_equal(a.downs, 0);
    net_drop_link(a.net, NINE);
    hand_free(&hand);
    stop(&a);
}

static bool has_left;
static void on_left(void *arg)
{
    (void)arg;
    has_left = true;
}

static void leaving_does_not_wait_for_ever(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    one.linger_ms = 100;
    start_with(&a, &one, "127.0.0.1:0");
    struct hand hand = hand_link(&a), stranger = hand_connect(&a);
    until(hand_read(&stranger) && link_is_open(stranger.link));
    has_left = false;
    net_leave(a.net, on_left, NULL);
    until(has_left);
    assert_int_equal(net_stats(a.net).links, 0);
    assert_int_equal(net_stats(a.net).strangers, 0);
    until(hand_read(&hand) && hand.ended);
    assert_true(hand.last == WIRE_BYE && hand.reason == WIRE_BYE_LEAVING);
    hand_free(&hand);
    hand_free(&stranger);
    stop(&a);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin_world, end_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_hello_that_does_not_fit_is_told_why),
        IN_WORLD(an_end_without_bye_is_a_loss),
        IN_WORLD(a_reset_is_a_loss),
        IN_WORLD(a_bye_is_answered),
        IN_WORLD(who_does_not_end_after_bye_is_cut),
        IN_WORLD(a_changed_frame_ends_the_link),
        IN_WORLD(a_slow_reader_is_bounded_and_then_closed),
        IN_WORLD(half_open_is_given_up),
        IN_WORLD(no_connection_in_time_is_given_up),
        IN_WORLD(a_queue_without_a_link_is_bounded),
        IN_WORLD(turned_away_it_asks_again),
        IN_WORLD(a_new_link_waits_for_the_old_ones_end),
        IN_WORLD(who_lost_the_link_gets_another),
        IN_WORLD(what_waits_goes_out_on_their_link),
        IN_WORLD(too_many_links_are_told_so),
        IN_WORLD(a_link_may_be_dropped),
        IN_WORLD(leaving_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
