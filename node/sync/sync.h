/* sync: makes the stores of all nodes equal, whatever was lost on the way.
 *
 *   digests differ         SYNC: 256 digests           those that differ
 *   (swim) ──> A ────────────────────────────> B ──> DIFF: all (id, digest) in these buckets ──┐
 *              A <────────────────────────────────────────────────────────────────────────────-┘
 *              A reads (READ, with a sketch of what it has) what it lacks; and tells B (DIFF) what
 *              B lacks, so that B reads it from A
 *
 * Only who lacks something asks for it, piece by piece, with a bounded number of questions on the
 * way; so a node that comes back after a week takes what it can carry, and nobody is flooded. A
 * round that could not take all is followed by another at once.
 *
 * The fast path: what became durable here is sent once to three members at random, and by those who
 * did not know it again ("infect and die"; Demers et al., "Epidemic Algorithms for Replicated
 * Database Maintenance", 1987). Rounds bring the rest.
 *
 * Pure; see own.h for what a step is. */
#ifndef NODE_SYNC_SYNC_H
#define NODE_SYNC_SYNC_H

#include "node/own/docs.h"
#include "proto/wire/message.h"

struct sync;

struct sync_config {
    uint64_t self; /* id_node_short() */
    const struct docs *docs;
    uint64_t seed;
    uint64_t now_ms;
};

/* Returns owned; borrows `docs`. */
struct sync *sync_new(const struct sync_config *config);
void sync_free(struct sync *self_owned);

enum sync_event_kind {
    SYNC_TICK,    /* sync_deadline() was reached, or any time */
    SYNC_MEMBER,  /* `peer` is there (is_ok), or is dead or has left */
    SYNC_DIFFERS, /* the root of `peer` is not ours (SWIM_SHASH_DIFFERS) */
    SYNC_MESSAGE, /* `peer` said `msg`: SYNC, DIFF, DELTA; DOC with a rid of ours (OWN_RID_SYNC) */
    SYNC_LINK_DOWN, /* the stream of `peer` broke */
    SYNC_APPENDED,  /* SYNC_APPEND `token` is durable (is_ok), and made a difference (changed) */
    SYNC_LEARNED,   /* `delta`, which another machine had appended, is durable and made one */
};

/* Everything is borrowed for the step. */
struct sync_event {
    enum sync_event_kind kind;
    uint64_t now_ms;
    uint64_t peer;
    uint64_t token;
    bool is_ok;
    unsigned changed;
    const struct delta *delta;
    const struct wire_msg *msg;
};

enum sync_effect_kind {
    SYNC_APPEND, /* `token`, `delta`: answered by SYNC_APPENDED, in order */
    SYNC_SEND,   /* `msg` to `peer` */
    SYNC_SYNCED, /* all that `peer` had is durable here: OWN_SYNCED for own. The first one for each
                    peer since it came, and again after later rounds */
    SYNC_WHOLE,  /* that was the last of all members that are there: store_repaired(). Repeated when
                    it becomes true again */
};

/* Everything borrowed is valid until the next step. */
struct sync_effect {
    enum sync_effect_kind kind;
    uint64_t peer;
    uint64_t token;
    const struct delta *delta;
    struct wire_msg msg; /* borrows from the list; not for wire_msg_fini() */
};

struct own_hold;

/* The list that a step fills; owns what its effects borrow. */
struct sync_out {
    struct sync_effect *effects;
    size_t count;
    size_t capacity;
    struct own_hold *hold;
};

void sync_out_fini(struct sync_out *self);
void sync_step(struct sync *self, const struct sync_event *event, struct sync_out *out);
uint64_t sync_deadline(const struct sync *self);

struct sync_stats {
    uint64_t rounds;    /* begun here */
    uint64_t reads;     /* documents asked for */
    uint64_t pieces;    /* that came for them */
    uint64_t pushed;    /* deltas sent on as news */
    uint64_t conflicts; /* documents that cannot be joined: two requests under one id */
    uint64_t ignored;   /* messages that made no sense */
    uint64_t dropped;   /* over a limit; a later round brings it */
    size_t waiting;     /* documents to be asked for */
};
struct sync_stats sync_stats(const struct sync *self);

#endif
