/* What must hold of documents, seen when one changes on a node's disk. */
#include "tests/sim/check_inner.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

uint64_t check_vector(const struct doc_seal *seal)
{
    uint64_t sum = seal->cancelled;
    for (size_t i = 0; i < seal->plan_count; i++)
        sum = sim_hash3(sum, seal->plans[i].p, seal->plans[i].hash, 0);
    for (size_t i = 0; i < seal->vec_count; i++)
        sum = sim_hash3(sum, seal->vec[i].p, seal->vec[i].m, seal->vec[i].dig);
    return sum;
}

/* I9: of one project's plan, a node never shows fewer finished modules than before. */
static void check_shown_modules(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    for (uint32_t p = 0; doc->req && p < doc->req->project_count; p++) {
        const struct doc_plan *plan = doc_plan(doc, p);
        if (!plan)
            continue;
        unsigned terminal = 0;
        for (uint32_t m = 0; m < plan->module_count; m++)
            terminal += doc_counted(doc, p, m) != NULL;
        struct check *check = self->check;
        struct check_shown *shown = NULL;
        for (size_t i = 0; i < check->shown_count && !shown; i++)
            if (check->shown[i].eval == doc->id && check->shown[i].p == p &&
                check->shown[i].node == node->index)
                shown = &check->shown[i];
        if (!shown) {
            CHECK_ADD(check, shown, shown_count, shown_room,
                      (struct check_shown){.eval = doc->id, .p = p, .node = node->index});
            shown = &check->shown[check->shown_count - 1];
        }
        bool is_cut_short = doc->seal && doc->seal->cancelled; /* what came later does not count */
        if (shown->plan == plan->hash && terminal < shown->terminal && !is_cut_short)
            check_violation(self, "I9",
                            "%s showed %u finished modules of %" PRIu64 " p%u, and now %u",
                            node->label, shown->terminal, doc->id, p, terminal);
        shown->plan = plan->hash;
        shown->terminal = terminal;
    }
}

/* I6: one ballot belongs to one process life. */
static void check_fence(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    struct check_fence *fence = check_fence_of(self, doc->id, doc->fence->ballot);
    if (doc->fence->gen == 0) { /* handed over: its owner claims before it does anything */
        SOMETIMES(HANDED_OVER);
        return;
    }
    if (fence->gen == 0) {
        faults_tempt(self, node);
        fence->gen = doc->fence->gen;
        for (size_t i = 0; i < self->check->fence_count; i++) {
            const struct check_fence *other = &self->check->fences[i];
            if (other == fence || other->eval != doc->id)
                continue;
            if (other->ballot.epoch == fence->ballot.epoch)
                SOMETIMES(SAME_EPOCH);
            if (other->ballot.epoch + 1 == fence->ballot.epoch && other->gen != 0) {
                if (other->ballot.owner == fence->ballot.owner)
                    SOMETIMES(RECLAIMED);
                else
                    SOMETIMES(CLAIMED);
            }
        }
        if (doc->fence->ballot.epoch >= OWN_REPLACED_EPOCH)
            SOMETIMES(REPLACED);
        SIM_CHART(self, "%s: eval %" PRIu64 " has fence (%u, n%d)", node->label, doc->id,
                  doc->fence->ballot.epoch,
                  node_by_id(self, doc->fence->ballot.owner)
                      ? (int)node_by_id(self, doc->fence->ballot.owner)->index
                      : -1);
    } else if (fence->gen != doc->fence->gen) {
        check_violation(self, "I6", "%s: eval %" PRIu64 ": two lives used one ballot (epoch %u)",
                        node->label, doc->id, doc->fence->ballot.epoch);
    }
}

/* I19: what a seal counts of a repository is all of one commit. */
static void check_trees(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    for (uint32_t p = 0; doc->req && p < doc->req->project_count; p++) {
        struct doc_project project;
        const struct doc_plan *plan = doc_plan(doc, p);
        const struct doc_source *source = doc_source(doc, p);
        doc_project(doc, p, &project);
        if (plan && memcmp(&plan->tree, &project.tree, sizeof plan->tree) != 0)
            check_violation(self, "I19", "%s: the seal of %" PRIu64 " counts p%u of another commit",
                            node->label, doc->id, p);
        if (source)
            cloner_check_source(self, node, doc->id, source);
    }
}

static void check_seal(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    struct check_fence *fence = check_fence_of(self, doc->id, doc->seal->ballot);
    uint64_t vector = check_vector(doc->seal);
    if (fence->has_seal && fence->vector != vector)
        check_violation(self, "I7", "%s: eval %" PRIu64 ": two seals under one ballot (epoch %u)",
                        node->label, doc->id, doc->seal->ballot.epoch);
    if (!fence->has_seal) {
        faults_tempt(self, node);
        for (size_t i = 0; i < self->check->fence_count; i++) {
            const struct check_fence *other = &self->check->fences[i];
            if (other->eval != doc->id || !other->has_seal || other == fence)
                continue;
            if (other->vector == vector)
                SOMETIMES(SEAL_ADOPTED);
            else
                SOMETIMES(SEALS_DIFFER);
        }
        SIM_CHART(self, "%s: eval %" PRIu64 " is sealed under epoch %u, %zu records", node->label,
                  doc->id, doc->seal->ballot.epoch, doc->seal->vec_count);
    }
    fence->has_seal = true;
    fence->vector = vector;
    check_seal_truth(self, node, doc);
    check_trees(self, node, doc);
}

static bool has_seal(const struct doc *doc, struct doc_ballot ballot)
{
    return doc->seal && doc_ballot_compare(doc->seal->ballot, ballot) >= 0;
}

/* I7: committed means that a majority holds the seal; or that nobody could be asked for long. */
static void check_commit(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    struct check_fence *fence = check_fence_of(self, doc->id, doc->com);
    struct sim_eval *eval = load_find(self, doc->id);
    if (fence->is_committed || !doc->fence || !eval)
        return;
    fence->is_committed = true;
    faults_tempt(self, node);
    SIM_CHART(self, "%s: eval %" PRIu64 " is committed under epoch %u", node->label, doc->id,
              doc->com.epoch);
    if (check_majority(self, doc->fence, doc->id, has_seal, doc->com))
        return;
    if (doc->degraded && check_is_hatch_due(self, doc->id, doc->com))
        SOMETIMES(HATCH);
    else
        check_violation(self, "I7",
                        "%s: eval %" PRIu64 " was committed without a majority of seals",
                        node->label, doc->id);
}

/* Did two nodes take it as new? (docs/simulation.md, "Known".) */
static bool has_twin(const struct sim *self, uint64_t eval)
{
    const struct check *check = self->check;
    uint64_t owner = 0;
    for (size_t i = 0; i < check->fence_count; i++) {
        const struct check_fence *fence = &check->fences[i];
        if (fence->eval != eval || fence->ballot.epoch != 1)
            continue;
        if (owner != 0 && owner != fence->ballot.owner)
            return true;
        owner = fence->ballot.owner;
    }
    return false;
}

/* I8: a result that was shown as done does not change any more. */
static void check_done(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    struct sim_eval *eval = load_find(self, doc->id);
    if (!eval || !doc_is_final(doc))
        return;
    eval->is_degraded |= doc->degraded;
    uint64_t vector = check_vector(doc->seal);
    if (eval->is_done_seen && eval->vector != vector && has_twin(self, doc->id))
        SOMETIMES(TWINS);
    else if (eval->is_done_seen && eval->vector != vector && !eval->is_degraded)
        check_violation(self, "I8", "%s shows another result of %" PRIu64 " than was shown before",
                        node->label, doc->id);
    if (!eval->is_done_seen) {
        const struct doc_fence *fence = check_newest_fence(self, doc->id);
        if (fence && doc_ballot_compare(fence->ballot, doc->seal->ballot) != 0)
            SOMETIMES(MODULE_ADOPTED);
    }
    eval->is_done_seen = true;
    eval->vector = vector;
}

void check_joined(struct sim *self, struct sim_node *node, const struct doc *doc, unsigned changed)
{
    sim_mix(self, doc->digest);
    check_shown_modules(self, node, doc);
    if (doc->fence && (changed & DOC_CHANGED_FENCE))
        check_fence(self, node, doc);
    if (doc->seal && (changed & DOC_CHANGED_SEAL))
        check_seal(self, node, doc);
    if (changed & DOC_CHANGED_COM)
        check_commit(self, node, doc);
    if (changed & (DOC_CHANGED_SEAL | DOC_CHANGED_COM))
        check_done(self, node, doc);
}

void check_read(struct sim *self, struct sim_node *node, uint64_t eval)
{
    const struct doc *doc = disk_find(&node->disk, eval);
    if (!doc)
        return;
    check_shown_modules(self, node, doc);
    check_done(self, node, doc);
}

void check_forget(struct sim *self, struct sim_node *node)
{
    struct check *check = self->check;
    size_t kept = 0;
    for (size_t i = 0; i < check->shown_count; i++)
        if (check->shown[i].node != node->index)
            check->shown[kept++] = check->shown[i];
    check->shown_count = kept;
}
