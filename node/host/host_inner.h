/* host_inner: what the files of the host share. */
#ifndef NODE_HOST_HOST_INNER_H
#define NODE_HOST_HOST_INNER_H

#include "node/host/host.h"
#include "node/net/blobs.h"
#include "node/own/docs.h"

struct blob_wish;
struct event;

enum waiter_kind { WAITER_SUBMIT, WAITER_CANCEL, WAITER_ASK };

/* Somebody of the API who waits for the mesh's word. */
struct waiter {
    enum waiter_kind kind;
    uint64_t eval;
    uint64_t token;
    union {
        host_submit_fn *submit;
        host_cancel_fn *cancel;
        host_ask_fn *ask;
    };
    void *arg; /* NULL with a NULL function: forgotten */
    struct waiter *next;
};

/* What is said to the API when the mesh's step is done with. */
struct answer {
    struct waiter *waiter; /* owned; NULL: `eval` is final */
    uint64_t eval;
    struct err err;
    unsigned replicas;
    unsigned retry_s;
    uint64_t stale_ms;
    bool is_ok;
    struct answer *next;
};

/* An append on its way to the disk. */
struct pending {
    struct host *host;
    uint64_t token;
    const struct delta *delta; /* the mesh's, until it hears how it went */
};

/* Blobs that the mesh wants together. */
struct bundle_fetch {
    struct host *host;
    uint64_t token;
    size_t missing;
    bool has_failed;
};

struct revision {
    uint64_t eval; /* first: see byid.h */
    uint64_t count;
};

/* A blob of a record that this node, as a replica, keeps a copy of. */
struct copy {
    struct host *host;
    uint64_t eval;
    uint64_t executor;
    struct hash blob;
    const char *ext;
    struct copy *next;
};

/* An event that came up while a step was acted upon. */
struct later {
    struct mesh_event event; /* borrows nothing */
    struct later *next;
};

#define HOST_REFUSALS 3

struct refusals {
    uint64_t told; /* so many were in the log's last line about them */
    uint64_t told_ms;
};

struct join {
    struct host *host;
    char *text;
    struct join *next;
};

struct telling;

struct host {
    struct host_config config;
    char *peers_path;
    uint64_t self;
    uint64_t boot;
    char *address; /* as people know it */
    struct docs docs;
    struct net *net;
    struct blobs *blobs;
    struct executor *executor;
    struct clones *clones;
    unsigned watched;  /* seconds, since secrets were swept */
    struct mesh *mesh; /* NULL before host_start() */
    struct statuses *statuses;
    struct telling *tellings; /* evaluations whose commits' statuses this node tells */
    struct event *statuses_timer;
    struct event *leave_timer;
    uint64_t leaves_at_ms;
    struct mesh_out out;
    struct event *timer;
    struct event *take_laters;
    struct event *resolve; /* names are looked up again and again */
    struct event *watch;
    struct refusals refusals[HOST_REFUSALS];
    struct waiter *waiters;
    struct answer *answers; /* in order */
    struct answer **answers_end;
    struct revision **revisions; /* by id */
    size_t revision_count, revision_room;
    struct copy *copies; /* wait */
    struct copy **copies_end;
    struct copy *copying;
    size_t copies_at_work;
    struct blob_wish *wishes; /* of the API */
    struct join *joins;
    struct later *laters; /* in order */
    struct later **laters_end;
    uint64_t last_token;
    uint64_t revision;
    bool is_stepping;
    bool is_answering;
    bool is_drained;
    bool is_gone;
    host_final_fn *on_final;
    void *on_final_arg;
    host_exit_fn *on_exit;
    void *on_exit_arg;
    void (*on_left)(void *arg);
    void *on_left_arg;
};

/* ---- host.c ---------------------------------------------------------------------------------- */

/* Tells the mesh what happened, now, and does what it wants. */
void host_feed(struct host *self, struct mesh_event event);

/* The same, from the loop: for what comes up while a step is acted upon. */
void host_feed_later(struct host *self, struct mesh_event event);

/* ---- effects.c ------------------------------------------------------------------------------- */

void host_do(struct host *self, const struct mesh_effect *effect);

/* ---- answers.c ------------------------------------------------------------------------------- */

void host_note_answer(struct host *self, const struct mesh_effect *effect);
void host_note_final(struct host *self, uint64_t eval);
void host_tell_answers(struct host *self);
void host_touch(struct host *self, uint64_t eval);
void host_free_answers(struct host *self);

/* ---- copies.c -------------------------------------------------------------------------------- */

/* Records are coming in; and a result stands: copies of what they name are wanted on replicas. */
void host_copy_results(struct host *self, const struct delta *delta);
void host_copy_blobs(void *host, const struct doc *doc, unsigned changed);
size_t host_sources(const struct host *self, uint64_t eval, uint64_t executor, uint64_t *out,
                    size_t room);
void host_forget_blobs(struct host *self, const void *arg);
void host_free_copies(struct host *self);

/* ---- cloning.c ------------------------------------------------------------------------------- */

void host_open_clones(struct host *self);

/* Those that no open document names, what is young but at the start: of a submission that failed,
 * or that came when it was not needed any more. */
void host_sweep_secrets(struct host *self, bool is_start);

/* ---- statuses.c ------------------------------------------------------------------------------ */

void host_open_statuses(struct host *self);

/* A document has changed: what its commits' hosts are to be told. */
void host_note_statuses(struct host *self, const struct doc *doc);

/* The same, before its token goes. */
void host_last_statuses(struct host *self, uint64_t eval);

/* Leaves the mesh when what waits has been told, or after a few seconds. */
void host_leave_after_statuses(struct host *self);
void host_free_statuses(struct host *self);

/* ---- peers.c --------------------------------------------------------------------------------- */

/* The addresses of members that had not left, a line each, as the last life wrote them down. */
void host_read_peers(const struct host *self, struct buf *out);
void host_join_peers(struct host *self, const struct buf *peers);
void host_write_peers(const struct host *self);
void host_resolve_joins(struct host *self);
void host_free_joins(struct host *self);

/* ---- refusals.c ------------------------------------------------------------------------------ */

void host_tell_refusals(struct host *self);

#endif
