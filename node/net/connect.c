#include "node/net/connect.h"

#include "node/net/addr.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <event2/event.h>

struct connect {
    struct event *event; /* writable, or the deadline */
    int fd;
    int error; /* known at once */
    connect_fn *done;
    void *arg;
};

static int release(struct connect *self)
{
    int fd = self->fd;
    event_free(self->event);
    free(self);
    return fd;
}

static int outcome_of(const struct connect *self, short what)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (self->error)
        return self->error;
    if (!(what & EV_WRITE))
        return ETIMEDOUT;
    return getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
}

static void on_ready(evutil_socket_t unused, short what, void *arg)
{
    (void)unused;
    struct connect *self = arg;
    int error = outcome_of(self, what);
    connect_fn *done = self->done;
    void *done_arg = self->arg;
    int fd = release(self);
    if (error) {
        mem_close_at(&fd);
        fd = -1;
    }
    done(done_arg, fd, error);
}

struct connect *connect_start(struct event_base *base, const struct wire_addr *to, uint32_t ms,
                              connect_fn *done, void *arg)
{
    struct connect *self = mem_new(sizeof *self);
    struct sockaddr_storage where;
    socklen_t len = addr_to_socket(to, &where);
    self->done = done;
    self->arg = arg;
    self->fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0)
        self->error = errno;
    else if (connect(self->fd, (struct sockaddr *)&where, len) && errno != EINPROGRESS)
        self->error = errno;
    if (self->error)
        ms = 0;
    struct timeval until = {.tv_sec = ms / 1000, .tv_usec = (int)(ms % 1000) * 1000};
    self->event =
        event_new(base, self->error ? -1 : self->fd, self->error ? 0 : EV_WRITE, on_ready, self);
    event_add(self->event, &until);
    return self;
}

void connect_cancel(struct connect *self_owned)
{
    if (!self_owned)
        return;
    int fd = release(self_owned);
    mem_close_at(&fd);
}
