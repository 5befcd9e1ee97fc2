/* Documents asked of others: for a claim, because somebody knows more, or for people. */
#include "node/own/own_inner.h"

#include "node/store/doc_json.h"
#include "node/store/doc_sketch.h"
#include "proto/base/mem.h"

#include <string.h>

static struct read *find(const struct own *self, uint32_t rid)
{
    for (size_t i = 0; i < self->read_count; i++)
        if (self->reads[i].rid == rid)
            return &self->reads[i];
    return NULL;
}

static bool is_asked(const struct own *self, const struct read *what)
{
    for (size_t i = 0; i < self->read_count; i++)
        if (self->reads[i].purpose == what->purpose && self->reads[i].id == what->id &&
            self->reads[i].peer == what->peer && what->purpose == READ_NEWER)
            return true;
    return false;
}

bool reads_begin(struct own *self, const struct read *what)
{
    const struct doc *doc = own_doc(self, what->id);
    if (self->read_count >= READS_MAX || is_asked(self, what)) {
        self->stats.dropped += self->read_count >= READS_MAX;
        return false;
    }
    self->reads =
        mem_grow(self->reads, &self->read_room, self->read_count + 1, sizeof *self->reads);
    struct read *read = &self->reads[self->read_count++];
    *read = *what;
    read->rid = own_rid(self);
    read->wait_ms = what->wait_ms ? what->wait_ms : READ_WAIT;
    read->until_ms = self->now_ms + read->wait_ms;
    own_arm(self, read->until_ms);
    struct wire_msg *msg = own_send(self, read->peer, WIRE_READ);
    msg->read = (struct wire_read){.rid = read->rid, .eid = read->id};
    if (doc) {
        struct buf sketch = BUF_INIT;
        doc_sketch_encode(doc, &sketch);
        msg->read.sketch.len = sketch.len;
        msg->read.sketch.data = hold_memory(&self->out->hold, buf_steal(&sketch));
    }
    return true;
}

static void end_claim_read(struct own *self, const struct read *read)
{
    struct eval *eval = evals_find(self, read->id);
    if (!eval || eval->stage != STAGE_READING || eval->reads == 0)
        return;
    eval->reads--;
    eval_look(self, eval);
}

static void end_newer_read(struct own *self, const struct read *read, bool is_ok)
{
    struct eval *eval = evals_find(self, read->id);
    if (!eval)
        return;
    const struct doc *doc = own_doc(self, read->id);
    int index = doc && doc->fence ? fence_index(doc->fence, read->peer) : -1;
    if (is_ok && index >= 0 && read->round && read->round == eval->round.rid)
        eval->round.seen |= 1u << index;
    if (is_ok) /* who told of what we lacked is asked for his promise again */
        eval->round.next_ms = self->now_ms;
    eval_look(self, eval);
}

static void end(struct own *self, struct read *at, bool is_ok)
{
    struct read read = *at;
    struct eval *eval = evals_find(self, read.id);
    size_t index = (size_t)(at - self->reads);
    self->read_count--;
    memmove(at, at + 1, (self->read_count - index) * sizeof *at);
    const struct doc *doc = eval ? own_doc(self, read.id) : NULL;
    if (is_ok && doc && doc->fence && doc->fence->ballot.owner == read.peer)
        eval->fresh_ms = self->now_ms;
    if (read.purpose == READ_CLAIM)
        end_claim_read(self, &read);
    else if (read.purpose == READ_NEWER)
        end_newer_read(self, &read, is_ok);
    else
        ask_read_ended(self, &read, is_ok && read.is_known);
}

static bool is_empty(const struct delta *delta)
{
    return !delta->req && !delta->fence && delta->source_count == 0 && delta->plan_count == 0 &&
           !delta->cancel && delta->res_count == 0 && !delta->seal && delta->com.epoch == 0 &&
           !delta->degraded;
}

/* False when it does not read. */
static bool take_piece(struct own *self, struct read *read, const struct wire_doc *doc)
{
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (delta_decode((const char *)doc->delta.data, doc->delta.len, &delta, &err) ||
        delta.id != read->id)
        return false;
    if (is_empty(&delta))
        return true;
    read->appends++;
    own_append_owned(self, APPEND_READ, &delta)->rid = read->rid;
    return true;
}

void reads_doc(struct own *self, uint64_t peer, const struct wire_doc *doc)
{
    struct read *read = find(self, doc->rid);
    if (!read || read->peer != peer || read->id != doc->eid || read->is_all ||
        doc->seq < read->next_seq)
        return;
    if (doc->seq > read->next_seq) { /* one is missing: the link broke */
        end(self, read, false);
        return;
    }
    read->next_seq++;
    read->until_ms = self->now_ms + read->wait_ms;
    read->is_all = !doc->more;
    read->is_known = doc->delta.len > 0;
    if (read->is_known && !take_piece(self, read, doc)) {
        self->stats.ignored++;
        end(self, read, false);
        return;
    }
    if (read->is_all && read->appends == 0)
        end(self, read, true);
}

void reads_appended(struct own *self, uint32_t rid, enum err_code code)
{
    struct read *read = find(self, rid);
    if (!read)
        return;
    read->appends--;
    read->is_failed = read->is_failed || code;
    if (code == ERR_CONFLICT) { /* the id is another request's with them: keep out of their way */
        struct eval *eval = evals_find(self, read->id);
        if (eval && !eval->is_told)
            eval->stage = STAGE_DEAD;
    }
    if (read->is_all && read->appends == 0)
        end(self, read, !read->is_failed);
}

void reads_link_down(struct own *self, uint64_t peer)
{
    for (size_t i = 0; i < self->read_count;) {
        if (self->reads[i].peer == peer && !self->reads[i].is_all) {
            end(self, &self->reads[i], false);
            i = 0; /* what ends may begin others */
        } else {
            i++;
        }
    }
}

void reads_tick(struct own *self)
{
    for (size_t i = 0; i < self->read_count;) {
        if (self->reads[i].until_ms <= self->now_ms) {
            end(self, &self->reads[i], false);
            i = 0;
        } else {
            own_arm(self, self->reads[i++].until_ms);
        }
    }
}
