/* Datagrams. */
#include "node/net/addr.h"
#include "node/net/net_inner.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define BATCH       16
#define ROUND_MAX   4                     /* batches a turn of the loop */
#define ERRORS_MAX  64                    /* errors a turn */
#define PACKET_ROOM (WIRE_PACKET_MAX + 1) /* so that one that is too long shows */
#define BUFFER      (4 << 20)             /* bytes that the kernel may keep: bursts of a big mesh */

/* ---- in -------------------------------------------------------------------------------------- */

static void count_verdict(struct net_stats *stats, enum seal_verdict verdict)
{
    if (verdict == SEAL_KEY_UNKNOWN)
        stats->datagrams_keyless++;
    else if (verdict == SEAL_FORGED)
        stats->datagrams_forged++;
    else if (verdict == SEAL_OWN)
        stats->datagrams_own++;
    else if (verdict == SEAL_OLD || verdict == SEAL_REPLAYED)
        stats->datagrams_replayed++;
    else
        stats->datagrams_malformed++;
}

static void take(struct net *self, const struct sockaddr *from, const uint8_t *packet, size_t len)
{
    struct net_from who = {.addr = addr_from_socket(from)};
    self->stats.datagrams_in++;
    self->stats.datagram_bytes_in += len;
    if (!net_may_speak(self, &who.addr)) {
        self->stats.datagrams_foreign++;
        return;
    }
    struct seal_opened opened;
    enum seal_verdict verdict = seal_open(self->seal, packet, len, &opened);
    if (verdict != SEAL_OK) {
        count_verdict(&self->stats, verdict);
        return;
    }
    who.nid = opened.node;
    who.boot = opened.boot;
    if (self->config.events->datagram)
        self->config.events->datagram(self->config.arg, &who, opened.body, opened.len);
}

/* Returns how many packets came. */
static int read_batch(struct udp *udp)
{
    struct net *self = udp->net;
    struct mmsghdr heads[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_storage from[BATCH];
    memset(heads, 0, sizeof heads);
    for (size_t i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){self->scratch + i * PACKET_ROOM, PACKET_ROOM};
        heads[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                           .msg_namelen = sizeof from[i],
                                           .msg_iov = &parts[i],
                                           .msg_iovlen = 1};
    }
    int count = recvmmsg(udp->fd, heads, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        take(self, (struct sockaddr *)&from[i], parts[i].iov_base, heads[i].msg_len);
    return count;
}

static bool is_port_unreachable(const struct sock_extended_err *error)
{
    return (error->ee_origin == SO_EE_ORIGIN_ICMP && error->ee_type == ICMP_DEST_UNREACH &&
            error->ee_code == ICMP_PORT_UNREACH) ||
           (error->ee_origin == SO_EE_ORIGIN_ICMP6 && error->ee_type == ICMP6_DST_UNREACH &&
            error->ee_code == ICMP6_DST_UNREACH_NOPORT);
}

/* The kernel's memory of what came back by ICMP, with the address that it was sent to. */
static bool read_error(struct udp *udp)
{
    struct net *self = udp->net;
    struct sockaddr_storage to;
    uint8_t control[512];
    struct msghdr head = {.msg_name = &to,
                          .msg_namelen = sizeof to,
                          .msg_control = control,
                          .msg_controllen = sizeof control};
    if (recvmsg(udp->fd, &head, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return false;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&head); at; at = CMSG_NXTHDR(&head, at)) {
        bool is_error = (at->cmsg_level == SOL_IP && at->cmsg_type == IP_RECVERR) ||
                        (at->cmsg_level == SOL_IPV6 && at->cmsg_type == IPV6_RECVERR);
        struct sock_extended_err error;
        if (!is_error || at->cmsg_len < CMSG_LEN(sizeof error))
            continue;
        memcpy(&error, CMSG_DATA(at), sizeof error);
        if (!is_port_unreachable(&error))
            continue;
        struct wire_addr addr = addr_from_socket((struct sockaddr *)&to);
        self->stats.unreachables++;
        if (self->config.events->unreachable)
            self->config.events->unreachable(self->config.arg, &addr);
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct udp *udp = arg;
    for (int i = 0; i < ERRORS_MAX && read_error(udp); i++)
        continue;
    for (int i = 0; i < ROUND_MAX && read_batch(udp) == BATCH; i++)
        continue;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* A socket of the family; of several, one that is bound on the same side of the machine's edge. */
static const struct udp *choose(const struct net *self, const struct wire_addr *to)
{
    const struct udp *best = NULL;
    for (size_t i = 0; i < self->udp_count; i++) {
        const struct udp *at = &self->udp[i];
        if (at->bound.family != to->family)
            continue;
        if (!best || wire_addr_is_loopback(&at->bound) == wire_addr_is_loopback(to))
            best = at;
    }
    return best;
}

int net_send(struct net *self, const struct wire_addr *to, const void *body, size_t len)
{
    uint8_t packet[WIRE_PACKET_MAX];
    struct sockaddr_storage where;
    if (len > WIRE_PACKET_BODY)
        return ERR_TOO_LARGE;
    if (!net_may_speak(self, to))
        return ERR_FORBIDDEN;
    const struct udp *udp = choose(self, to);
    size_t size = seal_close(self->seal, body, len, packet);
    socklen_t where_len = addr_to_socket(to, &where);
    ssize_t sent = -1;
    /* The first call may bring back the error of an earlier datagram to somebody else. */
    for (int i = 0; udp && sent < 0 && i < 2; i++)
        sent = sendto(udp->fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&where,
                      where_len);
    if (sent < 0) {
        self->stats.datagrams_unsent++;
        return ERR_UNAVAILABLE;
    }
    self->stats.datagrams_out++;
    self->stats.datagram_bytes_out += size;
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int prepare(int fd, int family)
{
    int on = 1, room = BUFFER;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room); /* as much as is allowed */
    if (family == AF_INET)
        return setsockopt(fd, SOL_IP, IP_RECVERR, &on, sizeof on);
    return setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &on, sizeof on) ||
           setsockopt(fd, SOL_IPV6, IPV6_RECVERR, &on, sizeof on);
}

int udp_open(struct net *self, const struct wire_addr *at, uint16_t *port, struct err *err)
{
    char text[WIRE_ADDR_TEXT];
    struct sockaddr_storage where;
    socklen_t len = addr_to_socket(at, &where);
    owned_fd int fd = socket(where.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || prepare(fd, where.ss_family))
        return err_set(err, ERR_IO, "socket: %m");
    if (bind(fd, (struct sockaddr *)&where, len))
        return err_set(err, errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "bind UDP at %s: %m",
                       wire_addr_format(at, text));
    len = sizeof where;
    if (getsockname(fd, (struct sockaddr *)&where, &len))
        return err_set(err, ERR_IO, "getsockname: %m");
    struct udp *udp = &self->udp[self->udp_count++];
    udp->net = self;
    udp->bound = addr_from_socket((struct sockaddr *)&where);
    udp->fd = steal_fd(&fd);
    udp->event = event_new(self->base, udp->fd, EV_READ | EV_PERSIST, on_readable, udp);
    event_add(udp->event, NULL);
    if (!self->scratch)
        self->scratch = mem_new_array(BATCH, PACKET_ROOM);
    *port = udp->bound.port;
    return 0;
}

void udp_close_all(struct net *self)
{
    for (size_t i = 0; i < self->udp_count; i++) {
        event_free(self->udp[i].event);
        close(self->udp[i].fd);
    }
    self->udp_count = 0;
    free(self->scratch);
    self->scratch = NULL;
}
