/* queue_inner: what the parts of queue share. queue.c: events; queue_ends.c: how attempts end;
 * queue_feed.c: what there is to do; queue_claim.c: who gets what; queue_task.c: modules and
 * projects in their order; queue_peer.c: nodes, what is ready on them, attempts; queue_offer.c:
 * whom to tell; queue_loss.c: whose fault.
 */
#ifndef LOADBALANCE_QUEUE_INNER_H
#define LOADBALANCE_QUEUE_INNER_H

#include "loadbalance/queue.h"
#include "proto/base/rand.h"

#define QUEUE_TICK_MS       500
#define QUEUE_OFFER_GAP_MS  50   /* the news of many events goes out at once */
#define QUEUE_OFFER_EACH_MS 2    /* longer between offers of one evaluation, for each that waits */
#define QUEUE_HOLD_MS       2000 /* for a failure's record to become durable */
#define QUEUE_GRACE_MS      500  /* an assignment and a beat may cross on their way */
#define QUEUE_QUANTUM_MS    2000
#define QUEUE_ASSIGN_MAX    1024 /* items in one assignment */
#define QUEUE_INCIDENTS     64

enum task_state { TASK_NONE, TASK_WAITING, TASK_RUNNING, TASK_OVER, TASK_GIVEN_UP };

/* A module, or a project's chore. */
struct queue_task {
    uint32_t estimate_ms;
    uint16_t n; /* the last attempt */
    uint8_t state;
    bool is_measured;
    uint8_t losses; /* of any kind */
    uint8_t runner_losses;
    uint8_t node_losses;
    uint64_t not_before_ms; /* a suspect */
    struct queue_run *run;  /* of a module that runs */
};

struct queue_project {
    uint32_t p;
    bool is_known;
    bool has_plan;
    bool is_over;
    bool is_unready; /* needs a chore, and nobody does it: counted in its evaluation */
    uint8_t failures;
    uint64_t held_until_ms;
    uint64_t home;          /* or 0 */
    uint64_t home_until_ms; /* others leave it to its home */
    uint32_t estimate_ms;
    uint32_t prepare_ms; /* measured; 0: never */
    struct queue_task chore;
    struct queue_task *modules;
    size_t module_capacity;
    uint32_t *heap; /* modules that wait; those that do not any more go when they surface */
    size_t heap_count;
    size_t heap_capacity;
    size_t waiting; /* suspects, too */
    uint64_t waiting_ms;
    uint64_t spent_ms;   /* by its modules that are over, and … */
    uint64_t thought_ms; /* … what was predicted of them */
    uint32_t ready;      /* nodes */
    uint32_t preparing;  /* nodes */
    uint32_t slots;      /* of both */
};

enum link_bit {
    LINK_READY = 1,
    LINK_PREPARING = 2,
    LINK_FAILED = 4, /* a chore failed there through no fault of the project */
    LINK_IN_HEAP = 8,
    LINK_LISTED = 16, /* while a list of what is ready is compared */
};

struct queue_ready {
    uint32_t p;
    uint64_t rank; /* of the project's first module, or a higher one */
};

/* What one node has of one evaluation. */
struct queue_link {
    struct queue_peer *peer;
    uint8_t *bits; /* by project */
    size_t bit_count;
    struct queue_ready *heap; /* projects that are ready there, by their first module */
    size_t heap_count;
    size_t heap_capacity;
    uint32_t slots; /* as counted in the projects */
    size_t running;
    uint64_t claimed_ms; /* the last claim; 0: none yet */
    uint64_t offered_ms;
    bool is_hungry; /* its last claim was not met in full */
};

struct queue_eval {
    uint64_t id; /* first: see byid.h */
    struct queue *queue;
    uint64_t serial; /* of its coming */
    struct work_ballot ballot;
    uint32_t weight;
    uint32_t timeout_ms;
    uint64_t adopt_until_ms;
    uint64_t served; /* predicted ms per weight, from the queue's `turn` when it came */
    struct queue_project *projects; /* by p */
    size_t project_count;
    size_t project_capacity;
    struct queue_link **links; /* by the peer's id */
    size_t link_count;
    size_t link_capacity;
    struct work *suspects; /* that wait, and must run apart */
    size_t suspect_count;
    size_t suspect_capacity;
    size_t waiting;
    uint64_t waiting_ms;
    size_t running;
    size_t unready;
    size_t held;
    bool is_news; /* work has come since the last offers */
    uint64_t offered_ms;
    bool is_rumored;
};

/* An attempt somewhere. */
struct queue_run {
    struct work work;
    struct queue_eval *eval;
    struct queue_peer *peer;
    uint64_t since_ms;
    uint64_t beat; /* the beat that named it last */
    bool is_apart;
    bool is_waiting;                   /* its node said that it has not begun */
    bool is_ended;                     /* its result is here, but not durable yet */
    struct queue_run *next, *previous; /* of the peer */
};

struct queue_peer {
    uint64_t id; /* first: see byid.h */
    struct queue_load load;
    uint64_t beat_ms;
    size_t running;
    size_t apart; /* suspects that run there */
    struct queue_run *first, *last;
};

/* The death of a node, and what it had. */
struct queue_incident {
    uint64_t at_ms;
    uint64_t peer;
    struct work *works;
    size_t count;
};

struct queue {
    struct queue_config config;
    struct rand rand;
    struct queue_eval **evals; /* by id */
    size_t eval_count;
    size_t eval_capacity;
    struct queue_peer **peers; /* by id */
    size_t peer_count;
    size_t peer_capacity;
    size_t most_peers; /* at one time */
    size_t waiting;    /* modules, of all evaluations */
    uint64_t waiting_ms;
    size_t offering; /* evaluations with something to give out, when they were last looked at */
    uint64_t slots;  /* of all peers that take work */
    uint64_t serial;
    uint64_t turn; /* the largest `served` that has had its turn */
    uint64_t beat;
    uint64_t tick_ms;
    uint64_t deadline_ms;
    uint32_t prepare_ms; /* EWMA */
    struct queue_incident incidents[QUEUE_INCIDENTS];
    size_t incident_next;
    struct queue_stats stats;
};

/* ---- queue.c -----------------------------------------------------------------------------------
 */

struct queue_effect *queue_emit(struct queue_out *out, enum queue_effect_kind kind,
                                const struct queue_eval *eval, const struct queue_peer *peer);
void queue_emit_item(struct queue_out *out, const struct work *work, uint32_t estimate_ms);
struct queue_eval *queue_eval_find(const struct queue *self, uint64_t id);
uint32_t queue_queued(const struct queue_eval *eval);
void queue_cancel(const struct queue_run *run, struct queue_out *out);

/* ---- queue_feed.c ------------------------------------------------------------------------------
 */

void queue_add_project(struct queue *self, const struct queue_event *event);
void queue_add_modules(struct queue *self, const struct queue_event *event, struct queue_out *out);
void queue_module_over(struct queue *self, const struct queue_event *event, struct queue_out *out);
void queue_project_over(struct queue *self, const struct queue_event *event, struct queue_out *out);

/* ---- queue_ends.c ------------------------------------------------------------------------------
 */

void queue_ended(struct queue *self, const struct queue_event *event, struct queue_out *out);
void queue_beat(struct queue *self, const struct queue_event *event, struct queue_out *out);

/* Gives a project up that no node can get ready. */
void queue_judge_chore(struct queue *self, struct queue_eval *eval, struct queue_project *project,
                       struct queue_out *out);

/* ---- queue_task.c ------------------------------------------------------------------------------
 */

/* NULL when it is not known. */
struct queue_project *queue_project_find(const struct queue_eval *eval, uint32_t p);
struct queue_project *queue_project_add(struct queue_eval *eval, uint32_t p);
struct queue_task *queue_task_find(const struct queue_eval *eval, const struct work *work);
struct queue_task *queue_task_add(struct queue_project *project, uint32_t m);
uint64_t queue_task_rank(const struct queue_task *task);
void queue_project_free(struct queue_project *self);

/* Counts anew whether it needs a chore that nobody does. */
void queue_project_refresh(struct queue_eval *eval, struct queue_project *project);

/* No chore of it is handed out until then. */
void queue_project_hold(struct queue_eval *eval, struct queue_project *project, uint64_t until_ms);

/* Could the next death of a node under it be its last? */
bool queue_task_is_suspect(const struct queue_task *task);

/* A module begins to wait, or stops waiting (for `state`). */
void queue_task_wait(struct queue_eval *eval, struct queue_project *project, uint32_t m);
void queue_task_leave(struct queue_eval *eval, struct queue_project *project, uint32_t m,
                      enum task_state state);

/* The first module that waits (no suspect); false: none. */
bool queue_project_head(struct queue_project *project, uint32_t *m);

/* ---- queue_peer.c ------------------------------------------------------------------------------
 */

struct queue_peer *queue_peer_find(const struct queue *self, uint64_t id);
void queue_peer_update(struct queue *self, const struct queue_event *event);
void queue_peer_remove(struct queue *self, struct queue_peer *peer);

struct queue_link *queue_link_find(const struct queue_eval *eval, const struct queue_peer *peer);
struct queue_link *queue_link_get(struct queue_eval *eval, struct queue_peer *peer);
void queue_link_free(struct queue_link *self);
uint8_t queue_link_bits(const struct queue_link *self, uint32_t p);
void queue_link_set(struct queue_eval *eval, struct queue_link *link, uint32_t p, uint8_t set,
                    uint8_t clear);
void queue_link_take_ready(struct queue_eval *eval, struct queue_link *link,
                           const struct queue_event *event);

/* The project's first module became a more urgent one. */
void queue_link_raise(struct queue_eval *eval, struct queue_link *link, uint32_t p);

/* The ready project whose first module goes before all others; false: nothing waits. */
bool queue_link_top(struct queue_eval *eval, struct queue_link *link, uint32_t *p);

struct queue_run *queue_run_add(struct queue *self, struct queue_eval *eval,
                                struct queue_peer *peer, const struct work *work, uint64_t now_ms);
void queue_run_free(struct queue_run *run);
struct queue_run *queue_run_find_chore(const struct queue_peer *peer, uint64_t eval, uint32_t p);

/* ---- queue_offer.c -----------------------------------------------------------------------------
 */

void queue_offer(struct queue *self, struct queue_eval *eval, uint64_t now_ms,
                 struct queue_out *out);
void queue_offer_all_to(struct queue *self, struct queue_peer *peer, uint64_t now_ms,
                        struct queue_out *out);

/* ---- queue_claim.c -----------------------------------------------------------------------------
 */

void queue_claim(struct queue *self, const struct queue_event *event, struct queue_out *out);
uint32_t queue_prepare_ms(const struct queue *self, const struct queue_project *project);

/* ---- queue_loss.c ------------------------------------------------------------------------------
 */

enum loss {
    LOSS_NONE,
    LOSS_CLUSTER,
    LOSS_RUNNER,
    LOSS_NODE,
    LOSS_TRIAL, /* a node, under a suspect that ran apart */
};

/* Ends the attempt (freed); its task waits again, or is given up. */
void queue_lose(struct queue *self, struct queue_run *run, enum loss loss, uint64_t now_ms,
                struct queue_out *out);
/* Did that node die under it before (in an earlier life)? */
bool queue_died_under(const struct queue *self, const struct queue_peer *peer,
                      const struct work *work);
void queue_peer_lose(struct queue *self, struct queue_peer *peer, const struct queue_event *event,
                     struct queue_out *out);
void queue_give_up(struct queue *self, struct queue_eval *eval, const struct work *work,
                   enum work_blame blame, struct queue_out *out);

#endif
