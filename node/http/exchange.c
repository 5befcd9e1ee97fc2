#include "node/http/chars.h"
#include "node/http/conn.h"
#include "node/http/media.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

struct http_exchange *exchange_new(struct conn *conn)
{
    struct http_exchange *x = mem_new(sizeof *x);
    x->conn = conn;
    x->server = conn->server;
    x->started_us = clock_mono_us();
    x->file_fd = -1;
    conn->server->stats.requests++;
    return x;
}

void exchange_end(struct http_exchange *x, bool cut)
{
    if (x->sink)
        x->sink->abort(x->sink_state);
    else if (cut && x->gone)
        x->gone(x->gone_arg);
    x->server->stats.budget_bytes -= x->reserved;
    router_match_fini(&x->match);
    query_fini(&x->query);
    buf_fini(&x->body);
    buf_fini(&x->headers);
    if (x->file_fd >= 0)
        close(x->file_fd);
    free(x);
}

int exchange_reserve(struct http_exchange *x, uint64_t total, struct err *err)
{
    uint64_t extra = total > x->reserved ? total - x->reserved : 0;
    if (extra > x->server->config.limits.budget_bytes - x->server->stats.budget_bytes)
        return err_refuse(err, ERR_UNAVAILABLE, "busy-bodies",
                          "the node holds as many request bodies as it may");
    x->server->stats.budget_bytes += extra;
    x->reserved += extra;
    return 0;
}

static const struct http_head *head_of(const struct http_exchange *x)
{
    return &x->conn->parser.head;
}

const char *http_method(const struct http_exchange *x) { return head_of(x)->method; }

const char *http_path(const struct http_exchange *x)
{
    return http_head_text(head_of(x), head_of(x)->path);
}

const char *http_query_string(const struct http_exchange *x)
{
    return http_head_text(head_of(x), head_of(x)->query);
}

const char *http_param(const struct http_exchange *x, const char *name)
{
    const char *value = router_param(&x->match, name);
    assert(value);
    return value;
}

const char *http_query(const struct http_exchange *x, const char *name)
{
    return query_value(&x->query, name);
}

int http_query_int(const struct http_exchange *x, const char *name, int64_t fallback, int64_t min,
                   int64_t max, int64_t *out, struct err *err)
{
    const char *text = http_query(x, name);
    *out = fallback;
    return text ? query_int(name, text, min, max, out, err) : 0;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    const struct http_head *head = head_of(x);
    for (size_t i = 0; i < head->field_count; i++)
        if (chars_same(http_head_text(head, head->fields[i].name), name))
            return http_head_text(head, head->fields[i].value);
    return NULL;
}

size_t http_header_count(const struct http_exchange *x) { return head_of(x)->field_count; }

void http_header_at(const struct http_exchange *x, size_t at, const char **name, const char **value)
{
    const struct http_head *head = head_of(x);
    assert(at < head->field_count);
    *name = http_head_text(head, head->fields[at].name);
    *value = http_head_text(head, head->fields[at].value);
}

bool http_is_type(const struct http_exchange *x, const char *type)
{
    const char *value = http_header(x, "content-type");
    return value && media_is(value, type);
}

int64_t http_content_length(const struct http_exchange *x)
{
    const struct http_head *head = head_of(x);
    return head->chunked ? -1 : head->content_length < 0 ? 0 : head->content_length;
}

const char *http_bearer(const struct http_exchange *x)
{
    const char *value = http_header(x, "authorization");
    if (!value || strlen(value) < 8 || !chars_same_n(value, 7, "bearer "))
        return NULL;
    return value + 7 + strspn(value + 7, " ");
}

const char *http_peer(const struct http_exchange *x) { return x->conn->peer_text; }

const struct sockaddr *http_peer_addr(const struct http_exchange *x)
{
    return (const struct sockaddr *)&x->conn->peer;
}

const struct buf *http_body(const struct http_exchange *x) { return &x->body; }

void *http_state(const struct http_exchange *x) { return x->state; }

void http_pause(struct http_exchange *x)
{
    x->is_paused = true;
    conn_set_deadline(x->conn, 0);
}

void http_resume(struct http_exchange *x)
{
    if (!x->is_paused)
        return;
    x->is_paused = false;
    if (x->conn->phase == CONN_BODY) {
        conn_set_deadline(x->conn, x->server->config.limits.body_ms);
        conn_kick(x->conn);
    }
}

void http_on_gone(struct http_exchange *x, http_gone_fn *fn, void *arg)
{
    x->gone = fn;
    x->gone_arg = arg;
}
