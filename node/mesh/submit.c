#include "node/mesh/submit.h"

#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#include <string.h>

#define SUBMISSIONS_MAX 256
#define SENT_MS         90000 /* its home has to fetch the bundles first, which ends by itself */

struct submission *submission_find(const struct mesh *self, uint64_t eval)
{
    for (struct submission *at = self->submissions; at; at = at->next)
        if (at->eval == eval)
            return at;
    return NULL;
}

bool mesh_submission_needs(const struct mesh *self, uint64_t eval, const struct hash *secret)
{
    const struct submission *at = submission_find(self, eval);
    return at && memcmp(&at->delta.req->secret, secret, sizeof *secret) == 0;
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
    mesh_look_secret(self, submission->eval, &submission->delta.req->secret);
}

void mesh_free_submissions(struct mesh *self)
{
    for (struct submission *at = self->submissions, *next; at; at = next) {
        next = at->next;
        delta_fini(&at->delta);
        free(at);
    }
}

bool submission_has_body(const struct submission *self, const struct doc_req *req)
{
    return memcmp(&self->delta.req->body, &req->body, sizeof req->body) == 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static const char *const reasons[] = {[WIRE_SUBMITTED_TOO_FEW] = "too-few-replicas",
                                      [WIRE_SUBMITTED_TOO_LATE] = "replicas-too-late",
                                      [WIRE_SUBMITTED_TAKEN] = "id-taken",
                                      [WIRE_SUBMITTED_NO_DISK] = "store-not-writable",
                                      [WIRE_SUBMITTED_LEAVING] = "draining",
                                      [WIRE_SUBMITTED_OTHER] = "idempotency-key-reused"};

static void answer_one(struct mesh *self, const struct submission_wait *to,
                       const struct wire_submitted *what)
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

void submission_refuse(struct mesh *self, struct submission *submission,
                       enum wire_why_submitted why)
{
    uint16_t retry_s = why == WIRE_SUBMITTED_TAKEN || why == WIRE_SUBMITTED_OTHER
                           ? 0
                           : (uint16_t)SUBMISSION_RETRY_S;
    answer(self, submission, (struct wire_submitted){.why = (uint8_t)why, .retry_s = retry_s});
}

void submission_accept(struct mesh *self, struct submission *submission, unsigned replicas)
{
    answer(self, submission,
           (struct wire_submitted){.why = WIRE_SUBMITTED_OK,
                                   .replicas =
                                       (uint8_t)(replicas < UINT8_MAX ? replicas : UINT8_MAX)});
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

static uint64_t find_home(const struct mesh *self, const struct submission *submission)
{
    size_t count;
    const uint64_t *alive = swim_alive(self->swim, &count);
    uint64_t best = self->is_draining ? 0 : self->self;
    for (size_t i = 0; i < count; i++)
        if (can_be_home(self, submission, alive[i]) &&
            (!best ||
             hash_weight(submission->eval, alive[i]) > hash_weight(submission->eval, best)))
            best = alive[i];
    return best ? best : self->self;
}

static void send_on(struct mesh *self, struct submission *submission)
{
    submission->home = find_home(self, submission);
    if (submission->home == self->self) {
        home_begin(self, submission);
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
    if (submission->gone_count == SUBMISSION_GONE_MAX) {
        submission->until_ms = self->now_ms;
        return;
    }
    submission->gone[submission->gone_count++] = submission->home;
    send_on(self, submission);
}

void mesh_on_submitted(struct mesh *self, uint64_t peer, const struct wire_submitted *told)
{
    struct submission *submission = submission_find(self, told->eid);
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

static bool add_wait(struct submission *submission, const struct submission_wait *waits)
{
    if (submission->wait_count == SUBMISSION_WAITS_MAX)
        return false;
    submission->waits[submission->wait_count++] = *waits;
    return true;
}

/* Copies the delta. Returns NULL when there is nothing left to do: it was answered, or waits with
 * another one. */
static struct submission *add_submission(struct mesh *self, const struct delta *delta,
                                         const struct submission_wait *from)
{
    struct wire_submitted no = {
        .eid = delta->id, .why = WIRE_SUBMITTED_TOO_LATE, .retry_s = SUBMISSION_RETRY_S};
    struct submission *present = submission_find(self, delta->id);
    if (present && !submission_has_body(present, delta->req)) {
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
        add_submission(self, event->delta, &(struct submission_wait){.token = event->token});
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
        add_submission(self, &delta, &(struct submission_wait){.peer = peer, .token = submit->rid});
    if (submission) /* whoever sent it takes this node for its home */
        home_begin(self, submission);
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool has_tick(const struct submission *submission)
{
    return submission->stage == KNOWN || submission->stage == CONFIRMING;
}

void mesh_tick_submissions(struct mesh *self)
{
    for (struct submission *at = self->submissions, *next; at; at = next) {
        next = at->next;
        if (at->until_ms <= self->now_ms) {
            submission_refuse(self, at, WIRE_SUBMITTED_TOO_LATE);
        } else if (has_tick(at) && at->ask_ms <= self->now_ms) {
            home_tick(self, at);
        }
    }
}

uint64_t mesh_submissions_deadline(const struct mesh *self)
{
    uint64_t first = UINT64_MAX;
    for (const struct submission *at = self->submissions; at; at = at->next) {
        uint64_t own = has_tick(at) && at->ask_ms < at->until_ms ? at->ask_ms : at->until_ms;
        first = own < first ? own : first;
    }
    return first;
}
