/* fetch: one commit of one repository, as a bundle, fetched by a child.
 *
 * The child speaks to one host only, limited and locked in like the one that unpacks uploads, but
 * with a network (runner/intake/lockin.h). What it is told, the token included, goes through a
 * pipe. It tries again by itself where the network is to blame; the time it has is held here. */
#ifndef GIT_FETCH_H
#define GIT_FETCH_H

#include "runner/git/address.h"
#include "runner/git/url.h"
#include "runner/intake/intake.h"

#include <stdbool.h>

#define FETCH_TOKEN_MAX 1024 /* bytes */

struct egress;
struct event_base;

/* What holds for every fetch of a node. Borrowed by all that is started with it. */
struct fetch_policy {
    struct git_hosts hosts;
    struct git_networks also; /* addresses that are fine though not public */
    const char *ca_file;      /* certificate authorities; NULL: the library's */
    const char *ca_dir;
    struct archive_limits limits;
    uint64_t bytes_max;
    uint64_t objects_max;
    uint64_t silence_ms;
    const char *program;   /* that answers to --helper; NULL for /proc/self/exe */
    struct egress *egress; /* the child's way out; NULL: its own connections, each one checked */
};

enum fetch_phase {
    FETCH_WAITING, /* for its turn, or to try again */
    FETCH_CONNECTING,
    FETCH_RECEIVING,
    FETCH_INDEXING, /* and packing */
    FETCH_PHASES
};

/* How far it is, by the child's word: for people. */
struct fetch_progress {
    enum fetch_phase phase;
    uint64_t received_bytes;
    uint32_t objects; /* received, of this try */
    uint32_t tries;   /* begun, from 1; 0: none yet */
};

/* Called on the loop, twice a second at most and whenever the phase changes. Must not call
 * fetch_cancel(). */
typedef void fetch_progress_fn(void *arg, const struct fetch_progress *progress);

struct fetch_spec {
    const struct fetch_policy *policy;
    const struct git_url *url;                   /* copied */
    const char *token;                           /* NULL: none; copied into the pipe only */
    const char *out_dir;                         /* as of intake_spec */
    uint64_t timeout_ms;                         /* in all, at least 1 */
    void (*remove)(void *arg, const char *path); /* takes away a tree, later; NULL: it blocks */
    void *remove_arg;
    fetch_progress_fn *on_progress; /* with the `arg` of fetch_start(); NULL: nobody wants it */
};

struct fetch_facts {
    char commit[GIT_OID_HEX]; /* "" where it did not come so far */
    char branch[GIT_BRANCH_MAX + 1];
    uint64_t received_bytes;
    uint32_t tries;
};

/* Called once, on the loop, never from within fetch_start(). `result` has one project, or is NULL
 * with an error; git_reason_is_projects() of its reason says whose fault it is. Without one it is
 * ours. */
typedef void fetch_done_fn(void *arg, struct intake_result *result, const struct fetch_facts *facts,
                           const struct err *err);

struct fetch;

/* As intake_start(). */
struct fetch *fetch_start(struct event_base *base, const struct fetch_spec *spec,
                          fetch_done_fn *done, void *arg, struct err *err);

/* Stops it; `done` is not called. Nothing is left on disk. */
void fetch_cancel(struct fetch *self);

/* `testmesh --helper fetch`: reads one request on standard input, writes lines of progress
 * (runner/git/progress.h), a line of JSON with the facts, and then what helper_intake_main() would.
 */
int helper_fetch_main(int argc, char **argv);

#endif
