/* tree: which commit a project was got ready of, on this node. Two owners may have cloned two
 * commits of one repository; what was made ready of one of them must not run the other's modules.
 * Projects of an upload have one tree for ever, and are not kept here. */
#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

#include <string.h>

struct treed {
    struct work chore;
    struct hash tree;
    bool is_ready;
    bool is_old; /* and was told so */
    struct treed *next;
};

static struct treed *find(const struct mesh *self, const struct work *chore)
{
    for (struct treed *at = self->treed; at; at = at->next)
        if (work_is_same(&at->chore, chore))
            return at;
    return NULL;
}

static bool is_of(const struct treed *treed, uint64_t eval, uint32_t p)
{
    return treed->chore.eval == eval && treed->chore.p == p;
}

/* The tree that counts now; NULL: it is an upload's, or none. */
static const struct hash *tree_of(const struct mesh *self, uint64_t eval, uint32_t p)
{
    const struct doc *doc = mesh_doc(self, eval);
    const struct doc_source *source = doc ? doc_source(doc, p) : NULL;
    return source ? &source->tree : NULL;
}

void mesh_tree_begins(struct mesh *self, const struct doc *doc, const struct work *chore)
{
    const struct doc_source *source = doc_source(doc, chore->p);
    if (!source || find(self, chore) || self->config.mutation == OWN_ANY_TREE)
        return;
    struct treed *treed = mem_new(sizeof *treed);
    *treed = (struct treed){.chore = *chore, .tree = source->tree, .next = self->treed};
    self->treed = treed;
}

bool mesh_tree_is_old(const struct mesh *self, const struct work *chore,
                      const struct doc_plan *plan)
{
    const struct treed *treed = find(self, chore);
    const struct hash *now = tree_of(self, chore->eval, chore->p);
    if (!treed)
        return false;
    return !now || !mesh_is_same_hash(now, &treed->tree) ||
           (plan && !mesh_is_same_hash(&plan->tree, &treed->tree));
}

static void remove_at(struct treed **at)
{
    struct treed *gone = *at;
    *at = gone->next;
    free(gone);
}

void mesh_tree_ended(struct mesh *self, const struct work *chore, enum work_end end)
{
    struct treed *ended = find(self, chore);
    for (struct treed **at = &self->treed; ended && *at;) {
        bool is_replaced = *at != ended && end == WORK_DONE && (*at)->is_ready &&
                           is_of(*at, chore->eval, chore->p);
        if (is_replaced || (*at == ended && end != WORK_DONE))
            remove_at(at);
        else
            at = &(*at)->next;
    }
    if (ended && end == WORK_DONE)
        ended->is_ready = true;
}

bool mesh_tree_is_other(const struct mesh *self, const struct work *module)
{
    const struct doc *doc = mesh_doc(self, module->eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, module->p) : NULL;
    bool is_other = false;
    for (const struct treed *at = self->treed; at && plan; at = at->next) {
        if (!is_of(at, module->eval, module->p) || (!at->is_ready && !at->is_old))
            continue;
        bool is_same = mesh_is_same_hash(&at->tree, &plan->tree);
        if (at->is_ready && is_same)
            return false;
        is_other = is_other || !is_same;
    }
    return is_other;
}

void mesh_tree_changed(struct mesh *self, const struct doc *doc, uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    for (struct treed *at = self->treed; at && source; at = at->next) {
        if (at->is_old || !is_of(at, doc->id, p) || mesh_is_same_hash(&at->tree, &source->tree))
            continue;
        self->counters.other_trees++;
        if (at->is_ready)
            mesh_note_agent(self,
                            (struct agent_event){
                                .kind = AGENT_READY, .eval = doc->id, .p = p, .is_ready = false});
        else
            mesh_stop_attempt(self, &at->chore);
        at->is_ready = false;
        at->is_old = true;
    }
}

void mesh_forget_trees(struct mesh *self, uint64_t eval)
{
    for (struct treed **at = &self->treed; *at;) {
        if (eval && (*at)->chore.eval != eval)
            at = &(*at)->next;
        else
            remove_at(at);
    }
}
