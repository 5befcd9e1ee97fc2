/* clones: gets repositories of evaluations that this node leads, a few at a time.
 *
 * One child each (runner/git/fetch.h). The limit of how many is the node's; evaluations take turns,
 * so that a request of hundreds does not keep a small one waiting. What is wrong with one
 * repository is a failure of that project alone. What comes of it is handed over as a delta of one
 * source, its bundle among this store's blobs; it counts when the mesh has made it durable.
 *
 *   clones_start ─ its turn ─ the token is opened ─ the child ─ the bundle is adopted ─> cloned
 *
 * Which repository, and whether somebody still wants it, is the mesh's word (mesh.h). */
#ifndef NODE_EVAL_CLONES_H
#define NODE_EVAL_CLONES_H

#include "loadbalance/work.h"
#include "node/eval/secret.h"
#include "runner/git/fetch.h"

struct clones;
struct event_base;

/* Called from the loop, never from within a call to the clones. */
struct clones_events {
    /* Twice a second at most, and whenever the phase changes. */
    void (*progress)(void *arg, const struct work *work, const struct fetch_progress *progress);

    /* Once for each clones_start(), unless it was stopped. Borrows `delta`. */
    void (*cloned)(void *arg, const struct work *work, const struct delta *delta);
};

struct clones_config {
    struct event_base *base;
    struct fetch_policy policy; /* borrows */
    unsigned at_once;
    uint64_t timeout_ms; /* of one repository, from its turn */
    struct secret_place secrets;
    const struct clones_events *events; /* borrowed */
    void *arg;
};

/* Returns owned. */
struct clones *clones_new(const struct clones_config *config);

/* Kills what is under way, without a word. NULL is fine. */
void clones_free(struct clones *self);

struct clones_stats {
    unsigned running; /* now */
    uint64_t fetched;
    uint64_t failed_projects; /* the request's or the repository's fault */
    uint64_t failed_clusters; /* the node's, or the network's */
    uint64_t bytes;           /* received for those that were fetched */
};
struct clones_stats clones_stats(const struct clones *self);

/* Begins with project work.p of a document of the store, as doc_project() has it now. One that is
 * under way already goes on for the new ballot. */
void clones_start(struct clones *self, const struct work *work);

/* It is not wanted; all of work.eval when work.p is WORK_CHORE. What is not known is ignored. */
void clones_stop(struct clones *self, const struct work *work);

#endif
