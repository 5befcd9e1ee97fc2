/* logs: what modules printed, and what a project's set-up said. */
#include "node/api/internal.h"

#include "proto/base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void no_log(struct http_exchange *x, const char *what)
{
    struct err err = ERR_INIT;
    err_refuse(&err, ERR_NOT_FOUND, "log-not-found", "%s", what);
    http_reply_problem(x, &err);
}

/* ---- a log, from wherever it is -------------------------------------------------------------- */

static void answer_file(struct api *self, struct http_exchange *x, const struct gather_blob *blob)
{
    owned_mem char *path = store_blob_path(self->config.store, &blob->hash, blob->ext);
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        no_log(x, "no node that can be reached has the log");
    else
        http_reply_file(x, 200, "text/plain; charset=utf-8", steal_fd(&fd), 0,
                        (uint64_t)st.st_size);
}

static void on_gathered(struct api *self, struct http_exchange *x, void *state)
{
    owned_mem struct gather_blob *blob = state;
    answer_file(self, x, blob);
}

static void answer_blob(struct api *self, struct http_exchange *x, const struct summary *summary,
                        const struct gather_blob *blob)
{
    if (store_has_blob(self->config.store, &blob->hash, blob->ext))
        answer_file(self, x, blob);
    else
        gather_blobs(self, x,
                     &(struct gather_wish){.eval = summary->id,
                                           .blobs = blob,
                                           .count = 1,
                                           .then = on_gathered,
                                           .state = mem_dup(blob, sizeof *blob),
                                           .free_state = free});
}

/* ---- which log ------------------------------------------------------------------------------- */

static const struct summary_project *find_project(const struct summary *summary, const char *name)
{
    for (size_t p = 0; p < summary->project_count; p++)
        if (strcmp(summary->projects[p].name, name) == 0)
            return &summary->projects[p];
    return NULL;
}

static const struct summary_module *
find_module(const struct summary *summary, const struct summary_project *project, const char *path)
{
    for (size_t m = 0; m < project->module_count; m++) {
        const struct summary_module *module = &summary->modules[project->first_module + m];
        if (strcmp(module->path, path) == 0)
            return module;
    }
    return NULL;
}

/* What is there of one project. Each answers. */
typedef void log_fn(struct api *self, struct http_exchange *x, const struct summary *summary,
                    const struct summary_project *project);

static void answer_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                       log_fn *answer)
{
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    const struct summary_project *project = find_project(&summary, http_param(x, "project"));
    if (project)
        answer(self, x, &summary, project);
    else
        no_log(x, "the evaluation has no such project");
}

static void answer_module_log(struct api *self, struct http_exchange *x,
                              const struct summary *summary, const struct summary_project *project)
{
    const struct summary_module *module = find_module(summary, project, http_param(x, "module"));
    if (!module)
        no_log(x, "the project has no such module");
    else if (module->rec && doc_hash_is_set(&module->rec->out))
        answer_blob(self, x, summary,
                    &(struct gather_blob){
                        .hash = module->rec->out, .ext = "log", .node = module->rec->node});
    else
        no_log(x, module->phase == SUMMARY_FINISHED ? "the module printed nothing"
                                                    : "the module has not finished");
}

static void answer_build_log(struct api *self, struct http_exchange *x,
                             const struct summary *summary, const struct summary_project *project)
{
    if (project->log && doc_hash_is_set(project->log))
        answer_blob(self, x, summary, &(struct gather_blob){.hash = *project->log, .ext = "txt"});
    else
        no_log(x, "the project's set-up left no log");
}

static void module_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                       uint64_t stale_ms)
{
    (void)stale_ms;
    answer_log(self, x, doc, answer_module_log);
}

static void build_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                      uint64_t stale_ms)
{
    (void)stale_ms;
    answer_log(self, x, doc, answer_build_log);
}

void logs_module(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, module_log); }

void logs_set_up(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, build_log); }
