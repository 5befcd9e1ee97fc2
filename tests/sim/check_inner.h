/* check_inner: what the checker remembers of a history. */
#ifndef TESTS_SIM_CHECK_INNER_H
#define TESTS_SIM_CHECK_INNER_H

#include "tests/sim/sim.h"

#define CHECK_MAX_SHOWN 5 /* violations of one run that are printed */

struct check_fence { /* one ballot of one evaluation */
    uint64_t eval;
    struct doc_ballot ballot;
    uint64_t gen;
    uint64_t first_us; /* durable anywhere */
    bool has_seal;
    uint64_t vector; /* that it sealed */
    bool is_committed;
};

struct check_run { /* one module */
    uint64_t eval;
    uint32_t p, m;
    unsigned begun, lost, finished;
};

struct check_ran { /* one execution that came to its end */
    uint64_t eval, plan, node;
    uint32_t p, m, n;
    struct doc_ballot ballot;
    enum doc_outcome outcome;
    struct doc_tally tally;
};

struct check_put { /* a question that is out */
    unsigned from, to;
    uint32_t rid;
    uint64_t eval;
    uint8_t kind;
    struct doc_ballot fence, seal;
};

struct check_shown { /* finished modules of a project, as a node showed last */
    uint64_t eval, plan;
    uint32_t p;
    unsigned node;
    unsigned terminal;
};

struct check_minted { /* the newest incarnation that a node gave itself */
    uint64_t node, gen;
    uint32_t ver;
};

struct check_holder { /* of a secret */
    uint64_t node, eval;
};

struct check {
    struct check_holder *holders;
    size_t holder_count, holder_room;
    struct check_fence *fences;
    size_t fence_count, fence_room;
    struct check_run *runs;
    size_t run_count, run_room;
    struct check_ran *ran;
    size_t ran_count, ran_room;
    struct check_put *puts;
    size_t put_count, put_room;
    struct check_shown *shown;
    size_t shown_count, shown_room;
    struct check_minted *minted;
    size_t minted_count, minted_room;
};

#define CHECK_ADD(self, list, count, room, ...)                                                    \
    do {                                                                                           \
        (self)->list =                                                                             \
            mem_grow((self)->list, &(self)->room, (self)->count + 1, sizeof *(self)->list);        \
        (self)->list[(self)->count++] = __VA_ARGS__;                                               \
    } while (0)

/* How many of an evaluation's reps, and whether they are more than half; by what is durable on
 * their disks now. A rep whose disk was lost cannot be asked and is taken to be one. */
typedef bool check_rep_fn(const struct doc *doc, struct doc_ballot ballot);
bool check_majority(struct sim *self, const struct doc_fence *fence, uint64_t eval,
                    check_rep_fn *fn, struct doc_ballot ballot);

/* Adds it when it is new. */
struct check_fence *check_fence_of(struct sim *self, uint64_t eval, struct doc_ballot ballot);

/* The ballot that wins: NULL while there is none. */
const struct doc_fence *check_newest_fence(struct sim *self, uint64_t eval);

/* Hash of what a final document counts. */
uint64_t check_vector(const struct doc_seal *seal);

void check_seal_truth(struct sim *self, struct sim_node *node, const struct doc *doc);

bool check_is_hatch_due(struct sim *self, uint64_t eval, struct doc_ballot ballot);

#endif
