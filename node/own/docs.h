/* docs: what the machines read of this node's documents.
 *
 * The real store gives it (node/store/store_docs.h), and so does the simulator's. Everything here
 * is durable: what was asked to be appended and is not on disk yet cannot be seen. Nothing changes
 * during a machine's step.
 *
 * The digest of all is the xor of the documents' digests, kept up to date at each join: equal roots
 * mean equal stores. It is kept in 256 buckets by id, so that two stores find out cheaply where
 * they differ. */
#ifndef NODE_OWN_DOCS_H
#define NODE_OWN_DOCS_H

#include "node/store/doc.h"

#define DOCS_BUCKETS 256

/* What is known of a document without reading its file. */
struct docs_info {
    uint64_t id;
    uint64_t digest;
    uint64_t created_ms; /* wall clock of who accepted it; 0 while its request is not known */
    bool is_final;       /* sealed and committed */
};

typedef void docs_info_fn(void *arg, const struct docs_info *info);
typedef void docs_doc_fn(void *arg, const struct doc *doc);

struct docs {
    /* Returns the document, or NULL. Borrowed until the end of the step, a final one only until the
     * next find(): those are read from files, which costs some ms. */
    const struct doc *(*find)(void *arg, uint64_t id);

    /* False when there is no such document. Never reads a file. */
    bool (*info)(void *arg, uint64_t id, struct docs_info *out);

    /* Calls `fn` with each document that is not final; in the order of creation. */
    void (*each_open)(void *arg, docs_doc_fn *fn, void *fn_arg);

    /* Calls `fn` with every document, final or not; in any order that is the same for the same
     * history. */
    void (*each)(void *arg, docs_info_fn *fn, void *fn_arg);

    /* The digests of the DOCS_BUCKETS buckets; borrowed until the end of the step. */
    const uint64_t *(*buckets)(void *arg);

    bool (*has_blob)(void *arg, const struct hash *blob);

    void *arg;
};

/* Which bucket a document is in; the same on all nodes. */
unsigned docs_bucket(uint64_t id);

/* The xor of the buckets. Its low 32 bits are `shash` in datagrams. */
uint64_t docs_root(const struct docs *self);

/* Says whether all bundles are here of what is cloned, and the overlay. */
bool docs_has_bundles(const struct docs *self, const struct doc *doc);

/* Says whether a node that leads the evaluation could need the repositories' secret: something is
 * not cloned, a bundle is not here, or the present owner has not said that it goes on from these
 * very commits (until then another one may come to count, whose bundle is nowhere); or statuses are
 * to be told. False where there is no secret. */
bool docs_needs_secret(const struct docs *self, const struct doc *doc);

/* Says whether this node, which is no replica, could go on from what it has: the bundles are here,
 * or can be had from repositories that are open to all. A secret is for replicas alone. */
bool docs_can_lead(const struct docs *self, const struct doc *doc);

#endif
