#include "runner/job/engine.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/child/tree.h"
#include "runner/jail/jail.h"
#include "runner/job/environment.h"
#include "runner/job/job_inner.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS      100
#define MEASURE_MS   500 /* how often trees are walked where a cgroup counts the memory */
#define SERVERS_MAX  8
#define SLOTS_MAX    4096
#define MEASURED_MAX 256
#define SERVER_UIDS  64

static struct job *job_by_id(const struct engine *self, uint64_t id)
{
    struct job *job = self->jobs;
    while (job && job->id != id)
        job = job->next;
    return job;
}

static size_t place_of(const struct engine *self, const struct server *server)
{
    size_t i = 0;
    while (i < self->server_count && self->servers[i] != server)
        i++;
    return i;
}

static void touch(struct engine *self, const struct server *server)
{
    self->used_ms[place_of(self, server)] = clock_mono_ms();
}

static void send_waiting(struct engine *self, struct server *server)
{
    for (struct job *job = self->jobs, *next; job; job = next) {
        next = job->next;
        if (job->server == server && !job->sent && !job->soon)
            job_send(job);
    }
}

static void on_ready(void *arg, struct server *server) { send_waiting(arg, server); }

static void on_started(void *arg, uint64_t id, int pidfd_owned)
{
    struct job *job = job_by_id(arg, id);
    if (job)
        job_started(job, pidfd_owned);
    else
        close(pidfd_owned);
}

static void on_exited(void *arg, const struct wire_answer *answer)
{
    struct job *job = job_by_id(arg, answer->id);
    if (job)
        job_exited(job, answer);
}

static void on_failed(void *arg, uint64_t id, const char *text)
{
    struct job *job = job_by_id(arg, id);
    if (job)
        job_lose(job, text);
}

static struct server *start_server(struct engine *self, const struct job_environment *environment,
                                   bool once, struct err *err);

/* A warm server that never came up may yet serve one job at a time. */
static void job_without_server(struct job *job, bool was_ready, bool was_once, const char *text)
{
    struct err err = ERR_INIT;
    job->server = NULL;
    if (!job->sent && !was_ready && !was_once) {
        job->server = start_server(job->engine, &job->environment, true, &err);
        if (job->server)
            return;
        text = err.text;
    }
    job_lose(job, text);
}

static void on_gone(void *arg, struct server *server, const char *text)
{
    struct engine *self = arg;
    size_t place = place_of(self, server);
    if (place == self->server_count)
        return;
    bool ready = server_is_ready(server);
    bool once = server_is_once(server);
    self->server_count--;
    self->servers[place] = self->servers[self->server_count];
    self->used_ms[place] = self->used_ms[self->server_count];
    for (struct job *job = self->jobs; job; job = job->next) {
        if (job->server == server)
            job_without_server(job, ready, once, text);
    }
}

static const struct server_hooks hooks = {
    .ready = on_ready,
    .started = on_started,
    .exited = on_exited,
    .failed = on_failed,
    .gone = on_gone,
};

static uid_t next_uid(struct engine *self)
{
    unsigned first = self->config.uid_first ? self->config.uid_first : JAIL_UID_BASE;
    return first + self->next_uid++ % SERVER_UIDS;
}

static struct server *start_server(struct engine *self, const struct job_environment *environment,
                                   bool once, struct err *err)
{
    struct server_spec spec = {
        .config = &self->config,
        .environment = *environment,
        .once = once,
        .uid = next_uid(self),
    };
    struct server *server = server_start(self->base, &spec, &hooks, self, err);
    if (!server)
        return NULL;
    size_t capacity = self->server_capacity;
    self->servers =
        mem_grow(self->servers, &capacity, self->server_count + 1, sizeof(*self->servers));
    self->used_ms = mem_grow(self->used_ms, &self->server_capacity, self->server_count + 1,
                             sizeof(*self->used_ms));
    self->servers[self->server_count] = server;
    self->used_ms[self->server_count++] = clock_mono_ms();
    return server;
}

static bool has_jobs(const struct engine *self, const struct server *server)
{
    const struct job *job = self->jobs;
    while (job && job->server != server)
        job = job->next;
    return job != NULL;
}

/* Makes room for one more warm server: the idle one that waited longest goes. */
static void evict(struct engine *self)
{
    size_t warm = 0;
    size_t oldest = self->server_count;
    for (size_t i = 0; i < self->server_count; i++) {
        if (server_is_once(self->servers[i]))
            continue;
        warm++;
        if (has_jobs(self, self->servers[i]))
            continue;
        if (oldest == self->server_count || self->used_ms[i] < self->used_ms[oldest])
            oldest = i;
    }
    if (warm >= self->config.servers_max && oldest < self->server_count)
        server_stop(self->servers[oldest]);
}

static struct server *warm_server(struct engine *self, const struct job_environment *environment,
                                  struct err *err)
{
    for (size_t i = 0; i < self->server_count; i++) {
        struct server *server = self->servers[i];
        if (!server_is_once(server) && !server_is_stopping(server) &&
            strcmp(server_key(server), environment->key) == 0)
            return server;
    }
    evict(self);
    return start_server(self, environment, false, err);
}

static void measure(struct engine *self, struct tree_usage *usage, size_t max)
{
    pid_t roots[MEASURED_MAX];
    size_t count = 0;
    for (struct job *job = self->jobs; job && count < max; job = job->next)
        roots[count++] = job->pid;
    if (count > 0)
        tree_measure_many(roots, count, usage);
}

static void arm(struct engine *self)
{
    if (self->jobs && !evtimer_pending(self->tick, NULL))
        event_add(self->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct engine *self = arg;
    static struct tree_usage usage[MEASURED_MAX];
    uint64_t now_ms = clock_mono_ms();
    bool counted = self->cgroups.kind != CGROUP_NONE;
    memset(usage, 0, sizeof(usage));
    if (!counted || now_ms >= self->measured_ms + MEASURE_MS) {
        self->measured_ms = now_ms;
        measure(self, usage, MEASURED_MAX);
    }
    size_t i = 0;
    for (struct job *job = self->jobs, *next; job; job = next, i++) {
        const struct tree_usage none = {0};
        const struct tree_usage *used = i < MEASURED_MAX ? &usage[i] : &none;
        next = job->next;
        job_tick(job, now_ms, used);
    }
    arm(self);
}

static const char *copy_text(const char *text) { return text ? mem_strdup(text) : NULL; }

struct engine *engine_new(struct event_base *base, const struct engine_config *config,
                          struct err *err)
{
    if (engine_write_runtime(config->runtime_dir, err) != 0)
        return NULL;
    struct engine *self = mem_new(sizeof(*self));
    char name[40];
    self->base = base;
    self->config = *config;
    self->config.runtime_dir = copy_text(config->runtime_dir);
    self->config.temp_dir = copy_text(config->temp_dir ? config->temp_dir : "/tmp");
    self->config.helper = copy_text(config->helper);
    if (self->config.servers_max == 0)
        self->config.servers_max = SERVERS_MAX;
    snprintf(name, sizeof(name), "testmesh-%d", (int)getpid());
    cgroup_find(&self->cgroups, name);
    self->tick = event_new(base, -1, 0, on_tick, self);
    return self;
}

static void release(const void *owned) { free((void *)(uintptr_t)owned); }

void engine_free(struct engine *self)
{
    if (!self)
        return;
    while (self->server_count > 0)
        server_free(self->servers[--self->server_count]);
    while (self->jobs) {
        struct job *job = self->jobs;
        self->jobs = job->next;
        job_kill(job);
        job_free(job);
    }
    for (size_t i = 0; i < self->slot_count; i++) {
        if (self->slots[i] && self->slots[i]->cgroup.kind != CGROUP_NONE)
            cgroup_close(&self->slots[i]->cgroup);
        free(self->slots[i]);
    }
    cgroup_root_remove(&self->cgroups);
    event_free(self->tick);
    free(self->slots);
    free(self->servers);
    free(self->used_ms);
    release(self->config.runtime_dir);
    release(self->config.temp_dir);
    release(self->config.helper);
    free(self);
}

/* A slot's cgroup is made at its first use; without one, memory is watched by walking the tree. */
static struct slot *slot_at(struct engine *self, unsigned number)
{
    struct err err = ERR_INIT;
    if (number >= self->slot_count) {
        self->slots = mem_resize(self->slots, number + 1, sizeof(*self->slots));
        while (self->slot_count <= number)
            self->slots[self->slot_count++] = NULL;
    }
    if (!self->slots[number]) {
        struct slot *slot = mem_new(sizeof(*slot));
        slot->cgroup = (struct cgroup){.kind = CGROUP_NONE, .procs_fd = -1, .pids_fd = -1};
        if (self->cgroups.kind != CGROUP_NONE &&
            cgroup_open(&slot->cgroup, &self->cgroups, number, &err) != 0) {
            log_warn("cgroup_failed", "slot=%u %s", number, err.text);
            slot->cgroup = (struct cgroup){.kind = CGROUP_NONE, .procs_fd = -1, .pids_fd = -1};
        }
        self->slots[number] = slot;
    }
    return self->slots[number];
}

static struct job *new_job(struct engine *self, const struct job_callbacks *callbacks, void *arg)
{
    struct job *job = mem_new(sizeof(*job));
    *job = (struct job){
        .engine = self,
        .id = ++self->next_id,
        .callbacks = *callbacks,
        .arg = arg,
        .record = -1,
        .output = -1,
        .status = -1,
        .pidfd = -1,
    };
    return job;
}

struct job *engine_start(struct engine *self, const struct job_spec *spec,
                         const struct job_callbacks *callbacks, void *arg, struct err *err)
{
    if (spec->slot >= SLOTS_MAX) {
        err_set(err, ERR_INVALID, "slot %u", spec->slot);
        return NULL;
    }
    struct job *job = new_job(self, callbacks, arg);
    job->slot = slot_at(self, spec->slot);
    if (job_prepare(job, spec, err) != 0) {
        job_free(job);
        return NULL;
    }
    job->next = self->jobs;
    self->jobs = job;
    struct err why = ERR_INIT;
    job->server = self->config.fork_server ? warm_server(self, &spec->environment, &why)
                                           : start_server(self, &spec->environment, true, &why);
    if (!job->server)
        job_lose(job, why.text);
    else {
        touch(self, job->server);
        if (server_is_ready(job->server))
            job_send(job);
    }
    arm(self);
    return job;
}

void engine_forget_job(struct engine *self, struct job *job)
{
    struct job **at = &self->jobs;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
    if (job->server && place_of(self, job->server) < self->server_count)
        touch(self, job->server);
}

void engine_forget(struct engine *self, const char *key)
{
    for (size_t i = 0; i < self->server_count; i++) {
        if (strcmp(server_key(self->servers[i]), key) == 0 && !has_jobs(self, self->servers[i]))
            server_stop(self->servers[i]);
    }
}
