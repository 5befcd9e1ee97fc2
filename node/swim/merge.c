/* What records and rumors do to the table: table 3.2 of the design, row by row, is in
 * docs/protocol.md. */
#include "node/swim/inner.h"

#include <assert.h>

/* ---- about ourselves ------------------------------------------------------------------------- */

static void want_gen(struct swim *self, uint64_t gen)
{
    if (gen > SWIM_GEN_MAX) {
        swim_end(self, SWIM_EXIT_GENERATION, NULL);
        return;
    }
    if (gen <= self->pending_gen)
        return;
    self->pending_gen = gen;
    swim_effect_add(self, SWIM_PERSIST_GEN)->gen = gen;
}

void merge_gen_persisted(struct swim *self, uint64_t gen)
{
    if (gen <= self->me->record.gen || gen > SWIM_GEN_MAX)
        return;
    table_set(self, self->me, gen, 0, self->me->record.st);
    rumor_queue(self, &self->me->rumor);
}

static void go_above(struct swim *self, uint64_t gen, uint32_t ver)
{
    if (gen > self->me->record.gen || ver == UINT32_MAX) {
        want_gen(self, gen + 1);
        return;
    }
    table_set(self, self->me, gen, ver + 1, self->me->record.st);
    rumor_queue(self, &self->me->rumor);
}

void merge_bump(struct swim *self) { go_above(self, self->me->record.gen, self->me->record.ver); }

static void speak_up(struct swim *self)
{
    if (!self->me->rumor.is_queued)
        rumor_queue(self, &self->me->rumor);
}

/* Somebody says that we are suspect, dead or gone. */
static void refute(struct swim *self, uint64_t gen, uint32_t ver)
{
    if (swim_leaving(self) || (self->faults & SWIM_FAULT_NO_REFUTE))
        return;
    if (member_compare(self->me, gen, ver) < 0) {
        speak_up(self);
        return;
    }
    go_above(self, gen, ver);
    self->stats.refutations++;
    swim_feel(self, 1);
}

/* An ALIVE about ourselves that is not ours. An older one is our own past, or the slower of two
 * processes with one identity: it hears of us. Of two that are equal, as when a folder was copied
 * and both were started within a second, one goes above, so that the other hears of it. */
static void hear_of_self(struct swim *self, const struct wire_member *record)
{
    int order = member_compare(self->me, record->gen, record->ver);
    int place = wire_addr_compare(&record->addr, &self->me->record.addr);
    if (place != 0 && (order > 0 || (order == 0 && place > 0)))
        swim_end(self, SWIM_EXIT_COPY, &record->addr);
    else if (order > 0 || (order == 0 && place != 0))
        go_above(self, record->gen, record->ver);
    else if (order < 0)
        speak_up(self);
}

/* ---- about others ---------------------------------------------------------------------------- */

static bool gen_is_possible(struct swim *self, uint64_t gen)
{
    if (gen <= SWIM_GEN_MAX)
        return true;
    self->stats.malformed++;
    return false;
}

static void welcome(struct swim *self, const struct wire_member *record, enum source source)
{
    struct wire_member alive = *record;
    alive.st = WIRE_STATE_ALIVE;
    bool was_alone = self->alive_count == 1;
    struct member *member = table_add(self, &alive);
    if (!member)
        return;
    join_ghost_drop(self, member->node);
    if (source != SOURCE_FIRST)
        rumor_queue(self, &member->rumor);
    swim_change(self, member->node, SWIM_JOIN);
    if (was_alone && source == SOURCE_DIRECT)
        exchange_want(self, member->node);
}

static void revive(struct swim *self, struct member *member, const struct wire_member *record)
{
    enum wire_state was = member->record.st;
    bool grew = record->gen > member->record.gen;
    bool changed = table_set_attributes(member, record);
    member->is_bare = false;
    if (was == WIRE_STATE_DEAD && !grew)
        suspicion_note_flap(self, member);
    if (grew) {
        member->shash_since_ms = 0;
        free(member->load);
        member->load = NULL;
    }
    table_set(self, member, record->gen, record->ver, WIRE_STATE_ALIVE);
    rumor_queue(self, &member->rumor);
    if (was == WIRE_STATE_LEFT)
        swim_change(self, member->node, SWIM_JOIN);
    else if (grew)
        swim_change(self, member->node, SWIM_RESTART);
    else if (was == WIRE_STATE_DEAD)
        swim_change(self, member->node, SWIM_REJOIN);
    else if (was == WIRE_STATE_SUSPECT)
        swim_change(self, member->node, SWIM_ALIVE);
    if (changed)
        swim_change(self, member->node, SWIM_CHANGED);
}

void merge_alive(struct swim *self, const struct wire_member *record, enum source source)
{
    uint64_t node = id_node_short(&record->node);
    if (!gen_is_possible(self, record->gen))
        return;
    if (node == self->me->node) {
        hear_of_self(self, record);
        return;
    }
    struct member *member = table_find(self, node);
    if (!member) {
        if (source == SOURCE_RUMOR)
            probe_candidate(self, node, &record->addr);
        else
            welcome(self, record, source);
        return;
    }
    int order = member_compare(member, record->gen, record->ver);
    if (order > 0) {
        bool was_dead = member->record.st == WIRE_STATE_DEAD;
        revive(self, member, record);
        if (was_dead && source == SOURCE_DIRECT)
            exchange_want(self, node);
    } else if (order == 0 && member->is_bare) {
        member->is_bare = false;
        if (table_set_attributes(member, record)) {
            table_set(self, member, record->gen, record->ver, member->record.st);
            swim_change(self, node, SWIM_CHANGED);
        }
    }
}

/* An accusation knows of a newer incarnation than we: what came before it is over. */
static void advance(struct swim *self, struct member *member, uint64_t gen, uint32_t ver)
{
    if (member_compare(member, gen, ver) <= 0)
        return;
    bool grew = gen > member->record.gen;
    enum wire_state st = member_is_up(member) ? WIRE_STATE_ALIVE : member->record.st;
    table_set(self, member, gen, ver, st);
    member->is_bare = true;
    if (grew && st == WIRE_STATE_ALIVE)
        swim_change(self, member->node, SWIM_RESTART);
}

void merge_suspect(struct swim *self, const struct wire_rumor *rumor)
{
    if (!gen_is_possible(self, rumor->gen))
        return;
    if (rumor->node == self->me->node) {
        refute(self, rumor->gen, rumor->ver);
        return;
    }
    struct member *member = table_find(self, rumor->node);
    if (!member || member_compare(member, rumor->gen, rumor->ver) < 0)
        return;
    if (!member_is_up(member)) {
        if (member_compare(member, rumor->gen, rumor->ver) > 0)
            probe_buddy(self, member); /* it was back since: what does it say? */
        return;
    }
    advance(self, member, rumor->gen, rumor->ver);
    bool was_alive = member->record.st == WIRE_STATE_ALIVE;
    suspicion_accuse(self, member, rumor->from);
    if (was_alive && rand_below(&self->rand, self->alive_count) < self->timing.eager)
        probe_eager(self, member, (uint32_t)rand_below(&self->rand, self->timing.eager_ms + 1),
                    false);
}

void merge_dead(struct swim *self, const struct wire_rumor *rumor, enum source source)
{
    if (!gen_is_possible(self, rumor->gen))
        return;
    if (rumor->node == self->me->node) {
        refute(self, rumor->gen, rumor->ver);
        return;
    }
    struct member *member = table_find(self, rumor->node);
    int order = member ? member_compare(member, rumor->gen, rumor->ver) : -1;
    if (order < 0)
        return;
    if (member_is_up(member) && source >= SOURCE_TABLE) {
        merge_suspect(self, rumor);
        return;
    }
    if (!member_is_up(member) && order == 0)
        return;
    bool was_up = member_is_up(member);
    member->is_bare = member->is_bare || order > 0;
    member->record.gen = rumor->gen;
    member->record.ver = rumor->ver;
    if (was_up || member->record.st == WIRE_STATE_LEFT) {
        suspicion_bury(self, member, rumor->from, rumor->why);
    } else {
        member->accused_by = rumor->from;
        member->why = rumor->why;
        rumor_queue(self, &member->rumor);
    }
}

void merge_left(struct swim *self, const struct wire_rumor *rumor)
{
    if (!gen_is_possible(self, rumor->gen))
        return;
    if (rumor->node == self->me->node) {
        refute(self, rumor->gen, rumor->ver);
        return;
    }
    struct member *member = table_find(self, rumor->node);
    int order = member ? member_compare(member, rumor->gen, rumor->ver) : -1;
    if (order < 0 || (order == 0 && member->record.st == WIRE_STATE_LEFT))
        return;
    table_set(self, member, rumor->gen, rumor->ver, WIRE_STATE_LEFT);
    rumor_queue(self, &member->rumor);
    swim_change(self, member->node, SWIM_LEFT);
}

void merge_record(struct swim *self, const struct wire_member *record, uint64_t from,
                  enum source source)
{
    uint64_t node = id_node_short(&record->node);
    struct wire_rumor rumor = {.node = node, .gen = record->gen, .ver = record->ver, .from = from};
    bool is_known = node == self->me->node || table_find(self, node);
    switch (record->st) {
    case WIRE_STATE_ALIVE:
        merge_alive(self, record, source);
        break;
    case WIRE_STATE_SUSPECT:
        if (node != self->me->node)
            merge_alive(self, record, source);
        merge_suspect(self, &rumor);
        break;
    case WIRE_STATE_DEAD:
        if (is_known)
            merge_dead(self, &rumor, source);
        else
            join_ghost_add(self, node, &record->addr);
        break;
    case WIRE_STATE_LEFT:
        merge_left(self, &rumor);
        break;
    case WIRE_STATE_COUNT:
        break;
    }
}
