/* One connection of a client, from its head to the moment in which bytes pass. */
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/egress/egress_inner.h"
#include "runner/egress/head.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MS    30000
#define LINGER_MS  2000
#define ATTEMPT_MS 3000u /* at least, for one of several addresses */

static void connect_next(struct tunnel *self);

void tunnel_arm(struct tunnel *self, uint32_t ms)
{
    event_add(self->timer,
              &(struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000});
}

/* Nobody waits for the answer any more. */
static void forget_question(struct tunnel *self)
{
    if (self->question)
        self->question->tunnel = NULL;
    self->question = NULL;
}

void tunnel_end(struct tunnel *self_owned)
{
    struct egress_client *client = self_owned->client;
    LIST_REMOVE(self_owned, links);
    forget_question(self_owned);
    if (self_owned->out)
        bufferevent_free(self_owned->out);
    bufferevent_free(self_owned->in);
    event_free(self_owned->timer);
    buf_fini(&self_owned->request);
    free(self_owned);
    client_tunnel_gone(client);
}

/* ---- answers that are ours ---- */

static const char *status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } all[] = {{400, "Bad Request"},
               {403, "Forbidden"},
               {405, "Method Not Allowed"},
               {431, "Request Header Fields Too Large"},
               {502, "Bad Gateway"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < countof(all); i++)
        if (all[i].status == status)
            return all[i].text;
    return "Error";
}

static void on_drop(struct bufferevent *in, void *arg)
{
    struct evbuffer *bytes = bufferevent_get_input(in);
    (void)arg;
    evbuffer_drain(bytes, evbuffer_get_length(bytes));
}

/* A close over unread bytes would take the answer back: the client goes first, or its time ends. */
static void on_answered(struct bufferevent *in, void *arg)
{
    (void)arg;
    (void)shutdown(bufferevent_getfd(in), SHUT_WR);
}

static void on_gone(struct bufferevent *side, short what, void *arg)
{
    (void)side;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        tunnel_end(arg);
}

static void answer(struct tunnel *self, unsigned status, const char *words)
{
    self->state = TUNNEL_ANSWERING;
    forget_question(self);
    if (self->out)
        bufferevent_free(steal_ptr(&self->out));
    bufferevent_setcb(self->in, on_drop, on_answered, on_gone, self);
    bufferevent_setwatermark(self->in, EV_READ, 0, 0);
    bufferevent_setwatermark(self->in, EV_WRITE, 0, 0);
    on_drop(self->in, self);
    evbuffer_add_printf(bufferevent_get_output(self->in),
                        "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s\n",
                        status, status_text(status), strlen(words) + 1, words);
    bufferevent_enable(self->in, EV_READ | EV_WRITE);
    tunnel_arm(self, LINGER_MS);
}

/* What may be reached, and cannot. */
static void fail(struct tunnel *self, unsigned status, const char *words)
{
    owned_buf name = BUF_INIT;
    egress_target_put(&self->target, &name);
    self->client->failures++;
    log_debug("egress_failed", "target=%s %s", buf_str(&name), words);
    answer(self, status, words);
}

static void refuse(struct tunnel *self, enum egress_verdict verdict, const struct wire_addr *addr)
{
    struct egress_client *client = self->client;
    struct egress_refusal refusal = {
        .target = self->target,
        .verdict = verdict,
        .is_allowed_host = egress_places_have(&client->spec.policy->places, &self->target)};
    if (addr)
        wire_addr_format(addr, refusal.address);
    client_note_refusal(client, &refusal);
    owned_buf words = BUF_INIT;
    egress_target_put(&self->target, &words);
    buf_printf(&words, " is not reached from here: %s (%s)", egress_verdict_words(verdict),
               egress_verdict_reason(verdict));
    answer(self, 403, buf_str(&words));
}

/* ---- connecting ---- */

static socklen_t to_socket(const struct wire_addr *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (addr->family == 6) {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(addr->port);
        memcpy(&to->sin6_addr, addr->ip, sizeof to->sin6_addr);
        return sizeof *to;
    }
    struct sockaddr_in *to = (struct sockaddr_in *)out;
    to->sin_family = AF_INET;
    to->sin_port = htons(addr->port);
    memcpy(&to->sin_addr, addr->ip, sizeof to->sin_addr);
    return sizeof *to;
}

/* Whether it is an address of this machine: one that a socket can be bound to. */
static bool is_here(const struct wire_addr *addr)
{
    struct sockaddr_storage at;
    struct wire_addr any_port = *addr;
    any_port.port = 0;
    socklen_t len = to_socket(&any_port, &at);
    owned_fd int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0;
}

static void begin_relay(struct tunnel *self)
{
    static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    if (self->is_tunnel)
        bufferevent_write(self->in, yes, sizeof yes - 1);
    else
        bufferevent_write(self->out, buf_str(&self->request), self->request.len);
    buf_fini(&self->request);
    tunnel_arm(self, self->client->spec.idle_ms);
    relay_start(self);
}

/* Takes a head off; 0 when it is not whole yet, -1 when it is too long. */
static ssize_t head_len(struct evbuffer *bytes)
{
    struct evbuffer_ptr end = evbuffer_search(bytes, "\r\n\r\n", 4, NULL);
    if (end.pos >= 0 && (size_t)end.pos + 4 <= EGRESS_HEAD_MAX)
        return end.pos + 4;
    return end.pos >= 0 || evbuffer_get_length(bytes) >= EGRESS_HEAD_MAX ? -1 : 0;
}

static void on_upstream_says(struct bufferevent *out, void *arg)
{
    struct tunnel *self = arg;
    struct evbuffer *bytes = bufferevent_get_input(out);
    ssize_t len = head_len(bytes);
    if (len == 0)
        return;
    const char *head = len > 0 ? (const char *)evbuffer_pullup(bytes, len) : NULL;
    unsigned status = head ? egress_head_status(head, (size_t)len) : 0;
    if (status / 100 == 2) {
        evbuffer_drain(bytes, (size_t)len);
        begin_relay(self);
        return;
    }
    owned_mem char *words =
        mem_printf("this node's own proxy does not lead there: it answers %u", status);
    fail(self, 502, words);
}

static void on_connected(struct tunnel *self)
{
    int on = 1;
    (void)setsockopt(bufferevent_getfd(self->out), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!self->upstream || !self->is_tunnel) {
        begin_relay(self);
        return;
    }
    owned_buf head = BUF_INIT;
    egress_head_put_connect(&self->target, self->upstream->authorization, &head);
    self->state = TUNNEL_ASKING;
    bufferevent_write(self->out, buf_str(&head), head.len);
    bufferevent_enable(self->out, EV_READ | EV_WRITE);
    tunnel_arm(self, self->client->spec.connect_ms);
}

static void on_out_event(struct bufferevent *out, short what, void *arg)
{
    struct tunnel *self = arg;
    (void)out;
    if (what & BEV_EVENT_CONNECTED)
        on_connected(self);
    else if (self->state == TUNNEL_CONNECTING)
        connect_next(self);
    else
        fail(self, 502, "this node's own proxy ended the connection");
}

/* Opens the connection itself, for a descriptor that no child inherits. */
static bool start_connect(struct tunnel *self, const struct wire_addr *addr)
{
    struct sockaddr_storage at;
    socklen_t len = to_socket(addr, &at);
    owned_fd int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    self->out = bufferevent_socket_new(self->client->egress->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!self->out)
        return false;
    (void)steal_fd(&fd);
    bufferevent_setcb(self->out, on_upstream_says, NULL, on_out_event, self);
    bufferevent_setwatermark(self->out, EV_READ, 0, EGRESS_HEAD_MAX);
    return bufferevent_socket_connect(self->out, (struct sockaddr *)&at, (int)len) == 0;
}

static void connect_next(struct tunnel *self)
{
    self->state = TUNNEL_CONNECTING;
    for (;;) {
        if (self->out)
            bufferevent_free(steal_ptr(&self->out));
        if (self->addr_next == self->addr_count) {
            fail(self, 504,
                 self->upstream ? "this node's own proxy cannot be reached"
                                : "no address of that host can be reached");
            return;
        }
        size_t left = self->addr_count - self->addr_next;
        uint32_t ms = self->client->spec.connect_ms / (uint32_t)left;
        tunnel_arm(self, left > 1 && ms < ATTEMPT_MS ? ATTEMPT_MS : ms);
        if (start_connect(self, &self->addrs[self->addr_next++]))
            return;
    }
}

/* ---- names and addresses ---- */

struct addresses {
    const struct wire_addr *items;
    size_t count;
    enum egress_verdict verdict; /* of the first that was refused */
    const struct wire_addr *refused;
};

/* Those of one family that are fine. Notes the first that is not. */
static void judge_addresses(struct tunnel *self, uint8_t family, struct addresses *all)
{
    static const struct egress_policy operators = {.public_only = false};
    const struct egress_policy *policy = self->upstream ? &operators : self->client->spec.policy;
    for (size_t i = 0; i < all->count && self->addr_count < TUNNEL_ADDRS_MAX; i++) {
        const struct wire_addr *addr = &all->items[i];
        if (addr->family != family)
            continue;
        enum egress_verdict verdict =
            egress_policy_address(policy, &self->client->egress->own, addr, is_here(addr));
        if (verdict == EGRESS_FINE) {
            self->addrs[self->addr_count++] = *addr;
        } else if (!all->refused) {
            all->verdict = verdict;
            all->refused = addr;
        }
    }
}

/* IPv4 first: a machine whose IPv6 leads nowhere is more common than the other way round, and one
 * without IPv4 says so at once. A refusal is one only when no address is fine. */
static void take_addresses(struct tunnel *self, const struct wire_addr *addrs, size_t count)
{
    struct addresses all = {.items = addrs, .count = count};
    judge_addresses(self, 4, &all);
    judge_addresses(self, 6, &all);
    if (self->addr_count)
        connect_next(self);
    else if (all.refused && !self->upstream)
        refuse(self, all.verdict, all.refused);
    else if (all.refused)
        fail(self, 502, "this node's own proxy has an address that is not connected to");
    else
        fail(self, 502, "this node cannot find out the address of that host");
}

static void on_resolved(void *arg, const struct wire_addr *addrs, size_t count)
{
    struct question *question = arg;
    struct tunnel *self = question->tunnel;
    LIST_REMOVE(question, links);
    free(question);
    if (!self)
        return;
    self->question = NULL;
    take_addresses(self, addrs, count);
}

static void look_up(struct tunnel *self)
{
    struct egress *egress = self->client->egress;
    const struct egress_target *to = self->upstream ? &self->upstream->at : &self->target;
    struct wire_addr addr;
    struct err err = ERR_INIT;
    self->state = TUNNEL_LOOKUP;
    if (!to->host[0]) {
        fail(self, 502, "the variable that names this node's own proxy makes no sense");
        return;
    }
    if (egress_target_address(to, &addr)) {
        take_addresses(self, &addr, 1);
        return;
    }
    struct question *question = mem_new(sizeof *question);
    question->tunnel = self;
    LIST_INSERT_HEAD(&egress->questions, question, links);
    self->question = question;
    tunnel_arm(self, self->client->spec.connect_ms);
    if (egress->resolve(egress->resolve_arg, to->host, to->port, on_resolved, question, &err)) {
        LIST_REMOVE(question, links);
        free(steal_ptr(&self->question));
        fail(self, 502, "that is no name that can be looked up");
    }
}

/* ---- the head ---- */

static void take_head(struct tunnel *self, const struct egress_head *head)
{
    struct egress *egress = self->client->egress;
    struct wire_addr addr;
    self->target = head->target;
    self->is_tunnel = head->is_tunnel;
    bool here = egress_target_address(&self->target, &addr) && is_here(&addr);
    enum egress_verdict verdict =
        egress_policy_target(self->client->spec.policy, &egress->own, &self->target, here);
    if (verdict != EGRESS_FINE) {
        refuse(self, verdict, NULL);
        return;
    }
    self->upstream = egress_upstreams_for(&egress->upstreams, &self->target, self->is_tunnel);
    if (!self->is_tunnel)
        egress_head_put(head, self->upstream != NULL,
                        self->upstream ? self->upstream->authorization : NULL, &self->request);
}

static void on_head(struct bufferevent *in, void *arg)
{
    struct tunnel *self = arg;
    struct egress_head head;
    struct evbuffer *bytes = bufferevent_get_input(in);
    ssize_t len = head_len(bytes);
    if (len == 0)
        return;
    int status = 431;
    if (len > 0)
        status = egress_head_parse(&head, (const char *)evbuffer_pullup(bytes, len), (size_t)len);
    if (status) {
        answer(self, (unsigned)status, "this proxy takes CONNECT, and GET of http URLs");
        return;
    }
    bufferevent_disable(in, EV_READ);
    take_head(self, &head);
    if (self->state != TUNNEL_HEAD)
        return;
    evbuffer_drain(bytes, (size_t)len);
    look_up(self);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct tunnel *self = arg;
    (void)fd;
    (void)what;
    switch (self->state) {
    case TUNNEL_CONNECTING:
        connect_next(self);
        break;
    case TUNNEL_LOOKUP:
        fail(self, 504, "this node cannot find out the address of that host");
        break;
    case TUNNEL_ASKING:
        fail(self, 504, "this node's own proxy does not answer");
        break;
    case TUNNEL_HEAD:
    case TUNNEL_RELAY:
    case TUNNEL_ANSWERING:
        tunnel_end(self);
        break;
    }
}

void tunnel_start(struct egress_client *client, int fd_owned)
{
    int on = 1;
    struct event_base *base = client->egress->base;
    struct tunnel *self = mem_new(sizeof *self);
    *self = (struct tunnel){.client = client,
                            .in = bufferevent_socket_new(base, fd_owned, BEV_OPT_CLOSE_ON_FREE)};
    self->timer = evtimer_new(base, on_timer, self);
    if (!self->in || !self->timer)
        abort(); /* out of memory */
    (void)setsockopt(fd_owned, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    LIST_INSERT_HEAD(&client->tunnels, self, links);
    bufferevent_setcb(self->in, on_head, NULL, on_gone, self);
    bufferevent_setwatermark(self->in, EV_READ, 0, EGRESS_HEAD_MAX + 1);
    bufferevent_enable(self->in, EV_READ);
    tunnel_arm(self, HEAD_MS);
}
