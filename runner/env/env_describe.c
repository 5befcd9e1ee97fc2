#include "proto/base/mem.h"
#include "runner/env/env_inner.h"
#include "runner/jail/jail.h"

#include <string.h>

#define PROJECT_JAIL "/project"

struct env_describe {
    struct child *child;
    env_describe_fn *done;
    void *arg;
};

static int read_answer(struct child_result *result, struct describe *found, struct err *err)
{
    const struct supervise_verdict *verdict = &result->verdict;
    if (verdict->kind == SUPERVISE_LIMITED)
        return err_set(err, verdict->limit == SUPERVISE_LIMIT_OUTPUT ? ERR_TOO_LARGE : ERR_TIMEOUT,
                       "reading the project's files: %s", result->text);
    if (verdict->kind != SUPERVISE_EXITED || verdict->code != 0)
        return err_set(err, ERR_INTERNAL, "reading the project's files: %.200s %.200s",
                       result->text, buf_str(&result->err));
    if (result->out_bytes > result->out.len)
        return err_set(err, ERR_TOO_LARGE, "the description of the project is too large");
    return describe_decode(found, buf_str(&result->out), result->out.len, err);
}

static void on_done(void *arg, struct child_result *result)
{
    struct env_describe *self = arg;
    struct err err = ERR_INIT;
    owned_describe found = DESCRIBE_INIT;
    bool is_good = read_answer(result, &found, &err) == 0;
    self->done(self->arg, is_good ? &found : NULL, is_good ? NULL : &err);
    free(self);
}

static struct child *start(struct env_store *store, const char *tree, struct env_describe *self,
                           struct err *err)
{
    static const char *const clean[] = {"LANG=C.UTF-8", "PATH=/usr/bin:/bin", NULL};
    bool is_jailed = store->config.runtime_dir != NULL;
    bool fits;
    /* One that can read TOML. */
    const struct python *python =
        python_choose(store->pythons, store->python_count, ">=3.11", &fits);
    const char *const argv[] = {python->executable,
                                "-I",
                                "-c",
                                (const char *)describe_py,
                                is_jailed ? PROJECT_JAIL : tree,
                                NULL};
    const struct child_spec child = {
        .argv = argv,
        .envp = clean,
        .out = {.kind = CHILD_COLLECT, .head_bytes = DESCRIBE_MAX_BYTES},
        .err = {.kind = CHILD_COLLECT, .head_bytes = 1024, .tail_bytes = 1024},
        .limits = {.wall_ms = 30000,
                   .cpu_ms = 15000,
                   .memory_bytes = (uint64_t)512 << 20,
                   .output_bytes = DESCRIBE_MAX_BYTES},
    };
    if (!is_jailed)
        return child_start(store->base, &child, on_done, self, err);
    struct jail_bind binds[PYTHON_BINDS_MAX + 1] = {{.source = tree, .target = PROJECT_JAIL}};
    for (size_t i = 0; i < python->bind_count; i++)
        binds[i + 1] = (struct jail_bind){.source = python->binds[i]};
    const struct jail_spec jail = {.runtime_dir = store->config.runtime_dir,
                                   .helper = store->config.self,
                                   .binds = binds,
                                   .bind_count = python->bind_count + 1,
                                   .network = JAIL_NETWORK_NONE,
                                   .uid = store->config.uid,
                                   .argv = argv,
                                   .envp = clean};
    return jail_start(store->base, &jail, &child, on_done, self, err);
}

struct env_describe *env_describe_start(struct env_store *self, const char *tree,
                                        env_describe_fn *done, void *arg, struct err *err)
{
    struct env_describe *asked = mem_new(sizeof *asked);
    *asked = (struct env_describe){.done = done, .arg = arg};
    asked->child = start(self, tree, asked, err);
    if (asked->child != NULL)
        return asked;
    free(asked);
    return NULL;
}

void env_describe_drop(struct env_describe *asked_owned)
{
    child_drop(asked_owned->child);
    free(asked_owned);
}
