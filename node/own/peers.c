#include "node/own/own_inner.h"

#include "proto/base/mem.h"

#include <string.h>

static size_t place_of(const struct own *self, uint64_t id)
{
    size_t low = 0, high = self->peer_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (self->peers[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct peer *peers_find(const struct own *self, uint64_t id)
{
    size_t at = place_of(self, id);
    return at < self->peer_count && self->peers[at].id == id ? &self->peers[at] : NULL;
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
        size_t at = place_of(self, id);
        self->peers =
            mem_grow(self->peers, &self->peer_room, self->peer_count + 1, sizeof *self->peers);
        memmove(&self->peers[at + 1], &self->peers[at],
                (self->peer_count - at) * sizeof *self->peers);
        self->peer_count++;
        peer = &self->peers[at];
        *peer = (struct peer){.node = member->node, .id = id, .state = OWN_LEFT};
    }
    bool came = member->state == OWN_ALIVE && peer->state != OWN_ALIVE;
    bool is_same = peer->gen == member->gen;
    *peer = (struct peer){.node = member->node,
                          .id = id,
                          .gen = member->gen,
                          .state = member->state,
                          .is_refused = member->state == OWN_DEAD && member->is_refused,
                          .is_draining = member->is_draining,
                          .is_synced = peer->is_synced && is_same};
    if (came)
        send_again_soon(self);
}

bool peers_reachable(const struct own *self, uint64_t id)
{
    const struct peer *peer = peers_find(self, id);
    return peer && peer->state == OWN_ALIVE;
}

bool peers_known(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].state != OWN_LEFT)
            return true;
    return self->peer_count == 0 && self->config.had_peers;
}

bool peers_any_alive(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].state == OWN_ALIVE)
            return true;
    return false;
}

bool peers_any_synced(const struct own *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].is_synced)
            return true;
    return false;
}

/* Rendezvous hashing (Thaler, Ravishankar 1998): each node ranks alike, and one that goes changes
 * nothing among the others. */
uint64_t peers_weight(uint64_t id, uint64_t node)
{
    uint64_t mix = id * UINT64_C(0x9e3779b97f4a7c15) ^ node;
    mix = (mix ^ mix >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mix = (mix ^ mix >> 27) * UINT64_C(0x94d049bb133111eb);
    return mix ^ mix >> 31;
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
            const struct peer *peer = &self->peers[i];
            if (peer->state == OWN_ALIVE && !peer->is_draining && fence_index(but, peer->id) < 0 &&
                !has_been_chosen(out, count, peer) &&
                (!best || peers_weight(id, peer->id) > peers_weight(id, best->id)))
                best = peer;
        }
        if (!best)
            break;
        out[count++] = best->node;
    }
    return count;
}
