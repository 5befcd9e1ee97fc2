/* mesh: everything that a node decides together with others, as one machine.
 *
 * It composes the machines that each know one thing and passes between them what the others must
 * hear:
 *
 *   swim     who is there                        own    who may dispatch and seal an evaluation
 *   queue    what is left, and who gets it       agent  this node's slots, and whose work they take
 *   sync     makes stores equal
 *
 *   datagram ─> swim ─ member came, died, left ─> own, queue, agent, sync
 *   frame ───> (by kind) swim | own | queue | agent | sync
 *   appended ─> whoever asked for it; and what became true of a document: own, queue, agent
 *
 * The node drives it with a real network, disk and runner (node/mesh/host.h), the simulator with
 * false ones (tests/sim): it is the same code. So a node is told events and does effects, and what
 * it does must keep these promises:
 *
 * - Every MESH_APPEND is answered by one MESH_APPENDED, in the order of their tokens, when it is
 *   durable and joined (docs.find() shows it), or has failed. Nothing else changes a document.
 * - What docs.find() shows is durable. It does not change within a step.
 * - Frames between two nodes come in their order or not at all; a break is told (MESH_LINK_DOWN) on
 *   each side that lives. Datagrams may be lost, doubled and late.
 * - A START or PREPARE is answered by one MESH_ENDED, a FETCH by one MESH_FETCHED, also when they
 *   were stopped. A CLONE is answered by one MESH_CLONED, unless it was stopped.
 *
 * Messages to the node itself never leave the machine. A step cannot fail; what makes no sense from
 * outside is ignored and counted. */
#ifndef NODE_MESH_MESH_H
#define NODE_MESH_MESH_H

#include "loadbalance/work.h"
#include "node/own/docs.h"
#include "node/own/own.h"
#include "node/swim/swim.h"
#include "proto/wire/wire.h"

struct mesh;

/* How long a module will take, from what this node remembers; `is_measured` when it is of this very
 * module and not a guess. */
typedef uint32_t mesh_estimate_fn(void *arg, const struct doc *doc, uint32_t p, uint32_t m,
                                  bool *is_measured);

struct mesh_config {
    struct wire_member self; /* as others will see it; its gen is durable */
    uint64_t boot;           /* random, of this process */
    uint64_t seed;
    uint64_t now_ms;
    struct swim_timing timing; /* SWIM_TIMING */
    const struct docs *docs;   /* borrowed */
    mesh_estimate_fn *estimate;
    void *estimate_arg;
    unsigned slots;             /* modules at a time */
    unsigned chores;            /* projects that are prepared beside each other */
    uint32_t module_timeout_ms; /* a module's, as long as its request does not say less; 0: 300 s */
    uint32_t prepare_timeout_ms; /* a chore's; 0: 30 minutes */
    bool allow_single;           /* acknowledge with one copy although others were known */
    bool had_peers;              /* an earlier life of this node knew another one */
    enum own_mutation mutation;  /* the simulator's: a rule to break on purpose, as is the next */
    uint32_t faults;             /* enum swim_fault */
};

/* Returns owned; copies `config` but for what it borrows. */
struct mesh *mesh_new(const struct mesh_config *config);
void mesh_free(struct mesh *self);

enum mesh_link_end {
    MESH_LINK_BYE,  /* said goodbye, or was never up */
    MESH_LINK_LOST, /* was up and broke */
};

enum mesh_event_kind {
    MESH_TICK, /* the deadline has come, or any time */

    MESH_DATAGRAM,    /* addr, peer, boot, bytes: opened and not a replay */
    MESH_SEND_FAILED, /* addr: the system refused a datagram */
    MESH_FRAME,       /* peer, bytes */
    MESH_LINK_DOWN,   /* peer, link_end */
    MESH_PROBED,      /* token, is_ok: `peer` itself answers there; else refused. In vain, or
                         another node answers: say nothing. (Who only sees that something listens
                         would keep a member alive whose address a stranger has now) */
    MESH_UNREACHABLE, /* addr: the kernel says that nothing listens there */
    MESH_JOIN,        /* addr: where others may be; from --join, DNS or the operator */

    MESH_APPENDED, /* token, is_ok, changed */
    MESH_FETCHED,  /* token, is_ok */
    MESH_GEN_PERSISTED,

    MESH_SUBMIT, /* eval, delta: the request; its blobs are durable here. With a key (req->key):
                    token; another node may have it, or become its owner */
    MESH_CANCEL, /* eval, token */
    MESH_ASK,    /* eval, token: the newest that can be had of a document */

    MESH_CLONED,         /* work, delta: one source (or its failure), its bundle durable here */
    MESH_CLONE_PROGRESS, /* work, clone: how far it is; whenever it changes, but not too often */

    MESH_WANTS_SLOT, /* work: a chore that can go on when it gets a slot */
    MESH_FREED,      /* work: its slot is free, its end will come */
    MESH_ENDED,      /* work, end, blame, took_ms, delta: the record of a module or the plan of a
                        chore, to be appended; NULL if there is none to keep. With WORK_UNPREPARED
                        and blame cluster: the plan that tells why, if no node does better */
    MESH_PROGRESS,   /* work, tally */
    MESH_UNREADY,    /* eval, work.p: what a chore had made ready is gone */

    MESH_DRAIN, /* takes no new work; hands over what it owns */
    MESH_LEAVE, /* after MESH_DRAIN has come to its end, or instead */
};

/* How far the clone of a repository is. */
enum mesh_clone_phase {
    MESH_CLONE_WAITING, /* for its turn, or to try again */
    MESH_CLONE_CONNECTING,
    MESH_CLONE_RECEIVING,
    MESH_CLONE_INDEXING, /* and being packed */
    MESH_CLONE_PHASES
};

struct mesh_clone {
    uint32_t p;
    enum mesh_clone_phase phase;
    uint64_t bytes;   /* received */
    uint32_t objects; /* received */
    uint32_t tries;   /* begun, from 1; 0: none yet */
};

struct mesh_event {
    enum mesh_event_kind kind;
    uint64_t now_ms;  /* monotonic */
    uint64_t wall_ms; /* for what people read, and what a seal carries; decides nothing */
    struct wire_addr addr;
    uint64_t peer;
    uint64_t boot;
    uint64_t token;
    uint64_t eval;
    const void *bytes; /* borrowed during the step, as all below */
    size_t len;
    const struct delta *delta;
    bool is_ok;
    enum err_code code; /* of an append that failed */
    enum mesh_link_end link_end;
    unsigned changed; /* enum doc_change */
    struct work work;
    enum work_end end;
    enum work_blame blame;
    uint32_t took_ms;
    struct doc_tally tally;
    struct mesh_clone clone;
};

enum mesh_effect_kind {
    MESH_SEND_DATAGRAM, /* addr, bytes: to be sealed */
    MESH_SEND_FRAME,    /* peer, addr, bytes: over its link, opened when there is none */
    MESH_PROBE,         /* token, addr, peer: a link to it, or one that is up */

    MESH_APPEND,      /* token, delta: borrowed until its MESH_APPENDED was given */
    MESH_FETCH,       /* token, blobs, sources: all of these blobs, from any of these peers. One of
                         them may be `secret`: to be kept as such (node/eval/secret.h) */
    MESH_PERSIST_GEN, /* gen */

    MESH_ACCEPTED,  /* eval, token, replicas: durable on so many; now say 202 */
    MESH_REFUSED,   /* eval, token, reason, retry_s */
    MESH_CANCELLED, /* token, is_ok: the wish is durable */
    MESH_ANSWER,    /* token, is_ok: docs.find() has what could be had; stale_ms */

    MESH_CLONE,         /* work: get the repository of project work.p; doc_project()'s source says
                           which, with its commit where an earlier owner had found it */
    MESH_CLONE_STOP,    /* work: it is not wanted; all of work.eval when work.p is WORK_CHORE */
    MESH_FORGET_SECRET, /* eval, secret: this node needs it no more (if statuses are to be told: not
                           after the last of them). A secret that no open document names when the
                           node starts, or that was meant for a submission that is REFUSED and that
                           no document names, is nobody's: its host forgets it unasked */

    MESH_PREPARE,   /* work: begin a chore; its bundles are here */
    MESH_GIVE_SLOT, /* work, slot: a chore may go on */
    MESH_START,     /* work, slot: begin a module */
    MESH_STOP,      /* work: its result is not wanted */
    MESH_DROP,      /* eval: nothing of it will be started here any more */

    MESH_RUNNING, /* eval: what runs of it has changed (mesh_running()); for who watches */
    MESH_FINAL,   /* eval: its result stands */
    MESH_WHOLE,   /* this store has all that any member has */
    MESH_MEMBER,  /* peer, what: for logs and for remembering addresses */
    MESH_DRAINED, /* nothing runs here, nothing is owned here */
    MESH_GONE,    /* the leave has been told: the process may end */
    MESH_EXIT,    /* reason: go at once, and do not come back without a person */
};

struct mesh_effect {
    enum mesh_effect_kind kind;
    struct wire_addr addr;
    uint64_t peer;
    uint64_t token;
    uint64_t eval;
    const void *bytes; /* borrowed until the next step, as all below */
    size_t len;
    const struct delta *delta;
    const struct hash *blobs;
    size_t blob_count;
    const struct hash *secret; /* FETCH: one of the blobs; NULL: none of them */
    const uint64_t *sources;
    size_t source_count;
    uint64_t gen;
    uint64_t stale_ms;
    unsigned replicas;
    const char *reason; /* a name from the table of problems */
    uint32_t retry_s;
    bool is_ok;
    struct work work;
    unsigned slot;
    struct doc_tally tally;
    enum swim_what what;
};

/* The list that a step fills; owns what its effects borrow. */
struct mesh_out {
    struct mesh_effect *effects;
    size_t count;
    size_t capacity;
    struct arena *arena;
};

void mesh_out_fini(struct mesh_out *self);

/* Takes one event and replaces `out` by what is to be done now. Effects may borrow from the event,
 * too: what it borrows must live until they are done. */
void mesh_step(struct mesh *self, const struct mesh_event *event, struct mesh_out *out);

/* When it wants MESH_TICK next, in ms of now_ms; UINT64_MAX: not before another event. */
uint64_t mesh_deadline(const struct mesh *self);

/* Borrowed until the next step: who is there, for /network and /nodes. */
const struct swim *mesh_members(const struct mesh *self);

/* How an evaluation stands, for one that was submitted again. */
enum mesh_standing {
    MESH_UNKNOWN,
    MESH_UNSURE,       /* there is a document; whether it was acknowledged is not known here */
    MESH_ACKNOWLEDGED, /* it will come to its end */
    MESH_WITHDRAWN,    /* cancelled before anything of it ran: the id is burnt */
};

/* `replicas`: so many have it at least, if it was acknowledged. */
enum mesh_standing mesh_standing(const struct mesh *self, uint64_t eval, unsigned *replicas);

/* Which modules of an evaluation run where, as far as this node knows: owned array (free). For one
 * that another node leads: as that told with its last answer to MESH_ASK. */
struct mesh_running {
    struct work work;
    uint64_t peer;
    uint64_t since_ms; /* of now_ms */
    struct doc_tally tally;
};
size_t mesh_running(const struct mesh *self, uint64_t eval, struct mesh_running **out_owned);

/* Which repositories of an evaluation are being cloned, and how far that is; known as
 * mesh_running() is. Owned array (free). */
size_t mesh_cloning(const struct mesh *self, uint64_t eval, struct mesh_clone **out_owned);

/* Says whether somebody gets a project of an evaluation ready; known as mesh_running() is. */
bool mesh_is_preparing(const struct mesh *self, uint64_t eval);

/* How busy this node is, as owner and as executor. */
struct mesh_load {
    unsigned slots;
    size_t running;      /* here */
    size_t waiting;      /* of evaluations that this node owns, ready to be assigned */
    uint64_t waiting_ms; /* predicted */
    size_t preparing;    /* here */
    size_t owned;        /* evaluations */
};
struct mesh_load mesh_load(const struct mesh *self);

/* What was not understood or refused, by reason, since the start. */
struct mesh_counters {
    uint64_t bad_frames;
    uint64_t unknown_messages;
    uint64_t refused_deltas;
    uint64_t clones;      /* of repositories, begun */
    uint64_t clone_stops; /* of them, not wanted any more */
    uint64_t bundles;     /* fetched, to keep or to lead on from */
    uint64_t secrets;     /* forgotten */
    uint64_t other_trees; /* work that was about another commit than counts now */
};
struct mesh_counters mesh_counters(const struct mesh *self);

/* Calls `fn` for each counter of each machine ("swim", "own", …); those of one machine together. */
typedef void mesh_counter_fn(void *arg, const char *part, const char *name, uint64_t value);
void mesh_each_counter(const struct mesh *self, mesh_counter_fn *fn, void *arg);

#endif
