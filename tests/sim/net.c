/* Datagrams: lost, late, doubled, changed on the way; and connections that only knock. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"
#include "tests/sim/scenario.h"

#include <string.h>

#define RTO_US         (200 * SIM_MS)
#define CONNECT_MAX_US (2 * SIM_S) /* net.h: connect_ms */

void net_init(struct sim *self)
{
    const struct sim_swarm *swarm = &self->swarm;
    for (unsigned i = 0; i < self->node_count; i++) {
        for (unsigned j = 0; j < self->node_count; j++) {
            struct sim_path *path = &self->paths[i][j];
            rand_init(&path->rand, sim_hash3(self->options.seed, 6, i, j));
            path->loss_ppm = (uint32_t)sim_draw(&path->rand, 0, swarm->loss_ppm);
            path->dup_ppm = (uint32_t)sim_draw(&path->rand, 0, swarm->dup_ppm);
            path->flip_ppm = (uint32_t)sim_draw(&path->rand, 0, swarm->flip_ppm);
            path->delay_us = sim_draw(&path->rand, 50, swarm->delay_us);
            path->jitter_us = sim_draw(&path->rand, 10, swarm->jitter_us);
        }
    }
}

void net_calm(struct sim *self)
{
    for (unsigned i = 0; i < self->node_count; i++) {
        for (unsigned j = 0; j < self->node_count; j++) {
            struct sim_path *path = &self->paths[i][j];
            path->loss_ppm = path->dup_ppm = path->flip_ppm = 0;
            path->clogged_until_us = 0;
            path->delay_us = path->delay_us > 20 * SIM_MS ? 20 * SIM_MS : path->delay_us;
            path->jitter_us = path->jitter_us > 5 * SIM_MS ? 5 * SIM_MS : path->jitter_us;
        }
    }
}

/* Most come soon, some much later. */
uint64_t net_delay_us(struct sim *self, unsigned from, unsigned to)
{
    struct sim_path *path = &self->paths[from][to];
    uint64_t delay = path->delay_us + rand_below(&path->rand, path->jitter_us + 1);
    if (!self->is_calm && sim_chance(&path->rand, 10000))
        delay += rand_below(&path->rand, 20 * path->jitter_us + 1);
    uint64_t clogged = path->clogged_until_us;
    return clogged > self->now_us ? clogged - self->now_us + delay : delay;
}

static void travel(struct sim *self, unsigned from, unsigned to, const uint8_t *packet, size_t len)
{
    struct sim_path *path = &self->paths[from][to];
    uint8_t *copy = mem_dup(packet, len);
    bool changed = sim_chance(&path->rand, path->flip_ppm);
    if (changed)
        copy[rand_below(&path->rand, len)] ^= (uint8_t)(1u << rand_below(&path->rand, 8));
    sim_push(self, &(struct sim_event){.at_us = self->now_us + net_delay_us(self, from, to),
                                       .kind = SIM_DATAGRAM,
                                       .node = to,
                                       .a = from,
                                       .b = changed,
                                       .bytes = copy,
                                       .len = len});
}

static void show_filter(struct sim *self, unsigned from, unsigned to,
                        const struct mesh_effect *effect)
{
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    struct err err = ERR_INIT;
    if (wire_packet_open(&reader, effect->bytes, effect->len, &head, &err) != 0)
        return;
    for (;;) {
        owned_wire_msg msg = {0};
        if (wire_packet_next(&reader, &msg, &err) <= 0)
            return;
        (void)self->filter->drops(self->filter->arg, self, from, to, &msg);
    }
}

void net_send_for(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_node *to = node_by_addr(self, &effect->addr);
    if (!to || effect->len > WIRE_PACKET_BODY)
        return;
    struct sim_path *path = &self->paths[node->index][to->index];
    if (self->filter) /* it may look; datagrams are lost by chance alone */
        show_filter(self, node->index, to->index, effect);
    uint8_t packet[WIRE_PACKET_MAX];
    size_t len = seal_close(node->seal, effect->bytes, effect->len, packet);
    const char *how = ">";
    if (sim_chance(&path->rand, path->loss_ppm)) {
        SOMETIMES(DATAGRAM_LOST);
        how = "lost";
    } else {
        travel(self, node->index, to->index, packet, len);
        if (sim_chance(&path->rand, path->dup_ppm))
            travel(self, node->index, to->index, packet, len);
    }
    if (self->options.trace)
        chart_packet(self, node->index, to->index, how, effect->bytes, effect->len);
}

static void arrive(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    if (self->paths[event->a][node->index].is_cut) {
        SOMETIMES(DATAGRAM_CUT);
        return;
    }
    if (!node->is_up) {
        if (!node->is_host_down)
            sim_push(self,
                     &(struct sim_event){.at_us = self->now_us + net_delay_us(self, node->index,
                                                                              (unsigned)event->a),
                                         .kind = SIM_UNSENT,
                                         .node = (uint32_t)event->a,
                                         .life = self->nodes[event->a].life,
                                         .a = node->index});
        return;
    }
    struct seal_opened opened;
    enum seal_verdict verdict = seal_open(node->seal, event->bytes, event->len, &opened);
    if (verdict == SEAL_REPLAYED)
        SOMETIMES(DATAGRAM_DOUBLED);
    if (event->b && verdict == SEAL_OK)
        check_violation(self, "I15", "%s took a datagram that was changed", node->label);
    if (event->b && verdict != SEAL_OK)
        SOMETIMES(DATAGRAM_CHANGED);
    if (verdict != SEAL_OK)
        return;
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_DATAGRAM,
                                   .addr = self->nodes[event->a].addr,
                                   .peer = opened.node,
                                   .boot = opened.boot,
                                   .bytes = opened.body,
                                   .len = opened.len});
}

/* A packet that nobody hears the answer of still says that nothing listens, if the way back is
 * open. */
static void unreachable(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    if (node->is_up && !self->paths[event->a][node->index].is_cut)
        node_step(
            self, node,
            &(struct mesh_event){.kind = MESH_UNREACHABLE, .addr = self->nodes[event->a].addr});
}

void net_probe_for(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_node *to = node_by_addr(self, &effect->addr);
    bool reached = to && !to->is_host_down && !self->paths[node->index][to->index].is_cut &&
                   !self->paths[to->index][node->index].is_cut;
    uint64_t takes = CONNECT_MAX_US;
    if (reached)
        takes =
            net_delay_us(self, node->index, to->index) + net_delay_us(self, to->index, node->index);
    if (reached && self->paths[node->index][to->index].loss_ppm > 0 &&
        sim_chance(&self->paths[node->index][to->index].rand,
                   self->paths[node->index][to->index].loss_ppm))
        takes += RTO_US;
    sim_push(self, &(struct sim_event){.at_us = self->now_us + takes,
                                       .kind = SIM_PROBED,
                                       .node = node->index,
                                       .life = node->life,
                                       .a = effect->token,
                                       .b = reached ? to->index + 1 : 0,
                                       .c = effect->peer});
}

static void probed(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    if (event->b == 0)
        return; /* in vain: it says nothing */
    const struct sim_node *to = &self->nodes[event->b - 1];
    if (to->is_host_down || (to->is_up && to->id != event->c))
        return;
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_PROBED, .token = event->a, .is_ok = to->is_up});
}

void net_event(struct sim *self, const struct sim_event *event)
{
    struct sim_node *node = &self->nodes[event->node];
    if (event->kind == SIM_DATAGRAM)
        arrive(self, node, event);
    else if (event->kind == SIM_UNSENT)
        unreachable(self, node, event);
    else
        probed(self, node, event);
}
