/* queue: what is left to do of every evaluation that this node owns, and who does it.
 *
 * Pull with late binding: a node asks (CLAIM) when it has a slot that is really free, and gets the
 * longest module that it can start at once. What is known of the others' load only ranks whom to
 * tell that there is work (OFFER), so stale numbers cost a message and never a bad placement.
 *
 *              ADD_MODULES              ASSIGN to a peer that is ready
 *    (unknown) -----------> waiting ---------------------------------> running ----> over
 *                              ^                                          |   MODULE_OVER, from
 *                              +---- lost, refused, no beat, too long ----+   anywhere, at any time
 *                                                                         +--> GIVE_UP, then
 *                                        lost through its own doing             MODULE_OVER
 *
 * Which module next:
 * - the longest first (LPT; Graham, "Bounds on multiprocessing timing anomalies", 1969) among the
 *   projects that are ready on the claimant; one that was never measured goes before a measured
 *   one of the same estimate; one that was lost goes before all. Several to a slot (guided
 *   self-scheduling; Polychronopoulos and Kuck, 1987) only where a round trip would cost more than
 *   a twentieth of it: then predicted work of min(200 ms, what is left / (2 * all slots)).
 * - between evaluations of this owner by deficit: the claimant gets the one that it asked for,
 *   unless another that it has asked for before, too, is more than a quantum of predicted
 *   work per weight behind (Shreedhar and Varghese, "Efficient fair queueing using deficit
 *   round-robin", 1995).
 *
 * Chores: a project becomes ready on a node by a chore, which is handed out as soon as what is
 * ready on the claimant would be done before one more preparation is. First a project that nobody
 * has ready and nobody prepares: one whose home the claimant is, else one that has waited for its
 * home long enough; the longest by its prediction first. Then, to help, the one with
 * the most predicted work for every slot that may run it, where the time that the claimant's
 * slots would save is more than the preparation is predicted to take (an EWMA of the measured).
 * What is left of a project is judged by how its modules did so far, too: a first guess may be far
 * off.
 *
 * Whose fault a loss is:
 * - A runner that dies under a module while its node lives is the module's doing. The second time
 *   it is given up, blame tests.
 * - A node that dies may have been killed by any module that it had and that may have begun, or by
 *   none. One that two nodes died under never runs beside another such, so that a third death
 *   tells them apart, and it waits for QUEUE_WATCH_MS first, to see whether nodes die without it,
 *   too. It is given up (blame tests) when the deaths under it, not all of one node, are at least
 *   three times one more than all the others of the last ten minutes: after three where nodes die
 *   of nothing else, and never where somebody ends nodes at random. Three, since two in a row are
 *   common then, and a wrong verdict costs a mark while one that comes late costs a restart. After
 *   QUEUE_NODE_LOSSES_MAX it is given up unproven, blame cluster.
 * - All else (not in the list of its own node, no beat, refused, never started) is the cluster's.
 *   After QUEUE_ATTEMPTS_MAX attempts it is given up, blame cluster, so that every evaluation ends.
 *
 * A chore that failed through no fault of the project is tried on another node, and given up (blame
 * cluster) after QUEUE_PREPARES_MAX of them, or when no node is left that has not tried: the same
 * installer on the same node would only say the same again.
 *
 * A module counts once however often it ran: an attempt is only a way to get its record, and who
 * brings the record does not matter.
 *
 * Pure: time is in the events (monotonic ms), randomness is seeded. Cannot fail: what does not fit
 * is ignored and counted.
 */
#ifndef LOADBALANCE_QUEUE_H
#define LOADBALANCE_QUEUE_H

#include "loadbalance/work.h"

#define QUEUE_SILENCE_MS      15000 /* an attempt of a node that says nothing that long is lost */
#define QUEUE_ADOPT_MS        500   /* a new owner hears who runs what before it hands out */
#define QUEUE_HOME_MS         500   /* a project waits that long for its home to prepare it */
#define QUEUE_OFFER_MS        400   /* between offers while work waits; longer where much does */
#define QUEUE_BATCH_MS        200   /* predicted work for one slot in one assignment */
#define QUEUE_RUNNER_LOSSES   2
#define QUEUE_NODE_LOSSES     3
#define QUEUE_NODE_LOSSES_MAX 8
#define QUEUE_WATCH_MS        10000
#define QUEUE_LOSS_WINDOW_MS  600000
#define QUEUE_PREPARES_MAX    3 /* chores of one project that failed through the cluster's fault */
#define QUEUE_ATTEMPTS_MAX    20

struct queue_config {
    uint64_t self; /* this node, which is also a peer of its own (rtt 0) */
    uint64_t seed;
    uint32_t prepare_ms; /* how long a preparation takes as long as none was measured; 0: 5000 */
    uint32_t prepare_timeout_ms; /* of a chore, as timeout_ms of a module; 0: 1,800,000 */
};

enum queue_event_kind {
    QUEUE_TICK,     /* queue_deadline() has come */
    QUEUE_ADD_EVAL, /* eval, ballot, weight, timeout_ms, is_adopted: now ours; again with a higher
                       ballot: what runs is kept */
    QUEUE_ADD_PROJECT,  /* eval, p, has_plan, estimate_ms (of all its modules; 0: unknown), home */
    QUEUE_ADD_MODULES,  /* eval, p, modules: the project has its plan, these have no record */
    QUEUE_MODULE_OVER,  /* eval, p, m: has a durable record */
    QUEUE_PROJECT_OVER, /* eval, p: nothing of it will run any more */
    QUEUE_DROP,         /* eval, is_kept: sealed, cancelled, or no longer ours */
    QUEUE_CLAIM,        /* peer, eval, ballot, slots, chores, want_ms, ready */
    QUEUE_ENDED, /* peer, work, end, blame, prepare_ms; of WORK_REFUSED the ballot does not count */
    QUEUE_PEER,  /* peer, load: is alive; again when its load changes */
    QUEUE_PEER_LOST, /* peer, loss */
    QUEUE_BEAT,      /* peer, items: everything that it has of ours */
};

struct queue_module {
    uint32_t m;
    uint32_t estimate_ms;
    bool is_measured; /* the estimate is of this very module, not a guess */
};

struct queue_load {
    uint32_t slots;  /* usable ones */
    uint32_t free;   /* of those */
    uint32_t eta_ms; /* until one gets free */
    uint32_t rtt_us;
    uint32_t lhm;   /* local health, 0: well */
    uint32_t speed; /* in hundredths of the usual; 0: 100 */
    bool is_draining;
};

enum queue_loss {
    QUEUE_DIED,      /* declared dead */
    QUEUE_RESTARTED, /* came back as a new life: what it ran is gone */
    QUEUE_LEFT,      /* in order */
};

struct queue_event {
    enum queue_event_kind kind;
    uint64_t now_ms;
    uint64_t peer;
    uint64_t eval;
    struct work_ballot ballot;
    uint32_t p, m;
    /* ADD_EVAL */
    uint32_t weight;     /* its share, ≥ 1 */
    uint32_t timeout_ms; /* of one module, at the executor; an attempt that takes twice that, and
                            QUEUE_SILENCE_MS to begin and to end, is lost */
    bool is_adopted;     /* taken over: others may be running parts of it (QUEUE_ADOPT_MS) */
    /* DROP */
    bool is_kept; /* what runs goes on, for the next owner */
    /* ADD_PROJECT */
    bool has_plan;
    uint32_t estimate_ms;
    uint64_t home; /* the node that probably has its environment, from the last time; 0: none */
    /* ADD_MODULES */
    const struct queue_module *modules;
    size_t module_count;
    /* CLAIM */
    uint32_t slots;   /* how many it could start at once */
    uint32_t chores;  /* how many projects it would prepare beside them */
    uint32_t want_ms; /* no more predicted work than that for a slot; 0: as the owner sees fit */
    const uint32_t *ready; /* the projects of `eval` that are ready there, all of them */
    size_t ready_count;
    /* ENDED */
    struct work work;
    enum work_end end;
    enum work_blame blame;
    enum work_refusal refusal; /* WORK_REFUSED only */
    uint32_t prepare_ms;       /* a chore that is done: how long it took; 0: not measured */
    /* PEER, PEER_LOST */
    struct queue_load load;
    enum queue_loss loss;
    /* BEAT */
    const struct work_item *items;
    size_t item_count;
};

enum queue_effect_kind {
    QUEUE_OFFER,   /* tell `peer`: `queued` of `eval` wait (also the chores) */
    QUEUE_ASSIGN,  /* give `peer` the items */
    QUEUE_NOWORK,  /* the answer to a claim that got nothing; `queued` may be more than 0: it waits
                      for others, or for a claim later */
    QUEUE_CANCEL,  /* `peer` shall stop the items; all of `eval` when there are none */
    QUEUE_GIVE_UP, /* nobody will run items[0]: make it a record (or a plan that says so) with
                      `blame`, which comes back as MODULE_OVER or PROJECT_OVER */
    QUEUE_RUMOR,   /* `queued` of `eval` became 0, or more than 0: for the gossip */
};

struct queue_effect {
    enum queue_effect_kind kind;
    uint64_t peer;
    uint64_t eval;
    struct work_ballot ballot;
    uint32_t queued;
    uint32_t weight;
    enum work_blame blame;
    size_t first; /* its items are out->items[first … first + count - 1] */
    size_t count;
};

/* The lists that a step fills; reused from step to step, valid until the next. */
struct queue_out {
    struct queue_effect *effects;
    size_t count;
    size_t capacity;
    struct work_item *items;
    size_t item_count;
    size_t item_capacity;
};

struct queue;

/* Returns owned (queue_free). */
struct queue *queue_new(const struct queue_config *config);
void queue_free(struct queue *self);
void queue_out_fini(struct queue_out *out);

/* Takes one event and replaces `out` by what is to be done now. */
void queue_step(struct queue *self, const struct queue_event *event, struct queue_out *out);

/* When it wants its QUEUE_TICK, ms; UINT64_MAX: not at all. */
uint64_t queue_deadline(const struct queue *self);

/* The modules that wait, of all evaluations: for what is said after every step. */
struct queue_waiting {
    size_t modules;
    uint64_t ms; /* predicted */
};
struct queue_waiting queue_waiting(const struct queue *self);

/* What is left of one evaluation, or of all (eval 0); looks at each of their projects. */
struct queue_left {
    size_t modules;      /* waiting */
    size_t chores;       /* projects that nobody has ready yet, or somebody prepares */
    size_t apart;        /* of those, the suspects */
    size_t running;      /* attempts, chores too */
    uint64_t waiting_ms; /* predicted, of the modules that wait */
};
struct queue_left queue_left(const struct queue *self, uint64_t eval);

/* Who has which attempt of an evaluation, in the order of projects and modules. Returns how many
 * there are and fills at most `room`. */
struct queue_attempt {
    struct work work;
    uint64_t peer;
    uint64_t since_ms; /* assigned */
};
size_t queue_attempts(const struct queue *self, uint64_t eval, struct queue_attempt *list,
                      size_t room);

/* What was counted since the start. */
struct queue_stats {
    uint64_t assigned, chores_assigned, offers, nowork;
    uint64_t lost, adopted, given_up, duplicates;
    uint64_t ignored; /* events that fit nothing */
};
struct queue_stats queue_stats(const struct queue *self);

#endif
