#include "runner/intake/intake.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/intake/helper.h"
#include "runner/intake/limits.h"
#include "runner/intake/manifest.h"

#include <string.h>
#include <sys/stat.h>

struct intake {
    struct helper *helper;
    intake_done_fn *done;
    void *arg;
    char *out_dir;
};

/* A helper that was killed could not tidy up by itself; what it made is at most a few files. */
static void tidy(const struct intake *self)
{
    struct err err = ERR_INIT;
    if (file_remove_tree(self->out_dir, &err))
        log_warn("intake_left_behind", "dir=%s error=%s", self->out_dir, err.text);
}

static void intake_free(struct intake *self)
{
    free(self->out_dir);
    free(self);
}

/* The helper says what it wrote; the sizes are looked up. */
static int check_bundles(const struct intake_result *result, struct err *err)
{
    for (size_t i = 0; i < result->project_count; i++) {
        const struct intake_project *project = &result->projects[i];
        struct stat st;
        if (project->path && (lstat(project->path, &st) || !S_ISREG(st.st_mode) ||
                              (uint64_t)st.st_size != project->bundle_bytes))
            return err_set(err, ERR_INTERNAL, "the helper did not write the bundle of %s",
                           project->name);
    }
    return 0;
}

static void on_done(void *arg, int rc, const struct buf *out, const struct err *cause)
{
    struct intake *self = arg;
    struct err err = *cause;
    struct intake_result result = {0};
    if (!rc)
        rc = manifest_read(&result, buf_str(out), out->len, self->out_dir, &err);
    if (!rc)
        rc = check_bundles(&result, &err);
    if (rc)
        tidy(self);
    self->done(self->arg, rc ? NULL : &result, &err);
    intake_result_fini(&result);
    intake_free(self);
}

struct intake *intake_start(struct event_base *base, const struct intake_spec *spec,
                            intake_done_fn *done, void *arg, struct err *err)
{
    struct archive_limits limits = spec->limits_set ? spec->limits : ARCHIVE_LIMITS_DEFAULT;
    owned_mem char *text = limits_format(&limits);
    const char *argv[12] = {"intake", "--limits", text};
    size_t count = 3;
    if (file_exists(spec->out_dir)) {
        err_set(err, ERR_CONFLICT, "%s exists", spec->out_dir);
        return NULL;
    }
    if (spec->overlay)
        argv[count++] = "--overlay";
    if (spec->name) {
        argv[count++] = "--name";
        argv[count++] = spec->name;
    }
    argv[count++] = "--";
    argv[count++] = spec->zip_path;
    argv[count++] = spec->out_dir;
    struct intake *self = mem_new(sizeof *self);
    *self = (struct intake){.done = done, .arg = arg, .out_dir = mem_strdup(spec->out_dir)};
    struct helper_spec helper = {.program = spec->program,
                                 .argv = argv,
                                 .timeout_ms = spec->timeout_ms,
                                 .answer_max = MANIFEST_MAX};
    self->helper = helper_start(base, &helper, on_done, self, err);
    if (!self->helper) {
        intake_free(self);
        return NULL;
    }
    return self;
}

void intake_cancel(struct intake *self)
{
    helper_drop(self->helper);
    tidy(self);
    intake_free(self);
}
