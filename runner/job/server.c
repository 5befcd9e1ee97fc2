#include "runner/job/server.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/child/child.h"
#include "runner/jail/jail.h"
#include "runner/job/environment.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HELLO_MS     60000 /* a cold disk and a large environment */
#define LAST_WORDS   4096
#define JOB_NICE     10 /* the node answers others however busy tests are */
#define CONTROL_FD   3
#define ANSWERS_TURN 64 /* packets that one wake-up reads */

struct server {
    const struct engine_config *config;
    struct job_environment environment; /* owned */
    const struct server_hooks *hooks;
    void *arg;
    struct child *child; /* NULL once it is gone */
    int control;
    struct event *readable;
    struct event *hello_due;
    bool once;
    bool ready;
    bool stopping;
};

static void on_readable(evutil_socket_t control, short what, void *arg);

static void on_gone(void *arg, struct child_result *result)
{
    struct server *self = arg;
    if (!self->stopping)
        on_readable(self->control, EV_READ, self); /* its last answers */
    self->child = NULL;
    char text[LAST_WORDS];
    const char *words = buf_str(&result->err);
    snprintf(text, sizeof(text), "%s%s%s", result->text, *words ? ": " : "", words);
    if (!self->stopping && !self->once)
        log_warn("server_gone", "key=%s %s", self->environment.key, text);
    self->hooks->gone(self->arg, self, text);
    server_free(self);
}

static void take_answer(struct server *self, const struct wire_answer *answer, int *fd)
{
    char text[512];
    switch (answer->kind) {
    case WIRE_HELLO:
        if (answer->protocol != WIRE_PROTOCOL)
            break;
        self->ready = true;
        event_del(self->hello_due);
        self->hooks->ready(self->arg, self);
        return;
    case WIRE_STARTED:
        if (*fd >= 0)
            self->hooks->started(self->arg, answer->id, steal_fd(fd));
        return;
    case WIRE_EXITED:
        self->hooks->exited(self->arg, answer);
        return;
    case WIRE_FAILED:
        snprintf(text, sizeof(text), "%.*s", (int)answer->text.len, answer->text.data);
        self->hooks->failed(self->arg, answer->id, text);
        return;
    }
    server_stop(self);
}

/* Returns the bytes of one packet, 0 at the end, -1 when there is none now. */
static ssize_t receive(int control, void *bytes, size_t size, int *fd)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * 4)];
    struct iovec vector = {bytes, size};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = space,
        .msg_controllen = sizeof(space),
    };
    *fd = -1;
    ssize_t got = recvmsg(control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? -1 : 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            mem_close_at(fd); /* one is all that is due */
            memcpy(fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
        }
    }
    return got;
}

static void on_readable(evutil_socket_t control, short what, void *arg)
{
    (void)what;
    struct server *self = arg;
    char bytes[WIRE_ANSWER_MAX];
    for (unsigned i = 0; i < ANSWERS_TURN && !self->stopping; i++) {
        owned_fd int fd = -1;
        ssize_t got = receive(control, bytes, sizeof(bytes), &fd);
        if (got < 0)
            return;
        struct wire_answer answer;
        if (got > 0 && wire_decode_answer(&answer, bytes, (size_t)got)) {
            take_answer(self, &answer, &fd);
            continue;
        }
        event_del(self->readable);
        if (got > 0 || !self->once)
            server_stop(self);
        return;
    }
}

static void on_hello_due(evutil_socket_t unused, short what, void *arg)
{
    (void)unused;
    (void)what;
    struct server *self = arg;
    log_warn("server_silent", "key=%s", self->environment.key);
    server_stop(self);
}

#define JAIL_RUNTIME   "/opt/harness"
#define ARGUMENTS_MAX  8
#define SERVER_ENV_MAX 6

static void fill_arguments(const struct server *self, const char *python, const char *runtime,
                           char *script, const char **argv)
{
    snprintf(script, 1024, "%s/server.py", runtime);
    *argv++ = python;
    *argv++ = script;
    *argv++ = "3";
    if (self->config->isolation == ENGINE_JAILED) {
        *argv++ = "--confine";
        *argv++ = JAIL_CONFINE_PATH;
    }
    if (self->once)
        *argv++ = "--once";
    *argv = NULL;
}

/* Python takes its locale and its standard streams' encoding from these once, at its start: they
 * are what a job finds. */
static const char *const server_env[] = {
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "HOME=/nonexistent",
    "LANG=C.UTF-8",
    "USER=tester",
    "LOGNAME=tester",
    NULL,
};

static struct child *start_jailed(struct server *self, struct event_base *base, uid_t uid,
                                  struct child_spec *child, struct err *err)
{
    const struct job_environment *from = &self->environment;
    struct jail_bind binds[64];
    const char *argv[ARGUMENTS_MAX];
    char script[1024];
    if (from->bind_count >= countof(binds)) {
        err_set(err, ERR_INVALID, "an environment of too many folders");
        return NULL;
    }
    for (size_t i = 0; i < from->bind_count; i++)
        binds[i] =
            (struct jail_bind){.source = from->binds[i].source, .target = from->binds[i].target};
    binds[from->bind_count] =
        (struct jail_bind){.source = self->config->runtime_dir, .target = JAIL_RUNTIME};
    fill_arguments(self, from->python, JAIL_RUNTIME, script, argv);
    struct jail_spec spec = {
        .runtime_dir = self->config->runtime_dir,
        .helper = self->config->helper,
        .binds = binds,
        .bind_count = from->bind_count + 1,
        .network = JAIL_NETWORK_NONE,
        .is_template = true,
        .uid = uid,
        .argv = argv,
        .envp = server_env,
    };
    return jail_start(base, &spec, child, on_gone, self, err);
}

static struct child *start_plain(struct server *self, struct event_base *base,
                                 struct child_spec *child, struct err *err)
{
    const char *argv[ARGUMENTS_MAX];
    char script[1024];
    char python[1024];
    if (self->environment.dir)
        snprintf(python, sizeof(python), "%s/bin/python", self->environment.dir);
    else
        snprintf(python, sizeof(python), "%s", self->environment.python);
    fill_arguments(self, python, self->config->runtime_dir, script, argv);
    child->argv = argv;
    child->envp = server_env;
    return child_start(base, child, on_gone, self, err);
}

static int spawn(struct server *self, struct event_base *base, uid_t uid, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, ERR_IO, "socketpair: %m");
    self->control = pair[0];
    owned_fd int theirs = pair[1];
    struct child_fd fds[] = {{.from = theirs, .to = CONTROL_FD}};
    struct child_spec child = {
        .out = {.kind = CHILD_DISCARD},
        .err = {.kind = CHILD_COLLECT, .head_bytes = 1024, .tail_bytes = 2048},
        .fds = fds,
        .fd_count = countof(fds),
        .nice = JOB_NICE,
    };
    self->child = self->config->isolation == ENGINE_JAILED
                      ? start_jailed(self, base, uid, &child, err)
                      : start_plain(self, base, &child, err);
    return self->child ? 0 : (int)err->code;
}

struct server *server_start(struct event_base *base, const struct server_spec *spec,
                            const struct server_hooks *hooks, void *arg, struct err *err)
{
    struct server *self = mem_new(sizeof(*self));
    *self = (struct server){
        .config = spec->config,
        .hooks = hooks,
        .arg = arg,
        .control = -1,
        .once = spec->once,
    };
    environment_copy(&self->environment, &spec->environment);
    if (spawn(self, base, spec->uid, err) != 0) {
        err_wrap(err, "start a Python server");
        server_free(self);
        return NULL;
    }
    self->readable = event_new(base, self->control, EV_READ | EV_PERSIST, on_readable, self);
    self->hello_due = event_new(base, -1, 0, on_hello_due, self);
    event_add(self->readable, NULL);
    event_add(self->hello_due, &(struct timeval){.tv_sec = HELLO_MS / 1000});
    return self;
}

int server_send(struct server *self, const struct buf *descriptor, const int *fds, size_t fd_count,
                struct err *err)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * 16)] = {0};
    struct iovec vector = {descriptor->data, descriptor->len};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = space,
        .msg_controllen = CMSG_SPACE(sizeof(int) * fd_count),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    if (sendmsg(self->control, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    if (errno == EAGAIN)
        return err_set(err, ERR_BUSY, "the server is busy");
    return err_set(err, ERR_IO, "hand a job to its server: %m");
}

bool server_is_ready(const struct server *self) { return self->ready && !self->stopping; }

bool server_is_stopping(const struct server *self) { return self->stopping; }

bool server_is_once(const struct server *self) { return self->once; }

const char *server_key(const struct server *self) { return self->environment.key; }

const struct job_environment *server_environment(const struct server *self)
{
    return &self->environment;
}

void server_stop(struct server *self)
{
    if (self->stopping || !self->child)
        return;
    self->stopping = true;
    event_del(self->readable);
    event_del(self->hello_due);
    child_stop(self->child);
}

void server_free(struct server *self)
{
    if (self->child)
        child_drop(self->child);
    if (self->readable)
        event_free(self->readable);
    if (self->hello_due)
        event_free(self->hello_due);
    if (self->control >= 0)
        close(self->control);
    environment_fini(&self->environment);
    free(self);
}
