/* From "nothing is left to do" to the result that stands. */
#include "node/own/own_inner.h"

#include "proto/base/mem.h"

/* Cheap, and false for nearly all that is not complete: each module that is over has a result. */
static bool may_be_complete(const struct doc *doc)
{
    size_t modules = 0;
    for (uint32_t p = 0; p < doc->req->project_count; p++) {
        struct doc_project project;
        const struct doc_plan *plan = doc_plan(doc, p);
        doc_project(doc, p, &project);
        if (plan && plan->setup.outcome == DOC_NO_OUTCOME && !project.failure)
            modules += plan->module_count;
    }
    return doc->res_count >= modules;
}

static void begin(struct own *self, struct eval *eval, const struct doc *doc)
{
    struct delta delta;
    self->stats.adopted += doc->seal != NULL;
    doc_make_seal(doc, eval->mine, self->config.gen, self->wall_ms, &delta);
    if (eval->is_solo) { /* its fence has no majority: its seal can get none either */
        delta.com = eval->mine;
        delta.degraded = true;
        self->stats.degraded++;
    }
    own_append_owned(self, APPEND_SEAL, &delta)->ballot = eval->mine;
    eval->stage = STAGE_SEALING;
}

void seal_look_active(struct own *self, struct eval *eval, const struct doc *doc)
{
    struct doc view = *doc; /* not for doc_apply() */
    if (self->config.mutation == OWN_NO_ADOPTION)
        view.seal = NULL;
    if (eval->is_solo && round_has_majority(self, eval, doc)) {
        eval->is_solo = false;
        eval->round.rid = 0;
    }
    if (eval->is_refused && !doc->cancel)
        return; /* its being cancelled is not durable yet */
    if (view.seal || view.cancel || (view.req && may_be_complete(&view) && doc_is_complete(&view)))
        begin(self, eval, &view);
    else if (eval->is_solo)
        round_go_on(self, eval, doc);
}

void seal_appended(struct own *self, struct eval *eval, struct doc_ballot ballot,
                   enum err_code code)
{
    if (eval->stage != STAGE_SEALING || doc_ballot_compare(ballot, eval->mine) != 0)
        return;
    eval->stage = code ? STAGE_ACTIVE : STAGE_VOTING;
    if (code)
        return; /* tried again with the next change; the disk has failed, and says so elsewhere */
    round_begin(self, eval, WIRE_PUT_SEAL);
    eval_look(self, eval);
}

void seal_look_voting(struct own *self, struct eval *eval, const struct doc *doc)
{
    uint64_t solo_ms = eval->round.begun_ms + self->config.solo_ms;
    bool is_degraded = false;
    if (!round_has_majority(self, eval, doc)) {
        if (self->now_ms < solo_ms) {
            own_arm(self, solo_ms);
            round_go_on(self, eval, doc);
            return;
        }
        is_degraded = true;
        self->stats.degraded++;
    }
    own_append(self, APPEND_COM,
               &(struct delta){.id = eval->id, .com = eval->mine, .degraded = is_degraded})
        ->ballot = eval->mine;
    eval->stage = STAGE_COMMITTING;
}

/* To those that hold this very seal; the others get both with the news, or by sync. */
static void tell(struct own *self, const struct eval *eval)
{
    const struct doc *doc = self->config.docs->find(self->config.docs->arg, eval->id);
    for (size_t i = 0; doc && doc->fence && i < doc->fence->rep_count; i++) {
        uint64_t rep = id_node_short(&doc->fence->reps[i]);
        if (!(eval->round.acked >> i & 1) || rep == self->self || !peers_reachable(self, rep))
            continue;
        struct delta delta = {.id = eval->id, .com = eval->mine, .degraded = doc->degraded};
        struct wire_msg *msg = own_send(self, rep, WIRE_PUT);
        msg->put = (struct wire_put){.rid = own_rid(self),
                                     .eid = eval->id,
                                     .kind = WIRE_PUT_DATA,
                                     .delta = hold_encoded(&self->out->hold, &delta)};
    }
}

void seal_com_appended(struct own *self, struct eval *eval, enum err_code code)
{
    if (eval->stage != STAGE_COMMITTING)
        return;
    if (code)
        eval->stage = STAGE_VOTING;
    else
        tell(self, eval);
    eval_look(self, eval);
}
