#include "node/http/conn.h"

#include "node/http/problem.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

static const char mesh_magic[4] = {'M', 'S', 'H', '1'};

/* ---- life --------------------------------------------------------------------------------- */

void conn_set_deadline(struct conn *self, uint32_t ms)
{
    if (ms == 0) {
        event_del(self->timer);
        return;
    }
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    event_add(self->timer, &wait);
}

void conn_kick(struct conn *self) { event_active(self->kick, 0, 0); }

static void touch(struct conn *self)
{
    TAILQ_REMOVE(&self->server->conns, self, links);
    TAILQ_INSERT_TAIL(&self->server->conns, self, links);
}

void conn_close(struct conn *self)
{
    if (self->phase == CONN_DEAD)
        return;
    self->phase = CONN_DEAD;
    self->server->live_count--;
    if (self->x)
        exchange_end(steal_ptr(&self->x), true);
    bufferevent_disable(self->bev, EV_READ | EV_WRITE);
    event_del(self->timer);
    conn_kick(self);
}

void conn_free(struct conn *self)
{
    struct http_server *server = self->server;
    TAILQ_REMOVE(&server->conns, self, links);
    http_parse_fini(&self->parser);
    event_free(self->timer);
    event_free(self->kick);
    bufferevent_free(self->bev);
    free(self);
    server_conn_gone(server);
}

/* ---- what comes in ------------------------------------------------------------------------- */

/* Returns whether the first bytes are the mesh's, or may still become them. */
static bool is_mesh(struct conn *self)
{
    char first[sizeof mesh_magic];
    struct evbuffer *input = bufferevent_get_input(self->bev);
    ev_ssize_t len = evbuffer_copyout(input, first, sizeof first);
    if (!self->server->config.adopt || len <= 0 || memcmp(first, mesh_magic, (size_t)len) != 0)
        return false;
    if (len == sizeof first)
        conn_hand_over(self);
    else
        conn_set_deadline(self, self->server->config.limits.head_ms);
    return true;
}

void conn_hand_over(struct conn *self)
{
    struct http_server *server = self->server;
    struct evbuffer *input = bufferevent_get_input(self->bev);
    size_t len = evbuffer_get_length(input);
    owned_mem char *first = mem_new(len);
    evbuffer_remove(input, first, len);
    int fd = bufferevent_getfd(self->bev);
    bufferevent_disable(self->bev, EV_READ | EV_WRITE);
    bufferevent_setfd(self->bev, -1);
    conn_close(self);
    server->config.adopt(fd, first, len, server->config.adopt_arg);
}

static void take_event(struct conn *self, const struct http_parse_out *out)
{
    struct err err;
    switch (out->event) {
    case HTTP_PARSE_MORE:
        return;
    case HTTP_PARSE_HEAD:
        intake_head(self);
        return;
    case HTTP_PARSE_DATA:
        intake_data(self, out->data, out->data_len);
        return;
    case HTTP_PARSE_END:
        intake_end(self);
        return;
    case HTTP_PARSE_BAD:
        err_refuse(&err, ERR_INVALID, out->reason, "%s", problem_find(out->reason)->title);
        intake_refuse(self, &err);
        return;
    }
}

static bool is_taking(const struct conn *self)
{
    return self->phase == CONN_IDLE || self->phase == CONN_HEAD ||
           (self->phase == CONN_BODY && !self->x->is_paused);
}

static void note_begin(struct conn *self)
{
    if (self->phase != CONN_IDLE || !http_parse_has_begun(&self->parser))
        return;
    self->phase = CONN_HEAD;
    self->is_fresh = false;
    self->x = exchange_new(self);
    conn_set_deadline(self, self->server->config.limits.head_ms);
}

/* Bodies come in many little pieces of memory; sinks are better off with a large one. */
static struct evbuffer_iovec next_piece(struct conn *self)
{
    struct evbuffer *input = bufferevent_get_input(self->bev);
    struct evbuffer_iovec piece = {.iov_base = NULL, .iov_len = 0};
    size_t len = evbuffer_get_length(input);
    if (self->phase == CONN_BODY && len > 0)
        evbuffer_pullup(input, (ev_ssize_t)(len < CONN_READ_MAX ? len : CONN_READ_MAX));
    evbuffer_peek(input, -1, NULL, &piece, 1);
    if (piece.iov_len > CONN_READ_MAX)
        piece.iov_len = CONN_READ_MAX;
    return piece;
}

static void advance(struct conn *self)
{
    struct evbuffer *input = bufferevent_get_input(self->bev);
    if (self->is_fresh && is_mesh(self))
        return;
    while (is_taking(self)) {
        struct evbuffer_iovec piece = next_piece(self);
        struct http_parse_out out;
        http_parse_step(&self->parser, piece.iov_base, piece.iov_len, &out);
        note_begin(self);
        take_event(self, &out);
        evbuffer_drain(input, out.used);
        if (out.event == HTTP_PARSE_MORE && evbuffer_get_length(input) == 0)
            return;
    }
}

/* A bufferevent reads 4 KiB at a time, whatever it is told: too little for an upload. What else the
 * kernel has is fetched here in one piece. The end and errors are left for the bufferevent to find.
 */
static void top_up(struct conn *self)
{
    struct evbuffer *input = bufferevent_get_input(self->bev);
    size_t len = evbuffer_get_length(input);
    struct evbuffer_iovec room;
    if (len >= CONN_READ_MAX)
        return;
    evbuffer_unfreeze(input, 0);
    if (evbuffer_reserve_space(input, (ev_ssize_t)(CONN_READ_MAX - len), &room, 1) == 1) {
        if (room.iov_len > CONN_READ_MAX - len)
            room.iov_len = CONN_READ_MAX - len;
        ssize_t got = read(bufferevent_getfd(self->bev), room.iov_base, room.iov_len);
        room.iov_len = got > 0 ? (size_t)got : 0;
        evbuffer_commit_space(input, &room, 1);
    }
    evbuffer_freeze(input, 0);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *self = arg;
    touch(self);
    if (self->phase == CONN_LINGER) {
        struct evbuffer *input = bufferevent_get_input(bev);
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    if (self->phase == CONN_BODY && !self->x->is_paused) {
        conn_set_deadline(self, self->server->config.limits.body_ms);
        top_up(self);
    }
    advance(self);
}

/* ---- what goes out ------------------------------------------------------------------------- */

static void linger(struct conn *self)
{
    self->phase = CONN_LINGER;
    struct evbuffer *input = bufferevent_get_input(self->bev);
    evbuffer_drain(input, evbuffer_get_length(input));
    shutdown(bufferevent_getfd(self->bev), SHUT_WR);
    conn_set_deadline(self, self->server->config.limits.linger_ms);
}

static void report(struct http_exchange *x)
{
    const struct http_config *config = &x->server->config;
    if (!config->answered)
        return;
    struct http_answered what = {
        .method = http_method(x),
        .pattern = x->match.route ? x->match.route->pattern : NULL,
        .status = x->status,
        .took_us = clock_mono_us() - x->started_us,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .problem = x->problem,
    };
    config->answered(&what, config->arg);
}

void conn_answer_flushed(struct conn *self)
{
    struct http_exchange *x = steal_ptr(&self->x);
    bool ends = x->ends_connection || self->is_half_closed || self->server->is_draining;
    bool is_whole = self->parser.state == HTTP_AT_END;
    report(x);
    exchange_end(x, false);
    if (ends && (is_whole || self->is_half_closed)) {
        conn_close(self);
    } else if (ends) {
        /* The client may still be sending: closing now would reset the connection, and the reset
         * could take our answer out of its hands. */
        linger(self);
    } else {
        http_parse_next(&self->parser);
        self->phase = CONN_IDLE;
        conn_set_deadline(self, self->server->config.limits.idle_ms);
        conn_kick(self);
    }
}

static void check_output(struct conn *self)
{
    if (self->phase != CONN_SENDING)
        return;
    if (!file_pump(self->x))
        conn_close(self);
    else if (evbuffer_get_length(bufferevent_get_output(self->bev)) == 0)
        conn_answer_flushed(self);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct conn *self = arg;
    touch(self);
    check_output(self);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *self = arg;
    if (self->phase == CONN_DEAD) {
        conn_free(self);
        return;
    }
    check_output(self);
    advance(self);
}

/* ---- what goes wrong ----------------------------------------------------------------------- */

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct conn *self = arg;
    bool is_only_half = (what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING);
    self->is_half_closed |= is_only_half;
    /* A client that has all it wants to say may close its side and wait for the answer that is
     * on its way. One that nobody has answered yet counts as gone: there is no telling it apart. */
    if (!is_only_half || self->phase != CONN_SENDING)
        conn_close(self);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *self = arg;
    struct err err;
    if (self->phase == CONN_HEAD || self->phase == CONN_BODY) {
        err_refuse(&err, ERR_TIMEOUT, "http-slow", "the %s did not come in time",
                   self->phase == CONN_HEAD ? "head of the request" : "body");
        intake_refuse(self, &err);
    } else {
        conn_close(self);
    }
}

/* ---- birth -------------------------------------------------------------------------------- */

static void name_peer(struct conn *self)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (self->peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&self->peer;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        (void)snprintf(self->peer_text, sizeof self->peer_text, "[%s]:%u", host,
                       ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&self->peer;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        (void)snprintf(self->peer_text, sizeof self->peer_text, "%s:%u", host,
                       ntohs(four->sin_port));
    }
}

void conn_open(struct http_server *server, int fd_owned, const struct sockaddr *peer, int peer_len)
{
    const struct http_limits *limits = &server->config.limits;
    struct conn *self = mem_new(sizeof *self);
    self->server = server;
    self->is_fresh = true;
    if (peer_len > 0 && (size_t)peer_len <= sizeof self->peer)
        memcpy(&self->peer, peer, (size_t)peer_len);
    name_peer(self);
    int on = 1;
    (void)setsockopt(fd_owned, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    self->bev = bufferevent_socket_new(server->base, fd_owned, BEV_OPT_CLOSE_ON_FREE);
    self->timer = evtimer_new(server->base, on_deadline, self);
    self->kick = event_new(server->base, -1, 0, on_kick, self);
    http_parse_init(&self->parser,
                    &(struct http_parse_limits){.head_bytes = limits->head_bytes,
                                                .head_fields = limits->head_fields,
                                                .target_bytes = limits->target_bytes});
    TAILQ_INSERT_TAIL(&server->conns, self, links);
    server->live_count++;
    struct timeval write_wait = {.tv_sec = limits->write_ms / 1000,
                                 .tv_usec = (limits->write_ms % 1000) * 1000};
    bufferevent_setcb(self->bev, on_read, on_write, on_event, self);
    bufferevent_setwatermark(self->bev, EV_READ, 0, CONN_READ_MAX);
    bufferevent_set_max_single_read(self->bev, CONN_READ_MAX);
    bufferevent_set_max_single_write(self->bev, CONN_WRITE_MAX);
    bufferevent_set_timeouts(self->bev, NULL, &write_wait);
    conn_set_deadline(self, limits->idle_ms);
    bufferevent_enable(self->bev, EV_READ | EV_WRITE);
}
