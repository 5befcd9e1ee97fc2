#include "node/own/own_inner.h"

#include "proto/base/byid.h"
#include "proto/base/mem.h"

struct eval *evals_find(const struct own *self, uint64_t id)
{
    return byid_find(self->evals, self->eval_count, id);
}

struct eval *evals_add(struct own *self, uint64_t id)
{
    struct eval *eval = mem_new(sizeof *eval);
    *eval = (struct eval){.id = id, .claim_ms = NEVER, .fresh_ms = self->now_ms};
    self->evals = byid_add(self->evals, &self->eval_count, &self->eval_room, eval);
    return eval;
}

void evals_remove(struct own *self, struct eval *eval)
{
    byid_remove(self->evals, &self->eval_count, eval->id);
    free(eval);
}

void evals_free(struct own *self)
{
    for (size_t i = 0; i < self->eval_count; i++)
        free(self->evals[i]);
    free(self->evals);
}

/* ---- documents ------------------------------------------------------------------------------- */

bool own_is_final(const struct own *self, uint64_t id)
{
    struct docs_info info;
    return self->config.docs->info(self->config.docs->arg, id, &info) && info.is_final;
}

const struct doc *own_doc(const struct own *self, uint64_t id)
{
    return own_is_final(self, id) ? NULL : self->config.docs->find(self->config.docs->arg, id);
}

static struct doc_ballot larger(struct doc_ballot a, struct doc_ballot b)
{
    return doc_ballot_compare(a, b) >= 0 ? a : b;
}

struct doc_ballot own_promised(const struct doc *doc)
{
    struct doc_ballot top = doc->com;
    if (doc->fence)
        top = larger(top, doc->fence->ballot);
    return doc->seal ? larger(top, doc->seal->ballot) : top;
}

struct doc_ballot eval_top(const struct eval *eval, const struct doc *doc)
{
    return larger(own_promised(doc), eval->heard);
}

/* ---- what is next ---------------------------------------------------------------------------- */

static bool is_trying(const struct eval *eval)
{
    return eval->stage != STAGE_IDLE && eval->stage != STAGE_READING && eval->stage != STAGE_DEAD;
}

static void look_at_stage(struct own *self, struct eval *eval, const struct doc *doc)
{
    switch (eval->stage) {
    case STAGE_IDLE:
        claim_look_idle(self, eval, doc);
        break;
    case STAGE_ACCEPTING:
        accept_look(self, eval, doc);
        break;
    case STAGE_READING:
        claim_look_reading(self, eval, doc);
        break;
    case STAGE_CLAIMING:
        claim_look_claiming(self, eval, doc);
        break;
    case STAGE_ACTIVE:
        seal_look_active(self, eval, doc);
        break;
    case STAGE_VOTING:
        seal_look_voting(self, eval, doc);
        break;
    case STAGE_HANDING:
        lead_look_handing(self, eval, doc);
        break;
    case STAGE_MINTING: /* an append will say how it goes on */
    case STAGE_SEALING:
    case STAGE_COMMITTING:
    case STAGE_DEAD:
        break;
    }
}

static void end(struct own *self, struct eval *eval)
{
    uint64_t id = eval->id;
    if (eval->stage == STAGE_ACCEPTING && !eval->is_refused)
        accept_refuse(self, eval, OWN_TOO_LATE);
    lead_end(self, eval);
    evals_remove(self, eval);
    own_emit(self, OWN_FINAL, id);
}

void eval_look(struct own *self, struct eval *eval)
{
    if (own_is_final(self, eval->id)) {
        end(self, eval);
        return;
    }
    const struct doc *doc = own_doc(self, eval->id);
    if (!doc) {
        if (eval->stage == STAGE_ACCEPTING)
            accept_look(self, eval, NULL);
        return;
    }
    if (is_trying(eval) && doc_ballot_compare(eval_top(eval, doc), eval->mine) > 0) {
        if (eval->stage == STAGE_ACCEPTING && !eval->is_refused)
            accept_refuse(self, eval, OWN_TOO_LATE);
        lead_step_down(self, eval);
    }
    look_at_stage(self, eval, doc);
}

void evals_look_all(struct own *self)
{
    for (size_t i = 0; i < self->eval_count;) {
        uint64_t id = self->evals[i]->id;
        eval_look(self, self->evals[i]);
        if (i < self->eval_count && self->evals[i]->id == id)
            i++;
    }
}
