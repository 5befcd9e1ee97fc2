/* internal: what executor.c (who has what), project.c (how projects get ready) and attempt.c
 * (modules that run) share. */
#ifndef NODE_EVAL_INTERNAL_H
#define NODE_EVAL_INTERNAL_H

#include "node/eval/executor.h"

struct event;

/* One project of one evaluation on this node. */
struct project {
    struct executor *owner;
    uint64_t eval;
    uint32_t p;
    struct hash tree;          /* that it is ready of, or will be (doc_project()) */
    struct prepared *prepared; /* NULL: not begun */
    struct work chore;
    uint64_t started_ms; /* of the chore */
    bool is_preparing;   /* a chore is under way: from executor_prepare() to its end */
    bool has_modules;    /* it got to its end once */
    bool is_dropped;     /* freed with its last job */
    bool is_telling;     /* that its chore is over: what is asked for meanwhile must not free it */
    size_t attempts;     /* that run */
    struct project *next;
};

/* One module that runs. */
struct attempt {
    struct project *project;
    struct work work;
    unsigned slot;
    struct job *job;
    uint64_t plan; /* hash of the one that `work.m` counts in */
    uint32_t n;    /* over all ballots, as people count */
    uint64_t start_ms;
    struct attempt *next;
};

/* What was known at once, and is told from the loop. */
struct news {
    struct work work;
    bool wants_slot; /* else it ended */
    enum work_end end;
    struct news *next;
};

struct executor {
    struct executor_config config;
    struct project *projects;
    struct attempt *attempts;
    struct news *news;
    struct event *tell_news;
    struct executor_stats stats;
};

/* ---- executor.c ------------------------------------------------------------------------------ */

struct project *executor_project(const struct executor *self, uint64_t eval, uint32_t p);
const struct doc *executor_doc(const struct executor *self, uint64_t eval);

/* Ends work that could not be begun, from the loop; blame cluster. */
void executor_fail(struct executor *self, const struct work *work, enum work_end end);

/* Tells from the loop that a chore wants its slot. */
void executor_want_slot(struct executor *self, const struct work *work);

/* Frees a project that is dropped and at rest. */
void executor_settle(struct project *project);

/* ---- project.c ------------------------------------------------------------------------------- */

void project_prepare(struct project *project, const struct doc *doc);

/* ---- attempt.c ------------------------------------------------------------------------------- */

void attempt_start(struct project *project, const struct work *work, unsigned slot);

#endif
