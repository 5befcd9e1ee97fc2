/* Answers that do not fit into memory at once: files. */
#include "node/http/conn.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <event2/buffer.h>

static struct evbuffer *output_of(const struct http_exchange *x)
{
    return bufferevent_get_output(x->conn->bev);
}

void http_reply_file(struct http_exchange *x, int status, const char *type, int fd_owned,
                     uint64_t offset, uint64_t len)
{
    answer_begin(x, status, type, len);
    x->file_fd = fd_owned;
    x->file_at = offset;
    x->file_left = x->is_bodyless ? 0 : len;
    if (x->file_left > 0)
        bufferevent_setwatermark(x->conn->bev, EV_WRITE, CONN_WRITE_LOW, 0);
}

static ssize_t read_piece(struct http_exchange *x)
{
    struct evbuffer_iovec room;
    size_t want = x->file_left < CONN_WRITE_LOW ? (size_t)x->file_left : CONN_WRITE_LOW;
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

bool file_pump(struct http_exchange *x)
{
    if (x->file_fd < 0)
        return true;
    while (x->file_left > 0 && evbuffer_get_length(output_of(x)) < CONN_WRITE_MAX) {
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
