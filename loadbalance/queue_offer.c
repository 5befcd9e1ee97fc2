/* Whom to tell that there is work. A wrong choice costs a message: what binds is the claim. */
#include "loadbalance/queue_inner.h"
#include "proto/base/mem.h"

#include <stdlib.h>

#define LHM_COST_MS  200
#define OFFERS_LEAST 4
#define CROWD        32 /* above this many nodes, the best of a sample is good enough */

struct candidate {
    struct queue_peer *peer;
    uint64_t cost;
};

/* When a slot there would start something of it, in ms, give or take a tenth, so that owners
 * with the same view do not all choose the same nodes. */
static uint64_t cost_of(struct queue *self, const struct queue_eval *eval,
                        const struct queue_peer *peer)
{
    const struct queue_link *link = queue_link_find(eval, peer);
    uint64_t cost = peer->load.free > 0 ? 0 : (uint64_t)peer->load.eta_ms;
    cost += peer->load.rtt_us / 1000 + (uint64_t)LHM_COST_MS * peer->load.lhm;
    if (!link || link->heap_count == 0)
        cost += self->prepare_ms;
    cost = cost * 1000 + 1000;
    return cost - cost / 10 + rand_below(&self->rand, cost / 5 + 1);
}

static int compare(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->peer->id < y->peer->id ? -1 : 1;
}

/* Has it heard of it lately, and does it come by itself? */
static bool is_informed(const struct queue_link *link, uint64_t now_ms)
{
    if (!link || link->is_hungry)
        return false;
    uint64_t heard = link->claimed_ms > link->offered_ms ? link->claimed_ms : link->offered_ms;
    return heard > 0 && now_ms - heard < QUEUE_OFFER_MS;
}

static size_t list_candidates(struct queue *self, const struct queue_eval *eval, uint64_t now_ms,
                              struct candidate *list)
{
    size_t count = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        struct queue_peer *peer = self->peers[i];
        if (peer->load.is_draining || peer->load.slots == 0 ||
            is_informed(queue_link_find(eval, peer), now_ms))
            continue;
        list[count++] = (struct candidate){.peer = peer};
    }
    return count;
}

static size_t how_many(const struct queue *self, const struct queue_eval *eval)
{
    uint64_t mean = self->peer_count ? self->slots / self->peer_count : 1;
    if (mean == 0)
        mean = 1;
    uint64_t wanted = 2 * ((queue_queued(eval) + mean - 1) / mean);
    return wanted > OFFERS_LEAST ? (size_t)wanted : OFFERS_LEAST;
}

static void offer_to(struct queue_eval *eval, struct queue_peer *peer, uint64_t now_ms,
                     struct queue *self, struct queue_out *out)
{
    struct queue_effect *effect = queue_emit(out, QUEUE_OFFER, eval, peer);
    effect->queued = queue_queued(eval);
    effect->weight = eval->weight;
    queue_link_get(eval, peer)->offered_ms = now_ms;
    queue_link_get(eval, peer)->is_hungry = false;
    self->stats.offers++;
}

/* The cheapest of all; of many nodes the cheapest of a random sample of twice as many
 * (Mitzenmacher, "The power of two choices in randomized load balancing", 2001). */
void queue_offer(struct queue *self, struct queue_eval *eval, uint64_t now_ms,
                 struct queue_out *out)
{
    eval->is_news = false;
    eval->offered_ms = now_ms;
    owned_mem struct candidate *list = mem_new_array(self->peer_count + 1, sizeof *list);
    size_t count = list_candidates(self, eval, now_ms, list);
    size_t wanted = how_many(self, eval);
    if (count > CROWD && count > 2 * wanted) {
        for (size_t i = 0; i < 2 * wanted; i++) {
            size_t pick = i + (size_t)rand_below(&self->rand, count - i);
            struct candidate swap = list[i];
            list[i] = list[pick];
            list[pick] = swap;
        }
        count = 2 * wanted;
    }
    for (size_t i = 0; i < count; i++)
        list[i].cost = cost_of(self, eval, list[i].peer);
    qsort(list, count, sizeof *list, compare);
    for (size_t i = 0; i < count && i < wanted; i++)
        offer_to(eval, list[i].peer, now_ms, self, out);
}

void queue_offer_all_to(struct queue *self, struct queue_peer *peer, uint64_t now_ms,
                        struct queue_out *out)
{
    if (peer->load.is_draining || peer->load.slots == 0)
        return;
    for (size_t i = 0; i < self->eval_count; i++)
        if (queue_queued(self->evals[i]) > 0 && now_ms >= self->evals[i]->adopt_until_ms)
            offer_to(self->evals[i], peer, now_ms, self, out);
}
