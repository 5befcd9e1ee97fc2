#include "runner/intake/helper.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <string.h>

#define ARGUMENTS_MAX   16
#define TIMEOUT_MS      120000u
#define COMPLAINT_BYTES 2048u

struct helper {
    helper_done_fn *done;
    void *arg;
    struct child *child;
    size_t answer_max;
};

static int judge(const struct helper *self, const struct child_result *result, struct err *err)
{
    const struct supervise_verdict *verdict = &result->verdict;
    if (verdict->kind == SUPERVISE_LIMITED && verdict->limit == SUPERVISE_LIMIT_WALL)
        return err_set(err, ERR_TIMEOUT, "the helper took too long: %s", result->text);
    if (verdict->kind != SUPERVISE_EXITED || verdict->code > 1 || result->out.len == 0)
        return err_set(err, ERR_INTERNAL, "the helper died: %s", result->text);
    if (result->out_bytes > self->answer_max)
        return err_set(err, ERR_INTERNAL, "the helper's answer is too long");
    return 0;
}

static void on_done(void *arg, struct child_result *result)
{
    struct helper *self = arg;
    struct err err = ERR_INIT;
    int rc = judge(self, result, &err);
    if (rc)
        log_warn("helper_failed", "%s stderr=%.500s", err.text, buf_str(&result->err));
    self->done(self->arg, rc, &result->out, &err);
    free(self);
}

struct helper *helper_start(struct event_base *base, const struct helper_spec *spec,
                            helper_done_fn *done, void *arg, struct err *err)
{
    const char *program = spec->program ? spec->program : "/proc/self/exe";
    const char *argv[ARGUMENTS_MAX] = {program, "--helper"};
    for (size_t i = 0; spec->argv[i] && i + 3 < ARGUMENTS_MAX; i++)
        argv[i + 2] = spec->argv[i];
    struct helper *self = mem_new(sizeof *self);
    *self = (struct helper){.done = done, .arg = arg, .answer_max = spec->answer_max};
    struct child_spec child = {
        .argv = argv,
        .out = {.kind = CHILD_COLLECT, .head_bytes = spec->answer_max},
        .err = {.kind = CHILD_COLLECT, .head_bytes = COMPLAINT_BYTES},
        .limits = {.wall_ms = spec->timeout_ms ? spec->timeout_ms : TIMEOUT_MS,
                   .output_bytes = spec->answer_max + (1u << 20)},
        .nice = 5,
    };
    self->child = child_start(base, &child, on_done, self, err);
    if (!self->child) {
        free(self);
        return NULL;
    }
    return self;
}

void helper_drop(struct helper *self)
{
    child_drop(self->child);
    free(self);
}
