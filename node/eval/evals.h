/* evals: the evaluations that this node owns, from "durable" to "done".
 *
 * It ties the parts together and decides little: what is true stands in the store's documents, what
 * runs next is loadbalance/dispatch's word, how a project gets ready is prepare's, how a module
 * ends is the engine's. The way of one evaluation:
 *
 *   document ─ each project: prepare_start() ─ chore in a slot: prepare_modules() ─ plan appended
 *            ─ each module in a slot: engine_start() ─ blobs, then the record, appended
 *            ─ doc_is_complete() ─ seal and com appended ─ done
 *
 * Whatever is appended counts when it is durable, so a node that dies anywhere goes on from its
 * store: what has a record is not run again, all else is. */
#ifndef NODE_EVAL_EVALS_H
#define NODE_EVAL_EVALS_H

#include "node/eval/prepare.h"
#include "node/store/store.h"

struct evals;

struct evals_config {
    struct store *store; /* borrowed, as are the next ones */
    struct engine *engine;
    struct prepare_host *prepare;
    const char *address;      /* this node's, as results carry it */
    unsigned slots;           /* modules at a time */
    struct job_limits limits; /* of a module */
    char tier;                /* of the sandbox: 'A', 0 for none */
};

/* Returns owned. */
struct evals *evals_new(const struct evals_config *config);

/* Frees. The engine must be gone: no job is alive. NULL is fine. */
void evals_free(struct evals *self);

/* Goes on with what the store holds unfinished, under a new fence. For start-up. */
void evals_recover(struct evals *self);

/* Begins to work on a document that is durable here and owned by this node. */
void evals_adopt(struct evals *self, uint64_t id);

/* Cancels: no new module starts, running ones end, what has a result keeps it. `done` as of
 * store_apply(): the wish is durable. Cancelling what is over changes nothing. */
void evals_cancel(struct evals *self, uint64_t id, store_done_fn *done, void *arg);

/* What is at work for an evaluation now. The arrays are owned by `out` (evals_live_fini). */
struct evals_live {
    struct summary_live live;
    struct summary_running *running;
    uint64_t revision; /* changes with every progress of this one: for ETags; 0: not at work */
};
void evals_live(const struct evals *self, uint64_t id, struct evals_live *out);
void evals_live_fini(struct evals_live *self);

/* How busy the node is. */
struct evals_load {
    unsigned slots;
    size_t running;
    size_t waiting;      /* modules and chores that are ready to start */
    size_t preparing;    /* projects whose modules are not known yet */
    size_t evaluations;  /* unfinished */
    uint64_t waiting_ms; /* predicted */
};
struct evals_load evals_load(const struct evals *self);

/* Calls `fn` when an evaluation becomes final; NULL takes it away. */
typedef void evals_final_fn(void *arg, uint64_t id);
void evals_on_final(struct evals *self, evals_final_fn *fn, void *arg);

/* Stops starting anything, and what only prepares; calls `done` when nothing runs any more, perhaps
 * from within this call. What was not finished goes on at the next start. */
void evals_drain(struct evals *self, void (*done)(void *arg), void *arg);

/* Appends nothing from now on, for the node's end: what the store still has to say is only noted.
 */
void evals_stop(struct evals *self);

#endif
