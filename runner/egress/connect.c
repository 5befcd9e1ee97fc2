/* Where a connection of a client's leads: names, addresses, and the attempts to connect. */
#include "proto/base/mem.h"
#include "runner/egress/egress_inner.h"
#include "runner/egress/head.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define ATTEMPT_MS 3000u /* at least, for one of several addresses */

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
bool tunnel_is_here(const struct wire_addr *addr)
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

static void on_upstream_says(struct bufferevent *out, void *arg)
{
    struct tunnel *self = arg;
    struct evbuffer *bytes = bufferevent_get_input(out);
    ssize_t len = tunnel_head_len(bytes);
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
    tunnel_fail(self, 502, words);
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
        tunnel_connect_next(self);
    else
        tunnel_fail(self, 502, "this node's own proxy ended the connection");
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

void tunnel_connect_next(struct tunnel *self)
{
    self->state = TUNNEL_CONNECTING;
    for (;;) {
        if (self->out)
            bufferevent_free(steal_ptr(&self->out));
        if (self->addr_next == self->addr_count) {
            tunnel_fail(self, 504,
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
            egress_policy_address(policy, &self->client->egress->own, addr, tunnel_is_here(addr));
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
        tunnel_connect_next(self);
    else if (all.refused && !self->upstream)
        tunnel_refuse(self, all.verdict, all.refused);
    else if (all.refused)
        tunnel_fail(self, 502, "this node's own proxy has an address that is not connected to");
    else
        tunnel_fail(self, 502, "this node cannot find out the address of that host");
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

void tunnel_look_up(struct tunnel *self)
{
    struct egress *egress = self->client->egress;
    const struct egress_target *to = self->upstream ? &self->upstream->at : &self->target;
    struct wire_addr addr;
    struct err err = ERR_INIT;
    self->state = TUNNEL_LOOKUP;
    if (!to->host[0]) {
        tunnel_fail(self, 502, "the variable that names this node's own proxy makes no sense");
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
        tunnel_fail(self, 502, "that is no name that can be looked up");
    }
}
