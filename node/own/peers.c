#include "node/own/own_inner.h"

#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <string.h>

struct peer *peers_find(const struct own *self, uint64_t id)
{
    return byid_find(self->peers, self->peer_count, id);
}

/* Whoever was waited for and is there gets what he has not answered at once. */
static void send_again_soon(struct own *self)
{
    for (size_t i = 0; i < self->eval_count; i++) {
        struct round *round = &self->evals[i]->round;
        if (round->rid) {
            round->next_ms = self->now_ms;
            round->wait_ms = RESEND_FIRST;
        }
    }
}

void peers_take(struct own *self, const struct own_member *member)
{
    uint64_t id = id_node_short(&member->node);
    if (id == self->self)
        return;
    struct peer *peer = peers_find(self, id);
    if (!peer) {
        peer = mem_new(sizeof *peer);
        *peer = (struct peer){.id = id, .node = member->node, .state = OWN_LEFT};
        self->peers = byid_add(self->peers, &self->peer_count, &self->peer_room, peer);
    }
    bool came = member->state == OWN_ALIVE && peer->state != OWN_ALIVE;
    bool is_same = peer->gen == member->gen;
    *peer = (struct peer){.id = id,
                          .node = member->node,
                          .gen = member->gen,
                          .state = member->state,
                          .is_refused = member->state == OWN_DEAD && member->is_refused,
                          .is_draining = member->is_draining,
                          .is_synced = peer->is_synced && is_same};
    if (came)
        send_again_soon(self);
}

void peers_free(struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        free(self->peers[i]);
    free(self->peers);
}

bool peers_reachable(const struct own *self, uint64_t id)
{
    const struct peer *peer = peers_find(self, id);
    return peer && peer->state == OWN_ALIVE;
}

bool peers_known(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i]->state != OWN_LEFT)
            return true;
    return self->peer_count == 0 && self->config.had_peers;
}

bool peers_any_alive(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i]->state == OWN_ALIVE)
            return true;
    return false;
}

bool peers_any_synced(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i]->is_synced)
            return true;
    return false;
}

int fence_index(const struct doc_fence *fence, uint64_t node)
{
    for (size_t i = 0; fence && i < fence->rep_count; i++)
        if (id_node_short(&fence->reps[i]) == node)
            return (int)i;
    return -1;
}

static bool has_been_chosen(const struct id_node *chosen, size_t count, const struct peer *peer)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&chosen[i], &peer->node, sizeof peer->node) == 0)
            return true;
    return false;
}

size_t peers_best(const struct own *self, uint64_t id, const struct doc_fence *but,
                  struct id_node *out, size_t max)
{
    size_t count = 0;
    while (count < max) {
        const struct peer *best = NULL;
        for (size_t i = 0; i < self->peer_count; i++) {
            const struct peer *peer = self->peers[i];
            if (peer->state == OWN_ALIVE && !peer->is_draining && fence_index(but, peer->id) < 0 &&
                !has_been_chosen(out, count, peer) &&
                (!best || hash_weight(id, peer->id) > hash_weight(id, best->id)))
                best = peer;
        }
        if (!best)
            break;
        out[count++] = best->node;
    }
    return count;
}
