#include "node/eval/prepare.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "runner/intake/intake.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MODULES_FILE_MAX (16u << 20)
#define SETUP_WALL_MS    120000

struct prepare_host {
    struct prepare_config config;
    char *dir;
    char *program;
    struct prepare_work *waiting_first; /* in order of arrival */
    struct prepare_work **waiting_last;
    uint64_t slots_busy; /* one bit a describe slot */
    struct job_environment bare;
    struct job_bind bare_binds[PYTHON_BINDS_MAX];
    char *bare_key;
};

struct prepare_work {
    struct prepared self;
    struct prepare_host *host;
    struct prepare_work *next_waiting;
    bool is_waiting;
    int describe_slot; /* -1: none held */
    char *project;
    char *bundle_path;
    char *overlay_path;
    struct hash bundle;
    struct hash overlay;
    char *unit; /* DIR/<unit> */
    char *src;
    char *pyc;
    char *pyc_fresh; /* being filled */
    struct materialise *materialise;
    struct env_ticket *ticket;
    struct job *job;
    struct event *later; /* calls `next` from the loop */
    void (*next)(struct prepare_work *work);
    bool is_cancelled;
    unsigned slot;
    prepare_done_fn *done;
    void *arg;
    char *message; /* owns setup.message */
    struct job_bind env_binds[ENV_BINDS_MAX];
};

/* ---- the host -------------------------------------------------------------------------------- */

static void set_bare_environment(struct prepare_host *self)
{
    size_t count = 0;
    const struct python *python = env_store_pythons(self->config.envs, &count);
    for (size_t i = 0; i < python->bind_count; i++)
        self->bare_binds[i] =
            (struct job_bind){.source = python->binds[i], .target = python->binds[i]};
    self->bare_key = mem_printf("bare-%s", python->abi);
    self->bare = (struct job_environment){.key = self->bare_key,
                                          .python = python->executable,
                                          .binds = self->bare_binds,
                                          .bind_count = python->bind_count};
}

struct prepare_host *prepare_host_new(const struct prepare_config *config, struct err *err)
{
    if (file_make_dirs(config->dir, 0755, err))
        return NULL;
    struct prepare_host *self = mem_new(sizeof *self);
    self->config = *config;
    self->dir = mem_strdup(config->dir);
    self->program = mem_strdup(config->program);
    self->waiting_last = &self->waiting_first;
    if (self->config.at_once > 64)
        self->config.at_once = 64;
    set_bare_environment(self);
    return self;
}

void prepare_host_free(struct prepare_host *self)
{
    if (!self)
        return;
    free(self->dir);
    free(self->program);
    free(self->bare_key);
    free(self);
}

/* ---- how a half ends ------------------------------------------------------------------------- */

static void start_waiting(struct prepare_host *host);

static void give_slot_back(struct prepare_work *work)
{
    if (work->describe_slot < 0)
        return;
    work->host->slots_busy &= ~(UINT64_C(1) << work->describe_slot);
    work->describe_slot = -1;
    start_waiting(work->host);
}

static void finish(struct prepare_work *work)
{
    give_slot_back(work);
    work->done(work->arg, &work->self);
}

static void fail(struct prepare_work *work, enum doc_blame blame, const char *message)
{
    free(work->message);
    work->message = mem_strdup(message);
    work->self.setup =
        (struct doc_setup){.outcome = DOC_SETUP_FAILED, .blame = blame, .message = work->message};
    if (blame == DOC_BLAME_CLUSTER)
        log_warn("prepare_failed", "project=%s why=%s", work->project, message);
    finish(work);
}

static void set_modules(struct prepared *self, char *const *paths, const uint64_t *sizes,
                        size_t count)
{
    self->modules = mem_new_array(count, sizeof *self->modules);
    self->module_count = count;
    for (size_t i = 0; i < count; i++)
        self->modules[i] =
            (struct doc_module){.path = mem_strdup(paths[i]), .bytes = sizes ? sizes[i] : 0};
}

static void use_candidates(struct prepared *self)
{
    set_modules(self, self->describe.candidates, NULL, self->describe.candidate_count);
}

/* ---- first half: tree, description, environment ---------------------------------------------- */

static char *in_unit(const struct prepare_work *work, const char *name)
{
    return mem_printf("%s/%s", work->unit, name);
}

static void cancelled(struct prepare_work *work)
{
    work->self.setup = (struct doc_setup){.outcome = DOC_CANCELLED};
    finish(work);
}

static void on_env(void *arg, const struct env *env, const struct env_failure *failure)
{
    struct prepare_work *work = arg;
    work->ticket = NULL;
    work->self.env = env;
    if (env) {
        finish(work);
        return;
    }
    buf_puts(&work->self.setup_log, failure->log ? failure->log : "");
    use_candidates(&work->self);
    fail(work, failure->blame == ENV_BLAME_PROJECT ? DOC_BLAME_PROJECT : DOC_BLAME_CLUSTER,
         failure->message);
}

/* `json` is describe.py's answer, fresh or kept. Returns false when it makes no sense. */
static bool take_description(struct prepare_work *work, const struct buf *json)
{
    struct err err = ERR_INIT;
    struct describe *describe = &work->self.describe;
    if (describe_decode(describe, buf_str(json), json->len, &err)) {
        log_warn("describe_bad", "project=%s %s", work->project, err.text);
        return false;
    }
    work->self.requirements = mem_printf("%s: %s", describe->source, describe->why);
    /* The slot is for the describe job; an environment may take minutes. */
    give_slot_back(work);
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
        cancelled(work);
        return;
    }
    if (result->verdict.outcome != JOB_PASSED) {
        bool is_ours = result->verdict.blame == JOB_BLAME_CLUSTER;
        fail(work, is_ours ? DOC_BLAME_CLUSTER : DOC_BLAME_PROJECT, result->verdict.message);
        return;
    }
    owned_mem char *path = in_unit(work, "describe.json");
    struct err err = ERR_INIT;
    if (file_replace(path, buf_str(&result->blob), result->blob.len, 0644, &err))
        log_warn("describe_not_kept", "%s", err.text);
    if (!take_description(work, &result->blob))
        fail(work, DOC_BLAME_CLUSTER, "the description of the project cannot be read");
}

static void describe(struct prepare_work *work)
{
    owned_mem char *path = in_unit(work, "describe.json");
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
    spec.limits.wall_ms = SETUP_WALL_MS;
    static const struct job_callbacks callbacks = {.done = on_described};
    work->job = engine_start(work->host->config.engine, &spec, &callbacks, work, &err);
    if (!work->job)
        fail(work, DOC_BLAME_CLUSTER, err.text);
}

static void on_materialised(void *arg, const struct err *err)
{
    struct prepare_work *work = arg;
    work->materialise = NULL;
    if (err)
        fail(work, DOC_BLAME_CLUSTER, err->text);
    else
        describe(work);
}

static void materialise(struct prepare_work *work)
{
    struct err err = ERR_INIT;
    if (file_exists(work->src)) {
        describe(work);
        return;
    }
    if (file_make_dirs(work->unit, 0755, &err)) {
        fail(work, DOC_BLAME_CLUSTER, err.text);
        return;
    }
    work->materialise =
        materialise_start(work->host->config.base,
                          &(struct materialise_spec){.bundle_path = work->bundle_path,
                                                     .bundle = work->bundle,
                                                     .overlay_path = work->overlay_path,
                                                     .overlay = work->overlay,
                                                     .out_dir = work->src,
                                                     .program = work->host->program},
                          on_materialised, work, &err);
    if (!work->materialise)
        fail(work, DOC_BLAME_CLUSTER, err.text);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct prepare_work *work = arg;
    work->next(work);
}

static void do_later(struct prepare_work *work, void (*next)(struct prepare_work *work))
{
    work->next = next;
    event_active(work->later, EV_TIMEOUT, 0);
}

static void start_waiting(struct prepare_host *host)
{
    while (host->waiting_first) {
        unsigned slot = 0;
        while (slot < host->config.at_once && (host->slots_busy >> slot & 1))
            slot++;
        if (slot == host->config.at_once)
            return;
        struct prepare_work *work = host->waiting_first;
        host->waiting_first = work->next_waiting;
        if (!host->waiting_first)
            host->waiting_last = &host->waiting_first;
        work->is_waiting = false;
        work->describe_slot = (int)slot;
        host->slots_busy |= UINT64_C(1) << slot;
        do_later(work, materialise);
    }
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
    work->project = mem_strdup(spec->project);
    work->bundle_path = mem_strdup(spec->bundle_path);
    work->overlay_path = spec->overlay_path ? mem_strdup(spec->overlay_path) : NULL;
    work->bundle = spec->bundle;
    work->overlay = spec->overlay;
    work->unit = mem_printf("%s/%s", host->dir, unit);
    work->src = in_unit(work, "src");
    work->done = done;
    work->arg = arg;
    work->later = event_new(host->config.base, -1, 0, on_later, work);
    work->is_waiting = true;
    *host->waiting_last = work;
    host->waiting_last = &work->next_waiting;
    start_waiting(host);
    return &work->self;
}

/* ---- second half: byte code, modules --------------------------------------------------------- */

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
    set_modules(&work->self, paths, sizes, count);
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

static void on_discovered(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    work->job = NULL;
    if (work->is_cancelled) {
        cancelled(work);
        return;
    }
    if (result->verdict.blame == JOB_BLAME_CLUSTER) {
        use_candidates(&work->self);
        fail(work, DOC_BLAME_CLUSTER, result->verdict.message);
        return;
    }
    if (result->verdict.outcome == JOB_PASSED || result->module_count > 0) {
        owned_mem char **paths = mem_new_array(result->module_count, sizeof *paths);
        owned_mem uint64_t *sizes = mem_new_array(result->module_count, sizeof *sizes);
        for (size_t i = 0; i < result->module_count; i++) {
            paths[i] = result->modules[i].path;
            sizes[i] = result->modules[i].bytes;
        }
        set_modules(&work->self, paths, sizes, result->module_count);
        if (result->verdict.outcome == JOB_PASSED)
            keep_modules(work);
    } else {
        /* pytest could not start (a broken conftest, say): each module tells so in its own words.
         */
        log_info("discover_failed", "project=%s %s", work->project, result->verdict.message);
        use_candidates(&work->self);
    }
    finish(work);
}

static void start_job(struct prepare_work *work, enum job_kind kind, const char *output_dir,
                      const struct job_callbacks *callbacks)
{
    struct err err = ERR_INIT;
    struct job_spec spec = {
        .kind = kind, .output_dir = output_dir, .limits = work->host->config.limits};
    spec.limits.wall_ms = SETUP_WALL_MS;
    spec.slot = work->slot;
    prepare_fill(&work->self, &spec);
    work->job = engine_start(work->host->config.engine, &spec, callbacks, work, &err);
    if (!work->job)
        fail(work, DOC_BLAME_CLUSTER, err.text);
}

static void discover(struct prepare_work *work)
{
    static const struct job_callbacks callbacks = {.done = on_discovered};
    if (read_modules(work))
        finish(work);
    else
        start_job(work, JOB_DISCOVER, NULL, &callbacks);
}

/* Byte code only saves time: without it everything still runs. */
static void on_compiled(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    work->job = NULL;
    if (work->is_cancelled) {
        cancelled(work);
        return;
    }
    if (result->verdict.outcome != JOB_PASSED)
        log_warn("compile_failed", "project=%s %s", work->project, result->verdict.message);
    else if (rename(work->pyc_fresh, work->pyc) && errno != EEXIST && errno != ENOTEMPTY)
        log_warn("compile_not_kept", "%s: %s", work->pyc, strerror(errno));
    (void)file_remove_tree(work->pyc_fresh, &(struct err)ERR_INIT);
    discover(work);
}

static void compile(struct prepare_work *work)
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
    do_later(work, compile);
}

void prepare_fill(const struct prepared *self, struct job_spec *spec)
{
    struct prepare_work *work = self->work;
    const struct env *env = self->env;
    for (size_t i = 0; i < env->bind_count; i++)
        work->env_binds[i] =
            (struct job_bind){.source = env->binds[i].source, .target = env->binds[i].target};
    spec->environment = (struct job_environment){.key = env->key,
                                                 .dir = env->dir,
                                                 .python = env->python,
                                                 .binds = work->env_binds,
                                                 .bind_count = env->bind_count};
    spec->layers[0] = work->src;
    spec->layer_count = 1;
    if (spec->kind != JOB_COMPILE && work->pyc && file_exists(work->pyc))
        spec->layers[spec->layer_count++] = work->pyc;
    spec->project = work->project;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void leave_queue(struct prepare_work *work)
{
    struct prepare_work **at = &work->host->waiting_first;
    while (*at != work)
        at = &(*at)->next_waiting;
    *at = work->next_waiting;
    if (!*at)
        work->host->waiting_last = at;
}

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
    if (work->is_waiting)
        leave_queue(work);
    work->is_waiting = false;
    if (work->materialise)
        materialise_cancel(steal_ptr(&work->materialise));
    if (work->ticket)
        env_cancel(steal_ptr(&work->ticket));
    do_later(work, cancelled);
}

void prepare_free(struct prepared *self_owned)
{
    if (!self_owned)
        return;
    struct prepare_work *work = self_owned->work;
    if (work->is_waiting)
        leave_queue(work);
    if (work->materialise)
        materialise_cancel(work->materialise);
    if (work->ticket)
        env_cancel(work->ticket);
    if (self_owned->env)
        env_release(work->host->config.envs, self_owned->env);
    event_free(work->later);
    give_slot_back(work);
    for (size_t i = 0; i < self_owned->module_count; i++)
        free((char *)(uintptr_t)self_owned->modules[i].path);
    free(self_owned->modules);
    describe_fini(&self_owned->describe);
    buf_fini(&self_owned->setup_log);
    free(self_owned->requirements);
    free(work->project);
    free(work->bundle_path);
    free(work->overlay_path);
    free(work->unit);
    free(work->src);
    free(work->pyc);
    free(work->pyc_fresh);
    free(work->message);
    free(work);
}
