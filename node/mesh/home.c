/* home: a submission at the id's home (submit.h). */
#include "node/mesh/submit.h"

#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#define ASK_AGAIN_MS  250
#define SEND_AGAIN_MS 1000

/* ---- is it known? ---------------------------------------------------------------------------- */

static void ask(struct mesh *self, struct submission *submission)
{
    submission->stage = ASKING;
    submission->asked = MESH_OWN_TOKEN | ++self->last_token;
    mesh_note_own(self, (struct own_event){
                            .kind = OWN_ASK, .id = submission->eval, .token = submission->asked});
}

static void confirm(struct mesh *self, struct submission *submission);

static void wait_for_owner(struct mesh *self, struct submission *submission)
{
    submission->stage = KNOWN;
    submission->ask_ms = self->now_ms + ASK_AGAIN_MS;
}

/* It is here: whose is it, and does it stand? */
static void judge_known(struct mesh *self, struct submission *submission, const struct doc *doc)
{
    unsigned replicas;
    enum mesh_standing standing = mesh_standing(self, doc->id, &replicas);
    if (!submission_has_body(submission, doc->req))
        submission_refuse(self, submission, WIRE_SUBMITTED_OTHER);
    else if (standing == MESH_ACKNOWLEDGED)
        submission_accept(self, submission, replicas);
    else if (standing == MESH_WITHDRAWN)
        submission_refuse(self, submission, WIRE_SUBMITTED_TAKEN);
    else if (mesh_was_led(self, doc))
        confirm(self, submission);
    else
        wait_for_owner(self, submission);
}

/* ---- new ------------------------------------------------------------------------------------- */

static void offer(struct mesh *self, struct submission *submission)
{
    submission->stage = OFFERED;
    submission->until_ms = self->now_ms + SUBMISSION_GIVE_UP_MS;
    mesh_note_own(self, (struct own_event){.kind = OWN_SUBMIT,
                                           .id = submission->eval,
                                           .delta = &submission->delta});
}

static size_t add_missing(const struct mesh *self, const struct hash *blob, struct hash *out,
                          size_t count)
{
    const struct docs *docs = self->config.docs;
    if (doc_hash_is_set(blob) && !docs->has_blob(docs->arg, blob))
        out[count++] = *blob;
    return count;
}

static size_t missing_blobs(const struct mesh *self, const struct doc_req *req, struct hash *out)
{
    size_t count = add_missing(self, &req->overlay, out, 0);
    for (size_t p = 0; p < req->project_count; p++)
        count = add_missing(self, &req->projects[p].bundle, out, count);
    return count;
}

/* What is known already may have been cloned since, and the secret forgotten by all. */
static bool needs_secret(const struct mesh *self, const struct submission *submission)
{
    const struct doc *doc = mesh_doc(self, submission->eval);
    return !doc || !doc->req || docs_needs_secret(self->config.docs, doc);
}

/* From all that wait: each of them has the bundles and the secret. Returns false when they are
 * here. */
static bool fetch(struct mesh *self, struct submission *submission)
{
    const struct doc_req *req = submission->delta.req;
    struct hash *missing = mesh_scratch(self, (req->project_count + 2) * sizeof *missing);
    size_t bundles = missing_blobs(self, req, missing);
    size_t count = needs_secret(self, submission)
                       ? add_missing(self, &req->secret, missing, bundles)
                       : bundles;
    uint64_t sources[SUBMISSION_WAITS_MAX];
    size_t source_count = 0;
    for (size_t i = 0; i < submission->wait_count; i++)
        if (submission->waits[i].peer)
            sources[source_count++] = submission->waits[i].peer;
    if (count == 0)
        return false;
    submission->stage = FETCHING;
    submission->until_ms = UINT64_MAX;
    struct wanted wanted = {.blobs = missing, .count = count, .has_secret = count > bundles};
    struct fetch *fetch = mesh_fetch(self, &wanted, sources, source_count);
    fetch->is_submission = true;
    submission->asked = fetch->token;
    return true;
}

static void take_in(struct mesh *self, struct submission *submission)
{
    if (!fetch(self, submission))
        offer(self, submission);
}

void mesh_submission_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok)
{
    struct submission *at = self->submissions;
    while (at && (at->stage != FETCHING || at->asked != fetch->token))
        at = at->next;
    if (!at)
        return;
    at->until_ms = self->now_ms + SUBMISSION_GIVE_UP_MS;
    if (is_ok)
        ask(self, at); /* it may have come another way in the meantime */
    else
        submission_refuse(self, at, WIRE_SUBMITTED_TOO_LATE);
}

bool mesh_submission_asked(struct mesh *self, uint64_t token)
{
    struct submission *at = self->submissions;
    while (at && (at->stage != ASKING || at->asked != token))
        at = at->next;
    if (!at)
        return false;
    const struct doc *doc = mesh_doc(self, at->eval);
    if (doc && doc->req)
        judge_known(self, at, doc);
    else
        take_in(self, at);
    return true;
}

bool mesh_submission_accepted(struct mesh *self, uint64_t eval, unsigned replicas)
{
    struct submission *submission = submission_find(self, eval);
    if (!submission || submission->stage != OFFERED)
        return false;
    submission_accept(self, submission, replicas);
    return true;
}

bool mesh_submission_refused(struct mesh *self, uint64_t eval, enum own_why why)
{
    static const enum wire_why_submitted whys[] = {[OWN_TOO_FEW] = WIRE_SUBMITTED_TOO_FEW,
                                                   [OWN_TOO_LATE] = WIRE_SUBMITTED_TOO_LATE,
                                                   [OWN_TAKEN] = WIRE_SUBMITTED_TAKEN,
                                                   [OWN_NO_DISK] = WIRE_SUBMITTED_NO_DISK,
                                                   [OWN_LEAVING] = WIRE_SUBMITTED_LEAVING};
    struct submission *submission = submission_find(self, eval);
    if (!submission || submission->stage != OFFERED)
        return false;
    if (why == OWN_TAKEN) { /* it came another way in the meantime */
        submission->stage = KNOWN;
        submission->ask_ms = self->now_ms;
    } else {
        submission_refuse(self, submission, whys[why]);
    }
    return true;
}

/* ---- known, led, and perhaps not on its replicas ----------------------------------------------
 *
 * The request is PUT to each of them under the fence that they have promised: who says that he has
 * it, has its bundles, too. The question is not own's, and its number says so. */

static bool is_confirmed(const struct submission *submission, const struct doc_fence *fence,
                         bool is_late)
{
    unsigned count = (unsigned)__builtin_popcount(submission->acked);
    size_t enough = fence->rep_count / 2 + 1;
    return count == fence->rep_count || (is_late && count >= 2 && count >= enough);
}

static void put(struct mesh *self, struct submission *submission, const struct doc *doc)
{
    owned_buf delta = BUF_INIT;
    delta_encode(&(struct delta){.id = doc->id, .req = doc->req, .fence = doc->fence}, &delta);
    struct wire_msg msg = {.kind = WIRE_PUT,
                           .put = {.rid = submission->rid,
                                   .eid = doc->id,
                                   .kind = WIRE_PUT_SUBMIT,
                                   .delta = {(const uint8_t *)delta.data, delta.len}}};
    for (size_t i = 0; i < doc->fence->rep_count; i++) {
        uint64_t node = id_node_short(&doc->fence->reps[i]);
        if (node == self->self)
            submission->acked |= UINT32_C(1) << i;
        else if (!(submission->acked >> i & 1))
            mesh_send(self, node, &msg);
    }
}

static void look_confirmed(struct mesh *self, struct submission *submission, bool is_late)
{
    const struct doc *doc = mesh_doc(self, submission->eval);
    if (!doc || !doc->fence || !mesh_was_led(self, doc)) {
        wait_for_owner(self, submission);
    } else if (is_confirmed(submission, doc->fence, is_late)) {
        submission_accept(self, submission, (unsigned)__builtin_popcount(submission->acked));
    } else if (is_late) {
        submission->ask_ms = self->now_ms + SEND_AGAIN_MS;
        put(self, submission, doc);
    }
}

static void confirm(struct mesh *self, struct submission *submission)
{
    const struct doc *doc = mesh_doc(self, submission->eval);
    if (fetch(self, submission))
        return;
    submission->stage = CONFIRMING;
    submission->rid = OWN_RID_SYNC | (uint32_t)++self->last_token;
    submission->acked = 0;
    submission->ask_ms = self->now_ms + SEND_AGAIN_MS;
    put(self, submission, doc);
    look_confirmed(self, submission, false);
}

static struct submission *find_confirming(const struct mesh *self, uint32_t rid)
{
    struct submission *at = self->submissions;
    while (at && (at->stage != CONFIRMING || at->rid != rid))
        at = at->next;
    return at;
}

bool mesh_submission_put_ok(struct mesh *self, uint64_t peer, const struct wire_put_ok *ok)
{
    struct submission *submission = find_confirming(self, ok->rid);
    const struct doc *doc = submission ? mesh_doc(self, submission->eval) : NULL;
    for (size_t i = 0; doc && doc->fence && i < doc->fence->rep_count; i++)
        if (id_node_short(&doc->fence->reps[i]) == peer)
            submission->acked |= UINT32_C(1) << i;
    if (submission)
        look_confirmed(self, submission, false);
    return submission != NULL;
}

bool mesh_submission_put_low(struct mesh *self, const struct wire_put_low *low)
{
    struct submission *submission = find_confirming(self, low->rid);
    if (submission) /* the fence has moved on: look again */
        wait_for_owner(self, submission);
    return submission != NULL;
}

/* ---- its life -------------------------------------------------------------------------------- */

void home_begin(struct mesh *self, struct submission *submission)
{
    submission->until_ms = self->now_ms + SUBMISSION_GIVE_UP_MS;
    ask(self, submission);
}

void home_tick(struct mesh *self, struct submission *submission)
{
    if (submission->stage == KNOWN)
        ask(self, submission);
    else
        look_confirmed(self, submission, true);
}
