#include "node/http/conn.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BACKLOG         1024
#define RETRY_ACCEPT_MS 100
#define ROOM_AT_ONCE    16
#define FD_RESERVE                                                                                 \
    128 /* descriptors that are not for connections: files, pipes of children, peers */
#define CONNECTIONS_MIN 16

struct http_limits http_limits_default(void)
{
    return (struct http_limits){
        .head_bytes = 32 * 1024,
        .head_fields = HTTP_FIELDS_MAX,
        .target_bytes = 8 * 1024,
        .body_bytes = 1024 * 1024,
        .budget_bytes = 64 * 1024 * 1024,
        .connections = 4096,
        .head_ms = 10000,
        .body_ms = 30000,
        .write_ms = 30000,
        .idle_ms = 60000,
        .linger_ms = 2000,
    };
}

/* ---- helpers of connections ---------------------------------------------------------------- */

const char *server_date(struct http_server *self)
{
    uint64_t now_s = clock_wall_ms() / 1000;
    if (now_s != self->date_s) {
        time_t when = (time_t)now_s;
        struct tm utc;
        gmtime_r(&when, &utc);
        strftime(self->date, sizeof self->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        self->date_s = now_s;
    }
    return self->date;
}

void server_conn_gone(struct http_server *self)
{
    if (self->is_draining && TAILQ_EMPTY(&self->conns))
        event_active(self->drained, 0, 0);
}

/* ---- accepting ----------------------------------------------------------------------------- */

static struct conn *find_idlest(struct http_server *self)
{
    struct conn *conn;
    TAILQ_FOREACH(conn, &self->conns, links)
    if (conn->phase == CONN_IDLE || conn->phase == CONN_HEAD || conn->phase == CONN_LINGER)
        return conn;
    TAILQ_FOREACH(conn, &self->conns, links)
    if (conn->phase == CONN_BODY && !conn->x->is_paused)
        return conn;
    return NULL;
}

static bool make_room(struct http_server *self)
{
    struct conn *idlest = find_idlest(self);
    if (!idlest)
        return false;
    self->stats.evicted++;
    conn_close(idlest);
    return true;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int peer_len, void *arg)
{
    (void)listener;
    struct http_server *self = arg;
    self->stats.accepted++;
    if (self->live_count >= self->config.limits.connections && !make_room(self)) {
        close(fd);
        return;
    }
    conn_open(self, fd, peer, peer_len);
}

static void set_accepting(struct http_server *self, bool on)
{
    for (size_t i = 0; i < self->listener_count; i++) {
        if (on)
            evconnlistener_enable(self->listeners[i]);
        else
            evconnlistener_disable(self->listeners[i]);
    }
}

/* Out of descriptors: the kernel keeps the newcomer waiting and would wake us without end. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)listener;
    struct http_server *self = arg;
    log_warn("http_accept", "error=%s", strerror(errno));
    for (int i = 0; i < ROOM_AT_ONCE && make_room(self); i++)
        continue;
    set_accepting(self, false);
    event_add(self->retry_accept, &(struct timeval){.tv_usec = RETRY_ACCEPT_MS * 1000});
}

static void on_retry_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    set_accepting(arg, true);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_server *self = arg;
    void (*done)(void *) = self->drain_done;
    self->drain_done = NULL;
    if (done)
        done(self->drain_arg);
}

/* ---- life ---------------------------------------------------------------------------------- */

static char **copy_list(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    char **copy = mem_new_array(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_strdup(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (char **at = list; *at; at++)
        free(*at);
    free(list);
}

/* More connections than descriptors help nobody. */
static size_t fit_connections(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return wanted;
    size_t most = limit.rlim_cur > FD_RESERVE + CONNECTIONS_MIN ? limit.rlim_cur - FD_RESERVE
                                                                : CONNECTIONS_MIN;
    return wanted < most ? wanted : most;
}

struct http_server *http_server_new(struct event_base *base, const struct http_config *config)
{
    struct http_server *self = mem_new(sizeof *self);
    assert(config->limits.head_fields <= HTTP_FIELDS_MAX && config->limits.connections > 0);
    signal(SIGPIPE, SIG_IGN);
    self->base = base;
    self->config = *config;
    self->config.limits.connections = fit_connections(config->limits.connections);
    self->hosts = copy_list(config->hosts);
    self->origins = copy_list(config->origins);
    self->config.hosts = (const char *const *)self->hosts;
    self->config.origins = (const char *const *)self->origins;
    self->retry_accept = evtimer_new(base, on_retry_accept, self);
    self->drained = event_new(base, -1, 0, on_drained, self);
    TAILQ_INIT(&self->conns);
    return self;
}

static void free_listeners(struct http_server *self)
{
    for (size_t i = 0; i < self->listener_count; i++)
        evconnlistener_free(self->listeners[i]);
    self->listener_count = 0;
    event_del(self->retry_accept);
}

void http_server_free(struct http_server *self)
{
    if (!self)
        return;
    free_listeners(self);
    struct conn *conn;
    while ((conn = TAILQ_FIRST(&self->conns))) {
        conn_close(conn);
        conn_free(conn);
    }
    event_free(self->retry_accept);
    event_free(self->drained);
    free_list(self->hosts);
    free_list(self->origins);
    free(self->listeners);
    free(self);
}

void http_server_drain(struct http_server *self, void (*done)(void *arg), void *arg)
{
    self->is_draining = true;
    self->drain_done = done;
    self->drain_arg = arg;
    free_listeners(self);
    struct conn *conn;
    TAILQ_FOREACH(conn, &self->conns, links)
    if (conn->phase == CONN_IDLE)
        conn_close(conn);
    if (TAILQ_EMPTY(&self->conns))
        event_active(self->drained, 0, 0);
}

struct http_server_stats http_server_stats(const struct http_server *self)
{
    struct http_server_stats stats = self->stats;
    stats.connections = self->live_count;
    return stats;
}

const struct http_server *http_server_of(const struct http_exchange *x) { return x->server; }

/* ---- listening ----------------------------------------------------------------------------- */

static int port_of(int fd, uint16_t *port, struct err *err)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
        return err_set(err, ERR_IO, "getsockname: %m");
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

static void keep(struct http_server *self, struct evconnlistener *listener)
{
    self->listeners =
        mem_resize(self->listeners, self->listener_count + 1, sizeof *self->listeners);
    self->listeners[self->listener_count++] = listener;
    evconnlistener_set_error_cb(listener, on_accept_error);
}

static int read_address(const char *text, struct sockaddr_storage *out, int *len, struct err *err)
{
    static const char local[] = "localhost:";
    owned_mem char *full = NULL;
    if (*text == ':')
        full = mem_printf("0.0.0.0%s", text);
    else if (strncmp(text, local, sizeof local - 1) == 0)
        full = mem_printf("127.0.0.1:%s", text + sizeof local - 1);
    else
        full = mem_strdup(text);
    *len = sizeof *out;
    const char *port = strrchr(full, ':');
    if (!port || (port[1] != '0' && atoi(port + 1) <= 0))
        return err_set(err, ERR_INVALID, "'%s' is no address:port", text);
    bool is_any = strspn(port + 1, "0") == strlen(port + 1);
    /* libevent's reader refuses port 0: read another and put it back. */
    owned_mem char *numbered =
        mem_printf("%.*s:%s", (int)(port - full), full, is_any ? "1" : port + 1);
    if (evutil_parse_sockaddr_port(numbered, (struct sockaddr *)out, len) < 0)
        return err_set(err, ERR_INVALID, "'%s' is no address:port", text);
    if (is_any && out->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)out)->sin6_port = 0;
    else if (is_any)
        ((struct sockaddr_in *)out)->sin_port = 0;
    return 0;
}

int http_server_listen(struct http_server *self, const char *address, uint16_t *port,
                       struct err *err)
{
    struct sockaddr_storage where;
    int len;
    int rc = read_address(address, &where, &len, err);
    if (rc)
        return rc;
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    if (where.ss_family == AF_INET6)
        flags |=
            LEV_OPT_BIND_IPV6ONLY; /* so that "0.0.0.0:80" and "[::]:80" may stand side by side */
    struct evconnlistener *listener = evconnlistener_new_bind(
        self->base, on_accept, self, flags, BACKLOG, (struct sockaddr *)&where, len);
    if (!listener)
        return err_set(err, errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "listen on %s: %m",
                       address);
    keep(self, listener);
    return port_of(evconnlistener_get_fd(listener), port, err);
}
