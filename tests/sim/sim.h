/* sim: a cluster of nodes in one thread, with a false clock, network, disk, runner and users.
 *
 * The nodes are real: each is a struct mesh, and every message is sealed, encoded and decoded as
 * between processes. The world around them is a heap of events in virtual time. Whatever is left to
 * chance comes from streams of numbers that the seed starts, one for each source of it; so a seed
 * is a whole history, and taking a fault away does not reshuffle the rest.
 *
 *   world.c   the heap, the run, the two phases (faults, then calm)     net.c     datagrams
 *   node.c    one node: boot, death, events in, effects out             links.c   streams
 *   disk.c    log, sync, torn tails, what readers see                   runner.c  modules, chores
 *   load.c    users who submit, poll, cancel                            cloner.c  repositories
 *   faults.c  what goes wrong                                           chart.c   --trace
 *   check.c   what must hold (docs/simulation.md has the list)
 *
 * (Swarm testing: Groce et al. 2012. The method is FoundationDB's and TigerBeetle's.) */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "node/mesh/mesh.h"
#include "node/store/doc.h"
#include "proto/base/buf.h"
#include "proto/base/rand.h"
#include "proto/wire/seal.h"

#include <stdio.h>

#define SIM_NODES_MAX 8
#define SIM_EVALS_MAX 128
#define SIM_MS        UINT64_C(1000) /* virtual time is in microseconds */
#define SIM_S         (1000 * SIM_MS)
#define SIM_NEVER     UINT64_MAX

enum sim_mode {
    SIM_CRASH,    /* processes die and come back */
    SIM_PART,     /* and the network is cut in two, or one way */
    SIM_PERM,     /* and some never come back */
    SIM_DISK,     /* and some come back without what they had */
    SIM_BLACKOUT, /* and all die at once */
    SIM_MODES
};

enum sim_git {
    SIM_GIT_SOME, /* in half of the seeds some evaluations are of repositories */
    SIM_GIT_NONE,
    SIM_GIT_ALL, /* in each */
};

const char *sim_mode_name(enum sim_mode mode);
bool sim_mode_parse(const char *name, enum sim_mode *out);

struct sim_options {
    uint64_t seed;
    enum sim_mode mode;
    enum sim_git git;
    unsigned nodes;             /* 0: drawn from 3 … 8 */
    enum own_mutation mutation; /* a rule that every node breaks */
    uint32_t swim_faults;       /* enum swim_fault, likewise */
    FILE *trace;                /* NULL: none */
    bool is_quiet;              /* violations are counted, not printed */
    bool is_scripted;           /* no users and no faults but those that a scenario makes */
};

struct sim;

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *self_owned);

/* Runs both phases. Returns how many violations there were; each was printed once. */
unsigned sim_run(struct sim *self);

/* Of everything that happened so far. */
uint64_t sim_hash(const struct sim *self);

/* ---- inside ---------------------------------------------------------------------------------- */

enum sim_kind {
    SIM_TICK,     /* node */
    SIM_DATAGRAM, /* node; a: its sender; b: was changed on the way; bytes: sealed */
    SIM_UNSENT,   /* node; a: whom it had meant */
    SIM_LINK,     /* node; a: peer; b: connection; c: enum link_news */
    SIM_PROBED,   /* node; a: token; b: connected; c: refused */
    SIM_SYNCED,   /* node: its disk has finished what it began */
    SIM_GEN,      /* node; a: generation */
    SIM_FETCHED,  /* node; a: token; b: ok; bytes: the hashes */
    SIM_LEAVE,    /* node; a: its work is handed over; else it waits for that no longer */
    SIM_PROGRESS, /* node; a: which piece of work */
    SIM_WORKED,   /* node; a: which piece of work has come to its end */
    SIM_CLONING,  /* node; a: which clone is half done */
    SIM_CLONED,   /* node; a: which clone has come to its end */
    SIM_BOOT,     /* node */
    SIM_BOOTED,   /* node: its generation is durable */
    SIM_USER,     /* a: enum user_act; b: evaluation */
    SIM_FAULT,    /* a: enum fault; b … */
    SIM_CALM,     /* the second phase begins */
    SIM_WATCH,    /* the second phase: is all well? */
    SIM_KINDS
};

struct sim_event {
    uint64_t at_us;
    uint64_t order; /* events of one time happen as they were made */
    enum sim_kind kind;
    uint32_t node;
    uint32_t life; /* of the node; 0: of any */
    uint64_t a, b, c;
    void *bytes; /* owned */
    size_t len;
};

struct sim_line { /* one append that is not durable */
    uint64_t token;
    char *bytes; /* owned: as in the log */
    size_t len;
};

struct sim_disk {
    struct rand rand;
    struct doc **docs; /* durable, in the order in which they came */
    size_t doc_count, doc_room;
    uint64_t buckets[DOCS_BUCKETS];
    struct sim_line *lines;
    size_t line_count, line_room;
    size_t syncing; /* of them, the first so many are on their way */
    bool has_failed;
    struct hash *blobs;
    size_t blob_count, blob_room;
};

/* What really runs on a node. */
struct sim_job {
    uint64_t ticket;
    struct work work;
    unsigned slot;
    enum sim_job_kind {
        SIM_JOB_PREPARE,  /* the part of a chore that needs no slot */
        SIM_JOB_WAITS,    /* for one */
        SIM_JOB_DISCOVER, /* the part that has one */
        SIM_JOB_MODULE,
        SIM_JOB_REFUSED, /* a module of a project that is not ready any more */
    } kind;
    bool has_slot;
    bool is_stopped;
    uint64_t began_us;
    uint64_t plan; /* hash that the module counts in */
    struct hash tree;
};

struct sim_ready { /* a project that a chore got ready */
    struct work work;
    struct hash tree;
};

struct sim_clone {
    uint64_t ticket;
    struct work work;
    unsigned commit;
};

struct sim_end { /* one side of a connection between two nodes */
    bool is_up;
    bool is_opening;
    uint64_t conn;
    struct sim_line *frames; /* token: when it was sent */
    size_t frame_count, frame_room;
    bool is_pumping;
    uint64_t peer_id; /* who was meant, or said so */
};

struct sim_clock {
    uint64_t boot_us;
    uint64_t base_ms; /* what the monotonic clock showed then */
    int64_t drift_ppm;
    int64_t wall_ms; /* offset */
};

struct sim_node {
    unsigned index;
    struct id_node nid;
    uint64_t id;
    char label[8];
    char address[24];
    struct wire_addr addr;
    bool is_up;
    bool is_booting;
    bool is_host_down; /* silent, where a dead process alone is refused */
    bool is_gone;      /* for ever */
    bool is_leaving;   /* in order, to come back */
    bool had_peers;    /* durable, as the next one is */
    uint64_t gen;
    uint32_t life;
    uint64_t up_since_us;
    uint64_t paused_until_us;
    uint64_t tick_us;
    unsigned slots, chores;
    struct sim_clock clock;
    struct rand rand;
    struct mesh *mesh; /* NULL while down */
    struct mesh_out out;
    struct seal *seal;
    struct docs docs;
    struct sim_disk disk;
    struct sim_job *jobs;
    size_t job_count, job_room;
    struct sim_ready *ready;
    size_t ready_count, ready_room;
    struct sim_clone *clones;
    size_t clone_count, clone_room;
    struct rand clone_rand;
    struct sim_end ends[SIM_NODES_MAX];
};

struct sim_path { /* one direction between two nodes */
    struct rand rand;
    bool is_cut;
    uint32_t loss_ppm, dup_ppm, flip_ppm;
    uint64_t delay_us, jitter_us;
    uint64_t clogged_until_us;
};

/* How strong what goes wrong is; drawn once a seed. */
struct sim_swarm {
    uint64_t fault_us; /* length of the first phase */
    uint32_t loss_ppm, dup_ppm, flip_ppm;
    uint64_t delay_us, jitter_us;
    uint64_t sync_us; /* typical */
    uint32_t slow_sync_ppm;
    unsigned crashes, leaves, cuts, pauses, clogs, breaks, disk_errors, clock_jumps;
    uint64_t cut_us; /* longest */
    bool has_git;
    bool has_killers, has_hangs, has_flaky, has_losses, has_unready, has_variants, has_dates;
    unsigned evals, cancels;
    uint32_t tempt_ppm; /* a node dies at the very moment that something of weight happens on it */
};

struct sim_question { /* that a node has been asked and must answer */
    uint64_t token;   /* 0: a submission */
    uint64_t eval;
    unsigned node;
    uint32_t life;
    uint64_t asked_us;
};
#define SIM_QUESTIONS_MAX 256

/* One evaluation as its user knows it. */
struct sim_eval {
    uint64_t id;
    bool is_probe; /* made in the calm: it must be taken */
    bool is_git;
    bool is_keyed;  /* sent again with its Idempotency-Key until somebody says 202 */
    unsigned tries; /* submissions */
    unsigned at;    /* where the last one went */
    uint32_t at_life;
    bool is_pending; /* no answer yet */
    bool is_acked;
    bool is_alone; /* its node knew no other when it was submitted */
    unsigned replicas;
    uint64_t holders[SIM_NODES_MAX +
                     DOC_REPS_MAX]; /* ids of nodes that had it when it was acknowledged */
    size_t holder_count;
    bool cancel_wanted, cancel_acked;
    bool is_done_seen; /* some node showed it as final: */
    uint64_t vector;   /* this one */
    bool is_degraded;  /* committed without a majority, as the hatch allows */
    uint64_t fence_us; /* when its newest fence was first durable anywhere */
    struct doc_ballot fence;
    struct doc_req req; /* owned, by `arena` */
    struct arena *arena;
    uint32_t losses; /* runs of its modules that left no record */
};

struct sim_filter; /* a scenario's hand in the network (scenario.h) */

struct sim {
    struct sim_options options;
    struct sim_swarm swarm;
    struct rand rand, user_rand, fault_rand, git_rand;
    uint64_t now_us;
    uint64_t order;
    uint64_t hash;
    uint64_t events;
    struct sim_event *heap;
    size_t heap_count, heap_room;
    unsigned node_count;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_path paths[SIM_NODES_MAX][SIM_NODES_MAX];
    struct sim_eval evals[SIM_EVALS_MAX];
    size_t eval_count;
    struct sim_question questions[SIM_QUESTIONS_MAX];
    size_t question_count;
    uint64_t next_conn, next_ticket, next_token, next_eval;
    bool is_calm;
    uint64_t calm_us;
    uint64_t disturbed_us; /* a node came or went, or the calm began */
    bool is_over;
    unsigned disks_lost, gone;
    unsigned violations;
    const char *first_violation; /* its id */
    uint64_t check_idle_us;      /* somebody was busy, or nothing waited */
    bool is_members_late;
    struct keys keys;
    struct check *check;
    const struct sim_filter *filter;
    unsigned commit; /* of all repositories, in a scenario */
};

/* world.c */
void sim_push(struct sim *self, const struct sim_event *event_owned);
void sim_mix(struct sim *self, uint64_t value);
void sim_mix_bytes(struct sim *self, const void *bytes, size_t len);
bool sim_step(struct sim *self); /* one event; false: none is left or the run is over */
uint64_t sim_draw(struct rand *rand, uint64_t low, uint64_t high); /* both included */
bool sim_chance(struct rand *rand, uint32_t ppm);
uint64_t sim_hash3(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);

/* node.c */
void node_leave(struct sim *self, unsigned index); /* gives away what it has, and goes */
void node_init(struct sim *self, unsigned index);
void node_fini(struct sim_node *node);
void node_boot(struct sim *self, unsigned index); /* a new process; harmless when it is up */
enum node_death {
    NODE_KILLED, /* the process: what it wrote is safe, others see the end of its streams */
    NODE_POWER,  /* the host: what was not synced is lost or torn, and nobody is told */
    NODE_LEFT,   /* the process, in order: others hear a goodbye */
};
void node_crash(struct sim *self, unsigned index, enum node_death how);
void node_lose_disk(struct sim *self, unsigned index); /* while it is down: it will be a stranger */
void node_event(struct sim *self, const struct sim_event *event);
void node_step(struct sim *self, struct sim_node *node, struct mesh_event *event);
uint64_t node_mono_ms(const struct sim *self, const struct sim_node *node);
uint64_t node_wall_ms(const struct sim *self, const struct sim_node *node);
struct sim_node *node_by_id(struct sim *self, uint64_t id); /* up or down; NULL: nobody any more */
struct sim_node *node_by_addr(struct sim *self, const struct wire_addr *addr);

/* net.c, links.c */
void net_init(struct sim *self);
void net_calm(struct sim *self);
uint64_t net_delay_us(struct sim *self, unsigned from, unsigned to);
void net_send_for(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void net_event(struct sim *self, const struct sim_event *event);
void net_probe_for(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
enum links_break { LINK_BYE, LINK_RESET };
void links_send(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void links_event(struct sim *self, const struct sim_event *event);
void links_break(struct sim *self, unsigned a, unsigned b, enum links_break how);
void links_node_down(struct sim *self, struct sim_node *node, enum node_death how);

/* disk.c */
void disk_init(struct sim *self, struct sim_node *node);
void disk_fini(struct sim_disk *disk);
struct docs disk_docs(struct sim_node *node);
void disk_append(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void disk_synced(struct sim *self, struct sim_node *node);
void disk_crash(struct sim *self, struct sim_node *node, bool is_power);
void disk_fail(struct sim *self, struct sim_node *node);
uint64_t disk_sync_us(struct sim *self, struct sim_node *node);
struct doc *disk_find(const struct sim_disk *disk, uint64_t eval); /* NULL: none */
bool disk_has_blob(const struct sim_disk *disk, const struct hash *hash);
void disk_add_blob(struct sim_disk *disk, const struct hash *hash);
void disk_remove_blob(struct sim_disk *disk, const struct hash *hash);
void disk_fetch(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void disk_fetched(struct sim *self, struct sim_node *node, const struct sim_event *event);

/* runner.c */
void runner_prepare(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void runner_give_slot(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void runner_start(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void runner_stop(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void runner_event(struct sim *self, struct sim_node *node, const struct sim_event *event);
void runner_crash(struct sim *self, struct sim_node *node);

/* cloner.c: repositories, and secrets */
void cloner_start(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void cloner_stop(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void cloner_event(struct sim *self, struct sim_node *node, const struct sim_event *event);
void cloner_crash(struct sim_node *node);
void cloner_forget(struct sim *self, struct sim_node *node, const struct hash *secret);
void cloner_sweep(struct sim *self, struct sim_node *node);
void cloner_check(struct sim *self, struct sim_node *node);
void cloner_check_source(struct sim *self, const struct sim_node *node, uint64_t eval,
                         const struct doc_source *source);
bool cloner_is_there(const struct sim *self, uint64_t eval, uint32_t p); /* else it fails */
struct hash cloner_tree(const struct sim *self, uint64_t eval, uint32_t p, unsigned commit);

/* load.c */
void load_init(struct sim *self);
void load_fini(struct sim *self);
void load_event(struct sim *self, const struct sim_event *event);
void load_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void load_check_answers(struct sim *self);
struct sim_eval *load_find(struct sim *self, uint64_t eval);
struct sim_eval *load_make(struct sim *self, unsigned projects);
struct sim_eval *load_make_git(struct sim *self, unsigned projects);
void load_cancel(struct sim *self, struct sim_eval *eval);
void load_submit(struct sim *self, struct sim_eval *eval, unsigned at);

/* faults.c */
void faults_draw(struct sim *self);
void faults_plan(struct sim *self);
void faults_event(struct sim *self, const struct sim_event *event);
void faults_heal(struct sim *self);                               /* all cuts */
void faults_tempt(struct sim *self, const struct sim_node *node); /* to strike there and now */
void faults_cut(struct sim *self, unsigned a, unsigned b, bool both);

/* check.c */
struct check *check_new(void);
void check_free(struct check *self_owned);
void check_violation(struct sim *self, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void check_forget(struct sim *self, struct sim_node *node); /* it is another one now */
/* Is another member known that has not left? */
bool check_knows_others(const struct sim_node *node);
void check_booted(struct sim *self, struct sim_node *node);
void check_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect);
void check_joined(struct sim *self, struct sim_node *node, const struct doc *doc, unsigned changed);
void check_read(struct sim *self, struct sim_node *node, uint64_t eval);
void check_ran(struct sim *self, uint64_t eval, const struct doc_rec *rec);
void check_lost(struct sim *self, uint64_t eval, uint32_t p, uint32_t m);
/* How often a module was begun. */
unsigned check_runs(struct sim *self, const struct work *work);
/* It may hold the secret of `eval` from now on; and: it has one. */
void check_may_hold(struct sim *self, uint64_t node, uint64_t eval);
void check_holds(struct sim *self, const struct sim_node *node, const struct hash *blob);
void check_started(struct sim *self, struct sim_node *node, const struct sim_job *job);
/* In the second phase: says whether all that must come true in time has. */
bool check_is_settled(struct sim *self, const char **id, struct buf *why);
void check_end(struct sim *self);

/* chart.c */
void chart_print(const struct sim *self, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void chart_frame(const struct sim *self, unsigned from, unsigned to, const char *how,
                 const void *bytes, size_t len);
void chart_packet(const struct sim *self, unsigned from, unsigned to, const char *how,
                  const void *bytes, size_t len);
#define SIM_CHART(self, ...)                                                                       \
    do {                                                                                           \
        if ((self)->options.trace)                                                                 \
            chart_print(self, __VA_ARGS__);                                                        \
    } while (0)

/* some.c: things that must happen now and then; a run of many seeds in which one of them never did
 * has tested less than it seems. */
enum sim_some {
#define X(name, text) SOME_##name,
#include "tests/sim/some.def"
#undef X
    SOME_COUNT
};
void some_count(enum sim_some what);
uint64_t some_get(enum sim_some what);
void some_print(FILE *to);
#define SOMETIMES(name) some_count(SOME_##name)

#endif
