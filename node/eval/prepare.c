#include "node/eval/prepare_work.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RETRY_MS 16000 /* the environments' store remembers a failure of the cluster for 15 s */

static struct timeval after_ms(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/* ---- how a half ends ------------------------------------------------------------------------- */

void prepare_finish(struct prepare_work *work)
{
    prepare_give_slot_back(work);
    work->done(work->arg, &work->self);
}

static void drop_modules(struct prepared *self)
{
    for (size_t i = 0; i < self->module_count; i++)
        free((char *)(uintptr_t)self->modules[i].path);
    mem_free_at(&self->modules);
    self->module_count = 0;
}

static void forget_first_half(struct prepared *self)
{
    drop_modules(self);
    describe_fini(&self->describe);
    self->describe = (struct describe)DESCRIBE_INIT;
    buf_fini(&self->setup_log);
    mem_free_at(&self->requirements);
}

/* The first half once more, in a while. */
static void retry(struct prepare_work *work, const char *why)
{
    unsigned ms = work->host->config.retry_ms ? work->host->config.retry_ms : RETRY_MS;
    struct timeval pause = after_ms(ms);
    log_warn("prepare_retry", "project=%s in_ms=%u why=%s", work->project, ms, why);
    work->was_retried = true;
    prepare_give_slot_back(work);
    forget_first_half(&work->self);
    work->then = prepare_enter_queue;
    event_add(work->later, &pause);
}

void prepare_fail(struct prepare_work *work, enum doc_blame blame, const char *message)
{
    if (blame == DOC_BLAME_CLUSTER && !work->self.env && !work->was_retried) {
        retry(work, message);
        return;
    }
    free(work->message);
    work->message = mem_strdup(message);
    work->self.setup =
        (struct doc_setup){.outcome = DOC_SETUP_FAILED, .blame = blame, .message = work->message};
    if (blame == DOC_BLAME_CLUSTER)
        log_warn("prepare_failed", "project=%s why=%s", work->project, message);
    prepare_finish(work);
}

void prepare_set_modules(struct prepared *self, char *const *paths, const uint64_t *sizes,
                         size_t count)
{
    drop_modules(self);
    self->modules = mem_new_array(count, sizeof *self->modules);
    self->module_count = count;
    for (size_t i = 0; i < count; i++)
        self->modules[i] =
            (struct doc_module){.path = mem_strdup(paths[i]), .bytes = sizes ? sizes[i] : 0};
}

void prepare_use_candidates(struct prepared *self)
{
    prepare_set_modules(self, self->describe.candidates, NULL, self->describe.candidate_count);
}

void prepare_cancelled(struct prepare_work *work)
{
    work->self.setup = (struct doc_setup){.outcome = DOC_CANCELLED};
    prepare_finish(work);
}

char *prepare_in_unit(const struct prepare_work *work, const char *name)
{
    return mem_printf("%s/%s", work->unit, name);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct prepare_work *work = arg;
    work->then(work);
}

void prepare_later(struct prepare_work *work, void (*then)(struct prepare_work *work))
{
    work->then = then;
    event_del(work->later);
    event_active(work->later, EV_TIMEOUT, 0);
}

/* ---- first half: tree, description, environment ---------------------------------------------- */

void prepare_note(struct prepared *self, char *text_owned)
{
    struct describe *describe = &self->describe;
    describe->notes =
        mem_resize(describe->notes, describe->note_count + 1, sizeof *describe->notes);
    describe->notes[describe->note_count++] = text_owned;
}

/* No interpreter here is what the project asks for: it is run all the same, and told. */
static void note_python(struct prepare_work *work, const struct env *env)
{
    struct describe *describe = &work->self.describe;
    size_t count = 0;
    bool fits = true;
    const struct python *all = env_store_pythons(work->host->config.envs, &count);
    python_choose(all, count, describe->python, &fits);
    if (fits)
        return;
    prepare_note(
        &work->self,
        mem_printf(
            "the project asks for Python %s; no interpreter of this node is one, and %s is used",
            describe->python, env->python_version));
}

static void on_env(void *arg, const struct env *env, const struct env_failure *failure)
{
    struct prepare_work *work = arg;
    work->ticket = NULL;
    work->self.env = env;
    if (env) {
        note_python(work, env);
        if (!prepare_editable_begin(work))
            prepare_finish(work);
        return;
    }
    buf_puts(&work->self.setup_log, failure->log ? failure->log : "");
    prepare_use_candidates(&work->self);
    prepare_fail(work, failure->blame == ENV_BLAME_PROJECT ? DOC_BLAME_PROJECT : DOC_BLAME_CLUSTER,
                 failure->message);
}

/* `json` is describe.py's answer, fresh or kept. Returns false when it makes no sense. */
static bool take_description(struct prepare_work *work, const struct buf *json)
{
    struct err err = ERR_INIT;
    struct describe *describe = &work->self.describe;
    describe_fini(describe);
    *describe = (struct describe)DESCRIBE_INIT;
    if (describe_decode(describe, buf_str(json), json->len, &err)) {
        log_warn("describe_bad", "project=%s %s", work->project, err.text);
        return false;
    }
    work->self.requirements = mem_printf("%s: %s", describe->source, describe->why);
    /* The slot is for the describe job; an environment may take minutes. */
    prepare_give_slot_back(work);
    work->ticket = env_acquire(work->host->config.envs,
                               &(struct env_request){.requirements = describe->requirements,
                                                     .constraints = describe->constraints,
                                                     .python = describe->python,
                                                     .name = work->project},
                               on_env, work);
    return true;
}

static void on_described(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    work->job = NULL;
    if (work->is_cancelled) {
        prepare_cancelled(work);
        return;
    }
    if (result->verdict.outcome != JOB_PASSED) {
        bool is_ours = result->verdict.blame == JOB_BLAME_CLUSTER;
        prepare_fail(work, is_ours ? DOC_BLAME_CLUSTER : DOC_BLAME_PROJECT,
                     result->verdict.message);
        return;
    }
    owned_mem char *path = prepare_in_unit(work, "describe.json");
    struct err err = ERR_INIT;
    if (file_replace(path, buf_str(&result->blob), result->blob.len, 0644, &err))
        log_warn("describe_not_kept", "%s", err.text);
    if (!take_description(work, &result->blob))
        prepare_fail(work, DOC_BLAME_CLUSTER, "the description of the project cannot be read");
}

static void describe(struct prepare_work *work)
{
    owned_mem char *path = prepare_in_unit(work, "describe.json");
    owned_buf kept = BUF_INIT;
    struct err err = ERR_INIT;
    if (file_read(path, DESCRIBE_MAX_BYTES, &kept, &err) == 0 && take_description(work, &kept))
        return;
    struct job_spec spec = {.kind = JOB_DESCRIBE,
                            .environment = work->host->bare,
                            .layers = {work->src},
                            .layer_count = 1,
                            .project = work->project,
                            .limits = work->host->config.limits,
                            .slot = work->host->config.slot_first + (unsigned)work->describe_slot};
    static const struct job_callbacks callbacks = {.done = on_described};
    work->job = engine_start(work->host->config.engine, &spec, &callbacks, work, &err);
    if (!work->job)
        prepare_fail(work, DOC_BLAME_CLUSTER, err.text);
}

static void on_materialised(void *arg, const struct err *err)
{
    struct prepare_work *work = arg;
    work->materialise = NULL;
    if (err) {
        prepare_fail(work, DOC_BLAME_CLUSTER, err->text);
        return;
    }
    if (rename(work->src_fresh, work->src)) {
        owned_mem char *why = mem_printf("the tree of %s: %s", work->project, strerror(errno));
        prepare_remove(work->host, work->src_fresh);
        prepare_fail(work, DOC_BLAME_CLUSTER, why);
        return;
    }
    describe(work);
}

void prepare_first_half(struct prepare_work *work)
{
    struct err err = ERR_INIT;
    if (file_exists(work->src)) {
        (void)utimensat(AT_FDCWD, work->unit, NULL, 0); /* what prepare_host_prune() goes by */
        describe(work);
        return;
    }
    if (file_make_dirs(work->unit, 0755, &err)) {
        prepare_fail(work, DOC_BLAME_CLUSTER, err.text);
        return;
    }
    uint64_t random;
    rand_system(&random, sizeof random);
    free(work->src_fresh);
    work->src_fresh = mem_printf("%s.%016" PRIx64, work->src, random);
    work->materialise =
        materialise_start(work->host->config.base,
                          &(struct materialise_spec){.bundle_path = work->bundle_path,
                                                     .bundle = work->bundle,
                                                     .overlay_path = work->overlay_path,
                                                     .overlay = work->overlay,
                                                     .out_dir = work->src_fresh,
                                                     .program = work->host->program},
                          on_materialised, work, &err);
    if (!work->materialise)
        prepare_fail(work, DOC_BLAME_CLUSTER, err.text);
}

static char *unit_name(const struct prepare_spec *spec)
{
    struct hash_state state;
    struct hash unit;
    char hex[HASH_HEX];
    hash_init(&state);
    hash_update(&state, spec->tree.bytes, HASH_BYTES);
    if (spec->overlay_path)
        hash_update(&state, spec->overlay.bytes, HASH_BYTES);
    hash_final(&state, &unit);
    return mem_strdup(hash_hex(&unit, hex));
}

struct prepared *prepare_start(struct prepare_host *host, const struct prepare_spec *spec,
                               prepare_done_fn *done, void *arg)
{
    struct prepare_work *work = mem_new(sizeof *work);
    owned_mem char *unit = unit_name(spec);
    work->self.work = work;
    work->host = host;
    work->describe_slot = -1;
    work->group = spec->group;
    work->project = mem_strdup(spec->project);
    work->bundle_path = mem_strdup(spec->bundle_path);
    work->overlay_path = spec->overlay_path ? mem_strdup(spec->overlay_path) : NULL;
    work->bundle = spec->bundle;
    work->overlay = spec->overlay;
    work->unit = mem_printf("%s/%s", host->dir, unit);
    work->src = prepare_in_unit(work, "src");
    work->done = done;
    work->arg = arg;
    work->later = event_new(host->config.base, -1, 0, on_later, work);
    prepare_add_work(work);
    prepare_enter_queue(work);
    return &work->self;
}

/* ---- the end --------------------------------------------------------------------------------- */

void prepare_cancel(struct prepared *self)
{
    struct prepare_work *work = self->work;
    if (work->is_cancelled)
        return;
    work->is_cancelled = true;
    if (work->job) {
        job_cancel(work->job);
        return;
    }
    prepare_leave_queue(work);
    if (work->materialise)
        materialise_cancel(steal_ptr(&work->materialise));
    if (work->ticket)
        env_cancel(steal_ptr(&work->ticket));
    prepare_later(work, prepare_cancelled);
}

void prepare_free(struct prepared *self_owned)
{
    if (!self_owned)
        return;
    struct prepare_work *work = self_owned->work;
    prepare_leave_queue(work);
    prepare_drop_work(work);
    if (work->materialise)
        materialise_cancel(work->materialise);
    if (work->ticket)
        env_cancel(work->ticket);
    if (self_owned->env)
        env_release(work->host->config.envs, self_owned->env);
    event_free(work->later);
    prepare_give_slot_back(work);
    forget_first_half(self_owned);
    free(work->project);
    free(work->bundle_path);
    free(work->overlay_path);
    free(work->unit);
    free(work->src);
    free(work->src_fresh);
    prepare_editable_free(work);
    free(work->pyc);
    free(work->pyc_fresh);
    free(work->message);
    free(work);
}
