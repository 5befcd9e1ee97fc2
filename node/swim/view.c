/* Questions about the table. */
#include "node/swim/inner.h"

size_t swim_count(const struct swim *self) { return self->member_count; }

static void view(const struct swim *self, const struct member *member, struct swim_view *out)
{
    bool is_self = member == self->me;
    *out = (struct swim_view){
        .member = member->record,
        .is_self = is_self,
        .is_refused = member->record.st == WIRE_STATE_DEAD && member->why == WIRE_WHY_REFUSED,
        .is_compatible = wire_version_agree(self->me->record.pv, member->record.pv) != 0,
        .agrees = is_self || member->agrees,
        .rtt_ms = member->rtt8 == 0 ? 0 : (member->rtt8 - 1) / 8 + 1,
        .heard_ms = is_self ? self->now_ms : member->heard_ms,
        .state_since_ms = member->since_ms,
        .differs_since_ms = is_self ? 0 : member->shash_since_ms,
    };
}

void swim_at(const struct swim *self, size_t index, struct swim_view *out)
{
    view(self, self->members[index], out);
}

bool swim_member(const struct swim *self, uint64_t node, struct swim_view *out)
{
    const struct member *member = table_find(self, node);
    if (member)
        view(self, member, out);
    return member != NULL;
}

const uint64_t *swim_alive(const struct swim *self, size_t *count)
{
    *count = self->alive_count;
    return self->alive;
}

const struct wire_load *swim_load(const struct swim *self, uint64_t node)
{
    const struct member *member = table_find(self, node);
    return member ? member->load : NULL;
}

uint32_t swim_mhash(const struct swim *self) { return self->mhash; }

uint64_t swim_gen(const struct swim *self) { return self->me->record.gen; }

uint32_t swim_health(const struct swim *self) { return self->health; }

const struct swim_stats *swim_stats(const struct swim *self) { return &self->stats; }
