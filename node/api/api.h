/* api: the HTTP routes, as rows over the store and the evaluations at work.
 *
 * Handlers read documents, write JSON and decide nothing. docs/architecture.md has the map from a
 * route to what answers it. */
#ifndef NODE_API_API_H
#define NODE_API_API_H

#include "node/api/metrics.h"
#include "node/host/host.h"
#include "node/http/server.h"
#include "runner/intake/intake.h"

#include <stdbool.h>
#include <stddef.h>

struct api;
struct auth;
struct event_base;

/* What GET /nodes tells of this node beside its load; texts are borrowed. */
struct api_facts {
    const char *version;
    const char *tier_text; /* the sandbox, in words */
    const char *python;    /* "3.11.7, 3.12.1" */
    const char *installer; /* "uv 0.13.9" */
};

struct api_config {
    struct event_base *base; /* borrowed, as is all below */
    struct store *store;
    struct host *host;
    const struct auth *auth;
    void (*leave)(void *arg); /* ends the node in order, from the loop or from within */
    void *leave_arg;
    const char *address; /* host:port, as advertised */
    const char *program; /* for --helper */
    struct archive_limits archive_limits;
    struct git_hosts git_hosts; /* that repositories may be of */
    uint64_t upload_max_bytes;
    bool allow_single; /* take work with one copy although others were known */
    struct api_facts facts;
    struct metrics_sources metrics;
};

/* Returns owned. */
struct api *api_new(const struct api_config *config);

/* Frees; the server must be gone. NULL is fine. */
void api_free(struct api *self);

/* The route table for http_server_new(), whose `arg` must be the api. Borrowed. Sizes of bodies are
 * taken from the config. */
const struct http_route *api_routes(struct api *self, size_t *count);

/* For http_config: asks auth_check(). */
int api_authorize(const struct http_exchange *x, enum http_scope scope, void *arg,
                  struct err *err) ERR_CHECKED;

/* For http_config.answered: metrics_answered(). */

/* While the store is being repaired (store_repairing()) POST is 503 and /readyz says so. */

/* From now on no work is accepted: POST is 503 and /readyz says so. Held answers are given. */
void api_drain(struct api *self);

#endif
