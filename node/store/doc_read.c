/* Reading a document: what counts of it. */
#include "node/store/doc_part.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Sources and plans begin with their project. */
static int by_p(const void *key, const void *element)
{
    uint32_t p = *(const uint32_t *)key, other = *(const uint32_t *)element;
    return (p > other) - (p < other);
}

static const void *sealed_of(const void *list, size_t count, size_t size, uint32_t p)
{
    return count > 0 ? bsearch(&p, list, count, size, by_p) : NULL;
}

/* ---- projects -------------------------------------------------------------------------------- */

/* What the request said of a project is so for ever; of a repository it may have left all open. */
static bool is_left_open(const struct doc *self, uint32_t p)
{
    if (!self->req)
        return true;
    return self->req->kind == DOC_GIT && p < self->req->project_count &&
           !self->req->projects[p].failure && !doc_hash_is_set(&self->req->projects[p].bundle);
}

const struct doc_source *doc_sealed_source(const struct doc *self, uint32_t p)
{
    const struct doc_seal *seal = self->seal;
    return seal ? sealed_of(seal->sources, seal->source_count, sizeof *seal->sources, p) : NULL;
}

const struct doc_source *doc_source(const struct doc *self, uint32_t p)
{
    if (!is_left_open(self, p))
        return NULL;
    if (self->seal)
        return doc_sealed_source(self, p);
    return p < self->source_room ? self->sources[p] : NULL;
}

void doc_project(const struct doc *self, uint32_t p, struct doc_project *out)
{
    assert(self->req && p < self->req->project_count);
    *out = self->req->projects[p];
    const struct doc_source *source = doc_source(self, p);
    if (!source)
        return;
    out->source = source->source;
    out->bundle = source->bundle;
    out->tree = source->tree;
    out->bytes = source->bytes;
    out->files = source->files;
    out->failure = source->failure;
    out->is_clusters = source->is_clusters;
}

bool doc_is_uncloned(const struct doc *self, uint32_t p)
{
    return self->req && !self->seal && is_left_open(self, p) && !doc_source(self, p);
}

/* ---- plans, results -------------------------------------------------------------------------- */

struct doc_tree_plan *doc_tree_plans(const struct doc *self, uint32_t p)
{
    return p < self->plan_room ? self->tree_plans[p] : NULL;
}

/* This is about the registers, whatever a seal counts. */
bool doc_plan_fits(const struct doc *self, const struct doc_plan *plan)
{
    uint32_t p = plan->p;
    const struct hash *tree = NULL;
    if (!self->req)
        return true;
    if (p >= self->req->project_count)
        return false;
    if (!is_left_open(self, p))
        tree = &self->req->projects[p].tree;
    else if (p < self->source_room && self->sources[p])
        tree = &self->sources[p]->tree;
    return tree && (!doc_hash_is_set(&plan->tree) || memcmp(tree, &plan->tree, sizeof *tree) == 0);
}

const struct doc_plan *doc_plan(const struct doc *self, uint32_t p)
{
    const struct doc_seal *seal = self->seal;
    if (seal)
        return sealed_of(seal->plans, seal->plan_count, sizeof *seal->plans, p);
    return p < self->plan_room ? self->plans[p] : NULL;
}

const struct doc_rec *doc_result(const struct doc *self, uint32_t p, uint32_t m)
{
    const struct doc_plan *plan = doc_plan(self, p);
    return plan && self->slot_room ? doc_slot_of(self, p, plan->hash, m)->rec : NULL;
}

const struct doc_rec *doc_counted(const struct doc *self, uint32_t p, uint32_t m)
{
    if (!self->seal)
        return doc_result(self, p, m);
    size_t low = 0, high = self->seal->vec_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct doc_rec *rec = &self->seal->vec[mid];
        if (rec->p == p && rec->m == m)
            return rec;
        if (rec->p < p || (rec->p == p && rec->m < m))
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* ---- what is left to do ---------------------------------------------------------------------- */

bool doc_project_is_complete(const struct doc *self, uint32_t p)
{
    struct doc_project project;
    if (doc_is_uncloned(self, p))
        return false;
    doc_project(self, p, &project);
    if (project.failure)
        return true;
    const struct doc_plan *plan = doc_plan(self, p);
    if (!plan)
        return false;
    if (plan->setup.outcome != DOC_NO_OUTCOME)
        return true;
    for (uint32_t m = 0; m < plan->module_count; m++)
        if (!doc_counted(self, p, m))
            return false;
    return true;
}

bool doc_is_complete(const struct doc *self)
{
    if (!self->req)
        return false;
    for (uint32_t p = 0; p < self->req->project_count; p++)
        if (!doc_project_is_complete(self, p))
            return false;
    return true;
}

/* A seal below `com` was never committed; the one that was has not come yet. */
bool doc_is_final(const struct doc *self)
{
    return self->seal && self->com.epoch > 0 &&
           doc_ballot_compare(self->seal->ballot, self->com) >= 0;
}
