/* agent_inner: what the parts of agent share. agent.c: events; agent_ends.c: ends; agent_claim.c:
 * what it asks for, and what starts; agent_send.c: what it tells; agent_items.c: what it keeps. */
#ifndef LOADBALANCE_AGENT_INNER_H
#define LOADBALANCE_AGENT_INNER_H

#include "loadbalance/agent.h"
#include "proto/base/rand.h"

#define AGENT_NO_SLOT  UINT32_MAX
#define AGENT_CHORE_MS 1000 /* between claims for chores alone */
#define AGENT_LOST_MS  5000 /* between results to an owner that seems to be gone */
#define AGENT_CLAIM_STEP                                                                           \
    100                        /* a claim that gets no answer waits that much longer the next time \
                                */
#define AGENT_ITEMS_MAX   4096 /* that a beat can name */
#define AGENT_CLAIM_SLOTS 255  /* that a claim can name */
#define AGENT_ROUND_TRIPS 20

/* An attempt that is here. */
struct agent_entry {
    struct work work;
    struct agent_eval *eval;
    enum work_phase phase;
    uint32_t estimate_ms;
    uint64_t since_ms;   /* came */
    uint64_t started_ms; /* 0: not yet */
    uint32_t slot;
    bool wants_slot; /* a chore */
    bool is_stopped;
    bool has_result;
    enum work_end end;
    enum work_blame blame;
    uint32_t took_ms;
    uint64_t send_ms;                    /* its result, next */
    struct agent_entry *next, *previous; /* in the list of its phase */
};

struct agent_list {
    struct agent_entry *first, *last;
    size_t count;
};

struct agent_eval {
    uint64_t id; /* first: see byid.h */
    uint64_t serial;
    struct work_ballot ballot; /* the highest known */
    uint32_t weight;
    uint32_t queued; /* as its owner said */
    bool has_offer;
    bool is_owner_lost;
    bool is_dropped;
    uint64_t served; /* predicted ms per weight, from the agent's `turn` when it came */
    size_t entries;
    uint32_t here;     /* modules that wait or run, and slots claimed */
    uint32_t claimed;  /* slots, of `here` */
    uint32_t chores;   /* in work or claimed */
    uint64_t claim_ms; /* not before */
    uint64_t chore_ms; /* no claim for chores alone before */
    uint32_t backoff_ms;
    uint32_t latency_ms; /* from claim to answer, EWMA */
    uint32_t wanted;     /* slots that the next claim is for */
    uint32_t wanted_chores;
    uint32_t *ready; /* ascending */
    size_t ready_count;
    size_t ready_capacity;
};

/* A claim that waits for its answer. */
struct agent_pending {
    uint64_t eval;
    uint64_t owner;
    uint32_t slots;
    uint32_t chores;
    uint64_t sent_ms;
    uint64_t until_ms;
};

struct agent {
    struct agent_config config;
    struct rand rand;
    struct agent_eval **evals; /* by id */
    size_t eval_count;
    size_t eval_capacity;
    struct agent_entry **entries; /* by (eval, p, m) */
    size_t entry_count;
    size_t entry_capacity;
    struct agent_list waiting; /* modules, oldest first */
    struct agent_list active;  /* modules in a slot or on their way to the disk, chores */
    struct agent_list ended;   /* with a result */
    struct agent_entry *slots[AGENT_SLOTS_MAX];
    uint32_t slot_count;
    uint32_t busy;
    uint32_t chores;  /* in work */
    uint32_t wanting; /* chores that wait for a slot */
    uint64_t waiting_ms;
    struct agent_pending *pending; /* oldest first */
    size_t pending_count;
    size_t pending_capacity;
    uint32_t claimed; /* slots, in `pending` */
    uint32_t claimed_chores;
    uint64_t serial;
    uint64_t turn;
    uint64_t beat_ms;   /* next; 0: nothing to say */
    uint64_t resend_ms; /* next; UINT64_MAX: nothing */
    uint64_t deadline_ms;
    bool is_draining;
    bool is_drained;
    struct agent_stats stats;
};

/* ---- agent.c -----------------------------------------------------------------------------------
 */

/* Brings the ballot up to date; false: it is of a deposed owner. */
bool agent_heed(struct agent *self, struct agent_eval *eval, struct work_ballot ballot,
                uint64_t now_ms, struct agent_out *out);

/* ---- agent_ends.c ------------------------------------------------------------------------------
 */

void agent_stop(struct agent *self, struct agent_entry *entry, uint64_t now_ms,
                struct agent_out *out);
void agent_on_cancel(struct agent *self, const struct agent_event *event, struct agent_out *out);
void agent_on_drop(struct agent *self, const struct agent_event *event, struct agent_out *out);
void agent_on_ended(struct agent *self, const struct agent_event *event, struct agent_out *out);
void agent_on_freed(struct agent *self, const struct agent_event *event);
void agent_on_wants_slot(struct agent *self, const struct agent_event *event);
void agent_on_acked(struct agent *self, const struct agent_event *event);

/* ---- agent_items.c -----------------------------------------------------------------------------
 */

struct agent_eval *agent_eval_find(const struct agent *self, uint64_t id);
struct agent_eval *agent_eval_get(struct agent *self, uint64_t id);
void agent_eval_forget(struct agent *self, struct agent_eval *eval);
void agent_eval_free(struct agent_eval *eval);
void agent_ready_set(struct agent_eval *eval, uint32_t p, bool is_ready);

struct agent_entry *agent_entry_find(const struct agent *self, const struct work *work);
struct agent_entry *agent_entry_add(struct agent *self, struct agent_eval *eval,
                                    const struct work *work, enum work_phase phase,
                                    uint64_t now_ms);
void agent_entry_move(struct agent *self, struct agent_entry *entry, enum work_phase phase);
void agent_entry_keep_result(struct agent *self, struct agent_entry *entry);
void agent_entry_remove(struct agent *self, struct agent_entry *entry);
void agent_slot_take(struct agent *self, struct agent_entry *entry);
void agent_slot_free(struct agent *self, struct agent_entry *entry);

/* ---- agent_claim.c -----------------------------------------------------------------------------
 */

/* Takes the oldest claim that an answer for `eval` may belong to out of `pending`. */
bool agent_answered(struct agent *self, struct agent_eval *eval, uint64_t now_ms,
                    struct agent_pending *answered);
void agent_forget_claims(struct agent *self, const struct agent_eval *eval);
void agent_time_out_claims(struct agent *self, uint64_t now_ms, struct agent_out *out);
void agent_start_what_fits(struct agent *self, uint64_t now_ms, struct agent_out *out);
void agent_claim_more(struct agent *self, uint64_t now_ms, struct agent_out *out);
uint64_t agent_claim_deadline(const struct agent *self);

/* ---- agent_send.c ------------------------------------------------------------------------------
 */

struct agent_effect *agent_emit(struct agent_out *out, enum agent_effect_kind kind,
                                const struct agent_eval *eval);
void agent_emit_entry(struct agent_out *out, const struct agent_entry *entry, uint64_t now_ms);
void agent_refuse(struct agent *self, const struct agent_eval *eval, uint64_t owner,
                  const struct work_item *item, enum work_refusal why, struct agent_out *out);
void agent_send_result(struct agent *self, struct agent_entry *entry, uint64_t now_ms,
                       struct agent_out *out);
void agent_resend(struct agent *self, uint64_t now_ms, struct agent_out *out);
void agent_beat(struct agent *self, uint64_t owner, uint64_t now_ms, struct agent_out *out);
void agent_beat_all(struct agent *self, uint64_t now_ms, struct agent_out *out);

#endif
