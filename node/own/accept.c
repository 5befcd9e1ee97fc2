/* A submission, until every replica has it or it is refused. */
#include "node/own/own_inner.h"

#include <string.h>

static struct own_effect *refuse(struct own *self, uint64_t id, enum own_why why)
{
    struct own_effect *effect = own_emit(self, OWN_REFUSED, id);
    effect->why = why;
    effect->retry_s = why == OWN_TAKEN ? 0 : 2;
    self->stats.refused++;
    return effect;
}

/* Fills the replicas: this node and the best of the others. */
static size_t choose_replicas(const struct own *self, uint64_t id, struct id_node *out)
{
    out[0] = self->config.node;
    return 1 + peers_best(self, id, NULL, &out[1], self->config.replicas - 1);
}

static bool is_enough(const struct own *self, size_t count)
{
    return count >= 2 || self->config.allow_single || !peers_known(self);
}

void accept_submit(struct own *self, const struct own_event *event)
{
    const struct delta *delta = event->delta;
    struct docs_info info;
    struct id_node reps[DOC_REPS_MAX];
    size_t count = choose_replicas(self, delta->id, reps);
    if (self->is_leaving) {
        refuse(self, delta->id, OWN_LEAVING);
        return;
    }
    if (evals_find(self, delta->id) ||
        self->config.docs->info(self->config.docs->arg, delta->id, &info)) {
        refuse(self, delta->id, OWN_TAKEN);
        return;
    }
    if (!is_enough(self, count)) {
        refuse(self, delta->id, OWN_TOO_FEW);
        return;
    }
    struct doc_fence fence = {.ballot = {.epoch = 1, .owner = self->self},
                              .gen = self->config.gen,
                              .reps = reps,
                              .rep_count = count};
    own_append(self, APPEND_SUBMIT,
               &(struct delta){.id = delta->id, .req = delta->req, .fence = &fence});
    struct eval *eval = evals_add(self, delta->id);
    eval->stage = STAGE_ACCEPTING;
    eval->mine = fence.ballot;
    eval->is_minting = true;
    eval->accept_ms = self->now_ms;
    own_arm(self, self->now_ms + REFUSE_AFTER);
}

/* What is durable somewhere may be taken up by others: so the wish to end it goes out, and this
 * node sees to it that it is sealed as cancelled. */
void accept_refuse(struct own *self, struct eval *eval, enum own_why why)
{
    refuse(self, eval->id, why);
    eval->is_refused = true;
    if (why == OWN_TAKEN) {
        eval->stage = STAGE_DEAD;
        return;
    }
    own_append(self, APPEND_OTHER, &(struct delta){.id = eval->id, .cancel = true});
    if (eval->is_minting)
        return;
    eval->stage = STAGE_CLAIMING;
    round_begin(self, eval, WIRE_PUT_CLAIM);
}

void accept_appended(struct own *self, struct eval *eval, enum err_code code)
{
    eval->is_minting = false;
    if (eval->stage != STAGE_ACCEPTING)
        return;
    if (code == ERR_CONFLICT) {
        if (!eval->is_refused)
            refuse(self, eval->id, OWN_TAKEN);
        evals_remove(self, eval);
        return;
    }
    if (code) {
        if (!eval->is_refused)
            refuse(self, eval->id, OWN_NO_DISK);
        evals_remove(self, eval);
        return;
    }
    if (eval->is_refused) { /* in the meantime */
        eval->stage = STAGE_CLAIMING;
        round_begin(self, eval, WIRE_PUT_CLAIM);
    } else {
        round_begin(self, eval, WIRE_PUT_SUBMIT);
    }
    eval_look(self, eval);
}

/* ---- a silent replica ------------------------------------------------------------------------ */

/* Returns the only replica that has not answered and is worth no more waiting, or -1. */
static int only_silent(const struct own *self, const struct eval *eval, const struct doc *doc)
{
    int silent = -1;
    for (size_t i = 0; i < doc->fence->rep_count; i++) {
        if (id_node_short(&doc->fence->reps[i]) == self->self || eval->round.acked >> i & 1)
            continue;
        if (silent >= 0)
            return -1;
        silent = (int)i;
    }
    if (silent < 0)
        return -1;
    bool is_gone = !peers_reachable(self, id_node_short(&doc->fence->reps[silent])) ||
                   (eval->round.missing >> silent & 1);
    return is_gone || self->now_ms >= eval->round.begun_ms + REPLACE_AFTER ? silent : -1;
}

/* Another node takes its place, or the list gets shorter. Once only: then any majority of the old
 * list still has a member that knows the new one (own.h, OWN_REPLACED_EPOCH). */
static bool replace_silent(struct own *self, struct eval *eval, const struct doc *doc, int silent)
{
    struct id_node reps[DOC_REPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < doc->fence->rep_count; i++)
        if ((int)i != silent)
            reps[count++] = doc->fence->reps[i];
    count += peers_best(self, eval->id, doc->fence, &reps[count], 1);
    if (!is_enough(self, count))
        return false;
    struct doc_fence fence = {.ballot = {.epoch = OWN_REPLACED_EPOCH, .owner = self->self},
                              .gen = self->config.gen,
                              .reps = reps,
                              .rep_count = count};
    own_append(self, APPEND_SUBMIT, &(struct delta){.id = eval->id, .fence = &fence});
    eval->mine = fence.ballot;
    eval->is_replaced = true;
    eval->is_minting = true;
    eval->round.rid = 0;
    self->stats.replaced++;
    return true;
}

void accept_look(struct own *self, struct eval *eval, const struct doc *doc)
{
    if (eval->is_refused)
        return;
    if (self->now_ms >= eval->accept_ms + REFUSE_AFTER) {
        accept_refuse(self, eval, OWN_TOO_LATE);
        if (eval->stage == STAGE_CLAIMING)
            eval_look(self, eval);
        return;
    }
    own_arm(self, eval->accept_ms + REFUSE_AFTER);
    if (eval->is_minting || !doc)
        return;
    if (round_has_all(self, eval, doc)) {
        struct own_effect *effect = own_emit(self, OWN_ACCEPTED, eval->id);
        effect->replicas = (unsigned)doc->fence->rep_count;
        eval->round.rid = 0;
        lead_activate(self, eval);
        return;
    }
    int silent = eval->is_replaced ? -1 : only_silent(self, eval, doc);
    if (silent >= 0 && replace_silent(self, eval, doc, silent))
        return;
    if (!eval->is_replaced)
        own_arm(self, eval->round.begun_ms + REPLACE_AFTER > self->now_ms
                          ? eval->round.begun_ms + REPLACE_AFTER
                          : NEVER);
    round_go_on(self, eval, doc);
}
