#include "tests/it/net/world.h"

#include <event2/dns.h>
#include <event2/dns_struct.h>

/* A name server that knows one name, and counts who asks. */
static struct evdns_server_port *server;
static struct wire_addr server_addr;
static size_t asked;
static uint8_t last_octet; /* of what it answers */
static bool is_silent;

static void on_question(struct evdns_server_request *request, void *arg)
{
    (void)arg;
    int rc = 3; /* no such name */
    asked++;
    if (is_silent) {
        evdns_server_request_drop(request);
        return;
    }
    for (int i = 0; i < request->nquestions; i++) {
        const struct evdns_server_question *at = request->questions[i];
        uint8_t v4[2][4] = {{192, 0, 2, last_octet}, {192, 0, 2, 99}};
        uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = last_octet};
        if (evutil_ascii_strcasecmp(at->name, "mesh.example") != 0)
            continue;
        rc = 0;
        if (at->type == EVDNS_TYPE_A)
            evdns_server_request_add_a_reply(request, at->name, 2, v4, 1);
        else if (at->type == EVDNS_TYPE_AAAA)
            evdns_server_request_add_aaaa_reply(request, at->name, 1, v6, 1);
    }
    evdns_server_request_respond(request, rc);
}

static void start_names(struct node *self)
{
    struct net_config config = world_config(1);
    int fd = raw_bound(SOCK_DGRAM, &server_addr);
    char text[WIRE_ADDR_TEXT];
    asked = 0;
    last_octet = 1;
    is_silent = false;
    server = evdns_add_server_port_with_base(world_base, fd, 0, on_question, NULL);
    config.name_server = wire_addr_format(&server_addr, text);
    start_with(self, &config, "127.0.0.1:0");
}

static void stop_names(struct node *self)
{
    stop(self);
    evdns_close_server_port(server);
}

static void on_resolved(void *arg, const struct wire_addr *addrs, size_t count)
{
    struct node *self = arg;
    self->resolved_times++;
    self->resolved_count = count;
    memcpy(self->resolved, addrs, count * sizeof *addrs);
}

static void ask(struct node *self, const char *name)
{
    struct err err = ERR_INIT;
    size_t before = self->resolved_times;
    if (net_resolve(self->net, name, 5001, on_resolved, self, &err))
        fail_msg("%s", err.text);
    assert_int_equal(self->resolved_times, before); /* never from inside the call */
    until(self->resolved_times == before + 1);
}

static bool has(const struct node *self, const char *addr)
{
    char text[WIRE_ADDR_TEXT];
    for (size_t i = 0; i < self->resolved_count; i++) {
        if (strcmp(wire_addr_format(&self->resolved[i], text), addr) == 0)
            return true;
    }
    return false;
}

static void numbers_are_taken_as_they_are(void **unused)
{
    (void)unused;
    struct node a;
    start_names(&a);
    ask(&a, "192.0.2.7");
    assert_true(a.resolved_count == 1 && has(&a, "192.0.2.7:5001"));
    ask(&a, "dns:192.0.2.7:9");
    assert_true(a.resolved_count == 1 && has(&a, "192.0.2.7:9"));
    ask(&a, "[2001:db8::7]:99");
    assert_true(a.resolved_count == 1 && has(&a, "[2001:db8::7]:99"));
    assert_int_equal(asked, 0);
    stop_names(&a);
}

static void a_name_gives_all_its_addresses_each_time_anew(void **unused)
{
    (void)unused;
    struct node a;
    start_names(&a);
    ask(&a, "dns:mesh.example");
    assert_int_equal(a.resolved_count, 3);
    assert_true(has(&a, "192.0.2.1:5001") && has(&a, "192.0.2.99:5001"));
    assert_true(has(&a, "[2001:db8::1]:5001"));
    last_octet = 2;
    ask(&a, "mesh.example:7");
    assert_int_equal(a.resolved_count, 3);
    assert_true(has(&a, "192.0.2.2:7") && has(&a, "[2001:db8::2]:7"));
    stop_names(&a);
}

static void a_name_that_nobody_knows_has_none(void **unused)
{
    (void)unused;
    struct node a;
    start_names(&a);
    ask(&a, "dns:other.example:7");
    assert_int_equal(a.resolved_count, 0);
    assert_true(asked > 0);
    assert_int_equal(net_stats(a.net).names_failed, 1);
    stop_names(&a);
}

static void what_is_no_name_is_refused(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"", "dns:", ":5001", "a:b", "a:99999", "[::1", "a b", "a:0"};
    struct node a;
    struct err err = ERR_INIT;
    start_names(&a);
    for (size_t i = 0; i < countof(bad); i++)
        assert_int_equal(net_resolve(a.net, bad[i], 5001, on_resolved, &a, &err), ERR_INVALID);
    stop_names(&a);
}

static void a_question_may_be_left_behind(void **unused)
{
    (void)unused;
    struct node a;
    struct err err = ERR_INIT;
    start_names(&a);
    is_silent = true;
    assert_int_equal(net_resolve(a.net, "mesh.example", 5001, on_resolved, &a, &err), 0);
    assert_int_equal(net_resolve(a.net, "192.0.2.1", 5001, on_resolved, &a, &err), 0);
    until(asked > 0 && a.resolved_times == 1);
    assert_int_equal(net_resolve(a.net, "192.0.2.1", 5001, on_resolved, &a, &err), 0);
    stop(&a);
    turn();
    assert_int_equal(a.resolved_times, 1);
    evdns_close_server_port(server);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin_world, end_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(numbers_are_taken_as_they_are),
        IN_WORLD(a_name_gives_all_its_addresses_each_time_anew),
        IN_WORLD(a_name_that_nobody_knows_has_none),
        IN_WORLD(what_is_no_name_is_refused),
        IN_WORLD(a_question_may_be_left_behind),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
