/* One connection of a client, from its head to the moment in which bytes pass. */
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/egress/egress_inner.h"
#include "runner/egress/head.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MS   30000
#define LINGER_MS 2000

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
void tunnel_fail(struct tunnel *self, unsigned status, const char *words)
{
    owned_buf name = BUF_INIT;
    egress_target_put(&self->target, &name);
    self->client->failures++;
    log_debug("egress_failed", "target=%s %s", buf_str(&name), words);
    answer(self, status, words);
}

void tunnel_refuse(struct tunnel *self, enum egress_verdict verdict, const struct wire_addr *addr)
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

/* Takes a head off; 0 when it is not whole yet, -1 when it is too long. */
ssize_t tunnel_head_len(struct evbuffer *bytes)
{
    struct evbuffer_ptr end = evbuffer_search(bytes, "\r\n\r\n", 4, NULL);
    if (end.pos >= 0 && (size_t)end.pos + 4 <= EGRESS_HEAD_MAX)
        return end.pos + 4;
    return end.pos >= 0 || evbuffer_get_length(bytes) >= EGRESS_HEAD_MAX ? -1 : 0;
}

/* ---- the head ---- */

static void take_head(struct tunnel *self, const struct egress_head *head)
{
    struct egress *egress = self->client->egress;
    struct wire_addr addr;
    self->target = head->target;
    self->is_tunnel = head->is_tunnel;
    bool here = egress_target_address(&self->target, &addr) && tunnel_is_here(&addr);
    enum egress_verdict verdict =
        egress_policy_target(self->client->spec.policy, &egress->own, &self->target, here);
    if (verdict != EGRESS_FINE) {
        tunnel_refuse(self, verdict, NULL);
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
    ssize_t len = tunnel_head_len(bytes);
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
    tunnel_look_up(self);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct tunnel *self = arg;
    (void)fd;
    (void)what;
    switch (self->state) {
    case TUNNEL_CONNECTING:
        tunnel_connect_next(self);
        break;
    case TUNNEL_LOOKUP:
        tunnel_fail(self, 504, "this node cannot find out the address of that host");
        break;
    case TUNNEL_ASKING:
        tunnel_fail(self, 504, "this node's own proxy does not answer");
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
