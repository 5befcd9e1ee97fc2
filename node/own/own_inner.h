/* own_inner: what the files of own share.
 *
 * evals.c the table, and look(), which decides what is next; peers.c who is there; accept.c a
 * submission until its acknowledgement; lead.c rounds of PUT, leading, stepping down; claim.c when
 * and how an ownerless evaluation is taken; seal.c the result; acceptor.c the other side of PUT and
 * READ; reads.c documents asked of others; ask.c questions and wishes of this node's people. */
#ifndef NODE_OWN_OWN_INNER_H
#define NODE_OWN_OWN_INNER_H

#include "node/own/hold.h"
#include "node/own/own.h"
#include "proto/base/rand.h"

#define NEVER         UINT64_MAX
#define OWN_EPOCH_MAX (UINT32_MAX - 1)

/* ms */
#define BOOT_GRACE    3000 /* no claim so soon after the start: what others know comes first */
#define REPLACE_AFTER 2000 /* a replica that is silent so long is replaced, one at most */
#define REFUSE_AFTER  10000
#define SOLO_AFTER    30000
#define RESEND_FIRST  400
#define RESEND_MOST   4000
#define BYTES_PER_MS  2000 /* that a replica surely sends, reads and writes of a large PUT */
#define READ_WAIT     1000 /* without a piece; before a claim */
#define ASK_OWNER     500
#define ASK_ANYBODY   300
#define RANK_FIRST    200
#define RANK_STEP     1500
#define RESTART_WAIT  5000 /* an owner that came back takes its evaluations up itself */
#define OUTSIDE_WAIT  2000 /* nodes that are no replicas, after all replicas */
#define LOST_WAIT     3000 /* own fence, outbid by one that nobody leads */
#define HAND_OVER_MAX 5000

/* Over these the other side tries again. */
#define APPENDS_MAX 4096
#define FETCHES_MAX 256
#define READS_MAX   1024
#define ASKS_MAX    1024

struct peer {
    uint64_t id; /* first: see byid.h */
    struct id_node node;
    uint64_t gen;
    enum own_member_state state;
    bool is_refused;
    bool is_draining;
    bool is_synced; /* in our life and its generation */
};

/* A PUT to all replicas, until enough have answered. */
struct round {
    uint32_t rid; /* 0: none */
    enum wire_put_kind kind;
    uint32_t acked;   /* a bit a replica, by its place in the fence */
    uint32_t missing; /* replicas that said that they cannot */
    uint32_t seen;    /* replicas whose document was read after their promise (must_be_seen()) */
    uint64_t begun_ms;
    uint64_t next_ms; /* of sending again */
    uint32_t wait_ms;
};

enum stage {
    STAGE_IDLE,       /* somebody else leads, or nobody: claim_ms */
    STAGE_ACCEPTING,  /* a submission; PUT to the replicas */
    STAGE_READING,    /* before a claim */
    STAGE_MINTING,    /* the fence `mine` is being appended */
    STAGE_CLAIMING,   /* PUT of the fence */
    STAGE_ACTIVE,     /* leads */
    STAGE_SEALING,    /* the seal is being appended */
    STAGE_VOTING,     /* PUT of the seal */
    STAGE_COMMITTING, /* com is being appended */
    STAGE_HANDING,    /* PUT of a successor's fence */
    STAGE_DEAD,       /* its id belongs to another request: nothing more is said of it */
};

struct eval {
    uint64_t id; /* first: see byid.h */
    enum stage stage;
    struct doc_ballot mine;  /* the fence that this life tries or leads under */
    struct doc_ballot heard; /* the highest that was heard of without its document */
    struct round round;
    bool is_solo;     /* leads without a majority */
    bool is_told;     /* OWN_ACTIVE went out */
    bool is_refused;  /* a submission that was not accepted: leads only to seal its cancellation */
    bool is_replaced; /* a silent replica was: no second time */
    bool is_minting;  /* ACCEPTING: a fence is being appended */
    uint64_t accept_ms; /* when the submission came */
    unsigned reads;     /* READING: questions out */
    uint64_t situation; /* IDLE: who owns it and how he is, */
    uint64_t since_ms;  /* since when that is so, */
    uint64_t claim_ms;  /* and when to claim therefore; NEVER */
    uint64_t fresh_ms;  /* something was last heard from the owner */
    uint64_t handed_ms; /* HANDING: since */
};

/* What an append was for. */
enum append_kind {
    APPEND_SUBMIT,
    APPEND_FENCE, /* ballot */
    APPEND_SEAL,
    APPEND_COM,
    APPEND_HAND_OVER,
    APPEND_CANCEL, /* ask token */
    APPEND_PUT,    /* of peer, rid */
    APPEND_READ,   /* a piece for read rid */
    APPEND_OTHER,
};

struct append {
    uint64_t token;
    enum append_kind kind;
    uint64_t id;
    uint64_t peer;
    uint32_t rid;
    struct doc_ballot ballot;
    uint64_t ask;
    bool is_answered;
};

/* A PUT whose bundles are on their way. */
struct fetch {
    uint64_t token;
    uint64_t peer;
    uint32_t rid;
    struct doc_ballot ballot;
    struct delta delta; /* owned */
};

enum read_purpose { READ_CLAIM, READ_NEWER, READ_ASK };

/* One document asked of one peer. */
struct read {
    uint32_t rid;
    enum read_purpose purpose;
    uint64_t id;
    uint64_t peer;
    uint64_t ask;   /* READ_ASK: number of the question */
    uint32_t round; /* READ_NEWER: of the round whose promise it follows, or 0 */
    uint32_t next_seq;
    unsigned appends; /* pieces that are not durable yet */
    bool is_all;      /* the last piece came */
    bool is_known;
    bool is_failed; /* a piece did not join */
    uint32_t wait_ms;
    uint64_t until_ms;
};

struct ask {
    uint64_t number; /* ours */
    uint64_t token;
    uint64_t id;
    unsigned reads;
    bool is_found;
};

struct own {
    struct own_config config;
    uint64_t self;
    struct rand rand;
    uint64_t now_ms, wall_ms, boot_ms;
    struct own_out *out; /* of this step */

    struct peer **peers; /* by id */
    size_t peer_count, peer_room;
    struct eval **evals; /* by id */
    size_t eval_count, eval_room;
    struct append *appends; /* answered in their order: a ring */
    size_t append_first, append_count, append_room;
    struct fetch *fetches;
    size_t fetch_count, fetch_room;
    struct read *reads;
    size_t read_count, read_room;
    struct ask *asks;
    size_t ask_count, ask_room;

    uint64_t last_token;
    uint64_t last_ask;
    uint32_t last_rid;
    uint64_t due_ms; /* at or before the first thing to be done */
    bool is_leaving, is_handed_over;
    struct own_stats stats;
};

/* ---- own.c ----------------------------------------------------------------------------------- */

struct own_effect *own_emit(struct own *self, enum own_effect_kind kind, uint64_t id);
struct wire_msg *own_send(struct own *self, uint64_t peer, enum wire_kind kind);

/* Asks for an append; the delta is copied, or taken with its parts. NULL when too many are out. */
struct append *own_append(struct own *self, enum append_kind kind, const struct delta *delta);
struct append *own_append_owned(struct own *self, enum append_kind kind, struct delta *delta);
uint32_t own_rid(struct own *self);
void own_arm(struct own *self, uint64_t at_ms);

/* ---- evals.c --------------------------------------------------------------------------------- */

struct eval *evals_find(const struct own *self, uint64_t id);
struct eval *evals_add(struct own *self, uint64_t id);
void evals_remove(struct own *self, struct eval *eval);
void evals_free(struct own *self);

/* The document, if it is not final; and how it stands. */
const struct doc *own_doc(const struct own *self, uint64_t id);
bool own_is_final(const struct own *self, uint64_t id);

/* What a node with this document has promised: the largest ballot in it; epoch 0: nothing. */
struct doc_ballot own_promised(const struct doc *doc);

/* The same, or what was heard of since. */
struct doc_ballot eval_top(const struct eval *eval, const struct doc *doc);

/* Decides what is next for an evaluation: after anything that may matter to it. May free it. */
void eval_look(struct own *self, struct eval *eval);
void evals_look_all(struct own *self);

/* ---- peers.c --------------------------------------------------------------------------------- */

struct peer *peers_find(const struct own *self, uint64_t id);
void peers_take(struct own *self, const struct own_member *member);
void peers_free(struct own *self);
bool peers_reachable(const struct own *self, uint64_t id);

/* Says whether another member was ever there that has not left for good. */
bool peers_known(const struct own *self);
bool peers_any_alive(const struct own *self);
bool peers_any_synced(const struct own *self);

/* Fills `out` with the nodes that would keep a new evaluation, best first, this one not among them;
 * at most `max`, without those of `but`. Returns how many. */
size_t peers_best(const struct own *self, uint64_t id, const struct doc_fence *but,
                  struct id_node *out, size_t max);

/* The index of a node in the fence, or -1. */
int fence_index(const struct doc_fence *fence, uint64_t node);

/* ---- accept.c -------------------------------------------------------------------------------- */

void accept_submit(struct own *self, const struct own_event *event);
void accept_appended(struct own *self, struct eval *eval, enum err_code code);
void accept_look(struct own *self, struct eval *eval, const struct doc *doc);
void accept_refuse(struct own *self, struct eval *eval, enum own_why why);

/* ---- lead.c ---------------------------------------------------------------------------------- */

void round_begin(struct own *self, struct eval *eval, enum wire_put_kind kind);

/* Sends to those that have not answered, when it is time. */
void round_go_on(struct own *self, struct eval *eval, const struct doc *doc);
bool round_has_all(const struct own *self, const struct eval *eval, const struct doc *doc);
bool round_has_majority(const struct own *self, const struct eval *eval, const struct doc *doc);

void lead_put_ok(struct own *self, uint64_t peer, const struct wire_put_ok *ok);
void lead_put_low(struct own *self, uint64_t peer, const struct wire_put_low *low);

/* A majority has promised, or the wait for one is over (is_solo). */
void lead_activate(struct own *self, struct eval *eval);
void lead_step_down(struct own *self, struct eval *eval);
void lead_end(struct own *self, struct eval *eval); /* OWN_STEPPED_DOWN, if it leads */

void lead_leave(struct own *self);
void lead_handed(struct own *self, struct eval *eval, enum err_code code);
void lead_look_handing(struct own *self, struct eval *eval, const struct doc *doc);
void lead_check_left(struct own *self);

/* ---- claim.c --------------------------------------------------------------------------------- */

void claim_look_idle(struct own *self, struct eval *eval, const struct doc *doc);
void claim_look_reading(struct own *self, struct eval *eval, const struct doc *doc);
void claim_look_claiming(struct own *self, struct eval *eval, const struct doc *doc);
void claim_appended(struct own *self, struct eval *eval, struct doc_ballot ballot,
                    enum err_code code);

/* ---- seal.c ---------------------------------------------------------------------------------- */

void seal_look_active(struct own *self, struct eval *eval, const struct doc *doc);
void seal_look_voting(struct own *self, struct eval *eval, const struct doc *doc);
void seal_appended(struct own *self, struct eval *eval, struct doc_ballot ballot,
                   enum err_code code);
void seal_com_appended(struct own *self, struct eval *eval, enum err_code code);

/* ---- acceptor.c ------------------------------------------------------------------------------ */

void acceptor_put(struct own *self, uint64_t peer, const struct wire_put *put);
void acceptor_read(struct own *self, uint64_t peer, const struct wire_read *read);
void acceptor_fetched(struct own *self, uint64_t token, bool is_ok);
void acceptor_appended(struct own *self, const struct append *append, enum err_code code);
void acceptor_free(struct own *self);

/* ---- reads.c --------------------------------------------------------------------------------- */

bool reads_begin(struct own *self, const struct read *what);
void reads_doc(struct own *self, uint64_t peer, const struct wire_doc *doc);
void reads_appended(struct own *self, uint32_t rid, enum err_code code);
void reads_link_down(struct own *self, uint64_t peer);
void reads_tick(struct own *self);

/* ---- ask.c ----------------------------------------------------------------------------------- */

void ask_begin(struct own *self, const struct own_event *event);
void ask_read_ended(struct own *self, const struct read *read, bool is_ok);
void ask_cancel(struct own *self, const struct own_event *event);
void ask_cancelled(struct own *self, const struct append *append, enum err_code code);

#endif
