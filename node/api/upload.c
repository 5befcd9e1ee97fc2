#include "node/api/upload.h"

#include "loadbalance/admission.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_FIELD_MAX 1024
#define MODULE_MS      1000 /* where nothing is known of what waits */

static void wipe(struct buf *self)
{
    if (self->capacity)
        explicit_bzero(self->data, self->capacity);
    buf_fini(self);
}

void upload_free(struct upload *self)
{
    struct upload **at = &self->api->uploads;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    self->api->upload_count--;
    if (self->intake)
        intake_cancel(self->intake);
    if (doc_hash_is_set(&self->secret) && !self->is_submitted)
        store_remove_blob(self->api->config.store, &self->secret, SECRET_EXT);
    git_request_fini(&self->git);
    wipe(&self->json);
    host_forget(self->api->config.host, self);
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

/* One more node that could keep a copy, run modules, and has some waiting. */
static void add_member(struct admission_state *state, const struct swim *swim,
                       const struct swim_view *view, uint64_t module_ms)
{
    const struct wire_load *load = swim_load(swim, id_node_short(&view->member.node));
    if (view->member.st > WIRE_STATE_SUSPECT || !view->is_compatible)
        return;
    state->slots += view->member.caps.slots;
    state->replicas += !(view->member.flags & WIRE_FLAG_DRAINING);
    if (!load || view->is_self)
        return;
    state->queued_ms += load->queued * module_ms;
    state->running_left_ms += (uint64_t)load->eta_ms * view->member.caps.slots;
}

/* Of others' queues only the lengths are known: their modules are taken to be like ours. */
static struct admission_state look_around(const struct api *api)
{
    const struct swim *swim = host_members(api->config.host);
    struct mesh_load load = host_load(api->config.host);
    struct admission_state state = {.is_draining = api->is_draining,
                                    .is_writable = store_writable(api->config.store, NULL),
                                    .is_repairing = store_repairing(api->config.store),
                                    .replicas_wanted = 1,
                                    .uploads = api->upload_count,
                                    .queued_modules = load.waiting,
                                    .queued_ms = load.waiting_ms};
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        swim_at(swim, i, &view);
        add_member(&state, swim, &view, load.waiting ? load.waiting_ms / load.waiting : MODULE_MS);
        if (!view.is_self && view.member.st != WIRE_STATE_LEFT && !api->config.allow_single)
            state.replicas_wanted = 2;
    }
    return state;
}

static int refuse_by(enum admission_verdict verdict, const struct admission_state *state,
                     struct err *err)
{
    switch (verdict) {
    case ADMISSION_OK:
    case ADMISSION_DRAINING:
    case ADMISSION_UNWRITABLE:
    case ADMISSION_REPAIRING:
        break; /* said by api_check_ready() */
    case ADMISSION_NO_REPLICAS:
        return err_refuse(err, ERR_UNAVAILABLE, "too-few-replicas",
                          "this node reaches no other one, and this work should survive one");
    case ADMISSION_NO_SLOTS:
        return err_refuse(err, ERR_UNAVAILABLE, "no-slots", "no node takes part in running tests");
    case ADMISSION_UPLOADS:
        return err_refuse(err, ERR_BUSY, "too-many-uploads",
                          "%u uploads are being taken in already", state->uploads);
    case ADMISSION_BUSY:
        return err_refuse(err, ERR_BUSY, "backlog-full",
                          "%" PRIu64 " modules wait here, and all nodes together need about "
                          "%" PRIu64 " s for what they have",
                          state->queued_modules, admission_drain_ms(state) / 1000);
    }
    return 0;
}

static int admit(const struct api *api, struct http_exchange *x, struct err *err)
{
    struct admission_state state = look_around(api);
    struct admission admission = admission_judge(&state);
    if (admission.verdict == ADMISSION_OK)
        return 0;
    http_set_headerf(x, "Retry-After", "%u", admission.retry_after_s);
    int rc = api_check_ready(api, err);
    return rc ? rc : refuse_by(admission.verdict, &state, err);
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
    if (admit(api, x, err))
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

static const char repositories_type[] = "application/json";

static enum upload_field field_of(const char *name)
{
    static const char *const names[] = {[UPLOAD_FILE] = "file",
                                        [UPLOAD_TESTS] = "tests",
                                        [UPLOAD_NAME] = "name",
                                        [UPLOAD_OPTIONS] = "options",
                                        [UPLOAD_REPOSITORIES] = "projects"};
    unsigned i = 0;
    while (i < countof(names) && strcmp(names[i], name) != 0)
        i++;
    return i < countof(names) ? (enum upload_field)i : UPLOAD_OTHER;
}

static int open_part(struct upload *self, const struct http_form_part *part, struct err *err)
{
    if (self->field == UPLOAD_REPOSITORIES) /* it never moves: no copy is left behind */
        buf_reserve(&self->json, GIT_REQUEST_MAX);
    if (self->field == UPLOAD_FILE && part->filename)
        self->filename = mem_strdup(part->filename);
    if (self->field == UPLOAD_FILE)
        return open_staging(self, "file.zip", err);
    if (self->field == UPLOAD_TESTS)
        return open_staging(self, "tests.zip", err);
    return 0;
}

static int part_begin(void *state, const struct http_form_part *part, struct err *err)
{
    struct upload *self = state;
    bool is_whole = http_is_type(self->x, repositories_type);
    self->field = is_whole ? UPLOAD_REPOSITORIES : field_of(part->name);
    if (self->field != UPLOAD_OTHER && upload_has(self, self->field))
        return err_refuse(err, ERR_INVALID, "field-twice", "the field \"%s\" came twice",
                          part->name);
    self->seen |= 1u << self->field;
    if (self->field != UPLOAD_REPOSITORIES)
        hash_update(&self->hashing, part->name, strlen(part->name) + 1);
    return open_part(self, part, err);
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
    if (self->field != UPLOAD_REPOSITORIES)
        hash_update(&self->hashing, bytes, len);
    switch (self->field) {
    case UPLOAD_REPOSITORIES:
        return take_text(&self->json, bytes, len, GIT_REQUEST_MAX - 1, err);
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
    if (self->field != UPLOAD_REPOSITORIES)
        hash_update(&self->hashing, "\0end", 5);
    mem_close_at(&self->fd);
    return 0;
}

/* A list of repositories says all of it itself, but for the tests that are laid over them. */
static int finish_repositories(struct upload *self, struct err *err)
{
    const unsigned alone = 1u << UPLOAD_FILE | 1u << UPLOAD_NAME | 1u << UPLOAD_OPTIONS;
    if (self->seen & alone)
        return err_refuse(err, ERR_INVALID, "field-mixed",
                          "the field \"projects\" goes with \"tests\" only: a name and options are "
                          "members of its JSON, and a zip is another evaluation");
    int rc = git_request_read(&self->git, self->json.data, self->json.len, err);
    if (rc)
        return rc;
    self->digest = self->git.digest;
    if (upload_has(self, UPLOAD_TESTS)) {
        hash_update(&self->hashing, &self->git.digest, sizeof self->git.digest);
        hash_final(&self->hashing, &self->digest);
    }
    if (self->git.name)
        buf_puts(&self->name, self->git.name);
    const char *options = self->git.options ? self->git.options : "";
    return submit_options_read(&self->options, options, strlen(options), err);
}

static int finish_form(void *state, struct err *err)
{
    struct upload *self = state;
    if (upload_has(self, UPLOAD_REPOSITORIES))
        return finish_repositories(self, err);
    hash_final(&self->hashing, &self->digest);
    if (!upload_has(self, UPLOAD_FILE))
        return err_refuse(
            err, ERR_INVALID, "field-missing",
            "the form has no field \"file\" with the zip of projects, nor \"projects\"");
    return submit_options_read(&self->options, buf_str(&self->options_text), self->options_text.len,
                               err);
}

static void abort_form(void *state) { upload_free(state); }

static const char *const zip_types[] = {"application/zip", "application/x-zip-compressed",
                                        "application/octet-stream", repositories_type, NULL};

const struct http_form upload_form = {.open = open_form,
                                      .part_begin = part_begin,
                                      .part_data = part_data,
                                      .part_end = part_end,
                                      .finish = finish_form,
                                      .abort = abort_form,
                                      .raw_types = zip_types,
                                      .raw_name = "file"};
