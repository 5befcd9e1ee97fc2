/* Tables are exchanged when digests say that they differ and rumors have had their time; in a mesh
 * at rest, never.
 *
 * "Differ" must last: while a rumor travels, somebody is always ahead. In a large mesh the same
 * member is heard too rarely to watch it, so the whole is watched: packets that disagree keep
 * coming for sync_ms while our own table stands still (or five times that, whatever it does). */
#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <string.h>

#define MFULL_MEMBERS 1024 /* records in a frame: under half a MiB */
#define RESTLESS      5    /* times sync_ms, while our own table keeps changing */

void exchange_table_changed(struct swim *self)
{
    if (self->mismatch_ms != 0)
        self->mismatch_ms = self->now_ms;
}

void exchange_want(struct swim *self, uint64_t node) { self->sync_node = node; }

void exchange_note(struct swim *self, struct member *member, uint32_t mhash)
{
    member->agrees = mhash == self->mhash;
    if (member->agrees || !member_is_up(member))
        return;
    uint64_t gap = 3 * (uint64_t)self->timing.period_ms * (1 + self->health);
    if (self->mismatch_ms == 0 || self->now_ms - self->mismatch_last_ms > gap) {
        self->mismatch_ms = self->now_ms;
        self->mismatch_first_ms = self->now_ms;
    }
    self->mismatch_last_ms = self->now_ms;
    uint32_t wait = self->timing.sync_ms;
    if (self->now_ms - self->mismatch_ms >= wait ||
        self->now_ms - self->mismatch_first_ms >= (uint64_t)RESTLESS * wait) {
        self->mismatch_ms = 0;
        exchange_want(self, member->node);
    }
}

uint64_t exchange_next(const struct swim *self)
{
    if (self->sync_node == 0 || swim_leaving(self))
        return NEVER;
    if (self->sync_last_ms == 0)
        return self->now_ms;
    return self->sync_last_ms + self->timing.sync_ms;
}

void exchange_tick(struct swim *self)
{
    if (self->now_ms < exchange_next(self))
        return;
    struct member *peer = table_find(self, self->sync_node);
    self->sync_node = 0;
    if (!peer || !member_is_up(peer) || peer == self->me)
        return;
    struct wire_tag *tags = mem_new_array(self->member_count, sizeof(*tags));
    size_t count = 0;
    for (size_t i = 0; i < self->member_count; i++)
        if (member_is_up(self->members[i]))
            tags[count++] = (struct wire_tag){self->members[i]->node, self->members[i]->hash};
    struct wire_msg *msg = swim_frame(self, peer, tags, NULL);
    msg->kind = WIRE_MSYNC;
    msg->msync = (struct wire_msync){.tags = tags, .tag_count = count};
    self->sync_last_ms = self->now_ms ? self->now_ms : 1;
    self->stats.syncs++;
}

/* ---- answers --------------------------------------------------------------------------------- */

struct answer {
    struct wire_member *members;
    size_t member_count;
    size_t member_capacity;
    uint64_t *need;
    size_t need_count;
    size_t need_capacity;
};

static void give(struct answer *self, const struct member *member)
{
    self->members = mem_grow(self->members, &self->member_capacity, self->member_count + 1,
                             sizeof(*self->members));
    self->members[self->member_count++] = member->record;
}

static void ask(struct answer *self, uint64_t node)
{
    self->need =
        mem_grow(self->need, &self->need_capacity, self->need_count + 1, sizeof(*self->need));
    self->need[self->need_count++] = node;
}

/* Texts are borrowed from members: nothing changes the table any more in this step. */
static void send_answer(struct swim *self, const struct member *to, struct answer *answer)
{
    for (size_t at = 0; at < answer->member_count || (at == 0 && answer->need_count > 0);
         at += MFULL_MEMBERS) {
        size_t count = answer->member_count - at;
        count = count < MFULL_MEMBERS ? count : MFULL_MEMBERS;
        struct wire_member *members =
            count ? mem_dup(answer->members + at, count * sizeof(*members)) : NULL;
        bool is_first = at == 0;
        uint64_t *need = is_first ? answer->need : NULL;
        struct wire_msg *msg = swim_frame(self, to, members, need);
        msg->kind = WIRE_MFULL;
        msg->mfull = (struct wire_mfull){.members = members,
                                         .member_count = count,
                                         .need = need,
                                         .need_count = is_first ? answer->need_count : 0};
        if (is_first)
            answer->need = NULL;
    }
    free(answer->members);
    free(answer->need);
}

static void answer_msync(struct swim *self, const struct member *from,
                         const struct wire_msync *msync)
{
    struct answer answer = {0};
    bool *is_named = mem_new_array(self->member_count, sizeof(*is_named));
    for (size_t i = 0; i < msync->tag_count; i++) {
        const struct wire_tag *tag = &msync->tags[i];
        size_t place = table_place(self, tag->node);
        if (place == self->member_count || self->nodes[place] != tag->node) {
            ask(&answer, tag->node);
            continue;
        }
        const struct member *member = self->members[place];
        if (!is_named[place] && tag->tag != member->hash)
            give(&answer, member);
        is_named[place] = true;
    }
    for (size_t i = 0; i < self->member_count; i++)
        if (!is_named[i] && member_is_up(self->members[i]))
            give(&answer, self->members[i]);
    free(is_named);
    send_answer(self, from, &answer);
}

/* Ours is the larger: he is to have it. */
static bool is_behind(const struct swim *self, const struct wire_member *record)
{
    const struct member *ours = table_find(self, id_node_short(&record->node));
    return ours && wire_member_compare(record, &ours->record) < 0;
}

static void answer_mfull(struct swim *self, const struct member *from,
                         const struct wire_mfull *mfull)
{
    bool knew_nobody = self->alive_count <= 1 + (member_is_up(from) ? 1 : 0);
    struct answer answer = {0};
    for (size_t i = 0; i < mfull->member_count; i++)
        merge_record(self, &mfull->members[i], from->node,
                     knew_nobody ? SOURCE_FIRST : SOURCE_TABLE);
    if (self->is_over)
        return;
    for (size_t i = 0; i < mfull->member_count; i++)
        if (is_behind(self, &mfull->members[i]))
            give(&answer, table_find(self, id_node_short(&mfull->members[i].node)));
    for (size_t i = 0; i < mfull->need_count; i++) {
        const struct member *member = table_find(self, mfull->need[i]);
        if (member)
            give(&answer, member);
    }
    send_answer(self, from, &answer);
}

void exchange_frame(struct swim *self, uint64_t node, const struct wire_msg *msg)
{
    const struct member *from = table_find(self, node);
    if (!from || from == self->me || swim_leaving(self))
        return;
    if (msg->kind == WIRE_MSYNC)
        answer_msync(self, from, &msg->msync);
    else if (msg->kind == WIRE_MFULL)
        answer_mfull(self, from, &msg->mfull);
}
