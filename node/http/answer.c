#include "node/http/chars.h"
#include "node/http/conn.h"
#include "node/http/problem.h"
#include "proto/base/hash.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- headers ------------------------------------------------------------------------------ */

void http_set_header(struct http_exchange *x, const char *name, const char *value)
{
    assert(chars_are_token(name, strlen(name)));
    buf_printf(&x->headers, "%s: ", name);
    /* Values may hold a stranger's words; none of them may begin a line of its own. */
    for (; *value; value++)
        buf_putc(&x->headers, chars_is_text(*value) ? *value : ' ');
    buf_puts(&x->headers, "\r\n");
}

void http_set_headerf(struct http_exchange *x, const char *name, const char *fmt, ...)
{
    va_list ap;
    owned_mem char *value = NULL;
    va_start(ap, fmt);
    if (vasprintf(&value, fmt, ap) < 0)
        abort();
    va_end(ap);
    http_set_header(x, name, value);
}

static bool has_header(const struct http_exchange *x, const char *name)
{
    size_t len = strlen(name);
    const char *line = buf_str(&x->headers);
    while (*line) {
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return true;
        line = strchr(line, '\n') + 1;
    }
    return false;
}

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < countof(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

static void add_framing(struct http_exchange *x, struct buf *head, uint64_t length)
{
    unsigned minor = x->conn->parser.head.minor;
    if (x->status == 204 || x->status == 304) {
        x->is_bodyless = true;
    } else {
        buf_printf(head, "Content-Length: %" PRIu64 "\r\n", length);
    }
    if (x->ends_connection)
        buf_puts(head, "Connection: close\r\n");
    else if (minor == 0)
        buf_puts(head, "Connection: keep-alive\r\n");
}

void answer_begin(struct http_exchange *x, int status, const char *type, uint64_t length)
{
    struct conn *conn = x->conn;
    assert(conn->x == x && conn->phase < CONN_SENDING);
    owned_buf head = BUF_INIT;
    conn->phase = CONN_SENDING;
    conn_set_deadline(conn, 0);
    x->status = status;
    x->gone = NULL;
    x->ends_connection |= x->server->is_draining;
    buf_printf(&head, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason_of(status),
               server_date(x->server));
    if (type)
        buf_printf(&head, "Content-Type: %s\r\n", type);
    add_framing(x, &head, length);
    buf_puts(&head, "X-Content-Type-Options: nosniff\r\n");
    buf_append(&head, buf_str(&x->headers), x->headers.len);
    buf_puts(&head, "\r\n");
    x->bytes_out += head.len;
    evbuffer_add(bufferevent_get_output(conn->bev), head.data, head.len);
}

/* ---- whole answers ------------------------------------------------------------------------- */

static void release(const void *bytes, size_t len, void *extra)
{
    (void)len;
    (void)extra;
    free((void *)(uintptr_t)bytes);
}

static void send_bytes(struct http_exchange *x, const void *bytes, size_t len,
                       evbuffer_ref_cleanup_cb done)
{
    if (len > 0 && !x->is_bodyless) {
        evbuffer_add_reference(bufferevent_get_output(x->conn->bev), bytes, len, done, NULL);
        x->bytes_out += len;
    } else if (done) {
        done(bytes, len, NULL);
    }
}

void http_reply_take(struct http_exchange *x, int status, const char *type, struct buf *body_owned)
{
    size_t len = body_owned->len;
    answer_begin(x, status, type, len);
    send_bytes(x, buf_steal(body_owned), len, release);
}

void http_reply_static(struct http_exchange *x, int status, const char *type, const void *bytes,
                       size_t len)
{
    answer_begin(x, status, type, len);
    send_bytes(x, bytes, len, NULL);
}

void http_reply(struct http_exchange *x, int status, const char *type, const struct buf *body)
{
    struct buf copy = BUF_INIT;
    if (body)
        buf_append(&copy, buf_str(body), body->len);
    http_reply_take(x, status, type, &copy);
}

void http_reply_json(struct http_exchange *x, int status, struct buf *body_owned)
{
    http_reply_take(x, status, "application/json", body_owned);
}

void http_reply_empty(struct http_exchange *x, int status)
{
    http_reply_static(x, status, NULL, NULL, 0);
}

void http_reply_problem(struct http_exchange *x, const struct err *err)
{
    http_reply_problem_fields(x, err, NULL, 0);
}

void http_reply_problem_fields(struct http_exchange *x, const struct err *err,
                               const struct problem_field *fields, size_t field_count)
{
    struct buf body = BUF_INIT;
    int status = problem_status(err);
    if (status == 401 && !has_header(x, "WWW-Authenticate"))
        http_set_header(x, "WWW-Authenticate", "Bearer");
    if ((status == 429 || status == 503) && !has_header(x, "Retry-After"))
        http_set_header(x, "Retry-After", "5");
    if (status == 500)
        log_error("http_fault", "path=%s code=%s detail=%s", x->has_head ? http_path(x) : "-",
                  err_name(err), err->text);
    x->problem = problem_of(err);
    problem_write(&body, err, x->has_head ? http_path(x) : NULL, fields, field_count);
    http_reply_take(x, status, PROBLEM_TYPE, &body);
}

/* ---- conditional answers ------------------------------------------------------------------- */

/* RFC 9110 section 13.1.2, with the weak comparison. */
static bool matches(const char *list, const char *tag)
{
    size_t len = strlen(tag);
    while (*list) {
        list += strspn(list, " \t,");
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        if (strncmp(list, tag, len) == 0)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

bool http_not_modified(struct http_exchange *x, const char *tag)
{
    char etag[24];
    (void)snprintf(etag, sizeof etag, "\"%016" PRIx64 "\"", hash_u64(tag, strlen(tag)));
    http_set_header(x, "ETag", etag);
    const char *known = http_header(x, "if-none-match");
    if (!known || !matches(known, etag))
        return false;
    http_reply_empty(x, 304);
    return true;
}
