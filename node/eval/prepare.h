/* prepare: brings one project from its bundle to what a job needs.
 *
 *   bundle ─ materialise ─ tree ─ describe ─ environment │ compile ─ discover ─ modules
 *            └─────────── prepare_start() ─────────────┘ └── prepare_modules() ────┘
 *            some at a time, beside the slots             in a slot: it works the processor
 *
 * What is learnt of a tree is kept beside it, by content, so that the same sources cost nothing
 * twice:
 *
 *   DIR/<unit>/src/             the tree; <unit> = H(tree, overlay)
 *   DIR/<unit>/describe.json    what the project says of itself
 *   DIR/<unit>/pyc-<tag>/       byte code for one Python and pytest, a layer over src
 *   DIR/<unit>/installed-…/     what `install = editable` left (prepare_editable.c)
 *   DIR/<unit>/modules-<key>    what pytest collected from in one environment
 *
 * One tree is worked on by one at a time in the first half: a hundred copies of a hand-in are
 * unpacked once. What fails by the cluster's fault is tried once more after a while, when the
 * environments' store has forgotten its own failure; then it ends in `setup` as everything does
 * that can go wrong here, with whose fault it is. */
#ifndef NODE_EVAL_PREPARE_H
#define NODE_EVAL_PREPARE_H

#include "node/store/doc.h"
#include "runner/env/describe.h"
#include "runner/env/env.h"
#include "runner/job/engine.h"

struct event_base;

struct prepare_config {
    struct event_base *base;
    struct engine *engine;    /* borrowed */
    struct env_store *envs;   /* borrowed */
    const char *dir;          /* data/cache; made when absent */
    const char *program;      /* this binary, for --helper */
    unsigned slot_first;      /* slots for describe jobs: slot_first … slot_first + at_once - 1 */
    unsigned at_once;         /* projects that are prepared beside each other */
    struct job_limits limits; /* of describe, compile and discover jobs */
    unsigned retry_ms;        /* what failed by the cluster's fault is tried once more; 0: 16,000 */
    /* Takes away a folder of `dir` that was renamed to `trash`, without blocking; `trash` is on the
     * same file system. */
    const char *trash;
    void (*remove)(void *arg, const char *path);
    void *remove_arg;
};

struct prepare_host;

/* Copies `config`. Returns owned, NULL on error. Errors: ERR_IO. */
struct prepare_host *prepare_host_new(const struct prepare_config *config, struct err *err);

/* All that were started must have been freed. NULL is fine. */
void prepare_host_free(struct prepare_host *self);

/* Takes away the trees that nobody uses and that were used least recently, down to the number that
 * is kept. For now and then. */
void prepare_host_prune(struct prepare_host *self);

struct prepare_spec {
    uint64_t group;      /* the evaluation: groups share what runs at once evenly */
    const char *project; /* the folder's name in the job */
    const char *bundle_path;
    struct hash bundle;
    struct hash tree;
    const char *overlay_path; /* NULL: none */
    struct hash overlay;
};

struct prepared;
typedef void prepare_done_fn(void *arg, struct prepared *self);

/* Read freely; text and lists are its own. */
struct prepared {
    struct doc_setup setup; /* how it went wrong; DOC_NO_OUTCOME: it did not. addr is not set */
    struct buf setup_log;   /* the installer's, for a blob; may be empty */
    struct describe describe;
    char *requirements;         /* which file was used and why */
    const struct env *env;      /* NULL until it is there */
    struct doc_module *modules; /* from prepare_modules(), or the static candidates with a setup */
    size_t module_count;
    struct prepare_work *work; /* private */
};

/* Begins with the first half. Copies `spec`. Returns owned (prepare_free). `done` is called once,
 * from the loop and never from within this call. */
struct prepared *prepare_start(struct prepare_host *host, const struct prepare_spec *spec,
                               prepare_done_fn *done, void *arg);

/* The second half, once the first ended without a setup failure; `slot` is the caller's to lend. */
void prepare_modules(struct prepared *self, unsigned slot, prepare_done_fn *done, void *arg);

/* Fills what a job of this project needs in `spec`: environment, layers, project. Borrows from
 * `self`. */
void prepare_fill(const struct prepared *self, struct job_spec *spec);

/* Stops what runs; `done` comes from the loop with setup.outcome = DOC_CANCELLED: the due one, or
 * that of the half that has ended once more. Twice is harmless. */
void prepare_cancel(struct prepared *self);

/* Gives the environment back and frees. No job of it may live, unless the engine is gone already.
 * NULL is fine. */
void prepare_free(struct prepared *self_owned);

#endif
