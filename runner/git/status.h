/* status: tells a git host how the tests of one commit stand (a "commit status"), by a child.
 *
 * GitHub: POST {base}/repos/{owner}/{name}/statuses/{commit}, base https://api.github.com for
 * github.com and https://HOST/api/v3 for another host (its REST API, "Commit statuses").
 * GitLab: POST {base}/projects/{path}/statuses/{commit}, base https://gitlab.com/api/v4 (its REST
 * API, "Commits"). A host that the operator gave a base for has GitLab's where that ends with
 * "/api/v4". The host keeps the latest state of each name: a status that is sent twice is harmless.
 */
#ifndef GIT_STATUS_H
#define GIT_STATUS_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/git/address.h"
#include "runner/git/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_CONTEXT_MAX     255 /* bytes, as is the next one */
#define STATUS_DESCRIPTION_MAX 140 /* GitHub's limit */

struct egress;
struct event_base;

enum status_state {
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_FAILURE, /* its tests say no */
    STATUS_ERROR,   /* could not be run */
    STATUS_STATE_COUNT
};

enum status_kind { STATUS_GITHUB, STATUS_GITLAB };

/* Where a host's API is. */
struct status_base {
    enum status_kind kind;
    char *url; /* owned; "https://…" without a slash at its end */
};

/* Checks an operator's "NAME[:PORT]=https://…". Errors: ERR_INVALID. */
int status_api_check(const char *item, struct err *err) ERR_CHECKED;

/* Finds the base for a repository's host among the operator's items, else the usual one. */
void status_base_find(struct status_base *self, const struct git_url *url, const char *const *items,
                      size_t count);
void status_base_fini(struct status_base *self);

/* Appends the URL that one status goes to. `path` is "owner/name", `commit` 40 hex digits. */
void status_put_url(const struct status_base *base, const char *path, const char *commit,
                    struct buf *out);

/* Appends the body. Texts that are too long are cut at a character's end. */
void status_put_body(enum status_kind kind, enum status_state state, const char *context,
                     const char *description, const char *target_url, struct buf *out);

/* What holds for all statuses of a node. Borrowed by all that is started with it. */
struct status_policy {
    struct git_networks also; /* addresses that are fine though not public */
    const char *ca_file;      /* certificate authorities; NULL: the library's */
    const char *ca_dir;
    const char *program;   /* that answers to --helper; NULL for /proc/self/exe */
    struct egress *egress; /* as of fetch_policy */
};

struct status_request {
    const struct status_policy *policy;
    enum status_kind kind;
    const char *url;   /* status_put_url()'s; copied into the pipe only, as are the next ones */
    const char *token; /* goes to that URL's host and nowhere else, redirects included */
    const char *body;
    uint64_t timeout_ms;
};

struct status_answer {
    long http;              /* 0: nobody answered */
    uint32_t retry_after_s; /* how long the host wants to be left alone; 0: it did not say */
    bool is_limited;        /* by its headers, its limit of requests is used up */
    bool shares_network;    /* the node's: see way.h */
    char words[200];        /* for the log; printable, never what may hold the token */
};

/* Whether the host has it; and where not, whether the same may do better later. */
bool status_is_taken(const struct status_answer *answer);
bool status_is_passing(const struct status_answer *answer);

/* Called once, on the loop, never from within status_start(). */
typedef void status_done_fn(void *arg, const struct status_answer *answer);

struct status;

/* Sends one status. Returns a handle, valid until `done`; NULL with an error where no child can be
 * started. */
struct status *status_start(struct event_base *base, const struct status_request *request,
                            status_done_fn *done, void *arg, struct err *err);
void status_cancel(struct status *self); /* `done` is not called */

/* `testmesh --helper status`: reads one request on standard input, writes a line of JSON. */
int helper_status_main(int argc, char **argv);

#endif
