/* executor: runs on this node what owners of evaluations, here or elsewhere, gave to it.
 *
 * It decides nothing: which work, in which slot and when to stop is the mesh's word (mesh.h); how a
 * project gets ready is prepare's, how a module ends is the engine's. What came of it is handed
 * over as a delta, which counts when the mesh has made it durable.
 *
 *   executor_prepare ─ bundle, tree, environment ─> wants_slot ─ executor_give_slot ─ byte code,
 *       modules ─> ended: the plan, where there was none
 *   executor_start ─ one module in its slot ─> progress … ─> ended: its record
 *
 * The document of the evaluation is in the store, and the project's bundles among its blobs, before
 * anything is asked for. */
#ifndef NODE_EVAL_EXECUTOR_H
#define NODE_EVAL_EXECUTOR_H

#include "loadbalance/work.h"
#include "node/eval/prepare.h"
#include "node/store/store.h"

struct executor;

/* Called from the loop, never from within a call to the executor. */
struct executor_events {
    void (*wants_slot)(void *arg, const struct work *work);
    void (*progress)(void *arg, const struct work *work, const struct doc_tally *tally);

    /* Once for each executor_prepare() and executor_start(). `delta` (borrowed, or NULL) is a
     * record or a plan; with WORK_UNPREPARED and blame cluster it is the plan that tells why, in
     * case that no node does better. */
    void (*ended)(void *arg, const struct work *work, enum work_end end, enum work_blame blame,
                  uint32_t took_ms, const struct delta *delta);
};

struct executor_config {
    struct event_base *base;
    struct store *store; /* borrowed, as are the next ones */
    struct engine *engine;
    struct prepare_host *prepare;
    const char *address;      /* this node's, as results carry it */
    struct job_limits limits; /* of a module */
    char tier;                /* of the sandbox: 'A', 0 for none */
    const struct executor_events *events;
    void *arg;
};

/* Returns owned. */
struct executor *executor_new(const struct executor_config *config);

/* Frees, without a word. The engine must be gone: no job is alive. NULL is fine. */
void executor_free(struct executor *self);

void executor_prepare(struct executor *self, const struct work *work);
void executor_give_slot(struct executor *self, const struct work *work, unsigned slot);
void executor_start(struct executor *self, const struct work *work, unsigned slot);

/* What ran here since the start. Modules that had a runner count once each, by how they ended; so
 * do projects that were got ready. */
struct executor_stats {
    uint64_t modules[DOC_OUTCOME_COUNT][DOC_BLAME_COUNT];
    struct histogram module;    /* wall time of those that came to an end of their own */
    struct summary_tally tests; /* of all of them */
    uint64_t projects_failed[DOC_BLAME_COUNT];
    uint64_t projects_cancelled;
    struct histogram prepare; /* projects that got ready, from the chore's start */
};
const struct executor_stats *executor_stats(const struct executor *self);

/* Its result is not wanted; `ended` still comes. What is not known is ignored. */
void executor_stop(struct executor *self, const struct work *work);

/* Nothing of this evaluation will be asked for any more: gives its environments back when the last
 * job has ended. */
void executor_drop(struct executor *self, uint64_t eval);

/* How long a module will take, from what this node remembers, else from its size (a
 * mesh_estimate_fn whose arg is the executor). */
uint32_t executor_estimate(void *self, const struct doc *doc, uint32_t p, uint32_t m,
                           bool *is_measured);

/* Remembers how long modules took, wherever they ran: records as they come. */
void executor_learn(struct executor *self, const struct delta *delta);

#endif
