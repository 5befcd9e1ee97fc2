/* repositories: fetches all repositories of one request, a few at a time, into what an upload of
 * them would have become (struct intake_result).
 *
 * The limit is the node's: requests take turns. What is wrong with one repository is a failure of
 * that project alone. Now the 202 waits for all of them; when it will not, this is what the owner
 * of the evaluation runs, and a result becomes a part of the document instead of coming all at
 * once. */
#ifndef NODE_API_REPOSITORIES_H
#define NODE_API_REPOSITORIES_H

#include "node/api/git_request.h"
#include "runner/git/fetch.h"

struct event_base;

struct repositories_config {
    struct fetch_policy policy; /* borrows */
    unsigned at_once;
    uint64_t timeout_ms; /* of one request, from its start */
};

struct repositories_pool;

struct repositories_pool *repositories_pool_new(struct event_base *base,
                                                const struct repositories_config *config);
void repositories_pool_free(struct repositories_pool *self); /* nothing may be under way */

struct repositories_stats {
    unsigned running; /* now */
    uint64_t fetched;
    uint64_t failed_projects; /* the request's or the repository's fault */
    uint64_t failed_clusters; /* the node's, or the network's */
    uint64_t bytes;           /* received for those that were fetched */
};
struct repositories_stats repositories_pool_stats(const struct repositories_pool *self);

/* Told once, from the loop: a project a URL, by name. The callee may take what is in `result`. */
typedef void repositories_done_fn(void *arg, struct intake_result *result);

struct repositories;

/* Starts fetching into folders of their own below `folder`, which exists. Borrows `request` until
 * the end. Returns NULL with the first URL's error where none of them is a repository's that may be
 * fetched. */
struct repositories *repositories_start(struct repositories_pool *pool,
                                        const struct git_request *request, const char *folder,
                                        repositories_done_fn *done, void *arg, struct err *err);

/* Kills what is under way; `done` is not called. */
void repositories_cancel(struct repositories *self);

#endif
