/* What there is with each node: frames that wait, the attempt to open a link, the link.
 *
 * Two nodes that open at once: each sees the other's HELLO while its own attempt goes on. The one
 * that the smaller id opened stays; the other is turned away with BYE(DOUBLE), or dropped by the
 * one who opened it. Both decide alike, from the ids alone. */
#include "node/net/net_inner.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#define DOUBLES_MAX 5   /* times that we ask again when the other side says that its own goes on */
#define DOUBLED_MS  300 /* and how long we wait for it, longer each time */

/* ---- the table ------------------------------------------------------------------------------- */

struct peer *peers_find(const struct net *self, uint64_t nid)
{
    struct peer *at;
    LIST_FOREACH(at, &self->peers[nid % PEER_BUCKETS], links)
    if (at->nid == nid)
        return at;
    return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg);

struct peer *peers_get(struct net *self, uint64_t nid)
{
    struct peer *peer = peers_find(self, nid);
    if (peer)
        return peer;
    peer = mem_new(sizeof *peer);
    peer->net = self;
    peer->nid = nid;
    peer->timer = evtimer_new(self->base, on_timer, peer);
    TAILQ_INIT(&peer->frames);
    LIST_INSERT_HEAD(&self->peers[nid % PEER_BUCKETS], peer, links);
    return peer;
}

static void drop_frames(struct peer *self)
{
    struct frame *at;
    while ((at = TAILQ_FIRST(&self->frames))) {
        TAILQ_REMOVE(&self->frames, at, links);
        self->net->stats.frames_lost++;
        free(at);
    }
    self->net->stats.queued_bytes -= self->queued_bytes;
    self->queued_bytes = 0;
}

/* Everything but the timer ends, nothing is told. */
static void clear(struct peer *self)
{
    connect_cancel(steal_ptr(&self->connect));
    struct channel *all[] = {self->dial, self->up, self->held};
    self->dial = self->up = self->held = NULL;
    for (size_t i = 0; i < countof(all); i++) {
        if (all[i])
            channel_kill(all[i]);
    }
    drop_frames(self);
    self->is_waiting = false;
    self->was_doubled = false;
    self->doubles = 0;
}

static void free_peer(struct peer *self)
{
    struct channel *at;
    clear(self);
    TAILQ_FOREACH(at, &self->net->channels, links)
    if (at->peer == self) /* one that was turned away and still listens */
        at->peer = NULL, self->net->stats.strangers++;
    TAILQ_FOREACH(at, &self->net->graveyard, links)
    if (at->peer == self)
        at->peer = NULL;
    LIST_REMOVE(self, links);
    event_free(self->timer);
    free(self);
}

void peers_free_all(struct net *self)
{
    for (size_t i = 0; i < PEER_BUCKETS; i++) {
        struct peer *at;
        while ((at = LIST_FIRST(&self->peers[i])))
            free_peer(at);
    }
}

/* ---- telling --------------------------------------------------------------------------------- */

static void tell_down(struct peer *self, enum net_down how)
{
    struct net *net = self->net;
    static const size_t counter[] = {
        [NET_DOWN_BYE] = offsetof(struct net_stats, links_bye),
        [NET_DOWN_LOST] = offsetof(struct net_stats, links_lost),
        [NET_DOWN_REFUSED] = offsetof(struct net_stats, links_refused),
        [NET_DOWN_UNREACHED] = offsetof(struct net_stats, links_unreached),
    };
    if (how < countof(counter))
        ++*(uint64_t *)((char *)&net->stats + counter[how]);
    if (net->hooks.down)
        net->hooks.down(net->hooks.arg, self->nid);
    if (net->config.events->link_down)
        net->config.events->link_down(net->config.arg, self->nid, how);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void wait_ms(struct peer *self, uint64_t ms)
{
    self->is_waiting = true;
    event_add(self->timer,
              &(struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (int)(ms % 1000) * 1000});
}

static void give_up(struct peer *self, enum net_down how)
{
    /* They tried while we did, and were told to wait for ours: now it is theirs. */
    if (self->was_doubled && how != NET_DOWN_REFUSED && !TAILQ_EMPTY(&self->frames)) {
        self->was_doubled = false;
        wait_ms(self, (uint64_t)DOUBLED_MS * DOUBLES_MAX);
        return;
    }
    self->was_doubled = false;
    self->doubles = 0;
    drop_frames(self);
    tell_down(self, how);
}

static void adopt(struct peer *self, struct channel *channel)
{
    if (!channel->peer)
        self->net->stats.strangers--;
    channel->peer = self;
}

static void on_connected(void *arg, int fd_owned, int error)
{
    struct peer *self = arg;
    struct net *net = self->net;
    self->connect = NULL;
    if (error) {
        give_up(self, error == ECONNREFUSED ? NET_DOWN_REFUSED : NET_DOWN_UNREACHED);
        net_settle(net);
        return;
    }
    self->dial = channel_new(net, fd_owned, &self->addr, true);
    adopt(self, self->dial);
}

static void dial(struct peer *self)
{
    struct net *net = self->net;
    uint64_t now = clock_mono_ms();
    uint64_t since = now - self->attempted_ms;
    if (self->attempted_ms != 0 && since < net->config.redial_ms) {
        wait_ms(self, net->config.redial_ms - since);
        return;
    }
    self->attempted_ms = now;
    net->stats.links_opened++;
    self->connect =
        connect_start(net->base, &self->addr, net->config.connect_ms, on_connected, self);
}

/* Opens a link if frames wait for one and nothing is under way. */
static void want(struct peer *self)
{
    bool is_busy = self->connect || self->dial || self->up || self->held || self->is_waiting;
    if (!is_busy && !TAILQ_EMPTY(&self->frames))
        dial(self);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct peer *self = arg;
    self->is_waiting = false;
    want(self);
}

void peers_doubled(struct channel *channel)
{
    struct peer *self = channel->peer;
    if (self->dial != channel)
        return;
    self->dial = NULL;
    if (self->up || self->held)
        return;
    if (++self->doubles > DOUBLES_MAX)
        give_up(self, NET_DOWN_UNREACHED);
    else
        wait_ms(self, (uint64_t)DOUBLED_MS * self->doubles);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static bool can_write(const struct peer *self)
{
    return self->up && !self->up->said_bye && !self->up->heard_bye;
}

static void write_frame(struct peer *self, const void *bytes, size_t len)
{
    channel_write(self->up, bytes, len);
    self->net->stats.frames_out++;
    self->net->stats.frame_bytes_out += len;
}

static void flush(struct peer *self)
{
    struct frame *at;
    while (can_write(self) && (at = TAILQ_FIRST(&self->frames))) {
        TAILQ_REMOVE(&self->frames, at, links);
        self->queued_bytes -= at->len;
        self->net->stats.queued_bytes -= at->len;
        write_frame(self, at->bytes, at->len);
        free(at);
    }
}

static void keep(struct peer *self, const void *bytes, size_t len)
{
    struct frame *frame = mem_new(sizeof *frame + len);
    frame->len = len;
    memcpy(frame->bytes, bytes, len);
    self->queued_bytes += len;
    self->net->stats.queued_bytes += len;
    TAILQ_INSERT_TAIL(&self->frames, frame, links);
}

static int may_send(const struct net *self, uint64_t nid, const struct wire_addr *to, size_t len)
{
    if (len == 0 || len > LINK_BODY_MAX)
        return ERR_TOO_LARGE;
    if (self->is_leaving)
        return ERR_CANCELLED;
    const struct peer *peer = peers_find(self, nid);
    if (!(peer && peer->up) && !net_may_speak(self, to))
        return ERR_FORBIDDEN;
    if (net_queued(self, nid) + len > self->config.queue_bytes)
        return ERR_BUSY;
    if (!(peer && peer->up) && self->stats.links >= self->config.links_max)
        return ERR_BUSY;
    return 0;
}

int net_send_frame(struct net *self, uint64_t nid, const struct wire_addr *to, const void *frame,
                   size_t len)
{
    int rc = may_send(self, nid, to, len);
    if (rc) {
        self->stats.frames_refused++;
        return rc;
    }
    struct peer *peer = peers_get(self, nid);
    if (can_write(peer)) {
        write_frame(peer, frame, len);
        return 0;
    }
    peer->addr = *to;
    keep(peer, frame, len);
    want(peer);
    return 0;
}

bool net_has_link(const struct net *self, uint64_t nid)
{
    const struct peer *peer = peers_find(self, nid);
    return peer && can_write(peer);
}

size_t net_queued(const struct net *self, uint64_t nid)
{
    const struct peer *peer = peers_find(self, nid);
    if (!peer)
        return 0;
    return peer->queued_bytes + (peer->up ? channel_waiting(peer->up) : 0);
}

void net_drop_link(struct net *self, uint64_t nid)
{
    struct peer *peer = peers_find(self, nid);
    if (!peer)
        return;
    if (peer->up)
        self->stats.links--;
    free_peer(peer);
    net_settle(self);
}

/* ---- links come and go ----------------------------------------------------------------------- */

/* Ends the link that another one replaces. */
static void replace(struct peer *self)
{
    struct channel *old = self->up;
    channel_kill(old);
    self->up = NULL;
    self->net->stats.links--;
    tell_down(self, old->heard_bye ? NET_DOWN_BYE : NET_DOWN_LOST);
}

static enum peers_verdict hold(struct peer *self, struct channel *channel)
{
    if (self->held && self->held != channel) {
        struct channel *older = self->held;
        self->held = NULL;
        channel_kill(older);
    }
    self->held = channel;
    adopt(self, channel);
    return PEERS_HOLD;
}

/* A link is up, and they open another one. */
static enum peers_verdict judge_second(struct peer *self, struct channel *channel,
                                       const struct wire_hello *hello)
{
    const struct channel *up = self->up;
    bool is_leaving = up->said_bye || up->heard_bye;
    /* Theirs and still fresh may have crossed ours on the way; anything else means that they know
     * of no link any more. */
    bool is_fresh = clock_mono_ms() - up->since_ms < self->net->config.handshake_ms;
    if (up->boot == hello->boot && is_leaving)
        return hold(self, channel);
    if (up->boot == hello->boot && up->is_dialled && is_fresh)
        return PEERS_DOUBLE;
    replace(self);
    return PEERS_ACCEPT;
}

enum peers_verdict peers_judge(struct channel *channel, const struct wire_hello *hello)
{
    struct net *net = channel->net;
    uint64_t nid = id_node_short(&hello->node);
    struct peer *self = peers_find(net, nid);
    if (net->is_leaving || net->stats.links >= net->config.links_max)
        return PEERS_BUSY;
    if (!self)
        return PEERS_ACCEPT;
    if (self->up)
        return judge_second(self, channel, hello);
    if ((self->connect || self->dial) && net->nid < nid) {
        self->was_doubled = true;
        return PEERS_DOUBLE;
    }
    return PEERS_ACCEPT;
}

static void tell_up(struct peer *self, const struct wire_hello *hello)
{
    struct net *net = self->net;
    struct net_hello news = {
        .nid = hello->node,
        .gen = hello->gen,
        .boot = hello->boot,
        .name = hello->name,
        .version = wire_version_agree(hello->pv, net->config.versions),
        .features = hello->feat,
        .addr = self->up->addr,
    };
    if (net->config.events->link_up)
        net->config.events->link_up(net->config.arg, self->nid, &news);
}

void peers_up(struct channel *channel, const struct wire_hello *hello)
{
    struct net *net = channel->net;
    uint64_t nid = id_node_short(&hello->node);
    struct peer *self = peers_get(net, nid);
    adopt(self, channel);
    if (self->dial == channel)
        self->dial = NULL;
    if (self->held == channel)
        self->held = NULL;
    connect_cancel(steal_ptr(&self->connect));
    if (self->dial)
        channel_kill(steal_ptr(&self->dial));
    event_del(self->timer);
    self->is_waiting = self->was_doubled = false;
    self->doubles = 0;
    self->up = channel;
    channel->boot = hello->boot;
    channel_set_phase(channel, CHANNEL_UP);
    net->stats.links++;
    net->stats.links_up++;
    if (net->is_leaving)
        flush(self), channel_say_bye(channel, WIRE_BYE_LEAVING);
    tell_up(self, hello);
    if ((self = peers_find(net, nid)) != NULL && self->up == channel)
        flush(self);
}

void peers_ended(struct channel *channel, enum net_down how)
{
    struct peer *self = channel->peer;
    struct net *net = self->net;
    uint64_t nid = self->nid;
    if (self->held == channel) {
        self->held = NULL;
        want(self);
        return;
    }
    if (self->dial == channel) {
        self->dial = NULL;
        give_up(self, how);
        return;
    }
    if (self->up != channel)
        return;
    self->up = NULL;
    net->stats.links--;
    self->attempted_ms = 0; /* whoever was up may be called at once */
    tell_down(self, how);
    self = peers_find(net, nid);
    if (!self || self->up)
        return;
    if (self->held)
        handshake_again(self->held);
    else
        want(self);
}

static void take_blobs_message(struct net *self, uint64_t nid, const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    owned_wire_msg msg = {.kind = WIRE_UNKNOWN};
    if (wire_decode(bytes, len, &msg, &err))
        self->stats.blobs_malformed++;
    else if (self->hooks.message)
        self->hooks.message(self->hooks.arg, nid, &msg);
    else
        self->stats.blobs_unasked++;
}

void peers_message(struct channel *channel, enum wire_kind kind, const void *bytes, size_t len)
{
    struct net *net = channel->net;
    net->stats.frames_in++;
    net->stats.frame_bytes_in += len;
    if (kind >= WIRE_HAS && kind <= WIRE_BLOB_ERR)
        take_blobs_message(net, channel->peer->nid, bytes, len);
    else if (net->config.events->frame)
        net->config.events->frame(net->config.arg, channel->peer->nid, bytes, len);
}

void peers_leave(struct net *self)
{
    for (size_t i = 0; i < PEER_BUCKETS; i++) {
        struct peer *at;
        LIST_FOREACH(at, &self->peers[i], links)
        if (can_write(at))
            channel_say_bye(at->up, WIRE_BYE_LEAVING);
    }
}
