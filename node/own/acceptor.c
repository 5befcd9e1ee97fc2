/* A replica's side: PUT is answered when it is durable; READ with what is. */
#include "node/own/own_inner.h"

#include "node/store/doc_json.h"
#include "node/store/doc_sketch.h"
#include "proto/base/mem.h"

#include <string.h>

static const struct doc *find(const struct own *self, uint64_t id)
{
    return self->config.docs->find(self->config.docs->arg, id);
}

static struct wire_fence as_wire(struct doc_ballot ballot)
{
    return (struct wire_fence){.epoch = ballot.epoch, .owner = ballot.owner};
}

/* ---- answers --------------------------------------------------------------------------------- */

static void say_ok(struct own *self, const struct append *put)
{
    const struct doc *doc = find(self, put->id);
    struct wire_msg *msg = own_send(self, put->peer, WIRE_PUT_OK);
    msg->put_ok = (struct wire_put_ok){.rid = put->rid, .eid = put->id};
    if (doc && doc->seal)
        msg->put_ok.seal = as_wire(doc->seal->ballot);
}

static void say_low(struct own *self, const struct append *put, enum wire_why_low why)
{
    const struct doc *doc = find(self, put->id);
    struct wire_msg *msg = own_send(self, put->peer, WIRE_PUT_LOW);
    msg->put_low = (struct wire_put_low){.rid = put->rid, .eid = put->id, .why = (uint8_t)why};
    if (doc && why != WIRE_LOW_CONFLICT)
        msg->put_low.fence = as_wire(own_promised(doc));
    self->stats.lows++;
}

/* What was promised is higher than this PUT. Those without a ballot ask for no promise. */
static bool is_low(const struct own *self, const struct append *put)
{
    const struct doc *doc = find(self, put->id);
    return doc && put->ballot.epoch > 0 && self->config.mutation != OWN_NO_PROMISE &&
           doc_ballot_compare(own_promised(doc), put->ballot) > 0;
}

void acceptor_appended(struct own *self, const struct append *put, enum err_code code)
{
    if (put->is_answered)
        return;
    if (code == ERR_CONFLICT)
        say_low(self, put, WIRE_LOW_CONFLICT);
    else if (code)
        say_low(self, put, WIRE_LOW_REFUSED);
    else if (is_low(self, put))
        say_low(self, put, WIRE_LOW_FENCE);
    else
        say_ok(self, put);
}

/* ---- PUT ------------------------------------------------------------------------------------- */

static void append_put(struct own *self, const struct append *put, struct delta *delta)
{
    if (self->append_count - self->append_first >= APPENDS_MAX) {
        self->stats.dropped++;
        return;
    }
    const struct doc *doc = find(self, put->id);
    if (self->config.mutation == OWN_SEAL_JOIN_MIN && doc && doc->seal)
        delta->seal = NULL;
    struct append *append = own_append_owned(self, APPEND_PUT, delta);
    uint64_t token = append->token;
    *append = *put;
    append->token = token;
    append->kind = APPEND_PUT;
    if (self->config.mutation == OWN_ACK_BEFORE_FSYNC) {
        append->is_answered = true;
        say_ok(self, put);
    }
}

/* A PUT that was sent again because the answer was lost costs no second append. */
static bool is_done(const struct own *self, const struct delta *delta)
{
    const struct doc *doc = find(self, delta->id);
    return doc && doc_has(doc, delta);
}

static size_t add_missing(const struct own *self, const struct hash *blob, struct hash *out,
                          size_t count)
{
    const struct docs *docs = self->config.docs;
    if (doc_hash_is_set(blob) && !docs->has_blob(docs->arg, blob))
        out[count++] = *blob;
    return count;
}

/* Under a fence that is new here the commits that were found are nobody's choice yet. */
static bool is_new_fence(const struct doc *doc, const struct delta *delta)
{
    return !doc->fence || doc_ballot_compare(doc->fence->ballot, delta->fence->ballot) != 0;
}

/* It is forgotten by who will not need it any more, and that is for good. */
static bool needs_secret(const struct own *self, const struct delta *delta)
{
    const struct doc *doc = find(self, delta->id);
    bool is_open = false;
    if (doc && doc->req && (doc->cancel || doc_is_final(doc) || !is_new_fence(doc, delta)))
        return docs_needs_secret(self->config.docs, doc);
    for (size_t p = 0; p < delta->req->project_count; p++)
        is_open = is_open || (!doc_hash_is_set(&delta->req->projects[p].bundle) &&
                              !delta->req->projects[p].failure);
    return is_open || delta->req->statuses;
}

/* A submission's bundles and its secret come first: who says that he has it, has all of it. */
static bool fetch_bundles(struct own *self, const struct append *put, struct delta *delta)
{
    const struct doc_req *req = delta->req;
    struct hash *missing =
        hold_memory(&self->out->hold, mem_new_array(req->project_count + 2, sizeof(struct hash)));
    size_t count = add_missing(self, &req->overlay, missing, 0);
    for (size_t p = 0; p < req->project_count; p++)
        count = add_missing(self, &req->projects[p].bundle, missing, count);
    size_t bundles = count;
    if (needs_secret(self, delta))
        count = add_missing(self, &req->secret, missing, count);
    if (count == 0)
        return false;
    if (self->fetch_count >= FETCHES_MAX) {
        self->stats.dropped++;
        return true;
    }
    self->fetches =
        mem_grow(self->fetches, &self->fetch_room, self->fetch_count + 1, sizeof *self->fetches);
    struct fetch *fetch = &self->fetches[self->fetch_count++];
    *fetch = (struct fetch){.token = ++self->last_token,
                            .peer = put->peer,
                            .rid = put->rid,
                            .ballot = put->ballot,
                            .delta = *delta};
    *delta = (struct delta){0};
    struct own_effect *effect = own_emit(self, OWN_FETCH, put->id);
    effect->token = fetch->token;
    effect->peer = put->peer;
    effect->blobs = missing;
    effect->blob_count = count;
    effect->secret = count > bundles ? &missing[bundles] : NULL;
    effect->at = fetch->delta.fence;
    return true;
}

/* It came before, and is on its way to the disk or waits for bundles: its answer comes of itself.
 * (A seal of many modules takes longer than the time after which it is sent again.) */
static bool is_under_way(const struct own *self, uint64_t peer, uint32_t rid)
{
    for (size_t i = self->append_first; i < self->append_count; i++)
        if (self->appends[i].kind == APPEND_PUT && self->appends[i].peer == peer &&
            self->appends[i].rid == rid)
            return true;
    for (size_t i = 0; i < self->fetch_count; i++)
        if (self->fetches[i].peer == peer && self->fetches[i].rid == rid)
            return true;
    return false;
}

void acceptor_fetched(struct own *self, uint64_t token, bool is_ok)
{
    for (size_t i = 0; i < self->fetch_count; i++) {
        if (self->fetches[i].token != token)
            continue;
        struct fetch fetch = self->fetches[i];
        self->fetch_count--;
        memmove(&self->fetches[i], &self->fetches[i + 1],
                (self->fetch_count - i) * sizeof *self->fetches);
        struct append put = {
            .id = fetch.delta.id, .peer = fetch.peer, .rid = fetch.rid, .ballot = fetch.ballot};
        if (is_ok)
            append_put(self, &put, &fetch.delta);
        else
            say_low(self, &put, WIRE_LOW_REFUSED);
        delta_fini(&fetch.delta);
        return;
    }
}

void acceptor_free(struct own *self)
{
    for (size_t i = 0; i < self->fetch_count; i++)
        delta_fini(&self->fetches[i].delta);
    free(self->fetches);
}

static bool asks_for_promise(uint8_t kind)
{
    return kind == WIRE_PUT_SUBMIT || kind == WIRE_PUT_CLAIM || kind == WIRE_PUT_SEAL;
}

/* Who had this address before was named a replica: what he was to keep is not for this node. */
static bool is_for_another(const struct own *self, const struct wire_put *put,
                           const struct delta *delta)
{
    return put->kind == WIRE_PUT_SUBMIT && fence_index(delta->fence, self->self) < 0;
}

void acceptor_put(struct own *self, uint64_t peer, const struct wire_put *message)
{
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    struct append put = {.id = message->eid, .peer = peer, .rid = message->rid};
    if (is_under_way(self, peer, message->rid))
        return;
    if (delta_decode((const char *)message->delta.data, message->delta.len, &delta, &err) ||
        delta.id != message->eid || (asks_for_promise(message->kind) && !delta.fence) ||
        is_for_another(self, message, &delta)) {
        self->stats.ignored++;
        return;
    }
    if (asks_for_promise(message->kind))
        put.ballot = delta.fence->ballot;
    if (is_low(self, &put))
        say_low(self, &put, WIRE_LOW_FENCE);
    else if (message->kind == WIRE_PUT_SUBMIT && delta.req && fetch_bundles(self, &put, &delta))
        return; /* also where the document is here already: a reader of it has no bundles */
    else if (is_done(self, &delta))
        say_ok(self, &put);
    else
        append_put(self, &put, &delta);
}

/* ---- READ ------------------------------------------------------------------------------------ */

struct answer {
    struct own *own;
    uint64_t peer;
    const struct wire_read *read;
    uint32_t count;
    size_t last; /* index of its effect */
};

static void send_piece(void *arg, const struct delta *piece)
{
    struct answer *self = arg;
    struct wire_bytes bytes = hold_encoded(&self->own->out->hold, piece);
    if (bytes.len > WIRE_DELTA_MAX) {
        self->own->stats.dropped++;
        return;
    }
    struct wire_msg *msg = own_send(self->own, self->peer, WIRE_DOC);
    msg->doc = (struct wire_doc){.rid = self->read->rid,
                                 .eid = self->read->eid,
                                 .seq = self->count++,
                                 .more = true,
                                 .delta = bytes};
    self->last = self->own->out->count - 1;
}

void acceptor_read(struct own *self, uint64_t peer, const struct wire_read *read)
{
    struct answer answer = {.own = self, .peer = peer, .read = read};
    const struct doc *doc = find(self, read->eid);
    if (!doc) {
        own_send(self, peer, WIRE_DOC)->doc = (struct wire_doc){.rid = read->rid, .eid = read->eid};
        return;
    }
    doc_sketch_split(doc, read->sketch.data, read->sketch.len, send_piece, &answer);
    if (answer.count == 0)
        send_piece(&answer, &(struct delta){.id = read->eid});
    self->out->effects[answer.last].msg.doc.more = false;
}
