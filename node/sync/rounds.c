/* Which documents differ. */
#include "node/sync/sync_inner.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

static_assert(DOCS_BUCKETS == WIRE_BUCKETS, "a SYNC has all buckets");
#define COVER_BYTES (WIRE_BUCKETS / 8)

static bool covers(const uint8_t *cover, unsigned bucket)
{
    return cover[bucket / 8] >> (bucket % 8) & 1;
}

/* ---- our own round --------------------------------------------------------------------------- */

static struct peer *next_peer(struct sync *self)
{
    bool is_time = self->now_ms >= self->next_round_ms;
    for (size_t i = 0; i < self->peer_count; i++) {
        size_t at = (self->peer_turn + i) % self->peer_count;
        struct peer *peer = self->peers[at];
        if (peer->is_alive && peer->is_wanted && (is_time || peer->is_urgent)) {
            self->peer_turn = at + 1;
            return peer;
        }
    }
    return NULL;
}

void rounds_begin_next(struct sync *self)
{
    struct peer *peer = self->round.number ? NULL : next_peer(self);
    if (!peer)
        return;
    const struct docs *docs = self->config.docs;
    peer->is_wanted = peer->is_urgent = false;
    self->next_round_ms = self->now_ms + ROUND_EVERY;
    self->round = (struct round){.number = ++self->last_round,
                                 .peer = peer->id,
                                 .rid = sync_rid(self),
                                 .until_ms = self->now_ms + ROUND_WAIT};
    struct wire_msg *msg = sync_send(self, peer->id, WIRE_SYNC);
    uint64_t *buckets = mem_dup(docs->buckets(docs->arg), DOCS_BUCKETS * sizeof *buckets);
    msg->sync = (struct wire_sync){.rid = self->round.rid,
                                   .root = docs_root(docs),
                                   .buckets = hold_memory(&self->out->hold, buckets),
                                   .bucket_count = DOCS_BUCKETS};
    self->stats.rounds++;
}

void rounds_check_whole(struct sync *self)
{
    size_t alive = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i]->is_alive && !self->peers[i]->is_synced)
            return;
        alive += self->peers[i]->is_alive;
    }
    if (alive > 0 && !self->is_whole) {
        self->is_whole = true;
        sync_emit(self, SYNC_WHOLE, 0);
    }
}

static void end_round(struct sync *self)
{
    struct peer *peer = sync_peer(self, self->round.peer);
    struct round round = self->round;
    self->round = (struct round){0};
    if (!peer || !peer->is_alive)
        return;
    if (round.is_partial) {
        peer->is_wanted = true;
        peer->is_urgent = round.is_overflow;
        return;
    }
    peer->is_synced = true;
    sync_emit(self, SYNC_SYNCED, peer->id);
    rounds_check_whole(self);
}

/* Nothing came in time, or the other side is gone: whoever is next, then this one again. */
void rounds_abort(struct sync *self)
{
    self->round.is_partial = true;
    self->round.is_overflow = false;
    end_round(self);
}

static void check_end(struct sync *self)
{
    if (self->round.number && self->round.is_compared && self->round.pulls == 0)
        end_round(self);
}

void rounds_pulled(struct sync *self, uint64_t number, bool is_ok)
{
    if (!self->round.number || number != self->round.number)
        return;
    self->round.pulls--;
    self->round.is_partial = self->round.is_partial || !is_ok;
    self->round.until_ms = self->now_ms + READ_WAIT + ROUND_WAIT;
    check_end(self);
}

/* ---- what they have and we have not ---------------------------------------------------------- */

static void pull_those(struct sync *self, uint64_t peer, const struct wire_diff *diff,
                       uint64_t round)
{
    for (size_t i = 0; i < diff->have_count; i++) {
        const struct wire_digest *have = &diff->have[i];
        if (have->eid == 0 || have->eid > ID_EVAL_MAX || sync_digest(self, have->eid) == have->dig)
            continue;
        pulls_add(self,
                  &(struct pull){.id = have->eid, .peer = peer, .round = round, .dig = have->dig});
    }
}

/* ---- what we have and they have not ---------------------------------------------------------- */

struct gather {
    const uint8_t *cover;
    const struct wire_diff *but; /* without what is equal there; by id. Or NULL */
    struct wire_digest *found;
    size_t count, room;
};

static int by_id(const void *a, const void *b)
{
    const struct wire_digest *x = a, *y = b;
    return (x->eid > y->eid) - (x->eid < y->eid);
}

static int by_bucket(const void *a, const void *b)
{
    const struct wire_digest *x = a, *y = b;
    unsigned in_x = docs_bucket(x->eid), in_y = docs_bucket(y->eid);
    return in_x != in_y ? (in_x > in_y) - (in_x < in_y) : by_id(a, b);
}

static void gather(void *arg, const struct docs_info *info)
{
    struct gather *self = arg;
    struct wire_digest mine = {.eid = info->id, .dig = info->digest};
    if (info->digest == 0 || !covers(self->cover, docs_bucket(info->id)))
        return;
    const struct wire_digest *theirs =
        self->but && self->but->have_count
            ? bsearch(&mine, self->but->have, self->but->have_count, sizeof mine, by_id)
            : NULL;
    if (theirs && theirs->dig == mine.dig)
        return;
    self->found = mem_grow(self->found, &self->room, self->count + 1, sizeof mine);
    self->found[self->count++] = mine;
}

static void gather_all(const struct sync *self, struct gather *out)
{
    const struct docs *docs = self->config.docs;
    docs->each(docs->arg, gather, out);
    if (out->count > 0)
        qsort(out->found, out->count, sizeof *out->found, by_bucket);
}

/* Tells the other side what it may want to read from us. */
static void offer(struct sync *self, uint64_t peer, const struct wire_diff *theirs)
{
    struct wire_diff but = *theirs;
    struct gather mine = {.cover = theirs->cover.data, .but = &but};
    if (but.have_count > 0) {
        struct wire_digest *sorted = mem_dup(but.have, but.have_count * sizeof *sorted);
        qsort(sorted, but.have_count, sizeof *sorted, by_id);
        but.have = hold_memory(&self->out->hold, sorted);
    }
    gather_all(self, &mine);
    if (mine.count > 0) {
        struct wire_msg *msg = sync_send(self, peer, WIRE_DIFF);
        msg->diff.have = mine.found;
        msg->diff.have_count = mine.count < WIRE_DIGESTS_MAX ? mine.count : WIRE_DIGESTS_MAX;
    }
    hold_memory(&self->out->hold, mine.found);
}

/* Part of a bucket that is too large for a message: the rest is for other rounds. */
static bool has_uncovered(const struct wire_diff *diff)
{
    for (size_t i = 0; i < diff->have_count; i++)
        if (!covers(diff->cover.data, docs_bucket(diff->have[i].eid)))
            return true;
    return false;
}

void rounds_diff(struct sync *self, uint64_t peer, const struct wire_diff *diff)
{
    struct round *round = &self->round;
    if (diff->rid == 0) {
        pull_those(self, peer, diff, 0);
        return;
    }
    if (!round->number || diff->rid != round->rid || peer != round->peer || round->is_compared ||
        diff->cover.len != COVER_BYTES || diff->seq < round->next_seq) {
        self->stats.ignored++;
        return;
    }
    if (diff->seq > round->next_seq) {
        rounds_abort(self);
        return;
    }
    round->next_seq++;
    round->until_ms = self->now_ms + READ_WAIT + ROUND_WAIT;
    round->is_compared = !diff->more;
    round->is_partial = round->is_partial || has_uncovered(diff);
    pull_those(self, peer, diff, round->number);
    offer(self, peer, diff);
    check_end(self);
}

/* ---- the other side's round ------------------------------------------------------------------ */

static void send_diff(struct sync *self, uint64_t peer, const struct wire_diff *diff)
{
    sync_send(self, peer, WIRE_DIFF)->diff = *diff;
}

/* Returns where the bucket at `from` ends. */
static size_t bucket_end(const struct gather *mine, size_t from)
{
    unsigned bucket = docs_bucket(mine->found[from].eid);
    while (from < mine->count && docs_bucket(mine->found[from].eid) == bucket)
        from++;
    return from;
}

/* A bucket that is too large for one message is not covered: a part of it goes, another one each
 * time. */
static size_t cut_large(struct sync *self, size_t from, size_t end)
{
    size_t extra = end - from - WIRE_DIGESTS_MAX;
    return from + (size_t)rand_below(&self->rand, extra + 1);
}

static void answer(struct sync *self, uint64_t peer, uint32_t rid, uint8_t *differing,
                   const struct gather *mine)
{
    struct wire_diff diff = {.rid = rid};
    size_t at = 0;
    uint8_t *empty = mem_dup(differing, COVER_BYTES); /* buckets of which we have nothing */
    hold_memory(&self->out->hold, empty);
    for (size_t i = 0; i < mine->count; i = bucket_end(mine, i))
        empty[docs_bucket(mine->found[i].eid) / 8] &=
            (uint8_t) ~(1u << docs_bucket(mine->found[i].eid) % 8);
    for (;;) {
        uint8_t *cover = at == 0 ? empty : mem_new(COVER_BYTES);
        if (at > 0)
            hold_memory(&self->out->hold, cover);
        size_t first = at, end = at;
        while (end < mine->count && bucket_end(mine, end) - first <= WIRE_DIGESTS_MAX) {
            unsigned bucket = docs_bucket(mine->found[end].eid);
            cover[bucket / 8] |= (uint8_t)(1u << bucket % 8);
            end = bucket_end(mine, end);
        }
        if (end == first && end < mine->count) {
            end = bucket_end(mine, end);
            first = cut_large(self, first, end);
            diff.have_count = WIRE_DIGESTS_MAX;
        } else {
            diff.have_count = end - first;
        }
        diff.have = mine->found ? &mine->found[first] : NULL;
        diff.cover = (struct wire_bytes){.data = cover, .len = COVER_BYTES};
        diff.more = end < mine->count;
        send_diff(self, peer, &diff);
        if (!diff.more)
            return;
        diff.seq++;
        at = end;
    }
}

void rounds_sync(struct sync *self, uint64_t peer, const struct wire_sync *sync)
{
    const struct docs *docs = self->config.docs;
    const uint64_t *ours = docs->buckets(docs->arg);
    uint8_t differing[COVER_BYTES] = {0};
    if (sync->bucket_count != WIRE_BUCKETS) {
        self->stats.ignored++;
        return;
    }
    for (unsigned b = 0; b < WIRE_BUCKETS; b++)
        if (sync->buckets[b] != ours[b])
            differing[b / 8] |= (uint8_t)(1u << b % 8);
    struct gather mine = {.cover = differing};
    gather_all(self, &mine);
    hold_memory(&self->out->hold, mine.found);
    answer(self, peer, sync->rid, differing, &mine);
}
