/* Answers that do not fit into memory at once: streams and files. */
#include "node/http/conn.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>

static struct evbuffer *output_of(const struct http_exchange *x)
{
    return bufferevent_get_output(x->conn->bev);
}

void http_stream_start(struct http_exchange *x, int status, const char *type)
{
    http_gone_fn *gone = x->gone; /* a stream still has somebody to tell */
    answer_begin(x, status, type, -1);
    x->gone = gone;
    x->conn->phase = CONN_STREAMING;
    bufferevent_setwatermark(x->conn->bev, EV_WRITE, CONN_STREAM_LOW, 0);
}

size_t http_stream_waiting(const struct http_exchange *x)
{
    return evbuffer_get_length(output_of(x));
}

int http_stream_write(struct http_exchange *x, const void *bytes, size_t len)
{
    assert(x->conn->phase == CONN_STREAMING);
    struct evbuffer *output = output_of(x);
    size_t waiting = evbuffer_get_length(output);
    if (waiting > 0 && waiting + len > CONN_STREAM_MAX) {
        x->wants_drain = true;
        return ERR_BUSY;
    }
    if (x->is_bodyless || len == 0) /* an empty chunk would end the body */
        return 0;
    if (x->is_chunked)
        evbuffer_add_printf(output, "%zx\r\n", len);
    evbuffer_add(output, bytes, len);
    if (x->is_chunked)
        evbuffer_add(output, "\r\n", 2);
    x->bytes_out += len;
    return 0;
}

void http_on_drain(struct http_exchange *x, http_drain_fn *fn, void *arg)
{
    x->drain = fn;
    x->drain_arg = arg;
}

void stream_writable(struct http_exchange *x)
{
    if (!x->wants_drain || !x->drain || http_stream_waiting(x) >= CONN_STREAM_LOW)
        return;
    x->wants_drain = false;
    x->drain(x, x->drain_arg);
}

void http_stream_end(struct http_exchange *x)
{
    assert(x->conn->phase == CONN_STREAMING);
    if (x->is_chunked && !x->is_bodyless)
        evbuffer_add(output_of(x), "0\r\n\r\n", 5);
    x->gone = NULL;
    x->conn->phase = CONN_SENDING;
    bufferevent_setwatermark(x->conn->bev, EV_WRITE, 0, 0);
    conn_kick(x->conn); /* all of it may have been sent already, and then no event will come */
}

void http_stream_abort(struct http_exchange *x)
{
    x->gone = NULL;
    conn_close(x->conn);
}

void http_reply_file(struct http_exchange *x, int status, const char *type, int fd_owned,
                     uint64_t offset, uint64_t len)
{
    answer_begin(x, status, type, (int64_t)len);
    x->file_fd = fd_owned;
    x->file_at = offset;
    x->file_left = x->is_bodyless ? 0 : len;
    if (x->file_left > 0)
        bufferevent_setwatermark(x->conn->bev, EV_WRITE, CONN_STREAM_LOW, 0);
}

static ssize_t read_piece(struct http_exchange *x)
{
    struct evbuffer_iovec room;
    size_t want = x->file_left < CONN_STREAM_LOW ? (size_t)x->file_left : CONN_STREAM_LOW;
    if (evbuffer_reserve_space(output_of(x), (ev_ssize_t)want, &room, 1) < 1)
        abort();
    ssize_t got;
    do {
        got = pread(x->file_fd, room.iov_base, want, (off_t)x->file_at);
    } while (got < 0 && errno == EINTR);
    room.iov_len = got > 0 ? (size_t)got : 0;
    evbuffer_commit_space(output_of(x), &room, 1);
    return got;
}

bool stream_pump_file(struct http_exchange *x)
{
    if (x->file_fd < 0)
        return true;
    while (x->file_left > 0 && http_stream_waiting(x) < CONN_STREAM_MAX) {
        ssize_t got = read_piece(x);
        if (got <= 0) {
            log_warn("http_file_short", "path=%s missing=%llu", http_path(x),
                     (unsigned long long)x->file_left);
            return false;
        }
        x->file_at += (uint64_t)got;
        x->file_left -= (uint64_t)got;
        x->bytes_out += (uint64_t)got;
    }
    if (x->file_left == 0) {
        close(steal_fd(&x->file_fd));
        bufferevent_setwatermark(x->conn->bev, EV_WRITE, 0, 0);
    }
    return true;
}
