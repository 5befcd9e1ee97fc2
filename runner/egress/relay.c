/* Bytes in both directions, at the pace of the slower side: whoever sends is not read from while
 * the other has this much to take. */
#include "runner/egress/egress_inner.h"

#include <event2/buffer.h>
#include <sys/socket.h>

#define WINDOW_BYTES ((size_t)128 << 10)

static struct bufferevent *peer_of(const struct tunnel *self, const struct bufferevent *side)
{
    return side == self->in ? self->out : self->in;
}

static bool *over_flag(struct tunnel *self, const struct bufferevent *side)
{
    return side == self->in ? &self->in_is_over : &self->out_is_over;
}

static size_t left_for(const struct bufferevent *side)
{
    return evbuffer_get_length(bufferevent_get_output((struct bufferevent *)(uintptr_t)side));
}

/* Ends, or half ends, what has nothing more to pass. Returns whether the tunnel is there still. */
static bool settle(struct tunnel *self)
{
    if (self->is_broken) {
        if (left_for(self->in) && !self->in_is_over)
            return true;
        tunnel_end(self);
        return false;
    }
    if (self->out_is_over && !self->is_tunnel && !left_for(self->in)) {
        tunnel_end(self);
        return false;
    }
    if (self->in_is_over && self->out_is_over && !left_for(self->in) && !left_for(self->out)) {
        tunnel_end(self);
        return false;
    }
    if (self->out_is_over && !left_for(self->in))
        (void)shutdown(bufferevent_getfd(self->in), SHUT_WR);
    if (self->in_is_over && self->is_tunnel && !left_for(self->out))
        (void)shutdown(bufferevent_getfd(self->out), SHUT_WR);
    return true;
}

/* Passes on what one side has sent. Returns false when that ended the tunnel. */
static bool move(struct tunnel *self, struct bufferevent *from)
{
    struct egress_client *client = self->client;
    struct bufferevent *to = peer_of(self, from);
    struct evbuffer *bytes = bufferevent_get_input(from);
    size_t len = evbuffer_get_length(bytes);
    client->bytes += len;
    if (client->bytes > client->spec.bytes_max) {
        client->is_over = true;
        tunnel_end(self);
        return false;
    }
    if (from == self->in && !self->is_tunnel)
        evbuffer_drain(bytes, len); /* one request, and it is sent */
    else
        evbuffer_add_buffer(bufferevent_get_output(to), bytes);
    if (left_for(to) >= WINDOW_BYTES)
        bufferevent_disable(from, EV_READ);
    tunnel_arm(self, client->spec.idle_ms);
    return true;
}

static void on_read(struct bufferevent *from, void *arg) { (void)move(arg, from); }

static void on_written(struct bufferevent *to, void *arg)
{
    struct tunnel *self = arg;
    struct bufferevent *from = peer_of(self, to);
    tunnel_arm(self, self->client->spec.idle_ms);
    if (!settle(self))
        return;
    if (!*over_flag(self, from) && left_for(to) < WINDOW_BYTES)
        bufferevent_enable(from, EV_READ);
}

static void on_event(struct bufferevent *side, short what, void *arg)
{
    struct tunnel *self = arg;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    if (!move(self, side))
        return;
    *over_flag(self, side) = true;
    self->is_broken = self->is_broken || (what & BEV_EVENT_ERROR);
    bufferevent_disable(side, EV_READ);
    (void)settle(self);
}

void relay_start(struct tunnel *self)
{
    struct bufferevent *both[] = {self->in, self->out};
    self->state = TUNNEL_RELAY;
    for (size_t i = 0; i < 2; i++) {
        bufferevent_setcb(both[i], on_read, on_written, on_event, self);
        bufferevent_setwatermark(both[i], EV_READ, 0, WINDOW_BYTES);
        bufferevent_setwatermark(both[i], EV_WRITE, WINDOW_BYTES / 2, 0);
        bufferevent_enable(both[i], EV_READ | EV_WRITE);
    }
    /* What came with the head, or behind a proxy's answer. */
    if (move(self, self->in))
        (void)move(self, self->out);
}
