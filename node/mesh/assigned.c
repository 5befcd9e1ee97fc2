/* assigned: what owners say to this node, as an executor. */
#include "node/mesh/mesh_inner.h"

/* Returns false when the offer must wait for its document. */
bool mesh_on_offer(struct mesh *self, uint64_t peer, const struct wire_offer *offer)
{
    const struct doc *doc = mesh_doc(self, offer->eid);
    if (!doc || !doc->req)
        return false;
    if (!mesh_is_over(doc))
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

/* A chore is of the commit that its owner knows of. */
static bool is_chore_known(const struct doc *doc, const struct wire_job_ref *job,
                           const struct doc_plan *plan)
{
    const struct doc_source *source = doc_source(doc, job->p);
    if (doc_is_uncloned(doc, job->p))
        return false;
    if (!source)
        return job->plan == 0 || plan;
    return source->hash == job->plan || (plan && plan->hash == job->plan);
}

static bool is_known(const struct doc *doc, const struct wire_job_ref *job)
{
    const struct doc_plan *plan = doc ? doc_plan(doc, job->p) : NULL;
    if (!doc || !doc->req || job->p >= doc->req->project_count)
        return false;
    if (job->m == WIRE_CHORE)
        return is_chore_known(doc, job, plan);
    return plan && plan->hash == job->plan && job->m < plan->module_count;
}

/* Returns false when the work must wait for its document. */
bool mesh_on_assign(struct mesh *self, uint64_t peer, const struct wire_assign *assign,
                    bool is_deferred)
{
    const struct doc *doc = mesh_doc(self, assign->eid);
    struct work_item *items = mesh_scratch(self, (assign->work_count + 1) * sizeof *items);
    struct wire_ref *refs = mesh_scratch(self, (assign->work_count + 1) * sizeof *refs);
    size_t known = 0;
    size_t unknown = 0;
    bool is_late = doc && mesh_is_over(doc);
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
    for (size_t i = 0; i < known; i++)
        if (items[i].work.m == WORK_CHORE)
            mesh_tree_begins(self, doc, &items[i].work);
    if (known > 0)
        mesh_note_agent(self, (struct agent_event){.kind = AGENT_ASSIGN,
                                                   .peer = peer,
                                                   .eval = assign->eid,
                                                   .ballot = mesh_ballot_of_wire(assign->fence),
                                                   .items = items,
                                                   .item_count = known});
    return true;
}

void mesh_on_nowork(struct mesh *self, uint64_t peer, const struct wire_work *nowork)
{
    mesh_note_agent(self, (struct agent_event){.kind = AGENT_NOWORK,
                                               .peer = peer,
                                               .eval = nowork->eid,
                                               .ballot = mesh_ballot_of_wire(nowork->fence),
                                               .queued = nowork->queued});
}

void mesh_on_cancel(struct mesh *self, uint64_t peer, const struct wire_cancel *cancel)
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

void mesh_on_result_ok(struct mesh *self, const struct wire_result_ok *ok)
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
