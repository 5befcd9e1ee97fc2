#include "tests/it/net/world.h"

#include "proto/wire/link.h"

/* ---- two nodes ------------------------------------------------------------------------------- */

static void frames_arrive_in_order_over_one_link(void **unused)
{
    (void)unused;
    struct node a, b;
    start(&a, 1);
    start(&b, 2);
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(say(&a, &b, i, 4 + i % 7000), 0);
    assert_int_equal(b.frames, 0);
    until(b.frames == 2000);
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(b.numbers[i], i);
    assert_int_equal(net_stats(a.net).links_opened, 1);
    assert_int_equal(net_stats(b.net).links_accepted, 1);
    assert_true(a.up_nid == b.id && b.up_nid == a.id);
    assert_true(b.features == 5 && b.version == WIRE_VERSION_MAX);
    assert_string_equal(b.name, "node");
    assert_int_equal(say(&b, &a, 7, 4), 0); /* the same link, back */
    until(a.frames == 1);
    assert_int_equal(net_stats(b.net).links_opened, 0);
    stop(&a);
    stop(&b);
}

static void a_frame_may_be_large_but_not_larger(void **unused)
{
    (void)unused;
    struct node a, b;
    start(&a, 1);
    start(&b, 2);
    owned_mem uint8_t *big = mem_new(LINK_BODY_MAX + 1);
    rand_system(big, LINK_BODY_MAX);
    assert_int_equal(net_send_frame(a.net, b.id, &b.addr, big, LINK_BODY_MAX + 1), ERR_TOO_LARGE);
    assert_int_equal(net_send_frame(a.net, b.id, &b.addr, big, LINK_BODY_MAX), 0);
    assert_int_equal(say(&a, &b, 1, 4), 0);
    until(b.frames == 2);
    assert_int_equal(b.frame_bytes, LINK_BODY_MAX + 4);
    stop(&a);
    stop(&b);
}

/* Both open at once, in every order of ids, often: one link each time, and nothing is lost. */
static void simultaneous_opens_become_one_link(void **unused)
{
    (void)unused;
    for (int round = 0; round < 30; round++) {
        struct node a, b;
        start(&a, round % 2 ? 1 : 2);
        start(&b, round % 2 ? 2 : 1);
        for (uint32_t i = 0; i < 10; i++) {
            assert_int_equal(say(&a, &b, i, 100), 0);
            assert_int_equal(say(&b, &a, i, 100), 0);
            if (round % 3 == 1 && i == 0)
                event_base_loop(world_base, EVLOOP_NONBLOCK); /* another moment to cross */
        }
        until(a.frames == 10 && b.frames == 10);
        for (uint32_t i = 0; i < 10; i++)
            assert_true(a.numbers[i] == i && b.numbers[i] == i);
        until(net_stats(a.net).strangers == 0 && net_stats(b.net).strangers == 0);
        assert_true(net_stats(a.net).links == 1 && net_stats(b.net).links == 1);
        assert_true(a.ups == 1 && b.ups == 1 && a.downs == 0 && b.downs == 0);
        assert_true(net_stats(a.net).frames_lost == 0 && net_stats(b.net).frames_lost == 0);
        stop(&a);
        stop(&b);
    }
}

static void an_idle_link_says_bye_and_opens_again(void **unused)
{
    (void)unused;
    struct node a, b;
    struct net_config one = world_config(1);
    one.idle_ms = 100;
    start_with(&a, &one, "127.0.0.1:0");
    start(&b, 2);
    link_up(&a, &b);
    until(a.downs == 1 && b.downs == 1);
    assert_true(a.down == NET_DOWN_BYE && b.down == NET_DOWN_BYE);
    assert_false(net_has_link(a.net, b.id) || net_has_link(b.net, a.id));
    assert_true(net_stats(a.net).links == 0 && net_stats(b.net).links == 0);
    assert_int_equal(say(&b, &a, 5, 4), 0);
    until(a.frames == 1);
    assert_int_equal(net_stats(b.net).frames_lost, 0);
    stop(&a);
    stop(&b);
}

/* Frames go out all the time while one side keeps saying goodbye: none is lost, none out of order.
 */
static void goodbyes_lose_nothing(void **unused)
{
    (void)unused;
    struct node a, b;
    struct net_config one = world_config(1), two = world_config(2);
    one.idle_ms = two.idle_ms = 8; /* so that goodbyes cross frames */
    one.redial_ms = two.redial_ms = 1;
    start_with(&a, &one, "127.0.0.1:0");
    start_with(&b, &two, "127.0.0.1:0");
    for (uint32_t i = 0; i < 60; i++) {
        uint64_t pause = clock_mono_ms() + 5 + i % 9;
        assert_int_equal(say(&a, &b, i, 4), 0);
        assert_int_equal(say(&b, &a, i, 4), 0);
        until(clock_mono_ms() >= pause);
    }
    until(a.frames == 60 && b.frames == 60);
    for (uint32_t i = 0; i < 60; i++)
        assert_true(a.numbers[i] == i && b.numbers[i] == i);
    assert_true(a.downs > 0);
    assert_true(net_stats(a.net).links_lost == 0 && net_stats(b.net).links_lost == 0);
    stop(&a);
    stop(&b);
}

static bool has_left;
static void on_left(void *arg)
{
    (void)arg;
    has_left = true;
}

static void leaving_says_goodbye_to_all(void **unused)
{
    (void)unused;
    struct node a, b, c;
    start(&a, 1);
    start(&b, 2);
    start(&c, 3);
    link_up(&a, &b);
    assert_int_equal(say(&c, &a, 1, 4), 0);
    until(a.frames == 1);
    assert_int_equal(say(&a, &b, 9, 1 << 20), 0); /* still goes out */
    has_left = false;
    net_leave(a.net, on_left, NULL);
    assert_false(has_left);
    assert_int_equal(say(&a, &b, 10, 4), ERR_CANCELLED);
    until(has_left);
    until(b.downs == 1 && c.downs == 1);
    assert_true(b.down == NET_DOWN_BYE && c.down == NET_DOWN_BYE);
    assert_int_equal(b.frame_bytes, 4 + (1 << 20));
    stop(&a);
    stop(&b);
    stop(&c);
}

static void a_restarted_node_is_a_new_link(void **unused)
{
    (void)unused;
    struct node a, b;
    start(&a, 1);
    start(&b, 2);
    link_up(&a, &b);
    stop(&b);
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_LOST);
    assert_int_equal(say(&a, &b, 1, 4), 0);
    until(a.downs == 2);
    assert_int_equal(a.down, NET_DOWN_REFUSED);
    assert_int_equal(net_stats(a.net).frames_lost, 1);
    start(&b, 2);
    assert_int_equal(say(&b, &a, 2, 4), 0);
    until(a.frames == 1 && a.ups == 2);
    stop(&a);
    stop(&b);
}

/* The same id and another life arrives while the old link still seems to be there. */
static void a_new_life_replaces_the_old_link(void **unused)
{
    (void)unused;
    struct node a, b, again;
    start(&a, 1);
    start(&b, 2);
    link_up(&a, &b);
    start(&again, 2);
    assert_int_equal(say(&again, &a, 3, 4), 0);
    until(a.frames == 1 && a.ups == 2);
    assert_true(a.downs == 1 && a.down == NET_DOWN_LOST);
    assert_int_equal(net_stats(a.net).links, 1);
    stop(&a);
    stop(&b);
    stop(&again);
}

static void another_node_at_the_address_is_not_that_node(void **unused)
{
    (void)unused;
    struct node a, b;
    start(&a, 1);
    start(&b, 2);
    assert_int_equal(net_send_frame(a.net, 77, &b.addr, "frame", 5), 0);
    until(a.downs == 1);
    assert_true(a.down == NET_DOWN_OTHER && a.down_nid == 77);
    assert_int_equal(net_send_frame(a.net, 78, &a.addr, "frame", 5), 0); /* itself */
    until(a.downs == 2);
    assert_int_equal(b.frames, 0);
    stop(&a);
    stop(&b);
}

static void other_versions_and_clusters_part(void **unused)
{
    (void)unused;
    struct node a, b, c;
    struct net_config two = world_config(2), three = world_config(3);
    start(&a, 1);
    two.versions = (struct wire_versions){WIRE_VERSION_MAX + 1, WIRE_VERSION_MAX + 2};
    three.cluster = "street";
    start_with(&b, &two, "127.0.0.1:0");
    start_with(&c, &three, "127.0.0.1:0");
    assert_int_equal(say(&a, &b, 1, 4), 0);
    until(a.downs == 1);
    assert_int_equal(a.down, NET_DOWN_VERSION);
    assert_int_equal(say(&a, &c, 1, 4), 0);
    until(a.downs == 2);
    assert_true(a.down == NET_DOWN_UNREACHED || a.down == NET_DOWN_VERSION);
    assert_true(b.ups == 0 && c.ups == 0 && b.frames == 0 && c.frames == 0);
    stop(&a);
    stop(&b);
    stop(&c);
}

static void probes_say_whether_somebody_listens(void **unused)
{
    (void)unused;
    struct node a, b;
    struct wire_addr gone;
    struct net_config one = world_config(1);
    one.connect_ms = 100;
    start_with(&a, &one, "127.0.0.1:0");
    start(&b, 2);
    close(raw_bound(SOCK_STREAM, &gone));
    net_probe(a.net, &b.addr, 5);
    assert_int_equal(a.probes, 0);
    until(a.probes == 1);
    assert_true(a.probe_seq == 5 && a.probed == NET_PROBE_CONNECTED);
    net_probe(a.net, &gone, 6);
    until(a.probes == 2);
    assert_true(a.probe_seq == 6 && a.probed == NET_PROBE_REFUSED);
    struct wire_addr far = wire_addr_v4((const uint8_t[4]){192, 0, 2, 1}, 9);
    net_probe(a.net, &far, 7); /* there is no key: nothing goes there */
    until(a.probes == 3);
    assert_int_equal(a.probed, NET_PROBE_TIMEOUT);
    until(net_stats(b.net).strangers == 0);
    assert_int_equal(net_stats(b.net).links_garbage, 0); /* a probe is no offence */
    net_probe(a.net, &b.addr, 8);
    stop(&a); /* with one under way */
    stop(&b);
}

/* As when the port is HTTP's too: some bytes were read before it was known whose they are. */
static void a_connection_is_taken_over(void **unused)
{
    (void)unused;
    for (size_t read_before = LINK_MAGIC_LEN; read_before <= LINK_PRELUDE; read_before += 11) {
        struct node a, b;
        char first[LINK_PRELUDE];
        start(&a, 1);
        start(&b, 2);
        int listener = raw_bound(SOCK_STREAM, &b.addr);
        assert_int_equal(listen(listener, 8), 0);
        assert_int_equal(say(&a, &b, 42, 4), 0);
        int fd = -1;
        until((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
        until(recv(fd, first, LINK_PRELUDE, MSG_PEEK) == LINK_PRELUDE);
        assert_int_equal(recv(fd, first, read_before, 0), read_before);
        net_adopt(fd, first, read_before, b.net);
        until(b.frames == 1 && b.numbers[0] == 42);
        assert_int_equal(net_stats(b.net).links_accepted, 1);
        close(listener);
        stop(&a);
        stop(&b);
    }
}

/* ---- strangers ------------------------------------------------------------------------------- */

static void garbage_ends_the_connection(void **unused)
{
    (void)unused;
    static const struct {
        const char *bytes;
        size_t len;
    } wrong[] = {{"GET / HTTP/1.1\r\n\r\n", 18}, {"MSH2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 37}};
    struct node a;
    uint8_t noise[64];
    size_t got = 0;
    start(&a, 1);
    for (size_t i = 0; i < countof(wrong); i++) {
        int fd = raw_connect(&a.addr);
        raw_send(fd, wrong[i].bytes, wrong[i].len);
        until(raw_ended(fd, &got));
        close(fd);
    }
    memset(noise, 0xa5, sizeof noise); /* a kid that is none of ours */
    memcpy(noise, "MSH1", 4);
    struct keys keys;
    keys_from_name("school", &keys);
    noise[4] = (uint8_t)(keys.key[0].kid + 1);
    int fd = raw_connect(&a.addr);
    raw_send(fd, noise, sizeof noise);
    until(raw_ended(fd, &got));
    close(fd);
    assert_int_equal(got, 0);
    noise[4] = keys.key[0].kid; /* one of ours, and then no frame */
    fd = raw_connect(&a.addr);
    raw_send(fd, noise, LINK_PRELUDE);
    until(raw_ended(fd, &got) || got == LINK_PRELUDE);
    raw_send(fd, "\0\0\0\x40", 4);
    raw_send(fd, noise, 64);
    until(raw_ended(fd, &got));
    close(fd);
    assert_int_equal(got, LINK_PRELUDE);
    noise[4] = keys.key[0].kid; /* and a length beyond all measure */
    fd = raw_connect(&a.addr);
    raw_send(fd, noise, LINK_PRELUDE);
    raw_send(fd, "\x7f\xff\xff\xff", 4);
    until(raw_ended(fd, NULL));
    close(fd);
    struct net_stats stats = net_stats(a.net);
    assert_int_equal(stats.links_garbage, 2);
    assert_int_equal(stats.links_forged, 2);
    assert_int_equal(stats.links_oversized, 1);
    assert_int_equal(stats.strangers, 0);
    assert_true(a.ups == 0 && a.downs == 0);
    stop(&a);
}

static void who_says_nothing_is_not_waited_for(void **unused)
{
    (void)unused;
    struct node a;
    struct net_config one = world_config(1);
    one.handshake_ms = 100;
    start_with(&a, &one, "127.0.0.1:0");
    int silent = raw_connect(&a.addr), half = raw_connect(&a.addr);
    raw_send(half, "MSH1\x01half", 9);
    until(net_stats(a.net).strangers == 2);
    until(raw_ended(silent, NULL) && raw_ended(half, NULL));
    assert_int_equal(net_stats(a.net).strangers, 0);
    close(silent);
    close(half);
    stop(&a);
}

static void a_crowd_of_strangers_is_bounded(void **unused)
{
    (void)unused;
    struct node a, b;
    int fds[40];
    struct net_config one = world_config(1);
    one.strangers_max = 8;
    start_with(&a, &one, "127.0.0.1:0");
    start(&b, 2);
    for (size_t i = 0; i < countof(fds); i++)
        fds[i] = raw_connect(&a.addr);
    until(net_stats(a.net).links_accepted == countof(fds));
    assert_int_equal(net_stats(a.net).strangers, 8);
    assert_int_equal(net_stats(a.net).links_crowded, countof(fds) - 8);
    link_up(&b, &a); /* who has the key still gets in */
    for (size_t i = 0; i < countof(fds); i++)
        close(fds[i]);
    stop(&a);
    stop(&b);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin_world, end_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(frames_arrive_in_order_over_one_link),
        IN_WORLD(a_frame_may_be_large_but_not_larger),
        IN_WORLD(simultaneous_opens_become_one_link),
        IN_WORLD(an_idle_link_says_bye_and_opens_again),
        IN_WORLD(goodbyes_lose_nothing),
        IN_WORLD(leaving_says_goodbye_to_all),
        IN_WORLD(a_restarted_node_is_a_new_link),
        IN_WORLD(a_new_life_replaces_the_old_link),
        IN_WORLD(another_node_at_the_address_is_not_that_node),
        IN_WORLD(other_versions_and_clusters_part),
        IN_WORLD(probes_say_whether_somebody_listens),
        IN_WORLD(a_connection_is_taken_over),
        IN_WORLD(garbage_ends_the_connection),
        IN_WORLD(who_says_nothing_is_not_waited_for),
        IN_WORLD(a_crowd_of_strangers_is_bounded),
    };
    return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
