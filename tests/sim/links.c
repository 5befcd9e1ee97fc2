/* Links: frames between two nodes in their order, over connections that are opened on demand and
 * break in every way that TCP's do.
 *
 * Each side has its own view (struct sim_end): a side that was not told of a break goes on sending,
 * and hears of it by a reset when something of it arrives where nobody knows the connection, or
 * when nothing was acknowledged for STALL_US. What stands between two nodes holds frames back, and
 * lets them through in their order when it goes away. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"
#include "tests/sim/scenario.h"

#include <string.h>

#define STALL_US   (10 * SIM_S) /* net.h: stall_ms */
#define CONNECT_US (2 * SIM_S)  /* net.h: connect_ms */
#define RETRY_US   (300 * SIM_MS)

enum link_news {
    LINK_CONNECTED, /* to the one that opened: the other end answers, or does not */
    LINK_ACCEPTED,  /* to the other one */
    LINK_PUMP,      /* of the sender: its first frame is due at `peer` */
    LINK_ACK_DUE,   /* of the sender: by now it should have been acknowledged */
    LINK_GONE,      /* the other end says that there is no such connection */
    LINK_CLOSED,    /* the other end said goodbye */
};

static void tell(struct sim *self, unsigned to, unsigned peer, enum link_news what, uint64_t conn,
                 uint64_t after_us)
{
    sim_push(self, &(struct sim_event){.at_us = self->now_us + after_us,
                                       .kind = SIM_LINK,
                                       .node = to,
                                       .life = self->nodes[to].life,
                                       .a = peer,
                                       .b = conn,
                                       .c = what});
}

static void forget_frames(struct sim_end *end)
{
    for (size_t i = 0; i < end->frame_count; i++)
        free(end->frames[i].bytes);
    end->frame_count = 0;
    end->is_pumping = false;
}

static void end_down(struct sim *self, unsigned at, unsigned peer, enum mesh_link_end how)
{
    struct sim_node *node = &self->nodes[at];
    struct sim_end *end = &node->ends[peer];
    end->is_up = end->is_opening = false;
    end->conn = 0;
    forget_frames(end);
    if (how == MESH_LINK_LOST)
        SOMETIMES(LINK_LOST);
    if (node->is_up)
        node_step(
            self, node,
            &(struct mesh_event){.kind = MESH_LINK_DOWN, .peer = end->peer_id, .link_end = how});
}

static bool is_open(const struct sim *self, unsigned a, unsigned b)
{
    return !self->paths[a][b].is_cut && !self->paths[b][a].is_cut;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A frame is on its way from when it was sent, behind those before it: a path that is slow is late,
 * and carries no less for it. */
static void pump(struct sim *self, unsigned from, unsigned to)
{
    struct sim_end *end = &self->nodes[from].ends[to];
    if (end->is_pumping || !end->is_up || end->frame_count == 0)
        return;
    uint64_t delay_us = net_delay_us(self, from, to);
    uint64_t since_us = self->now_us - end->frames[0].token;
    if (self->paths[from][to].clogged_until_us <= self->now_us)
        delay_us -= since_us < delay_us ? since_us : delay_us;
    end->is_pumping = true;
    tell(self, from, to, LINK_PUMP, end->conn, delay_us);
}

static void begin_open(struct sim *self, struct sim_node *node, struct sim_node *to)
{
    struct sim_end *end = &node->ends[to->index];
    end->is_opening = true;
    end->conn = self->next_conn++;
    uint64_t takes =
        net_delay_us(self, node->index, to->index) + net_delay_us(self, to->index, node->index);
    if (!is_open(self, node->index, to->index) || to->is_host_down)
        takes = CONNECT_US;
    tell(self, node->index, to->index, LINK_CONNECTED, end->conn, takes);
}

static bool is_filtered(struct sim *self, unsigned from, unsigned to,
                        const struct mesh_effect *effect)
{
    if (!self->filter)
        return false;
    owned_wire_msg msg = {0};
    struct err err = ERR_INIT;
    return wire_decode(effect->bytes, effect->len, &msg, &err) == 0 &&
           self->filter->drops(self->filter->arg, self, from, to, &msg);
}

void links_send(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_node *to = node_by_addr(self, &effect->addr);
    if (!to) {
        check_violation(self, "I14", "%s sends a frame to nowhere", node->label);
        return;
    }
    if (is_filtered(self, node->index, to->index, effect))
        return;
    struct sim_end *end = &node->ends[to->index];
    if (self->options.trace)
        chart_frame(self, node->index, to->index, end->is_up ? "=>" : "+>", effect->bytes,
                    effect->len);
    if (!end->is_up && !end->is_opening) {
        end->peer_id = effect->peer;
        begin_open(self, node, to);
    }
    end->frames =
        mem_grow(end->frames, &end->frame_room, end->frame_count + 1, sizeof *end->frames);
    end->frames[end->frame_count++] = (struct sim_line){
        .token = self->now_us, .bytes = mem_dup(effect->bytes, effect->len), .len = effect->len};
    pump(self, node->index, to->index);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void connected(struct sim *self, unsigned at, unsigned peer)
{
    struct sim_node *node = &self->nodes[at], *other = &self->nodes[peer];
    struct sim_end *end = &node->ends[peer], *far = &other->ends[at];
    if (!is_open(self, at, peer) || other->is_host_down) {
        SOMETIMES(LINK_UNREACHED);
        end_down(self, at, peer, MESH_LINK_BYE);
        return;
    }
    if (!other->is_up || other->id != end->peer_id) {
        if (other->is_up)
            SOMETIMES(LINK_OTHER);
        else
            SOMETIMES(LINK_REFUSED);
        end_down(self, at, peer, MESH_LINK_BYE);
        return;
    }
    if (far->is_up) /* it had not heard of the old one's end */
        end_down(self, peer, at, MESH_LINK_LOST);
    far->peer_id = node->id;
    far->conn = end->conn; /* if it was opening, too: one link is left */
    far->is_up = end->is_up = true;
    far->is_opening = end->is_opening = false;
    tell(self, peer, at, LINK_ACCEPTED, far->conn, 0);
    pump(self, at, peer);
}

/* ---- frames arrive --------------------------------------------------------------------------- */

static void deliver(struct sim *self, unsigned from, unsigned to)
{
    struct sim_end *end = &self->nodes[from].ends[to];
    struct sim_node *node = &self->nodes[to];
    struct sim_line frame = end->frames[0];
    end->frame_count--;
    memmove(end->frames, end->frames + 1, end->frame_count * sizeof frame);
    if (!is_open(self, to, from))
        tell(self, from, to, LINK_ACK_DUE, end->conn, STALL_US);
    uint64_t conn = end->conn;
    pump(self, from, to);
    if (node->is_up && node->ends[from].conn == conn && node->ends[from].is_up) {
        node_step(self, node,
                  &(struct mesh_event){.kind = MESH_FRAME,
                                       .peer = node->ends[from].peer_id,
                                       .bytes = frame.bytes,
                                       .len = frame.len});
    } else if (!node->is_host_down && is_open(self, to, from)) {
        SOMETIMES(LINK_HALF_OPEN);
        tell(self, from, to, LINK_GONE, conn, net_delay_us(self, to, from));
    }
    free(frame.bytes);
}

static void pumped(struct sim *self, unsigned from, unsigned to)
{
    struct sim_end *end = &self->nodes[from].ends[to];
    end->is_pumping = false;
    if (end->frame_count == 0)
        return;
    if (!self->paths[from][to].is_cut && !self->nodes[to].is_host_down &&
        self->nodes[to].paused_until_us <= self->now_us) {
        deliver(self, from, to);
        return;
    }
    if (self->now_us - end->frames[0].token > STALL_US) {
        SOMETIMES(LINK_STALLED);
        end_down(self, from, to, MESH_LINK_LOST);
        return;
    }
    end->is_pumping = true;
    tell(self, from, to, LINK_PUMP, end->conn, RETRY_US);
}

void links_event(struct sim *self, const struct sim_event *event)
{
    unsigned at = event->node, peer = (unsigned)event->a;
    struct sim_end *end = &self->nodes[at].ends[peer];
    if (!self->nodes[at].is_up || end->conn != event->b)
        return;
    switch ((enum link_news)event->c) {
    case LINK_CONNECTED:
        if (end->is_opening)
            connected(self, at, peer);
        return;
    case LINK_ACCEPTED:
        pump(self, at, peer);
        return;
    case LINK_PUMP:
        pumped(self, at, peer);
        return;
    case LINK_ACK_DUE:
        if (!is_open(self, at, peer))
            end_down(self, at, peer, MESH_LINK_LOST);
        return;
    case LINK_GONE:
        end_down(self, at, peer, MESH_LINK_LOST);
        return;
    case LINK_CLOSED:
        end_down(self, at, peer, MESH_LINK_BYE);
        return;
    }
}

/* ---- breaking -------------------------------------------------------------------------------- */

void links_break(struct sim *self, unsigned a, unsigned b, enum links_break how)
{
    struct sim_end *ends[2] = {&self->nodes[a].ends[b], &self->nodes[b].ends[a]};
    if (!ends[0]->is_up || ends[0]->conn != ends[1]->conn)
        return;
    if (how == LINK_BYE && (ends[0]->frame_count > 0 || ends[1]->frame_count > 0))
        return; /* only said over an idle link */
    tell(self, a, b, how == LINK_BYE ? LINK_CLOSED : LINK_GONE, ends[0]->conn, 0);
    tell(self, b, a, how == LINK_BYE ? LINK_CLOSED : LINK_GONE, ends[1]->conn,
         net_delay_us(self, a, b));
}

void links_node_down(struct sim *self, struct sim_node *node, enum node_death how)
{
    for (unsigned i = 0; i < self->node_count; i++) {
        struct sim_end *end = &node->ends[i];
        struct sim_node *other = &self->nodes[i];
        if (how != NODE_POWER && end->is_up && other->ends[node->index].conn == end->conn &&
            is_open(self, node->index, i))
            tell(self, i, node->index, how == NODE_LEFT ? LINK_CLOSED : LINK_GONE, end->conn,
                 net_delay_us(self, node->index, i));
        end->is_up = end->is_opening = false;
        end->conn = 0;
        forget_frames(end);
    }
}
