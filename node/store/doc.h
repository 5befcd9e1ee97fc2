/* doc: an evaluation's document, a product of join-semilattices.
 *
 * Nodes never send each other "the new state"; they send deltas, and every node joins what it hears
 * into what it has. Each part of a document is a register with a total order, or a bit, and the
 * join takes the larger: so deltas may come twice, late, in any order and over any path, and all
 * nodes end with the same document. Nothing is ever added up, hence nothing is counted twice.
 *
 *   part              order (larger wins)               meaning
 *   req               write once                        another one under the same id is refused
 *   fence             (epoch, owner, gen, reps)         who may dispatch and seal
 *   sources[p]        (epoch, owner, hash)              what a repository was found to hold
 *   plans[p][tree]    (epoch, owner, hash)              one register a project and commit
 *   cancel            false < true
 *   res[p][plan][m]   (real, epoch, owner, -n, node, dig)   the result that counts so far
 *   seal              (epoch, owner, gen, dig)          the plans and results that count for ever
 *   com               (epoch, owner)                    a majority of reps holds this seal
 *   degraded          false < true                      once committed without a majority
 *
 * The seal carries the plans and records that it counts, whole: what comes late and is larger joins
 * `plans` and `res`, and takes nothing away from what was counted. Status, marks and counts are
 * derived (summary.h), never stored. See "An evaluation" in docs/architecture.md and, for why it is
 * so, docs/protocol.md.
 *
 * This room is pure: no I/O, no clock. Structs that a caller fills borrow what they point to;
 * doc_apply() copies. Text that is no UTF-8 is repaired and over-long text is cut when it is
 * copied.
 */
#ifndef NODE_STORE_DOC_H
#define NODE_STORE_DOC_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/hash.h"
#include "proto/base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* Limits. A delta from outside that exceeds one is refused; text of our own is cut. */
#define DOC_PROJECTS_MAX 4096
#define DOC_MODULES_MAX  65536  /* of one project */
#define DOC_RESULTS_MAX  524288 /* of one evaluation: plan no more modules */
#define DOC_IGNORED_MAX  1024
#define DOC_SOURCE_ROWS_MAX                                                                        \
    128 /* ignored, and remarks, of one source: a seal must carry those of all of them */
#define DOC_NOTES_MAX 64 /* of one project */
#define DOC_ARGS_MAX  64
#define DOC_REPS_MAX  16
#define DOC_NAME_MAX  255  /* bytes, as are the next ones */
#define DOC_ADDR_MAX  300  /* host:port */
#define DOC_PATH_MAX  4096 /* a path inside a project */
#define DOC_TEXT_MAX  2048 /* messages, URLs, reasons */

enum doc_outcome {
    DOC_NO_OUTCOME, /* not finished; never in a record */
    DOC_PASSED,
    DOC_FAILED,
    DOC_ERROR,
    DOC_SKIPPED,
    DOC_TIMEOUT,
    DOC_OOM,
    DOC_OUTPUT_LIMIT,
    DOC_CRASHED,
    DOC_SETUP_FAILED,
    DOC_NO_TESTS,
    DOC_CANCELLED,
    DOC_LOST,
    DOC_OUTCOME_COUNT
};

enum doc_blame {
    DOC_BLAME_NONE,
    DOC_BLAME_TESTS,
    DOC_BLAME_PROJECT,
    DOC_BLAME_CLUSTER, /* costs no mark: the project's mark becomes null instead */
    DOC_BLAME_COUNT
};

/* "passed", "output_limit", …, as in the API; NULL for DOC_NO_OUTCOME. */
const char *doc_outcome_name(enum doc_outcome outcome);
const char *doc_blame_name(enum doc_blame blame);

/* A hash that is all zero stands for "none". */
bool doc_hash_is_set(const struct hash *hash);

/* A ballot: epoch 0 means none. `owner` is id_node_short(). */
struct doc_ballot {
    uint32_t epoch;
    uint64_t owner;
};

int doc_ballot_compare(struct doc_ballot a, struct doc_ballot b);

/* ---- the parts ------------------------------------------------------------------------------- */

struct doc_options {
    uint32_t timeout_s; /* of one module; 0 for the node's default */
    const char *const *pytest_args;
    size_t pytest_arg_count;
    uint32_t retries; /* of failed modules, 0 … 100 */
    int32_t priority; /* -100 … 100 */
    bool network;     /* asked for more than the loopback */
};

struct doc_project {
    const char *name;   /* unique within the evaluation */
    const char *source; /* the uploaded file's name, or the repository's URL */
    struct hash bundle; /* blob: canonical tar.zst; none if the project failed or is not cloned */
    struct hash tree;   /* of the canonical tar itself */
    uint64_t bytes;     /* unpacked */
    uint32_t files;
    const char *failure; /* why it cannot be run at all; NULL if it can */
    bool is_clusters;    /* the cluster is to blame for it, and not the project */
};

struct doc_ignored {
    const char *path;
    const char *why;
};

enum doc_kind { DOC_ZIP, DOC_GIT };

struct doc_req {
    uint64_t created_ms; /* wall clock of the accepting node; orders lists */
    enum doc_kind kind;
    const char *name; /* given by the user, or the file's name */
    struct doc_options options;
    struct hash body;    /* of what was uploaded; tells a repeated request from another one */
    const char *key;     /* Idempotency-Key, or NULL */
    struct hash overlay; /* blob: the instructor's tests, laid over every project; or none */
    struct hash secret;  /* blob: the repositories' token, sealed (node/eval/secret.h); or none */
    bool statuses;       /* the commits' statuses are to be told to the repositories' host */
    const struct doc_project *projects;
    size_t project_count;
    const struct doc_ignored *ignored; /* left out of every project */
    size_t ignored_count;
    const struct doc_ignored *remarks; /* kept, but worth a word: at most DOC_IGNORED_MAX too */
    size_t remark_count;
};

struct doc_fence {
    struct doc_ballot ballot;
    uint64_t gen; /* the owner's generation: one process life; 0: handed to it by another */
    const struct id_node *reps;
    size_t rep_count;
};

/* What a project's repository was found to hold: found by the owner after the request was
 * acknowledged. It has a bundle and its tree, or else a failure. The bundle is durable where it was
 * found, and on the replicas soon. Two owners may find two commits: the larger register counts. */
struct doc_source {
    uint32_t p; /* index in req->projects */
    struct doc_ballot ballot;
    uint64_t hash;      /* of the rest but the ballot; doc_apply() computes it */
    const char *source; /* the URL that pins the commit */
    struct hash bundle; /* as in struct doc_project, as are the next ones */
    struct hash tree;
    uint64_t bytes;
    uint32_t files;
    const char *failure;
    bool is_clusters;
    const struct doc_ignored *ignored; /* paths as in the request's; cut at DOC_SOURCE_ROWS_MAX */
    size_t ignored_count;
    const struct doc_ignored *remarks; /* likewise */
    size_t remark_count;
};

struct doc_module {
    const char *path; /* in the project, '/' between names */
    uint64_t bytes;
};

/* How a project's preparation ended, if not well. */
struct doc_setup {
    enum doc_outcome outcome; /* DOC_NO_OUTCOME: it went well */
    enum doc_blame blame;
    const char *message; /* the installer's words */
    const char *addr;    /* the node that tried, host:port; or NULL */
    struct hash log;     /* blob: the build log; or none */
};

/* What is to run in one project. With a `setup` outcome no module of it runs: each counts as one
 * error unless the cluster is to blame, and no records are needed for them. */
struct doc_plan {
    uint32_t p; /* index in req->projects */
    struct doc_ballot ballot;
    uint64_t hash; /* of the rest but the ballot; doc_apply() computes it, a caller leaves it 0 */
    struct hash tree; /* of doc_project(): two commits never share a plan. None: of whatever it is,
                         as plans of earlier versions are */
    struct hash env;  /* key of the environment; or none */
    const char *requirements; /* which file was used and why; or NULL */
    const char *const *notes; /* for the user: what of it was not used, how to do better */
    size_t note_count;
    struct doc_setup setup;
    const struct doc_module *modules; /* in byte order of their paths */
    size_t module_count;
};

/* Counts of one module. */
struct doc_tally {
    uint32_t passed;
    uint32_t failed;
    uint32_t errors;
    uint32_t skipped;
    uint32_t xfailed;
    uint32_t xpassed;
    uint32_t deselected;
};

/* The limit that a module met. */
struct doc_limit {
    const char *name; /* "wall", "memory", …; NULL for none */
    uint64_t used;    /* ms, bytes or a count, by name */
    uint64_t allowed;
};

/* One attempt's result, written when nothing better is to come: an attempt that will be retried
 * leaves no record, else the first one would win. */
struct doc_rec {
    uint32_t p;
    uint64_t plan; /* hash of the plan that `m` counts in */
    uint32_t m;
    struct doc_ballot ballot;
    uint32_t n;       /* attempt, from 1; goes on over fences, so that attempts never go back */
    uint64_t node;    /* id_node_short() of the executor */
    const char *addr; /* the executor's advertised host:port, as it was then */
    bool real;        /* a run ended so; false: it could not be run (then blame says whose fault) */
    enum doc_outcome outcome;
    enum doc_blame blame;
    const char *message; /* one paragraph for people, or NULL; cut at DOC_TEXT_MAX */
    uint64_t start_ms;   /* wall clock */
    uint32_t ms;
    struct doc_tally tally;
    int32_t exit_code;
    bool cached;
    char tier; /* 'A', 'B', or 0 for not sandboxed */
    struct doc_limit limit;
    struct hash cases; /* blob: every test; or none */
    struct hash out;   /* blob: captured output; or none */
    uint64_t dig;      /* doc_apply() computes it; a caller leaves it 0 */
};

struct doc_seal {
    struct doc_ballot ballot;
    uint64_t gen;
    uint64_t at_ms;                   /* wall clock of the sealer: when the evaluation ended */
    bool cancelled;                   /* modules that are not in `vec` were never run */
    const struct doc_source *sources; /* one a project at most, in order of p */
    size_t source_count;
    const struct doc_plan *plans; /* one a project at most, in order of p */
    size_t plan_count;
    const struct doc_rec *vec; /* of these plans; one per (p, m) at most, in this order */
    size_t vec_count;
    uint64_t dig; /* computed */
};

/* ---- delta ----------------------------------------------------------------------------------- */

/* Some parts of one document. Zero or NULL parts are absent. */
struct delta {
    uint64_t id; /* the evaluation */
    const struct doc_req *req;
    const struct doc_fence *fence;
    const struct doc_source *sources;
    size_t source_count;
    const struct doc_plan *plans;
    size_t plan_count;
    bool cancel;
    const struct doc_rec *res;
    size_t res_count;
    const struct doc_seal *seal;
    struct doc_ballot com; /* never without a seal of at least this ballot, here or joined before */
    bool degraded;
    struct arena *arena; /* owns the parts of a delta that was read; NULL where a caller built it */
};

/* Frees what a delta that was read owns; harmless on one that a caller built. */
void delta_fini(struct delta *self);
#define owned_delta __attribute__((cleanup(delta_fini))) struct delta

/* ---- document -------------------------------------------------------------------------------- */

struct doc_slot;
struct doc_part;
struct doc_tree_plan;

/* Read freely; change through doc_apply() alone. */
struct doc {
    uint64_t id;
    uint64_t digest;                   /* equal digests <=> equal documents */
    const struct doc_req *req;         /* NULL until known */
    const struct doc_fence *fence;     /* NULL until known */
    const struct doc_source **sources; /* source_room entries, NULL where a project has none; read
                                          them with doc_project() */
    size_t source_room;
    const struct doc_plan **plans; /* plan_room entries, NULL where a project has none that counts;
                                      read them with doc_plan() */
    size_t plan_room;
    bool cancel;
    const struct doc_seal *seal; /* NULL until sealed */
    struct doc_ballot com;
    bool degraded; /* its owner once committed alone: another result may have been shown */

    /* Private: a hash table of results, and what owns each part with its share of the digest. */
    struct doc_slot *slots;
    size_t slot_room;
    size_t res_count;
    struct doc_part *parts;
    struct doc_part *source_parts;
    struct doc_tree_plan **tree_plans; /* plan_room lists */
};

/* Makes an empty document. Returns owned. */
struct doc *doc_new(uint64_t id);
void doc_free(struct doc *self_owned);

/* Parts that a doc_apply() made larger. */
enum doc_change {
    DOC_CHANGED_REQ = 1,
    DOC_CHANGED_FENCE = 2,
    DOC_CHANGED_PLAN = 4,
    DOC_CHANGED_CANCEL = 8,
    DOC_CHANGED_RES = 16,
    DOC_CHANGED_SEAL = 32,
    DOC_CHANGED_COM = 64,
    DOC_CHANGED_DEGRADED = 128,
    DOC_CHANGED_SOURCE = 256,
};

/* THE join: every change of a document goes through here. Copies what it keeps. `changed` gets the
 * or of enum doc_change; 0 means that the delta brought nothing new.
 * Errors, with nothing changed: ERR_CONFLICT when the document has another request. */
int doc_apply(struct doc *self, const struct delta *delta, unsigned *changed,
              struct err *err) ERR_CHECKED;

/* Says that joining `delta` would change nothing. Where that is dear to find out it says false. */
bool doc_has(const struct doc *self, const struct delta *delta);

/* Fills project p of the request as it counts: as the request has it, and what its source says.
 * Borrows until the next doc_apply(). */
void doc_project(const struct doc *self, uint32_t p, struct doc_project *out);

/* Returns the source of project p that counts: the seal's if there is a seal, else the largest.
 * Borrowed as above; NULL where there is none, or where the request left nothing to be found. */
const struct doc_source *doc_source(const struct doc *self, uint32_t p);

/* Says whether project p's repository still is to be cloned: the request has neither a bundle nor a
 * failure of it, and there is no source, nor a seal. */
bool doc_is_uncloned(const struct doc *self, uint32_t p);

/* Returns the plan of project p that counts: the seal's if there is a seal, else the largest of the
 * project's tree (one of another tree counts for nothing: two owners cloned two commits), and none
 * while it is uncloned. Borrowed until the next doc_apply(); NULL where there is none. */
const struct doc_plan *doc_plan(const struct doc *self, uint32_t p);

/* Returns the best record so far of a module of the project's present plan, borrowed until the next
 * doc_apply(); NULL where there is none. */
const struct doc_rec *doc_result(const struct doc *self, uint32_t p, uint32_t m);

/* Returns the record that counts: the seal's if there is a seal, else doc_result(). */
const struct doc_rec *doc_counted(const struct doc *self, uint32_t p, uint32_t m);

/* Says whether nothing is left to do in one project: it is cloned, and failed as a whole, or every
 * module of its plan has a record. */
bool doc_project_is_complete(const struct doc *self, uint32_t p);

/* Says whether every project has a plan or a failure, and every module of a plan that was set up
 * has a record: then the owner seals. */
bool doc_is_complete(const struct doc *self);

/* Says whether the result is final: a majority holds its seal, or that of an earlier owner, which
 * then says the same. Nothing visible changes after it (unless `degraded`). */
bool doc_is_final(const struct doc *self);

/* The hash that results name their plan by: of everything in it but the ballot and itself. */
uint64_t doc_plan_hash(const struct doc_plan *plan);
uint64_t doc_source_hash(const struct doc_source *source);

/* Builds in `out` (delta_fini) the seal that counts the present sources, plans and results under
 * `ballot`; it says cancelled if the document does. Adopts what a seal that is already there
 * counts, as it must. A mesh of one is its own majority: it sets out->com = ballot in the same
 * delta. */
void doc_make_seal(const struct doc *self, struct doc_ballot ballot, uint64_t gen, uint64_t at_ms,
                   struct delta *out);

/* Presents the whole document as deltas of bounded size, one call each; borrows them to `fn`.
 * Joined in any order into an empty document they give this one. */
typedef void doc_split_fn(void *arg, const struct delta *piece);
void doc_split(const struct doc *self, doc_split_fn *fn, void *arg);

/* Calls `fn` with each blob that the document names, bundles and overlay first; the secret while
 * the document is not final. */
typedef void doc_blob_fn(void *arg, const struct hash *blob);
void doc_each_blob(const struct doc *self, doc_blob_fn *fn, void *arg);

#endif
