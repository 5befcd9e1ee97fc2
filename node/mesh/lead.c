/* lead: the evaluations that this node leads: what its queue is fed, and does. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_copy.h"
#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <string.h>

#define WEIGHT_OF_PRIORITY_0 101
#define TIMEOUT_MS           300000

/* ---- what the queue is fed --------------------------------------------------------------------
 */

struct led *mesh_led(const struct mesh *self, uint64_t eval)
{
    return byid_find(self->leds, self->led_count, eval);
}

static void feed_modules(struct mesh *self, const struct doc *doc, const struct doc_plan *plan)
{
    struct queue_module *modules = mesh_scratch(self, (plan->module_count + 1) * sizeof *modules);
    size_t count = 0;
    for (uint32_t m = 0; m < plan->module_count; m++) {
        if (doc_result(doc, plan->p, m))
            continue;
        struct queue_module *module = &modules[count++];
        module->m = m;
        module->estimate_ms =
            self->config.estimate(self->config.estimate_arg, doc, plan->p, m, &module->is_measured);
    }
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ADD_MODULES,
                                               .eval = doc->id,
                                               .p = plan->p,
                                               .modules = modules,
                                               .module_count = count});
}

/* A project that comes again, in another version, finds its environment where it was: its home is
 * chosen by its name. */
static uint64_t home_of(const struct mesh *self, const struct doc_project *project)
{
    size_t count;
    const uint64_t *nodes = swim_alive(self->swim, &count);
    const uint64_t name = hash_u64(project->name, strlen(project->name));
    uint64_t home = 0;
    for (size_t i = 0; i < count; i++)
        if (!home || hash_weight(name, nodes[i]) > hash_weight(name, home))
            home = nodes[i];
    return home;
}

/* A repository's project is fed when its bundle is here, under a source that nobody's may take the
 * place of while this node leads; or when nothing of it is left to do. */
static bool is_settled(const struct mesh *self, const struct doc *doc, const struct led *led,
                       uint32_t p)
{
    const struct docs *docs = self->config.docs;
    const struct doc_source *source = doc_source(doc, p);
    if (doc_is_uncloned(doc, p))
        return false;
    if (!source || doc_project_is_complete(doc, p))
        return true;
    return work_ballot_compare(mesh_ballot(source->ballot), led->ballot) == 0 &&
           docs->has_blob(docs->arg, &source->bundle);
}

void mesh_feed_project(struct mesh *self, const struct doc *doc, struct led *led, uint32_t p)
{
    const struct doc_plan *plan = doc_plan(doc, p);
    if (p >= led->fed_count || !is_settled(self, doc, led, p))
        return;
    bool is_fed = led->fed[p];
    led->fed[p] = true;
    if (doc_project_is_complete(doc, p)) {
        mesh_note_queue(self,
                        (struct queue_event){.kind = QUEUE_PROJECT_OVER, .eval = doc->id, .p = p});
        return;
    }
    if (!is_fed)
        mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ADD_PROJECT,
                                                   .eval = doc->id,
                                                   .p = p,
                                                   .has_plan = plan != NULL,
                                                   .home = home_of(self, &doc->req->projects[p])});
    if (plan)
        feed_modules(self, doc, plan);
}

/* A request may shorten what the operator allows. */
static uint32_t timeout_of(const struct mesh *self, const struct doc *doc)
{
    uint32_t allowed_ms =
        self->config.module_timeout_ms ? self->config.module_timeout_ms : TIMEOUT_MS;
    uint64_t wanted_ms = (uint64_t)doc->req->options.timeout_s * 1000;
    return wanted_ms && wanted_ms < allowed_ms ? (uint32_t)wanted_ms : allowed_ms;
}

void mesh_lead(struct mesh *self, uint64_t eval, struct work_ballot ballot)
{
    const struct doc *doc = mesh_doc(self, eval);
    if (!doc || !doc->req || doc->cancel)
        return;
    struct led *led = mesh_led(self, eval);
    if (!led) {
        led = mem_new(sizeof *led);
        led->eval = eval;
        led->fed = mem_new_array(doc->req->project_count + 1, sizeof *led->fed);
        led->fed_count = doc->req->project_count;
        self->leds = byid_add(self->leds, &self->led_count, &self->led_room, led);
    }
    led->ballot = ballot;
    led->news = 0;
    led->is_adopting = false;
    memset(led->fed, 0, led->fed_count * sizeof *led->fed);
    mesh_tell_loads(self);
    mesh_note_queue(self, (struct queue_event){.kind = QUEUE_ADD_EVAL,
                                               .eval = eval,
                                               .ballot = ballot,
                                               .weight = (uint32_t)(WEIGHT_OF_PRIORITY_0 +
                                                                    doc->req->options.priority),
                                               .timeout_ms = timeout_of(self, doc),
                                               .is_adopted = ballot.epoch > 1});
    for (uint32_t p = 0; p < doc->req->project_count; p++)
        mesh_feed_project(self, doc, led, p);
    mesh_look_clones(self, eval);
}

void mesh_unlead(struct mesh *self, uint64_t eval)
{
    struct led *led = mesh_led(self, eval);
    if (!led)
        return;
    byid_remove(self->leds, &self->led_count, eval);
    free(led->fed);
    free(led);
    mesh_look_clones(self, eval);
    mesh_forget_progress(self, eval, 0, WORK_CHORE);
    /* Who leads it next goes on with what runs, or counts it when it has ended. */
    const struct doc *doc = mesh_doc(self, eval);
    bool is_over = !doc || doc->cancel || doc_is_final(doc);
    mesh_note_queue(self,
                    (struct queue_event){.kind = QUEUE_DROP, .eval = eval, .is_kept = !is_over});
}

void mesh_feed_changes(struct mesh *self, const struct delta *delta, unsigned changed)
{
    const struct doc *doc = mesh_doc(self, delta->id);
    struct led *led = mesh_led(self, delta->id);
    if (!led || !doc)
        return;
    for (size_t i = 0; (changed & DOC_CHANGED_PLAN) && i < delta->plan_count; i++) {
        mesh_feed_project(self, doc, led, delta->plans[i].p);
        mesh_look_project(self, doc->id, delta->plans[i].p); /* what was complete need not be now */
    }
    if (!(changed & DOC_CHANGED_RES))
        return;
    for (size_t i = 0; i < delta->res_count; i++) {
        const struct doc_rec *rec = &delta->res[i];
        if (!doc_result(doc, rec->p, rec->m)) /* of another plan */
            continue;
        mesh_forget_progress(self, doc->id, rec->p, rec->m);
        mesh_note_queue(self,
                        (struct queue_event){
                            .kind = QUEUE_MODULE_OVER, .eval = doc->id, .p = rec->p, .m = rec->m});
    }
    mesh_effect(self, MESH_RUNNING)->eval = doc->id;
}

/* ---- the queue's effects --------------------------------------------------------------------- */

static void offer(struct mesh *self, const struct queue_effect *from)
{
    if (from->peer == self->self) {
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_OFFER,
                                                   .peer = self->self,
                                                   .eval = from->eval,
                                                   .ballot = from->ballot,
                                                   .queued = from->queued,
                                                   .weight = from->weight});
        return;
    }
    struct wire_msg msg = {.kind = WIRE_OFFER,
                           .offer = {.eid = from->eval,
                                     .fence = mesh_fence(from->ballot),
                                     .queued = from->queued,
                                     .weight = (uint16_t)from->weight}};
    mesh_send(self, from->peer, &msg);
}

size_t mesh_sources(const struct mesh *self, const struct doc *doc, uint64_t *out)
{
    size_t count = 0;
    out[count++] = self->self;
    for (size_t i = 0; doc->fence && i < doc->fence->rep_count && count < WIRE_SOURCES_MAX; i++) {
        uint64_t node = id_node_short(&doc->fence->reps[i]);
        if (node != self->self)
            out[count++] = node;
    }
    return count;
}

/* What an executor must know as this node does: the plan; or while there is none, what the
 * repository was found to hold. */
static uint64_t known_by(const struct doc *doc, uint32_t p)
{
    const struct doc_plan *plan = doc_plan(doc, p);
    const struct doc_source *source = doc_source(doc, p);
    return plan ? plan->hash : source ? source->hash : 0;
}

static void begin_trees(struct mesh *self, const struct doc *doc, const struct work_item *items,
                        size_t count)
{
    for (size_t i = 0; doc && i < count; i++)
        if (items[i].work.m == WORK_CHORE)
            mesh_tree_begins(self, doc, &items[i].work);
}

static void assign(struct mesh *self, const struct queue_effect *from,
                   const struct work_item *items)
{
    const struct doc *doc = mesh_doc(self, from->eval);
    mesh_effect(self, MESH_RUNNING)->eval = from->eval;
    if (from->peer == self->self) {
        begin_trees(self, doc, items, from->count);
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_ASSIGN,
                                                   .peer = self->self,
                                                   .eval = from->eval,
                                                   .ballot = from->ballot,
                                                   .items = items,
                                                   .item_count = from->count});
        return;
    }
    if (!doc)
        return;
    size_t count = from->count < WIRE_WORK_MAX ? from->count : WIRE_WORK_MAX;
    owned_mem struct wire_job_ref *jobs = mem_new_array(count, sizeof *jobs);
    uint64_t sources[WIRE_SOURCES_MAX];
    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct wire_job_ref){.plan = known_by(doc, items[i].work.p),
                                        .p = items[i].work.p,
                                        .m = items[i].work.m,
                                        .est_ms = items[i].estimate_ms,
                                        .n = (uint16_t)items[i].work.n};
    struct wire_msg msg = {.kind = WIRE_ASSIGN,
                           .assign = {.eid = from->eval,
                                      .fence = mesh_fence(from->ballot),
                                      .work = jobs,
                                      .work_count = count,
                                      .sources = sources,
                                      .source_count = mesh_sources(self, doc, sources)}};
    mesh_send(self, from->peer, &msg);
}

static void nowork(struct mesh *self, const struct queue_effect *from)
{
    if (from->peer == self->self) {
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_NOWORK,
                                                   .peer = self->self,
                                                   .eval = from->eval,
                                                   .ballot = from->ballot,
                                                   .queued = from->queued});
        return;
    }
    struct wire_msg msg = {
        .kind = WIRE_NOWORK,
        .nowork = {.eid = from->eval, .fence = mesh_fence(from->ballot), .queued = from->queued}};
    mesh_send(self, from->peer, &msg);
}

static void stop(struct mesh *self, const struct queue_effect *from, const struct work_item *items)
{
    if (from->peer == self->self) {
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_CANCEL,
                                                   .peer = self->self,
                                                   .eval = from->eval,
                                                   .ballot = from->ballot,
                                                   .items = items,
                                                   .item_count = from->count});
        return;
    }
    size_t count = from->count < WIRE_WORK_MAX ? from->count : WIRE_WORK_MAX;
    struct wire_msg msg = {.kind = WIRE_CANCEL,
                           .cancel = {.eid = from->eval,
                                      .fence = mesh_fence(from->ballot),
                                      .all = from->count == 0,
                                      .work = mesh_refs(self, items, count),
                                      .work_count = count}};
    mesh_send(self, from->peer, &msg);
}

static void tell_work(struct mesh *self, const struct queue_effect *from)
{
    struct led *led = mesh_led(self, from->eval);
    if (!led)
        return;
    struct wire_msg *msg = mesh_scratch(self, sizeof *msg);
    msg->kind = WIRE_WORK;
    msg->work = (struct wire_work){.eid = from->eval,
                                   .fence = mesh_fence(from->ballot),
                                   .queued = from->queued,
                                   .seq = ++led->news};
    mesh_note_swim(self, (struct swim_event){.kind = SWIM_NEWS, .msg = msg});
}

static void fini_queue_out(void *what) { queue_out_fini(what); }

void mesh_queue(struct mesh *self, const struct queue_event *event)
{
    static const struct work_item none;
    struct queue_out *out = mem_new(sizeof *out);
    mesh_hold(self, out, fini_queue_out);
    queue_step(self->queue, event, out);
    for (size_t i = 0; i < out->count; i++) {
        const struct queue_effect *effect = &out->effects[i];
        const struct work_item *items = effect->count ? out->items + effect->first : &none;
        switch (effect->kind) {
        case QUEUE_OFFER:
            offer(self, effect);
            break;
        case QUEUE_ASSIGN:
            assign(self, effect, items);
            break;
        case QUEUE_NOWORK:
            nowork(self, effect);
            break;
        case QUEUE_CANCEL:
            stop(self, effect, items);
            break;
        case QUEUE_GIVE_UP:
            mesh_give_up(self, &items->work, effect->blame);
            break;
        case QUEUE_RUMOR:
            tell_work(self, effect);
            break;
        }
    }
}
