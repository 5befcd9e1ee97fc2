#include "node/own/docs.h"

unsigned docs_bucket(uint64_t id)
{
    return (unsigned)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 56) % DOCS_BUCKETS;
}

uint64_t docs_root(const struct docs *self)
{
    const uint64_t *buckets = self->buckets(self->arg);
    uint64_t root = 0;
    for (size_t i = 0; i < DOCS_BUCKETS; i++)
        root ^= buckets[i];
    return root;
}

static bool is_missing(const struct docs *self, const struct hash *blob)
{
    return doc_hash_is_set(blob) && !self->has_blob(self->arg, blob);
}

static bool has_bundle(const struct docs *self, const struct doc *doc, uint32_t p)
{
    struct doc_project project;
    doc_project(doc, p, &project);
    return !is_missing(self, &project.bundle);
}

bool docs_has_bundles(const struct docs *self, const struct doc *doc)
{
    for (uint32_t p = 0; p < doc->req->project_count; p++)
        if (!has_bundle(self, doc, p))
            return false;
    return !is_missing(self, &doc->req->overlay);
}

static bool may_be_cloned(const struct docs *self, const struct doc *doc, uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    return doc_is_uncloned(doc, p) ||
           (source && (!has_bundle(self, doc, p) || !doc->fence ||
                       doc_ballot_compare(source->ballot, doc->fence->ballot) != 0));
}

bool docs_needs_secret(const struct docs *self, const struct doc *doc)
{
    if (!doc->req || !doc_hash_is_set(&doc->req->secret) || doc->cancel || doc_is_final(doc))
        return false;
    for (uint32_t p = 0; p < doc->req->project_count; p++)
        if (may_be_cloned(self, doc, p))
            return true;
    return doc->req->statuses;
}

bool docs_can_lead(const struct docs *self, const struct doc *doc)
{
    bool can_clone = !doc_hash_is_set(&doc->req->secret);
    for (uint32_t p = 0; p < doc->req->project_count; p++) {
        bool is_open = doc_is_uncloned(doc, p) || doc_source(doc, p);
        if (is_open ? !can_clone && (doc_is_uncloned(doc, p) || !has_bundle(self, doc, p))
                    : !has_bundle(self, doc, p))
            return false;
    }
    return !is_missing(self, &doc->req->overlay);
}
