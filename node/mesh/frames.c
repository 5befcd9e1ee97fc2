/* frames: messages of other nodes, to the machine that they are for. What a node says of work may
 * be about a document that this node has not got yet: then it is read first. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#include <string.h>

/* ---- what waits for its document ------------------------------------------------------------- */

static void defer(struct mesh *self, uint64_t peer, uint64_t eval, const void *bytes, size_t len)
{
    if (self->deferred_count >= MESH_DEFERRED_MAX)
        return;
    struct deferred *deferred = mem_new(sizeof *deferred);
    deferred->token = MESH_OWN_TOKEN | ++self->last_token;
    deferred->peer = peer;
    deferred->bytes = mem_dup(bytes, len);
    deferred->len = len;
    deferred->next = self->deferreds;
    self->deferreds = deferred;
    self->deferred_count++;
    mesh_note_own(self, (struct own_event){.kind = OWN_ASK, .id = eval, .token = deferred->token});
}

static void fini_deferred(void *what)
{
    struct deferred *deferred = what;
    free(deferred->bytes);
}

static void take_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len,
                       bool is_deferred);

void mesh_undefer(struct mesh *self, uint64_t token)
{
    struct deferred **at = &self->deferreds;
    while (*at && (*at)->token != token)
        at = &(*at)->next;
    struct deferred *deferred = *at;
    if (!deferred)
        return;
    *at = deferred->next;
    self->deferred_count--;
    mesh_hold(self, deferred, fini_deferred);
    take_frame(self, deferred->peer, deferred->bytes, deferred->len, true);
}

/* ---- to the agent ---------------------------------------------------------------------------- */

static bool is_over(const struct doc *doc) { return doc->cancel || doc_is_final(doc); }

/* Returns false when the offer must wait for its document. */
static bool on_offer(struct mesh *self, uint64_t peer, const struct wire_offer *offer)
{
    const struct doc *doc = mesh_doc(self, offer->eid);
    if (!doc || !doc->req)
        return false;
    if (!is_over(doc))
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_OFFER,
                                                   .peer = peer,
                                                   .eval = offer->eid,
                                                   .ballot = mesh_ballot_of_wire(offer->fence),
                                                   .queued = offer->queued,
                                                   .weight = offer->weight ? offer->weight : 1});
    return true;
}

static void refuse_jobs(struct mesh *self, uint64_t peer, const struct wire_assign *assign,
                        const struct wire_ref *refs, size_t count, enum wire_why_refuse why)
{
    struct wire_msg msg = {.kind = WIRE_REFUSE,
                           .refuse = {.eid = assign->eid,
                                      .fence = assign->fence,
                                      .why = (uint8_t)why,
                                      .work = refs,
                                      .work_count = count}};
    if (count > 0)
        mesh_send(self, peer, &msg);
}

static bool is_known(const struct doc *doc, const struct wire_job_ref *job)
{
    const struct doc_plan *plan = doc ? doc_plan(doc, job->p) : NULL;
    if (!doc || !doc->req || job->p >= doc->req->project_count)
        return false;
    if (job->m == WIRE_CHORE)
        return job->plan == 0 || plan;
    return plan && plan->hash == job->plan && job->m < plan->module_count;
}

/* Returns false when the work must wait for its document. */
static bool on_assign(struct mesh *self, uint64_t peer, const struct wire_assign *assign,
                      bool is_deferred)
{
    const struct doc *doc = mesh_doc(self, assign->eid);
    struct work_item *items = mesh_scratch(self, (assign->work_count + 1) * sizeof *items);
    struct wire_ref *refs = mesh_scratch(self, (assign->work_count + 1) * sizeof *refs);
    size_t known = 0;
    size_t unknown = 0;
    bool is_late = doc && is_over(doc);
    for (size_t i = 0; i < assign->work_count; i++) {
        const struct wire_job_ref *job = &assign->work[i];
        if (is_late || !is_known(doc, job))
            refs[unknown++] = (struct wire_ref){.p = job->p, .m = job->m, .n = job->n};
        else
            items[known++] =
                (struct work_item){.work = {.eval = assign->eid,
                                            .p = job->p,
                                            .m = job->m,
                                            .n = job->n,
                                            .ballot = mesh_ballot_of_wire(assign->fence)},
                                   .estimate_ms = job->est_ms};
    }
    if (unknown > 0 && !is_late && !is_deferred)
        return false;
    refuse_jobs(self, peer, assign, refs, unknown,
                is_late ? WIRE_REFUSE_UNKNOWN : WIRE_REFUSE_UNREADY);
    if (known > 0)
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_ASSIGN,
                                                   .peer = peer,
                                                   .eval = assign->eid,
                                                   .ballot = mesh_ballot_of_wire(assign->fence),
                                                   .items = items,
                                                   .item_count = known});
    return true;
}

static void on_nowork(struct mesh *self, uint64_t peer, const struct wire_work *nowork)
{
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_NOWORK,
                                               .peer = peer,
                                               .eval = nowork->eid,
                                               .ballot = mesh_ballot_of_wire(nowork->fence),
                                               .queued = nowork->queued});
}

static void on_cancel(struct mesh *self, uint64_t peer, const struct wire_cancel *cancel)
{
    struct work_item *items = mesh_scratch(self, (cancel->work_count + 1) * sizeof *items);
    for (size_t i = 0; i < cancel->work_count; i++)
        items[i] = (struct work_item){.work = {.eval = cancel->eid,
                                               .p = cancel->work[i].p,
                                               .m = cancel->work[i].m,
                                               .n = cancel->work[i].n,
                                               .ballot = mesh_ballot_of_wire(cancel->fence)}};
    if (!cancel->all && cancel->work_count == 0)
        return;
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_CANCEL,
                                               .peer = peer,
                                               .eval = cancel->eid,
                                               .ballot = mesh_ballot_of_wire(cancel->fence),
                                               .items = items,
                                               .item_count = cancel->work_count});
}

static void on_result_ok(struct mesh *self, const struct wire_result_ok *ok)
{
    for (size_t i = 0; i < ok->done_count; i++) {
        const struct wire_done *done = &ok->done[i];
        mesh_note_agent(self,
                        (struct agent_event){.kind = AGENT_ACKED,
                                             .work = {.eval = ok->eid,
                                                      .p = done->p,
                                                      .m = done->m,
                                                      .n = done->n,
                                                      .ballot = mesh_ballot_of_wire(done->fence)}});
    }
}

/* ---- to the queue ---------------------------------------------------------------------------- */

static void on_claim(struct mesh *self, uint64_t peer, const struct wire_claim *claim)
{
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_CLAIM,
                                               .peer = peer,
                                               .eval = claim->eid,
                                               .ballot = mesh_ballot_of_wire(claim->fence),
                                               .slots = claim->slots,
                                               .chores = claim->chores,
                                               .want_ms = claim->ms,
                                               .ready = claim->ready,
                                               .ready_count = claim->ready_count});
}

static void on_refuse(struct mesh *self, uint64_t peer, const struct wire_refuse *refuse)
{
    const struct led *led = mesh_led(self, refuse->eid);
    struct work_ballot theirs = mesh_ballot_of_wire(refuse->fence);
    if (!led)
        return;
    if (work_ballot_compare(theirs, led->ballot) > 0)
        mesh_note_own(self, (struct own_event){.kind = OWN_HEARD,
                                               .id = refuse->eid,
                                               .fence = mesh_doc_ballot(theirs)});
    for (size_t i = 0; i < refuse->work_count; i++)
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ENDED,
                                                   .peer = peer,
                                                   .work = {.eval = refuse->eid,
                                                            .p = refuse->work[i].p,
                                                            .m = refuse->work[i].m,
                                                            .n = refuse->work[i].n,
                                                            .ballot = led->ballot},
                                                   .end = WORK_REFUSED,
                                                   .refusal = (enum work_refusal)refuse->why});
}

void mesh_confirm(struct mesh *self, const struct append *append)
{
    const struct work *work = &append->work;
    struct wire_done done = {
        .fence = mesh_fence(work->ballot), .p = work->p, .m = work->m, .n = (uint16_t)work->n};
    struct wire_msg msg = {.kind = WIRE_RESULT_OK,
                           .result_ok = {.eid = work->eval, .done = &done, .done_count = 1}};
    mesh_send(self, append->peer, &msg);
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ENDED,
                                               .peer = append->peer,
                                               .work = *work,
                                               .end = append->end,
                                               .blame = append->blame,
                                               .prepare_ms = append->took_ms});
}

static bool is_result_of(const struct delta *delta, uint64_t eval)
{
    return delta->id == eval && !delta->req && !delta->fence && !delta->seal && !delta->cancel &&
           delta->com.epoch == 0;
}

/* Whoever leads the evaluation confirms: others keep the record too, but the executor must not
 * think that its owner has it. */
static void on_result(struct mesh *self, uint64_t peer, const struct wire_result *result)
{
    static const enum work_end ends[] = {[WIRE_OUTCOME_DONE] = WORK_DONE,
                                         [WIRE_OUTCOME_LOST] = WORK_LOST,
                                         [WIRE_OUTCOME_CANCELLED] = WORK_CANCELLED,
                                         [WIRE_OUTCOME_UNPREPARED] = WORK_UNPREPARED};
    if (result->outcome < WIRE_OUTCOME_DONE || result->outcome > WIRE_OUTCOME_UNPREPARED ||
        result->blame > WORK_BLAME_CLUSTER) {
        self->counters.bad_frames++;
        return;
    }
    struct append end = {.peer = peer,
                         .work = {.eval = result->eid,
                                  .p = result->p,
                                  .m = result->m,
                                  .n = result->n,
                                  .ballot = mesh_ballot_of_wire(result->fence)},
                         .end = ends[result->outcome],
                         .blame = (enum work_blame)result->blame,
                         .took_ms = result->took_ms};
    bool is_mine = own_is_active(self->own, result->eid, NULL);
    if (result->delta.len == 0) {
        if (is_mine)
            mesh_confirm(self, &end);
        return;
    }
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (delta_decode((const char *)result->delta.data, result->delta.len, &delta, &err) ||
        !is_result_of(&delta, result->eid)) {
        self->counters.refused_deltas++;
        return;
    }
    if (end.end == WORK_UNPREPARED && end.blame == WORK_BLAME_CLUSTER) {
        if (is_mine) { /* another node may do better */
            mesh_keep_failure(self, &end.work, &delta);
            mesh_confirm(self, &end);
        }
        return;
    }
    struct append *append =
        mesh_append(self, is_mine ? APPEND_FOR_RESULT : APPEND_FOR_NOBODY, &delta);
    append->peer = end.peer;
    append->work = end.work;
    append->end = end.end;
    append->blame = end.blame;
    append->took_ms = end.took_ms;
}

static void on_beat(struct mesh *self, uint64_t peer, const struct wire_beat *beat)
{
    struct work_item *items = mesh_scratch(self, (beat->running_count + 1) * sizeof *items);
    for (size_t i = 0; i < beat->running_count; i++) {
        const struct wire_running *running = &beat->running[i];
        items[i] = (struct work_item){
            .work = {.eval = running->eid,
                     .p = running->p,
                     .m = running->m,
                     .n = running->n,
                     .ballot = mesh_ballot_of_wire(running->fence)},
            .elapsed_ms = running->elapsed_ms,
            .phase = running->phase <= WORK_ENDED ? (enum work_phase)running->phase : WORK_RUNNING};
    }
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_BEAT,
                                               .peer = peer,
                                               .items = items,
                                               .item_count = beat->running_count});
}

/* A module that has its record, or never was, makes no progress: what is kept of one ends with its
 * record, and would stay. */
static bool can_progress(const struct mesh *self, const struct wire_progress *progress)
{
    const struct doc *doc = mesh_led(self, progress->eid) ? mesh_doc(self, progress->eid) : NULL;
    const struct doc_plan *plan = doc ? doc_plan(doc, progress->p) : NULL;
    return plan && progress->m < plan->module_count && !doc_result(doc, progress->p, progress->m);
}

static void on_progress(struct mesh *self, uint64_t peer, const struct wire_progress *progress)
{
    if (!can_progress(self, progress))
        return;
    mesh_progress(self,
                  &(struct mesh_event){.kind = MESH_PROGRESS,
                                       .peer = peer,
                                       .work = {.eval = progress->eid,
                                                .p = progress->p,
                                                .m = progress->m,
                                                .n = progress->n,
                                                .ballot = mesh_ballot_of_wire(progress->fence)},
                                       .tally = {.passed = progress->passed,
                                                 .failed = progress->failed,
                                                 .errors = progress->errors,
                                                 .skipped = progress->skipped}});
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void to_own(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_own(self, (struct own_event){.kind = OWN_MESSAGE, .peer = peer, .msg = msg});
}

static void to_sync(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_sync(self, (struct sync_event){.kind = SYNC_MESSAGE, .peer = peer, .msg = msg});
}

static void to_swim(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_FRAME, .node = peer, .msg = msg});
}

static void fini_msg(void *what) { wire_msg_fini(what); }

static void take_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len,
                       bool is_deferred)
{
    struct err err = ERR_INIT;
    struct wire_msg decoded;
    if (wire_decode(bytes, len, &decoded, &err)) {
        self->counters.bad_frames++;
        return;
    }
    struct wire_msg *msg = mem_new(sizeof *msg);
    *msg = decoded;
    mesh_hold(self, msg, fini_msg);
    switch ((int)msg->kind) {
    case WIRE_MSYNC:
    case WIRE_MFULL:
        to_swim(self, peer, msg);
        break;
    case WIRE_OFFER:
        if (!on_offer(self, peer, &msg->offer) && !is_deferred)
            defer(self, peer, msg->offer.eid, bytes, len);
        break;
    case WIRE_ASSIGN:
        if (!on_assign(self, peer, &msg->assign, is_deferred))
            defer(self, peer, msg->assign.eid, bytes, len);
        break;
    case WIRE_NOWORK:
        on_nowork(self, peer, &msg->nowork);
        break;
    case WIRE_CANCEL:
        on_cancel(self, peer, &msg->cancel);
        break;
    case WIRE_RESULT_OK:
        on_result_ok(self, &msg->result_ok);
        break;
    case WIRE_CLAIM:
        on_claim(self, peer, &msg->claim);
        break;
    case WIRE_REFUSE:
        on_refuse(self, peer, &msg->refuse);
        break;
    case WIRE_RESULT:
        on_result(self, peer, &msg->result);
        break;
    case WIRE_BEAT:
        on_beat(self, peer, &msg->beat);
        break;
    case WIRE_PROGRESS:
        on_progress(self, peer, &msg->progress);
        break;
    case WIRE_READ:
        if (!(msg->read.rid & OWN_RID_SYNC)) /* somebody wants to know, and not a copy alone */
            mesh_tell_live(self, peer, msg->read.eid);
        to_own(self, peer, msg);
        break;
    case WIRE_LIVE:
        mesh_hear_live(self, peer, &msg->live);
        break;
    case WIRE_SUBMIT:
        mesh_on_submit(self, peer, &msg->submit);
        break;
    case WIRE_SUBMITTED:
        mesh_on_submitted(self, peer, &msg->submitted);
        break;
    case WIRE_PUT:
        to_own(self, peer, msg);
        break;
    case WIRE_PUT_OK:
        if (!(msg->put_ok.rid & OWN_RID_SYNC))
            to_own(self, peer, msg);
        else if (!mesh_submission_put_ok(self, peer, &msg->put_ok))
            self->counters.bad_frames++;
        break;
    case WIRE_PUT_LOW:
        if (!(msg->put_low.rid & OWN_RID_SYNC) || !mesh_submission_put_low(self, &msg->put_low))
            to_own(self, peer, msg);
        break;
    case WIRE_DOC:
        if (msg->doc.rid & OWN_RID_SYNC)
            to_sync(self, peer, msg);
        else
            to_own(self, peer, msg);
        break;
    case WIRE_SYNC:
    case WIRE_DIFF:
    case WIRE_DELTA:
        to_sync(self, peer, msg);
        break;
    default:
        self->counters.unknown_messages++;
        break;
    }
}

void mesh_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len)
{
    if (peer == self->self) /* there is no link to oneself that could carry an answer */
        self->counters.bad_frames++;
    else
        take_frame(self, peer, bytes, len, false);
}
