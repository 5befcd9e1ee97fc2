#include "node/swim/inner.h"

#define PARALLEL 3 /* addresses asked at once */

/* ---- addresses of the configuration ---------------------------------------------------------- */

static struct bootstrap *find(struct swim *self, const struct wire_addr *addr)
{
    for (size_t i = 0; i < self->bootstrap_count; i++)
        if (wire_addr_compare(&self->bootstraps[i].addr, addr) == 0)
            return &self->bootstraps[i];
    return NULL;
}

void join_address(struct swim *self, const struct wire_addr *addr)
{
    if (!wire_addr_is_set(addr) || find(self, addr))
        return;
    if (self->bootstrap_count == SWIM_ADDRESSES_MAX) {
        self->stats.dropped++;
        return;
    }
    bool is_self = wire_addr_compare(addr, &self->me->record.addr) == 0;
    self->bootstraps[self->bootstrap_count++] =
        (struct bootstrap){.addr = *addr, .is_self = is_self};
    join_alone(self);
    if (self->join_ms != NEVER && !is_self) { /* do not wait for what an earlier one waits for */
        self->join_ms = self->now_ms;
        self->join_wait_ms = self->timing.join_min_ms;
    }
}

void join_is_self(struct swim *self, const struct wire_addr *addr)
{
    struct bootstrap *bootstrap = find(self, addr);
    if (bootstrap)
        bootstrap->is_self = true;
}

void join_answered(struct swim *self, const struct wire_addr *addr, uint64_t node)
{
    struct bootstrap *bootstrap = find(self, addr);
    if (bootstrap)
        bootstrap->node = node;
    for (size_t i = 0; i < self->ghost_count; i++)
        if (wire_addr_compare(&self->ghosts[i].addr, addr) == 0)
            self->ghosts[i--] = self->ghosts[--self->ghost_count];
}

static bool is_missing(const struct swim *self, const struct bootstrap *bootstrap)
{
    if (bootstrap->is_self)
        return false;
    const struct member *member = bootstrap->node ? table_find(self, bootstrap->node) : NULL;
    if (member && member_is_up(member))
        return false;
    for (size_t i = 0; i < self->member_count; i++)
        if (member_is_up(self->members[i]) &&
            wire_addr_compare(&self->members[i]->record.addr, &bootstrap->addr) == 0)
            return false;
    return true;
}

/* ---- joining --------------------------------------------------------------------------------- */

void join_alone(struct swim *self)
{
    bool can_join =
        self->me && self->alive_count == 1 && !swim_leaving(self) && self->bootstrap_count > 0;
    if (!can_join) {
        self->join_ms = NEVER;
    } else if (self->join_ms == NEVER) {
        self->join_ms = self->now_ms;
        self->join_wait_ms = self->timing.join_min_ms;
    }
}

static void join(struct swim *self)
{
    size_t asked = 0;
    for (size_t i = 0; i < self->bootstrap_count && asked < PARALLEL; i++) {
        const struct bootstrap *bootstrap = &self->bootstraps[self->bootstrap_at];
        self->bootstrap_at = (self->bootstrap_at + 1) % self->bootstrap_count;
        if (bootstrap->is_self)
            continue;
        probe_contact(self, 0, &bootstrap->addr);
        asked++;
    }
    self->join_ms = self->now_ms + self->join_wait_ms;
    uint32_t next = 2 * self->join_wait_ms;
    self->join_wait_ms = next < self->timing.join_max_ms ? next : self->timing.join_max_ms;
}

/* ---- healing --------------------------------------------------------------------------------- */

void join_ghost_add(struct swim *self, uint64_t node, const struct wire_addr *addr)
{
    join_ghost_drop(self, node);
    if (!wire_addr_is_set(addr) || self->ghost_count == GHOSTS_MAX)
        return;
    self->ghosts[self->ghost_count++] =
        (struct ghost){node, *addr, self->now_ms + self->timing.left_keep_ms};
}

void join_ghost_drop(struct swim *self, uint64_t node)
{
    for (size_t i = 0; i < self->ghost_count; i++)
        if (self->ghosts[i].node == node)
            self->ghosts[i--] = self->ghosts[--self->ghost_count];
}

static void heal_nth(struct swim *self, size_t n)
{
    for (size_t i = 0; i < self->member_count; i++) {
        const struct member *member = self->members[i];
        if (member->record.st == WIRE_STATE_DEAD && n-- == 0) {
            probe_contact(self, member->node, &member->record.addr);
            return;
        }
    }
    for (size_t i = 0; i < self->bootstrap_count; i++) {
        if (is_missing(self, &self->bootstraps[i]) && n-- == 0) {
            probe_contact(self, 0, &self->bootstraps[i].addr);
            return;
        }
    }
    if (n < self->ghost_count)
        probe_contact(self, self->ghosts[n].node, &self->ghosts[n].addr);
}

/* One of the dead, the missing addresses and those merely heard of, now and then: the whole mesh
 * together sends the same few pings whatever its size. */
static void heal(struct swim *self)
{
    self->heal_ms = self->now_ms + self->timing.heal_ms;
    if (rand_below(&self->rand, self->alive_count) >= self->timing.heal_rate)
        return;
    size_t count = self->ghost_count;
    for (size_t i = 0; i < self->member_count; i++)
        count += self->members[i]->record.st == WIRE_STATE_DEAD;
    for (size_t i = 0; i < self->bootstrap_count; i++)
        count += is_missing(self, &self->bootstraps[i]);
    if (count > 0)
        heal_nth(self, (size_t)rand_below(&self->rand, count));
}

/* ---- leaving --------------------------------------------------------------------------------- */

void join_leave(struct swim *self)
{
    if (swim_leaving(self))
        return;
    self->leave_end_ms = self->now_ms + self->timing.leave_ms;
    struct member *me = self->me;
    table_set(self, me, me->record.gen, me->record.ver, WIRE_STATE_LEFT);
    rumor_queue(self, &me->rumor);
    self->gossip_ms = self->now_ms;
    self->join_ms = NEVER;
}

static void leave(struct swim *self)
{
    bool is_told = !self->me->rumor.is_queued || self->alive_count == 0;
    if (!is_told && self->now_ms < self->leave_end_ms)
        return;
    swim_effect_add(self, SWIM_LEFT_DONE);
    self->is_over = true;
}

/* ---- time ------------------------------------------------------------------------------------ */

void join_tick(struct swim *self)
{
    if (swim_leaving(self)) {
        leave(self);
        return;
    }
    if (self->now_ms >= self->join_ms)
        join(self);
    if (self->now_ms >= self->heal_ms)
        heal(self);
}

uint64_t join_next(const struct swim *self)
{
    if (swim_leaving(self))
        return self->leave_end_ms;
    uint64_t next = self->join_ms < self->heal_ms ? self->join_ms : self->heal_ms;
    return next < self->expire_ms ? next : self->expire_ms;
}
