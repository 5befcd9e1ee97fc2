/* node_inner: a node's parts: assemble.c makes and ends them, node.c is what happens between. */
#ifndef NODE_NODE_INNER_H
#define NODE_NODE_INNER_H

#include "node/api/api.h"
#include "node/api/auth.h"
#include "node/git_policy.h"
#include "node/lag.h"
#include "node/options.h"
#include "node/repair.h"
#include "node/way_out.h"
#include "runner/jail/jail.h"

struct event;
struct event_base;

struct node {
    struct node_options options;
    struct event_base *base;
    char *program;
    char *runtime_dir;
    char address[300]; /* advertised; known once the server listens */
    char *pythons;     /* their versions, for people */
    struct jail_report jail;
    bool is_sandboxed;
    unsigned slots;
    char name[WIRE_NAME_MAX + 1];
    uint16_t port; /* of the first --listen */
    struct auth *auth;
    struct store *store;
    struct repair repair;
    bool is_in_session;
    bool is_cache_suspect; /* see session.h */
    struct way_out way_out;
    struct env_store *envs;
    struct engine *engine;
    struct prepare_host *prepare;
    struct host *host;
    struct git_policy git;
    struct api *api;
    struct http_server *server;
    struct event *signals[2];
    struct event *drain_timer;
    struct event *housekeeping;
    struct event *store_check;
    struct lag lag;
    bool is_draining;
    bool has_abandoned; /* the mesh, for a store that failed */
    int exit_code;
};

/* Makes all parts in the order in which they need each other. node_dismantle() in any case. Errors:
 * ERR_INVALID for options that make no sense together; any other for what is not to be had. */
int node_assemble(struct node *self, struct err *err) ERR_CHECKED;

/* Ends what was made, in the order in which nobody misses anything. */
void node_dismantle(struct node *self);

/* What the parts call: the mesh says that this process must end, the operator that it shall leave.
 */
void node_on_exit_wanted(void *node, const char *why);
void node_on_leave_wanted(void *node);

#endif
