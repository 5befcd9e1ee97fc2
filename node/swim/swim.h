/* swim: who is in the mesh, and who of them is alive.
 *
 * SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2017), and what our use
 * adds: a persisted generation in the incarnation (a restart is not a flap), hard evidence (a
 * refused connection) that shortens a suspicion, eager confirmation of suspicions, a digest of the
 * table in every packet instead of periodic exchanges of it, and pings to the dead and to the
 * addresses of the configuration for ever, so that a partition heals by itself.
 *
 *            packet from j                 probe failed, accused
 *  (nobody) --------------> ALIVE <--------------------------------> SUSPECT
 *                           ^   \            ALIVE, higher (gen, ver)   /
 *      ALIVE, higher        |    \ DEAD heard             timer, DEAD  /
 *      (gen, ver): REJOIN,  |     v                                   v
 *      RESTART if gen grew  +---- DEAD <------------------------------
 *                           any state: LEFT heard ---> LEFT, no more pings to it
 *
 * The machine is told what happened and when, and answers with what to do. Nodes are named by
 * id_node_short(). Bad input is counted and ignored; nothing here fails, waits, or reads a clock.
 * Same seed, same events: same effects. docs/protocol.md, "Membership", has the rules and figures.
 */
#ifndef NODE_SWIM_SWIM_H
#define NODE_SWIM_SWIM_H

#include "proto/wire/wire.h"

#define SWIM_NODES_MAX     4096 /* members remembered, the dead included */
#define SWIM_ADDRESSES_MAX 64   /* of the configuration, all names resolved */
#define SWIM_NEWS_MAX      4096 /* evaluations whose last WORK and FENCE are remembered */

/* No node may have a larger generation, so that there is always room to climb; heard ones above it
 * are refused. */
#define SWIM_GEN_MAX (UINT64_MAX >> 1)

/* ---- configuration --------------------------------------------------------------------------- */

/* All times in ms. */
struct swim_timing {
    uint32_t period_ms;     /* between probes, times 1 + local health */
    uint32_t rto_min_ms;    /* a ping's time to be answered is 4 round trips, inside these; */
    uint32_t rto_max_ms;    /* while no round trip was measured: the larger */
    uint32_t relays;        /* asked to ping in our place when it was not answered */
    uint32_t suspicion_ms;  /* the least, times max(1, log10 N) */
    uint32_t suspicion_max; /* the most, as a multiple of the least */
    uint32_t refused_ms;    /* the whole of a suspicion once refusals prove it */
    uint32_t confirmations; /* further accusers that take it down to the least; at most N - 2 */
    uint32_t eager;         /* expected number of members that probe a suspect at once, */
    uint32_t eager_ms;      /* each after a random time up to this */
    uint32_t gossip_ms;     /* between rounds of rumors, to */
    uint32_t fanout;        /* so many members, each getting up to */
    uint32_t burst;         /* so many packets */
    uint32_t retransmit;    /* a rumor is sent this * ceil(log10(N + 1)) times */
    uint32_t health_max;    /* of the local health counter */
    uint32_t sync_ms;       /* digests differ that long before tables are exchanged; and between
                               two exchanges that we begin */
    uint32_t heal_ms;       /* between pings to the dead, each with probability */
    uint32_t heal_rate;     /* min(1, this / alive) */
    uint32_t join_min_ms;   /* between attempts to join, doubling */
    uint32_t join_max_ms;
    uint32_t leave_ms;       /* at most, for telling that we leave */
    uint32_t pause_ms;       /* a step that comes later than this after its time: we were stopped */
    uint32_t flap_window_ms; /* a suspicion is doubled (8 times at most) for each wrong death in it
                              */
    uint32_t load_ms;        /* a load record is news that long */
    uint64_t dead_keep_ms;   /* then forgotten */
    uint64_t left_keep_ms;
};

#define SWIM_TIMING                                                                                \
    ((struct swim_timing){.period_ms = 1000,                                                       \
                          .rto_min_ms = 50,                                                        \
                          .rto_max_ms = 250,                                                       \
                          .relays = 3,                                                             \
                          .suspicion_ms = 2000,                                                    \
                          .suspicion_max = 4,                                                      \
                          .refused_ms = 500,                                                       \
                          .confirmations = 3,                                                      \
                          .eager = 6,                                                              \
                          .eager_ms = 50,                                                          \
                          .gossip_ms = 100,                                                        \
                          .fanout = 3,                                                             \
                          .burst = 3,                                                              \
                          .retransmit = 4,                                                         \
                          .health_max = 8,                                                         \
                          .sync_ms = 2000,                                                         \
                          .heal_ms = 5000,                                                         \
                          .heal_rate = 8,                                                          \
                          .join_min_ms = 500,                                                      \
                          .join_max_ms = 10000,                                                    \
                          .leave_ms = 1000,                                                        \
                          .pause_ms = 250,                                                         \
                          .flap_window_ms = 600000,                                                \
                          .load_ms = 10000,                                                        \
                          .dead_keep_ms = 86400000,                                                \
                          .left_keep_ms = 3600000})

/* Mistakes that tests put in, to see that they are found out. */
enum swim_fault { SWIM_FAULT_NO_REFUTE = 1, SWIM_FAULT_COUNT_UNSENT = 2 };

struct swim_config {
    struct wire_member self; /* gen is on disk already; ver 0; texts are copied */
    struct swim_timing timing;
    uint64_t boot;   /* random, of this process: the one in its datagrams' headers */
    uint64_t seed;   /* of all chance in here */
    uint64_t now_ms; /* monotonic, as in events */
    uint32_t faults; /* 0; enum swim_fault in tests */
};

/* ---- what happened --------------------------------------------------------------------------- */

enum swim_event_kind {
    SWIM_TICK,        /* swim_deadline() was reached */
    SWIM_PACKET,      /* an authentic datagram of `node`, `boot` from `addr`; `bytes`: its body.
                         One of our own that came back (SEAL_OWN) needs no bytes: it says that
                         `addr` is one of ours */
    SWIM_FRAME,       /* `msg` (MSYNC or MFULL) on the stream of `node` */
    SWIM_CONNECTED,   /* SWIM_CONNECT `seq`: a stream is up and its HELLO names the right node */
    SWIM_REFUSED,     /* SWIM_CONNECT `seq`: connection refused (RST). Other failures: say nothing
                       */
    SWIM_UNREACHABLE, /* ICMP says that nothing takes datagrams at `addr`: a stream is tried now */
    SWIM_SEND_FAILED, /* a datagram to `addr` could not be sent: counted, it is an unanswered one */
    SWIM_LINK_LOST,   /* the stream of `node` ended without a BYE */
    SWIM_JOIN_ADDRESS,  /* `addr` is one of those to join through; may come again */
    SWIM_LEAVE,         /* begin to leave; SWIM_LEFT_DONE when told */
    SWIM_GEN_PERSISTED, /* `gen` of SWIM_PERSIST_GEN is on disk */
    SWIM_SELF,          /* own attributes are now those of `member` (node, gen, ver, st ignored) */
    SWIM_LOAD,          /* own load is now `load` (node, gen32, lseq ignored) */
    SWIM_SHASH,         /* own store's digest is now `shash` */
    SWIM_NEWS,          /* tell everybody `msg`: WORK or FENCE */
};

/* Everything is borrowed for the step. */
struct swim_event {
    enum swim_event_kind kind;
    uint64_t now_ms; /* monotonic, never smaller than before */
    uint64_t node;
    uint64_t boot;
    struct wire_addr addr;
    struct wire_bytes bytes;
    uint32_t seq;
    uint32_t shash;
    uint64_t gen;
    const struct wire_msg *msg;
    const struct wire_member *member;
    struct wire_load load;
};

/* ---- what to do ------------------------------------------------------------------------------ */

enum swim_effect_kind {
    SWIM_SEND,        /* a datagram with the body `bytes` to `addr` */
    SWIM_SEND_FRAME,  /* `msg` to `node` over a stream (opened to `addr` if there is none) */
    SWIM_CONNECT,     /* open a stream to `node` at `addr` (a present one that answers is as good);
                         say CONNECTED or REFUSED with `seq` */
    SWIM_PERSIST_GEN, /* have `gen` on disk, then say SWIM_GEN_PERSISTED; it is used after that */
    SWIM_MEMBER,      /* `what` about `node`; swim_member() knows more */
    SWIM_TOLD,        /* `msg` (WORK or FENCE) came as news: once for each */
    SWIM_SHASH_DIFFERS, /* the store of `node` differs from ours since `since_ms`; at most once a
                           second for each node, while packets come */
    SWIM_LEFT_DONE,     /* all were told, or time is up: close streams with BYE and exit */
    SWIM_EXIT,          /* this node must not go on: end with code 78 and the words of `exit` */
};

enum swim_what {
    SWIM_JOIN,    /* new, or back after it had left */
    SWIM_ALIVE,   /* was suspected, is not any more */
    SWIM_SUSPECT, /* nothing is decided yet */
    SWIM_DEAD,
    SWIM_REJOIN,  /* was taken for dead and is the same process: what it ran may still run */
    SWIM_RESTART, /* a new process of a member: what the old one ran is gone */
    SWIM_LEFT,    /* by itself */
    SWIM_CHANGED, /* address, name, flags, capabilities or versions */
};

enum swim_exit {
    SWIM_EXIT_COPY,       /* another process with this node's id lives at `addr` and is the newer */
    SWIM_EXIT_GENERATION, /* no higher generation exists: the node needs a new id */
};

/* Everything borrowed is valid until the next step. */
struct swim_effect {
    enum swim_effect_kind kind;
    enum swim_what what;
    enum swim_exit exit;
    uint64_t node;
    struct wire_addr addr;
    struct wire_bytes bytes;
    uint32_t seq;
    uint64_t gen;
    uint64_t since_ms;
    const struct wire_msg *msg;
};

struct swim_out {
    struct swim_effect *effects;
    size_t count;
    size_t capacity;
};

void swim_out_fini(struct swim_out *out);

/* ---- the machine ----------------------------------------------------------------------------- */

struct swim;

/* Returns owned (swim_free). */
struct swim *swim_new(const struct swim_config *config);
void swim_free(struct swim *self);

/* Takes one event and replaces `out` by what is to be done now. The SWIM_MEMBER effects of a step
 * stand together, at its end, one of a kind for each node. After SWIM_LEFT_DONE or SWIM_EXIT
 * nothing happens any more. */
void swim_step(struct swim *self, const struct swim_event *event, struct swim_out *out);

/* When it wants a SWIM_TICK; UINT64_MAX for never. Call it after each step. */
uint64_t swim_deadline(const struct swim *self);

/* ---- questions ------------------------------------------------------------------------------- */

/* One member as this node sees it. Texts are borrowed until the next step. */
struct swim_view {
    struct wire_member member;
    bool is_self;
    bool is_refused;           /* DEAD, by hard evidence: that process does not run */
    bool is_compatible;        /* speaks a version that we speak; else it gets no work */
    bool agrees;               /* its last packet had our table's digest */
    uint32_t rtt_ms;           /* smoothed; 0 unknown, 1 at least when known */
    uint64_t heard_ms;         /* of its last packet; 0 never */
    uint64_t state_since_ms;   /* in this state */
    uint64_t differs_since_ms; /* its store's digest is not ours; 0: it is, or none was heard */
};

/* Members in the order of their ids, self included; index < swim_count(). */
size_t swim_count(const struct swim *self);
void swim_at(const struct swim *self, size_t index, struct swim_view *out);

/* False for nobody that is known. */
bool swim_member(const struct swim *self, uint64_t node, struct swim_view *out);

/* ALIVE and SUSPECT ones in the order of their ids, self included until it leaves. Borrowed until
 * the next step. A suspect is still a member: what it has is taken away when it is DEAD. */
const uint64_t *swim_alive(const struct swim *self, size_t *count);

/* The last load known of a node (self too), or NULL; borrowed until the next step. */
const struct wire_load *swim_load(const struct swim *self, uint64_t node);

uint32_t swim_mhash(const struct swim *self);
uint64_t swim_gen(const struct swim *self);    /* in use: grows with SWIM_GEN_PERSISTED */
uint32_t swim_health(const struct swim *self); /* 0: well */

struct swim_stats {
    uint64_t packets_in;
    uint64_t packets_out;
    uint64_t bytes_out; /* of bodies */
    uint64_t malformed; /* packets and messages that were ignored */
    uint64_t unsent;    /* SWIM_SEND_FAILED */
    uint64_t probes;
    uint64_t probes_failed;
    uint64_t syncs; /* tables exchanged that we began */
    uint64_t refutations;
    uint64_t pauses;
    uint64_t dropped; /* members, news, probes over a limit */
};
const struct swim_stats *swim_stats(const struct swim *self);

#endif
