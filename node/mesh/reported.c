/* reported: what executors say to this node, as an owner. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_json.h"

#include <string.h>

void mesh_on_claim(struct mesh *self, uint64_t peer, const struct wire_claim *claim)
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

void mesh_on_refuse(struct mesh *self, uint64_t peer, const struct wire_refuse *refuse)
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

void mesh_confirm(struct mesh *self, const struct ending *ending)
{
    const struct work *work = &ending->work;
    struct wire_done done = {
        .fence = mesh_fence(work->ballot), .p = work->p, .m = work->m, .n = (uint16_t)work->n};
    struct wire_msg msg = {.kind = WIRE_RESULT_OK,
                           .result_ok = {.eid = work->eval, .done = &done, .done_count = 1}};
    mesh_send(self, ending->peer, &msg);
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ENDED,
                                               .peer = ending->peer,
                                               .work = *work,
                                               .end = ending->end,
                                               .blame = ending->blame,
                                               .prepare_ms = ending->took_ms});
}

static bool is_result_of(const struct delta *delta, uint64_t eval)
{
    return delta->id == eval && !delta->req && !delta->fence && !delta->seal && !delta->cancel &&
           delta->com.epoch == 0;
}

/* What a RESULT says of its attempt; false: nothing that has a meaning here. */
static bool read_end(uint64_t peer, const struct wire_result *result, struct ending *out)
{
    static const enum work_end ends[] = {[WIRE_OUTCOME_DONE] = WORK_DONE,
                                         [WIRE_OUTCOME_LOST] = WORK_LOST,
                                         [WIRE_OUTCOME_CANCELLED] = WORK_CANCELLED,
                                         [WIRE_OUTCOME_UNPREPARED] = WORK_UNPREPARED};
    if (result->outcome < WIRE_OUTCOME_DONE || result->outcome > WIRE_OUTCOME_UNPREPARED ||
        result->blame > WORK_BLAME_CLUSTER)
        return false;
    *out = (struct ending){.peer = peer,
                           .work = {.eval = result->eid,
                                    .p = result->p,
                                    .m = result->m,
                                    .n = result->n,
                                    .ballot = mesh_ballot_of_wire(result->fence)},
                           .end = ends[result->outcome],
                           .blame = (enum work_blame)result->blame,
                           .took_ms = result->took_ms};
    return true;
}

/* A chore of another commit than counts here has made nothing ready: it is tried again. */
static void look_at_tree(struct mesh *self, const struct delta *delta, struct ending *ending)
{
    const struct work *work = &ending->work;
    const struct doc *doc = mesh_doc(self, work->eval);
    const struct doc_source *source =
        doc && work->m == WORK_CHORE ? doc_source(doc, work->p) : NULL;
    bool is_judged = ending->end == WORK_DONE || ending->end == WORK_UNPREPARED;
    bool is_same = delta->plan_count == 1 && source &&
                   memcmp(&delta->plans[0].tree, &source->tree, sizeof source->tree) == 0;
    bool is_plain = ending->end == WORK_UNPREPARED && delta->plan_count == 0;
    if (!source || !is_judged || is_same || is_plain || self->config.mutation == OWN_ANY_TREE)
        return;
    self->counters.other_trees++;
    ending->end = WORK_CANCELLED;
}

/* Whoever leads the evaluation confirms: others keep the record too, but the executor must not
 * think that its owner has it. */
void mesh_on_result(struct mesh *self, uint64_t peer, const struct wire_result *result)
{
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    struct ending ending;
    bool is_mine = own_is_active(self->own, result->eid, NULL);
    if (!read_end(peer, result, &ending)) {
        self->counters.bad_frames++;
    } else if (result->delta.len == 0) {
        look_at_tree(self, &delta, &ending);
        if (is_mine)
            mesh_confirm(self, &ending);
    } else if (delta_decode((const char *)result->delta.data, result->delta.len, &delta, &err) ||
               !is_result_of(&delta, result->eid)) {
        self->counters.refused_deltas++;
    } else if (ending.end != WORK_UNPREPARED || ending.blame != WORK_BLAME_CLUSTER) {
        look_at_tree(self, &delta, &ending);
        enum append_for who = is_mine ? APPEND_FOR_RESULT : APPEND_FOR_NOBODY;
        mesh_append(self, who, &delta)->ending = ending;
    } else if (is_mine) { /* another node may do better */
        mesh_keep_failure(self, &ending.work, &delta);
        mesh_confirm(self, &ending);
    }
}

void mesh_on_beat(struct mesh *self, uint64_t peer, const struct wire_beat *beat)
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

void mesh_on_progress(struct mesh *self, uint64_t peer, const struct wire_progress *progress)
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
