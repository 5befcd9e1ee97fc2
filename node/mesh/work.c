/* work: what this node executes: its agent, and the runner's events. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "proto/base/mem.h"

#define PROGRESS_MS 500        /* between two words to the owner about one module */
#define PLAN_MAX    (8u << 20) /* bytes of a plan as it is sent; the words below name it */

/* ---- progress -------------------------------------------------------------------------------- */

static struct progress *find_progress(const struct mesh *self, const struct work *work)
{
    for (struct progress *at = self->progress; at; at = at->next)
        if (work_is_same(&at->work, work))
            return at;
    return NULL;
}

void mesh_forget_progress(struct mesh *self, uint64_t eval, uint32_t p, uint32_t m)
{
    for (struct progress **at = &self->progress; *at;) {
        struct progress *progress = *at;
        const struct work *work = &progress->work;
        if (work->eval == eval && (m == WORK_CHORE || (work->p == p && work->m == m))) {
            *at = progress->next;
            free(progress);
        } else {
            at = &progress->next;
        }
    }
}

void mesh_progress(struct mesh *self, const struct mesh_event *event)
{
    const struct work *work = &event->work;
    struct progress *progress = find_progress(self, work);
    if (!progress) {
        progress = mem_new(sizeof *progress);
        progress->work = *work;
        progress->next = self->progress;
        self->progress = progress;
    }
    progress->tally = event->tally;
    mesh_effect(self, MESH_RUNNING)->eval = work->eval;
    if (!event->peer && work->ballot.owner != self->self &&
        progress->told_ms + PROGRESS_MS <= self->now_ms) {
        progress->told_ms = self->now_ms;
        struct wire_msg msg = {.kind = WIRE_PROGRESS,
                               .progress = {.eid = work->eval,
                                            .fence = mesh_fence(work->ballot),
                                            .p = work->p,
                                            .m = work->m,
                                            .n = (uint16_t)work->n,
                                            .passed = event->tally.passed,
                                            .failed = event->tally.failed,
                                            .errors = event->tally.errors,
                                            .skipped = event->tally.skipped}};
        mesh_send(self, work->ballot.owner, &msg);
    }
}

/* ---- chores that failed ---------------------------------------------------------------------- */

struct failure *mesh_failure(const struct mesh *self, uint64_t eval, uint32_t p)
{
    for (struct failure *at = self->failures; at; at = at->next)
        if (at->eval == eval && at->p == p)
            return at;
    return NULL;
}

void mesh_keep_failure(struct mesh *self, const struct work *chore, const struct delta *delta)
{
    if (delta->id != chore->eval || delta->plan_count != 1 || delta->plans[0].p != chore->p ||
        delta->plans[0].setup.outcome == DOC_NO_OUTCOME)
        return;
    struct failure *failure = mesh_failure(self, chore->eval, chore->p);
    if (!failure) {
        failure = mem_new(sizeof *failure);
        failure->eval = chore->eval;
        failure->p = chore->p;
        failure->next = self->failures;
        self->failures = failure;
    }
    delta_fini(&failure->delta);
    delta_copy(delta, &failure->delta);
}

void mesh_forget_failures(struct mesh *self, uint64_t eval)
{
    for (struct failure **at = &self->failures; *at;) {
        struct failure *failure = *at;
        if (eval && failure->eval != eval) {
            at = &failure->next;
            continue;
        }
        *at = failure->next;
        delta_fini(&failure->delta);
        free(failure);
    }
}

/* ---- the agent's effects --------------------------------------------------------------------- */

static void claim(struct mesh *self, const struct agent_effect *from, const uint32_t *ready)
{
    if (from->owner == self->self) {
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_CLAIM,
                                                   .peer = self->self,
                                                   .eval = from->eval,
                                                   .ballot = from->ballot,
                                                   .slots = from->slots,
                                                   .chores = from->chores,
                                                   .want_ms = from->want_ms,
                                                   .ready = ready,
                                                   .ready_count = from->ready_count});
        return;
    }
    struct wire_msg msg = {.kind = WIRE_CLAIM,
                           .claim = {.eid = from->eval,
                                     .fence = mesh_fence(from->ballot),
                                     .slots = (uint8_t)(from->slots < 255 ? from->slots : 255),
                                     .chores = (uint8_t)(from->chores < 255 ? from->chores : 255),
                                     .ms = from->want_ms,
                                     .ready = ready,
                                     .ready_count = from->ready_count < WIRE_READY_MAX
                                                        ? from->ready_count
                                                        : WIRE_READY_MAX}};
    mesh_send(self, from->owner, &msg);
}

void mesh_tell_ending(struct mesh *self, const struct ending *ending)
{
    bool is_chore = ending->work.m == WORK_CHORE;
    mesh_note_agent(self, (struct agent_event){.kind = is_chore ? AGENT_PREPARED : AGENT_ENDED,
                                               .work = ending->work,
                                               .end = ending->end,
                                               .blame = ending->blame,
                                               .took_ms = ending->took_ms});
}

static void end_chore(struct mesh *self, const struct work *work, enum work_end end)
{
    mesh_tree_ended(self, work, end);
    mesh_tell_ending(self,
                     &(struct ending){.work = *work, .end = end, .blame = WORK_BLAME_CLUSTER});
}

/* The bundles come first. */
static void prepare(struct mesh *self, const struct work *work)
{
    const struct docs *docs = self->config.docs;
    const struct doc *doc = mesh_doc(self, work->eval);
    if (!doc || !doc->req || work->p >= doc->req->project_count) {
        end_chore(self, work, WORK_UNPREPARED);
        return;
    }
    if (mesh_tree_is_old(self, work, NULL)) {
        end_chore(self, work, WORK_CANCELLED);
        return;
    }
    struct doc_project project;
    doc_project(doc, work->p, &project);
    const struct hash wanted[] = {project.bundle, doc->req->overlay};
    struct hash missing[2];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++)
        if (doc_hash_is_set(&wanted[i]) && !docs->has_blob(docs->arg, &wanted[i]))
            missing[count++] = wanted[i];
    if (count == 0) {
        mesh_effect(self, MESH_PREPARE)->work = *work;
        return;
    }
    uint64_t sources[WIRE_SOURCES_MAX + 1] = {work->ballot.owner};
    size_t source_count = 1 + mesh_sources(self, doc, sources + 1);
    mesh_fetch(self, &(struct wanted){.blobs = missing, .count = count}, sources, source_count)
        ->work = *work;
}

void mesh_chore_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok)
{
    if (fetch->is_unwanted || mesh_tree_is_old(self, &fetch->work, NULL))
        end_chore(self, &fetch->work, WORK_CANCELLED);
    else if (!is_ok)
        end_chore(self, &fetch->work, WORK_UNPREPARED);
    else
        mesh_effect(self, MESH_PREPARE)->work = fetch->work;
}

void mesh_stop_attempt(struct mesh *self, const struct work *work)
{
    for (struct fetch *fetch = self->fetches; fetch; fetch = fetch->next)
        if (work_is_same(&fetch->work, work)) {
            fetch->is_unwanted = true;
            return;
        }
    mesh_effect(self, MESH_STOP)->work = *work;
}

static void refuse(struct mesh *self, const struct agent_effect *from,
                   const struct work_item *items)
{
    size_t count = from->count < WIRE_WORK_MAX ? from->count : WIRE_WORK_MAX;
    if (from->owner == self->self) {
        for (size_t i = 0; i < count; i++)
            mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ENDED,
                                                       .peer = self->self,
                                                       .work = items[i].work,
                                                       .end = WORK_REFUSED,
                                                       .refusal = from->refusal});
        return;
    }
    struct wire_msg msg = {.kind = WIRE_REFUSE,
                           .refuse = {.eid = from->eval,
                                      .fence = mesh_fence(from->ballot),
                                      .why = (uint8_t)from->refusal,
                                      .work = mesh_refs(self, items, count),
                                      .work_count = count}};
    mesh_send(self, from->owner, &msg);
}

static void beat(struct mesh *self, const struct agent_effect *from, const struct work_item *items)
{
    if (from->owner == self->self) {
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_BEAT,
                                                   .peer = self->self,
                                                   .items = items,
                                                   .item_count = from->count});
        return;
    }
    size_t count = from->count < WIRE_RUNNING_MAX ? from->count : WIRE_RUNNING_MAX;
    owned_mem struct wire_running *running = mem_new_array(count + 1, sizeof *running);
    for (size_t i = 0; i < count; i++)
        running[i] = (struct wire_running){.eid = items[i].work.eval,
                                           .fence = mesh_fence(items[i].work.ballot),
                                           .p = items[i].work.p,
                                           .m = items[i].work.m,
                                           .n = (uint16_t)items[i].work.n,
                                           .elapsed_ms = items[i].elapsed_ms,
                                           .phase = (uint8_t)items[i].phase};
    struct agent_load load = agent_load(self->agent, self->now_ms);
    struct wire_msg msg = {.kind = WIRE_BEAT,
                           .beat = {.free_slots = (uint8_t)(load.free < 255 ? load.free : 255),
                                    .eta_ms = load.eta_ms,
                                    .running = running,
                                    .running_count = count}};
    mesh_send(self, from->owner, &msg);
}

/* What an attempt left, read from the document, where it is durable. */
static void encode_result(const struct mesh *self, const struct work *work, struct buf *out)
{
    const struct doc *doc = mesh_doc(self, work->eval);
    if (!doc)
        return;
    const struct doc_plan *plan = doc_plan(doc, work->p);
    const struct doc_rec *rec = work->m == WORK_CHORE ? NULL : doc_result(doc, work->p, work->m);
    if (work->m == WORK_CHORE && plan)
        delta_encode(&(struct delta){.id = work->eval, .plans = plan, .plan_count = 1}, out);
    else if (rec)
        delta_encode(&(struct delta){.id = work->eval, .res = rec, .res_count = 1}, out);
}

/* What was done of a plan, or a commit, that does not count any more has left nothing that its owner
 * waits for: it is to be done again. */
static enum work_end end_of(const struct mesh *self, const struct agent_effect *from,
                            const struct work *work)
{
    const struct doc *doc = mesh_doc(self, work->eval);
    if (from->end != WORK_DONE || !doc || doc->seal || mesh_is_over(doc))
        return from->end;
    bool has_left = work->m == WORK_CHORE
                        ? doc_plan(doc, work->p) && !mesh_tree_is_old(self, work, NULL)
                        : doc_result(doc, work->p, work->m) != NULL;
    return has_left ? WORK_DONE : WORK_CANCELLED;
}

static void tell_result(struct mesh *self, const struct agent_effect *from, const struct work *work)
{
    static const uint8_t outcomes[] = {[WORK_DONE] = WIRE_OUTCOME_DONE,
                                       [WORK_LOST] = WIRE_OUTCOME_LOST,
                                       [WORK_CANCELLED] = WIRE_OUTCOME_CANCELLED,
                                       [WORK_UNPREPARED] = WIRE_OUTCOME_UNPREPARED,
                                       [WORK_REFUSED] = WIRE_OUTCOME_LOST};
    enum work_end end = end_of(self, from, work);
    if (from->owner == self->self) {
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ENDED,
                                                   .peer = self->self,
                                                   .work = *work,
                                                   .end = end,
                                                   .blame = from->blame,
                                                   .prepare_ms = from->took_ms});
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_ACKED, .work = *work});
        return;
    }
    if (from->is_repeat && self->config.mutation == OWN_NO_RESEND)
        return;
    owned_buf delta = BUF_INIT;
    const struct failure *failure = mesh_failure(self, work->eval, work->p);
    if (end == WORK_UNPREPARED && from->blame == WORK_BLAME_CLUSTER) {
        if (failure)
            delta_encode(&failure->delta, &delta);
    } else if (end == WORK_DONE || end == WORK_UNPREPARED) {
        encode_result(self, work, &delta);
    }
    struct wire_msg msg = {.kind = WIRE_RESULT,
                           .result = {.eid = work->eval,
                                      .fence = mesh_fence(work->ballot),
                                      .p = work->p,
                                      .m = work->m,
                                      .n = (uint16_t)work->n,
                                      .outcome = outcomes[end],
                                      .blame = (uint8_t)from->blame,
                                      .took_ms = from->took_ms,
                                      .delta = {(const uint8_t *)delta.data, delta.len}}};
    mesh_send(self, from->owner, &msg);
}

static void act_agent(struct mesh *self, const struct agent_effect *effect,
                      const struct agent_out *out)
{
    static const struct work_item none;
    const struct work_item *items = effect->count ? out->items + effect->first : &none;
    struct mesh_effect *to;
    switch (effect->kind) {
    case AGENT_CLAIM:
        claim(self, effect, effect->ready_count ? out->ready + effect->first_ready : NULL);
        break;
    case AGENT_PREPARE:
        prepare(self, &items->work);
        break;
    case AGENT_START:
        if (mesh_tree_is_other(self, &items->work)) { /* given back: it is to be got ready again */
            mesh_tell_ending(self, &(struct ending){.work = items->work, .end = WORK_REFUSED});
            break;
        }
        __attribute__((fallthrough));
    case AGENT_GIVE_SLOT:
        to = mesh_effect(self, effect->kind == AGENT_START ? MESH_START : MESH_GIVE_SLOT);
        to->work = items->work;
        to->slot = effect->slot;
        break;
    case AGENT_STOP:
        mesh_stop_attempt(self, &items->work);
        break;
    case AGENT_REFUSE:
        refuse(self, effect, items);
        break;
    case AGENT_BEAT:
        beat(self, effect, items);
        break;
    case AGENT_RESULT:
        tell_result(self, effect, &items->work);
        break;
    case AGENT_DRAINED:
        self->is_agent_drained = true;
        break;
    }
}

static void fini_agent_out(void *what) { agent_out_fini(what); }

void mesh_agent(struct mesh *self, const struct agent_event *event)
{
    struct agent_out *out = mem_new(sizeof *out);
    mesh_hold(self, out, fini_agent_out);
    agent_step(self->agent, event, out);
    for (size_t i = 0; i < out->count; i++)
        act_agent(self, &out->effects[i], out);
}

/* ---- the runner's events --------------------------------------------------------------------- */

/* Every node that works on it gets the plan in one message, and in the seal once more. */
static bool is_too_large(const struct delta *plan)
{
    owned_buf text = BUF_INIT;
    delta_encode(plan, &text);
    return text.len > PLAN_MAX;
}

/* Nothing could be done with it: what the project gets is why. */
static void append_why_not(struct mesh *self, const struct mesh_event *event)
{
    struct doc_plan plan = {
        .p = event->work.p,
        .ballot = mesh_doc_ballot(event->work.ballot),
        .tree = event->delta->plans[0].tree,
        .setup = {.outcome = DOC_SETUP_FAILED,
                  .blame = DOC_BLAME_PROJECT,
                  .message = "the names of its test modules are more than 8 MiB together",
                  .addr = self->config.self.address}};
    struct append *append =
        mesh_append(self, APPEND_FOR_END,
                    &(struct delta){.id = event->work.eval, .plans = &plan, .plan_count = 1});
    append->ending =
        (struct ending){.work = event->work, .end = WORK_UNPREPARED, .blame = WORK_BLAME_PROJECT};
}

static bool is_of_old_tree(const struct mesh *self, const struct mesh_event *event)
{
    const struct delta *delta = event->delta;
    return mesh_tree_is_old(self, &event->work,
                            delta && delta->plan_count == 1 ? &delta->plans[0] : NULL);
}

void mesh_ended(struct mesh *self, const struct mesh_event *event)
{
    const struct work *work = &event->work;
    struct ending ending = {
        .work = *work, .end = event->end, .blame = event->blame, .took_ms = event->took_ms};
    bool is_chore = work->m == WORK_CHORE;
    bool is_failure = event->end == WORK_UNPREPARED && event->blame == WORK_BLAME_CLUSTER;
    if (!is_chore)
        mesh_forget_progress(self, work->eval, work->p, work->m);
    if (is_chore && is_of_old_tree(self, event)) {
        self->counters.other_trees++;
        end_chore(self, work, WORK_CANCELLED);
        return;
    }
    if (is_chore)
        mesh_tree_ended(self, work, event->end);
    if (event->delta && is_failure)
        mesh_keep_failure(self, work, event->delta);
    if (!event->delta || is_failure) {
        mesh_tell_ending(self, &ending);
        return;
    }
    /* The slot is free at once; the end is told when it is durable. */
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_FREED, .work = *work});
    if (is_chore && is_too_large(event->delta))
        append_why_not(self, event);
    else
        mesh_append(self, APPEND_FOR_END, event->delta)->ending = ending;
}
