/* internal: what the handlers share. */
#ifndef NODE_API_INTERNAL_H
#define NODE_API_INTERNAL_H

#include "node/api/api.h"
#include "node/http/problem.h"
#include "proto/base/json.h"

#define WAIT_MAX_S 600

struct gather;
struct lookup;
struct upload;
struct waiter;

struct api {
    struct api_config config;
    struct http_route *routes;
    size_t route_count;
    bool is_draining;
    uint64_t started_ms; /* monotonic */
    uint64_t started_wall_ms;
    struct metrics_http http;
    struct upload *uploads; /* being received, unpacked or made durable */
    unsigned upload_count;
    struct lookup *lookups; /* under way */
    struct gather *gathers; /* under way */
    struct waiter *waiters; /* held answers */
    char *final_tag;        /* of the final document that was shown last, or NULL */
    struct buf final_text;
};

/* api.c: whether this node takes work. Errors: ERR_UNAVAILABLE, with the reason. */
int api_check_ready(const struct api *self, struct err *err) ERR_CHECKED;

/* document.c: pieces of JSON. */
void document_put(struct buf *text, const struct doc *doc, const struct summary *summary,
                  const struct host_live *live, uint64_t stale_ms);
void document_put_mark(struct json_out *out, const char *key, bool is_known, uint32_t nota_e5);
void document_put_time(struct json_out *out, const char *key, uint64_t wall_ms);

/* submit.c: POST /evaluation, with upload_form. */
void submit_handle(struct http_exchange *x, void *arg);
void submit_free_all(struct api *self);

/* lookup.c: brings the newest of the evaluation in the path here and hands it on, perhaps at once;
 * or answers with a problem. `stale_ms`: so long ago its owner was last heard, 0 for the newest. */
typedef void lookup_fn(struct api *self, struct http_exchange *x, const struct doc *doc,
                       uint64_t stale_ms);
void lookup_evaluation(struct api *self, struct http_exchange *x, lookup_fn *then);
void lookup_id(struct api *self, struct http_exchange *x, uint64_t id, lookup_fn *then);
void lookup_free_all(struct api *self);

/* evaluation.c: reading and cancelling. */
void evaluation_list(struct http_exchange *x, void *arg);
void evaluation_show(struct http_exchange *x, void *arg);
void evaluation_cancel(struct http_exchange *x, void *arg);

/* Answers with the document: when the evaluation is final, or after `seconds`, or now if it is
 * final already or this node is about to stop. */
void evaluation_wait(struct api *self, struct http_exchange *x, uint64_t id, int64_t seconds);
void evaluation_final(void *arg, uint64_t id);
void evaluation_answer_waiters(struct api *self); /* now */
void evaluation_free_waiters(struct api *self);

/* Reads ?wait=SECONDS. Errors: ERR_INVALID. */
int evaluation_wait_seconds(const struct http_exchange *x, int64_t *seconds,
                            struct err *err) ERR_CHECKED;

/* gather.c: brings blobs of an evaluation here, from whichever nodes have them, and calls `then`
 * when it has done what it can in a few seconds. `state` goes to `then`, or to `free_state` when
 * the client leaves before. */
struct gather_blob {
    struct hash hash;
    const char *ext; /* static */
    uint64_t node;   /* which made it; 0: not known */
};

typedef void gather_fn(struct api *self, struct http_exchange *x, void *state_owned);
typedef void gather_free_fn(void *state_owned);

struct gather_wish {
    uint64_t eval;
    const struct gather_blob *blobs; /* copied */
    size_t count;
    gather_fn *then;
    void *state;
    gather_free_fn *free_state;
};

void gather_blobs(struct api *self, struct http_exchange *x, const struct gather_wish *wish);
void gather_free_all(struct api *self);

/* details.c: every test of an evaluation. */
void details_tests(struct http_exchange *x, void *arg);

/* logs.c */
void logs_module(struct http_exchange *x, void *arg);
void logs_set_up(struct http_exchange *x, void *arg);

/* operator.c */
void operator_join(struct http_exchange *x, void *arg);
void operator_drain(struct http_exchange *x, void *arg);
void operator_kill(struct http_exchange *x, void *arg);

/* network.c */
void network_openapi(struct http_exchange *x, void *arg);
void network_stats(struct http_exchange *x, void *arg);
void network_network(struct http_exchange *x, void *arg);
void network_peers(struct http_exchange *x, void *arg);
void network_nodes(struct http_exchange *x, void *arg);
void network_ping(struct http_exchange *x, void *arg);
void network_load(struct http_exchange *x, void *arg);
void network_healthz(struct http_exchange *x, void *arg);
void network_readyz(struct http_exchange *x, void *arg);
void network_problem(struct http_exchange *x, void *arg);
void network_home(struct http_exchange *x, void *arg);

#endif
