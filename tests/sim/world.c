/* The heap of events, the run, and what both phases share. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"

#include <string.h>

#define CALM_MAX_US   (180 * SIM_S) /* then what should have come true by itself has not */
#define CALM_WATCH_US (500 * SIM_MS)

static const char *const mode_names[SIM_MODES] = {"crash", "part", "perm", "disk", "blackout"};

const char *sim_mode_name(enum sim_mode mode) { return mode_names[mode]; }

bool sim_mode_parse(const char *name, enum sim_mode *out)
{
    for (unsigned i = 0; i < SIM_MODES; i++) {
        if (strcmp(mode_names[i], name) == 0) {
            *out = (enum sim_mode)i;
            return true;
        }
    }
    return false;
}

/* ---- chance ---------------------------------------------------------------------------------- */

uint64_t sim_draw(struct rand *rand, uint64_t low, uint64_t high)
{
    return high <= low ? low : low + rand_below(rand, high - low + 1);
}

bool sim_chance(struct rand *rand, uint32_t ppm)
{
    return ppm > 0 && rand_below(rand, 1000000) < ppm;
}

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t sim_hash3(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t x = scramble(seed + 0x9e3779b97f4a7c15u);
    x = scramble(x ^ (a + 0x632be59bd9b4e019u));
    x = scramble(x ^ (b + 0x9e3779b97f4a7c15u));
    return scramble(x ^ (c + 0xd1342543de82ef95u));
}

void sim_mix(struct sim *self, uint64_t value)
{
    self->hash = scramble(self->hash ^ value) + 0x9e3779b97f4a7c15u;
}

void sim_mix_bytes(struct sim *self, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t sum = len * 0x9e3779b97f4a7c15u;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = (sum ^ word) * 0xbf58476d1ce4e5b9u;
        sum ^= sum >> 32;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < len; i++)
        rest |= (uint64_t)at[i] << (8 * i);
    sim_mix(self, sum ^ rest);
}

uint64_t sim_hash(const struct sim *self) { return self->hash; }

/* ---- the heap -------------------------------------------------------------------------------- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_push(struct sim *self, const struct sim_event *event_owned)
{
    self->heap = mem_grow(self->heap, &self->heap_room, self->heap_count + 1, sizeof *self->heap);
    struct sim_event event = *event_owned;
    event.order = ++self->order;
    if (event.at_us < self->now_us)
        event.at_us = self->now_us;
    size_t at = self->heap_count++;
    for (; at > 0 && is_before(&event, &self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = event;
}

static struct sim_event pop(struct sim *self)
{
    struct sim_event top = self->heap[0];
    struct sim_event last = self->heap[--self->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->heap_count)
            break;
        if (child + 1 < self->heap_count && is_before(&self->heap[child + 1], &self->heap[child]))
            child++;
        if (!is_before(&self->heap[child], &last))
            break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return top;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void begin_calm(struct sim *self)
{
    SIM_CHART(self, "---- calm ----");
    self->is_calm = true;
    self->calm_us = self->disturbed_us = self->now_us;
    net_calm(self);
    faults_heal(self);
    for (unsigned i = 0; i < self->node_count; i++) {
        struct sim_node *node = &self->nodes[i];
        node->paused_until_us = 0;
        if (node->disk.has_failed)
            node_crash(self, i, NODE_KILLED);
        if (!node->is_gone && !node->is_up && !node->is_booting)
            node_boot(self, i);
    }
    sim_push(self, &(struct sim_event){.at_us = self->now_us + CALM_WATCH_US, .kind = SIM_WATCH});
}

static void watch(struct sim *self)
{
    owned_buf why = BUF_INIT;
    const char *id = NULL;
    if (check_is_settled(self, &id, &why)) {
        check_end(self);
        self->is_over = true;
    } else if (self->now_us - self->disturbed_us > CALM_MAX_US) {
        check_violation(self, id, "%s", buf_str(&why));
        self->is_over = true;
    } else {
        sim_push(self,
                 &(struct sim_event){.at_us = self->now_us + CALM_WATCH_US, .kind = SIM_WATCH});
    }
}

static void dispatch(struct sim *self, const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_DATAGRAM:
    case SIM_UNSENT:
    case SIM_PROBED:
        net_event(self, event);
        return;
    case SIM_LINK:
        links_event(self, event);
        return;
    case SIM_USER:
        load_event(self, event);
        return;
    case SIM_FAULT:
        faults_event(self, event);
        return;
    case SIM_CALM:
        begin_calm(self);
        return;
    case SIM_WATCH:
        watch(self);
        return;
    case SIM_TICK:
    case SIM_SYNCED:
    case SIM_LEAVE:
    case SIM_GEN:
    case SIM_FETCHED:
    case SIM_PROGRESS:
    case SIM_WORKED:
    case SIM_CLONING:
    case SIM_CLONED:
    case SIM_BOOT:
    case SIM_BOOTED:
        node_event(self, event);
        return;
    case SIM_KINDS:
        return;
    }
}

/* A process that stands still takes its events later, in their order. */
static bool is_deferred(struct sim *self, const struct sim_event *event)
{
    if (event->kind == SIM_USER || event->kind == SIM_FAULT || event->kind >= SIM_CALM ||
        event->kind == SIM_BOOT)
        return false;
    const struct sim_node *node = &self->nodes[event->node];
    if (!node->is_up || node->paused_until_us <= self->now_us)
        return false;
    struct sim_event later = *event;
    later.at_us = node->paused_until_us;
    sim_push(self, &later);
    return true;
}

bool sim_step(struct sim *self)
{
    if (self->is_over || self->heap_count == 0)
        return false;
    struct sim_event event = pop(self);
    self->now_us = event.at_us;
    if (event.life != 0 && event.life != self->nodes[event.node].life) {
        free(event.bytes);
        return true;
    }
    if (is_deferred(self, &event))
        return true;
    self->events++;
    sim_mix(self, event.at_us ^ (uint64_t)event.kind << 56);
    sim_mix(self, event.node ^ event.a * 31 ^ event.b * 977 ^ event.c * 65537);
    if (event.len > 0)
        sim_mix_bytes(self, event.bytes, event.len);
    dispatch(self, &event);
    free(event.bytes);
    return true;
}

unsigned sim_run(struct sim *self)
{
    while (sim_step(self))
        ;
    sim_mix(self, self->violations);
    return self->violations;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *self = mem_new(sizeof *self);
    self->options = *options;
    self->hash = options->seed;
    rand_init(&self->rand, sim_hash3(options->seed, 1, 0, 0));
    rand_init(&self->user_rand, sim_hash3(options->seed, 2, 0, 0));
    rand_init(&self->fault_rand, sim_hash3(options->seed, 3, 0, 0));
    rand_init(&self->git_rand, sim_hash3(options->seed, 7, 0, 0));
    keys_from_name("sim", &self->keys);
    self->node_count = options->nodes ? options->nodes : (unsigned)sim_draw(&self->rand, 3, 8);
    self->next_conn = self->next_ticket = self->next_token = 1;
    self->check = check_new();
    faults_draw(self);
    net_init(self);
    for (unsigned i = 0; i < self->node_count; i++)
        node_init(self, i);
    load_init(self);
    faults_plan(self);
    return self;
}

void sim_free(struct sim *self_owned)
{
    if (!self_owned)
        return;
    for (unsigned i = 0; i < self_owned->node_count; i++)
        node_fini(&self_owned->nodes[i]);
    for (size_t i = 0; i < self_owned->heap_count; i++)
        free(self_owned->heap[i].bytes);
    free(self_owned->heap);
    load_fini(self_owned);
    check_free(self_owned->check);
    free(self_owned);
}
