/* One TCP connection: bytes through wire's link, goodbyes, deadlines. */
#include "node/net/net_inner.h"
#include "proto/base/clock.h"
#include "proto/base/cursor.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>

#define READ_MAX      (256u << 10) /* bytes a turn of the loop */
#define READ_PIECE    (64u << 10)
#define WRITE_MAX     (256u << 10)
#define REFERENCE_MIN (16u << 10)
#define KEEP_IDLE_S   10 /* a silent link is asked by the kernel whether it is there */
#define KEEP_EVERY_S  5
#define KEEP_TRIES    3

/* ---- out ------------------------------------------------------------------------------------- */

size_t channel_waiting(const struct channel *self)
{
    return evbuffer_get_length(bufferevent_get_output(self->bev));
}

static void free_sent(const void *bytes, size_t len, void *arg)
{
    (void)bytes;
    (void)len;
    free(arg);
}

/* Takes the bytes; many of them are not copied again. */
static void put_out(struct channel *self, struct buf *bytes)
{
    if (bytes->len < REFERENCE_MIN) {
        if (bytes->len > 0)
            bufferevent_write(self->bev, bytes->data, bytes->len);
        return;
    }
    size_t len = bytes->len;
    char *data = buf_steal(bytes);
    evbuffer_add_reference(bufferevent_get_output(self->bev), data, len, free_sent, data);
}

void channel_write(struct channel *self, const void *frame, size_t len, bool compress)
{
    owned_buf out = BUF_INIT;
    link_write(self->link, frame, len, compress, &out);
    put_out(self, &out);
    self->traffic_ms = clock_mono_ms();
}

void channel_send(struct channel *self, const struct wire_msg *msg)
{
    owned_buf out = BUF_INIT;
    link_send(self->link, msg, &out);
    put_out(self, &out);
}

void channel_say_bye(struct channel *self, enum wire_why_bye why)
{
    if (self->said_bye)
        return;
    channel_send(self, &(struct wire_msg){.kind = WIRE_BYE, .bye = {.reason = (uint8_t)why}});
    self->said_bye = true;
    self->bye_ms = clock_mono_ms();
}

/* ---- its end --------------------------------------------------------------------------------- */

void channel_kill(struct channel *self)
{
    if (self->phase == CHANNEL_DEAD)
        return;
    struct net *net = self->net;
    net->stats.strangers -= self->peer == NULL;
    self->phase = CHANNEL_DEAD;
    event_del(self->readable);
    bufferevent_disable(self->bev, EV_WRITE);
    bufferevent_setcb(self->bev, NULL, NULL, NULL, NULL);
    TAILQ_REMOVE(&net->channels, self, links);
    TAILQ_INSERT_TAIL(&net->graveyard, self, links);
    event_active(net->reaper, 0, 0);
}

void channel_fail(struct channel *self, enum net_down how)
{
    if (self->phase == CHANNEL_DEAD)
        return;
    channel_kill(self);
    if (self->peer)
        peers_ended(self, how);
    net_settle(self->net);
}

void channel_bury(struct net *self)
{
    struct channel *at;
    while ((at = TAILQ_FIRST(&self->graveyard))) {
        TAILQ_REMOVE(&self->graveyard, at, links);
        event_free(at->readable);
        bufferevent_free(at->bev);
        link_free(at->link);
        buf_fini(&at->hello);
        free(at);
    }
}

/* Both sides have said all: our bytes are out and theirs are at their end. */
static void part(struct channel *self)
{
    if (!self->said_bye || channel_waiting(self) > 0)
        return;
    if (!self->is_shut)
        (void)shutdown(bufferevent_getfd(self->bev), SHUT_WR);
    self->is_shut = true;
    if (self->has_ended)
        channel_fail(self, self->heard_bye ? NET_DOWN_BYE : NET_DOWN_LOST);
}

/* How an end that nobody announced is to be called. */
static enum net_down unannounced(const struct channel *self)
{
    return self->phase == CHANNEL_UP ? NET_DOWN_LOST : NET_DOWN_UNREACHED;
}

/* ---- in -------------------------------------------------------------------------------------- */

static void hear_bye(struct channel *self)
{
    self->heard_bye = true;
    channel_say_bye(self, WIRE_BYE_IDLE);
    part(self);
}

/* Returns a message's kind; WIRE_UNKNOWN where it has none. */
static enum wire_kind kind_of(const struct wire_bytes *body)
{
    struct cursor in;
    size_t count;
    uint64_t kind = WIRE_UNKNOWN;
    cursor_init(&in, body->data, body->len);
    if (cursor_array(&in, SIZE_MAX, &count) && count > 0)
        (void)cursor_uint(&in, UINT8_MAX, &kind);
    return (enum wire_kind)kind;
}

static void take_body(struct channel *self, const struct wire_bytes *body)
{
    if (self->phase == CHANNEL_GREETING) {
        handshake_take(self, body->data, body->len);
        return;
    }
    if (self->phase != CHANNEL_UP || self->heard_bye)
        return;
    self->traffic_ms = clock_mono_ms();
    enum wire_kind kind = kind_of(body);
    if (kind == WIRE_BYE)
        hear_bye(self);
    else
        peers_message(self, kind, body->data, body->len);
}

static void count_refusal(struct net_stats *stats, enum link_verdict verdict)
{
    if (verdict == LINK_FORGED || verdict == LINK_KEY_UNKNOWN)
        stats->links_forged++;
    else if (verdict == LINK_OVERSIZED)
        stats->links_oversized++;
    else
        stats->links_garbage++;
}

void channel_feed(struct channel *self, const void *bytes, size_t len)
{
    owned_buf out = BUF_INIT;
    struct wire_bytes body;
    bool was_open = link_is_open(self->link);
    self->has_spoken = self->has_spoken || len > 0;
    (void)link_read(self->link, bytes, len, &out);
    put_out(self, &out);
    if (self->is_dialled && !was_open && link_is_open(self->link))
        handshake_send_hello(self);
    while (self->phase != CHANNEL_DEAD && self->phase != CHANNEL_HELD &&
           link_next(self->link, &body))
        take_body(self, &body);
    if (self->phase == CHANNEL_DEAD || link_verdict(self->link) == LINK_OK)
        return;
    count_refusal(&self->net->stats, link_verdict(self->link));
    channel_fail(self, unannounced(self));
}

static void on_end(struct channel *self)
{
    self->has_ended = true;
    if (self->phase == CHANNEL_REJECTED) {
        channel_fail(self, NET_DOWN_LOST);
        return;
    }
    /* One that brought nothing was a probe. */
    if (self->phase == CHANNEL_GREETING && self->has_spoken &&
        link_end(self->link) == LINK_TRUNCATED)
        self->net->stats.links_garbage++;
    if (self->heard_bye)
        part(self);
    else
        channel_fail(self, unannounced(self));
}

static void on_broken(struct channel *self)
{
    channel_fail(self, self->heard_bye ? NET_DOWN_BYE : unannounced(self));
}

/* The socket is read here and not by the bufferevent, which takes 4 KiB at a time. */
static void read_some(struct channel *self)
{
    static uint8_t bytes[READ_PIECE];
    int fd = bufferevent_getfd(self->bev);
    for (size_t left = READ_MAX / READ_PIECE; left > 0; left--) {
        if (self->phase == CHANNEL_DEAD || self->phase == CHANNEL_HELD || self->has_ended)
            return;
        ssize_t len = recv(fd, bytes, sizeof bytes, 0);
        if (len > 0) {
            channel_feed(self, bytes, (size_t)len);
        } else if (len == 0) {
            event_del(self->readable);
            on_end(self);
        } else {
            if (errno != EAGAIN && errno != EINTR)
                on_broken(self);
            return;
        }
        if (len < (ssize_t)sizeof bytes)
            return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_some(arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct channel *self = arg;
    read_some(self); /* what came before the end counts */
    if (self->phase != CHANNEL_DEAD && (what & BEV_EVENT_ERROR))
        on_broken(self);
}

static void on_drained(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct channel *self = arg;
    struct net *net = self->net;
    part(self);
    if (self->phase == CHANNEL_UP && !self->said_bye && net->hooks.drained)
        net->hooks.drained(net->hooks.arg, self->peer->nid);
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
    (void)output;
    struct channel *self = arg;
    if (info->n_deleted > 0 || info->orig_size == 0)
        self->drained_ms = clock_mono_ms();
}

/* ---- deadlines ------------------------------------------------------------------------------- */

void channel_check(struct channel *self, uint64_t now_ms)
{
    const struct net_config *config = &self->net->config;
    bool is_greeting = self->phase == CHANNEL_GREETING || self->phase == CHANNEL_HELD;
    if (is_greeting && now_ms - self->since_ms >= config->handshake_ms) {
        channel_fail(self, NET_DOWN_UNREACHED);
    } else if (channel_waiting(self) > 0 && now_ms - self->drained_ms >= config->stall_ms) {
        self->net->stats.links_stalled++;
        channel_fail(self, unannounced(self));
    } else if (self->said_bye && now_ms - self->bye_ms >= config->linger_ms &&
               channel_waiting(self) == 0) {
        channel_fail(self, self->heard_bye ? NET_DOWN_BYE : NET_DOWN_LOST);
    } else if (self->phase == CHANNEL_UP && !self->said_bye && channel_waiting(self) == 0 &&
               now_ms - self->traffic_ms >= config->idle_ms) {
        channel_say_bye(self, WIRE_BYE_IDLE);
    }
}

void channel_hold(struct channel *self, bool on)
{
    struct wire_bytes body;
    if (on) {
        event_del(self->readable);
        return;
    }
    if (self->phase != CHANNEL_DEAD)
        event_add(self->readable, NULL);
    while (self->phase != CHANNEL_DEAD && link_next(self->link, &body))
        take_body(self, &body);
}

/* ---- its beginning --------------------------------------------------------------------------- */

void channel_set_phase(struct channel *self, enum channel_phase phase)
{
    self->phase = phase;
    self->since_ms = self->traffic_ms = clock_mono_ms();
}

/* None of these can make a link wrong, only slow to notice. */
static void set_options(int fd, unsigned stall_ms)
{
    int on = 1, idle = KEEP_IDLE_S, every = KEEP_EVERY_S, tries = KEEP_TRIES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
}

struct channel *channel_new(struct net *net, int fd_owned, const struct wire_addr *addr,
                            bool is_dialled)
{
    struct channel *self = mem_new(sizeof *self);
    struct link_config config = {
        .keys = &net->keys, .cluster = net->config.cluster, .caller = is_dialled};
    owned_buf out = BUF_INIT;
    rand_system(config.nonce, sizeof config.nonce);
    self->net = net;
    self->addr = *addr;
    self->is_dialled = is_dialled;
    set_options(fd_owned, net->config.stall_ms);
    self->bev = bufferevent_socket_new(net->base, fd_owned, BEV_OPT_CLOSE_ON_FREE);
    self->readable = event_new(net->base, fd_owned, EV_READ | EV_PERSIST, on_readable, self);
    if (!self->bev || !self->readable)
        abort(); /* out of memory */
    bufferevent_setcb(self->bev, NULL, on_drained, on_event, self);
    bufferevent_setwatermark(self->bev, EV_WRITE, NET_DRAINED_BYTES, 0);
    bufferevent_set_max_single_write(self->bev, WRITE_MAX);
    evbuffer_add_cb(bufferevent_get_output(self->bev), on_output, self);
    self->link = link_new(&config, &out);
    TAILQ_INSERT_TAIL(&net->channels, self, links);
    net->stats.strangers++;
    channel_set_phase(self, CHANNEL_GREETING);
    put_out(self, &out);
    bufferevent_enable(self->bev, EV_WRITE);
    event_add(self->readable, NULL);
    net_watch_deadlines(net);
    return self;
}
