#include "runner/env/build.h"

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/blame.h"
#include "runner/env/build_inner.h"
#include "runner/env/pins.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PINS_MAX    ((size_t)512 << 10)
#define FILE_MAX    ((uint64_t)2 << 30)
#define BUILD_NICE  5
#define OWN_WALL_MS 120000 /* of a step that works on what is installed */

static void next(struct build *self, enum build_step step);

static const char *step_name(enum build_step step)
{
    switch (step) {
    case BUILD_RESOLVE:
        return "resolve";
    case BUILD_WHEELS:
        return "wheels";
    case BUILD_BUILDS:
        return "builds";
    case BUILD_PIP:
        return "pip";
    case BUILD_LOOK:
        return "look";
    case BUILD_COMPILE:
        return "compile";
    case BUILD_SEAL:
        return "seal";
    }
    return "?";
}

/* ---- the turn ---- */

/* Returns whether it is this build's; else it will be called. */
static bool take_turn(struct build *self)
{
    struct build_turn *turn = self->spec.turn;
    if (turn->holder == NULL)
        turn->holder = self;
    if (turn->holder == self)
        return true;
    struct build **at = &turn->waiting;
    while (*at != NULL)
        at = &(*at)->next_waiting;
    *at = self;
    self->is_waiting = true;
    return false;
}

/* Gives the turn to the next, or leaves the queue for it; it may have neither. */
static void give_turn(struct build *self)
{
    struct build_turn *turn = self->spec.turn;
    if (self->is_waiting) {
        struct build **at = &turn->waiting;
        while (*at != self)
            at = &(*at)->next_waiting;
        *at = self->next_waiting;
        self->is_waiting = false;
    }
    if (turn->holder != self)
        return;
    struct build *first = turn->waiting;
    turn->holder = first;
    if (first == NULL)
        return;
    turn->waiting = first->next_waiting;
    turn->holder = first;
    first->is_waiting = false;
    first->next_waiting = NULL;
    next(first, BUILD_LOOK);
}

/* ---- the end ---- */

static void build_free(struct build *self)
{
    requirements_fini(&self->pins);
    buf_fini(&self->log);
    buf_fini(&self->message);
    free(self->scratch);
    free(self);
}

static void finish(struct build *self)
{
    struct build_result *result = &self->result;
    give_turn(self);
    result->message = buf_str(&self->message);
    result->log = buf_str(&self->log);
    self->done(self->arg, result);
    build_free(self);
}

static void fail(struct build *self, enum env_blame blame, const char *reason)
{
    self->result.blame = blame;
    self->result.reason = reason;
    finish(self);
}

/* A node that cannot do its part. */
static void fail_here(struct build *self, const char *text)
{
    buf_printf(&self->message, "%s: %s", step_name(self->step), text);
    fail(self, ENV_BLAME_CLUSTER, "environment");
}

/* Whether strangers' code may have run in this step, so that its length says nothing about us. */
static bool runs_strangers(enum build_step step)
{
    return step == BUILD_RESOLVE || step == BUILD_BUILDS || step == BUILD_PIP;
}

static void fail_by_words(struct build *self, const char *output)
{
    owned_buf words = BUF_INIT;
    owned_buf reach = BUF_INIT;
    struct blame blame = blame_read(output, &words);
    if (self->is_direct && !blame.is_cluster) { /* a resolver may find a way, or better words */
        next(self, BUILD_RESOLVE);
        return;
    }
    if (self->step == BUILD_WHEELS && blame.is_missing_wheel) {
        next(self, BUILD_BUILDS);
        return;
    }
    build_blame_reach(self, &blame, &reach);
    buf_append(&reach, buf_str(&words), words.len);
    env_settings_redact(self->spec.settings, buf_str(&reach), reach.len, &self->message);
    fail(self, blame.is_cluster ? ENV_BLAME_CLUSTER : ENV_BLAME_PROJECT, blame.reason);
}

/* Whether the step is a helper of ours, on the host. */
static bool is_ours(enum build_step step) { return step == BUILD_LOOK || step == BUILD_SEAL; }

static bool installs(enum build_step step) { return step < BUILD_LOOK; }

/* A file of more than it may have; a jail says so by its exit code, as a shell would. */
static bool met_file_limit(const struct supervise_verdict *verdict)
{
    return (verdict->kind == SUPERVISE_SIGNALLED && verdict->signal == SIGXFSZ) ||
           (verdict->kind == SUPERVISE_EXITED && verdict->code == 128 + SIGXFSZ);
}

static const char *limit_reason(enum supervise_limit limit)
{
    if (limit == SUPERVISE_LIMIT_DISK)
        return "package-too-large";
    return limit == SUPERVISE_LIMIT_WALL ? "timeout" : "limit";
}

static void fail_by_limit(struct build *self, const struct child_result *result)
{
    enum supervise_limit limit = result->verdict.limit;
    bool is_theirs = runs_strangers(self->step) || limit == SUPERVISE_LIMIT_DISK;
    struct blame blame = {!is_theirs, false, limit_reason(limit)};
    build_blame_reach(self, &blame, &self->message);
    buf_printf(&self->message, "installing the requirements: %s", result->text);
    fail(self, blame.is_cluster ? ENV_BLAME_CLUSTER : ENV_BLAME_PROJECT, blame.reason);
}

/* Whether the step did what it was for; when it did not, the build is over or goes another way. */
static bool is_good(struct build *self, const struct child_result *result, const char *output)
{
    const struct supervise_verdict *verdict = &result->verdict;
    if (verdict->kind == SUPERVISE_EXITED && verdict->code == 0)
        return true;
    if (self->step == BUILD_COMPILE) /* a file that is no Python 3 ends it with 1: no harm */
        return true;
    if (!is_ours(self->step) && verdict->kind == SUPERVISE_EXITED && verdict->code < 125) {
        fail_by_words(self, output);
    } else if (verdict->kind == SUPERVISE_LIMITED) {
        fail_by_limit(self, result);
    } else if (installs(self->step) && met_file_limit(verdict)) {
        buf_puts(&self->message, "installing the requirements: a file is too large");
        fail(self, ENV_BLAME_PROJECT, "package-too-large");
    } else {
        owned_mem char *text = mem_printf("%s %.400s", result->text, output);
        fail_here(self, text);
    }
    return false;
}

/* What the resolver chose is a stranger's text like any other. */
static void take_pins(struct build *self, const struct buf *text)
{
    struct err err = ERR_INIT;
    const struct requirements_policy policy = {.allow_urls = self->spec.config->allow_urls};
    if (requirements_parse(&self->pins, buf_str(text), text->len, &policy, &err) != 0) {
        buf_printf(&self->message, "the installer chose what is not installed here: %s", err.text);
        fail(self, ENV_BLAME_PROJECT, err_name(&err));
        return;
    }
    next(self, BUILD_WHEELS);
}

static void take_look(struct build *self, const struct buf *text)
{
    struct err err = ERR_INIT;
    owned_json *found = json_in_parse(buf_str(text), text->len, &err);
    if (found == NULL) {
        fail_here(self, err.text);
    } else if (self->is_direct &&
               !pins_cover(self->spec.requirements, json_in_str(found, "installed", "?"))) {
        give_turn(self);
        next(self, BUILD_RESOLVE);
    } else if (json_in_int(found, "misses", 0) > 0) {
        next(self, BUILD_COMPILE);
    } else {
        give_turn(self);
        next(self, BUILD_SEAL);
    }
}

static void take_seal(struct build *self, const struct buf *text)
{
    struct err err = ERR_INIT;
    owned_json *sealed = json_in_parse(buf_str(text), text->len, &err);
    const char *pytest = json_in_str(sealed, "pytest", "");
    if (sealed == NULL) {
        fail_here(self, err.text);
    } else if (*pytest == '\0') {
        buf_puts(&self->message, "the environment that was built has no pytest");
        fail(self, ENV_BLAME_PROJECT, "package-install");
    } else if ((uint64_t)json_in_int(sealed, "bytes", 0) > self->spec.config->build_max_bytes) {
        buf_printf(&self->message, "the requirements take more than %llu MiB",
                   (unsigned long long)self->spec.config->build_max_bytes >> 20);
        fail(self, ENV_BLAME_PROJECT, "package-too-large");
    } else {
        snprintf(self->result.pytest_version, sizeof self->result.pytest_version, "%s", pytest);
        self->result.bytes = (uint64_t)json_in_int(sealed, "bytes", 0);
        self->result.is_done = true;
        finish(self);
    }
}

static void on_step(void *arg, struct child_result *result)
{
    struct build *self = arg;
    self->child = NULL;
    build_unwatch(self);
    build_gate_close(self);
    owned_buf output = BUF_INIT;
    buf_append(&output, buf_str(&result->err), result->err.len);
    if (self->step == BUILD_PIP) /* pip says half of it there */
        buf_append(&output, buf_str(&result->out), result->out.len);
    buf_printf(&self->log, "== %s (%llu ms)\n", step_name(self->step),
               (unsigned long long)result->wall_ms);
    env_settings_redact(self->spec.settings, buf_str(&output), output.len, &self->log);
    log_debug("env_step", "key=%.12s step=%s ms=%llu result=%s", self->spec.key,
              step_name(self->step), (unsigned long long)result->wall_ms,
              supervise_verdict_name(result->verdict.kind));
    if (!is_good(self, result, buf_str(&output)))
        return;
    switch (self->step) {
    case BUILD_RESOLVE:
        take_pins(self, &result->out);
        break;
    case BUILD_WHEELS:
    case BUILD_BUILDS:
    case BUILD_PIP:
        self->installed_by = self->step;
        if (take_turn(self))
            next(self, BUILD_LOOK);
        break;
    case BUILD_LOOK:
        take_look(self, &result->out);
        break;
    case BUILD_COMPILE:
        next(self, BUILD_SEAL);
        break;
    case BUILD_SEAL:
        take_seal(self, &result->out);
        break;
    }
}

static bool has_gate(const struct build *self)
{
    return installs(self->step) && self->spec.config->egress != NULL;
}

static bool is_on_host_network(const struct build *self)
{
    return installs(self->step) && !has_gate(self);
}

static int start_step(struct build *self, struct err *err)
{
    struct build_command command;
    int rc = build_command_init(&command, self, err);
    if (rc != 0)
        return rc;
    uint64_t now = clock_mono_ms();
    uint64_t left_ms = self->deadline_ms > now ? self->deadline_ms - now : 1;
    uint64_t most = self->spec.config->build_max_bytes;
    struct child_spec child = {
        .argv = command.argv,
        .envp = command.envp,
        .out = {.kind = CHILD_COLLECT, .head_bytes = PINS_MAX, .tail_bytes = ENV_LOG_BYTES},
        .err = {.kind = CHILD_COLLECT, .head_bytes = ENV_LOG_BYTES, .tail_bytes = ENV_LOG_BYTES},
        .limits = {.wall_ms = installs(self->step) ? left_ms : OWN_WALL_MS,
                   .output_bytes = (uint64_t)64 << 20,
                   .memory_bytes = (uint64_t)4 << 30,
                   .file_bytes = most < FILE_MAX ? most : FILE_MAX},
        .nice = BUILD_NICE,
    };
    const struct env_config *config = self->spec.config;
    owned_fd int gate = -1;
    self->reached = (struct build_reached){.refusal_count = 0};
    if (config->runtime_dir == NULL || is_ours(self->step)) {
        self->child = child_start(self->base, &child, on_step, self, err);
    } else if (!has_gate(self) || build_gate_open(self, &gate, err) == 0) {
        struct jail_spec jail = {.runtime_dir = config->runtime_dir,
                                 .helper = config->self,
                                 .binds = command.binds,
                                 .bind_count = command.bind_count,
                                 .network = is_on_host_network(self) ? JAIL_NETWORK_HOST
                                                                     : JAIL_NETWORK_NONE,
                                 .gate_fd = gate,
                                 .uid = config->uid,
                                 .argv = command.argv,
                                 .envp = command.envp};
        self->child = jail_start(self->base, &jail, &child, on_step, self, err);
    }
    build_command_fini(&command);
    if (self->child == NULL)
        build_gate_close(self);
    else if (installs(self->step))
        build_watch(self);
    return self->child != NULL ? 0 : (int)err->code;
}

/* Moves the tree of an attempt that was in vain out of the way. */
static int set_aside(struct build *self, struct err *err)
{
    owned_mem char *old = mem_printf("%s/old-%u", self->spec.work, self->set_aside++);
    if (rename(self->spec.dir, old) != 0)
        return err_set(err, ERR_IO, "rename %s: %m", self->spec.dir);
    return 0;
}

static int prepare(struct build *self, enum build_step step, struct err *err)
{
    const struct build_spec *spec = &self->spec;
    int rc = 0;
    switch (step) {
    case BUILD_RESOLVE: /* strangers may write to this tree; it is not used for anything else */
        self->is_direct = false;
        rc = file_exists(spec->dir) ? set_aside(self, err) : 0;
        return rc == 0 ? build_tree_make(self, self->scratch, err) : rc;
    case BUILD_BUILDS: /* nothing of the step before is left */
        rc = set_aside(self, err);
        return rc == 0 ? build_tree_make(self, spec->dir, err) : rc;
    case BUILD_WHEELS:
    case BUILD_PIP:
        rc = build_tree_make(self, spec->dir, err);
        return rc == 0 ? build_inputs_write(self, err) : rc;
    case BUILD_LOOK:
    case BUILD_COMPILE:
    case BUILD_SEAL:
        break;
    }
    return 0;
}

static int begin(struct build *self, enum build_step step, struct err *err)
{
    self->step = step;
    int rc = prepare(self, step, err);
    return rc == 0 ? start_step(self, err) : rc;
}

static void next(struct build *self, enum build_step step)
{
    struct err err = ERR_INIT;
    if (begin(self, step, &err) != 0)
        fail_here(self, err.text);
}

static enum build_step first_step(struct build *self)
{
    const struct requirements *wanted = self->spec.requirements;
    if (self->spec.uv == NULL)
        return BUILD_PIP;
    self->is_direct = !wanted->require_hashes && pins_are_exact(wanted);
    return self->is_direct || wanted->require_hashes ? BUILD_WHEELS : BUILD_RESOLVE;
}

struct build *build_start(struct event_base *base, const struct build_spec *spec,
                          build_done_fn *done, void *arg, struct err *err)
{
    struct build *self = mem_new(sizeof *self);
    struct err local = ERR_INIT;
    *self = (struct build){.base = base, .spec = *spec, .done = done, .arg = arg};
    self->scratch = mem_printf("%s/scratch", spec->work);
    self->deadline_ms = clock_mono_ms() + spec->config->build_wall_ms;
    self->result.reason = "environment";
    err = err != NULL ? err : &local;
    int rc = build_work_make(self, err);
    if (rc == 0)
        rc = build_inputs_write(self, err);
    if (rc == 0)
        rc = begin(self, first_step(self), err);
    if (rc == 0)
        return self;
    build_free(self);
    return NULL;
}

void build_drop(struct build *self_owned)
{
    if (self_owned->child != NULL)
        child_drop(self_owned->child);
    build_unwatch(self_owned);
    build_gate_close(self_owned);
    give_turn(self_owned);
    build_free(self_owned);
}
