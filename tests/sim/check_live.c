/* What must come true by itself once nothing goes wrong any more, and what must hold at the end. */
#include "tests/sim/check_inner.h"

#include <inttypes.h>
#include <stdlib.h>

#define MEMBERS_US (45 * SIM_S) /* L3: all see all; a boot and a round of healing included */
/* L4: work waits, and nobody does any. What may have killed a node is left alone for 10 s, and for 10
 * more while only nodes are ready that it has been on. */
#define IDLE_US (25 * SIM_S)

static const struct sim_node *first_up(const struct sim *self)
{
    for (unsigned i = 0; i < self->node_count; i++)
        if (self->nodes[i].is_up)
            return &self->nodes[i];
    return NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

static bool sees(const struct sim_node *node, const struct sim_node *other)
{
    struct swim_view view;
    return swim_member(mesh_members(node->mesh), other->id, &view) &&
           view.member.st == WIRE_STATE_ALIVE && view.member.gen == other->gen;
}

/* Returns a member that it takes for living and that does not, or 0. */
static uint64_t takes_for_living(struct sim *self, const struct sim_node *node)
{
    size_t count;
    const uint64_t *alive = swim_alive(mesh_members(node->mesh), &count);
    for (size_t i = 0; i < count; i++) {
        const struct sim_node *other = node_by_id(self, alive[i]);
        if (!other || !other->is_up)
            return alive[i];
    }
    return 0;
}

static bool members_agree(struct sim *self, struct buf *why)
{
    const struct sim_node *first = first_up(self);
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct sim_node *node = &self->nodes[i];
        if (node->is_gone)
            continue;
        if (!node->is_up) {
            buf_printf(why, "%s is not up", node->label);
            return false;
        }
        for (unsigned j = 0; j < self->node_count; j++) {
            if (self->nodes[j].is_up && !sees(node, &self->nodes[j])) {
                buf_printf(why, "%s does not see that %s lives", node->label, self->nodes[j].label);
                return false;
            }
        }
        uint64_t dead = takes_for_living(self, node);
        if (dead) {
            struct swim_view view = {0};
            (void)swim_member(mesh_members(node->mesh), dead, &view);
            buf_printf(why, "%s takes %016" PRIx64 " for %s, who is no more", node->label, dead,
                       wire_state_name(view.member.st));
            return false;
        }
        if (swim_mhash(mesh_members(node->mesh)) != swim_mhash(mesh_members(first->mesh))) {
            buf_printf(why, "%s and %s have other tables of members", first->label, node->label);
            return false;
        }
    }
    return true;
}

/* ---- evaluations ----------------------------------------------------------------------------- */

/* An evaluation may vanish only with all the nodes that had it when it was acknowledged. */
static bool is_excused(struct sim *self, const struct sim_eval *eval)
{
    size_t left = 0;
    for (size_t i = 0; i < eval->holder_count; i++) {
        const struct sim_node *node = node_by_id(self, eval->holders[i]);
        left += node && !node->is_gone;
    }
    return left == 0 || left + eval->replicas <= eval->holder_count;
}

/* Of what was never acknowledged the bundles may be gone. */
static bool is_lost(const struct sim *self, const struct sim_eval *eval)
{
    const struct hash *secret = &eval->req.secret;
    for (unsigned i = 0; i < self->node_count; i++) {
        bool has_all = self->nodes[i].is_up &&
                       (!doc_hash_is_set(secret) || disk_has_blob(&self->nodes[i].disk, secret));
        for (size_t p = 0; p < eval->req.project_count; p++)
            has_all =
                has_all && (!doc_hash_is_set(&eval->req.projects[p].bundle) ||
                            disk_has_blob(&self->nodes[i].disk, &eval->req.projects[p].bundle));
        if (has_all)
            return false;
    }
    return true;
}

/* Two nodes took one key at the same time, and gave the request two dates: the documents cannot be
 * joined, and stay two. (docs/simulation.md, "Known".) */
static bool is_torn(const struct sim *self, uint64_t eval)
{
    const struct doc *first = NULL;
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct doc *doc = disk_find(&self->nodes[i].disk, eval);
        if (!doc || !doc->req)
            continue;
        if (first && first->req->created_ms != doc->req->created_ms)
            return true;
        first = doc;
    }
    return false;
}

static bool evals_are_done(struct sim *self, const char **id, struct buf *why)
{
    for (size_t i = 0; i < self->eval_count; i++) {
        struct sim_eval *eval = &self->evals[i];
        if (is_torn(self, eval->id))
            continue;
        if (eval->is_probe && !eval->is_acked) {
            buf_printf(why, "%" PRIu64 " was submitted and is not acknowledged", eval->id);
            *id = "L2";
            return false;
        }
        for (unsigned n = 0; n < self->node_count; n++) {
            const struct sim_node *node = &self->nodes[n];
            if (!node->is_up)
                continue;
            const struct doc *doc = disk_find(&node->disk, eval->id);
            if ((!doc && !eval->is_acked) || (eval->is_acked && is_excused(self, eval)))
                continue;
            if (doc && !eval->is_acked && (!doc->req || is_lost(self, eval)))
                continue;
            if (!doc || !doc_is_final(doc)) {
                const struct doc_fence *fence = check_newest_fence(self, eval->id);
                buf_printf(why, "%" PRIu64 " (%s) is not final on %s: %s, fence epoch %u of n%d",
                           eval->id, eval->is_acked ? "acknowledged" : "not acknowledged",
                           node->label,
                           !doc                   ? "unknown"
                           : doc->seal            ? "sealed"
                           : !doc->req            ? "no request"
                           : doc_is_complete(doc) ? "complete"
                                                  : "incomplete",
                           fence ? fence->ballot.epoch : 0,
                           fence && node_by_id(self, fence->ballot.owner)
                               ? (int)node_by_id(self, fence->ballot.owner)->index
                               : -1);
                *id = doc ? "L2" : "I2";
                return false;
            }
        }
    }
    return true;
}

/* L5: a living replica of what goes on has what was found in each repository. */
static void check_bundles(struct sim *self, const struct sim_node *node, const struct doc *doc)
{
    bool is_replica = false;
    for (size_t i = 0; doc->fence && i < doc->fence->rep_count; i++)
        is_replica = is_replica || id_node_short(&doc->fence->reps[i]) == node->id;
    for (uint32_t p = 0; is_replica && doc->req && p < doc->req->project_count; p++) {
        const struct doc_source *source = doc_source(doc, p);
        if (source && doc_hash_is_set(&source->bundle) &&
            !disk_has_blob(&node->disk, &source->bundle))
            check_violation(self, "L5", "%s is a replica of %" PRIu64 " and has not p%u's bundle",
                            node->label, doc->id, p);
    }
}

#define KEPT_US (90 * SIM_S) /* one that is left alone waits for 30 s before it leads */

static void check_kept(struct sim *self)
{
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct sim_node *node = &self->nodes[i];
        if (!node->is_up || self->now_us - self->disturbed_us < KEPT_US)
            continue;
        for (size_t d = 0; d < node->disk.doc_count; d++)
            if (!node->disk.docs[d]->cancel && !doc_is_final(node->disk.docs[d]))
                check_bundles(self, node, node->disk.docs[d]);
    }
}

/* L5: a secret is gone when what it was for is over. */
static bool secrets_are_gone(const struct sim *self, struct buf *why)
{
    for (size_t i = 0; i < self->eval_count; i++) {
        const struct sim_eval *eval = &self->evals[i];
        for (unsigned n = 0; n < self->node_count; n++) {
            const struct sim_node *node = &self->nodes[n];
            const struct doc *doc = disk_find(&node->disk, eval->id);
            bool is_open = doc && doc->req && !doc_is_final(doc) && !doc->cancel;
            if (!node->is_up || is_open || !doc_hash_is_set(&eval->req.secret) ||
                is_torn(self, eval->id) || !disk_has_blob(&node->disk, &eval->req.secret))
                continue;
            buf_printf(why, "%s still has the secret of %" PRIu64, node->label, eval->id);
            return false;
        }
    }
    return true;
}

static uint64_t root_of(const struct sim *self, const struct sim_node *node)
{
    uint64_t root = docs_root(&node->docs);
    for (size_t i = 0; i < node->disk.doc_count; i++)
        if (is_torn(self, node->disk.docs[i]->id))
            root ^= node->disk.docs[i]->digest;
    return root;
}

static bool stores_agree(const struct sim *self, struct buf *why)
{
    const struct sim_node *first = first_up(self);
    for (unsigned i = 0; first && i < self->node_count; i++) {
        const struct sim_node *node = &self->nodes[i];
        if (node->is_up && root_of(self, node) != root_of(self, first)) {
            buf_printf(why, "%s and %s have other documents", first->label, node->label);
            return false;
        }
    }
    return true;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* L4: nobody is idle for long while there is something to do. */
static void check_idle(struct sim *self)
{
    size_t waiting = 0, busy = 0;
    for (unsigned i = 0; i < self->node_count; i++) {
        if (!self->nodes[i].is_up)
            continue;
        waiting += mesh_load(self->nodes[i].mesh).waiting;
        busy += self->nodes[i].job_count;
    }
    if (waiting == 0 || busy > 0) {
        self->check_idle_us = self->now_us;
        return;
    }
    if (self->now_us - self->check_idle_us > IDLE_US && self->now_us - self->calm_us > MEMBERS_US) {
        check_violation(self, "L4", "%zu modules wait, and every slot is idle", waiting);
        self->check_idle_us = self->now_us;
    }
}

/* A node that drains has nothing left after a while. */
static void check_drain(struct sim *self)
{
    for (unsigned i = 0; i < self->node_count; i++)
        if (self->nodes[i].is_up && self->nodes[i].is_leaving &&
            self->now_us - self->calm_us > MEMBERS_US)
            check_violation(self, "L2", "%s drains and has not come to its end",
                            self->nodes[i].label);
}

bool check_is_settled(struct sim *self, const char **id, struct buf *why)
{
    check_idle(self);
    check_drain(self);
    check_kept(self);
    *id = "L3";
    if (!members_agree(self, why)) {
        if (self->now_us - self->disturbed_us > MEMBERS_US && !self->is_members_late) {
            self->is_members_late = true;
            check_violation(self, "L3", "%s", buf_str(why));
        }
        return false;
    }
    *id = "L2";
    if (!evals_are_done(self, id, why))
        return false;
    *id = "L1";
    if (!stores_agree(self, why))
        return false;
    *id = "L5";
    if (!secrets_are_gone(self, why))
        return false;
    return self->now_us - self->calm_us > 5 * SIM_S; /* the last submission was made */
}

/* ---- the end --------------------------------------------------------------------------------- */

/* I3: of each module of each project's plan exactly one record counts. */
static void check_counts(struct sim *self, const struct sim_node *node, const struct doc *doc)
{
    if (!doc->req || !doc->seal)
        return;
    size_t counted = 0;
    for (uint32_t p = 0; p < doc->req->project_count; p++) {
        struct doc_project project;
        const struct doc_plan *plan = doc_plan(doc, p);
        doc_project(doc, p, &project);
        if (!plan && !project.failure && !doc->seal->cancelled)
            check_violation(self, "I3", "%s: %" PRIu64 " p%u is done without a plan", node->label,
                            doc->id, p);
        if (!plan || plan->setup.outcome != DOC_NO_OUTCOME)
            continue;
        for (uint32_t m = 0; m < plan->module_count; m++) {
            const struct doc_rec *rec = doc_counted(doc, p, m);
            if (!rec && !doc->seal->cancelled)
                check_violation(self, "I3", "%s: %" PRIu64 " p%u m%u is done without a record",
                                node->label, doc->id, p, m);
            counted += rec != NULL;
        }
    }
    if (counted > doc->seal->vec_count)
        check_violation(self, "I3", "%s: %" PRIu64 " counts %zu records, and sealed %zu",
                        node->label, doc->id, counted, doc->seal->vec_count);
}

void check_end(struct sim *self)
{
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct sim_node *node = &self->nodes[i];
        for (size_t d = 0; node->is_up && d < node->disk.doc_count; d++) {
            sim_mix(self, node->disk.docs[d]->digest);
            check_counts(self, node, node->disk.docs[d]);
        }
    }
}
