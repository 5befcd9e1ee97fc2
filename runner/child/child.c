#include "runner/child/child.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "runner/child/capture.h"
#include "runner/child/spawn.h"
#include "runner/child/tree.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often a tree is measured that has a limit on CPU or memory. */
#define MEASURE_MS 100

/* Read at most this much of one stream before others get their turn. */
#define READ_BYTES ((size_t)64 << 10)

/* How long child_drop() waits for a killed child to be gone. */
#define DROP_MS 1000

struct stream {
    struct child *child;
    struct child_stream spec;
    struct event *readable; /* NULL once it has ended */
    int fd;
    struct capture kept;
};

struct child {
    struct event_base *base; /* borrowed */
    struct supervise machine;
    struct child_limits limits;
    struct cgroup *cgroup; /* borrowed, may be NULL */
    child_done_fn *done;
    void *arg;
    struct spawned process;
    struct event *exited;
    struct event *timer;
    struct stream out;
    struct stream err;
    uint64_t started_ms;
    uint64_t measure_at_ms; /* UINT64_MAX: never */
    struct tree_usage seen; /* the most that was measured */
    bool is_reaped;
    struct rusage usage;
    bool is_told; /* done has been called, or nobody listens */
};

static void child_free(struct child *self)
{
    struct event *events[] = {self->exited, self->timer, self->out.readable, self->err.readable};
    for (size_t i = 0; i < countof(events); i++)
        if (events[i])
            event_free(events[i]);
    mem_close_at(&self->out.fd);
    mem_close_at(&self->err.fd);
    mem_close_at(&self->process.pidfd);
    capture_fini(&self->out.kept);
    capture_fini(&self->err.kept);
    free(self);
}

static void step(struct child *self, struct supervise_event event);
static void finish(struct child *self);

static void stream_close(struct stream *stream)
{
    if (stream->readable)
        event_free(steal_ptr(&stream->readable));
    mem_close_at(&stream->fd);
}

/* Returns false at the end of the stream. */
static bool stream_read(struct stream *stream, size_t *got)
{
    char bytes[16384];
    *got = 0;
    while (*got < READ_BYTES) {
        ssize_t len = read(stream->fd, bytes, sizeof bytes);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return true;
        if (len <= 0)
            return false;
        capture_add(&stream->kept, bytes, (size_t)len);
        if (stream->spec.kind == CHILD_BYTES)
            stream->spec.on_bytes(stream->child->arg, bytes, (size_t)len);
        *got += (size_t)len;
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *stream = arg;
    struct child *self = stream->child;
    size_t got;
    bool is_open = stream_read(stream, &got);
    if (!is_open)
        stream_close(stream);
    if (got)
        step(self, (struct supervise_event){.kind = SUPERVISE_OUTPUT, .value = got});
    if (!is_open)
        step(self, (struct supervise_event){.kind = SUPERVISE_STREAM_EOF});
}

static void kill_tree(struct child *self, int signal)
{
    if (self->is_reaped)
        return;
    kill(-self->process.pid, signal);
    /* Before its own setsid() is done nothing is in the group; and it may have left it. */
    kill(self->process.pid, signal);
}

static void arm(struct child *self)
{
    uint64_t at = supervise_deadline(&self->machine);
    if (self->measure_at_ms < at)
        at = self->measure_at_ms;
    if (at == UINT64_MAX) {
        evtimer_del(self->timer);
        return;
    }
    uint64_t now = clock_mono_ms();
    uint64_t wait = at > now ? at - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000),
                         .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    evtimer_add(self->timer, &tv);
}

static void measure(struct child *self)
{
    struct tree_usage now;
    if (tree_measure(self->process.pid, &now) == 0)
        return;
    if (now.rss_bytes > self->seen.rss_bytes)
        self->seen.rss_bytes = now.rss_bytes;
    if (now.cpu_ms > self->seen.cpu_ms)
        self->seen.cpu_ms = now.cpu_ms;
    struct supervise_event event = {.kind = SUPERVISE_LIMIT};
    if (self->limits.cpu_ms && now.cpu_ms > self->limits.cpu_ms) {
        event.limit = SUPERVISE_LIMIT_CPU;
        event.value = now.cpu_ms;
        event.allowed = self->limits.cpu_ms;
    } else if (self->limits.memory_bytes && !self->cgroup &&
               now.rss_bytes > self->limits.memory_bytes) {
        event.limit = SUPERVISE_LIMIT_MEMORY;
        event.value = now.rss_bytes;
        event.allowed = self->limits.memory_bytes;
    } else {
        return;
    }
    step(self, event);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct child *self = arg;
    if (self->machine.state == SUPERVISE_DONE) {
        finish(self);
        return;
    }
    uint64_t now = clock_mono_ms();
    if (now >= self->measure_at_ms && self->machine.state == SUPERVISE_RUNNING) {
        self->measure_at_ms = now + MEASURE_MS;
        measure(self);
    } else if (self->machine.state != SUPERVISE_RUNNING) {
        self->measure_at_ms = UINT64_MAX;
    }
    step(self, (struct supervise_event){.kind = SUPERVISE_TICK});
}

/* True when its first process, or the jail's that passes the code on, was killed by SIGKILL. */
static bool was_killed(int status)
{
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL);
}

static void exit_by_limit(struct child *self, int status)
{
    struct supervise_event event = {.kind = SUPERVISE_LIMIT};
    if (self->cgroup && was_killed(status) && cgroup_oom_kills(self->cgroup) > 0) {
        event.limit = SUPERVISE_LIMIT_MEMORY;
        event.value = cgroup_memory_peak(self->cgroup);
        event.allowed = self->limits.memory_bytes;
    } else if (self->limits.cpu_ms && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        event.limit = SUPERVISE_LIMIT_CPU;
        event.value =
            self->seen.cpu_ms > self->limits.cpu_ms ? self->seen.cpu_ms : self->limits.cpu_ms;
        event.allowed = self->limits.cpu_ms;
    } else {
        return;
    }
    step(self, event);
}

static void reap(struct child *self)
{
    if (!self->is_reaped && wait4(self->process.pid, NULL, WNOHANG, &self->usage) > 0)
        self->is_reaped = true;
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct child *self = arg;
    if (self->is_told) {
        reap(self);
        child_free(self);
        return;
    }
    /* It stays a zombie until it is done, so that its process group keeps its number. */
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)self->process.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    event_del(self->exited);
    int status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    exit_by_limit(self, status);
    step(self, (struct supervise_event){.kind = SUPERVISE_EXIT, .status = status});
}

static uint64_t ms_of(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static void fill_result(struct child *self, struct child_result *result)
{
    const struct rusage *usage = &self->usage;
    *result = (struct child_result){.verdict = self->machine.verdict,
                                    .out_bytes = self->out.kept.total_bytes,
                                    .err_bytes = self->err.kept.total_bytes,
                                    .wall_ms = clock_mono_ms() - self->started_ms};
    result->cpu_ms = larger(ms_of(usage->ru_utime) + ms_of(usage->ru_stime), self->seen.cpu_ms);
    result->max_rss_bytes = larger((uint64_t)usage->ru_maxrss * 1024, self->seen.rss_bytes);
    if (self->cgroup)
        result->max_rss_bytes = larger(result->max_rss_bytes, cgroup_memory_peak(self->cgroup));
    capture_text(&self->out.kept, &result->out);
    capture_text(&self->err.kept, &result->err);
    supervise_describe(&result->verdict, result->text, sizeof result->text);
}

static void finish(struct child *self)
{
    kill_tree(self, SIGKILL);
    if (self->cgroup)
        cgroup_kill(self->cgroup);
    stream_close(&self->out);
    stream_close(&self->err);
    evtimer_del(self->timer);
    reap(self);
    struct child_result result;
    fill_result(self, &result);
    self->is_told = true;
    self->done(self->arg, &result);
    buf_fini(&result.out);
    buf_fini(&result.err);
    if (self->is_reaped)
        child_free(self);
    else
        event_add(self->exited, NULL); /* stuck: reaped when the kernel lets go */
}

static void step(struct child *self, struct supervise_event event)
{
    if (self->is_told || self->machine.state == SUPERVISE_DONE)
        return;
    struct supervise_out out;
    event.now_ms = clock_mono_ms();
    supervise_step(&self->machine, &event, &out);
    if (out.signal)
        kill_tree(self, out.signal);
    if (out.done) {
        /* From the loop, for a caller further up still holds `self`. */
        event_del(self->exited);
        event_active(self->timer, EV_TIMEOUT, 0);
        return;
    }
    arm(self);
}

static bool is_collected(const struct child_stream *spec)
{
    return spec->kind == CHILD_COLLECT || spec->kind == CHILD_BYTES;
}

/* Returns the descriptor for the child, owned, or -1. */
static int stream_open(struct stream *stream, const struct child_stream *spec, int null)
{
    stream->spec = *spec;
    if (spec->kind == CHILD_DISCARD)
        return fcntl(null, F_DUPFD_CLOEXEC, 0);
    if (spec->kind == CHILD_FD)
        return fcntl(spec->fd, F_DUPFD_CLOEXEC, 0);
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return -1;
    bool keeps = spec->kind == CHILD_COLLECT;
    capture_init(&stream->kept, keeps ? spec->head_bytes : 0, keeps ? spec->tail_bytes : 0);
    stream->fd = pipes[0];
    fcntl(stream->fd, F_SETFL, O_NONBLOCK);
    return pipes[1];
}

static int spawn(struct child *self, const struct child_spec *spec, struct err *err)
{
    owned_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return err_set(err, ERR_IO, "open /dev/null: %m");
    owned_fd int out = stream_open(&self->out, &spec->out, null);
    owned_fd int error = stream_open(&self->err, &spec->err, null);
    if (out < 0 || error < 0)
        return err_set(err, ERR_IO, "open a stream: %m");
    if (spec->cgroup && cgroup_begin(spec->cgroup, spec->limits.memory_bytes, err) != 0)
        return err_wrap(err, "start %s", spec->argv[0]);
    struct spawn_streams streams = {
        .in = spec->stdin_fd ? spec->stdin_fd : null, .out = out, .err = error};
    return spawn_start(spec, &streams, &self->process, err);
}

static void listen_to(struct child *self)
{
    struct event_base *base = self->base;
    self->exited = event_new(base, self->process.pidfd, EV_READ | EV_PERSIST, on_exited, self);
    self->timer = evtimer_new(base, on_timer, self);
    assert(self->exited && self->timer);
    event_add(self->exited, NULL);
    struct stream *streams[] = {&self->out, &self->err};
    for (size_t i = 0; i < countof(streams); i++) {
        struct stream *stream = streams[i];
        stream->child = self;
        if (stream->fd < 0)
            continue;
        stream->readable = event_new(base, stream->fd, EV_READ | EV_PERSIST, on_readable, stream);
        assert(stream->readable);
        event_add(stream->readable, NULL);
    }
}

static const char *spec_problem(const struct child_spec *spec)
{
    if (!spec->argv || !spec->argv[0] || spec->argv[0][0] != '/')
        return "no path of a program";
    for (size_t i = 0; i < spec->fd_count; i++)
        if (spec->fds[i].to <= 2 || spec->fds[i].from < 0)
            return "a descriptor that cannot be passed";
    if ((spec->out.kind == CHILD_BYTES && !spec->out.on_bytes) ||
        (spec->err.kind == CHILD_BYTES && !spec->err.on_bytes))
        return "a stream that nobody reads";
    return NULL;
}

struct child *child_start(struct event_base *base, const struct child_spec *spec,
                          child_done_fn *done, void *arg, struct err *err)
{
    const char *problem = spec_problem(spec);
    if (problem) {
        err_set(err, ERR_INVALID, "start a child: %s", problem);
        return NULL;
    }
    struct child *self = mem_new(sizeof *self);
    *self = (struct child){.base = base,
                           .limits = spec->limits,
                           .cgroup = spec->cgroup,
                           .done = done,
                           .arg = arg,
                           .process = {.pidfd = -1},
                           .out.fd = -1,
                           .err.fd = -1,
                           .measure_at_ms = UINT64_MAX};
    if (spawn(self, spec, err) != 0) {
        child_free(self);
        return NULL;
    }
    self->started_ms = clock_mono_ms();
    if (spec->limits.cpu_ms || (spec->limits.memory_bytes && !spec->cgroup))
        self->measure_at_ms = self->started_ms + MEASURE_MS;
    struct supervise_spec machine = {.wall_ms = spec->limits.wall_ms,
                                     .output_bytes = spec->limits.output_bytes,
                                     .stream_count = (unsigned)is_collected(&spec->out) +
                                                     (unsigned)is_collected(&spec->err)};
    supervise_init(&self->machine, &machine);
    listen_to(self);
    step(self, (struct supervise_event){.kind = SUPERVISE_STARTED});
    return self;
}

void child_stop(struct child *self)
{
    step(self, (struct supervise_event){.kind = SUPERVISE_STOP});
}

void child_limit(struct child *self, enum supervise_limit limit, uint64_t used, uint64_t allowed)
{
    step(self, (struct supervise_event){
                   .kind = SUPERVISE_LIMIT, .limit = limit, .value = used, .allowed = allowed});
}

void child_drop(struct child *self)
{
    kill_tree(self, SIGKILL);
    if (self->cgroup)
        cgroup_kill(self->cgroup);
    struct pollfd gone = {.fd = self->process.pidfd, .events = POLLIN};
    while (poll(&gone, 1, DROP_MS) < 0 && errno == EINTR)
        continue;
    reap(self);
    child_free(self);
}

pid_t child_pid(const struct child *self) { return self->process.pid; }
