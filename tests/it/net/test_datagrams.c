#include "tests/it/net/world.h"

#include "proto/wire/seal.h"

static void a_datagram_arrives_both_ways(void **unused)
{
    (void)unused;
    struct node a, b;
    start(&a, 1);
    start(&b, 2);
    assert_int_equal(net_send(a.net, &b.addr, "ping", 4), 0);
    until(b.datagrams == 1);
    assert_int_equal(b.datagram_len, 4);
    assert_memory_equal(b.datagram, "ping", 4);
    assert_true(b.from.nid == a.id && b.from.boot != 0);
    assert_int_equal(wire_addr_compare(&b.from.addr, &a.addr), 0);
    assert_int_equal(net_send(b.net, &b.from.addr, "ack", 3), 0);
    until(a.datagrams == 1);
    assert_true(a.from.nid == b.id);
    stop(&a);
    stop(&b);
}

static void over_ipv6_too(void **unused)
{
    (void)unused;
    struct node a, b;
    struct net_config one = world_config(1), two = world_config(2);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 local = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&local, sizeof local) == 0;
    if (fd >= 0)
        close(fd);
    if (!has_ipv6)
        skip();
    start_with(&a, &one, "[::1]:0");
    start_with(&b, &two, "[::1]:0");
    assert_int_equal(net_send(a.net, &b.addr, "six", 3), 0);
    until(b.datagrams == 1);
    link_up(&a, &b);
    stop(&a);
    stop(&b);
}

static void the_largest_body_fits_and_one_byte_more_does_not(void **unused)
{
    (void)unused;
    struct node a, b;
    uint8_t body[WIRE_PACKET_BODY + 1] = {7};
    start(&a, 1);
    start(&b, 2);
    assert_int_equal(net_send(a.net, &b.addr, body, sizeof body), ERR_TOO_LARGE);
    assert_int_equal(net_send(a.net, &b.addr, body, sizeof body - 1), 0);
    until(b.datagrams == 1);
    assert_int_equal(b.datagram_len, WIRE_PACKET_BODY);
    stop(&a);
    stop(&b);
}

/* ---- strangers ------------------------------------------------------------------------------- */

static void raw_sendto(int fd, const struct node *to, const void *bytes, size_t len)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(to->addr.port)};
    memcpy(&where.sin_addr, to->addr.ip, 4);
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&where, sizeof where), len);
}

static struct seal *seal_of(uint8_t node, const char *cluster, const struct keys *keys)
{
    return seal_new(&(struct seal_config){
        .keys = keys, .cluster = cluster, .node = node * UINT64_C(0x0101010101010101), .boot = 99});
}

/* Everything that a stranger may send. Whatever comes, the node is silent and goes on. */
static void strangers_get_no_answer(void **unused)
{
    (void)unused;
    struct node a;
    struct wire_addr mine;
    struct keys ours, theirs;
    static uint8_t huge[65507];
    uint8_t packet[WIRE_PACKET_MAX];
    char byte;
    start(&a, 1);
    keys_from_name("school", &ours);
    keys_from_name("street", &theirs);
    int fd = raw_bound(SOCK_DGRAM, &mine);
    raw_sendto(fd, &a, "", 0);
    raw_sendto(fd, &a, huge, sizeof huge);
    raw_sendto(fd, &a, huge, 40);

    struct seal *good = seal_of(2, "school", &ours);
    struct seal *other_cluster = seal_of(2, "street", &ours);
    struct seal *other_key = seal_of(2, "school", &theirs);
    size_t len = seal_close(other_cluster, "hello", 5, packet);
    raw_sendto(fd, &a, packet, len);
    len = seal_close(other_key, "hello", 5, packet);
    raw_sendto(fd, &a, packet, len);
    packet[1] = ours.key[0].kid; /* the right number, the wrong key */
    raw_sendto(fd, &a, packet, len);
    assert_int_equal(net_send(a.net, &a.addr, "hello", 5), 0); /* its own, come back */

    len = seal_close(good, "hello", 5, packet);
    for (size_t bit = 0; bit < len * 8; bit++) {
        packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        raw_sendto(fd, &a, packet, len);
        packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit % 64 == 0)
            event_base_loop(world_base, EVLOOP_NONBLOCK); /* the socket's buffer is finite */
    }
    assert_int_equal(a.datagrams, 0);
    raw_sendto(fd, &a, packet, len);
    raw_sendto(fd, &a, packet, len); /* and again */
    uint8_t last[WIRE_PACKET_MAX];
    size_t last_len = seal_close(good, "bye", 3, last);
    raw_sendto(fd, &a, last, last_len);
    until(a.datagrams == 2);

    struct net_stats stats = net_stats(a.net);
    assert_int_equal(stats.datagrams_in, 3 + 4 + len * 8 + 3);
    assert_int_equal(stats.datagrams_replayed, 1);
    assert_int_equal(stats.datagrams_own, 1);
    assert_true(stats.datagrams_malformed >= 3);
    assert_true(stats.datagrams_keyless >= 1 && stats.datagrams_forged >= 1);
    assert_int_equal(stats.datagrams_in - 2, stats.datagrams_replayed + stats.datagrams_own +
                                                 stats.datagrams_malformed +
                                                 stats.datagrams_keyless + stats.datagrams_forged);
    assert_int_equal(stats.datagrams_out, 1);
    assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    seal_free(good);
    seal_free(other_cluster);
    seal_free(other_key);
    close(fd);
    stop(&a);
}

static void a_flood_does_not_keep_the_loop(void **unused)
{
    (void)unused;
    struct node a;
    struct wire_addr mine;
    uint8_t noise[200] = {1};
    start(&a, 1);
    int fd = raw_bound(SOCK_DGRAM, &mine);
    for (int i = 0; i < 100; i++)
        raw_sendto(fd, &a, noise, sizeof noise);
    turn();
    assert_int_equal(net_stats(a.net).datagrams_in, 64); /* a turn's share */
    until(net_stats(a.net).datagrams_in == 100);
    close(fd);
    stop(&a);
}

static void nobody_there_is_noticed(void **unused)
{
    (void)unused;
    struct node a, b;
    struct wire_addr gone;
    start(&a, 1);
    start(&b, 2);
    close(raw_bound(SOCK_DGRAM, &gone));
    assert_int_equal(net_send(a.net, &gone, "ping", 4), 0);
    /* The error that waits in the socket is not this datagram's. */
    assert_int_equal(net_send(a.net, &b.addr, "ping", 4), 0);
    until(a.unreachables == 1 && b.datagrams == 1);
    assert_int_equal(net_stats(a.net).datagrams_unsent, 0);
    stop(&a);
    stop(&b);
}

/* ---- the key --------------------------------------------------------------------------------- */

static enum err_code tried_key(const char *text, mode_t mode, struct err *err)
{
    struct net_config config = world_config(1);
    owned_mem char *path = mem_printf("%s/key", world_dir);
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    config.events = &world_events;
    config.key_file = path;
    struct net *net = net_new(world_base, &config, err);
    net_free(net);
    return net ? ERR_NONE : err->code;
}

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"

static void a_key_that_others_may_read_is_refused(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    assert_int_equal(tried_key(KEY_A, 0600, &err), ERR_NONE);
    assert_int_equal(tried_key(KEY_A, 0400, &err), ERR_NONE);
    assert_int_equal(tried_key(KEY_A, 0640, &err), ERR_FORBIDDEN);
    assert_int_equal(tried_key(KEY_A, 0604, &err), ERR_FORBIDDEN);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(tried_key("secret-secret-secret", 0600, &err), ERR_INVALID);
    assert_null(strstr(err.text, "secret-"));
    assert_int_equal(tried_key("", 0600, &err), ERR_INVALID);
    owned_mem char *big = mem_new(10000);
    memset(big, '#', 9999);
    assert_int_equal(tried_key(big, 0600, &err), ERR_TOO_LARGE);
    struct net_config config = world_config(1);
    config.events = &world_events;
    config.key_file = "/nowhere/key";
    assert_null(net_new(world_base, &config, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    config.key_file = world_dir;
    assert_null(net_new(world_base, &config, &err));
    assert_int_equal(err.code, ERR_FORBIDDEN);
}

static void keys_rotate(void **unused)
{
    (void)unused;
    struct node a, b;
    struct net_config one = world_config(1), two = world_config(2);
    struct err err = ERR_INIT;
    owned_mem char *old = mem_printf("%s/old", world_dir);
    owned_mem char *both = mem_printf("%s/both", world_dir);
    assert_int_equal(file_replace(old, KEY_A, strlen(KEY_A), 0600, &err), 0);
    assert_int_equal(
        file_replace(both, "# new\n" KEY_B KEY_A, strlen("# new\n" KEY_B KEY_A), 0600, &err), 0);
    one.key_file = old;
    two.key_file = both;
    start_with(&a, &one, "127.0.0.1:0");
    start_with(&b, &two, "127.0.0.1:0");
    assert_int_equal(net_send(a.net, &b.addr, "old", 3), 0); /* b still reads the old key */
    assert_int_equal(net_send(b.net, &a.addr, "new", 3), 0); /* a does not know the new one */
    until(b.datagrams == 1 && net_stats(a.net).datagrams_keyless == 1);
    assert_int_equal(a.datagrams, 0);
    link_up(&a, &b); /* the caller chooses the key */
    stop(&a);
    stop(&b);
}

static void without_a_key_it_stays_on_this_machine(void **unused)
{
    (void)unused;
    struct node a;
    struct err err = ERR_INIT;
    uint16_t port;
    start(&a, 1);
    struct wire_addr far = wire_addr_v4((const uint8_t[4]){192, 0, 2, 1}, 5001);
    assert_int_equal(net_send(a.net, &far, "ping", 4), ERR_FORBIDDEN);
    assert_int_equal(net_send_frame(a.net, 7, &far, "frame", 5), ERR_FORBIDDEN);
    assert_int_equal(net_listen(a.net, "192.0.2.1:0", false, &port, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "key"));
    assert_int_equal(net_listen(a.net, "nonsense", false, &port, &err), ERR_INVALID);
    assert_int_equal(net_listen(a.net, "1.2.3.4:99999", false, &port, &err), ERR_INVALID);
    /* Every address becomes the loopback's. */
    assert_int_equal(net_listen(a.net, ":0", false, &port, &err), 0);
    struct node to = {.addr = wire_addr_v4((const uint8_t[4]){127, 0, 0, 2}, port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char byte;
    raw_sendto(fd, &to, "x", 1);
    to.addr.ip[3] = 1;
    raw_sendto(fd, &to, "x", 1);
    until(net_stats(a.net).datagrams_in == 1);
    assert_int_equal(net_stats(a.net).datagrams_in, 1);
    assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) < 0);
    close(fd);
    stop(&a);
}

static void a_port_that_is_taken_is_said(void **unused)
{
    (void)unused;
    struct node a, b;
    struct err err = ERR_INIT;
    uint16_t port;
    start(&a, 1);
    start(&b, 2);
    owned_mem char *taken = mem_printf("127.0.0.1:%u", a.addr.port);
    assert_int_equal(net_listen(b.net, taken, true, &port, &err), ERR_CONFLICT);
    assert_int_equal(net_listen(b.net, taken, false, &port, &err), ERR_CONFLICT);
    stop(&a);
    stop(&b);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin_world, end_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_datagram_arrives_both_ways),
        IN_WORLD(over_ipv6_too),
        IN_WORLD(the_largest_body_fits_and_one_byte_more_does_not),
        IN_WORLD(strangers_get_no_answer),
        IN_WORLD(a_flood_does_not_keep_the_loop),
        IN_WORLD(nobody_there_is_noticed),
        IN_WORLD(a_key_that_others_may_read_is_refused),
        IN_WORLD(keys_rotate),
        IN_WORLD(without_a_key_it_stays_on_this_machine),
        IN_WORLD(a_port_that_is_taken_is_said),
    };
    return cmocka_run_group_tests_name("datagrams", tests, NULL, NULL);
}
