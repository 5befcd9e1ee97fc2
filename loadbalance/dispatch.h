/* dispatch: which work the free slots of this node do next.
 *
 * Work comes in two kinds. A CHORE prepares a project (compile it, ask pytest for its modules) and
 * makes modules known; a MODULE is a file of tests to run. Both take a slot. The rules:
 *
 * - Between evaluations: the one with the fewest running per weight (max-min fairness); on a tie
 * the one with the fewest starts per weight since it came (stride scheduling; Waldspurger, 1995),
 * then the oldest. So a class of 300 projects does not keep a single project waiting, even where
 * there is one slot for both.
 * - Inside one: the longest module first (LPT; Graham, "Bounds on multiprocessing timing
 * anomalies", 1969), by estimate; one that was never measured goes before a measured one of the
 * same estimate. Chores go first while fewer modules are ready than would keep every slot busy
 * twice over: what is not known yet cannot be ordered.
 * - An attempt that was lost through the cluster's fault goes back to the front. A module whose
 * attempts were lost DISPATCH_LOSSES times is given up, so that one bad module cannot eat the mesh.
 *
 *               MODULES                 start                   ENDED real
 *      (unknown) ------> waiting ------------------> running --------------------> over
 *                          ^                            |     ENDED lost, too often
 *                          +----------------------------+--------------------------> over (gave up)
 *                                   ENDED lost
 *
 * Nothing here knows processes, clocks or documents; it is told what happened and answers what to
 * do.
 */
#ifndef LOADBALANCE_DISPATCH_H
#define LOADBALANCE_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISPATCH_SLOTS_MAX 512
#define DISPATCH_LOSSES    2

/* A module's index that stands for "the project's chore". */
#define DISPATCH_CHORE UINT32_MAX

struct dispatch_work {
    uint64_t eval;
    uint32_t project;
    uint32_t module;  /* DISPATCH_CHORE for the project's chore */
    uint32_t attempt; /* from 1 */
    uint32_t slot;
};

struct dispatch_module {
    uint32_t index;       /* in its project's plan */
    uint32_t estimate_ms; /* how long it will take */
    bool is_measured;     /* the estimate is of this very module, not a guess */
};

enum dispatch_event_kind {
    DISPATCH_SLOTS, /* `slots` of them may be busy from now on; busy ones above it run to their end
                     */
    DISPATCH_ADD,   /* a chore (modules NULL) or modules of `work.project` become ready to start */
    DISPATCH_ENDED, /* `work` ended by itself; `is_lost` when it must be done again */
    DISPATCH_DROP,  /* nothing of `work.eval` is wanted any more: cancelled, or no longer ours */
};

struct dispatch_event {
    enum dispatch_event_kind kind;
    uint32_t slots;
    struct dispatch_work work;
    uint32_t weight; /* DISPATCH_ADD: the evaluation's share, ≥ 1 */
    const struct dispatch_module *modules;
    size_t module_count;
    bool is_lost;
};

enum dispatch_effect_kind {
    DISPATCH_START,   /* begin `work` in its slot; answer with DISPATCH_ENDED */
    DISPATCH_STOP,    /* end `work` early; DISPATCH_ENDED still frees its slot */
    DISPATCH_GIVE_UP, /* `work` was lost for the last time */
};

struct dispatch_effect {
    enum dispatch_effect_kind kind;
    struct dispatch_work work;
};

/* The list that a step fills; reused from step to step. */
struct dispatch_out {
    struct dispatch_effect *effects;
    size_t count;
    size_t capacity;
};

struct dispatch;

/* Returns owned (dispatch_free). No slot is free until DISPATCH_SLOTS. */
struct dispatch *dispatch_new(void);
void dispatch_free(struct dispatch *self);

void dispatch_out_fini(struct dispatch_out *out);

/* Takes one event and replaces `out` by what is to be done now. Cannot fail: what does not fit is
 * ignored. */
void dispatch_step(struct dispatch *self, const struct dispatch_event *event,
                   struct dispatch_out *out);

/* What waits and runs, of one evaluation (or of all: eval = 0). */
struct dispatch_load {
    size_t waiting;
    size_t running;
    uint64_t waiting_ms; /* predicted */
};
struct dispatch_load dispatch_load(const struct dispatch *self, uint64_t eval);

#endif
