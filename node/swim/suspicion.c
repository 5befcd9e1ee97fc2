#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <math.h>

static unsigned flaps_of(const struct swim *self, const struct member *member)
{
    unsigned count = 0;
    for (size_t i = 0; i < FLAPS_MAX; i++)
        count += member->flap_ms[i] != 0 &&
                 self->now_ms - member->flap_ms[i] < self->timing.flap_window_ms;
    return count;
}

void suspicion_note_flap(struct swim *self, struct member *member)
{
    size_t oldest = 0;
    for (size_t i = 1; i < FLAPS_MAX; i++)
        if (member->flap_ms[i] < member->flap_ms[oldest])
            oldest = i;
    member->flap_ms[oldest] = self->now_ms;
}

/* Lifeguard's: from the most, without a confirmation, down to the least, with all of them. */
static uint64_t timeout_of(const struct suspicion *suspicion)
{
    if (suspicion->confirmations == 0)
        return suspicion->min_ms;
    double share =
        log((double)suspicion->accuser_count) / log((double)suspicion->confirmations + 1);
    double span = (double)(suspicion->max_ms - suspicion->min_ms);
    double timeout = (double)suspicion->max_ms - span * share;
    return timeout <= (double)suspicion->min_ms ? suspicion->min_ms : (uint64_t)timeout;
}

/* A refusal proves that this process is gone, unless a firewall or another program at its port
 * speaks for it: so it takes two of ours, or an accuser besides us, where there can be one. */
static bool is_proven(const struct swim *self, const struct suspicion *suspicion)
{
    if (suspicion->refusals == 0)
        return false;
    return suspicion->refusals > 1 || suspicion->accuser_count > 1 || self->alive_count < 3;
}

uint64_t suspicion_deadline(const struct swim *self, const struct member *member)
{
    const struct suspicion *suspicion = member->suspicion;
    uint64_t timeout = timeout_of(suspicion);
    if (is_proven(self, suspicion) && timeout > self->timing.refused_ms)
        timeout = self->timing.refused_ms;
    return suspicion->start_ms + timeout;
}

static void start(struct swim *self, struct member *member)
{
    const struct swim_timing *timing = &self->timing;
    double scale = log10((double)self->alive_count);
    struct suspicion *suspicion = mem_new(sizeof(*suspicion));
    suspicion->start_ms = self->now_ms;
    suspicion->min_ms = (uint64_t)((double)timing->suspicion_ms * (scale > 1 ? scale : 1));
    suspicion->min_ms <<= flaps_of(self, member);
    suspicion->max_ms = suspicion->min_ms * timing->suspicion_max;
    uint32_t others = self->alive_count > 2 ? (uint32_t)self->alive_count - 2 : 0;
    uint32_t want = timing->confirmations < others ? timing->confirmations : others;
    suspicion->confirmations = want < ACCUSERS_MAX ? want : ACCUSERS_MAX - 1;
    member->suspicion = suspicion;
    table_set(self, member, member->record.gen, member->record.ver, WIRE_STATE_SUSPECT);
    swim_change(self, member->node, SWIM_SUSPECT);
}

void suspicion_accuse(struct swim *self, struct member *member, uint64_t from)
{
    if (!member->suspicion)
        start(self, member);
    struct suspicion *suspicion = member->suspicion;
    for (size_t i = 0; i < suspicion->accuser_count; i++)
        if (suspicion->accusers[i].from == from)
            return;
    if (suspicion->accuser_count > suspicion->confirmations)
        return;
    struct accuser *accuser = &suspicion->accusers[suspicion->accuser_count++];
    *accuser = (struct accuser){.subject = member, .from = from};
    accuser->rumor.kind = RUMOR_ACCUSATION;
    rumor_queue(self, &accuser->rumor);
    self->is_suspect_stale = true;
}

void suspicion_refused(struct swim *self, struct member *member)
{
    if (!member->suspicion)
        return;
    member->suspicion->refusals++;
    self->is_suspect_stale = true;
    if (!is_proven(self, member->suspicion))
        probe_eager(self, member, self->timing.rto_min_ms, true);
}

void suspicion_free(struct swim *self, struct member *member)
{
    if (!member->suspicion)
        return;
    for (size_t i = 0; i < member->suspicion->accuser_count; i++)
        rumor_drop(self, &member->suspicion->accusers[i].rumor);
    free(member->suspicion);
    member->suspicion = NULL;
    self->is_suspect_stale = true;
}

void suspicion_bury(struct swim *self, struct member *member, uint64_t from, uint8_t why)
{
    member->accused_by = from;
    member->why = why;
    table_set(self, member, member->record.gen, member->record.ver, WIRE_STATE_DEAD);
    rumor_queue(self, &member->rumor);
    swim_change(self, member->node, SWIM_DEAD);
}

void suspicion_tick(struct swim *self)
{
    if (self->now_ms < suspicion_next(self) || swim_leaving(self))
        return;
    for (size_t i = 0; i < self->member_count; i++) {
        struct member *member = self->members[i];
        if (!member->suspicion || self->now_ms < suspicion_deadline(self, member))
            continue;
        bool is_refused = is_proven(self, member->suspicion);
        suspicion_bury(self, member, self->me->node,
                       is_refused ? WIRE_WHY_REFUSED : WIRE_WHY_TIMEOUT);
    }
    self->is_suspect_stale = true;
}

uint64_t suspicion_next(struct swim *self)
{
    if (self->suspect_count == 0 || swim_leaving(self))
        return NEVER;
    if (self->is_suspect_stale) {
        self->suspect_next_ms = NEVER;
        for (size_t i = 0; i < self->member_count; i++) {
            if (!self->members[i]->suspicion)
                continue;
            uint64_t deadline = suspicion_deadline(self, self->members[i]);
            if (deadline < self->suspect_next_ms)
                self->suspect_next_ms = deadline;
        }
        self->is_suspect_stale = false;
    }
    uint64_t next = self->suspect_next_ms;
    return next < self->accuse_after_ms ? self->accuse_after_ms : next;
}
