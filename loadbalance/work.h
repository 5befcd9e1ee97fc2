/* work: the values that the owner's queue and the executor's agent share.
 *
 * A MODULE is a file of tests to run. A CHORE gets one project ready on one node (its bundle, tree,
 * environment and byte code) and finds its modules where nobody has yet. Both are an attempt of
 * something: (evaluation, project, module, ballot, n) names one attempt in the whole mesh, for
 * ever. The owner is in the ballot, since two nodes that claim an evaluation at the same time can
 * choose the same epoch.
 */
#ifndef LOADBALANCE_WORK_H
#define LOADBALANCE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A module's index that stands for "the project's chore". */
#define WORK_CHORE UINT32_MAX

/* What is dispatched at all: a larger index is ignored and counted. */
#define WORK_PROJECTS_MAX 4096
#define WORK_MODULES_MAX  100000 /* of one project */

/* Who may dispatch an evaluation; the larger epoch wins, then the larger owner. Epoch 0: nobody. */
struct work_ballot {
    uint32_t epoch;
    uint64_t owner;
};

struct work {
    uint64_t eval;
    uint32_t p; /* project */
    uint32_t m; /* module, or WORK_CHORE */
    uint32_t n; /* attempt, from 1 inside a ballot */
    struct work_ballot ballot;
};

/* How far an attempt is, on the node that has it. */
enum work_phase {
    WORK_WAITING,   /* assigned; waits for a slot there */
    WORK_PREPARING, /* a chore, without or with a slot */
    WORK_RUNNING,   /* a module in a slot */
    WORK_ENDED,     /* over; its result is on the way to the owner */
};

/* An attempt in a list: ASSIGN fills the estimate, BEAT the rest. */
struct work_item {
    struct work work;
    uint32_t estimate_ms;
    uint32_t elapsed_ms; /* since it started there; 0 while it waits */
    enum work_phase phase;
};

/* The numbers of this and the next are those of RESULT and REFUSE on the wire. */
enum work_end {
    WORK_DONE = 1,   /* a module has its durable record; a chore has its durable plan */
    WORK_LOST,       /* the runner went away under it (blame tests), or it could not be started and
                        the module has no part in that (blame cluster) */
    WORK_CANCELLED,  /* stopped because it was not wanted any more */
    WORK_UNPREPARED, /* a chore that failed; blame project: the failure is recorded in the plan;
                        blame cluster: another node may do better */
    WORK_REFUSED,    /* the node did not take it, or gave it back before it started */
};

enum work_blame {
    WORK_BLAME_NONE,
    WORK_BLAME_TESTS,
    WORK_BLAME_PROJECT,
    WORK_BLAME_CLUSTER,
};

enum work_refusal {
    WORK_FULL = 1, /* no slot for it */
    WORK_DRAINING, /* the node is going */
    WORK_DISK,     /* its store cannot keep a result */
    WORK_FENCED,   /* the node knows a higher ballot */
    WORK_UNREADY,  /* the project is not (or no longer) ready there */
    WORK_UNKNOWN,  /* the node does not know the evaluation, or saw its end */
};

/* < 0, 0, > 0. */
static inline int work_ballot_compare(struct work_ballot a, struct work_ballot b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return a.owner == b.owner ? 0 : a.owner < b.owner ? -1 : 1;
}

/* Are they the same attempt? */
static inline bool work_is_same(const struct work *a, const struct work *b)
{
    return a->eval == b->eval && a->p == b->p && a->m == b->m && a->n == b->n &&
           work_ballot_compare(a->ballot, b->ballot) == 0;
}

#endif
