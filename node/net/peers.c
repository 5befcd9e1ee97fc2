/* What there is with each node: frames that wait, the attempt to open a link, the link. */
#include "node/net/net_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#define DOUBLES_MAX 5   /* times that we ask again when the other side says that its own goes on */
#define DOUBLED_MS  300 /* and how long we wait for it, longer each time */

/* ---- the table ------------------------------------------------------------------------------- */

struct peer *net_find_peer(const struct net *self, uint64_t nid)
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
    struct peer *peer = net_find_peer(self, nid);
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

void peers_tell_down(struct peer *self, enum net_down how)
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

void peers_give_up(struct peer *self, enum net_down how)
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
    peers_tell_down(self, how);
}

void peers_adopt(struct peer *self, struct channel *channel)
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
        peers_give_up(self, error == ECONNREFUSED ? NET_DOWN_REFUSED : NET_DOWN_UNREACHED);
        net_settle(net);
        return;
    }
    self->dial = channel_new(net, fd_owned, &self->addr, true);
    peers_adopt(self, self->dial);
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
void peers_want(struct peer *self)
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
    peers_want(self);
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
        peers_give_up(self, NET_DOWN_UNREACHED);
    else
        wait_ms(self, (uint64_t)DOUBLED_MS * self->doubles);
}

/* ---- frames ---------------------------------------------------------------------------------- */

bool peers_can_write(const struct peer *self)
{
    return self->up && !self->up->said_bye && !self->up->heard_bye;
}

static void write_frame(struct peer *self, const void *bytes, size_t len, bool compress)
{
    channel_write(self->up, bytes, len, compress);
    self->net->stats.frames_out++;
    self->net->stats.frame_bytes_out += len;
}

void peers_flush(struct peer *self)
{
    struct frame *at;
    while (peers_can_write(self) && (at = TAILQ_FIRST(&self->frames))) {
        TAILQ_REMOVE(&self->frames, at, links);
        self->queued_bytes -= at->len;
        self->net->stats.queued_bytes -= at->len;
        write_frame(self, at->bytes, at->len, true);
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
    const struct peer *peer = net_find_peer(self, nid);
    if (!(peer && peer->up) && !net_may_speak(self, to))
        return ERR_FORBIDDEN;
    if (net_queued(self, nid) + len > self->config.queue_bytes)
        return ERR_BUSY;
    if (!(peer && peer->up) && self->stats.links >= self->config.links_max)
        return ERR_BUSY;
    return 0;
}

static int send_frame(struct net *self, uint64_t nid, const struct wire_addr *to,
                      const struct wire_bytes *frame, bool compress)
{
    size_t len = frame->len;
    int rc = may_send(self, nid, to, len);
    if (rc) {
        self->stats.frames_refused++;
        return rc;
    }
    struct peer *peer = peers_get(self, nid);
    if (peers_can_write(peer)) {
        write_frame(peer, frame->data, len, compress);
        return 0;
    }
    peer->addr = *to;
    keep(peer, frame->data, len);
    peers_want(peer);
    return 0;
}

int net_send_frame(struct net *self, uint64_t nid, const struct wire_addr *to, const void *frame,
                   size_t len)
{
    return send_frame(self, nid, to, &(struct wire_bytes){frame, len}, true);
}

int peers_send(struct net *self, uint64_t nid, const struct wire_addr *to, const struct buf *frame,
               bool compress)
{
    const struct wire_bytes bytes = {(const uint8_t *)frame->data, frame->len};
    return send_frame(self, nid, to, &bytes, compress);
}

bool net_has_link(const struct net *self, uint64_t nid)
{
    const struct peer *peer = net_find_peer(self, nid);
    return peer && peers_can_write(peer);
}

size_t net_queued(const struct net *self, uint64_t nid)
{
    const struct peer *peer = net_find_peer(self, nid);
    if (!peer)
        return 0;
    return peer->queued_bytes + (peer->up ? channel_waiting(peer->up) : 0);
}

void net_drop_link(struct net *self, uint64_t nid)
{
    struct peer *peer = net_find_peer(self, nid);
    if (!peer)
        return;
    if (peer->up)
        self->stats.links--;
    free_peer(peer);
    if (self->hooks.down)
        self->hooks.down(self->hooks.arg, nid);
    net_settle(self);
}
