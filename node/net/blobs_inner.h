/* blobs_inner: what the files of blobs share. */
#ifndef NODE_NET_BLOBS_INNER_H
#define NODE_NET_BLOBS_INNER_H

#include "node/net/blobs.h"
#include "node/net/net_inner.h"
#include "node/store/store.h"
#include "proto/base/rand.h"

#define BLOBS_ACTIVE_MAX  4   /* blobs that are pulled at once: as many as one node serves */
#define BLOBS_UPLOADS_MAX 4   /* blobs of more than one piece that are served at once */
#define BLOBS_SMALL_MAX   256 /* and of one piece, which are gone in a moment */
#define BLOBS_WINDOW      4   /* requests that are under way for one blob */
#define BLOBS_SOURCES_MAX 64  /* for one blob */
#define BLOBS_COLD_MAX    16  /* partial files that nobody waits for */
#define BLOBS_GIVEN       64  /* who got what lately */
#define BLOBS_TRY_MAX     8   /* of them told to others */
#define BLOBS_BUCKETS     4096

struct waiter {
    TAILQ_ENTRY(waiter) links;
    uint64_t ticket;
    blobs_done_fn *done;
    void *arg;
};

struct source {
    uint64_t nid;
    uint64_t not_before_ms;
    uint32_t backoff_ms;
    unsigned faults;   /* wholes of a wrong hash that it had a part in */
    bool is_banned;    /* sent a wrong whole alone, or twice a part of one */
    bool is_absent;    /* has no such blob */
    bool is_oversized; /* says that the blob is larger than we take */
    bool is_in_part;   /* what is there now came from it too */
};

enum fetch_phase {
    FETCH_NEW,
    FETCH_PAUSED, /* for a source that can be asked */
    FETCH_PULLING,
    FETCH_ADOPTING,
    FETCH_COLD, /* nobody waits for it; the partial file is kept */
};

/* Those who wait for one blob, once it is known what to tell them. */
struct answer {
    TAILQ_ENTRY(answer) links;
    struct hash hash;
    struct err err;
    TAILQ_HEAD(waiters, waiter) waiters;
};

struct fetch {
    TAILQ_ENTRY(fetch) links; /* in blobs.fetches or blobs.cold */
    LIST_ENTRY(fetch) chain;
    struct blobs *blobs;
    struct hash hash;
    char ext[STORE_EXT_MAX + 1];
    enum fetch_phase phase;
    char *path; /* the partial file; NULL until it is made */
    int fd;
    uint64_t have, asked, total; /* total: UINT64_MAX while unknown */
    struct hash_state state;     /* of the first `have` bytes */
    struct source *sources;
    size_t source_count, source_room;
    struct source *current; /* while PULLING */
    uint64_t heard_ms;      /* from the current source */
    uint64_t progress_ms;   /* a byte from any, or the beginning */
    uint64_t last_nid;      /* whose bytes came last */
    struct adoption *adoption;
    struct waiters waiters;
};

/* What the store holds on to while it adopts; outlives a fetch that is freed. */
struct adoption {
    struct fetch *fetch; /* NULL: gone */
};

struct range {
    uint64_t off;
    uint32_t len;
};

struct upload {
    TAILQ_ENTRY(upload) links;
    uint64_t nid;
    struct hash hash;
    int fd;
    uint64_t size;
    bool is_packed; /* compressing it again is for nothing */
    bool is_done;   /* its last byte went out */
    uint64_t heard_ms;
    struct range ranges[BLOBS_WINDOW * 2];
    size_t range_count;
};

struct question_have {
    TAILQ_ENTRY(question_have) links;
    uint32_t rid;
    uint64_t nid;
    size_t count;
    uint64_t until_ms;
    bool is_lost;
    blobs_have_fn *done;
    void *arg;
};

struct given {
    struct hash hash;
    uint64_t nid;
};

struct blobs {
    struct blobs_config config;
    struct event *kick; /* something is to be done at the next turn */
    struct event *tick; /* time-outs */
    struct rand rand;   /* spreads retries */
    uint64_t last_ticket;
    uint32_t last_rid;
    TAILQ_HEAD(fetches, fetch) fetches;
    struct fetches cold; /* the youngest last */
    size_t cold_count;
    size_t active_count; /* PULLING */
    LIST_HEAD(, fetch) by_hash[BLOBS_BUCKETS];
    TAILQ_HEAD(, answer) answers; /* to be told at the next turn */
    TAILQ_HEAD(, upload) uploads;
    size_t large_count, small_count; /* of uploads */
    TAILQ_HEAD(, question_have) questions;
    struct given given[BLOBS_GIVEN];
    size_t given_count; /* ever */
};

static inline struct net_stats *blobs_stats(struct blobs *self) { return &self->config.net->stats; }

void blobs_kick(struct blobs *self);
/* 0 or why it did not go out. */
int blobs_send(struct blobs *self, uint64_t nid, const struct wire_msg *msg, bool compress);

/* ---- fetch.c */
struct fetch *fetch_find(struct blobs *self, const struct hash *hash);
/* Everybody who waits will be answered at the next turn; `self` is gone or cold. */
void fetch_finish(struct fetch *self, const struct err *err);
void fetch_set_phase(struct fetch *self, enum fetch_phase phase);
void fetch_tell_all(struct blobs *self);
void fetch_fail(struct fetch *self, enum err_code code);
void fetch_run_all(struct blobs *self, uint64_t now_ms);
void fetch_free_all(struct blobs *self);

/* ---- pull.c */
void pull_go_on(struct fetch *self, uint64_t now_ms); /* of one that is PAUSED */
void pull_pause(struct fetch *self);
void pull_data(struct blobs *self, uint64_t nid, const struct wire_data *data);
void pull_refused(struct blobs *self, uint64_t nid, const struct wire_blob_err *why);
void pull_link_down(struct blobs *self, uint64_t nid);

/* ---- part.c: the partial file */
int part_open(struct fetch *self, struct err *err);
int part_write(struct fetch *self, const void *bytes, size_t len, struct err *err);
int part_restart(struct fetch *self, struct err *err);
void part_close(struct fetch *self);
void part_remove(struct fetch *self);

/* ---- source.c: whom to ask */
void source_add(struct fetch *self, uint64_t nid);
struct source *source_choose(const struct fetch *self, uint64_t now_ms);
void source_defer(struct fetch *self, struct source *source, uint64_t now_ms, uint32_t at_least_ms);
/* ERR_NONE while one is left that may be asked, now or later; else what the end is. */
enum err_code source_verdict(const struct fetch *self);
/* Whether one of those is known to be somewhere: else all that are left are dead, or never were. */
bool source_any_known(const struct fetch *self);
void source_blame(struct fetch *self); /* the whole was wrong */

/* ---- serve.c */
void serve_get(struct blobs *self, uint64_t nid, const struct wire_get *get);
void serve_has(struct blobs *self, uint64_t nid, const struct wire_has *has);
void serve_link_down(struct blobs *self, uint64_t nid);
/* Sends a piece of each upload that has room. Returns whether there is more to do at once. */
bool serve_run_all(struct blobs *self, uint64_t now_ms);
void serve_free_all(struct blobs *self);

#endif
