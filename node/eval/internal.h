/* internal: what evals.c (evaluations), project.c (how they get ready) and attempt.c (modules that
 * run) share. An evaluation that is final is forgotten here; the store keeps it. */
#ifndef NODE_EVAL_INTERNAL_H
#define NODE_EVAL_INTERNAL_H

#include "loadbalance/dispatch.h"
#include "node/eval/evals.h"

struct evaluation;

struct project {
    struct evaluation *eval;
    uint32_t p;
    struct prepared *prepared; /* NULL: not begun, or nothing to do */
    bool is_preparing; /* from project_prepare() until the modules are known, or not to be */
    bool has_slot;     /* the chore is in its slot */
    struct dispatch_work chore;
    char *identity; /* for durations */
};

struct evaluation {
    struct evals *owner;
    uint64_t id;
    struct doc_ballot ballot;
    uint32_t timeout_s;
    uint32_t weight;
    struct project *projects;
    size_t project_count;
    size_t preparing;
    size_t appends;    /* records and plans on their way to the disk */
    uint64_t revision; /* see struct evals */
    bool is_cancelled;
    bool is_sealing;
    struct evaluation *next;
};

/* One attempt that runs. */
struct attempt {
    struct project *project;
    struct dispatch_work work;
    struct job *job;
    uint32_t n;
    uint64_t start_ms;
    struct job_counts counts;
    struct attempt *next;
};

struct evals {
    struct evals_config config;
    struct dispatch *dispatch;
    struct evaluation *first;
    struct attempt *attempts;
    uint64_t revision; /* counts every progress; no two lives share one */
    struct dispatch_out
        effects_waiting; /* effects that wait for their turn, from effects_next on */
    size_t effects_next;
    bool is_acting;
    evals_final_fn *on_final;
    void *on_final_arg;
    bool is_draining;
    bool is_stopped;
    void (*on_drained)(void *arg);
    void *on_drained_arg;
};

/* ---- evals.c --------------------------------------------------------------------------------- */

struct evaluation *evals_find(const struct evals *self, uint64_t id);
struct project *evals_project(const struct evals *self, const struct dispatch_work *work);
const struct doc *evals_document(const struct evaluation *eval);

/* Appends a part of the document and, when it is durable, looks whether that was the last one. */
void evals_append(struct evaluation *eval, const struct delta *delta);

/* The end of an append that was counted in `appends` by hand; `arg` is the evaluation. */
void evals_on_appended(void *arg, const struct err *err, unsigned changed);

/* Notes that what is shown of an evaluation has changed. */
void evals_touch(struct evaluation *eval);

/* Tells the dispatcher, and does what it says; when called from within that, before the outermost
 * call returns. */
void evals_step(struct evals *self, const struct dispatch_event *event);

/* Seals when nothing is left to do. Any caller's evaluation stays valid: it is forgotten later,
 * from the loop. */
void evals_seal_if_complete(struct evaluation *eval);

/* ---- project.c ------------------------------------------------------------------------------- */

/* Begins to get a project ready; its chore and then its modules reach the dispatcher. */
void project_prepare(struct project *project, const struct doc *doc);

/* The chore has its slot. */
void project_start_chore(struct project *project, const struct dispatch_work *work);

/* ---- attempt.c ------------------------------------------------------------------------------- */

void attempt_start(struct evals *self, const struct dispatch_work *work);
void attempt_stop(struct evals *self, const struct dispatch_work *work);
void attempt_give_up(struct evals *self, const struct dispatch_work *work);

/* Records for every module of a plan that has none yet that it could not be run, and why. */
void attempt_give_up_rest(struct project *project, const struct doc_setup *why);
void attempt_free(struct evals *self, struct attempt *attempt);
struct doc_tally attempt_tally(const struct attempt *attempt);

#endif
