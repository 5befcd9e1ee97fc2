/* Networks, kept for the next job.
 *
 * Making and ending a network namespace is the dearest part of a sandbox: some 0.6 ms, and much
 * more while the kernel is still ending others. So the server keeps a few. A job enters an idle
 * one, looks whether anything is left there (a connection in TIME_WAIT would keep a port from the
 * next test that wants it), and takes a fresh one of its own if so. Its payload cannot change one:
 * it has no capability there, and /proc/sys is read-only.
 *
 * One is idle again when the init that went in has ended, which the kernel says only after
 * everything in its pid namespace is gone. The server learns of init by a pidfd that init sends
 * before it enters. */
#include "runner/jail/confine_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* As many as run at once on a large machine; beyond it each job makes its own. */
#define NETS_MAX 64

struct net {
    int space;   /* the namespace */
    int mailbox; /* where init's pidfd arrives; -1: nobody is in it */
    int init;    /* pidfd; -1: not arrived */
};

static struct net nets[NETS_MAX];
static size_t net_count;
static struct net *chosen; /* for the next job, or NULL */
static int to_server = -1; /* init's end of the mailbox */
static int own_space = -1;

static void close_at(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int raise_loopback(const struct confine_error *error)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return confine_fail(error, "open a socket for lo", NULL);
    int failed = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    failed = failed || ioctl(fd, SIOCSIFFLAGS, &request);
    if (failed)
        confine_fail(error, "raise lo", NULL);
    close(fd);
    return failed ? -1 : 0;
}

/* Returns false when the other end is closed and nothing was sent: init never went in. */
static bool receive_init(struct net *net)
{
    char byte;
    char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t got = recvmsg(net->mailbox, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return true;
    const struct cmsghdr *part = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (part && part->cmsg_type == SCM_RIGHTS)
        memcpy(&net->init, CMSG_DATA(part), sizeof net->init);
    return got > 0;
}

static bool is_idle(struct net *net)
{
    if (net->mailbox < 0)
        return true;
    bool has_entered = net->init >= 0 || receive_init(net);
    struct pollfd ended = {.fd = net->init, .events = POLLIN};
    if (has_entered && (net->init < 0 || poll(&ended, 1, 0) != 1))
        return false;
    close_at(&net->init);
    close_at(&net->mailbox);
    return true;
}

/* Makes one by going there and back. Returns NULL when there is to be none; -1 in `*failed` when
 * the server has lost its own. */
static struct net *make(int *failed)
{
    const struct confine_error silent = {0};
    if (net_count == NETS_MAX || unshare(CLONE_NEWNET) != 0)
        return NULL;
    int space = raise_loopback(&silent) == 0 ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
    *failed = setns(own_space, CLONE_NEWNET);
    if (space < 0 || *failed)
        return NULL;
    nets[net_count] = (struct net){.space = space, .mailbox = -1, .init = -1};
    return &nets[net_count++];
}

int confine_net_prepare(void)
{
    int failed = 0;
    chosen = NULL;
    if (own_space < 0)
        own_space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own_space < 0)
        return 0; /* no /proc: each job makes its own */
    for (size_t i = 0; i < net_count && !chosen; i++)
        if (is_idle(&nets[i]))
            chosen = &nets[i];
    if (!chosen)
        chosen = make(&failed);
    int pair[2];
    if (chosen && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        chosen->mailbox = pair[0];
        to_server = pair[1];
    } else {
        chosen = NULL;
    }
    return failed;
}

void confine_net_forked(void) { close_at(&to_server); }

static int send_init(void)
{
    int init = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (init < 0)
        return -1;
    char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec piece = {.iov_base = room, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    char byte = 0;
    piece.iov_base = &byte;
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof init);
    memcpy(CMSG_DATA(part), &init, sizeof init);
    int sent = sendmsg(to_server, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
    close(init);
    return sent;
}

/* "TCP: inuse 0 orphan 0 tw 0 …", "UDP: inuse 0 …" and so on; orphans are counted machine-wide. */
static bool is_clean_list(const char *path)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && strstr(path, "sockstat6"); /* a kernel without IPv6 */
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return false;
    text[got] = '\0';
    for (const char *at = text; (at = strstr(at, "inuse ")); at += 6)
        if (strtol(at + 6, NULL, 10) != 0)
            return false;
    const char *waiting = strstr(text, " tw ");
    return !waiting || strtol(waiting + 4, NULL, 10) == 0;
}

int confine_net_enter(const struct confine_error *error)
{
    bool is_reused = chosen && send_init() == 0 && setns(chosen->space, CLONE_NEWNET) == 0;
    confine_net_forget();
    if (is_reused && is_clean_list("/proc/self/net/sockstat") &&
        is_clean_list("/proc/self/net/sockstat6"))
        return 0;
    if (unshare(CLONE_NEWNET) != 0)
        return confine_fail(error, "take a network namespace", NULL);
    return raise_loopback(error);
}

void confine_net_forget(void)
{
    for (size_t i = 0; i < net_count; i++) {
        close_at(&nets[i].space);
        close_at(&nets[i].mailbox);
        close_at(&nets[i].init);
    }
    net_count = 0;
    chosen = NULL;
    close_at(&to_server);
    close_at(&own_space);
}
