/* One job from the moment that it is handed to a server until its result is told. */
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "runner/job/environment.h"
#include "runner/job/job_inner.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PACKETS_TURN 64 /* read at one wake-up, so that one job does not starve the loop */
#define READS_TURN   8
#define PROGRESS_MS  100

static void drop_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

static void close_theirs(struct job *self)
{
    for (size_t i = 0; i < self->their_count; i++)
        close(self->theirs[i]);
    self->their_count = 0;
}

static void send_signal(struct job *self, int number)
{
    if (self->pidfd >= 0)
        (void)pidfd_send_signal(self->pidfd, number, NULL, 0);
    else
        self->owed_signal = number;
}

static void finish(struct job *self)
{
    if (self->finished)
        return;
    self->finished = true;
    self->ended_ms = clock_mono_ms();
    if (self->supervise.verdict.kind == SUPERVISE_STUCK && !self->lost)
        snprintf(self->lost_text, sizeof(self->lost_text), "a process of the job cannot be killed");
    if (self->output_dir && self->engine->config.isolation == ENGINE_JAILED)
        (void)chmod(self->output_dir, 0755);
    engine_forget_job(self->engine, self);
    job_tell(self);
    job_free(self);
}

/* Reads what is there without waiting. Returns false at the end of the stream. */
static bool drain_output(struct job *self, unsigned reads, uint64_t *bytes)
{
    char chunk[65536];
    *bytes = 0;
    for (unsigned i = 0; i < reads; i++) {
        ssize_t got = read(self->output, chunk, sizeof(chunk));
        if (got == 0)
            return false;
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        capture_add(&self->capture, chunk, (size_t)got);
        *bytes += (uint64_t)got;
    }
    return true;
}

static pid_t sender_of(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        struct ucred who;
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&who, CMSG_DATA(at), sizeof(who));
        return who.pid;
    }
    return 0;
}

/* Descriptors that a payload sends along are not wanted. */
static void close_gifts(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (at->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
            close(fd);
        }
    }
}

static void take_packet(struct job *self, const void *packet, size_t len, pid_t sender)
{
    if (self->payload == 0)
        self->payload = sender;
    if (sender != self->payload) {
        self->foreign_record = true;
        return;
    }
    if (verdict_take(&self->verdict, packet, len))
        self->progress_due = true;
}

/* As drain_output(), for records. */
static bool drain_records(struct job *self, unsigned packets)
{
    static char packet[RECORD_BYTES_MAX + 1]; /* one loop, one thread */
    for (unsigned i = 0; i < packets; i++) {
        _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(256)];
        struct iovec vector = {packet, sizeof(packet)};
        struct msghdr message = {
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = space,
            .msg_controllen = sizeof(space),
        };
        ssize_t got = recvmsg(self->record, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        pid_t sender = sender_of(&message);
        close_gifts(&message);
        if (got == 0)
            return false;
        take_packet(self, packet, (size_t)got, sender);
    }
    return true;
}

static void show_progress(struct job *self, uint64_t now_ms)
{
    if (self->verdict.begun && !self->begun) {
        self->begun = true;
        if (self->callbacks.begin)
            self->callbacks.begin(self->arg, self);
    }
    if (!self->progress_due || now_ms < self->progress_ms + PROGRESS_MS)
        return;
    self->progress_due = false;
    self->progress_ms = now_ms;
    if (self->callbacks.progress)
        self->callbacks.progress(self->arg, self, &self->verdict.counts);
}

static void note(struct job *self, enum supervise_event_kind kind, uint64_t value)
{
    struct supervise_event event = {.kind = kind, .now_ms = clock_mono_ms(), .value = value};
    job_step(self, &event);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct job *self = arg;
    uint64_t bytes;
    bool open = drain_output(self, READS_TURN, &bytes);
    if (!open)
        drop_event(&self->on_output);
    struct supervise_event event = {
        .kind = open ? SUPERVISE_OUTPUT : SUPERVISE_STREAM_EOF,
        .now_ms = clock_mono_ms(),
        .value = bytes,
    };
    job_step(self, &event);
}

static void on_record(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct job *self = arg;
    bool open = drain_records(self, PACKETS_TURN);
    show_progress(self, clock_mono_ms());
    if (open)
        return;
    drop_event(&self->on_record);
    note(self, SUPERVISE_STREAM_EOF, 0);
}

void job_send(struct job *self)
{
    struct err err = ERR_INIT;
    int code = server_send(self->server, &self->descriptor, self->theirs, self->their_count, &err);
    if (code == ERR_BUSY)
        return;
    if (code != 0) {
        job_lose(self, err.text);
        return;
    }
    self->sent = true;
    self->cold = server_is_once(self->server);
    close_theirs(self);
    self->started_ms = clock_mono_ms();
    struct event_base *base = self->engine->base;
    self->on_record = event_new(base, self->record, EV_READ | EV_PERSIST, on_record, self);
    self->on_output = event_new(base, self->output, EV_READ | EV_PERSIST, on_output, self);
    event_add(self->on_record, NULL);
    event_add(self->on_output, NULL);
    note(self, SUPERVISE_STARTED, 0);
}

void job_started(struct job *self, int pidfd_owned)
{
    if (self->pidfd >= 0) {
        close(pidfd_owned);
        return;
    }
    self->pidfd = pidfd_owned;
    pid_t pid = tree_pid_of(self->pidfd);
    self->pid = pid > 0 ? pid : 0;
    if (self->owed_signal)
        send_signal(self, self->owed_signal);
}

static void read_status(struct job *self, struct wire_status *out)
{
    char bytes[JOB_STATUS_BYTES];
    size_t len = 0;
    ssize_t got;
    while (len < sizeof(bytes) && (got = read(self->status, bytes + len, sizeof(bytes) - len)) > 0)
        len += (size_t)got;
    wire_decode_status(out, bytes, len);
}

void job_exited(struct job *self, const struct wire_answer *answer)
{
    struct wire_status status;
    self->cpu_us = answer->cpu_us;
    self->max_rss_bytes = answer->max_rss_bytes;
    self->cpu_known = true;
    read_status(self, &status);
    self->wait_status = status.wait_status;
    self->confined = status.end;
    if (status.kind == WIRE_STATUS_REFUSED) {
        self->lost = true;
        snprintf(self->lost_text, sizeof(self->lost_text), "%s", status.text);
    } else if (status.kind == WIRE_STATUS_NONE) {
        self->lost = true; /* unless a limit, or we ourselves, explain it */
        snprintf(self->lost_text, sizeof(self->lost_text), "the job's supervisor was killed");
        self->wait_status = answer->wait_status;
    }
    struct supervise_event event = {
        .kind = SUPERVISE_EXIT,
        .now_ms = clock_mono_ms(),
        .status = self->wait_status,
    };
    job_step(self, &event);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish(arg);
}

static void finish_soon(struct job *self)
{
    if (self->soon)
        return;
    self->soon = event_new(self->engine->base, -1, 0, on_soon, self);
    event_add(self->soon, &(struct timeval){0});
}

void job_lose(struct job *self, const char *why)
{
    if (!self->lost && !self->cpu_known) {
        self->lost = true;
        snprintf(self->lost_text, sizeof(self->lost_text), "%s", why);
    }
    self->server = NULL;
    if (!self->sent) {
        finish_soon(self);
        return;
    }
    send_signal(self, SIGKILL);
    note(self, SUPERVISE_EXIT, 0);
}

void job_cancel(struct job *self)
{
    if (self->finished)
        return;
    if (self->sent) {
        note(self, SUPERVISE_STOP, 0);
        return;
    }
    self->supervise.verdict.kind = SUPERVISE_CANCELLED;
    finish_soon(self);
}

/* What is in the pipes when they are closed early still counts. */
static void drain_all(struct job *self)
{
    uint64_t bytes;
    if (self->on_record)
        (void)drain_records(self, 4096);
    if (self->on_output)
        (void)drain_output(self, 64, &bytes);
    drop_event(&self->on_record);
    drop_event(&self->on_output);
}

void job_step(struct job *self, const struct supervise_event *event)
{
    struct supervise_out out = {0};
    supervise_step(&self->supervise, event, &out);
    if (out.signal)
        send_signal(self, out.signal);
    if (out.close_streams)
        drain_all(self);
    if (out.done)
        finish_soon(self);
}

static void strike_limit(struct job *self, enum supervise_limit limit, uint64_t used,
                         uint64_t allowed)
{
    struct supervise_event event = {
        .kind = SUPERVISE_LIMIT,
        .now_ms = clock_mono_ms(),
        .limit = limit,
        .value = used,
        .allowed = allowed,
    };
    job_step(self, &event);
}

/* Forked processes share most of their pages, which the plain sum counts for each of them. */
static void check_memory(struct job *self, uint64_t rss_bytes)
{
    uint64_t bytes = tree_proportional_bytes(self->pid);
    if (bytes == 0)
        bytes = rss_bytes;
    if (bytes > self->limits.memory_bytes)
        strike_limit(self, SUPERVISE_LIMIT_MEMORY, bytes, self->limits.memory_bytes);
}

void job_tick(struct job *self, uint64_t now_ms, const struct tree_usage *used)
{
    uint64_t cpu_ms = used->cpu_ms;
    if (!self->sent) {
        if (self->server && server_is_ready(self->server))
            job_send(self);
        return;
    }
    show_progress(self, now_ms);
    if (!self->cpu_known && cpu_ms * 1000 > self->cpu_us)
        self->cpu_us = cpu_ms * 1000;
    if (self->limits.cpu_ms && cpu_ms > self->limits.cpu_ms)
        strike_limit(self, SUPERVISE_LIMIT_CPU, cpu_ms, self->limits.cpu_ms);
    if (used->thread_count > self->process_peak)
        self->process_peak = used->thread_count;
    if (!self->has_cgroup && self->limits.memory_bytes &&
        used->rss_bytes > self->limits.memory_bytes)
        check_memory(self, used->rss_bytes);
    if (now_ms >= supervise_deadline(&self->supervise))
        note(self, SUPERVISE_TICK, 0);
}

void job_kill(struct job *self) { send_signal(self, SIGKILL); }

void job_free(struct job *self)
{
    drop_event(&self->on_record);
    drop_event(&self->on_output);
    drop_event(&self->soon);
    close_theirs(self);
    int *const fds[] = {&self->record, &self->output, &self->status, &self->pidfd};
    for (size_t i = 0; i < countof(fds); i++)
        mem_close_at(fds[i]);
    verdict_fini(&self->verdict);
    capture_fini(&self->capture);
    environment_fini(&self->environment);
    buf_fini(&self->descriptor);
    free(self->module);
    free(self->output_dir);
    free(self);
}
