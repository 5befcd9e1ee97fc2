#include "node/api/upload.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_FIELD_MAX 1024

void upload_free(struct upload *self)
{
    struct upload **at = &self->api->uploads;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    self->api->upload_count--;
    if (self->intake)
        intake_cancel(self->intake);
    mem_close_at(&self->fd);
    store_remove_tmp(self->api->config.store, self->folder);
    free(self->folder);
    free(self->filename);
    free(self->key);
    buf_fini(&self->name);
    buf_fini(&self->options_text);
    submit_options_fini(&self->options);
    intake_result_fini(&self->result);
    intake_result_fini(&self->overlay);
    free(self);
}

char *upload_path(const struct upload *self, const char *name)
{
    return mem_printf("%s/%s", self->folder, name);
}

bool upload_has(const struct upload *self, enum upload_field field)
{
    return self->seen & 1u << field;
}

/* ---- the body -------------------------------------------------------------------------------- */

static int admit(const struct api *api, struct err *err)
{
    int rc = api_check_ready(api, err);
    if (rc)
        return rc;
    if (api->upload_count >= api->config.uploads_max)
        return err_refuse(err, ERR_BUSY, "too-many-uploads",
                          "%u uploads are being taken in already", api->upload_count);
    struct mesh_load load = host_load(api->config.host);
    if (load.waiting + load.preparing > api->config.backlog_modules_max)
        return err_refuse(err, ERR_BUSY, "backlog-full",
                          "%zu modules and %zu projects are waiting already", load.waiting,
                          load.preparing);
    return 0;
}

static int disk_error(struct err *err, const char *what)
{
    return err_refuse(err, ERR_UNAVAILABLE,
                      errno == ENOSPC || errno == EDQUOT ? "disk-full" : "disk", "%s: %s", what,
                      strerror(errno));
}

static void *open_form(struct http_exchange *x, void *arg, struct err *err)
{
    struct api *api = arg;
    uint64_t random;
    if (admit(api, err))
        return NULL;
    rand_system(&random, sizeof random);
    owned_mem char *folder =
        mem_printf("%s/upload-%016" PRIx64, store_tmp_dir(api->config.store), random);
    if (mkdir(folder, 0700)) {
        disk_error(err, "staging");
        return NULL;
    }
    struct upload *self = mem_new(sizeof *self);
    self->api = api;
    self->x = x;
    self->folder = steal_ptr(&folder);
    self->fd = -1;
    hash_init(&self->hashing);
    self->next = api->uploads;
    api->uploads = self;
    api->upload_count++;
    return self;
}

static int open_staging(struct upload *self, const char *name, struct err *err)
{
    owned_mem char *path = upload_path(self, name);
    self->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return self->fd < 0 ? disk_error(err, "staging") : 0;
}

static enum upload_field field_of(const char *name)
{
    static const char *const names[] = {[UPLOAD_FILE] = "file",
                                        [UPLOAD_TESTS] = "tests",
                                        [UPLOAD_NAME] = "name",
                                        [UPLOAD_OPTIONS] = "options"};
    unsigned i = 0;
    while (i < countof(names) && strcmp(names[i], name) != 0)
        i++;
    return (enum upload_field)i;
}

static int part_begin(void *state, const struct http_form_part *part, struct err *err)
{
    struct upload *self = state;
    self->field = field_of(part->name);
    if (self->field != UPLOAD_OTHER && upload_has(self, self->field))
        return err_refuse(err, ERR_INVALID, "field-twice", "the field \"%s\" came twice",
                          part->name);
    self->seen |= 1u << self->field;
    hash_update(&self->hashing, part->name, strlen(part->name) + 1);
    if (self->field == UPLOAD_FILE && part->filename)
        self->filename = mem_strdup(part->filename);
    if (self->field == UPLOAD_FILE)
        return open_staging(self, "file.zip", err);
    if (self->field == UPLOAD_TESTS)
        return open_staging(self, "tests.zip", err);
    return 0;
}

static int take_text(struct buf *to, const void *bytes, size_t len, size_t max, struct err *err)
{
    if (to->len + len > max)
        return err_refuse(err, ERR_TOO_LARGE, "field-too-large", "a field has more than %zu bytes",
                          max);
    buf_append(to, bytes, len);
    return 0;
}

static int part_data(void *state, const void *bytes, size_t len, struct err *err)
{
    struct upload *self = state;
    hash_update(&self->hashing, bytes, len);
    switch (self->field) {
    case UPLOAD_FILE:
    case UPLOAD_TESTS:
        if (file_write_all(self->fd, bytes, len, err))
            return disk_error(err, "staging");
        return 0;
    case UPLOAD_NAME:
        return take_text(&self->name, bytes, len, NAME_FIELD_MAX, err);
    case UPLOAD_OPTIONS:
        return take_text(&self->options_text, bytes, len, SUBMIT_OPTIONS_MAX, err);
    case UPLOAD_OTHER:
        return 0;
    }
    return 0;
}

static int part_end(void *state, struct err *err)
{
    struct upload *self = state;
    (void)err;
    hash_update(&self->hashing, "\0end", 5);
    mem_close_at(&self->fd);
    return 0;
}

static int finish_form(void *state, struct err *err)
{
    struct upload *self = state;
    hash_final(&self->hashing, &self->digest);
    if (!upload_has(self, UPLOAD_FILE))
        return err_refuse(err, ERR_INVALID, "field-missing",
                          "the form has no field \"file\" with the zip of projects");
    return submit_options_read(&self->options, buf_str(&self->options_text), self->options_text.len,
                               err);
}

static void abort_form(void *state) { upload_free(state); }

static const char *const zip_types[] = {"application/zip", "application/x-zip-compressed",
                                        "application/octet-stream", NULL};

const struct http_form upload_form = {.open = open_form,
                                      .part_begin = part_begin,
                                      .part_data = part_data,
                                      .part_end = part_end,
                                      .finish = finish_form,
                                      .abort = abort_form,
                                      .raw_types = zip_types,
                                      .raw_name = "file"};
