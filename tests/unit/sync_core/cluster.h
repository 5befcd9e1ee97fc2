/* Some nodes of own and sync with a false clock, network, disk and runner, and faults by the seed:
 * small on purpose (the whole mesh is simulated in tests/sim), so that hundreds of runs take
 * seconds. It is harsher than the real network: messages are lost, doubled and overtake each
 * other without a link that breaks. */
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "node/own/hold.h"
#include "node/own/own.h"
#include "node/store/doc_copy.h"
#include "node/sync/sync.h"
#include "proto/base/rand.h"
#include "tests/unit/own_core/fake_docs.h"
#include "tests/unit/sync_core/messages.h"

#include <stdarg.h>
#include <stdio.h>

#define NODES   5
#define EVALS   4
#define MODULES 3 /* of each of two projects */

enum mode { MODE_CRASH, MODE_PART, MODE_PERM, MODE_BLACKOUT, MODE_COUNT };

enum machine { OF_OWN, OF_SYNC, OF_RUNNER };

struct write {
    enum machine machine;
    uint64_t token;
    struct delta delta; /* owned */
    struct write *next;
};

struct sim_node {
    struct id_node nid;
    uint64_t id, gen;
    unsigned life;
    bool is_up, is_gone, is_leaving;
    uint64_t leave_ms; /* it ends then at the latest */
    struct fake_docs docs;
    struct own *own;
    struct sync *sync;
    struct own_out own_out;
    struct sync_out sync_out;
    struct write *first, *last;
    uint64_t disk_ms; /* the last write is done */
    uint64_t restart_ms;
    bool sees[NODES];
    uint64_t seen_gen[NODES];
    uint64_t changed_ms[NODES]; /* reachability is not what it sees, since; 0: it is */
    struct doc_ballot active[EVALS];
    uint64_t terminal[EVALS];
};

struct sim_eval {
    uint64_t id;
    unsigned replicas; /* acknowledged; 0 no */
    bool is_refused, is_cancelled, is_final;
    uint64_t vec;
};

enum what { A_MESSAGE, A_WRITE, A_RUN, A_FETCH, A_RUMOR, A_SUBMIT };

struct happening {
    uint64_t at, order;
    enum what what;
    unsigned node, life, from;
    uint64_t token, id;
    struct doc_ballot fence;
    struct wire_msg msg;
    void *bytes;            /* owned, of msg */
    struct delta delta;     /* owned */
    struct happening *next; /* sorted list in a slot of the wheel */
};

#define WHEEL 4096 /* ms */

struct world {
    struct rand rand;
    uint64_t now, order;
    unsigned count; /* of nodes */
    enum mode mode;
    enum own_mutation mutation;
    bool is_calm, vary_plans;
    unsigned loss; /* percent */
    uint32_t solo_ms;
    struct sim_node nodes[NODES];
    unsigned side[NODES];
    uint64_t heal_ms;
    struct sim_eval evals[EVALS];
    unsigned eval_count, attempts, gone;
    struct happening *wheel[WHEEL];
    struct {
        uint64_t id, gen;
        struct doc_ballot ballot;
    } minted[512];
    size_t minted_count;
    char violation[400];
    bool trace;
};

static inline void violate(struct world *self, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void violate(struct world *self, const char *fmt, ...)
{
    va_list args;
    if (self->violation[0])
        return;
    va_start(args, fmt);
    int at = snprintf(self->violation, sizeof self->violation,
                      "at %llu ms: ", (unsigned long long)self->now);
    (void)vsnprintf(self->violation + at, sizeof self->violation - (size_t)at, fmt, args);
    va_end(args);
}

#define TRACE(self, ...)                                                                           \
    do {                                                                                           \
        if ((self)->trace) {                                                                       \
            printf("%6llu ", (unsigned long long)(self)->now);                                     \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static inline uint64_t chance(struct world *self, uint64_t bound)
{
    return rand_below(&self->rand, bound);
}

static inline struct sim_eval *world_eval(struct world *self, uint64_t id)
{
    for (unsigned i = 0; i < self->eval_count; i++)
        if (self->evals[i].id == id)
            return &self->evals[i];
    return NULL;
}

static inline int node_index(const struct world *self, uint64_t id)
{
    for (unsigned i = 0; i < self->count; i++)
        if (self->nodes[i].id == id)
            return (int)i;
    return -1;
}

static inline struct happening *later(struct world *self, uint64_t delay, enum what what,
                                      unsigned node)
{
    struct happening *it = mem_new(sizeof *it);
    if (delay < 1)
        delay = 1;
    if (delay >= WHEEL)
        delay = WHEEL - 1;
    it->at = self->now + delay;
    it->order = ++self->order;
    it->what = what;
    it->node = node;
    it->life = self->nodes[node].life;
    struct happening **at = &self->wheel[it->at % WHEEL];
    while (*at)
        at = &(*at)->next;
    *at = it;
    return it;
}

static inline bool can_talk(const struct world *self, unsigned a, unsigned b)
{
    return self->nodes[a].is_up && self->nodes[b].is_up && self->side[a] == self->side[b];
}

/* ---- the network ----------------------------------------------------------------------------- */

static inline void post(struct world *self, unsigned from, uint64_t to, const struct wire_msg *msg)
{
    int index = node_index(self, to);
    if (index < 0 || !can_talk(self, from, (unsigned)index))
        return;
    uint64_t copies = 1;
    if (!self->is_calm && chance(self, 100) < self->loss)
        copies = chance(self, 4) == 0 ? 2 : 0;
    for (; copies > 0; copies--) {
        uint64_t delay = 1 + chance(self, 20);
        if (!self->is_calm && chance(self, 100) == 0)
            delay += chance(self, 3000);
        struct happening *it = later(self, delay, A_MESSAGE, (unsigned)index);
        it->from = from;
        it->msg = *msg;
        it->bytes = message_copy(&it->msg);
    }
}

/* ---- the disk -------------------------------------------------------------------------------- */

static inline void write_later(struct world *self, unsigned n, enum machine machine, uint64_t token,
                               const struct delta *delta)
{
    struct sim_node *node = &self->nodes[n];
    struct write *write = mem_new(sizeof *write);
    uint64_t latency = chance(self, 50) == 0 ? chance(self, 1000) : 1 + chance(self, 6);
    *write = (struct write){.machine = machine, .token = token};
    delta_copy(delta, &write->delta);
    if (node->last)
        node->last->next = write;
    else
        node->first = write;
    node->last = write;
    if (node->disk_ms < self->now + latency)
        node->disk_ms = self->now + latency;
    later(self, node->disk_ms - self->now, A_WRITE, n);
}

static inline struct write *next_write(struct sim_node *node)
{
    struct write *write = node->first;
    node->first = write->next;
    if (!node->first)
        node->last = NULL;
    return write;
}

static inline void write_free(struct write *write)
{
    delta_fini(&write->delta);
    free(write);
}

#include "tests/unit/sync_core/cluster_node.h"

#endif
