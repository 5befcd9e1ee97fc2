/* A world of many membership machines: a clock, a lossy network that can be cut, processes that are
 * killed and hosts that fall silent. Everything follows from one seed. What the machines say goes
 * through the real codec. */
#ifndef TESTS_SWIM_WORLD_H
#define TESTS_SWIM_WORLD_H

#include "node/swim/swim.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WORLD_MAX 1024

enum thing_kind { THING_TICK, THING_PACKET, THING_FRAME, THING_CONNECTED, THING_REFUSED };

struct thing { /* that will happen */
    uint64_t at_ms;
    uint64_t order;
    enum thing_kind kind;
    uint32_t to;
    uint32_t from;
    uint32_t seq;
    uint64_t life; /* of the receiver, when it was on its way */
    char *bytes;   /* owned */
    size_t len;
};

struct machine {
    struct swim *swim; /* NULL: no process */
    uint64_t node;
    uint64_t gen;
    uint64_t life; /* boot: one a process */
    uint64_t tick_ms;
    uint64_t paused_until_ms;
    uint32_t side;  /* of a cut: machines of one side reach each other */
    bool is_silent; /* the host is down: nothing comes back, no RST either */
    bool is_deaf;   /* what is sent to it is lost, what it sends is not */
};

struct world {
    struct machine machines[WORLD_MAX];
    uint32_t count;
    uint64_t seed;
    uint64_t now_ms;
    uint64_t order;
    struct rand net;
    struct rand lives;
    uint32_t loss; /* per mille, of datagrams */
    uint32_t delay_min_ms;
    uint32_t delay_span_ms;
    uint32_t faults;
    struct swim_timing timing;
    struct swim_out out;
    struct thing *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint64_t deaths; /* DEAD said by anybody of a process that runs */
    uint64_t rejoins;
    uint64_t restarts;
    uint64_t left;
    uint64_t exits;
    uint64_t told; /* SWIM_TOLD */
    uint64_t left_done;
    uint64_t packets;
    uint64_t bytes; /* of datagrams' bodies */
    uint64_t frames;
};

/* ---- what is to come ---------------------------------------------------------------------------
 */

static bool thing_before(const struct thing *a, const struct thing *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static inline void world_push(struct world *self, struct thing thing)
{
    thing.order = self->order++;
    self->heap = mem_grow(self->heap, &self->heap_capacity, self->heap_count + 1, sizeof(thing));
    size_t at = self->heap_count++;
    for (; at > 0 && thing_before(&thing, &self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = thing;
}

static struct thing world_pop(struct world *self)
{
    struct thing first = self->heap[0];
    struct thing last = self->heap[--self->heap_count];
    size_t at = 0;
    for (;;) {
        size_t below = 2 * at + 1;
        if (below >= self->heap_count)
            break;
        if (below + 1 < self->heap_count &&
            thing_before(&self->heap[below + 1], &self->heap[below]))
            below++;
        if (!thing_before(&self->heap[below], &last))
            break;
        self->heap[at] = self->heap[below];
        at = below;
    }
    if (self->heap_count > 0)
        self->heap[at] = last;
    return first;
}

/* ---- machines ----------------------------------------------------------------------------------
 */

static struct wire_addr world_addr(uint32_t index)
{
    uint8_t ip[4] = {10, 0, (uint8_t)(index >> 8), (uint8_t)index};
    return wire_addr_v4(ip, 5001);
}

static uint32_t world_index(const struct wire_addr *addr)
{
    return (uint32_t)addr->ip[2] << 8 | addr->ip[3];
}

static struct id_node world_id(uint32_t index)
{
    struct id_node id = {{0}};
    struct rand rand;
    rand_init(&rand, index + 1);
    for (size_t i = 0; i < ID_NODE_BYTES; i++)
        id.bytes[i] = (uint8_t)rand_u64(&rand);
    return id;
}

static struct wire_member world_member(uint32_t index)
{
    return (struct wire_member){.node = world_id(index),
                                .addr = world_addr(index),
                                .http = 5001,
                                .pv = WIRE_VERSIONS,
                                .caps = {.slots = 2, .speed = 100, .mem_mb = 1024},
                                .name = "machine",
                                .address = "machine.example:5001"};
}

static inline uint64_t world_delay(struct world *self)
{
    return self->delay_min_ms + rand_below(&self->net, self->delay_span_ms + 1);
}

static inline bool world_reaches(const struct world *self, uint32_t from, uint32_t to)
{
    return self->machines[from].side == self->machines[to].side &&
           !self->machines[from].is_silent && !self->machines[to].is_silent &&
           !self->machines[to].is_deaf;
}

static inline void world_send(struct world *self, uint32_t from, const struct swim_effect *effect)
{
    uint32_t to = world_index(&effect->addr);
    self->packets++;
    self->bytes += effect->bytes.len;
    if (to >= self->count || !world_reaches(self, from, to) ||
        rand_below(&self->net, 1000) < self->loss)
        return;
    world_push(self, (struct thing){.at_ms = self->now_ms + world_delay(self),
                                    .kind = THING_PACKET,
                                    .to = to,
                                    .from = from,
                                    .seq = 0,
                                    .life = self->machines[from].life,
                                    .bytes = mem_dup(effect->bytes.data, effect->bytes.len),
                                    .len = effect->bytes.len});
}

static inline void world_send_frame(struct world *self, uint32_t from,
                                    const struct swim_effect *effect)
{
    uint32_t to = world_index(&effect->addr);
    self->frames++;
    if (to >= self->count || !world_reaches(self, from, to) || !world_reaches(self, to, from))
        return;
    struct buf body = BUF_INIT;
    wire_encode(effect->msg, &body);
    size_t len = body.len;
    world_push(self, (struct thing){.at_ms = self->now_ms + 2 * world_delay(self),
                                    .kind = THING_FRAME,
                                    .to = to,
                                    .from = from,
                                    .life = self->machines[from].life,
                                    .bytes = buf_steal(&body),
                                    .len = len});
}

/* A SYN that is lost comes again too late for a probe. */
static inline void world_connect(struct world *self, uint32_t from,
                                 const struct swim_effect *effect)
{
    uint32_t to = world_index(&effect->addr);
    if (to >= self->count || !world_reaches(self, from, to) || !world_reaches(self, to, from) ||
        rand_below(&self->net, 1000) < 2 * self->loss)
        return;
    const struct machine *target = &self->machines[to];
    if (target->swim && target->paused_until_ms > self->now_ms)
        return; /* the kernel takes the connection, nobody says HELLO */
    bool is_there = target->swim && target->node == effect->node;
    if (target->swim && !is_there)
        return;
    world_push(self, (struct thing){.at_ms = self->now_ms + 2 * world_delay(self),
                                    .kind = is_there ? THING_CONNECTED : THING_REFUSED,
                                    .to = from,
                                    .from = to,
                                    .life = self->machines[from].life,
                                    .seq = effect->seq});
}

static uint32_t world_of_node(const struct world *self, uint64_t node)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->machines[i].node == node)
            return i;
    return UINT32_MAX;
}

static inline void world_note(struct world *self, const struct swim_effect *effect)
{
    if (effect->what == SWIM_DEAD) {
        uint32_t index = world_of_node(self, effect->node);
        self->deaths += index != UINT32_MAX && self->machines[index].swim != NULL;
    }
    self->rejoins += effect->what == SWIM_REJOIN;
    self->restarts += effect->what == SWIM_RESTART;
    self->left += effect->what == SWIM_LEFT;
}

static inline void world_step(struct world *self, uint32_t index, struct swim_event event);

static inline void world_act(struct world *self, uint32_t index)
{
    struct machine *machine = &self->machines[index];
    uint64_t gen = 0;
    for (size_t i = 0; i < self->out.count; i++) {
        const struct swim_effect *effect = &self->out.effects[i];
        if (effect->kind == SWIM_SEND)
            world_send(self, index, effect);
        else if (effect->kind == SWIM_SEND_FRAME)
            world_send_frame(self, index, effect);
        else if (effect->kind == SWIM_CONNECT)
            world_connect(self, index, effect);
        else if (effect->kind == SWIM_MEMBER)
            world_note(self, effect);
        else if (effect->kind == SWIM_PERSIST_GEN)
            gen = effect->gen;
        self->exits += effect->kind == SWIM_EXIT;
        self->told += effect->kind == SWIM_TOLD;
        self->left_done += effect->kind == SWIM_LEFT_DONE;
    }
    uint64_t tick_ms = swim_deadline(machine->swim);
    if (tick_ms != UINT64_MAX && (tick_ms < machine->tick_ms || machine->tick_ms <= self->now_ms)) {
        machine->tick_ms = tick_ms;
        uint64_t at_ms = tick_ms > self->now_ms ? tick_ms : self->now_ms + (tick_ms < self->now_ms);
        world_push(
            self,
            (struct thing){.at_ms = at_ms, .kind = THING_TICK, .to = index, .life = machine->life});
    }
    if (gen != 0) {
        machine->gen = gen;
        world_step(self, index, (struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = gen});
    }
}

static inline void world_step(struct world *self, uint32_t index, struct swim_event event)
{
    event.now_ms = self->now_ms;
    swim_step(self->machines[index].swim, &event, &self->out);
    world_act(self, index);
}

/* ---- verbs -------------------------------------------------------------------------------------
 */

static inline void world_start(struct world *self, uint32_t index)
{
    struct machine *machine = &self->machines[index];
    assert(!machine->swim);
    machine->life = rand_u64(&self->lives);
    machine->gen++;
    machine->is_silent = false;
    machine->tick_ms = 0;
    machine->paused_until_ms = 0;
    struct swim_config config = {.self = world_member(index),
                                 .timing = self->timing,
                                 .boot = machine->life,
                                 .seed = rand_u64(&self->lives),
                                 .now_ms = self->now_ms,
                                 .faults = self->faults};
    config.self.gen = machine->gen;
    machine->node = id_node_short(&config.self.node);
    machine->swim = swim_new(&config);
    world_step(self, index, (struct swim_event){.kind = SWIM_TICK});
}

static inline void world_join(struct world *self, uint32_t index, uint32_t through)
{
    world_step(self, index,
               (struct swim_event){.kind = SWIM_JOIN_ADDRESS, .addr = world_addr(through)});
}

static inline struct world *world_new(uint64_t seed, uint32_t count)
{
    struct world *self = mem_new(sizeof(*self));
    self->seed = seed;
    self->count = count;
    self->now_ms = 1000;
    self->delay_min_ms = 1;
    self->delay_span_ms = 2;
    self->timing = SWIM_TIMING;
    rand_init(&self->net, seed * 2 + 1);
    rand_init(&self->lives, seed * 2 + 2);
    for (uint32_t i = 0; i < count; i++)
        self->machines[i].gen = 1000;
    return self;
}

static inline void world_kill(struct world *self, uint32_t index)
{
    swim_free(self->machines[index].swim);
    self->machines[index].swim = NULL;
}

static inline void world_free(struct world *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        world_kill(self, i);
    while (self->heap_count > 0)
        free(world_pop(self).bytes);
    free(self->heap);
    swim_out_fini(&self->out);
    free(self);
}

static inline void world_happens(struct world *self, const struct thing *thing)
{
    struct machine *machine = &self->machines[thing->to];
    bool is_gone = !machine->swim || machine->is_silent;
    if (thing->kind == THING_PACKET) {
        if (is_gone)
            return;
        world_step(self, thing->to,
                   (struct swim_event){.kind = SWIM_PACKET,
                                       .node = self->machines[thing->from].node,
                                       .boot = thing->life,
                                       .addr = world_addr(thing->from),
                                       .bytes = {(const uint8_t *)thing->bytes, thing->len}});
    } else if (thing->kind == THING_FRAME) {
        owned_wire_msg msg;
        struct err err = ERR_INIT;
        if (wire_decode(thing->bytes, thing->len, &msg, &err)) {
            printf("seed %llu: a frame does not decode: %s\n", (unsigned long long)self->seed,
                   err.text);
            assert(false);
        }
        if (!is_gone)
            world_step(self, thing->to,
                       (struct swim_event){.kind = SWIM_FRAME,
                                           .node = self->machines[thing->from].node,
                                           .msg = &msg});
    } else if (is_gone || machine->life != thing->life) {
        return;
    } else if (thing->kind == THING_TICK) {
        if (thing->at_ms < machine->tick_ms)
            return; /* an earlier one of a deadline that moved on is harmless, but dear */
        world_step(self, thing->to, (struct swim_event){.kind = SWIM_TICK});
    } else {
        world_step(self, thing->to,
                   (struct swim_event){.kind = thing->kind == THING_CONNECTED ? SWIM_CONNECTED
                                                                              : SWIM_REFUSED,
                                       .seq = thing->seq});
    }
}

/* Lets time pass, up to `until_ms`. */
static inline void world_run_to(struct world *self, uint64_t until_ms)
{
    while (self->heap_count > 0 && self->heap[0].at_ms <= until_ms) {
        struct thing thing = world_pop(self);
        if (thing.at_ms > self->now_ms)
            self->now_ms = thing.at_ms;
        uint64_t paused_ms = self->machines[thing.to].paused_until_ms;
        if (paused_ms > self->now_ms) {
            thing.at_ms = paused_ms;
            world_push(self, thing);
            continue;
        }
        world_happens(self, &thing);
        free(thing.bytes);
    }
    self->now_ms = until_ms;
}

static inline void world_run(struct world *self, uint64_t ms)
{
    world_run_to(self, self->now_ms + ms);
}

/* ---- questions ---------------------------------------------------------------------------------
 */

static inline enum wire_state world_state(const struct world *self, uint32_t at, uint32_t of)
{
    struct swim_view view;
    if (!swim_member(self->machines[at].swim, self->machines[of].node, &view))
        return WIRE_STATE_COUNT;
    return view.member.st;
}

/* Every process that runs holds `index` in that state. */
static inline bool world_all_say(const struct world *self, uint32_t index, enum wire_state st)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (i != index && self->machines[i].swim && !self->machines[i].is_silent &&
            world_state(self, i, index) != st)
            return false;
    return true;
}

/* Every process that runs has every other, and nobody else, alive; and all digests are equal. */
static inline bool world_agrees(const struct world *self)
{
    size_t up = 0;
    for (uint32_t i = 0; i < self->count; i++)
        up += self->machines[i].swim != NULL;
    uint32_t mhash = 0;
    bool is_first = true;
    for (uint32_t i = 0; i < self->count; i++) {
        const struct swim *swim = self->machines[i].swim;
        if (!swim)
            continue;
        size_t alive;
        swim_alive(swim, &alive);
        if (alive != up || (!is_first && swim_mhash(swim) != mhash))
            return false;
        mhash = swim_mhash(swim);
        is_first = false;
    }
    for (uint32_t i = 0; i < self->count; i++)
        if (self->machines[i].swim && !world_all_say(self, i, WIRE_STATE_ALIVE))
            return false;
    return true;
}

/* Runs until all agree; returns how long that took, or UINT64_MAX if longer than `max_ms`. */
static inline uint64_t world_until_agreed(struct world *self, uint64_t max_ms)
{
    uint64_t start_ms = self->now_ms;
    while (!world_agrees(self)) {
        if (self->now_ms - start_ms >= max_ms)
            return UINT64_MAX;
        world_run(self, 50);
    }
    return self->now_ms - start_ms;
}

/* A world in which all have joined through the first, and it is quiet. */
static inline struct world *world_formed(uint64_t seed, uint32_t count)
{
    struct world *self = world_new(seed, count);
    for (uint32_t i = 0; i < count; i++) {
        world_start(self, i);
        if (i > 0)
            world_join(self, i, 0);
    }
    uint64_t took_ms = world_until_agreed(self, 60000);
    if (took_ms == UINT64_MAX)
        printf("seed %llu: %u machines do not agree\n", (unsigned long long)seed, count);
    assert(took_ms != UINT64_MAX);
    world_run(self, 3000);
    return self;
}

#endif
