/* agent: what the slots of this node do, for whichever owners.
 *
 * The executor's side of the pull. It hears OFFERs, claims from the evaluation with the least
 * (running here) / weight, ties to the one that had the least predicted work per weight since it
 * came, then the oldest; starts what it is assigned; and keeps every end until the
 * evaluation's present owner has confirmed it.
 *
 *    OFFER ---> claim out ---- ASSIGN ----> waiting ---> running ---> ended ---> (forgotten)
 *                 |  ^                        |          STARTED      RESULT     RESULT_ACKED,
 *                 |  | again after 0.25-0.8 s  | 500 ms without slot   each 1 s   DROP
 *                 +--+ without an answer      +--> REFUSE (given back)
 *
 * - Never more in slots than there are slots. A local chore that wants a slot comes before waiting
 *   modules, and those before new claims.
 * - A lost owner never stops a running test. Whoever owns the evaluation next hears of it at once
 *   (BEAT) and gets its result. An ASSIGN under a lower ballot than the highest known is refused.
 * - What waits here for a slot (a batch of short ones) longer than AGENT_WAIT_MS goes back to its
 *   owner: the estimate was wrong, and another node may be idle.
 *
 * A CHORE is prepared without a slot until it asks for one (AGENT_WANTS_SLOT); AGENT_PREPARED ends
 * it.
 *
 * Give an AGENT_OFFER (or AGENT_RUMOR) only when this node's store has the evaluation's request;
 * else read it from the owner first.
 *
 * Pure: time is in the events (monotonic ms), randomness is seeded. Cannot fail: what does not fit
 * is ignored and counted.
 */
#ifndef LOADBALANCE_AGENT_H
#define LOADBALANCE_AGENT_H

#include "loadbalance/work.h"

#define AGENT_SLOTS_MAX     512
#define AGENT_BEAT_MS       2000
#define AGENT_RESEND_MS     1000
#define AGENT_CLAIM_MS      250 /* before a claim that had no answer, or got nothing, is repeated … */
#define AGENT_CLAIM_MAX_MS  800 /* … at first and at most */
#define AGENT_CLAIM_EACH_MS 20  /* … and this for each evaluation, when the answer was NOWORK */
#define AGENT_WAIT_MS       500

struct agent_config {
    uint64_t self;
    uint64_t seed;
    uint32_t chores; /* projects that may be prepared at the same time; 0: 2 */
};

enum agent_event_kind {
    AGENT_TICK,   /* agent_deadline() has come */
    AGENT_SLOTS,  /* slots: that many may be busy from now on; busy ones above run to their end */
    AGENT_OFFER,  /* eval, ballot, queued, weight: from its owner */
    AGENT_RUMOR,  /* the same, heard by gossip; peers: the mesh's size */
    AGENT_NOWORK, /* eval, ballot, queued: the answer to a claim */
    AGENT_ASSIGN, /* eval, ballot, items */
    AGENT_CANCEL, /* eval, ballot, items (none: all of it) */
    AGENT_READY,  /* eval, p, is_ready: without a chore: found ready, or no longer ready */
    AGENT_WANTS_SLOT, /* work: a chore that asks for a slot */
    AGENT_FREED,      /* work: its slot is free; a module's record is on the way to the disk, or a
                         chore goes on without */
    AGENT_ENDED,     /* work, end, blame: over, and what it left is durable; frees the slot, too. Of
                        an attempt that is not known (before a restart): only its result goes out */
    AGENT_PREPARED,  /* the same for a chore; took_ms */
    AGENT_ACKED,     /* work: the owner has the result */
    AGENT_PEER_LOST, /* peer: an owner that is dead, restarted or gone */
    AGENT_OWNER,     /* eval, ballot: the owner is ballot.owner from now on */
    AGENT_DROP,      /* eval: sealed or cancelled: stop all of it, forget the results */
    AGENT_DRAIN,     /* take nothing more; what waits goes back; what runs ends */
};

struct agent_event {
    enum agent_event_kind kind;
    uint64_t now_ms;
    uint64_t peer;
    uint64_t eval;
    struct work_ballot ballot;
    uint32_t slots;
    uint32_t queued;
    uint32_t weight;
    uint32_t peers;
    uint32_t p;
    bool is_ready;
    struct work work;
    enum work_end end;
    enum work_blame blame;
    uint32_t took_ms;
    const struct work_item *items;
    size_t item_count;
};

enum agent_effect_kind {
    AGENT_CLAIM,     /* to `owner`: eval, ballot, slots, chores, want_ms, ready */
    AGENT_PREPARE,   /* begin the chore items[0]; takes no slot before AGENT_WANTS_SLOT */
    AGENT_GIVE_SLOT, /* the chore items[0] has `slot` until AGENT_FREED or AGENT_PREPARED */
    AGENT_START,     /* begin the module items[0] in `slot` */
    AGENT_STOP,      /* end items[0] early, module or chore; its AGENT_ENDED still frees the slot */
    AGENT_REFUSE,    /* to `owner`: the items, `refusal`, `ballot` the highest known */
    AGENT_BEAT,      /* to `owner`: the items are everything that is here for it */
    AGENT_RESULT,    /* to `owner`: items[0] ended by `end`, `blame`; repeated until AGENT_ACKED */
    AGENT_DRAINED,   /* after AGENT_DRAIN: nothing runs and every result is confirmed */
};

struct agent_effect {
    enum agent_effect_kind kind;
    uint64_t owner;
    uint64_t eval;
    struct work_ballot ballot;
    uint32_t slot;
    uint32_t slots;
    uint32_t chores;
    uint32_t want_ms;
    enum work_refusal refusal;
    enum work_end end;
    enum work_blame blame;
    uint32_t took_ms;   /* of a chore */
    bool is_repeat;     /* a result that was sent before */
    size_t first_ready; /* out->ready[first_ready … + ready_count - 1], ascending */
    size_t ready_count;
    size_t first; /* out->items[first … first + count - 1] */
    size_t count;
};

/* The lists that a step fills; reused from step to step, valid until the next. */
struct agent_out {
    struct agent_effect *effects;
    size_t count;
    size_t capacity;
    struct work_item *items;
    size_t item_count;
    size_t item_capacity;
    uint32_t *ready;
    size_t ready_count;
    size_t ready_capacity;
};

struct agent;

/* Returns owned (agent_free). No slot may be used before AGENT_SLOTS. */
struct agent *agent_new(const struct agent_config *config);
void agent_free(struct agent *self);
void agent_out_fini(struct agent_out *out);

/* Takes one event and replaces `out` by what is to be done now. */
void agent_step(struct agent *self, const struct agent_event *event, struct agent_out *out);

/* When it wants its AGENT_TICK, ms; UINT64_MAX: not at all. */
uint64_t agent_deadline(const struct agent *self);

/* What this node says of itself in LOAD and BEAT. */
struct agent_load {
    uint32_t slots;
    uint32_t busy; /* slots in use */
    uint32_t free;
    uint32_t waiting; /* assigned, without a slot */
    uint32_t chores;  /* being prepared */
    uint32_t results; /* not confirmed */
    uint32_t eta_ms;  /* until a slot gets free, by the estimates */
};
struct agent_load agent_load(const struct agent *self, uint64_t now_ms);

/* Fills what is here, of one evaluation or of all (eval 0): at most `room`; returns how many. */
size_t agent_items(const struct agent *self, uint64_t eval, uint64_t now_ms, struct work_item *list,
                   size_t room);

/* What was counted since the start. */
struct agent_stats {
    uint64_t claims, claim_timeouts, started, refused, results, resent;
    uint64_t ignored; /* events that fit nothing */
};
struct agent_stats agent_stats(const struct agent *self);

#endif
