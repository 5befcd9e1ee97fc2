/* own: who may give out and seal an evaluation, and that nothing acknowledged is lost.
 *
 * One owner at a time leads an evaluation; which one, is said by the fence, a ballot that grows.
 * The R nodes that the fence names (reps) are acceptors, the seal is the value: one single-decree
 * Paxos for each evaluation (Lamport, "Paxos Made Simple", 2001), with the document as the memory
 * of an acceptor. What an acceptor has promised is the largest of its document's fence, seal and
 * com; a thing is promised, accepted or acknowledged when it is durable, and not before.
 *
 *                       every rep has it                            all is terminal, or cancelled
 *   SUBMIT --> accepting ----------------> ACTIVE ----------------------------------+
 *                 | 10 s: refused,           ^                                      v
 *                 v       cancelled          | a majority promised              SEALING
 *             (claims; only to seal          |                                      | a majority
 *              the cancellation)          CLAIMING <-- fence := epoch + 1           v accepted
 *                                            ^         once durable here      com appended: FINAL
 *   owner died, left, restarted --> waits -> READING: from all reps that are there
 *                                   by rank
 *   any state --> (idle) when a higher fence is heard of
 *
 * Why it is so, and what a client sees in a partition: docs/protocol.md, "Evaluations".
 *
 * The machine reads documents through docs.h, where only what is durable can be seen. Every change
 * is an OWN_APPEND; its completion releases what hangs on it. It cannot fail, and ignores what
 * makes no sense. Same seed and same events: same effects. */
#ifndef NODE_OWN_OWN_H
#define NODE_OWN_OWN_H

#include "node/own/docs.h"
#include "proto/wire/message.h"

struct own;

/* The first epoch of a fence that names another replica in place of a silent one. A list of
 * replicas is replaced at most once, before the acknowledgement; epochs under the old list count
 * from 1 and stay far below, so that no claim by the old list can win over the new one. */
#define OWN_REPLACED_EPOCH (1u << 16)

/* One rule each, broken on purpose by tests and the simulator, to see that they would notice. */
enum own_mutation {
    OWN_SOUND,
    OWN_ACK_BEFORE_REPLICAS, /* accepts when it is durable here alone */
    OWN_ACK_BEFORE_FSYNC,    /* answers a PUT, and accepts, before it is durable */
    OWN_SEAL_JOIN_MIN,       /* a replica keeps the first seal that it sees */
    OWN_NO_EPOCH_BUMP,       /* claims with the epoch that it found */
    OWN_NO_QUORUM,           /* claims and seals alone */
    OWN_NO_PREREAD_NO_GRACE, /* claims at once, from what it has */
    OWN_NO_ADOPTION,         /* seals what it counts itself */
    OWN_NO_PROMISE,          /* an acceptor accepts what is lower */
    OWN_NO_RESEND,           /* not here: the executor's (loadbalance/agent.h) */
    OWN_FORGET_EARLY,        /* not here: forgets the secret where this node does not lead */
    OWN_ANY_TREE,            /* not here: takes one commit's work for another's */
    OWN_MUTATION_COUNT
};

struct own_config {
    struct id_node node; /* this one */
    uint64_t gen;        /* this process life's; larger than in any before */
    const struct docs *docs;
    uint64_t seed;
    uint64_t now_ms;
    unsigned replicas; /* R; 0 for 3 */
    bool allow_single; /* accept with one copy although others were known */
    bool had_peers;    /* another member was known in an earlier life, or is configured */
    uint32_t solo_ms;  /* without a majority so long: act alone, degraded; 0 for 30,000 */
    enum own_mutation mutation;
};

/* Returns owned; copies `config` but for `docs`, which it borrows. Takes up what is open in `docs`:
 * what this node owned in an earlier life it claims again. */
struct own *own_new(const struct own_config *config);
void own_free(struct own *self_owned);

/* ---- what happened --------------------------------------------------------------------------- */

enum own_event_kind {
    OWN_TICK,      /* own_deadline() was reached, or any time */
    OWN_MEMBER,    /* `member`: news of another member, or the first */
    OWN_MESSAGE,   /* `peer` said `msg`: READ, PUT; DOC, PUT_OK, PUT_LOW with a rid of ours */
    OWN_LINK_DOWN, /* the stream of `peer` broke: what was asked may be lost */
    OWN_APPENDED,  /* OWN_APPEND `token`: durable and joined, or not (`code`) */
    OWN_CHANGED,   /* document `id` changed, whatever it came from; after OWN_APPENDED if ours */
    OWN_FETCHED,   /* OWN_FETCH `token`: the blobs are all here, or not (is_ok) */
    OWN_HEARD,     /* a rumor: the fence of `id` is at least `fence` */
    OWN_SYNCED,    /* everything that `peer` had a moment ago is durable here */
    OWN_SUBMIT,    /* `delta` with a request alone under a new id; its blobs are durable here */
    OWN_CANCEL,    /* `token`: nobody wants the rest of `id` */
    OWN_ASK,       /* `token`: read what is newest of `id`, from others if need be */
    OWN_LEAVE,     /* take nothing new; give away what is owned. OWN_MEMBER goes on */
};

enum own_member_state { OWN_ALIVE /* or suspected */, OWN_DEAD, OWN_LEFT };

struct own_member {
    struct id_node node;
    uint64_t gen;
    enum own_member_state state;
    bool is_refused;  /* DEAD by hard evidence: that process does not run */
    bool is_draining; /* leaving, or its disk is full: takes no new evaluations */
};

/* Everything is borrowed for the step. */
struct own_event {
    enum own_event_kind kind;
    uint64_t now_ms;  /* monotonic */
    uint64_t wall_ms; /* what a seal says of when it was made; decides nothing */
    uint64_t id;      /* evaluation */
    uint64_t peer;
    uint64_t token;
    bool is_ok;
    enum err_code code; /* OWN_APPENDED: ERR_NONE, ERR_CONFLICT, ERR_UNAVAILABLE, … */
    unsigned changed;   /* OWN_CHANGED: enum doc_change */
    struct doc_ballot fence;
    const struct delta *delta;
    const struct wire_msg *msg;
    struct own_member member;
};

/* ---- what to do ------------------------------------------------------------------------------ */

enum own_effect_kind {
    OWN_APPEND,   /* `token`, `delta`: answered by OWN_APPENDED, in order */
    OWN_SEND,     /* `msg` to `peer`, who is never this node */
    OWN_FETCH,    /* `token`, `blobs` from `peer`, or who else `at` names; one of them may be
                     `secret`: answered by OWN_FETCHED */
    OWN_ACCEPTED, /* `id` is durable on `replicas` nodes: say 202 */
    OWN_REFUSED,  /* `id` was not taken: `why`, try again in `retry_s`; all of it is cancelled */
    OWN_ACTIVE,   /* this node leads `id` under `fence`: dispatch. Repeated with a new fence */
    OWN_STEPPED_DOWN, /* it does not any more, or all is over: dispatch nothing */
    OWN_NEWS,         /* tell everybody that `id` is led by this node under `fence` */
    OWN_FINAL,        /* the result of `id` stands */
    OWN_CANCELLED,    /* `token`: the wish is durable here (is_ok), or nobody knows `id` */
    OWN_ANSWER,       /* `token`: docs.find() has what could be had of `id` in time; is_ok: it is
                         known. `stale_ms`: its owner was last heard so long ago; 0 for the newest */
    OWN_HANDED_OVER,  /* after OWN_LEAVE: others lead what this node led, or there was nothing */
};

enum own_why {
    OWN_TOO_FEW,  /* not enough replicas are there */
    OWN_TOO_LATE, /* not enough of them answered in 10 s */
    OWN_TAKEN,    /* another request has the id: draw another one */
    OWN_NO_DISK,  /* it could not be made durable here */
    OWN_LEAVING,
};

/* Everything borrowed is valid until the next step. */
struct own_effect {
    enum own_effect_kind kind;
    uint64_t id;
    uint64_t peer;
    uint64_t token;
    struct doc_ballot fence;
    uint64_t gen; /* OWN_NEWS */
    unsigned replicas;
    enum own_why why;
    uint32_t retry_s;
    uint64_t stale_ms;
    bool is_ok;
    const struct delta *delta;
    const struct hash *blobs;
    size_t blob_count;
    const struct hash *secret;  /* OWN_FETCH; or NULL */
    const struct doc_fence *at; /* OWN_FETCH; or NULL */
    struct wire_msg msg;        /* borrows from the list; not for wire_msg_fini() */
};

struct own_hold;

/* The list that a step fills; owns what its effects borrow. */
struct own_out {
    struct own_effect *effects;
    size_t count;
    size_t capacity;
    struct own_hold *hold;
};

void own_out_fini(struct own_out *self);

/* Takes one event and replaces `out` by what is to be done now. Do the effects in their order. */
void own_step(struct own *self, const struct own_event *event, struct own_out *out);

/* When it wants OWN_TICK next; UINT64_MAX: not before another event. */
uint64_t own_deadline(const struct own *self);

/* ---- questions ------------------------------------------------------------------------------- */

/* Says whether this node leads the evaluation now, and under which fence (if not NULL). */
bool own_is_active(const struct own *self, uint64_t id, struct doc_ballot *fence);

/* Says whether a PUT of the evaluation is on its way to the disk here, or waits for its blobs. */
bool own_is_taking(const struct own *self, uint64_t id);

/* The numbers of questions (rid) that own asks have this bit clear, those of sync have it set. */
#define OWN_RID_SYNC UINT32_C(0x80000000)

struct own_stats {
    size_t open;           /* evaluations that are not final */
    size_t active;         /* of them, led here */
    uint64_t claims;       /* begun */
    uint64_t stepped_down; /* a higher fence was there */
    uint64_t adopted;      /* seals taken over from an earlier owner */
    uint64_t degraded;     /* committed without a majority */
    uint64_t replaced;     /* replicas that were silent */
    uint64_t lows;         /* promises that made us say PUT_LOW */
    uint64_t refused;      /* submissions */
    uint64_t ignored;      /* messages that made no sense */
    uint64_t dropped;      /* over a limit; the other side tries again */
};
struct own_stats own_stats(const struct own *self);

#endif
