/* Reading what differs, a few documents at a time. */
#include "node/sync/sync_inner.h"

#include "node/store/doc_json.h"
#include "node/store/doc_sketch.h"
#include "proto/base/mem.h"

#include <string.h>

/* ---- what waits ------------------------------------------------------------------------------ */

static size_t busy_place(const struct sync *self, uint64_t id)
{
    size_t low = 0, high = self->busy_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (self->busy[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_busy(const struct sync *self, uint64_t id)
{
    size_t at = busy_place(self, id);
    return at < self->busy_count && self->busy[at] == id;
}

static void set_busy(struct sync *self, uint64_t id)
{
    size_t at = busy_place(self, id);
    self->busy = mem_grow(self->busy, &self->busy_room, self->busy_count + 1, sizeof *self->busy);
    memmove(&self->busy[at + 1], &self->busy[at], (self->busy_count - at) * sizeof *self->busy);
    self->busy[at] = id;
    self->busy_count++;
}

static void clear_busy(struct sync *self, uint64_t id)
{
    size_t at = busy_place(self, id);
    self->busy_count--;
    memmove(&self->busy[at], &self->busy[at + 1], (self->busy_count - at) * sizeof *self->busy);
}

static bool is_conflict(const struct sync *self, const struct pull *pull)
{
    size_t count = self->conflict_count < CONFLICTS_MAX ? self->conflict_count : CONFLICTS_MAX;
    for (size_t i = 0; i < count; i++)
        if (self->conflicts[i].id == pull->id && self->conflicts[i].dig == pull->dig)
            return true;
    return false;
}

void pulls_add(struct sync *self, const struct pull *pull)
{
    struct round *round = pull->round ? &self->round : NULL;
    if (is_conflict(self, pull))
        return;
    if (is_busy(self, pull->id)) { /* perhaps from another, who has something else */
        if (round)
            round->is_partial = true;
        return;
    }
    if (self->waiting_count - self->waiting_first >= WAITING_MAX) {
        self->stats.dropped++;
        if (round)
            round->is_partial = round->is_overflow = true;
        return;
    }
    if (self->waiting_first > WAITING_MAX) {
        self->waiting_count -= self->waiting_first;
        memmove(self->waiting, &self->waiting[self->waiting_first],
                self->waiting_count * sizeof *pull);
        self->waiting_first = 0;
    }
    self->waiting = mem_grow(self->waiting, &self->waiting_room, self->waiting_count + 1,
                             sizeof *self->waiting);
    self->waiting[self->waiting_count++] = *pull;
    set_busy(self, pull->id);
    if (round)
        round->pulls++;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void end_pull(struct sync *self, const struct pull *pull, bool is_ok)
{
    clear_busy(self, pull->id);
    rounds_pulled(self, pull->round, is_ok);
}

static void begin(struct sync *self, const struct pull *pull)
{
    const struct docs *docs = self->config.docs;
    const struct doc *doc = docs->find(docs->arg, pull->id);
    struct read *read = &self->reads[self->read_count++];
    *read =
        (struct read){.pull = *pull, .rid = sync_rid(self), .until_ms = self->now_ms + READ_WAIT};
    struct wire_msg *msg = sync_send(self, pull->peer, WIRE_READ);
    msg->read = (struct wire_read){.rid = read->rid, .eid = pull->id};
    self->stats.reads++;
    if (doc) {
        struct buf sketch = BUF_INIT;
        doc_sketch_encode(doc, &sketch);
        if (sketch.len > SKETCH_LARGE) /* both sides go through all of it, and news comes anyway */
            self->next_round_ms += sketch.len / SKETCH_PER_MS;
        msg->read.sketch.len = sketch.len;
        msg->read.sketch.data = hold_memory(&self->out->hold, buf_steal(&sketch));
    }
}

void pulls_go_on(struct sync *self)
{
    while (self->waiting_first < self->waiting_count && self->read_count < READS_MAX &&
           self->append_count - self->append_first < APPENDS_MAX) {
        struct pull pull = self->waiting[self->waiting_first++];
        const struct peer *peer = sync_peer(self, pull.peer);
        if (sync_digest(self, pull.id) == pull.dig)
            end_pull(self, &pull, true); /* came by itself */
        else if (!peer || !peer->is_alive)
            end_pull(self, &pull, false);
        else
            begin(self, &pull);
    }
    if (self->waiting_first == self->waiting_count)
        self->waiting_first = self->waiting_count = 0;
}

static struct read *find(struct sync *self, uint32_t rid)
{
    for (size_t i = 0; i < self->read_count; i++)
        if (self->reads[i].rid == rid)
            return &self->reads[i];
    return NULL;
}

static void end(struct sync *self, struct read *at, bool is_ok)
{
    struct read read = *at;
    *at = self->reads[--self->read_count];
    end_pull(self, &read.pull, is_ok);
}

static bool is_nothing(const struct sync *self, const struct delta *delta)
{
    const struct docs *docs = self->config.docs;
    const struct doc *doc = docs->find(docs->arg, delta->id);
    if (doc)
        return doc_has(doc, delta);
    return !delta->req && !delta->fence && delta->source_count == 0 && delta->plan_count == 0 &&
           !delta->cancel && delta->res_count == 0 && !delta->seal && delta->com.epoch == 0 &&
           !delta->degraded;
}

static bool take_piece(struct sync *self, struct read *read, const struct wire_doc *doc)
{
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (doc->delta.len == 0) /* it has gone there */
        return true;
    if (delta_decode((const char *)doc->delta.data, doc->delta.len, &delta, &err) ||
        delta.id != read->pull.id) {
        self->stats.ignored++;
        return false;
    }
    self->stats.pieces++;
    if (is_nothing(self, &delta))
        return true;
    read->appends++;
    sync_append(self, &delta)->rid = read->rid;
    return true;
}

void pulls_doc(struct sync *self, uint64_t peer, const struct wire_doc *doc)
{
    struct read *read = find(self, doc->rid);
    if (!read || read->pull.peer != peer || read->pull.id != doc->eid || read->is_all ||
        doc->seq < read->next_seq)
        return;
    bool is_gap = doc->seq > read->next_seq;
    read->next_seq++;
    read->until_ms = self->now_ms + READ_WAIT;
    if (is_gap || !take_piece(self, read, doc)) {
        end(self, read, false);
        return;
    }
    read->is_all = !doc->more;
    if (read->is_all && read->appends == 0)
        end(self, read, true);
}

static void note_conflict(struct sync *self, const struct pull *pull)
{
    self->conflicts[self->conflict_count++ % CONFLICTS_MAX] = *pull;
    self->stats.conflicts++;
}

void pulls_appended(struct sync *self, const struct append *append, bool is_ok)
{
    struct read *read = find(self, append->rid);
    if (!read)
        return;
    const struct docs *docs = self->config.docs;
    const struct doc *doc = is_ok ? NULL : docs->find(docs->arg, append->id);
    if (append->has_req && doc && doc->req)
        note_conflict(self, &read->pull); /* done with, as far as can be */
    else
        read->is_failed = read->is_failed || !is_ok;
    read->appends--;
    if (read->is_all && read->appends == 0)
        end(self, read, !read->is_failed);
}

void pulls_peer_down(struct sync *self, uint64_t peer)
{
    for (size_t i = self->read_count; i-- > 0;)
        if (i < self->read_count && self->reads[i].pull.peer == peer && !self->reads[i].is_all)
            end(self, &self->reads[i], false);
}

void pulls_tick(struct sync *self)
{
    for (size_t i = self->read_count; i-- > 0;)
        if (i < self->read_count && self->now_ms >= self->reads[i].until_ms)
            end(self, &self->reads[i], false);
}
