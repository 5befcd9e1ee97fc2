/* metrics: GET /metrics, what operators watch a node by, in Prometheus's text.
 *
 * Numbers are kept by whoever does the work (executor_stats(), store_stats(), …) and only read
 * here, when somebody asks. No label holds a name or an id of a user's: each set of values is a
 * table in our sources. docs/operations.md says what a bad value means. */
#ifndef NODE_API_METRICS_H
#define NODE_API_METRICS_H

#include "node/api/exposition.h"
#include "node/http/server.h"
#include "runner/env/env.h"

struct api;

/* What the api does not know by itself; all borrowed. */
struct metrics_sources {
    const struct env_store *envs;
    const struct histogram *loop_late; /* lag.h */
    const char *data;                  /* the folder whose disk matters */
    const char *sandbox;               /* its tier: "A", "none" */
};

/* ---- what is counted of answers -------------------------------------------------------------- */

#define METRICS_CLASSES 6 /* of a status, by its first digit */

struct metrics_route {
    uint64_t answers[METRICS_CLASSES];
    struct histogram took;
};

struct metrics_http {
    struct metrics_route *routes; /* as the api's rows; the last is for what fits none */
    uint64_t *problems;           /* as problem_at() */
    uint64_t *refused;            /* uploads, likewise */
    uint64_t bytes_in, bytes_out;
};

void metrics_http_init(struct metrics_http *self, size_t route_count);
void metrics_http_fini(struct metrics_http *self);

/* An http_answered_fn whose arg is the api. */
void metrics_answered(const struct http_answered *what, void *api);

/* ---- what is told, a file each --------------------------------------------------------------- */

void metrics_put_http(struct exposition *out, const struct api *api,
                      const struct http_server *server);
void metrics_put_work(struct exposition *out, const struct api *api);
void metrics_put_mesh(struct exposition *out, const struct api *api);
void metrics_put_process(struct exposition *out, const struct api *api);

/* The route. */
void metrics_show(struct http_exchange *x, void *arg);

#endif
