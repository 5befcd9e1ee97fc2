#include "runner/egress/egress_inner.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 64
#define IDLE_MS         300000
#define CONNECT_MS      30000

struct egress *egress_new(const struct egress_config *config)
{
    static const char *const nothing[] = {NULL};
    struct err err = ERR_INIT;
    struct egress *self = mem_new(sizeof *self);
    *self = (struct egress){
        .base = config->base, .resolve = config->resolve, .resolve_arg = config->resolve_arg};
    LIST_INIT(&self->questions);
    if (egress_upstreams_init(&self->upstreams, config->environ_ ? config->environ_ : nothing,
                              &err))
        log_warn("egress_proxy", "%s; nothing that needs it can be reached", err.text);
    return self;
}

void egress_free(struct egress *self_owned)
{
    struct question *at;
    if (!self_owned)
        return;
    while ((at = LIST_FIRST(&self_owned->questions))) {
        LIST_REMOVE(at, links);
        free(at);
    }
    egress_upstreams_fini(&self_owned->upstreams);
    free(self_owned);
}

void egress_add_own_port(struct egress *self, uint16_t port)
{
    if (port && self->own.count < EGRESS_OWN_MAX)
        self->own.ports[self->own.count++] = port;
}

/* ---- connections ---- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int from_len, void *arg)
{
    struct egress_client *self = arg;
    (void)from;
    (void)from_len;
    if (++self->tunnel_count >= self->spec.connections_max)
        evconnlistener_disable(listener);
    tunnel_start(self, (int)fd);
}

/* Without a free descriptor the loop would ask again at once, and for ever. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    struct egress_client *self = arg;
    log_warn("egress_accept", "error=%s", strerror(errno));
    evconnlistener_disable(listener);
    event_add(self->again, &(struct timeval){.tv_sec = 1});
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct egress_client *self = arg;
    (void)fd;
    (void)what;
    if (self->listener && self->tunnel_count < self->spec.connections_max)
        evconnlistener_enable(self->listener);
}

void client_tunnel_gone(struct egress_client *self)
{
    self->tunnel_count--;
    if (!event_pending(self->again, EV_TIMEOUT, NULL))
        on_again(-1, 0, self);
}

/* ---- the listening socket, on its way out of the namespace ---- */

/* Returns owned, or -1: nothing came, or what came listens to nobody. */
static int receive_listener(int mailbox)
{
    char byte;
    char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t got = recvmsg(mailbox, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *part = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!part || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS ||
        part->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int number;
    memcpy(&number, CMSG_DATA(part), sizeof number);
    owned_fd int fd = number;
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens ||
        evutil_make_socket_nonblocking(fd))
        return -1;
    return steal_fd(&fd);
}

static void on_mailbox(evutil_socket_t mailbox, short what, void *arg)
{
    struct egress_client *self = arg;
    (void)what;
    owned_fd int fd = receive_listener((int)mailbox);
    event_del(self->mailbox);
    mem_close_at(&self->mailbox_fd);
    if (fd < 0)
        return; /* whoever should have sent it has failed, and says so itself */
    self->listener = evconnlistener_new(self->egress->base, on_accept, self,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!self->listener)
        return;
    (void)steal_fd(&fd);
    evconnlistener_set_error_cb(self->listener, on_accept_failed);
}

/* ---- clients ---- */

static struct egress_client_spec with_defaults(const struct egress_client_spec *spec)
{
    struct egress_client_spec full = *spec;
    full.bytes_max = spec->bytes_max ? spec->bytes_max : UINT64_MAX;
    full.connections_max = spec->connections_max ? spec->connections_max : CONNECTIONS_MAX;
    full.idle_ms = spec->idle_ms ? spec->idle_ms : IDLE_MS;
    full.connect_ms = spec->connect_ms ? spec->connect_ms : CONNECT_MS;
    return full;
}

struct egress_client *egress_client_new(struct egress *self, const struct egress_client_spec *spec,
                                        int *fd_owned, struct err *err)
{
    int pair[2];
    *fd_owned = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        err_set(err, ERR_IO, "make a socket pair: %m");
        return NULL;
    }
    struct egress_client *client = mem_new(sizeof *client);
    *client =
        (struct egress_client){.egress = self, .spec = with_defaults(spec), .mailbox_fd = pair[0]};
    LIST_INIT(&client->tunnels);
    client->mailbox = event_new(self->base, pair[0], EV_READ, on_mailbox, client);
    client->again = evtimer_new(self->base, on_again, client);
    event_add(client->mailbox, NULL);
    *fd_owned = pair[1];
    return client;
}

void egress_client_free(struct egress_client *self_owned)
{
    struct tunnel *at;
    if (!self_owned)
        return;
    if (self_owned->listener)
        evconnlistener_free(self_owned->listener);
    self_owned->listener = NULL;
    while ((at = LIST_FIRST(&self_owned->tunnels)))
        tunnel_end(at);
    event_free(self_owned->mailbox);
    event_free(self_owned->again);
    mem_close_at(&self_owned->mailbox_fd);
    free(self_owned);
}

void client_note_refusal(struct egress_client *self, const struct egress_refusal *refusal)
{
    for (size_t i = 0; i < self->refusal_count; i++) {
        const struct egress_refusal *at = &self->refusals[i];
        if (at->verdict == refusal->verdict && at->target.port == refusal->target.port &&
            strcmp(at->target.host, refusal->target.host) == 0)
            return;
    }
    if (self->refusal_count == EGRESS_REFUSALS_MAX)
        return;
    owned_buf text = BUF_INIT;
    egress_target_put(&refusal->target, &text);
    log_info("egress_refused", "target=%s reason=%s address=%s", buf_str(&text),
             egress_verdict_reason(refusal->verdict), refusal->address);
    self->refusals[self->refusal_count++] = *refusal;
}

const struct egress_refusal *egress_client_refusals(const struct egress_client *self, size_t *count)
{
    *count = self->refusal_count;
    return self->refusals;
}

unsigned egress_client_failures(const struct egress_client *self) { return self->failures; }
bool egress_client_is_over(const struct egress_client *self) { return self->is_over; }
uint64_t egress_client_bytes(const struct egress_client *self) { return self->bytes; }
