#include "runner/child/supervise.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define DEFAULT_DRAIN_MS 500

const struct supervise_rung supervise_ladder[] = {{SIGTERM, 300}, {SIGKILL, 500}};
const size_t supervise_ladder_count = countof(supervise_ladder);

static const struct {
    const char *name;
    const char *unit;
} limits[] = {
    [SUPERVISE_LIMIT_NONE] = {"none", ""},
    [SUPERVISE_LIMIT_WALL] = {"wall", "ms"},
    [SUPERVISE_LIMIT_CPU] = {"cpu", "ms"},
    [SUPERVISE_LIMIT_MEMORY] = {"memory", "bytes"},
    [SUPERVISE_LIMIT_OUTPUT] = {"output", "bytes"},
    [SUPERVISE_LIMIT_DISK] = {"disk", "bytes"},
    [SUPERVISE_LIMIT_PROCESS] = {"processes", "processes"},
};

const char *supervise_limit_name(enum supervise_limit limit)
{
    return limit < countof(limits) ? limits[limit].name : "none";
}

const char *supervise_limit_unit(enum supervise_limit limit)
{
    return limit < countof(limits) ? limits[limit].unit : "";
}

const char *supervise_verdict_name(enum supervise_verdict_kind kind)
{
    static const char *const names[] = {
        [SUPERVISE_PENDING] = "pending",     [SUPERVISE_EXITED] = "exited",
        [SUPERVISE_SIGNALLED] = "signalled", [SUPERVISE_LIMITED] = "limited",
        [SUPERVISE_CANCELLED] = "cancelled", [SUPERVISE_SPAWN_FAILED] = "spawn_failed",
        [SUPERVISE_STUCK] = "stuck",
    };
    return kind < countof(names) ? names[kind] : "pending";
}

/* Large amounts in units that people think in. */
static const char *amount(enum supervise_limit limit, uint64_t value, char out[32])
{
    const char *unit = supervise_limit_unit(limit);
    if (strcmp(unit, "bytes") == 0 && value >= UINT64_C(1) << 20)
        snprintf(out, 32, "%.1f MiB", (double)value / (1 << 20));
    else if (strcmp(unit, "ms") == 0 && value >= 1000)
        snprintf(out, 32, "%.1f s", (double)value / 1000);
    else
        snprintf(out, 32, "%llu %s", (unsigned long long)value, unit);
    return out;
}

char *supervise_describe(const struct supervise_verdict *verdict, char *out, size_t size)
{
    char used[32];
    char allowed[32];
    switch (verdict->kind) {
    case SUPERVISE_EXITED:
        snprintf(out, size, "exited with code %d", verdict->code);
        break;
    case SUPERVISE_SIGNALLED:
        snprintf(out, size, "ended by signal %d (%s)", verdict->signal, strsignal(verdict->signal));
        break;
    case SUPERVISE_LIMITED:
        snprintf(out, size, "%s limit: used %s of %s", supervise_limit_name(verdict->limit),
                 amount(verdict->limit, verdict->used, used),
                 amount(verdict->limit, verdict->allowed, allowed));
        break;
    case SUPERVISE_CANCELLED:
        snprintf(out, size, "stopped on request");
        break;
    case SUPERVISE_STUCK:
        snprintf(out, size, "could not be ended: the kernel holds it");
        break;
    case SUPERVISE_SPAWN_FAILED:
        snprintf(out, size, "could not be started: %s", strerror(verdict->code));
        break;
    case SUPERVISE_PENDING:
        snprintf(out, size, "not over");
        break;
    }
    return out;
}

void supervise_init(struct supervise *self, const struct supervise_spec *spec)
{
    *self = (struct supervise){.spec = *spec,
                               .wall_deadline_ms = UINT64_MAX,
                               .deadline_ms = UINT64_MAX,
                               .streams_open = spec->stream_count};
    if (!self->spec.ladder) {
        self->spec.ladder = supervise_ladder;
        self->spec.ladder_count = supervise_ladder_count;
    }
    if (!self->spec.drain_ms)
        self->spec.drain_ms = DEFAULT_DRAIN_MS;
    assert(self->spec.ladder_count > 0);
}

static void finish(struct supervise *self, enum supervise_verdict_kind kind,
                   struct supervise_out *out)
{
    self->state = SUPERVISE_DONE;
    self->verdict.kind = kind;
    self->wall_deadline_ms = UINT64_MAX;
    self->deadline_ms = UINT64_MAX;
    out->close_streams = self->streams_open > 0;
    out->done = true;
}

static void climb(struct supervise *self, uint64_t now_ms, struct supervise_out *out)
{
    if (self->next_rung == self->spec.ladder_count) {
        finish(self, SUPERVISE_STUCK, out);
        return;
    }
    const struct supervise_rung *rung = &self->spec.ladder[self->next_rung++];
    self->state = SUPERVISE_STOPPING;
    self->deadline_ms = now_ms + rung->grace_ms;
    out->signal = rung->signal;
}

static void end_early(struct supervise *self, enum supervise_verdict_kind cause, uint64_t now_ms,
                      struct supervise_out *out)
{
    if (self->state == SUPERVISE_WAITING) {
        finish(self, cause, out);
    } else if (self->state == SUPERVISE_RUNNING) {
        self->cause = cause;
        self->wall_deadline_ms = UINT64_MAX;
        climb(self, now_ms, out);
    }
}

static void limit_hit(struct supervise *self, const struct supervise_event *event,
                      struct supervise_out *out)
{
    if (self->state != SUPERVISE_WAITING && self->state != SUPERVISE_RUNNING)
        return;
    self->verdict.limit = event->limit;
    self->verdict.used = event->value;
    self->verdict.allowed = event->allowed;
    end_early(self, SUPERVISE_LIMITED, event->now_ms, out);
}

static void output(struct supervise *self, const struct supervise_event *event,
                   struct supervise_out *out)
{
    self->output_bytes += event->value;
    if (!self->spec.output_bytes || self->output_bytes <= self->spec.output_bytes)
        return;
    struct supervise_event over = {.now_ms = event->now_ms,
                                   .limit = SUPERVISE_LIMIT_OUTPUT,
                                   .value = self->output_bytes,
                                   .allowed = self->spec.output_bytes};
    /* What is left in the pipe of a child that has just ended counts like the rest. */
    if (self->state == SUPERVISE_DRAINING && self->cause != SUPERVISE_LIMITED) {
        self->verdict.limit = over.limit;
        self->verdict.used = over.value;
        self->verdict.allowed = over.allowed;
        finish(self, SUPERVISE_LIMITED, out);
        return;
    }
    limit_hit(self, &over, out);
}

static void exited(struct supervise *self, const struct supervise_event *event,
                   struct supervise_out *out)
{
    if (self->state != SUPERVISE_RUNNING && self->state != SUPERVISE_STOPPING)
        return;
    bool by_signal = WIFSIGNALED(event->status);
    self->verdict.signal = by_signal ? WTERMSIG(event->status) : 0;
    self->verdict.code = by_signal ? 0 : WEXITSTATUS(event->status);
    if (self->state == SUPERVISE_STOPPING)
        out->signal = SIGKILL; /* its first process obeyed; the rest of the tree goes with it */
    else
        self->cause = by_signal ? SUPERVISE_SIGNALLED : SUPERVISE_EXITED;
    if (self->streams_open == 0) {
        finish(self, self->cause, out);
        return;
    }
    self->state = SUPERVISE_DRAINING;
    self->wall_deadline_ms = UINT64_MAX;
    self->deadline_ms = event->now_ms + self->spec.drain_ms;
}

static void stream_ended(struct supervise *self, struct supervise_out *out)
{
    if (self->streams_open > 0)
        self->streams_open--;
    if (self->streams_open == 0 && self->state == SUPERVISE_DRAINING)
        finish(self, self->cause, out);
}

static void tick(struct supervise *self, uint64_t now_ms, struct supervise_out *out)
{
    if (self->state == SUPERVISE_RUNNING && now_ms >= self->wall_deadline_ms) {
        struct supervise_event over = {.now_ms = now_ms,
                                       .limit = SUPERVISE_LIMIT_WALL,
                                       .value = now_ms - self->started_ms,
                                       .allowed = self->spec.wall_ms};
        limit_hit(self, &over, out);
    } else if (self->state == SUPERVISE_STOPPING && now_ms >= self->deadline_ms) {
        climb(self, now_ms, out);
    } else if (self->state == SUPERVISE_DRAINING && now_ms >= self->deadline_ms) {
        finish(self, self->cause, out);
    }
}

static void started(struct supervise *self, uint64_t now_ms)
{
    if (self->state != SUPERVISE_WAITING)
        return;
    self->state = SUPERVISE_RUNNING;
    self->started_ms = now_ms;
    if (self->spec.wall_ms)
        self->wall_deadline_ms = now_ms + self->spec.wall_ms;
}

void supervise_step(struct supervise *self, const struct supervise_event *event,
                    struct supervise_out *out)
{
    *out = (struct supervise_out){0};
    if (self->state == SUPERVISE_DONE)
        return;
    switch (event->kind) {
    case SUPERVISE_STARTED:
        started(self, event->now_ms);
        break;
    case SUPERVISE_START_FAILED:
        if (self->state == SUPERVISE_WAITING) {
            self->verdict.code = (int)event->value;
            finish(self, SUPERVISE_SPAWN_FAILED, out);
        }
        break;
    case SUPERVISE_OUTPUT:
        output(self, event, out);
        break;
    case SUPERVISE_STREAM_EOF:
        stream_ended(self, out);
        break;
    case SUPERVISE_EXIT:
        exited(self, event, out);
        break;
    case SUPERVISE_LIMIT:
        limit_hit(self, event, out);
        break;
    case SUPERVISE_STOP:
        end_early(self, SUPERVISE_CANCELLED, event->now_ms, out);
        break;
    case SUPERVISE_TICK:
        tick(self, event->now_ms, out);
        break;
    }
}

uint64_t supervise_deadline(const struct supervise *self)
{
    return self->wall_deadline_ms < self->deadline_ms ? self->wall_deadline_ms : self->deadline_ms;
}
