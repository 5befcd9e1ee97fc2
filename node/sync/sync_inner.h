/* sync_inner: what the files of sync share: rounds.c compares stores, pulls.c reads what is
 * missing, push.c sends news. */
#ifndef NODE_SYNC_SYNC_INNER_H
#define NODE_SYNC_SYNC_INNER_H

#include "node/own/hold.h"
#include "node/own/own.h"
#include "node/sync/sync.h"
#include "proto/base/rand.h"

#define NEVER UINT64_MAX

/* ms */
#define ROUND_EVERY 1000
#define ROUND_WAIT  3000 /* for a DIFF */
#define READ_WAIT   5000 /* for the next piece */

/* Bytes: a document with a larger sketch, which differs for as long as it is worked on, makes the
 * next round wait a ms for so many. */
#define SKETCH_LARGE  4096
#define SKETCH_PER_MS 16
#define PUSH_AFTER    100 /* so that one packet has much */

#define WAITING_MAX   4096 /* documents to be asked for; a later round brings the others */
#define READS_MAX     16   /* asked for at a time */
#define APPENDS_MAX   256  /* pieces not durable yet, before more is asked for */
#define PUSH_PEERS    3
#define PUSH_ONE_MAX  (64u << 10) /* bytes; what is larger goes by rounds alone */
#define PUSH_ALL_MAX  (1u << 20)
#define SEEN_COUNT    16384 /* places for news that came lately, by hash; a power of two */
#define CONFLICTS_MAX 256

struct peer {
    uint64_t id; /* first: see byid.h */
    bool is_alive;
    bool is_synced;
    bool is_wanted; /* a round is due */
    bool is_urgent; /* at once: it is new, or the last round could not take all */
};

/* The one round that was begun here. */
struct round {
    uint64_t number; /* 0: none */
    uint64_t peer;
    uint32_t rid;
    uint32_t next_seq;
    bool is_compared; /* the last DIFF came */
    bool is_partial;  /* something was left for the next round, */
    bool is_overflow; /* because it was too much at once */
    size_t pulls;     /* of it, waiting or under way */
    uint64_t until_ms;
};

struct pull {
    uint64_t id;
    uint64_t peer;
    uint64_t round; /* 0: none of ours */
    uint64_t dig;   /* what the peer has */
};

struct read {
    struct pull pull;
    uint32_t rid;
    uint32_t next_seq;
    unsigned appends;
    bool is_all;
    bool is_failed;
    uint64_t until_ms;
};

struct append {
    uint64_t token;
    uint32_t rid;           /* of the read; or */
    uint64_t id;            /* news, */
    struct wire_bytes news; /* to be sent on; owned */
    bool has_req;
};

struct news {
    uint64_t id;
    struct wire_bytes bytes; /* owned */
};

struct sync {
    struct sync_config config;
    struct rand rand;
    uint64_t now_ms;
    struct sync_out *out; /* of this step */
    struct peer **peers;  /* by id */
    size_t peer_count, peer_room;
    size_t peer_turn; /* whose round is next */
    bool is_whole;
    struct round round;
    uint64_t last_round;
    uint64_t next_round_ms;
    struct pull *waiting; /* a queue */
    size_t waiting_first, waiting_count, waiting_room;
    uint64_t *busy; /* ids waiting or being read, ascending */
    size_t busy_count, busy_room;
    struct read reads[READS_MAX];
    size_t read_count;
    struct append *appends; /* answered in their order */
    size_t append_first, append_count, append_room;
    struct pull conflicts[CONFLICTS_MAX]; /* (id, dig) that cannot be joined; a ring */
    size_t conflict_count;
    struct news *news;
    size_t news_count, news_room, news_bytes;
    uint64_t push_ms;          /* NEVER: no news */
    uint64_t seen[SEEN_COUNT]; /* each the last of its place */
    uint64_t last_token;
    uint32_t last_rid;
    struct sync_stats stats;
};

/* sync.c */
struct sync_effect *sync_emit(struct sync *self, enum sync_effect_kind kind, uint64_t peer);
struct wire_msg *sync_send(struct sync *self, uint64_t peer, enum wire_kind kind);
struct append *sync_append(struct sync *self, struct delta *delta);
uint32_t sync_rid(struct sync *self);
struct peer *sync_peer(const struct sync *self, uint64_t id);
uint64_t sync_digest(const struct sync *self, uint64_t id); /* 0: there is none */

/* rounds.c */
void rounds_begin_next(struct sync *self);
void rounds_sync(struct sync *self, uint64_t peer, const struct wire_sync *sync);
void rounds_diff(struct sync *self, uint64_t peer, const struct wire_diff *diff);
void rounds_pulled(struct sync *self, uint64_t number, bool is_ok);
void rounds_abort(struct sync *self);
void rounds_check_whole(struct sync *self);

/* pulls.c */
void pulls_add(struct sync *self, const struct pull *pull);
void pulls_go_on(struct sync *self);
void pulls_doc(struct sync *self, uint64_t peer, const struct wire_doc *doc);
void pulls_appended(struct sync *self, const struct append *append, bool is_ok);
void pulls_peer_down(struct sync *self, uint64_t peer);
void pulls_tick(struct sync *self);

/* push.c */
void push_learned(struct sync *self, const struct delta *delta);
void push_delta(struct sync *self, const struct wire_delta *message);
void push_appended(struct sync *self, struct append *append, bool is_ok, unsigned changed);
void push_tick(struct sync *self);
void push_free(struct sync *self);

#endif
