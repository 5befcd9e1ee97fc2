/* How much a build writes, while its installer runs: a child of ours walks the trees. */
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/build_inner.h"

#include <stdlib.h>

static void on_too_much(void *arg, struct child_result *result)
{
    struct build *self = arg;
    self->watcher = NULL;
    uint64_t bytes = strtoull(buf_str(&result->out), NULL, 10);
    if (bytes > self->spec.config->build_max_bytes)
        child_limit(self->child, SUPERVISE_LIMIT_DISK, bytes, self->spec.config->build_max_bytes);
    else
        log_warn("env_watch", "key=%.12s %s %s", self->spec.key, result->text,
                 buf_str(&result->err));
}

void build_watch(struct build *self)
{
    const struct build_spec *spec = &self->spec;
    struct err err = ERR_INIT;
    owned_mem char *limit = mem_printf("%llu", (unsigned long long)spec->config->build_max_bytes);
    const char *const argv[] = {spec->config->self, "--helper", "env", "watch", limit,
                                spec->dir,          spec->work, NULL};
    const struct child_spec child = {.argv = argv,
                                     .out = {.kind = CHILD_COLLECT, .head_bytes = 64},
                                     .err = {.kind = CHILD_COLLECT, .head_bytes = 1024},
                                     .nice = 5};
    if (spec->config->self != NULL)
        self->watcher = child_start(self->base, &child, on_too_much, self, &err);
    if (self->watcher == NULL)
        log_warn("env_watch", "key=%.12s %s", spec->key, err.text);
}

void build_unwatch(struct build *self)
{
    if (self->watcher != NULL)
        child_drop(steal_ptr(&self->watcher));
}
