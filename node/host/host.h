/* host: gives the mesh (node/mesh/mesh.h) a real network, disk and runner, and the API its words.
 *
 * It decides nothing: what happened becomes the mesh's event, what the mesh wants is done. */
#ifndef NODE_HOST_HOST_H
#define NODE_HOST_HOST_H

#include "node/eval/clones.h"
#include "node/eval/executor.h"
#include "node/eval/statuses.h"
#include "node/eval/secret.h"
#include "node/mesh/mesh.h"
#include "node/net/net.h"
#include "node/store/store.h"

struct host;

struct host_config {
    struct event_base *base; /* borrowed, as is all below */
    struct store *store;
    struct executor_config executor; /* its events and base are set here */
    struct clones_config clones;     /* its policy and limits; the rest is set here */
    struct statuses_config statuses; /* its policy and addresses; the rest is set here */
    const char *public_url;          /* of this node for people; NULL: its own address */
    const char *data;                /* the data folder, for the list of peers */
    const char *cluster;
    const char *name;     /* of this node, for people */
    const char *key_file; /* NULL: loopback only */
    const char *const *join;
    size_t join_count;
    unsigned slots;
    unsigned chores;
    uint32_t prepare_timeout_ms; /* of a chore, all its steps together */
    uint32_t memory_mb;
    bool allow_single;
};

/* Nothing runs before host_start(). Returns owned, NULL on error: as net_new(). */
struct host *host_new(const struct host_config *config, struct err *err);

/* Binds UDP (and TCP with `links`) at `address`: as net_listen(). To be called before host_start(),
 * at least once. */
int host_listen(struct host *self, const char *address, bool links, uint16_t *port,
                struct err *err) ERR_CHECKED;

/* Goes on with what the store holds unfinished, and looks for the others. `address` is this node's
 * host:port as people know it (borrowed); `mesh` where other nodes reach it.
 * Errors: ERR_INVALID for an address to join through. */
int host_start(struct host *self, const char *address, const struct wire_addr *mesh,
               uint16_t http_port, struct err *err) ERR_CHECKED;

/* Nothing happens from now on, for the node's end: what the store and the runner still have to say
 * is only noted. */
void host_stop(struct host *self);

/* Ends the network's part without a word; the executor's jobs must be gone (engine_free). */
void host_free(struct host *self);

/* An http_adopt_fn: a connection that began with MSH1. */
void host_adopt(int fd_owned, const void *first, size_t len, void *host);

/* ---- evaluations ----------------------------------------------------------------------------- */

/* err->code ERR_NONE: acknowledged, durable on `replicas` nodes. ERR_UNAVAILABLE with a reason and
 * retry_s: not taken. ERR_CONFLICT: draw another id. */
typedef void host_submit_fn(void *arg, const struct err *err, unsigned replicas, unsigned retry_s);

/* Submits `delta`, a request alone whose blobs are durable here. Copies. With a key, `done` may
 * also get ERR_UNPROCESSABLE: another request has it. */
void host_submit(struct host *self, const struct delta *delta, host_submit_fn *done, void *arg);

/* What seals and opens the tokens of repositories (node/eval/secret.h). Borrows. */
struct secret_place host_secrets(const struct host *self);

/* Says that nobody wants the rest of an evaluation. */
typedef void host_cancel_fn(void *arg, bool is_known);
void host_cancel(struct host *self, uint64_t id, host_cancel_fn *done, void *arg);

/* Brings the newest of a document that can be had in time into the store. `done` may come from
 * within the call when there is nothing to ask. */
typedef void host_ask_fn(void *arg, uint64_t id, bool is_known, uint64_t stale_ms);
void host_ask(struct host *self, uint64_t id, host_ask_fn *done, void *arg);

/* Forgets the questions of `arg`: their `done` is not called. */
void host_forget(struct host *self, const void *arg);

/* How an evaluation that host_ask() was asked for stands. */
enum mesh_standing host_standing(const struct host *self, uint64_t id, unsigned *replicas);

/* What is at work for an evaluation now. The arrays are owned by `out` (host_live_fini). */
struct host_live {
    struct summary_live live;
    struct summary_running *running;
    struct mesh_clone *clones; /* repositories that are being cloned */
    size_t clone_count;
    uint64_t revision; /* changes with every progress of this one: for ETags */
};
void host_live(const struct host *self, uint64_t id, struct host_live *out);
void host_live_fini(struct host_live *self);

/* Calls `fn` when an evaluation becomes final; NULL takes it away. */
typedef void host_final_fn(void *arg, uint64_t id);
void host_on_final(struct host *self, host_final_fn *fn, void *arg);

/* Brings a blob of a document here, if any node that can be reached has it. `executor` made it; 0
 * where that is not known. `done` comes from the loop. */
typedef void host_blob_fn(void *arg, bool is_here);
void host_blob(struct host *self, uint64_t eval, uint64_t executor, const struct hash *blob,
               const char *ext, host_blob_fn *done, void *arg);

/* ---- members --------------------------------------------------------------------------------- */

struct mesh_load host_load(const struct host *self);
struct clones_stats host_clones_stats(const struct host *self);
const struct swim *host_members(const struct host *self);
uint64_t host_self(const struct host *self); /* id_node_short() */

/* What ran on this node: executor_stats(). */
const struct executor_stats *host_executor_stats(const struct host *self);

/* Calls `fn` for each counter of the network ("net"), of the mesh, and of what tells git hosts how
 * commits stand ("statuses"). */
void host_each_counter(const struct host *self, mesh_counter_fn *fn, void *arg);

/* Looks for others at "192.168.1.20:5001", "name:5001" or "dns:name". Copies; goes on for ever.
 * Errors: ERR_INVALID. */
int host_join(struct host *self, const char *address, struct err *err) ERR_CHECKED;

/* Takes nothing new and gives away what it owns; stays a member. */
void host_drain(struct host *self);

/* The same, and then leaves; calls `done` when nothing runs here any more and
 * all others know that this node is gone. */
void host_leave(struct host *self, void (*done)(void *arg), void *arg);

/* Leaves at once, with all that it owns, so that the others claim it: for a node that cannot write
 * any more, and so can neither hand over nor end what it leads. Reads go on. */
void host_abandon(struct host *self);

/* Calls `fn` when the node must end at once, with a reason for people. */
typedef void host_exit_fn(void *arg, const char *why);
void host_on_exit(struct host *self, host_exit_fn *fn, void *arg);

#endif
