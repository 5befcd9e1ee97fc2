#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/intake/helper.h"
#include "runner/intake/intake.h"
#include "runner/intake/limits.h"
#include "runner/intake/manifest.h"

#define ANSWER_MAX 4096u

struct materialise {
    struct helper *helper;
    materialise_done_fn *done;
    void *arg;
    char *temporary;
};

static void materialise_free(struct materialise *self)
{
    free(self->temporary);
    free(self);
}

static void tidy(const struct materialise *self)
{
    struct err err = ERR_INIT;
    if (file_remove_tree(self->temporary, &err))
        log_warn("materialise_left_behind", "dir=%s error=%s", self->temporary, err.text);
}

static void on_done(void *arg, int rc, const struct buf *out, const struct err *cause)
{
    struct materialise *self = arg;
    struct err err = *cause;
    bool died = rc != 0;
    if (!rc)
        rc = manifest_read_done(buf_str(out), out->len, &err);
    /* Only a helper that was killed leaves a part of a tree; the next one for it would remove it.
     */
    if (died)
        tidy(self);
    self->done(self->arg, rc ? &err : NULL);
    materialise_free(self);
}

struct materialise *materialise_start(struct event_base *base, const struct materialise_spec *spec,
                                      materialise_done_fn *done, void *arg, struct err *err)
{
    char bundle[HASH_HEX];
    char overlay[HASH_HEX];
    struct archive_limits limits = spec->limits_set ? spec->limits : ARCHIVE_LIMITS_DEFAULT;
    owned_mem char *limits_owned = limits_format(&limits);
    const char *argv[] = {"materialise",
                          "--limits",
                          limits_owned,
                          spec->out_dir,
                          spec->bundle_path,
                          hash_hex(&spec->bundle, bundle),
                          spec->overlay_path, /* NULL ends the list */
                          hash_hex(&spec->overlay, overlay),
                          NULL};
    struct materialise *self = mem_new(sizeof *self);
    *self = (struct materialise){
        .done = done, .arg = arg, .temporary = mem_printf("%s.tmp", spec->out_dir)};
    struct helper_spec helper = {.program = spec->program,
                                 .argv = argv,
                                 .timeout_ms = spec->timeout_ms,
                                 .answer_max = ANSWER_MAX};
    self->helper = helper_start(base, &helper, on_done, self, err);
    if (!self->helper) {
        materialise_free(self);
        return NULL;
    }
    return self;
}

void materialise_cancel(struct materialise *self)
{
    helper_drop(self->helper);
    tidy(self);
    materialise_free(self);
}
