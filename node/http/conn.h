/* conn: one client's connection. Internal to the HTTP server.
 *
 *              first byte        head           body           answered          flushed
 *    idle -----------------> head -----> body ------> held -----------> sending --------> idle
 *                              | refused  | refused                        | to be closed
 *                              +----------+--------------------------------+--> linger -> dead
 *
 * A connection is never freed from inside a callback of its own: conn_close() marks it dead, and
 * its `kick` (an event that runs from the loop) frees it. What a step may not do at once, for it
 * stands in somebody's callback, is left to the kick as well. */
#ifndef NODE_HTTP_CONN_H
#define NODE_HTTP_CONN_H

#include "node/http/parse.h"
#include "node/http/query.h"
#include "node/http/router.h"
#include "node/http/server.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define CONN_READ_MAX    (64 * 1024)
#define CONN_WRITE_MAX   (256 * 1024)
#define CONN_WRITE_LOW   (64 * 1024)
#define CONN_IGNORED_MAX (64 * 1024)

enum conn_phase {
    CONN_IDLE,
    CONN_HEAD,
    CONN_BODY,
    CONN_HELD,
    CONN_SENDING,
    CONN_LINGER,
    CONN_DEAD,
};

struct http_exchange {
    struct conn *conn;
    struct http_server *server;
    struct router_match match;
    struct query query;
    bool has_head; /* method and path may be looked at */
    uint64_t started_us;
    uint64_t bytes_in;
    uint64_t bytes_out;

    uint64_t body_max;
    uint64_t reserved; /* of the server's budget */
    struct buf body;
    const struct http_sink *sink; /* NULL unless it is open */
    void *sink_state;
    void *state;
    bool is_paused;

    struct buf headers; /* of the answer, "Name: value\r\n" each */
    int status;
    const struct problem *problem; /* the answer's row, or NULL */
    bool ends_connection;
    bool is_bodyless; /* HEAD, 204, 304 */
    int file_fd;
    uint64_t file_at;
    uint64_t file_left;

    http_gone_fn *gone;
    void *gone_arg;
};

struct conn {
    TAILQ_ENTRY(conn) links; /* the longest untouched first */
    struct http_server *server;
    struct bufferevent *bev;
    struct event *timer;
    struct event *kick;
    enum conn_phase phase;
    bool is_fresh;       /* nothing was parsed yet: it may be a mesh connection */
    bool is_half_closed; /* the client will send nothing more */
    struct http_parser parser;
    struct http_exchange *x;
    struct sockaddr_storage peer;
    char peer_text[64];
};

TAILQ_HEAD(conn_list, conn);

struct http_server {
    struct event_base *base;
    struct http_config config;
    char **hosts;
    char **origins;
    struct evconnlistener **listeners;
    size_t listener_count;
    struct event *retry_accept;
    struct conn_list conns;
    size_t live_count; /* connections that are not dead */
    struct http_server_stats stats;
    bool is_draining;
    struct event *drained;
    void (*drain_done)(void *arg);
    void *drain_arg;
    char date[32];
    uint64_t date_s;
};

/* conn.c */
void conn_open(struct http_server *server, int fd_owned, const struct sockaddr *peer, int peer_len);
void conn_close(struct conn *self);
void conn_free(struct conn *self);
void conn_kick(struct conn *self);
void conn_set_deadline(struct conn *self, uint32_t ms); /* 0: none */
void conn_answer_flushed(struct conn *self);
void conn_hand_over(struct conn *self);

/* intake.c: what happens to a request on its way in. Each may answer or end it. */
void intake_head(struct conn *conn);
void intake_data(struct conn *conn, const char *data, size_t len);
void intake_end(struct conn *conn);
/* Answers with a problem, and closes where the rest of the request cannot be skipped. */
void intake_refuse(struct conn *conn, const struct err *err);

/* exchange.c */
struct http_exchange *exchange_new(struct conn *conn);
/* Ends it: the sink gets abort, who holds it gets gone if `cut`. */
void exchange_end(struct http_exchange *x, bool cut);
/* Reserves up to a total. Errors: ERR_UNAVAILABLE "busy-bodies". */
int exchange_reserve(struct http_exchange *x, uint64_t total, struct err *err) ERR_CHECKED;

/* answer.c: writes the status line and headers. */
void answer_begin(struct http_exchange *x, int status, const char *type, uint64_t length);

/* file.c */
bool file_pump(struct http_exchange *x); /* false: the file failed */

/* form.c */
extern const struct http_sink form_sink;

/* server.c */
const char *server_date(struct http_server *self);
void server_conn_gone(struct http_server *self);

#endif
