/* What nobody could run, or get ready: its record, or plan, says so. */
#include "node/mesh/mesh_inner.h"

static enum doc_blame doc_blame_of(enum work_blame blame)
{
    static const enum doc_blame blames[] = {[WORK_BLAME_NONE] = DOC_BLAME_CLUSTER,
                                            [WORK_BLAME_TESTS] = DOC_BLAME_TESTS,
                                            [WORK_BLAME_PROJECT] = DOC_BLAME_PROJECT,
                                            [WORK_BLAME_CLUSTER] = DOC_BLAME_CLUSTER};
    return blames[blame];
}

static const char *why_given_up(enum work_blame blame)
{
    return blame == WORK_BLAME_TESTS
               ? "given up: each time that it ran, it took down the process or the machine under it"
               : "given up: no node could run it to its end (see their logs)";
}

static void give_up_chore(struct mesh *self, const struct work *work, enum work_blame blame)
{
    const struct failure *last = mesh_failure(self, work->eval, work->p);
    const struct doc *doc = mesh_doc(self, work->eval);
    struct doc_project project;
    doc_project(doc, work->p, &project);
    struct doc_plan plan = {.p = work->p,
                            .tree = project.tree,
                            .setup = {.outcome = DOC_LOST,
                                      .blame = doc_blame_of(blame),
                                      .message = "no node could get this project ready",
                                      .addr = self->config.self.address}};
    if (last && memcmp(&last->delta.plans[0].tree, &project.tree, sizeof project.tree) == 0)
        plan = last->delta.plans[0];
    plan.ballot = mesh_doc_ballot(work->ballot);
    plan.hash = 0;
    mesh_append(self, APPEND_FOR_NOBODY,
                &(struct delta){.id = work->eval, .plans = &plan, .plan_count = 1});
}

static void give_up_module(struct mesh *self, const struct doc *doc, const struct work *work,
                           const struct doc_setup *why)
{
    const struct doc_plan *plan = doc_plan(doc, work->p);
    if (!plan || work->m >= plan->module_count)
        return;
    struct doc_rec rec = {.p = work->p,
                          .plan = plan->hash,
                          .m = work->m,
                          .ballot = mesh_doc_ballot(work->ballot),
                          .n = work->n ? work->n : 1,
                          .node = self->self,
                          .addr = self->config.self.address,
                          .outcome = why->outcome,
                          .blame = why->blame,
                          .message = why->message,
                          .start_ms = self->wall_ms,
                          .exit_code = -1};
    mesh_append(self, APPEND_FOR_NOBODY,
                &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
}

/* It was planned on a node that is gone, or has lost it, and no other one gets that far. */
static void give_up_planned(struct mesh *self, const struct doc *doc, const struct work *work,
                            struct doc_setup why)
{
    const struct doc_plan *plan = doc_plan(doc, work->p);
    const struct failure *last = mesh_failure(self, work->eval, work->p);
    if (last) {
        why.outcome = last->delta.plans[0].setup.outcome;
        why.message = last->delta.plans[0].setup.message;
    }
    for (uint32_t m = 0; m < plan->module_count; m++) {
        struct work module = *work;
        module.m = m;
        if (!doc_result(doc, work->p, m))
            give_up_module(self, doc, &module, &why);
    }
}

void mesh_give_up(struct mesh *self, const struct work *work, enum work_blame blame)
{
    const struct doc *doc = mesh_doc(self, work->eval);
    struct doc_setup why = {
        .outcome = DOC_LOST, .blame = doc_blame_of(blame), .message = why_given_up(blame)};
    if (!doc)
        return;
    if (work->m != WORK_CHORE)
        give_up_module(self, doc, work, &why);
    else if (doc_plan(doc, work->p))
        give_up_planned(self, doc, work, why);
    else
        give_up_chore(self, work, blame);
}
