/* prepare_editable: `install = editable` in testmesh.ini. The project's build runs in a job, in an
 * environment of what it asks for; what it leaves is a layer beside the tree, for jobs of this tree
 * alone:
 *
 *   DIR/<unit>/installed-<environment>-<folder's name>/
 *
 * The environment of the tests, which others share, never sees any of it. */
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

#define REPORT_MAX 65536
#define ROUNDS_MAX 2 /* a build backend may ask for more once it sees the project */

static void fail(struct prepare_work *work, enum doc_blame blame, const char *words)
{
    owned_mem char *text = mem_printf("installing the project: %s", words);
    if (work->installed_fresh)
        prepare_remove(work->host, work->installed_fresh);
    if (work->self.module_count == 0)
        prepare_use_candidates(&work->self);
    prepare_fail(work, blame, text);
}

static void release_build_env(struct prepare_work *work)
{
    if (work->build_env)
        env_release(work->host->config.envs, steal_ptr(&work->build_env));
}

static void on_build_env(void *arg, const struct env *env, const struct env_failure *failure)
{
    struct prepare_work *work = arg;
    work->ticket = NULL;
    work->build_env = env;
    if (env) {
        work->build_ready(work);
        return;
    }
    buf_puts(&work->self.setup_log, failure->log ? failure->log : "");
    fail(work, failure->blame == ENV_BLAME_PROJECT ? DOC_BLAME_PROJECT : DOC_BLAME_CLUSTER,
         failure->message);
}

static void ask_for_build_env(struct prepare_work *work, const char *more,
                              void (*ready)(struct prepare_work *work))
{
    const struct describe *describe = &work->self.describe;
    owned_mem char *lines = mem_printf("%s%s", describe->build_requires, more);
    work->build_ready = ready;
    work->ticket =
        env_acquire(work->host->config.envs,
                    &(struct env_request){
                        .requirements = lines, .python = describe->python, .name = work->project},
                    on_build_env, work);
}

bool prepare_editable_begin(struct prepare_work *work)
{
    const struct env *env = work->self.env;
    char name[HASH_HEX];
    if (!work->self.describe.editable)
        return false;
    if (strcmp(env->root, ENV_ROOT) != 0) {
        prepare_note(&work->self, mem_strdup("install = editable needs a sandbox: the project is "
                                             "on the path and not installed"));
        return false;
    }
    struct hash hash = hash_of(work->project, strlen(work->project)); /* its path is in there */
    hash_hex(&hash, name);
    work->installed = mem_printf("%s/installed-%.32s-%.16s", work->unit, env->key, name);
    if (file_exists(work->installed))
        return false;
    ask_for_build_env(work, "", prepare_finish);
    return true;
}

static void install(struct prepare_work *work);

static void take_requires(struct prepare_work *work, const json_t *requires)
{
    owned_buf lines = BUF_INIT;
    const json_t *item;
    size_t i;
    if (++work->rounds == ROUNDS_MAX) {
        fail(work, DOC_BLAME_PROJECT, "its build asks for more again and again");
        return;
    }
    json_array_foreach(requires, i, item)
    {
        const char *line = json_string_value(item);
        if (line && !strpbrk(line, "\r\n"))
            buf_printf(&lines, "%s\n", line);
    }
    release_build_env(work);
    prepare_remove(work->host, work->installed_fresh);
    ask_for_build_env(work, buf_str(&lines), install);
}

/* The first to end stays: equal projects may be installed side by side. */
static void keep(struct prepare_work *work)
{
    if (rename(work->installed_fresh, work->installed) == 0) {
        prepare_compile(work);
        return;
    }
    int code = errno;
    if (code == EEXIST || code == ENOTEMPTY) {
        prepare_remove(work->host, work->installed_fresh);
        prepare_compile(work);
        return;
    }
    fail(work, DOC_BLAME_CLUSTER, strerror(code));
}

static void take_report(struct prepare_work *work, const struct buf *blob)
{
    struct err err = ERR_INIT;
    owned_json *report =
        blob->len <= REPORT_MAX ? json_in_parse(buf_str(blob), blob->len, &err) : NULL;
    const json_t *requires = json_object_get(report, "requires");
    if (json_is_array(requires)) {
        take_requires(work, requires);
        return;
    }
    release_build_env(work);
    if (json_in_int(report, "installed", 0) > 0)
        keep(work);
    else
        fail(work, DOC_BLAME_PROJECT, json_in_str(report, "error", "its build gave no answer"));
}

static void on_installed(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct prepare_work *work = arg;
    const struct verdict_result *verdict = &result->verdict;
    work->job = NULL;
    if (work->is_cancelled) {
        prepare_remove(work->host, work->installed_fresh);
        prepare_cancelled(work);
        return;
    }
    buf_append(&work->self.setup_log, buf_str(&result->output.kept), result->output.kept.len);
    if (verdict->outcome == JOB_PASSED)
        take_report(work, &result->blob);
    else if (verdict->blame == JOB_BLAME_CLUSTER)
        fail(work, DOC_BLAME_CLUSTER, verdict->message);
    else
        fail(work, DOC_BLAME_PROJECT, verdict->message);
}

static int make_fresh(struct prepare_work *work, struct err *err)
{
    uint64_t random;
    rand_system(&random, sizeof random);
    free(work->installed_fresh);
    work->installed_fresh = mem_printf("%s.%016" PRIx64, work->installed, random);
    if (mkdir(work->installed_fresh, 0755))
        return err_set(err, ERR_IO, "make %s: %m", work->installed_fresh);
    return 0;
}

static void install(struct prepare_work *work)
{
    static const struct job_callbacks callbacks = {.done = on_installed};
    const struct describe *describe = &work->self.describe;
    struct err err = ERR_INIT;
    struct job_spec spec = {.kind = JOB_INSTALL,
                            .layers = {work->src},
                            .layer_count = 1,
                            .args = {describe->build_backend},
                            .arg_count = 1,
                            .limits = work->host->config.limits,
                            .project = work->project,
                            .slot = work->slot};
    for (size_t i = 0; i < describe->build_path_count; i++)
        spec.args[spec.arg_count++] = describe->build_path[i];
    prepare_fill_environment(work, work->build_env, &spec);
    if (make_fresh(work, &err) == 0) {
        spec.output_dir = work->installed_fresh;
        work->job = engine_start(work->host->config.engine, &spec, &callbacks, work, &err);
    }
    if (!work->job)
        fail(work, DOC_BLAME_CLUSTER, err.text);
}

void prepare_editable_install(struct prepare_work *work)
{
    if (work->build_env && !file_exists(work->installed)) {
        install(work);
        return;
    }
    release_build_env(work);
    prepare_compile(work);
}

void prepare_editable_free(struct prepare_work *work)
{
    release_build_env(work);
    free(work->installed);
    free(work->installed_fresh);
}
