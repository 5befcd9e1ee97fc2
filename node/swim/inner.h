/* The parts of the membership machine, for its own files. One file a concern: table.c (members and
 * their states), suspicion.c, merge.c (what records and rumors do to the table), probe.c, rumor.c
 * (who is told what, and packing), exchange.c (exchange of tables), join.c (joining, healing,
 * leaving), news.c (WORK, FENCE, LOAD), packet.c (what comes in), swim.c (time and events). */
#ifndef NODE_SWIM_INNER_H
#define NODE_SWIM_INNER_H

#include "node/swim/swim.h"
#include "proto/base/rand.h"

#define NEVER UINT64_MAX

#define ACCUSERS_MAX 4 /* the first and the confirmations that count */
#define RUMOR_LEVELS 32
#define PROBES_MAX   256
#define GHOSTS_MAX   256
#define FLAPS_MAX    3 /* 2^3: the most that a suspicion is stretched */

/* ---- rumors ---------------------------------------------------------------------------------- */

enum rumor_kind { RUMOR_MEMBER, RUMOR_ACCUSATION, RUMOR_NEWS };

/* Something to be told `limit` times. It is part of what it is about, and is made into a message
 * only when it is packed: so it always tells the latest. */
struct rumor {
    struct rumor *next;
    struct rumor *prev;
    uint8_t kind;
    uint8_t sent;
    bool is_queued;
    uint32_t burst; /* the last one it was part of: once is enough for each peer */
};

/* Queued rumors by how often they were told; each list has the latest first. */
struct rumors {
    struct rumor levels[RUMOR_LEVELS]; /* heads of rings */
    size_t count;
};

struct accuser {
    struct rumor rumor;
    struct member *subject;
    uint64_t from;
};

struct news {
    struct rumor rumor;
    struct wire_msg msg; /* WORK or FENCE: owns nothing */
    uint64_t heard_ms;
};

/* ---- members --------------------------------------------------------------------------------- */

struct suspicion {
    uint64_t start_ms;
    uint64_t min_ms;
    uint64_t max_ms;
    uint32_t confirmations; /* that take it down to the least */
    uint32_t refusals;      /* of our own probes */
    size_t accuser_count;
    struct accuser accusers[ACCUSERS_MAX];
};

struct member {
    struct wire_member record; /* its texts are in `texts` */
    uint64_t node;
    char *texts; /* owned */
    struct rumor rumor;
    struct suspicion *suspicion; /* owned; while SUSPECT */
    struct wire_load *load;      /* owned; NULL: never heard */
    uint64_t load_ms;            /* when its value came */
    uint64_t since_ms;
    uint64_t heard_ms;
    uint64_t buddy_ms; /* when we last told it what is said of it, or asked who it is */
    uint64_t flap_ms[FLAPS_MAX];
    uint64_t shash_since_ms; /* 0: same as ours */
    uint64_t shash_told_ms;
    uint64_t accused_by; /* of DEAD */
    uint32_t rtt8;       /* smoothed round trip in 1/8 ms, + 1; 0 unknown */
    uint32_t hash;       /* its part of mhash */
    uint8_t why;         /* of DEAD */
    uint8_t load_sent;
    bool agrees;
    bool is_bare; /* (gen, ver) came with an accusation: attributes are of an older one */
};

/* An address where somebody might be who is no member: a failed candidate, a death heard of. */
struct ghost {
    uint64_t node;
    struct wire_addr addr;
    uint64_t until_ms;
};

/* ---- probes ---------------------------------------------------------------------------------- */

enum probe_kind {
    PROBE_CYCLE,     /* the member whose turn it is */
    PROBE_EAGER,     /* a member that somebody accuses, or whose stream broke */
    PROBE_CANDIDATE, /* somebody heard of, before he is added */
    PROBE_CONTACT,   /* an address to join through, or one of the dead */
    PROBE_RELAY,     /* in place of another member */
};

enum probe_stage { STAGE_WAITING, STAGE_DIRECT, STAGE_INDIRECT };

struct probe {
    uint64_t node; /* 0: whoever is there */
    uint64_t gen;
    struct wire_addr addr;
    struct wire_addr asker; /* RELAY */
    uint64_t sent_ms;
    uint64_t next_ms; /* of the next stage */
    uint64_t end_ms;
    uint32_t seq;
    uint32_t asker_seq;
    uint8_t kind;
    uint8_t stage;
    uint8_t tries;
    uint8_t relays;
    uint8_t nacks;
    bool connects_first; /* a stream is tried with the ping, not after it */
};

struct bootstrap {
    struct wire_addr addr;
    uint64_t node; /* who answered there last; 0 unknown */
    bool is_self;
};

/* ---- the machine ----------------------------------------------------------------------------- */

struct frame { /* what a SWIM_SEND_FRAME borrows */
    struct wire_msg msg;
    void *list_owned;
    void *other_owned;
};

struct swim {
    struct swim_timing timing;
    struct rand rand;
    uint64_t boot;
    uint32_t faults;
    uint32_t shash;
    uint64_t now_ms;
    uint64_t deadline_ms;
    struct swim_stats stats;

    struct member **members; /* by node */
    size_t member_count;
    size_t member_capacity;
    uint64_t *nodes; /* of `members`, side by side: looked up all the time */
    size_t node_capacity;
    struct member *me;
    uint32_t mhash;
    uint64_t *alive; /* ALIVE and SUSPECT by node; right when not is_alive_stale */
    size_t alive_capacity;
    size_t alive_count; /* always right */
    bool is_alive_stale;
    size_t suspect_count;
    uint64_t suspect_next_ms;
    bool is_suspect_stale;
    struct ghost ghosts[GHOSTS_MAX];
    size_t ghost_count;

    struct probe probes[PROBES_MAX];
    size_t probe_count;
    uint32_t seq;
    uint64_t *order; /* of the probe cycle */
    size_t order_count;
    size_t order_capacity;
    size_t order_at;
    uint64_t cycle_ms; /* of the next probe */
    uint32_t health;
    uint64_t accuse_after_ms;

    struct rumors rumors;
    uint64_t gossip_ms;
    uint32_t burst; /* packets to one peer in one round have one number; 0 outside of rounds */
    uint32_t bursts;

    struct news **news; /* by (eid, kind) */
    size_t news_count;
    size_t news_capacity;
    bool has_load;
    uint64_t load_ms; /* of the last change of our own */
    uint64_t busy_ms; /* when somebody was last heard to have work that waits */

    uint64_t mismatch_ms;       /* since when digests differ and our table stood still; 0: they do
                                   not */
    uint64_t mismatch_first_ms; /* the same, whatever our table did */
    uint64_t mismatch_last_ms;
    uint64_t sync_last_ms; /* when we last began one */
    uint64_t sync_node;    /* with whom to begin one as soon as allowed; 0 nobody */

    struct bootstrap bootstraps[SWIM_ADDRESSES_MAX];
    size_t bootstrap_count;
    size_t bootstrap_at;
    uint64_t join_ms; /* of the next attempt; NEVER unless alone with addresses */
    uint32_t join_wait_ms;
    uint64_t heal_ms;
    uint64_t expire_ms;
    uint64_t leave_end_ms; /* NEVER unless leaving */
    uint64_t pending_gen;  /* asked to be on disk; 0 none */
    uint64_t copy_told_ms;
    bool has_begun; /* nobody can be late for the first step */
    bool is_over;

    struct swim_out *out;
    struct swim_effect *changes; /* SWIM_MEMBER effects of this step */
    size_t change_count;
    size_t change_capacity;
    struct wire_packet *packets; /* bodies of this step's effects */
    size_t packet_count;
    size_t packet_capacity;
    struct frame **frames;
    size_t frame_count;
    size_t frame_capacity;
};

static inline bool swim_leaving(const struct swim *self) { return self->leave_end_ms != NEVER; }

/* ---- swim.c ---------------------------------------------------------------------------------- */

/* Appends an effect, zeroed but for its kind; valid until the next one. */
struct swim_effect *swim_effect_add(struct swim *self, enum swim_effect_kind kind);
void swim_change(struct swim *self, uint64_t node, enum swim_what what);
void swim_end(struct swim *self, enum swim_exit why, const struct wire_addr *addr);

/* Sends a frame made of lists that it now owns. Returns the message to be filled in. */
struct wire_msg *swim_frame(struct swim *self, const struct member *to, void *list_owned,
                            void *other_owned);

/* Local health by `delta`, inside 0 … health_max. */
void swim_feel(struct swim *self, int delta);

/* ---- table.c --------------------------------------------------------------------------------- */

/* Where `node` is in `members`, or where it would go. */
size_t table_place(const struct swim *self, uint64_t node);

struct member *table_find(const struct swim *self, uint64_t node);

/* Adds a member in the state of the record. NULL when the table is full. */
struct member *table_add(struct swim *self, const struct wire_member *record);
void table_remove(struct swim *self, struct member *member);
void table_free(struct swim *self);

/* Changes attributes (texts copied); not node, gen, ver, st. True when any was another. */
bool table_set_attributes(struct member *member, const struct wire_member *record);

/* Changes incarnation and state, and all that follows from them: digest, counts, suspicion (freed
 * unless `st` is SUSPECT). */
void table_set(struct swim *self, struct member *member, uint64_t gen, uint32_t ver,
               enum wire_state st);

/* As swim_alive(), always right. */
const uint64_t *table_alive(struct swim *self);

/* Picks up to `want` different members that are alive, neither self nor `but`. */
size_t table_pick(struct swim *self, size_t want, uint64_t but, struct member **out);

/* Forgets who has been DEAD or LEFT long enough. */
void table_expire(struct swim *self);

static inline bool member_is_up(const struct member *member)
{
    return member->record.st == WIRE_STATE_ALIVE || member->record.st == WIRE_STATE_SUSPECT;
}

/* Order of (gen, ver) against the member's. */
int member_compare(const struct member *member, uint64_t gen, uint32_t ver);

/* ---- suspicion.c ----------------------------------------------------------------------------- */

/* ALIVE -> SUSPECT, as `from` says; or one more accuser of a suspect. */
void suspicion_accuse(struct swim *self, struct member *member, uint64_t from);
void suspicion_refused(struct swim *self, struct member *member); /* a probe of ours was */
void suspicion_free(struct swim *self, struct member *member);
void suspicion_bury(struct swim *self, struct member *member, uint64_t from, uint8_t why);
void suspicion_tick(struct swim *self);
uint64_t suspicion_next(struct swim *self);
uint64_t suspicion_deadline(const struct swim *self, const struct member *member);
void suspicion_note_flap(struct swim *self, struct member *member);

/* ---- merge.c --------------------------------------------------------------------------------- */

enum source {
    SOURCE_RUMOR,  /* passed on by somebody */
    SOURCE_DIRECT, /* of the member itself, in its own packet */
    SOURCE_TABLE,  /* from an exchange of tables */
    SOURCE_FIRST,  /* the same, when we knew nobody who has not been told */
};

void merge_alive(struct swim *self, const struct wire_member *record, enum source source);
void merge_suspect(struct swim *self, const struct wire_rumor *rumor);
void merge_dead(struct swim *self, const struct wire_rumor *rumor, enum source source);
void merge_left(struct swim *self, const struct wire_rumor *rumor);
void merge_record(struct swim *self, const struct wire_member *record, uint64_t from,
                  enum source source);

/* A new (gen, ver) of our own: another generation must be on disk first. */
void merge_bump(struct swim *self);
void merge_gen_persisted(struct swim *self, uint64_t gen);

/* ---- probe.c --------------------------------------------------------------------------------- */

void probe_cycle(struct swim *self); /* begins the next one's */
void probe_order_add(struct swim *self, uint64_t node);
void probe_eager(struct swim *self, struct member *member, uint32_t delay_ms, bool connects_first);
void probe_candidate(struct swim *self, uint64_t node, const struct wire_addr *addr);
void probe_contact(struct swim *self, uint64_t node, const struct wire_addr *addr);
void probe_relay(struct swim *self, const struct wire_preq *preq, const struct wire_addr *asker);
void probe_ack(struct swim *self, uint32_t seq, uint64_t from);
void probe_nack(struct swim *self, uint32_t seq);
void probe_connected(struct swim *self, uint32_t seq);
void probe_refused(struct swim *self, uint32_t seq);
void probe_unreachable(struct swim *self, const struct wire_addr *addr);
void probe_tick(struct swim *self);
uint64_t probe_next(const struct swim *self);

/* Tells a member what is said of it, and asks who it is; not too often. */
void probe_buddy(struct swim *self, struct member *member);

/* The probe in flight with that number, or NULL. */
struct probe *probe_find(struct swim *self, uint32_t seq);

/* ---- rumor.c --------------------------------------------------------------------------------- */

void rumor_init(struct swim *self);
void rumor_queue(struct swim *self, struct rumor *rumor); /* anew, if it was queued */
void rumor_drop(struct swim *self, struct rumor *rumor);
uint8_t rumor_limit(const struct swim *self);

/* Sends a packet: `first` messages, what is said of the addressee (NULL: unknown), rumors, loads.
 * With nothing first, and nothing to tell, nothing is sent, and false is returned. */
bool rumor_send(struct swim *self, const struct wire_addr *addr, const struct member *to,
                const struct wire_msg *first, size_t first_count);
void rumor_gossip(struct swim *self);

/* ---- exchange.c
 * ---------------------------------------------------------------------------------- */

void exchange_note(struct swim *self, struct member *member, uint32_t mhash); /* of its packet */
void exchange_table_changed(struct swim *self);
void exchange_want(struct swim *self, uint64_t node); /* as soon as it is allowed */
void exchange_tick(struct swim *self);
uint64_t exchange_next(const struct swim *self);
void exchange_frame(struct swim *self, uint64_t from, const struct wire_msg *msg);

/* ---- join.c ---------------------------------------------------------------------------------- */

void join_address(struct swim *self, const struct wire_addr *addr);
void join_is_self(struct swim *self, const struct wire_addr *addr);
void join_answered(struct swim *self, const struct wire_addr *addr, uint64_t node);
void join_tick(struct swim *self);
void join_alone(struct swim *self); /* perhaps: looks whether it is */
void join_leave(struct swim *self);
uint64_t join_next(const struct swim *self);
void join_ghost_add(struct swim *self, uint64_t node, const struct wire_addr *addr);
void join_ghost_drop(struct swim *self, uint64_t node);

/* ---- news.c ---------------------------------------------------------------------------------- */

/* Keeps and passes on what is new. Returns it as kept (borrowed for the step), NULL when it was
 * not.
 */
const struct wire_msg *news_hear(struct swim *self, const struct wire_msg *msg);
void news_free(struct swim *self);
void news_load_self(struct swim *self, const struct wire_load *load);
void news_load(struct swim *self, const struct wire_load *load);
void news_pack_loads(struct swim *self, struct wire_packet *packet, const struct member *to);
bool news_busy(const struct swim *self);

/* ---- packet.c -------------------------------------------------------------------------------- */

void packet_hear(struct swim *self, const struct swim_event *event);

#endif
