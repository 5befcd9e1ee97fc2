/* What goes wrong, how often and how badly: each seed draws a part of all that could. */
#include "tests/sim/sim.h"

#include <inttypes.h>

enum fault {
    FAULT_CRASH,    /* b: node */
    FAULT_OWNER,    /* the node that leads b */
    FAULT_GONE,     /* one, for ever */
    FAULT_DISK,     /* one, with its disk */
    FAULT_BLACKOUT, /* all */
    FAULT_CUT,      /* some from the others */
    FAULT_HEAL,     /* b: which cut */
    FAULT_PAUSE,
    FAULT_CLOG, /* a path stands still for a while */
    FAULT_BREAK,
    FAULT_DISK_ERROR,
    FAULT_CLOCK,
    FAULT_UNREADY,
    FAULT_LEAVE,
};

/* ---- what a seed has ------------------------------------------------------------------------- */

static bool has(struct sim *self, uint32_t percent)
{
    return sim_chance(&self->fault_rand, percent * 10000);
}

static uint32_t strength(struct sim *self, uint32_t percent, uint32_t most)
{
    return has(self, percent) ? (uint32_t)sim_draw(&self->fault_rand, most / 20, most) : 0;
}

void faults_draw(struct sim *self)
{
    struct sim_swarm *swarm = &self->swarm;
    enum sim_mode mode = self->options.mode;
    struct rand *rand = &self->fault_rand;
    swarm->delay_us = has(self, 70) ? 500 : 60 * SIM_MS;
    swarm->jitter_us = has(self, 70) ? 1000 : 200 * SIM_MS;
    swarm->sync_us = has(self, 80) ? 2 * SIM_MS : 80 * SIM_MS;
    swarm->has_git = self->options.git == SIM_GIT_ALL ||
                     (self->options.git == SIM_GIT_SOME && sim_hash3(self->options.seed, 20, 0, 0) %
                                                               2); /* takes nothing from a stream */
    if (self->options.is_scripted) {
        swarm->delay_us = 500;
        swarm->jitter_us = 500;
        swarm->sync_us = 2 * SIM_MS;
        return;
    }
    swarm->fault_us = sim_draw(rand, 6 * SIM_S, 25 * SIM_S);
    bool is_long = has(self, 12); /* long enough for a node to lose patience */
    if (is_long)
        swarm->fault_us = 50 * SIM_S;
    swarm->loss_ppm = strength(self, 50, 100000);
    swarm->dup_ppm = strength(self, 30, 50000);
    swarm->flip_ppm = strength(self, 30, 20000);
    swarm->slow_sync_ppm = strength(self, 40, 100000);
    swarm->crashes = strength(self, mode == SIM_CRASH ? 90 : 50, 8);
    swarm->leaves = strength(self, 20, 4);
    swarm->cuts = mode == SIM_CRASH ? 0 : strength(self, mode == SIM_PART ? 100 : 60, 8);
    swarm->cut_us = is_long ? 45 * SIM_S : 12 * SIM_S;
    swarm->pauses = strength(self, 30, 4);
    swarm->clogs = strength(self, 30, 20);
    swarm->breaks = strength(self, 30, 20);
    swarm->disk_errors = strength(self, 15, 2);
    swarm->clock_jumps = strength(self, 20, 4);
    swarm->has_killers = has(self, 20);
    swarm->has_hangs = has(self, 30);
    swarm->has_flaky = has(self, 60);
    swarm->has_losses = has(self, 30);
    swarm->has_unready = has(self, 30);
    swarm->has_variants = has(self, 15);
    swarm->has_dates = has(self, 15);
    swarm->tempt_ppm = strength(self, 25, 200000);
    swarm->evals = (unsigned)sim_draw(rand, 1, has(self, 5) ? 20 : 5);
    swarm->cancels = has(self, 25) ? 1 : 0;
}

/* ---- when ------------------------------------------------------------------------------------ */

static void plan(struct sim *self, uint64_t at_us, enum fault what, uint64_t b)
{
    sim_push(self, &(struct sim_event){.at_us = at_us, .kind = SIM_FAULT, .a = what, .b = b});
}

static void plan_some(struct sim *self, unsigned count, enum fault what)
{
    for (unsigned i = 0; i < count; i++)
        plan(self, sim_draw(&self->fault_rand, 500 * SIM_MS, self->swarm.fault_us), what, 0);
}

void faults_plan(struct sim *self)
{
    if (self->options.is_scripted)
        return;
    const struct sim_swarm *swarm = &self->swarm;
    enum sim_mode mode = self->options.mode;
    plan_some(self, swarm->crashes, FAULT_CRASH);
    plan_some(self, (unsigned)sim_draw(&self->fault_rand, 0, 2), FAULT_OWNER);
    plan_some(self, swarm->leaves, FAULT_LEAVE);
    plan_some(self, swarm->cuts, FAULT_CUT);
    plan_some(self, swarm->pauses, FAULT_PAUSE);
    plan_some(self, swarm->clogs, FAULT_CLOG);
    plan_some(self, swarm->breaks, FAULT_BREAK);
    plan_some(self, swarm->disk_errors, FAULT_DISK_ERROR);
    plan_some(self, swarm->clock_jumps, FAULT_CLOCK);
    plan_some(self, has(self, 30) ? 3 : 0, FAULT_UNREADY);
    if (mode == SIM_PERM)
        plan_some(self, (unsigned)sim_draw(&self->fault_rand, 1, 2), FAULT_GONE);
    if (mode == SIM_DISK)
        plan_some(self, (unsigned)sim_draw(&self->fault_rand, 1, 2), FAULT_DISK);
    if (mode == SIM_BLACKOUT)
        plan_some(self, (unsigned)sim_draw(&self->fault_rand, 1, 3), FAULT_BLACKOUT);
    sim_push(self, &(struct sim_event){.at_us = swarm->fault_us, .kind = SIM_CALM});
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void crash(struct sim *self, unsigned index, uint64_t least_us, uint64_t most_us)
{
    struct sim_node *node = &self->nodes[index];
    if (!node->is_up)
        return;
    node_crash(self, index, has(self, 60) ? NODE_KILLED : NODE_POWER);
    sim_push(self, &(struct sim_event){.at_us = self->now_us +
                                                sim_draw(&self->fault_rand, least_us, most_us),
                                       .kind = SIM_BOOT,
                                       .node = index});
}

static unsigned any(struct sim *self)
{
    return (unsigned)rand_below(&self->fault_rand, self->node_count);
}

/* The node that leads some evaluation that is not finished, as the newest fence says. */
static void crash_owner(struct sim *self)
{
    if (self->eval_count == 0)
        return;
    uint64_t id = self->evals[rand_below(&self->fault_rand, self->eval_count)].id;
    const struct doc_fence *fence = NULL;
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct doc *doc = disk_find(&self->nodes[i].disk, id);
        if (!doc || doc_is_final(doc) || !doc->fence)
            continue;
        if (!fence || doc_ballot_compare(fence->ballot, doc->fence->ballot) < 0)
            fence = doc->fence;
    }
    struct sim_node *owner = fence ? node_by_id(self, fence->ballot.owner) : NULL;
    if (!owner || !owner->is_up)
        return;
    SOMETIMES(OWNER_KILLED);
    crash(self, owner->index, 200 * SIM_MS, 15 * SIM_S);
}

static bool may_lose(const struct sim *self)
{
    return self->gone + self->disks_lost < 2 && self->gone + 1 < self->node_count;
}

static void lose_for_ever(struct sim *self)
{
    unsigned index = any(self);
    if (!may_lose(self) || self->nodes[index].is_gone)
        return;
    SOMETIMES(NODE_FOR_EVER);
    node_crash(self, index, has(self, 50) ? NODE_KILLED : NODE_POWER);
    self->nodes[index].is_gone = true;
    self->gone++;
}

static void lose_disk(struct sim *self)
{
    unsigned index = any(self);
    if (!may_lose(self) || !self->nodes[index].is_up)
        return;
    node_crash(self, index, NODE_POWER);
    node_lose_disk(self, index);
    sim_push(self, &(struct sim_event){.at_us = self->now_us +
                                                sim_draw(&self->fault_rand, SIM_S, 10 * SIM_S),
                                       .kind = SIM_BOOT,
                                       .node = index});
}

static void blackout(struct sim *self)
{
    SOMETIMES(BLACKOUT);
    for (unsigned i = 0; i < self->node_count; i++)
        crash(self, i, 200 * SIM_MS, 6 * SIM_S);
}

/* ---- network --------------------------------------------------------------------------------- */

void faults_cut(struct sim *self, unsigned a, unsigned b, bool both)
{
    self->paths[a][b].is_cut = true;
    if (both)
        self->paths[b][a].is_cut = true;
}

void faults_heal(struct sim *self)
{
    SIM_CHART(self, "---- the network is whole ----");
    for (unsigned i = 0; i < self->node_count; i++)
        for (unsigned j = 0; j < self->node_count; j++)
            self->paths[i][j].is_cut = false;
}

static void cut(struct sim *self)
{
    struct rand *rand = &self->fault_rand;
    unsigned side = (unsigned)rand_below(rand, 1u << self->node_count);
    if (has(self, 30))
        side = 1u << any(self);
    bool both = has(self, 75), some = has(self, 20);
    SIM_CHART(self, "---- cut: nodes %x %s %s ----", side, both ? "from all others" : "one way",
              some ? "in part" : "");
    for (unsigned i = 0; i < self->node_count; i++)
        for (unsigned j = 0; j < self->node_count; j++)
            if ((side >> i & 1) && !(side >> j & 1) && (!some || has(self, 50)))
                faults_cut(self, i, j, both);
    plan(self, self->now_us + sim_draw(rand, 500 * SIM_MS, self->swarm.cut_us), FAULT_HEAL, 0);
}

static void clog_path(struct sim *self)
{
    unsigned a = any(self), b = any(self);
    self->paths[a][b].clogged_until_us =
        self->now_us + sim_draw(&self->fault_rand, 50 * SIM_MS, 4 * SIM_S);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void pause_node(struct sim *self, struct sim_node *node)
{
    if (!node->is_up)
        return;
    SOMETIMES(NODE_PAUSED);
    node->paused_until_us = self->now_us + sim_draw(&self->fault_rand, 100 * SIM_MS, 10 * SIM_S);
    SIM_CHART(self, "%s stands still for %u ms", node->label,
              (unsigned)((node->paused_until_us - self->now_us) / SIM_MS));
}

/* The process says that it cannot write, and is started again by whoever watches it. */
static void disk_error(struct sim *self, struct sim_node *node)
{
    if (!node->is_up || node->disk.has_failed)
        return;
    disk_fail(self, node);
    plan(self, self->now_us + sim_draw(&self->fault_rand, 2 * SIM_S, 8 * SIM_S), FAULT_CRASH,
         node->index + 1);
}

static void jump(struct sim *self, struct sim_node *node)
{
    SOMETIMES(CLOCK_JUMP);
    node->clock.wall_ms += (int64_t)sim_draw(&self->fault_rand, 0, 7200000) - 3600000;
}

static void make_unready(struct sim *self, struct sim_node *node)
{
    if (!node->is_up || node->ready_count == 0)
        return;
    SOMETIMES(PROJECT_UNREADY);
    size_t which = (size_t)rand_below(&self->fault_rand, node->ready_count);
    struct work work = node->ready[which].work;
    node->ready[which] = node->ready[--node->ready_count];
    SIM_CHART(self, "%s: p%u of %" PRIu64 " is not ready any more", node->label, work.p, work.eval);
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_UNREADY, .eval = work.eval, .work = work});
}

void faults_tempt(struct sim *self, const struct sim_node *node)
{
    if (self->is_calm || !sim_chance(&self->fault_rand, self->swarm.tempt_ppm))
        return;
    SOMETIMES(TEMPTED);
    plan(self, self->now_us + sim_draw(&self->fault_rand, 0, 5 * SIM_MS), FAULT_CRASH,
         node->index + 1);
}

void faults_event(struct sim *self, const struct sim_event *event)
{
    if (self->is_calm)
        return;
    switch ((enum fault)event->a) {
    case FAULT_CRASH:
        crash(self, event->b ? (unsigned)event->b - 1 : any(self), 200 * SIM_MS, 8 * SIM_S);
        return;
    case FAULT_OWNER:
        crash_owner(self);
        return;
    case FAULT_GONE:
        lose_for_ever(self);
        return;
    case FAULT_DISK:
        lose_disk(self);
        return;
    case FAULT_BLACKOUT:
        blackout(self);
        return;
    case FAULT_CUT:
        cut(self);
        return;
    case FAULT_HEAL:
        faults_heal(self);
        return;
    case FAULT_PAUSE:
        pause_node(self, &self->nodes[any(self)]);
        return;
    case FAULT_CLOG:
        clog_path(self);
        return;
    case FAULT_BREAK:
        links_break(self, any(self), any(self), has(self, 30) ? LINK_BYE : LINK_RESET);
        return;
    case FAULT_DISK_ERROR:
        disk_error(self, &self->nodes[any(self)]);
        return;
    case FAULT_CLOCK:
        jump(self, &self->nodes[any(self)]);
        return;
    case FAULT_LEAVE:
        node_leave(self, any(self));
        return;
    case FAULT_UNREADY:
        make_unready(self, &self->nodes[any(self)]);
        return;
    }
}
