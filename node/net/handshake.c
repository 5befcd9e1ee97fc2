/* The first message each way on a link. */
#include "node/net/net_inner.h"

#include <string.h>

void handshake_send_hello(struct channel *self)
{
    const struct net_config *config = &self->net->config;
    channel_send(self, &(struct wire_msg){.kind = WIRE_HELLO,
                                          .hello = {.node = config->nid,
                                                    .gen = config->gen,
                                                    .boot = config->boot,
                                                    .pv = config->versions,
                                                    .feat = config->features,
                                                    .name = config->name,
                                                    .cluster = config->cluster}});
}

/* Says a last word and waits for the other side's end, so that the word is not lost. */
static void end_after(struct channel *self)
{
    channel_set_phase(self, CHANNEL_REJECTED);
    self->said_bye = true;
    self->bye_ms = self->since_ms;
}

void handshake_reject(struct channel *self, enum wire_why_bye why)
{
    channel_say_bye(self, why);
    end_after(self);
}

static void refuse(struct channel *self, enum wire_err_code code, const char *text)
{
    self->net->stats.links_mismatched++;
    if (self->is_dialled) {
        channel_fail(self, NET_DOWN_VERSION);
        return;
    }
    channel_send(self, &(struct wire_msg){.kind = WIRE_ERR,
                                          .error = {.code = (uint16_t)code, .text = text}});
    end_after(self);
}

static void take_acceptors(struct channel *self, const struct wire_hello *hello)
{
    uint64_t nid = id_node_short(&hello->node);
    if (nid != self->peer->nid) {
        self->net->stats.links_mismatched++;
        channel_fail(self, NET_DOWN_OTHER);
        return;
    }
    peers_up(self, hello);
}

static void take_callers(struct channel *self, const struct wire_hello *hello, const void *bytes,
                         size_t len)
{
    switch (peers_judge(self, hello)) {
    case PEERS_ACCEPT:
        handshake_send_hello(self);
        peers_up(self, hello);
        break;
    case PEERS_DOUBLE:
        self->net->stats.links_duplicate++;
        handshake_reject(self, WIRE_BYE_DOUBLE);
        break;
    case PEERS_BUSY:
        self->net->stats.links_crowded++;
        handshake_reject(self, self->net->is_leaving ? WIRE_BYE_LEAVING : WIRE_BYE_BUSY);
        break;
    case PEERS_HOLD:
        buf_append(&self->hello, bytes, len);
        channel_set_phase(self, CHANNEL_HELD);
        channel_hold(self, true);
        break;
    }
}

static void take_hello(struct channel *self, const struct wire_hello *hello, const void *bytes,
                       size_t len)
{
    const struct net_config *config = &self->net->config;
    if (strcmp(hello->cluster, config->cluster) != 0) {
        refuse(self, WIRE_ERR_CLUSTER, "another cluster");
    } else if (wire_version_agree(hello->pv, config->versions) == 0) {
        refuse(self, WIRE_ERR_VERSION, "no common version");
    } else if (self->is_dialled) {
        take_acceptors(self, hello);
    } else if (id_node_short(&hello->node) == self->net->nid) {
        self->net->stats.links_mismatched++;
        channel_fail(self, NET_DOWN_OTHER);
    } else {
        take_callers(self, hello, bytes, len);
    }
}

/* We called, and were turned away. */
static void take_refusal(struct channel *self, const struct wire_msg *msg)
{
    if (msg->kind == WIRE_BYE && msg->bye.reason == WIRE_BYE_DOUBLE) {
        self->net->stats.links_duplicate++;
        channel_kill(self);
        peers_doubled(self);
        net_settle(self->net);
        return;
    }
    bool is_other = msg->kind == WIRE_ERR &&
                    (msg->error.code == WIRE_ERR_VERSION || msg->error.code == WIRE_ERR_CLUSTER);
    self->net->stats.links_mismatched += is_other;
    channel_fail(self, is_other ? NET_DOWN_VERSION : NET_DOWN_UNREACHED);
}

void handshake_take(struct channel *self, const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    owned_wire_msg msg = {.kind = WIRE_UNKNOWN};
    int rc = wire_decode(bytes, len, &msg, &err);
    if (rc == 0 && msg.kind == WIRE_HELLO) {
        take_hello(self, &msg.hello, bytes, len);
    } else if (rc == 0 && self->is_dialled && (msg.kind == WIRE_BYE || msg.kind == WIRE_ERR)) {
        take_refusal(self, &msg);
    } else {
        self->net->stats.links_garbage++;
        channel_fail(self, NET_DOWN_UNREACHED);
    }
}

void handshake_again(struct channel *self)
{
    owned_buf hello = self->hello;
    self->hello = (struct buf)BUF_INIT;
    channel_set_phase(self, CHANNEL_GREETING);
    handshake_take(self, hello.data, hello.len);
    if (self->phase != CHANNEL_HELD)
        channel_hold(self, false);
}
