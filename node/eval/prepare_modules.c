/* prepare_modules: the second half, which works the processor: byte code, then pytest's own word on
 * what a module is. */
#include "node/eval/prepare_work.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MODULES_FILE_MAX (16u << 20)

static char *modules_path(const struct prepare_work *work)
{
    return mem_printf("%s/modules-%.32s", work->unit, work->self.env->key);
}

static bool read_modules(struct prepare_work *work)
{
    owned_mem char *path = modules_path(work);
    owned_buf text = BUF_INIT;
    if (file_read(path, MODULES_FILE_MAX, &text, NULL))
        return false;
    owned_json *list = json_in_parse(buf_str(&text), text.len, NULL);
    if (!json_is_array(list))
        return false;
    size_t count = json_array_size(list);
    owned_mem char **paths = mem_new_array(count, sizeof *paths);
    owned_mem uint64_t *sizes = mem_new_array(count, sizeof *sizes);
    for (size_t i = 0; i < count; i++) {
        const json_t *module = json_array_get(list, i);
        const char *name = json_in_str(module, "path", NULL);
        if (!name)
            return false;
        union {
            const char *in;
            char *out;
        } borrowed = {.in = name};
        paths[i] = borrowed.out;
        sizes[i] = (uint64_t)json_in_int(module, "bytes", 0);
    }
    prepare_set_modules(&work->self, paths, sizes, count);
    return true;
}

static void keep_modules(const struct prepare_work *work)
{
    owned_mem char *path = modules_path(work);
    owned_buf text = BUF_INIT;
    struct json_out out;
    struct err err = ERR_INIT;
    json_out_init(&out, &text);
    json_out_open_array(&out);
    for (size_t i = 0; i < work->self.module_count; i++) {
        json_out_open_object(&out);
        json_out_key_str(&out, "path", work->self.modules[i].path);
        json_out_key_uint(&out, "bytes", work->self.modules[i].bytes);
        json_out_close_object(&out);
    }
    json_out_close_array(&out);
    if (file_replace(path, text.data, text.len, 0644, &err))
        log_warn("modules_not_kept", "%s", err.text);
}

static void discover(struct prepare_work *work);

static void on_discovered(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    work->job = NULL;
    if (work->is_cancelled) {
        prepare_cancelled(work);
        return;
    }
    if (result->verdict.blame == JOB_BLAME_CLUSTER && !work->was_asked_again) {
        work->was_asked_again = true; /* as a module that was lost */
        discover(work);
        return;
    }
    if (result->verdict.blame == JOB_BLAME_CLUSTER) {
        prepare_use_candidates(&work->self);
        prepare_fail(work, DOC_BLAME_CLUSTER, result->verdict.message);
        return;
    }
    if (result->verdict.outcome == JOB_PASSED || result->module_count > 0) {
        owned_mem char **paths = mem_new_array(result->module_count, sizeof *paths);
        owned_mem uint64_t *sizes = mem_new_array(result->module_count, sizeof *sizes);
        for (size_t i = 0; i < result->module_count; i++) {
            paths[i] = result->modules[i].path;
            sizes[i] = result->modules[i].bytes;
        }
        prepare_set_modules(&work->self, paths, sizes, result->module_count);
        if (result->verdict.outcome == JOB_PASSED)
            keep_modules(work);
    } else {
        /* pytest could not start (a broken conftest, say): each module tells so in its own words.
         */
        log_info("discover_failed", "project=%s %s", work->project, result->verdict.message);
        prepare_use_candidates(&work->self);
    }
    prepare_finish(work);
}

static void start_job(struct prepare_work *work, enum job_kind kind, const char *output_dir,
                      const struct job_callbacks *callbacks)
{
    struct err err = ERR_INIT;
    struct job_spec spec = {
        .kind = kind, .output_dir = output_dir, .limits = work->host->config.limits};
    spec.slot = work->slot;
    prepare_fill(&work->self, &spec);
    work->job = engine_start(work->host->config.engine, &spec, callbacks, work, &err);
    if (!work->job)
        prepare_fail(work, DOC_BLAME_CLUSTER, err.text);
}

static void discover(struct prepare_work *work)
{
    static const struct job_callbacks callbacks = {.done = on_discovered};
    if (read_modules(work))
        prepare_finish(work);
    else
        start_job(work, JOB_DISCOVER, NULL, &callbacks);
}

/* Byte code only saves time: without it everything still runs. Equal projects may be compiled side
 * by side; the first to end stays. */
static void keep_byte_code(struct prepare_work *work, const struct verdict_result *verdict)
{
    if (verdict->outcome == JOB_PASSED && rename(work->pyc_fresh, work->pyc) == 0)
        return;
    if (verdict->outcome != JOB_PASSED)
        log_warn("compile_failed", "project=%s %s", work->project, verdict->message);
    else if (errno != EEXIST && errno != ENOTEMPTY)
        log_warn("compile_not_kept", "%s: %s", work->pyc, strerror(errno));
    prepare_remove(work->host, work->pyc_fresh);
}

static void on_compiled(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    work->job = NULL;
    if (work->is_cancelled) {
        prepare_remove(work->host, work->pyc_fresh);
        prepare_cancelled(work);
        return;
    }
    keep_byte_code(work, &result->verdict);
    discover(work);
}

void prepare_compile(struct prepare_work *work)
{
    static const struct job_callbacks callbacks = {.done = on_compiled};
    const struct env *env = work->self.env;
    uint64_t random;
    free(work->pyc);
    work->pyc = mem_printf("%s/pyc-%s-%s", work->unit, env->interpreter->abi, env->pytest_version);
    if (file_exists(work->pyc)) {
        discover(work);
        return;
    }
    rand_system(&random, sizeof random);
    free(work->pyc_fresh);
    work->pyc_fresh = mem_printf("%s.%016" PRIx64, work->pyc, random);
    if (mkdir(work->pyc_fresh, 0755)) {
        log_warn("compile_not_kept", "%s: %s", work->pyc_fresh, strerror(errno));
        discover(work);
        return;
    }
    start_job(work, JOB_COMPILE, work->pyc_fresh, &callbacks);
}

void prepare_modules(struct prepared *self, unsigned slot, prepare_done_fn *done, void *arg)
{
    struct prepare_work *work = self->work;
    work->slot = slot;
    work->done = done;
    work->arg = arg;
    prepare_later(work, prepare_editable_install);
}

void prepare_fill_environment(struct prepare_work *work, const struct env *env,
                              struct job_spec *spec)
{
    for (size_t i = 0; i < env->bind_count; i++)
        work->env_binds[i] =
            (struct job_bind){.source = env->binds[i].source, .target = env->binds[i].target};
    spec->environment = (struct job_environment){.key = env->key,
                                                 .dir = env->dir,
                                                 .python = env->python,
                                                 .binds = work->env_binds,
                                                 .bind_count = env->bind_count};
}

void prepare_fill(const struct prepared *self, struct job_spec *spec)
{
    struct prepare_work *work = self->work;
    prepare_fill_environment(work, self->env, spec);
    spec->layer_count = 0;
    /* Below the tree: what a build left replaces none of its files, an overlay's least of all. */
    if (spec->kind != JOB_COMPILE && work->installed)
        spec->layers[spec->layer_count++] = work->installed;
    spec->layers[spec->layer_count++] = work->src;
    if (spec->kind != JOB_COMPILE && work->pyc && file_exists(work->pyc))
        spec->layers[spec->layer_count++] = work->pyc;
    spec->project = work->project;
}
