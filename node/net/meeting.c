/* Links come and go: whose stays when two nodes open one at once, and what follows an end.
 *
 * Each sees the other's HELLO while its own attempt goes on. The link that the smaller id opened
 * stays; the other one is turned away with BYE(DOUBLE), or dropped by the one who opened it. Both
 * decide alike, from the ids alone. */
#include "node/net/net_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <event2/event.h>

/* ---- links come and go ----------------------------------------------------------------------- */

/* Ends the link that another one replaces. */
static void replace(struct peer *self)
{
    struct channel *old = self->up;
    channel_kill(old);
    self->up = NULL;
    self->net->stats.links--;
    peers_tell_down(self, old->heard_bye ? NET_DOWN_BYE : NET_DOWN_LOST);
}

static enum peers_verdict hold(struct peer *self, struct channel *channel)
{
    if (self->held && self->held != channel) {
        struct channel *older = self->held;
        self->held = NULL;
        channel_kill(older);
    }
    self->held = channel;
    peers_adopt(self, channel);
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
    struct peer *self = net_find_peer(net, nid);
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
    peers_adopt(self, channel);
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
        peers_flush(self), channel_say_bye(channel, WIRE_BYE_LEAVING);
    tell_up(self, hello);
    if ((self = net_find_peer(net, nid)) != NULL && self->up == channel)
        peers_flush(self);
}

void peers_ended(struct channel *channel, enum net_down how)
{
    struct peer *self = channel->peer;
    struct net *net = self->net;
    uint64_t nid = self->nid;
    if (self->held == channel) {
        self->held = NULL;
        peers_want(self);
        return;
    }
    if (self->dial == channel) {
        self->dial = NULL;
        peers_give_up(self, how);
        return;
    }
    if (self->up != channel)
        return;
    self->up = NULL;
    net->stats.links--;
    self->attempted_ms = 0; /* whoever was up may be called at once */
    peers_tell_down(self, how);
    self = net_find_peer(net, nid);
    if (!self || self->up)
        return;
    if (self->held)
        handshake_again(self->held);
    else
        peers_want(self);
}

static void take_blobs_message(struct channel *channel, const void *bytes, size_t len)
{
    struct net *net = channel->net;
    struct err err = ERR_INIT;
    owned_wire_msg msg = {.kind = WIRE_UNKNOWN};
    if (wire_decode(bytes, len, &msg, &err)) {
        net->stats.blobs_malformed++;
        channel_fail(channel, NET_DOWN_LOST);
    } else if (net->hooks.message) {
        net->hooks.message(net->hooks.arg, channel->peer->nid, &msg);
    } else {
        net->stats.blobs_unasked++;
    }
}

void peers_message(struct channel *channel, enum wire_kind kind, const void *bytes, size_t len)
{
    struct net *net = channel->net;
    net->stats.frames_in++;
    net->stats.frame_bytes_in += len;
    if (kind >= WIRE_HAS && kind <= WIRE_BLOB_ERR)
        take_blobs_message(channel, bytes, len);
    else if (net->config.events->frame)
        net->config.events->frame(net->config.arg, channel->peer->nid, bytes, len);
}

void peers_leave(struct net *self)
{
    for (size_t i = 0; i < PEER_BUCKETS; i++) {
        struct peer *at;
        LIST_FOREACH(at, &self->peers[i], links)
        if (peers_can_write(at))
            channel_say_bye(at->up, WIRE_BYE_LEAVING);
    }
}
