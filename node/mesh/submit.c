/* submit: submissions under an Idempotency-Key, which stand for one id on whichever node they
 * arrive. So that two nodes never take in one id side by side, a single node decides: the id's
 * home, first of the live ones by rendezvous hashing. Whoever has the client sends it SUBMIT, and
 * keeps the bundles for it to fetch.
 *
 *   here    ASKING ─ unknown ─> FETCHING ─> OFFERED (own: accept) ─> answers
 *   (home)     └──── known ───> KNOWN: until it is seen to be led, else refused
 *   there   SENT: until SUBMITTED; when the home goes down, the next one is asked, which finds
 *           what the first one may have left
 *
 * A home that others see elsewhere costs no safety: the replicas of both have a node in common, and
 * an id has one request (node/store/doc.h). */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#include <string.h>

#define SUBMISSIONS_MAX 256
#define ANSWERS_MAX     64 /* who wait for one submission */
#define GONE_HOMES_MAX  8
#define GIVE_UP_MS      15000 /* a little more than own takes to refuse */
#define SENT_MS         90000 /* its home has to fetch the bundles first, which ends by itself */
#define ASK_AGAIN_MS    250
#define RETRY_S         2

enum stage { ASKING, FETCHING, OFFERED, KNOWN, SENT };

struct waits { /* for the answer: a client here (no peer), or a node that has one */
    uint64_t peer;
    uint64_t token; /* the client's, or the node's rid */
};

struct submission {
    uint64_t eval;
    struct delta delta; /* owned: the request */
    enum stage stage;
    struct waits waits[ANSWERS_MAX];
    size_t wait_count;
    uint64_t asked; /* token of the question or fetch that goes on */
    uint64_t ask_ms;
    uint64_t until_ms;
    uint64_t home; /* SENT */
    uint32_t rid;
    uint64_t gone[GONE_HOMES_MAX];
    size_t gone_count;
    struct submission *next;
};

static struct submission *find(const struct mesh *self, uint64_t eval)
{
    for (struct submission *at = self->submissions; at; at = at->next)
        if (at->eval == eval)
            return at;
    return NULL;
}

static void fini_submission(void *what)
{
    struct submission *submission = what;
    delta_fini(&submission->delta);
}

/* Notes may borrow from it until the step's end. */
static void remove_submission(struct mesh *self, struct submission *submission)
{
    struct submission **at = &self->submissions;
    while (*at != submission)
        at = &(*at)->next;
    *at = submission->next;
    self->submission_count--;
    mesh_hold(self, submission, fini_submission);
}

void mesh_free_submissions(struct mesh *self)
{
    for (struct submission *at = self->submissions, *next; at; at = next) {
        next = at->next;
        delta_fini(&at->delta);
        free(at);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static const char *const reasons[] = {[WIRE_SUBMITTED_TOO_FEW] = "too-few-replicas",
                                      [WIRE_SUBMITTED_TOO_LATE] = "replicas-too-late",
                                      [WIRE_SUBMITTED_TAKEN] = "id-taken",
                                      [WIRE_SUBMITTED_NO_DISK] = "store-not-writable",
                                      [WIRE_SUBMITTED_LEAVING] = "draining",
                                      [WIRE_SUBMITTED_OTHER] = "idempotency-key-reused"};

static void answer_one(struct mesh *self, const struct waits *to, const struct wire_submitted *what)
{
    if (to->peer) {
        struct wire_msg msg = {.kind = WIRE_SUBMITTED, .submitted = *what};
        msg.submitted.rid = (uint32_t)to->token;
        mesh_send(self, to->peer, &msg);
        return;
    }
    bool is_ok = what->why == WIRE_SUBMITTED_OK;
    bool is_known = what->why < sizeof reasons / sizeof *reasons;
    struct mesh_effect *effect = mesh_effect(self, is_ok ? MESH_ACCEPTED : MESH_REFUSED);
    effect->eval = what->eid;
    effect->token = to->token;
    effect->replicas = what->replicas;
    effect->retry_s = what->retry_s;
    if (!is_ok)
        effect->reason = reasons[is_known ? what->why : WIRE_SUBMITTED_TOO_LATE];
}

static void answer(struct mesh *self, struct submission *submission, struct wire_submitted what)
{
    what.eid = submission->eval;
    for (size_t i = 0; i < submission->wait_count; i++)
        answer_one(self, &submission->waits[i], &what);
    remove_submission(self, submission);
}

static void refuse(struct mesh *self, struct submission *submission, enum wire_why_submitted why)
{
    uint16_t retry_s =
        why == WIRE_SUBMITTED_TAKEN || why == WIRE_SUBMITTED_OTHER ? 0 : (uint16_t)RETRY_S;
    answer(self, submission, (struct wire_submitted){.why = (uint8_t)why, .retry_s = retry_s});
}

static void accept(struct mesh *self, struct submission *submission, size_t replicas)
{
    answer(self, submission,
           (struct wire_submitted){.why = WIRE_SUBMITTED_OK,
                                   .replicas =
                                       (uint8_t)(replicas < UINT8_MAX ? replicas : UINT8_MAX)});
}

/* ---- at home --------------------------------------------------------------------------------- */

static void ask(struct mesh *self, struct submission *submission)
{
    submission->asked = MESH_OWN_TOKEN | ++self->last_token;
    mesh_note_own(self, (struct own_event){
                            .kind = OWN_ASK, .id = submission->eval, .token = submission->asked});
}

static bool is_same_body(const struct submission *submission, const struct doc_req *req)
{
    return memcmp(&submission->delta.req->body, &req->body, sizeof req->body) == 0;
}

/* It is here: whose is it, and does it stand? */
static void judge_known(struct mesh *self, struct submission *submission, const struct doc *doc)
{
    enum mesh_standing standing = mesh_standing(self, doc->id);
    submission->stage = KNOWN;
    if (!is_same_body(submission, doc->req))
        refuse(self, submission, WIRE_SUBMITTED_OTHER);
    else if (standing == MESH_ACKNOWLEDGED)
        accept(self, submission, doc->fence ? doc->fence->rep_count : 1);
    else if (standing == MESH_WITHDRAWN)
        refuse(self, submission, WIRE_SUBMITTED_TAKEN);
    else
        submission->ask_ms = self->now_ms + ASK_AGAIN_MS;
}

static void offer(struct mesh *self, struct submission *submission)
{
    submission->stage = OFFERED;
    submission->until_ms = self->now_ms + GIVE_UP_MS;
    mesh_note_own(self, (struct own_event){.kind = OWN_SUBMIT,
                                           .id = submission->eval,
                                           .delta = &submission->delta});
}

static size_t missing_blobs(const struct mesh *self, const struct doc_req *req, struct hash *out)
{
    const struct docs *docs = self->config.docs;
    size_t count = 0;
    if (doc_hash_is_set(&req->overlay) && !docs->has_blob(docs->arg, &req->overlay))
        out[count++] = req->overlay;
    for (size_t p = 0; p < req->project_count; p++)
        if (doc_hash_is_set(&req->projects[p].bundle) &&
            !docs->has_blob(docs->arg, &req->projects[p].bundle))
            out[count++] = req->projects[p].bundle;
    return count;
}

/* From all that wait: each of them has the bundles. */
static void fetch(struct mesh *self, struct submission *submission)
{
    const struct doc_req *req = submission->delta.req;
    struct hash *missing = mesh_scratch(self, (req->project_count + 1) * sizeof *missing);
    size_t count = missing_blobs(self, req, missing);
    uint64_t sources[ANSWERS_MAX];
    size_t source_count = 0;
    for (size_t i = 0; i < submission->wait_count; i++)
        if (submission->waits[i].peer)
            sources[source_count++] = submission->waits[i].peer;
    if (count == 0) {
        offer(self, submission);
        return;
    }
    submission->stage = FETCHING;
    submission->until_ms = UINT64_MAX;
    struct fetch *fetch = mesh_fetch(self, missing, count, sources, source_count);
    fetch->is_submission = true;
    submission->asked = fetch->token;
}

void mesh_submission_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok)
{
    struct submission *at = self->submissions;
    while (at && (at->stage != FETCHING || at->asked != fetch->token))
        at = at->next;
    if (at && is_ok)
        offer(self, at);
    else if (at)
        refuse(self, at, WIRE_SUBMITTED_TOO_LATE);
}

bool mesh_submission_asked(struct mesh *self, uint64_t token)
{
    struct submission *at = self->submissions;
    while (at && ((at->stage != ASKING && at->stage != KNOWN) || at->asked != token))
        at = at->next;
    if (!at)
        return false;
    const struct doc *doc = mesh_doc(self, at->eval);
    if (doc && doc->req)
        judge_known(self, at, doc);
    else
        fetch(self, at);
    return true;
}

bool mesh_submission_accepted(struct mesh *self, uint64_t eval, unsigned replicas)
{
    struct submission *submission = find(self, eval);
    if (!submission || submission->stage != OFFERED)
        return false;
    accept(self, submission, replicas);
    return true;
}

bool mesh_submission_refused(struct mesh *self, uint64_t eval, enum own_why why)
{
    static const enum wire_why_submitted whys[] = {[OWN_TOO_FEW] = WIRE_SUBMITTED_TOO_FEW,
                                                   [OWN_TOO_LATE] = WIRE_SUBMITTED_TOO_LATE,
                                                   [OWN_TAKEN] = WIRE_SUBMITTED_TAKEN,
                                                   [OWN_NO_DISK] = WIRE_SUBMITTED_NO_DISK,
                                                   [OWN_LEAVING] = WIRE_SUBMITTED_LEAVING};
    struct submission *submission = find(self, eval);
    if (!submission || submission->stage != OFFERED)
        return false;
    if (why == OWN_TAKEN) { /* it came another way in the meantime */
        submission->stage = KNOWN;
        submission->ask_ms = self->now_ms;
    } else {
        refuse(self, submission, whys[why]);
    }
    return true;
}

/* ---- on the way to its home ------------------------------------------------------------------ */

static bool is_gone(const struct submission *submission, uint64_t node)
{
    for (size_t i = 0; i < submission->gone_count; i++)
        if (submission->gone[i] == node)
            return true;
    return false;
}

/* A draining node is no home, unless it is the only one: then it says so itself. */
static bool can_be_home(const struct mesh *self, const struct submission *submission, uint64_t node)
{
    struct swim_view view;
    return node != self->self && !is_gone(submission, node) &&
           swim_member(self->swim, node, &view) && view.is_compatible &&
           !(view.member.flags & WIRE_FLAG_DRAINING);
}

static uint64_t weight(uint64_t eval, uint64_t node)
{
    uint64_t both[2] = {eval, node};
    return hash_u64(both, sizeof both);
}

static uint64_t find_home(const struct mesh *self, const struct submission *submission)
{
    size_t count;
    const uint64_t *alive = swim_alive(self->swim, &count);
    uint64_t best = self->is_draining ? 0 : self->self;
    for (size_t i = 0; i < count; i++)
        if (can_be_home(self, submission, alive[i]) &&
            (!best || weight(submission->eval, alive[i]) > weight(submission->eval, best)))
            best = alive[i];
    return best ? best : self->self;
}

static void send_on(struct mesh *self, struct submission *submission)
{
    submission->home = find_home(self, submission);
    if (submission->home == self->self) {
        submission->stage = ASKING;
        submission->until_ms = self->now_ms + GIVE_UP_MS;
        ask(self, submission);
        return;
    }
    owned_buf delta = BUF_INIT;
    delta_encode(&submission->delta, &delta);
    submission->stage = SENT;
    submission->until_ms = self->now_ms + SENT_MS;
    submission->rid = (uint32_t)++self->last_token;
    struct wire_msg msg = {.kind = WIRE_SUBMIT,
                           .submit = {.rid = submission->rid,
                                      .eid = submission->eval,
                                      .delta = {(const uint8_t *)delta.data, delta.len}}};
    mesh_send(self, submission->home, &msg);
}

static void try_next(struct mesh *self, struct submission *submission)
{
    if (submission->gone_count == GONE_HOMES_MAX) {
        submission->until_ms = self->now_ms;
        return;
    }
    submission->gone[submission->gone_count++] = submission->home;
    send_on(self, submission);
}

void mesh_on_submitted(struct mesh *self, uint64_t peer, const struct wire_submitted *told)
{
    struct submission *submission = find(self, told->eid);
    if (!submission || submission->stage != SENT || submission->home != peer ||
        submission->rid != told->rid)
        return;
    if (told->why == WIRE_SUBMITTED_LEAVING || told->why == WIRE_SUBMITTED_NO_DISK)
        try_next(self, submission);
    else
        answer(self, submission, *told);
}

/* The home may have taken it in before it went: the next one asks around first. */
void mesh_submission_peer_lost(struct mesh *self, uint64_t peer)
{
    for (struct submission *at = self->submissions; at; at = at->next) {
        if (at->stage == SENT && at->home == peer)
            try_next(self, at);
        for (size_t i = 0; i < at->wait_count;) {
            if (at->waits[i].peer == peer)
                at->waits[i] = at->waits[--at->wait_count];
            else
                i++;
        }
    }
}

/* ---- what comes in --------------------------------------------------------------------------- */

static bool add_wait(struct submission *submission, const struct waits *waits)
{
    if (submission->wait_count == ANSWERS_MAX)
        return false;
    submission->waits[submission->wait_count++] = *waits;
    return true;
}

/* Copies the delta. Returns NULL when there is nothing left to do: it was answered, or waits with
 * another one. */
static struct submission *add_submission(struct mesh *self, const struct delta *delta,
                                         const struct waits *from)
{
    struct wire_submitted no = {
        .eid = delta->id, .why = WIRE_SUBMITTED_TOO_LATE, .retry_s = RETRY_S};
    struct submission *present = find(self, delta->id);
    if (present && !is_same_body(present, delta->req)) {
        no.why = WIRE_SUBMITTED_OTHER;
        no.retry_s = 0;
        answer_one(self, from, &no);
        return NULL;
    }
    if (present ? !add_wait(present, from) : self->submission_count >= SUBMISSIONS_MAX) {
        answer_one(self, from, &no);
        return NULL;
    }
    if (present)
        return NULL;
    struct submission *submission = mem_new(sizeof *submission);
    submission->eval = delta->id;
    delta_copy(delta, &submission->delta);
    submission->until_ms = self->now_ms + GIVE_UP_MS;
    (void)add_wait(submission, from);
    submission->next = self->submissions;
    self->submissions = submission;
    self->submission_count++;
    return submission;
}

void mesh_submit(struct mesh *self, const struct mesh_event *event)
{
    if (!event->delta->req || !event->delta->req->key) {
        mesh_note_own(
            self, (struct own_event){.kind = OWN_SUBMIT, .id = event->eval, .delta = event->delta});
        return;
    }
    struct submission *submission =
        add_submission(self, event->delta, &(struct waits){.token = event->token});
    if (submission)
        send_on(self, submission);
}

void mesh_on_submit(struct mesh *self, uint64_t peer, const struct wire_submit *submit)
{
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (delta_decode((const char *)submit->delta.data, submit->delta.len, &delta, &err) ||
        delta.id != submit->eid || !delta.req || !delta.req->key) {
        self->counters.refused_deltas++;
        return;
    }
    delta = (struct delta){.id = delta.id, .req = delta.req, .arena = delta.arena};
    struct submission *submission =
        add_submission(self, &delta, &(struct waits){.peer = peer, .token = submit->rid});
    if (submission) { /* whoever sent it takes this node for its home */
        submission->stage = ASKING;
        ask(self, submission);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

void mesh_tick_submissions(struct mesh *self)
{
    for (struct submission *at = self->submissions, *next; at; at = next) {
        next = at->next;
        if (at->until_ms <= self->now_ms) {
            refuse(self, at, WIRE_SUBMITTED_TOO_LATE);
        } else if (at->stage == KNOWN && at->ask_ms <= self->now_ms) {
            at->ask_ms = UINT64_MAX;
            ask(self, at);
        }
    }
}

uint64_t mesh_submissions_deadline(const struct mesh *self)
{
    uint64_t first = UINT64_MAX;
    for (const struct submission *at = self->submissions; at; at = at->next) {
        uint64_t own = at->stage == KNOWN && at->ask_ms < at->until_ms ? at->ask_ms : at->until_ms;
        first = own < first ? own : first;
    }
    return first;
}
