#include "node/net/net.h"

#include "node/net/addr.h"
#include "node/net/net_inner.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define BACKLOG    512
#define PORT_TRIES 16 /* for a number that is free in UDP and in TCP */
#define TICK_MS    500

/* ---- the key --------------------------------------------------------------------------------- */

static int check_key_file(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(err, ERR_IO, "%s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FORBIDDEN, "%s: the cluster's key must be a plain file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, ERR_FORBIDDEN,
                       "%s: belongs to user %u: the cluster's key must be this user's or root's",
                       path, (unsigned)st.st_uid);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, ERR_FORBIDDEN,
                       "%s: mode %04o lets others read the cluster's key: chmod 600 it", path,
                       (unsigned)(st.st_mode & 07777));
    return 0;
}

static int read_keys(const char *path, struct keys *out, struct err *err)
{
    char text[KEYS_TEXT_MAX + 1];
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %m", path);
    int rc = check_key_file(fd, path, err);
    if (rc)
        return rc;
    ssize_t len = read(fd, text, sizeof text);
    rc = len < 0 ? err_set(err, ERR_IO, "%s: %m", path) : keys_parse(text, (size_t)len, out, err);
    sodium_memzero(text, sizeof text);
    if (rc && len >= 0)
        return err_wrap(err, "%s", path);
    return rc;
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static uint32_t min_ms(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Deadlines are met to an eighth of the shortest: they are rough, and one timer does for all. */
static void arm(struct net *self)
{
    const struct net_config *config = &self->config;
    uint32_t shortest = min_ms(min_ms(config->handshake_ms, config->stall_ms),
                               min_ms(config->idle_ms, config->linger_ms));
    uint32_t ms = min_ms(shortest / 8 + 1, TICK_MS);
    event_add(self->tick, &(struct timeval){.tv_usec = (int)ms * 1000});
}

void net_watch_deadlines(struct net *self)
{
    if (!event_pending(self->tick, EV_TIMEOUT, NULL))
        arm(self);
}

static bool has_links_to_close(const struct net *self) { return !TAILQ_EMPTY(&self->channels); }

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct net *self = arg;
    uint64_t now = clock_mono_ms();
    bool is_over = self->is_leaving && now - self->leaving_ms >= self->config.linger_ms;
    struct channel *at = TAILQ_FIRST(&self->channels);
    while (at) {
        struct channel *next = TAILQ_NEXT(at, links);
        if (is_over)
            channel_fail(at, NET_DOWN_BYE);
        else
            channel_check(at, now);
        /* A callback may have ended the next one too: then the rest waits for the next tick. */
        if (next && next->phase == CHANNEL_DEAD)
            break;
        at = next;
    }
    if (has_links_to_close(self) || (self->is_leaving && self->left))
        arm(self);
    net_settle(self);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    channel_bury(arg);
}

/* ---- leaving --------------------------------------------------------------------------------- */

void net_settle(struct net *self)
{
    if (self->is_leaving && self->left && TAILQ_EMPTY(&self->channels))
        event_active(self->settled, 0, 0);
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct net *self = arg;
    void (*left)(void *) = self->left;
    self->left = NULL;
    if (left)
        left(self->left_arg);
}

static void stop_listening(struct net *self)
{
    for (size_t i = 0; i < self->listener_count; i++)
        evconnlistener_free(self->listeners[i]);
    self->listener_count = 0;
}

void net_leave(struct net *self, void (*done)(void *arg), void *arg)
{
    stop_listening(self);
    self->is_leaving = true;
    self->leaving_ms = clock_mono_ms();
    self->left = done;
    self->left_arg = arg;
    peers_leave(self);
    net_watch_deadlines(self);
    net_settle(self);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* Strangers cost little and get little: the one that has waited longest gives way. */
static void make_room(struct net *self)
{
    struct channel *at = TAILQ_FIRST(&self->channels), *next;
    for (; at && self->stats.strangers >= self->config.strangers_max; at = next) {
        next = TAILQ_NEXT(at, links);
        if (at->peer)
            continue;
        self->stats.links_crowded++;
        channel_kill(at);
    }
}

void net_adopt(int fd_owned, const void *first, size_t len, void *net)
{
    struct net *self = net;
    owned_fd int fd = fd_owned;
    struct sockaddr_storage from = {0};
    socklen_t from_len = sizeof from;
    struct wire_addr addr = {0};
    if (getpeername(fd, (struct sockaddr *)&from, &from_len) == 0)
        addr = addr_from_socket((struct sockaddr *)&from);
    self->stats.links_accepted++;
    if (!net_may_speak(self, &addr)) {
        self->stats.links_foreign++;
        return;
    }
    if (self->is_leaving)
        return;
    make_room(self);
    channel_feed(channel_new(self, steal_fd(&fd), &addr, false), first, len);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int from_len, void *arg)
{
    (void)listener;
    (void)from;
    (void)from_len;
    net_adopt(fd, NULL, 0, arg);
}

/* Out of descriptors: the kernel keeps the newcomer and would wake us without end. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct net *self = arg;
    log_warn("mesh_accept", "error=%s", strerror(errno));
    self->stats.links_crowded++;
    evconnlistener_disable(listener);
    event_add(self->retry, &(struct timeval){.tv_usec = 100 * 1000});
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct net *self = arg;
    for (size_t i = 0; i < self->listener_count; i++)
        evconnlistener_enable(self->listeners[i]);
}

static int listen_tcp(struct net *self, const struct wire_addr *at, struct wire_addr *bound,
                      struct err *err)
{
    char text[WIRE_ADDR_TEXT];
    struct sockaddr_storage where;
    socklen_t len = addr_to_socket(at, &where);
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    if (at->family == 6)
        flags |= LEV_OPT_BIND_IPV6ONLY;
    struct evconnlistener *listener = evconnlistener_new_bind(
        self->base, on_accept, self, flags, BACKLOG, (struct sockaddr *)&where, (int)len);
    if (!listener)
        return err_set(err, errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "listen at %s: %m",
                       wire_addr_format(at, text));
    len = sizeof where;
    if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&where, &len)) {
        evconnlistener_free(listener);
        return err_set(err, ERR_IO, "getsockname: %m");
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    self->listeners[self->listener_count++] = listener;
    *bound = addr_from_socket((struct sockaddr *)&where);
    return 0;
}

static int listen_both(struct net *self, const struct wire_addr *at, uint16_t *port,
                       struct err *err)
{
    struct wire_addr bound;
    int rc = listen_tcp(self, at, &bound, err);
    if (rc)
        return rc;
    rc = udp_open(self, &bound, port, err);
    if (rc)
        evconnlistener_free(self->listeners[--self->listener_count]);
    return rc;
}

static bool is_any(const struct wire_addr *addr)
{
    static const uint8_t none[16];
    return memcmp(addr->ip, none, sizeof none) == 0;
}

static void narrow(struct wire_addr *addr)
{
    if (addr->family == 4)
        memcpy(addr->ip, (const uint8_t[]){127, 0, 0, 1}, 4);
    else
        addr->ip[15] = 1;
}

int net_listen(struct net *self, const char *address, bool links, uint16_t *port, struct err *err)
{
    struct wire_addr at;
    int rc = addr_read_listen(address, &at, err);
    if (rc)
        return rc;
    if (self->udp_count == NET_LISTEN_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d addresses for the mesh", NET_LISTEN_MAX);
    if (!self->has_key && is_any(&at))
        narrow(&at);
    if (!net_may_speak(self, &at))
        return err_set(err, ERR_INVALID,
                       "the mesh at %.100s needs a key file: without one it is for this machine",
                       address);
    if (!links)
        return udp_open(self, &at, port, err);
    rc = ERR_CONFLICT;
    for (int i = 0; rc == ERR_CONFLICT && i < (at.port == 0 ? PORT_TRIES : 1); i++)
        rc = listen_both(self, &at, port, err);
    return rc;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void or_default(uint32_t *value, uint32_t fallback)
{
    if (*value == 0)
        *value = fallback;
}

static void fill_defaults(struct net_config *config)
{
    or_default(&config->connect_ms, 2000);
    or_default(&config->handshake_ms, 5000);
    or_default(&config->stall_ms, 10000);
    or_default(&config->idle_ms, 60000);
    or_default(&config->linger_ms, 2000);
    or_default(&config->redial_ms, 100);
    if (config->queue_bytes == 0)
        config->queue_bytes = 32u << 20;
    if (config->links_max == 0)
        config->links_max = 2048;
    if (config->strangers_max == 0)
        config->strangers_max = 128;
}

static void make_events(struct net *self)
{
    self->reaper = event_new(self->base, -1, 0, on_reap, self);
    self->tick = evtimer_new(self->base, on_tick, self);
    self->settled = event_new(self->base, -1, 0, on_settled, self);
    self->retry = evtimer_new(self->base, on_retry, self);
}

struct net *net_new(struct event_base *base, const struct net_config *config, struct err *err)
{
    struct keys keys;
    if (!config->key_file)
        keys_from_name(config->cluster, &keys);
    else if (read_keys(config->key_file, &keys, err))
        return NULL;
    assert(wire_text_ok(config->name, WIRE_NAME_MAX) &&
           wire_text_ok(config->cluster, WIRE_NAME_MAX));
    struct net *self = mem_new(sizeof *self);
    signal(SIGPIPE, SIG_IGN);
    self->base = base;
    self->config = *config;
    self->config.cluster = mem_strdup(config->cluster);
    self->config.name = mem_strdup(config->name);
    self->config.key_file = NULL;
    fill_defaults(&self->config);
    self->nid = id_node_short(&config->nid);
    self->keys = keys;
    keys_wipe(&keys);
    self->has_key = config->key_file != NULL;
    self->seal = seal_new(&(struct seal_config){
        .keys = &self->keys, .cluster = config->cluster, .node = self->nid, .boot = config->boot});
    TAILQ_INIT(&self->channels);
    TAILQ_INIT(&self->graveyard);
    TAILQ_INIT(&self->probes);
    self->names = names_new(base, config->name_server);
    self->config.name_server = NULL;
    make_events(self);
    return self;
}

void net_free(struct net *self_owned)
{
    struct net *self = self_owned;
    if (!self)
        return;
    stop_listening(self);
    udp_close_all(self);
    probe_cancel_all(self);
    peers_free_all(self);
    while (!TAILQ_EMPTY(&self->channels))
        channel_kill(TAILQ_FIRST(&self->channels));
    channel_bury(self);
    names_free(self->names);
    event_free(self->reaper);
    event_free(self->tick);
    event_free(self->settled);
    event_free(self->retry);
    seal_free(self->seal);
    keys_wipe(&self->keys);
    free((char *)self->config.cluster);
    free((char *)self->config.name);
    free(self);
}

void net_hook(struct net *self, const struct net_hooks *hooks)
{
    self->hooks = hooks ? *hooks : (struct net_hooks){0};
}

const struct keys *net_keys(const struct net *self) { return &self->keys; }

int net_resolve(struct net *self, const char *name, uint16_t default_port, net_resolved_fn *done,
                void *arg, struct err *err)
{
    return names_resolve(self->names, name, default_port, done, arg, err);
}
