/* One node: its processes and their clock; events go in, effects come out. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define EPOCH_MS UINT64_C(1790000000000) /* the wall clock when the world begins */
#define PORT     5001

/* ---- clocks ---------------------------------------------------------------------------------- */

uint64_t node_mono_ms(const struct sim *self, const struct sim_node *node)
{
    uint64_t rate = (uint64_t)(1000000 + node->clock.drift_ppm);
    return node->clock.base_ms + (self->now_us - node->clock.boot_us) * rate / 1000000 / 1000;
}

uint64_t node_wall_ms(const struct sim *self, const struct sim_node *node)
{
    return (uint64_t)((int64_t)(EPOCH_MS + self->now_us / 1000) + node->clock.wall_ms);
}

/* The first moment at which its clock shows that. */
static uint64_t moment_of(const struct sim_node *node, uint64_t mono_ms)
{
    if (mono_ms <= node->clock.base_ms)
        return node->clock.boot_us;
    uint64_t rate = (uint64_t)(1000000 + node->clock.drift_ppm);
    return node->clock.boot_us +
           ((mono_ms - node->clock.base_ms) * 1000 * 1000000 + rate - 1) / rate;
}

/* ---- identity -------------------------------------------------------------------------------- */

static void draw_identity(struct sim_node *node)
{
    for (size_t i = 0; i < ID_NODE_BYTES; i++)
        node->nid.bytes[i] = (uint8_t)rand_u64(&node->rand);
    node->id = id_node_short(&node->nid);
}

void node_init(struct sim *self, unsigned index)
{
    struct sim_node *node = &self->nodes[index];
    node->index = index;
    rand_init(&node->rand, sim_hash3(self->options.seed, 4, index, 0));
    draw_identity(node);
    node->addr = wire_addr_v4((const uint8_t[4]){10, 0, 0, (uint8_t)(index + 1)}, PORT);
    snprintf(node->label, sizeof node->label, "n%u", index);
    snprintf(node->address, sizeof node->address, "10.0.0.%u:%u", index + 1, PORT);
    rand_init(&node->clone_rand, sim_hash3(self->options.seed, 6, index, 0));
    node->slots = (unsigned)sim_draw(&node->rand, 1, 4);
    node->chores = (unsigned)sim_draw(&node->rand, 1, 2);
    node->clock.drift_ppm = (int64_t)sim_draw(&node->rand, 0, 400) - 200;
    node->clock.wall_ms = (int64_t)sim_draw(&node->rand, 0, 1200000) - 600000;
    disk_init(self, node);
    node->docs = disk_docs(node);
    node_boot(self, index);
}

void node_fini(struct sim_node *node)
{
    mesh_free(node->mesh);
    mesh_out_fini(&node->out);
    seal_free(node->seal);
    disk_fini(&node->disk);
    free(node->jobs);
    free(node->ready);
    free(node->clones);
    for (size_t i = 0; i < SIM_NODES_MAX; i++) {
        for (size_t f = 0; f < node->ends[i].frame_count; f++)
            free(node->ends[i].frames[f].bytes);
        free(node->ends[i].frames);
    }
}

struct sim_node *node_by_id(struct sim *self, uint64_t id)
{
    for (unsigned i = 0; i < self->node_count; i++)
        if (self->nodes[i].id == id)
            return &self->nodes[i];
    return NULL;
}

struct sim_node *node_by_addr(struct sim *self, const struct wire_addr *addr)
{
    for (unsigned i = 0; i < self->node_count; i++)
        if (wire_addr_compare(&self->nodes[i].addr, addr) == 0)
            return &self->nodes[i];
    return NULL;
}

/* ---- start and end --------------------------------------------------------------------------- */

void node_boot(struct sim *self, unsigned index)
{
    struct sim_node *node = &self->nodes[index];
    if (node->is_up || node->is_booting || node->is_gone)
        return;
    node->is_booting = true;
    node->is_host_down = false;
    node->life++;
    uint64_t now_s = node_wall_ms(self, node) / 1000;
    uint64_t gen = node->gen + 1 > now_s ? node->gen + 1 : now_s;
    sim_push(self,
             &(struct sim_event){.at_us = self->now_us + 20 * SIM_MS + disk_sync_us(self, node),
                                 .kind = SIM_BOOTED,
                                 .node = index,
                                 .life = node->life,
                                 .a = gen});
}

static uint32_t estimate(void *arg, const struct doc *doc, uint32_t p, uint32_t m,
                         bool *is_measured)
{
    struct sim_node *node = arg;
    uint64_t chance = sim_hash3(doc->id, p, m, node->id);
    *is_measured = chance % 3 == 0;
    return (uint32_t)(100 + chance % 2000);
}

static void start(struct sim *self, struct sim_node *node)
{
    uint64_t boot = rand_u64(&node->rand);
    node->clock.boot_us = self->now_us;
    node->clock.base_ms = sim_draw(&node->rand, 1000, 100000000);
    struct wire_member member = {.node = node->nid,
                                 .gen = node->gen,
                                 .addr = node->addr,
                                 .http = PORT,
                                 .pv = WIRE_VERSIONS,
                                 .caps = {.slots = (uint16_t)node->slots, .mem_mb = 4096},
                                 .name = node->label,
                                 .address = node->address};
    struct mesh_config config = {.self = member,
                                 .boot = boot,
                                 .seed = rand_u64(&node->rand),
                                 .now_ms = node->clock.base_ms,
                                 .timing = SWIM_TIMING,
                                 .docs = &node->docs,
                                 .estimate = estimate,
                                 .estimate_arg = node,
                                 .slots = node->slots,
                                 .chores = node->chores,
                                 .had_peers = true, /* they are configured */
                                 .mutation = self->options.mutation,
                                 .faults = self->options.swim_faults};
    node->mesh = mesh_new(&config);
    node->seal = seal_new(&(struct seal_config){
        .keys = &self->keys, .cluster = "sim", .node = node->id, .boot = boot});
    node->is_up = true;
    node->up_since_us = self->disturbed_us = self->now_us;
    node->tick_us = SIM_NEVER;
    check_booted(self, node);
    cloner_sweep(self, node);
    SIM_CHART(self, "%s starts, generation %" PRIu64, node->label, node->gen);
    for (unsigned i = 0; i < self->node_count && node->is_up; i++)
        if (i != node->index)
            node_step(self, node,
                      &(struct mesh_event){.kind = MESH_JOIN, .addr = self->nodes[i].addr});
    if (node->is_up)
        node_step(self, node, &(struct mesh_event){.kind = MESH_TICK});
}

void node_crash(struct sim *self, unsigned index, enum node_death how)
{
    struct sim_node *node = &self->nodes[index];
    if (!node->is_up && !node->is_booting)
        return;
    static const char *const words[] = {"is killed", "loses power", "goes"};
    SIM_CHART(self, "%s %s", node->label, words[how]);
    if (how == NODE_POWER)
        SOMETIMES(NODE_POWER);
    else if (how == NODE_KILLED)
        SOMETIMES(NODE_KILLED);
    node->is_leaving = false;
    node->is_up = node->is_booting = false;
    self->disturbed_us = self->now_us;
    node->is_host_down = how == NODE_POWER;
    node->paused_until_us = 0;
    node->life++;
    mesh_free(node->mesh);
    node->mesh = NULL;
    seal_free(node->seal);
    node->seal = NULL;
    runner_crash(self, node);
    cloner_crash(node);
    links_node_down(self, node, how);
    disk_crash(self, node, how == NODE_POWER);
}

void node_lose_disk(struct sim *self, unsigned index)
{
    struct sim_node *node = &self->nodes[index];
    assert(!node->is_up);
    SIM_CHART(self, "%s has lost its disk", node->label);
    SOMETIMES(NODE_STRANGER);
    disk_fini(&node->disk);
    disk_init(self, node);
    node->gen = 0;
    node->had_peers = false;
    draw_identity(node);
    self->disks_lost++;
    check_forget(self, node);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void member_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    (void)self;
    node->had_peers = true;
    switch (effect->what) {
    case SWIM_SUSPECT:
        SOMETIMES(SUSPECTED);
        break;
    case SWIM_DEAD:
        SOMETIMES(DIED);
        break;
    case SWIM_REJOIN:
        SOMETIMES(REJOINED);
        break;
    case SWIM_RESTART:
        SOMETIMES(RESTARTED);
        break;
    case SWIM_JOIN:
    case SWIM_ALIVE:
    case SWIM_LEFT:
    case SWIM_CHANGED:
        break;
    }
}

/* ---- leaving --------------------------------------------------------------------------------- */

#define LEAVE_MAX_US (20 * SIM_S) /* then whoever wants it to end loses patience */

static void push_leave(struct sim *self, struct sim_node *node, bool is_gone, uint64_t after_us)
{
    sim_push(self, &(struct sim_event){.at_us = self->now_us + after_us,
                                       .kind = SIM_LEAVE,
                                       .node = node->index,
                                       .life = node->life,
                                       .a = is_gone});
}

void node_leave(struct sim *self, unsigned index)
{
    struct sim_node *node = &self->nodes[index];
    if (!node->is_up || node->is_leaving)
        return;
    SIM_CHART(self, "%s drains", node->label);
    node->is_leaving = true;
    push_leave(self, node, false, LEAVE_MAX_US);
    push_leave(self, node, true, LEAVE_MAX_US + 3 * SIM_S);
    node_step(self, node, &(struct mesh_event){.kind = MESH_DRAIN});
}

static void leave(struct sim *self, struct sim_node *node, bool is_gone)
{
    if (!is_gone) {
        node_step(self, node, &(struct mesh_event){.kind = MESH_LEAVE});
        return;
    }
    SOMETIMES(NODE_LEFT);
    node_crash(self, node->index, NODE_LEFT);
    sim_push(self, &(struct sim_event){.at_us = self->now_us +
                                                sim_draw(&node->rand, 200 * SIM_MS, 6 * SIM_S),
                                       .kind = SIM_BOOT,
                                       .node = node->index});
}

static void do_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    switch (effect->kind) {
    case MESH_SEND_DATAGRAM:
        net_send_for(self, node, effect);
        return;
    case MESH_SEND_FRAME:
        links_send(self, node, effect);
        return;
    case MESH_PROBE:
        net_probe_for(self, node, effect);
        return;
    case MESH_APPEND:
        disk_append(self, node, effect);
        return;
    case MESH_FETCH:
        disk_fetch(self, node, effect);
        return;
    case MESH_PERSIST_GEN:
        sim_push(self, &(struct sim_event){.at_us = self->now_us + disk_sync_us(self, node),
                                           .kind = SIM_GEN,
                                           .node = node->index,
                                           .life = node->life,
                                           .a = effect->gen});
        return;
    case MESH_ACCEPTED:
    case MESH_REFUSED:
    case MESH_CANCELLED:
    case MESH_ANSWER:
    case MESH_FINAL:
        load_effect(self, node, effect);
        return;
    case MESH_PREPARE:
        runner_prepare(self, node, effect);
        return;
    case MESH_GIVE_SLOT:
        runner_give_slot(self, node, effect);
        return;
    case MESH_START:
        runner_start(self, node, effect);
        return;
    case MESH_STOP:
        runner_stop(self, node, effect);
        return;
    case MESH_MEMBER:
        member_effect(self, node, effect);
        return;
    case MESH_EXIT:
        check_violation(self, "I13", "%s was told to go: %s", node->label,
                        effect->reason ? effect->reason : "-");
        return;
    case MESH_DRAINED:
    case MESH_GONE:
        if (node->is_leaving)
            push_leave(self, node, effect->kind == MESH_GONE, SIM_MS);
        return;
    case MESH_CLONE:
        cloner_start(self, node, effect);
        return;
    case MESH_CLONE_STOP:
        cloner_stop(self, node, effect);
        return;
    case MESH_FORGET_SECRET:
        cloner_forget(self, node, effect->secret);
        return;
    case MESH_DROP:
    case MESH_RUNNING:
    case MESH_WHOLE:
        return;
    }
}

static void arm(struct sim *self, struct sim_node *node)
{
    uint64_t deadline = mesh_deadline(node->mesh);
    if (deadline == UINT64_MAX)
        return;
    uint64_t at = moment_of(node, deadline);
    if (at < self->now_us + SIM_MS / 10)
        at = self->now_us + SIM_MS / 10;
    if (at >= node->tick_us)
        return;
    node->tick_us = at;
    sim_push(self,
             &(struct sim_event){
                 .at_us = at, .kind = SIM_TICK, .node = node->index, .life = node->life, .a = at});
}

void node_step(struct sim *self, struct sim_node *node, struct mesh_event *event)
{
    assert(node->is_up);
    event->now_ms = node_mono_ms(self, node);
    event->wall_ms = node_wall_ms(self, node);
    mesh_step(node->mesh, event, &node->out);
    for (size_t i = 0; i < node->out.count; i++) {
        const struct mesh_effect *effect = &node->out.effects[i];
        sim_mix(self,
                (uint64_t)effect->kind << 32 ^ effect->token ^ effect->peer * 3 ^ effect->eval * 5);
        check_effect(self, node, effect);
        do_effect(self, node, effect);
    }
    cloner_check(self, node);
    arm(self, node);
}

void node_event(struct sim *self, const struct sim_event *event)
{
    struct sim_node *node = &self->nodes[event->node];
    switch ((int)event->kind) {
    case SIM_BOOT:
        node_boot(self, event->node);
        return;
    case SIM_BOOTED:
        node->is_booting = false;
        node->gen = event->a;
        start(self, node);
        return;
    case SIM_TICK:
        if (event->a == node->tick_us) {
            node->tick_us = SIM_NEVER;
            node_step(self, node, &(struct mesh_event){.kind = MESH_TICK});
        }
        return;
    case SIM_LEAVE:
        leave(self, node, event->a);
        return;
    case SIM_GEN:
        node->gen = event->a;
        node_step(self, node, &(struct mesh_event){.kind = MESH_GEN_PERSISTED});
        return;
    case SIM_SYNCED:
        disk_synced(self, node);
        return;
    case SIM_FETCHED:
        disk_fetched(self, node, event);
        return;
    case SIM_PROGRESS:
    case SIM_WORKED:
        runner_event(self, node, event);
        return;
    case SIM_CLONING:
    case SIM_CLONED:
        cloner_event(self, node, event);
        return;
    default:
        return;
    }
}
