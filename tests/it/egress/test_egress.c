/* The proxy on a real loop with real sockets: what passes, what is refused, what is bounded. The
 * names are the test's own; servers are sockets of the same process. */
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/egress/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define WAIT_MS 5000

static struct event_base *base;
static struct egress *egress;
static struct egress_client *client;
static struct egress_policy policy;
static int server; /* listens on 127.0.0.1 */
static uint16_t server_port;
static struct sockaddr_in gate; /* where the proxy listens */

/* ---- names ---- */

static struct {
    const char *addrs[4]; /* of every name; NULL at the end */
    bool is_silent;
    unsigned asked;
    char name[256];
    egress_resolved_fn *done;
    void *arg;
    uint16_t port;
    struct event *soon;
} names;

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    struct wire_addr found[4];
    size_t count = 0;
    (void)fd;
    (void)what;
    (void)arg;
    for (; names.addrs[count]; count++) {
        owned_mem char *text = mem_printf("%s:%u", names.addrs[count], names.port);
        assert_true(wire_addr_parse(text, &found[count]));
    }
    names.done(names.arg, found, count);
}

static int resolve(void *arg, const char *name, uint16_t port, egress_resolved_fn *done,
                   void *done_arg, struct err *err)
{
    assert_ptr_equal(arg, &names);
    if (strcmp(name, "bad.example") == 0)
        return err_set(err, ERR_INVALID, "no name");
    names.asked++;
    snprintf(names.name, sizeof names.name, "%s", name);
    names.done = done;
    names.arg = done_arg;
    names.port = port;
    if (!names.is_silent)
        event_active(names.soon, 0, 0);
    return 0;
}

/* ---- verbs ---- */

static void turn(void) { event_base_loop(base, EVLOOP_NONBLOCK); }

static int listen_at(const char *address, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void send_socket(int fd, int what)
{
    char byte = 0;
    char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof what);
    memcpy(CMSG_DATA(part), &what, sizeof what);
    assert_int_equal(sendmsg(fd, &message, 0), 1);
}

static void open_client(struct egress_client_spec spec)
{
    struct err err = ERR_INIT;
    owned_fd int fd = -1;
    spec.policy = &policy;
    client = egress_client_new(egress, &spec, &fd, &err);
    assert_non_null(client);
    uint16_t port;
    owned_fd int listener = listen_at("127.0.0.1", &port);
    gate = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    send_socket(fd, listener);
    turn();
}

static void open_proxy(const char *const *environ_)
{
    egress = egress_new(&(struct egress_config){
        .base = base, .resolve = resolve, .resolve_arg = &names, .environ_ = environ_});
    egress_add_own_port(egress, 1);
}

static int connect_to_proxy(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&gate, sizeof gate), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Connects and says a head, with the server's port for each "PORT". */
static int ask(const char *format)
{
    owned_buf head = BUF_INIT;
    for (const char *at = format; *at; at++) {
        if (strncmp(at, "PORT", 4) == 0) {
            buf_printf(&head, "%u", server_port);
            at += 3;
        } else {
            buf_putc(&head, *at);
        }
    }
    int fd = connect_to_proxy();
    say(fd, buf_str(&head));
    return fd;
}

/* Waits for a connection at the server; -1 when there is none in time. */
static int accept_one(uint64_t wait_ms)
{
    uint64_t until = clock_mono_ms() + wait_ms;
    int fd;
    do {
        turn();
        fd = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && clock_mono_ms() < until);
    return fd;
}

/* Reads until `end` was said, or, without one, until the end. */
static const char *hear(int fd, const char *end)
{
    static char text[8192];
    uint64_t until = clock_mono_ms() + WAIT_MS;
    size_t len = 0;
    text[0] = '\0';
    while (clock_mono_ms() < until && len < sizeof text - 1) {
        turn();
        ssize_t got = recv(fd, text + len, sizeof text - 1 - len, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return text;
        len += got > 0 ? (size_t)got : 0;
        text[len] = '\0';
        if (end && strstr(text, end))
            return text;
    }
    fail_msg("not heard: %s; but %s", end ? end : "the end", text);
    return text;
}

static void expect(int fd, const char *end)
{
    const char *text = hear(fd, end);
    if (!strstr(text, end))
        fail_msg("not said: %s; but %s", end, text);
}

static int tunnel(int *far)
{
    int near = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    *far = accept_one(WAIT_MS);
    assert_true(*far >= 0);
    expect(near, "HTTP/1.1 200 ");
    return near;
}

/* ---- what passes ---- */

static void bytes_pass_in_both_directions_to_their_ends(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){0});
    owned_fd int near = ask("CONNECT Index.example:PORT HTTP/1.1\r\nHost: x\r\n\r\nearly");
    owned_fd int far = accept_one(WAIT_MS);
    expect(near, "200 Connection established\r\n\r\n");
    assert_string_equal(names.name, "index.example");
    expect(far, "early");
    say(far, "from there");
    expect(near, "from there");
    say(near, "last words");
    assert_int_equal(shutdown(near, SHUT_WR), 0);
    assert_string_equal(hear(far, NULL), "last words");
    say(far, "and an answer");
    mem_close_at(&far);
    assert_string_equal(hear(near, NULL), "and an answer");
    assert_int_equal(egress_client_bytes(client), 5 + 10 + 10 + 13);
}

static void a_request_is_sent_on_and_nothing_behind_it(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){0});
    owned_fd int near = ask("GET http://index.example:PORT/a?b HTTP/1.1\r\nProxy-Connection: x\r\n"
                            "\r\nGET http://index.example:PORT/second HTTP/1.1\r\n\r\n");
    owned_fd int far = accept_one(WAIT_MS);
    owned_mem char *wanted = mem_printf(
        "GET /a?b HTTP/1.1\r\nHost: index.example:%u\r\nConnection: close\r\n\r\n", server_port);
    assert_string_equal(hear(far, "\r\n\r\n"), wanted);
    say(far, "HTTP/1.1 200 OK\r\n\r\nbody");
    expect(near, "body");
    assert_int_equal(recv(far, &(char){0}, 1, MSG_DONTWAIT), -1);
    mem_close_at(&far);
    hear(near, NULL);
}

static void the_address_that_was_judged_is_connected_to(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){0});
    names.addrs[0] = "169.254.169.254"; /* passed over: another one is fine */
    names.addrs[1] = "127.0.0.1";
    int far;
    owned_fd int near = tunnel(&far);
    mem_close_at(&far);
    names.addrs[1] = NULL; /* the name has changed its mind */
    owned_fd int again = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    expect(again, "HTTP/1.1 403 ");
    assert_int_equal(names.asked, 2);
    size_t count;
    const struct egress_refusal *refusals = egress_client_refusals(client, &count);
    assert_int_equal(count, 1);
    assert_int_equal(refusals[0].verdict, EGRESS_LINK_LOCAL);
    assert_true(refusals[0].is_allowed_host);
    assert_int_equal(strncmp(refusals[0].address, "169.254.169.254:", 16), 0);
}

static void an_address_that_does_not_answer_is_not_the_last_one(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){0});
    names.addrs[0] = "127.0.0.99";
    names.addrs[1] = "127.0.0.1";
    int far;
    owned_fd int near = tunnel(&far);
    mem_close_at(&far);
    assert_int_equal(egress_client_failures(client), 0);
}

/* ---- what does not ---- */

static void what_is_refused_is_said_and_kept(void **unused)
{
    (void)unused;
    static const struct {
        const char *head;
        const char *answer;
    } cases[] = {
        {"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", "(egress-host)"},
        {"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", "(egress-host)"},
        {"GET http://evil.example/ HTTP/1.1\r\n\r\n", "evil.example:80 is not reached from here"},
        {"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", "(egress-own)"},
        {"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", "(egress-link-local)"},
    };
    open_client((struct egress_client_spec){0});
    for (size_t i = 0; i < countof(cases); i++) {
        owned_fd int near = ask(cases[i].head);
        const char *answer = hear(near, NULL);
        assert_int_equal(strncmp(answer, "HTTP/1.1 403 ", 13), 0);
        assert_non_null(strstr(answer, cases[i].answer));
    }
    size_t count;
    const struct egress_refusal *refusals = egress_client_refusals(client, &count);
    assert_int_equal(count, 4);
    assert_string_equal(refusals[0].target.host, "evil.example");
    assert_int_equal(names.asked, 0); /* nobody asks for a name that is not allowed */
    for (unsigned port = 1000; port < 1020; port++) {
        owned_mem char *head = mem_printf("CONNECT evil.example:%u HTTP/1.1\r\n\r\n", port);
        owned_fd int near = ask(head);
        hear(near, NULL);
    }
    egress_client_refusals(client, &count);
    assert_int_equal(count, EGRESS_REFUSALS_MAX);
}

static void what_cannot_be_reached_is_no_refusal(void **unused)
{
    (void)unused;
    static const struct {
        const char *head;
        const char *addr;
        const char *answer;
    } cases[] = {
        {"CONNECT index.example:PORT HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 502 "},
        {"CONNECT index.example:PORT HTTP/1.1\r\n\r\n", "127.0.0.98", "HTTP/1.1 504 "},
        {"CONNECT bad.example:443 HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 502 "},
    };
    open_client((struct egress_client_spec){0});
    for (size_t i = 0; i < countof(cases); i++) {
        names.addrs[0] = cases[i].addr;
        owned_fd int near = ask(cases[i].head);
        expect(near, cases[i].answer);
    }
    size_t count;
    egress_client_refusals(client, &count);
    assert_int_equal(count, 0);
    assert_int_equal(egress_client_failures(client), 3);
}

static void a_head_that_makes_no_sense_is_answered(void **unused)
{
    (void)unused;
    owned_mem char *large =
        mem_printf("CONNECT index.example:443 HTTP/1.1\r\nA: %*d\r\n\r\n", 20000, 1);
    open_client((struct egress_client_spec){0});
    owned_fd int bad = ask("SSH-2.0-OpenSSH\r\n\r\n");
    expect(bad, "HTTP/1.1 400 ");
    owned_fd int post = ask("POST http://index.example/ HTTP/1.1\r\n\r\n");
    expect(post, "HTTP/1.1 405 ");
    owned_fd int near = ask(large);
    expect(near, "HTTP/1.1 431 ");
}

/* ---- bounds ---- */

static void a_client_has_so_many_bytes(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){.bytes_max = 1000});
    int far;
    owned_fd int near = tunnel(&far);
    owned_mem char *text = mem_printf("%*d", 999, 1);
    say(far, text);
    expect(near, "1");
    assert_false(egress_client_is_over(client));
    say(far, "xx");
    hear(near, NULL);
    assert_true(egress_client_is_over(client));
    mem_close_at(&far);
}

static void the_next_connection_waits(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){.connections_max = 2});
    int far[2];
    owned_fd int first = tunnel(&far[0]);
    owned_fd int second = tunnel(&far[1]);
    owned_fd int third = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    assert_int_equal(accept_one(100), -1);
    mem_close_at(&first);
    mem_close_at(&far[0]);
    owned_fd int last = accept_one(WAIT_MS);
    assert_true(last >= 0);
    expect(third, "HTTP/1.1 200 ");
    mem_close_at(&far[1]);
}

static void what_is_silent_ends(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){.idle_ms = 100, .connect_ms = 100});
    int far;
    owned_fd int near = tunnel(&far);
    assert_string_equal(hear(near, NULL), "");
    mem_close_at(&far);
    names.is_silent = true; /* the answer would come when nobody waits for it */
    owned_fd int asks = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    expect(asks, "HTTP/1.1 504 ");
    event_active(names.soon, 0, 0);
    turn();
    assert_int_equal(accept_one(50), -1);
}

static void who_does_not_read_is_not_read_for(void **unused)
{
    (void)unused;
    static const char piece[65536];
    open_client((struct egress_client_spec){0});
    int far;
    owned_fd int near = tunnel(&far);
    size_t sent = 0;
    uint64_t until = clock_mono_ms() + 500;
    while (clock_mono_ms() < until && sent < ((size_t)256 << 20)) {
        ssize_t got = send(far, piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += got > 0 ? (size_t)got : 0;
        turn();
    }
    assert_true(egress_client_bytes(client) < (size_t)32
                                                  << 20); /* the kernel's buffers, and ours */
    mem_close_at(&far);
    size_t came = 0;
    ssize_t got;
    static char room[65536];
    until = clock_mono_ms() + WAIT_MS;
    while ((got = recv(near, room, sizeof room, MSG_DONTWAIT)) != 0 && clock_mono_ms() < until) {
        came += got > 0 ? (size_t)got : 0;
        turn();
    }
    assert_int_equal(came, sent);
}

static void a_client_that_is_freed_takes_its_connections(void **unused)
{
    (void)unused;
    open_client((struct egress_client_spec){0});
    int far;
    owned_fd int near = tunnel(&far);
    names.is_silent = true;
    owned_fd int asks = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    for (unsigned i = 0; i < 1000 && names.asked < 2; i++)
        turn();
    assert_int_equal(names.asked, 2);
    egress_client_free(steal_ptr(&client));
    assert_string_equal(hear(near, NULL), "");
    assert_string_equal(hear(far, NULL), "");
    hear(asks, NULL);
    mem_close_at(&far);
}

static void what_does_not_listen_is_not_accepted_on(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    owned_fd int fd = -1;
    client = egress_client_new(egress, &(struct egress_client_spec){.policy = &policy}, &fd, &err);
    owned_fd int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    send_socket(fd, plain);
    turn();
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1); /* and it is heard no more */
}

/* ---- the operator's proxy ---- */

static void reopen_with(const char *const *environ_)
{
    egress_free(egress);
    open_proxy(environ_);
    open_client((struct egress_client_spec){0});
}

static void a_further_proxy_is_asked(void **unused)
{
    (void)unused;
    owned_mem char *https = mem_printf("HTTPS_PROXY=http://me:pw@127.0.0.1:%u", server_port);
    owned_mem char *http = mem_printf("HTTP_PROXY=http://proxy.example:%u", server_port);
    reopen_with((const char *const[]){https, http, "NO_PROXY=direct.example", NULL});
    owned_fd int near = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    owned_fd int far = accept_one(WAIT_MS);
    owned_mem char *wanted = mem_printf("CONNECT index.example:%u HTTP/1.1\r\nHost: "
                                        "index.example:%u\r\n"
                                        "Proxy-Authorization: Basic bWU6cHc=\r\n\r\n",
                                        server_port, server_port);
    assert_string_equal(hear(far, "\r\n\r\n"), wanted);
    assert_int_equal(names.asked, 0); /* it looks up */
    say(far, "HTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst words");
    expect(near, "first words");
    say(near, "more");
    expect(far, "more");

    owned_fd int plain = ask("GET http://index.example:PORT/a HTTP/1.1\r\n\r\n");
    owned_fd int through = accept_one(WAIT_MS);
    expect(through, "GET http://index.example:");
    assert_string_equal(names.name, "proxy.example");

    owned_fd int no = ask("CONNECT direct.example:PORT HTTP/1.1\r\n\r\nhello");
    owned_fd int direct = accept_one(WAIT_MS);
    expect(direct, "hello");
    assert_string_equal(names.name, "direct.example");
}

static void a_further_proxy_that_refuses_is_the_nodes_trouble(void **unused)
{
    (void)unused;
    owned_mem char *https = mem_printf("HTTPS_PROXY=http://127.0.0.1:%u", server_port);
    reopen_with((const char *const[]){https, NULL});
    static const char *const answers[] = {"HTTP/1.1 407 Who\r\n\r\n", "SSH-2.0-x\r\n\r\n", ""};
    for (size_t i = 0; i < countof(answers); i++) {
        owned_fd int near = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
        owned_fd int far = accept_one(WAIT_MS);
        hear(far, "\r\n\r\n");
        say(far, answers[i]);
        mem_close_at(&far);
        expect(near, "HTTP/1.1 502 ");
    }
    owned_fd int local = ask("CONNECT 169.254.169.254:443 HTTP/1.1\r\n\r\n");
    expect(local, "(egress-link-local)");
    assert_int_equal(egress_client_failures(client), 3);
}

static void a_variable_that_makes_no_sense_fails_what_needs_it(void **unused)
{
    (void)unused;
    log_setup(LOG_LEVEL_ERROR, false);
    reopen_with((const char *const[]){"HTTPS_PROXY=socks5://127.0.0.1:1", NULL});
    owned_fd int near = ask("CONNECT index.example:PORT HTTP/1.1\r\n\r\n");
    expect(near, "HTTP/1.1 502 ");
}

/* ---- the whole ---- */

static int set_up(void **unused)
{
    (void)unused;
    signal(SIGPIPE, SIG_IGN); /* as the node does */
    log_setup(LOG_LEVEL_WARN, false);
    base = event_base_new();
    server = listen_at("127.0.0.1", &server_port);
    names.addrs[0] = "127.0.0.1";
    names.soon = event_new(base, -1, 0, on_soon, NULL);
    const char *const hosts[] = {"index.example", "direct.example", "bad.example"};
    for (size_t i = 0; i < countof(hosts); i++) {
        owned_mem char *place = mem_printf("%s:%u", hosts[i], i == 2 ? 443 : server_port);
        if (egress_places_add_text(&policy.places, place, NULL))
            return -1;
    }
    open_proxy(NULL);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    egress_client_free(steal_ptr(&client));
    egress_free(steal_ptr(&egress));
    egress_places_fini(&policy.places);
    event_free(names.soon);
    event_base_free(base);
    mem_close_at(&server);
    memset(&names, 0, sizeof names);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_pass_in_both_directions_to_their_ends),
        TEST(a_request_is_sent_on_and_nothing_behind_it),
        TEST(the_address_that_was_judged_is_connected_to),
        TEST(an_address_that_does_not_answer_is_not_the_last_one),
        TEST(what_is_refused_is_said_and_kept),
        TEST(what_cannot_be_reached_is_no_refusal),
        TEST(a_head_that_makes_no_sense_is_answered),
        TEST(a_client_has_so_many_bytes),
        TEST(the_next_connection_waits),
        TEST(what_is_silent_ends),
        TEST(who_does_not_read_is_not_read_for),
        TEST(a_client_that_is_freed_takes_its_connections),
        TEST(what_does_not_listen_is_not_accepted_on),
        TEST(a_further_proxy_is_asked),
        TEST(a_further_proxy_that_refuses_is_the_nodes_trouble),
        TEST(a_variable_that_makes_no_sense_fails_what_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
