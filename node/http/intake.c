/* A request on its way in: judged when its head is there, so that a refusal comes before the body;
 * then the body; then the handler. */
#include "node/http/conn.h"

#include "node/http/guard.h"
#include "proto/base/mem.h"

#include <event2/buffer.h>
#include <string.h>

void intake_refuse(struct conn *conn, const struct err *err)
{
    struct http_exchange *x = conn->x;
    conn->server->stats.refused++;
    if (x->sink) {
        const struct http_sink *sink = steal_ptr(&x->sink);
        sink->abort(x->sink_state);
    }
    if (conn->parser.state != HTTP_AT_END)
        x->ends_connection = true;
    http_reply_problem(x, err);
}

/* ---- the head ----------------------------------------------------------------------------- */

static void answer_options(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply_empty(x, 204);
}

static const struct http_route options_route = {.method = "OPTIONS", .handler = answer_options};

static bool is_known_method(const char *method)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < countof(known); i++)
        if (strcmp(known[i], method) == 0)
            return true;
    return false;
}

static int find_route(struct http_exchange *x, struct err *err)
{
    const struct http_config *config = &x->server->config;
    const char *method = http_method(x);
    const char *path = http_path(x);
    int rc = router_find(&x->match, config->routes, config->route_count, method, path, err);
    bool is_options = strcmp(method, "OPTIONS") == 0;
    if (rc == 0 || (rc == ERR_NOT_FOUND && strcmp(path, "*") != 0))
        return rc;
    owned_buf allow = BUF_INIT;
    router_allow(&allow, config->routes, config->route_count, path);
    http_set_header(x, "Allow", buf_str(&allow));
    if (is_options) {
        x->match.route = &options_route;
        return 0;
    }
    if (!is_known_method(method))
        return err_refuse(err, ERR_METHOD, "http-method-unknown", "%s is no method", method);
    return rc;
}

static int check_door(struct http_exchange *x, struct err *err)
{
    const struct http_config *config = &x->server->config;
    const struct http_head *head = &x->conn->parser.head;
    const char *host = http_head_text(head, head->host);
    if (!guard_host_ok(host, config->hosts))
        return err_refuse(err, ERR_FORBIDDEN, "host-not-allowed",
                          "'%.128s' is no name of this node", host);
    int rc = find_route(x, err);
    if (rc)
        return rc;
    const char *origin = http_header(x, "origin");
    if (!guard_is_safe(http_method(x)) &&
        !guard_origin_ok(origin, http_header(x, "sec-fetch-site"), host, config->origins))
        return err_refuse(err, ERR_FORBIDDEN, "origin-not-allowed",
                          "a page of %.128s may not write here", origin ? origin : "another site");
    if (x->match.route->scope == HTTP_PUBLIC)
        return 0;
    if (!config->authorize)
        return err_set(err, ERR_FORBIDDEN, "this node has no tokens");
    return config->authorize(x, x->match.route->scope, config->arg, err);
}

static int check_length(struct http_exchange *x, struct err *err)
{
    const struct http_route *route = x->match.route;
    const struct http_limits *limits = &x->server->config.limits;
    int64_t length = http_content_length(x);
    x->body_max = route->body_max ? route->body_max : limits->body_bytes;
    if (route->body == HTTP_BODY_NONE)
        x->body_max = CONN_IGNORED_MAX;
    if (length > 0 && (uint64_t)length > x->body_max)
        return err_refuse(err, ERR_TOO_LARGE,
                          route->body == HTTP_BODY_NONE ? "body-not-expected" : "body-too-large",
                          "%lld bytes are announced; at most %llu are taken here",
                          (long long)length, (unsigned long long)x->body_max);
    /* Announcing costs a client nothing, so it reserves nothing: only what has come counts. */
    uint64_t free_bytes = limits->budget_bytes - x->server->stats.budget_bytes;
    if (route->body == HTTP_BODY_BUFFER && length > 0 && (uint64_t)length > free_bytes)
        return err_refuse(err, ERR_UNAVAILABLE, "busy-bodies",
                          "the node holds as many request bodies as it may");
    return 0;
}

static int open_body(struct http_exchange *x, struct err *err)
{
    const struct http_route *route = x->match.route;
    const struct http_sink *sink = NULL;
    if (route->body == HTTP_BODY_SINK)
        sink = route->sink;
    else if (route->body == HTTP_BODY_FORM)
        sink = &form_sink;
    if (!sink)
        return 0;
    err->code = ERR_NONE;
    void *state = sink->open(x, x->server->config.arg, err);
    if (!state)
        return err->code ? err->code : err_set(err, ERR_INTERNAL, "the upload could not begin");
    x->sink = sink;
    x->sink_state = state;
    x->state = sink == &form_sink ? x->state : state;
    return 0;
}

void intake_head(struct conn *conn)
{
    struct http_exchange *x = conn->x;
    struct err err = ERR_INIT;
    x->has_head = true;
    x->is_bodyless = strcmp(http_method(x), "HEAD") == 0;
    x->ends_connection = !conn->parser.head.keep_alive;
    int rc = query_parse(&x->query, http_query_string(x), &err);
    if (rc == 0)
        rc = check_door(x, &err);
    if (rc == 0)
        rc = check_length(x, &err);
    if (rc == 0)
        rc = open_body(x, &err);
    if (rc) {
        intake_refuse(conn, &err);
        return;
    }
    conn->phase = CONN_BODY;
    if (!x->is_paused)
        conn_set_deadline(conn, x->server->config.limits.body_ms);
    if (conn->parser.head.expects_continue)
        evbuffer_add_printf(bufferevent_get_output(conn->bev), "HTTP/1.1 100 Continue\r\n\r\n");
}

/* ---- the body ----------------------------------------------------------------------------- */

static int take_data(struct http_exchange *x, const char *data, size_t len, struct err *err)
{
    x->bytes_in += len;
    if (x->bytes_in > x->body_max)
        return err_refuse(err, ERR_TOO_LARGE, "body-too-large",
                          "the body is over the %llu bytes that are taken here",
                          (unsigned long long)x->body_max);
    if (x->sink)
        return x->sink->write(x->sink_state, data, len, err);
    if (x->match.route->body != HTTP_BODY_BUFFER)
        return 0;
    int rc = exchange_reserve(x, x->body.len + len, err);
    if (rc == 0)
        buf_append(&x->body, data, len);
    return rc;
}

void intake_data(struct conn *conn, const char *data, size_t len)
{
    struct err err = ERR_INIT;
    if (take_data(conn->x, data, len, &err))
        intake_refuse(conn, &err);
}

void intake_end(struct conn *conn)
{
    struct http_exchange *x = conn->x;
    struct err err = ERR_INIT;
    conn_set_deadline(conn, 0);
    if (x->sink) {
        if (x->sink->finish(x->sink_state, &err)) {
            intake_refuse(conn, &err);
            return;
        }
        x->sink = NULL; /* its state is the handler's now */
    }
    conn->phase = CONN_HELD;
    x->match.route->handler(x, x->server->config.arg);
}
