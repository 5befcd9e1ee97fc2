/* submit: POST /evaluation, from the first byte of the body to the 202.
 *
 *   body ─ staging files, hashed on the way ─ intake (a child) ─ [intake of the overlay]
 *        ─ bundles adopted by the store ─ request and fence appended ─ 202
 *
 * The 202 is sent when all of it is on disk. Whatever fails before leaves nothing behind: the
 * staging folder goes, and bundles that no document names are collected. A client that leaves
 * before the request was appended takes it back. */
#include "node/api/internal.h"
#include "node/api/submit_options.h"

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_FIELD_MAX 1024
#define KEY_MAX        255
#define ID_DRAWS       8

enum field { FIELD_NONE, FIELD_FILE, FIELD_TESTS, FIELD_NAME, FIELD_OPTIONS };

struct upload {
    struct api *api;
    struct http_exchange *x; /* NULL: the client has left */
    struct upload *next;
    char *folder; /* of its own, in the store's folder for temporary files */
    enum field field;
    int fd; /* of the staging file being written */
    struct hash_state hashing;
    struct hash digest; /* of all fields: tells a repeated request from another one */
    bool has_file;
    bool has_tests;
    char *filename;
    struct buf name;
    struct buf options_text;
    struct submit_options options;
    char *key; /* Idempotency-Key, or NULL */
    struct intake *intake;
    struct intake_result result;
    struct intake_result overlay;
    size_t adopting;    /* blobs on their way */
    struct err failure; /* the first that failed */
    uint64_t id;
    unsigned draws;
};

static void upload_free(struct upload *self)
{
    struct upload **at = &self->api->uploads;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    self->api->upload_count--;
    if (self->intake)
        intake_cancel(self->intake);
    mem_close_at(&self->fd);
    struct err err = ERR_INIT;
    if (self->folder && file_remove_tree(self->folder, &err))
        log_warn("staging_not_removed", "%s", err.text);
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

void submit_free_all(struct api *self)
{
    while (self->uploads)
        upload_free(self->uploads);
}

static char *staging(const struct upload *self, const char *name)
{
    return mem_printf("%s/%s", self->folder, name);
}

/* ---- the body -------------------------------------------------------------------------------- */

static int admit(const struct api *api, struct err *err)
{
    const char *why = NULL;
    if (api->is_draining)
        return err_refuse(err, ERR_UNAVAILABLE, "draining", "this node is about to stop");
    if (!store_writable(api->config.store, &why))
        return err_refuse(err, ERR_UNAVAILABLE, "store-not-writable", "%s",
                          why ? why : "the store cannot be written");
    if (api->upload_count >= api->config.uploads_max)
        return err_refuse(err, ERR_BUSY, "too-many-uploads",
                          "%u uploads are being taken in already", api->upload_count);
    struct evals_load load = evals_load(api->config.evals);
    if (load.waiting > api->config.backlog_modules_max)
        return err_refuse(err, ERR_BUSY, "backlog-full", "%zu modules are waiting already",
                          load.waiting);
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
    owned_mem char *path = staging(self, name);
    self->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (self->fd < 0)
        return errno == EEXIST
                   ? err_refuse(err, ERR_INVALID, "field-twice", "a field with a file came twice")
                   : disk_error(err, "staging");
    return 0;
}

static int part_begin(void *state, const struct http_form_part *part, struct err *err)
{
    struct upload *self = state;
    self->field = strcmp(part->name, "file") == 0      ? FIELD_FILE
                  : strcmp(part->name, "tests") == 0   ? FIELD_TESTS
                  : strcmp(part->name, "name") == 0    ? FIELD_NAME
                  : strcmp(part->name, "options") == 0 ? FIELD_OPTIONS
                                                       : FIELD_NONE;
    hash_update(&self->hashing, part->name, strlen(part->name) + 1);
    if (self->field == FIELD_FILE) {
        self->has_file = true;
        free(self->filename);
        self->filename = part->filename ? mem_strdup(part->filename) : NULL;
        return open_staging(self, "file.zip", err);
    }
    if (self->field == FIELD_TESTS) {
        self->has_tests = true;
        return open_staging(self, "tests.zip", err);
    }
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
    case FIELD_FILE:
    case FIELD_TESTS:
        if (file_write_all(self->fd, bytes, len, err))
            return disk_error(err, "staging");
        return 0;
    case FIELD_NAME:
        return take_text(&self->name, bytes, len, NAME_FIELD_MAX, err);
    case FIELD_OPTIONS:
        return take_text(&self->options_text, bytes, len, SUBMIT_OPTIONS_MAX, err);
    case FIELD_NONE:
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
    if (!self->has_file)
        return err_refuse(err, ERR_INVALID, "field-missing",
                          "the form has no field \"file\" with the zip of projects");
    return submit_options_read(&self->options, buf_str(&self->options_text), self->options_text.len,
                               err);
}

static void abort_form(void *state) { upload_free(state); }

static const char *const zip_types[] = {"application/zip", "application/x-zip-compressed",
                                        "application/octet-stream", NULL};

const struct http_form submit_form = {.open = open_form,
                                      .part_begin = part_begin,
                                      .part_data = part_data,
                                      .part_end = part_end,
                                      .finish = finish_form,
                                      .abort = abort_form,
                                      .raw_types = zip_types,
                                      .raw_name = "file"};

/* ---- the answer ------------------------------------------------------------------------------ */

static void refuse(struct upload *self, const struct err *err)
{
    log_info("submit_refused", "%s: %s", err_name(err), err->text);
    if (self->x) {
        http_on_gone(self->x, NULL, NULL);
        http_reply_problem(self->x, err);
    }
    upload_free(self);
}

static void answer_accepted(struct upload *self, uint64_t id)
{
    struct api *api = self->api;
    struct http_exchange *x = self->x;
    if (!x)
        return;
    char text_id[ID_EVAL_TEXT];
    int64_t seconds = 0;
    struct err err = ERR_INIT;
    http_on_gone(x, NULL, NULL);
    id_eval_format(id, text_id);
    http_set_headerf(x, "Location", "/evaluation/%s", text_id);
    if (evaluation_wait_seconds(x, &seconds, &err) == 0 && seconds > 0) {
        evaluation_wait(api, x, id, seconds);
        return;
    }
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_str(&out, "id", text_id);
    json_out_key_str(&out, "eval_id", text_id);
    json_out_key_str(&out, "status", "submitted");
    json_out_key_uint(&out, "replicas", 1);
    json_out_key(&out, "links");
    json_out_open_object(&out);
    owned_mem char *link = mem_printf("/evaluation/%s", text_id);
    owned_mem char *tests = mem_printf("/evaluation/%s/tests", text_id);
    json_out_key_str(&out, "self", link);
    json_out_key_str(&out, "tests", tests);
    json_out_close_object(&out);
    json_out_close_object(&out);
    buf_putc(&text, '\n');
    http_set_header(x, "Retry-After", "1");
    http_reply_json(x, 202, &text);
}

/* ---- the document ---------------------------------------------------------------------------- */

static uint64_t draw_id(const struct upload *self)
{
    uint64_t id = 0;
    if (self->key) {
        owned_mem char *name = mem_printf("testmesh|%s", self->key);
        id = hash_u64(name, strlen(name)) & ID_EVAL_MAX;
    }
    while (id == 0 || (!self->key && store_has(self->api->config.store, id))) {
        rand_system(&id, sizeof id);
        id &= ID_EVAL_MAX;
    }
    return id;
}

static void append_request(struct upload *self);

static void on_durable(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    struct upload *self = arg;
    struct api *api = self->api;
    uint64_t id = self->id;
    if (err && err->code == ERR_CONFLICT && !self->key && ++self->draws < ID_DRAWS) {
        append_request(self);
        return;
    }
    if (err && err->code != ERR_NONE) {
        refuse(self, err);
        return;
    }
    log_info("eval_accepted", "id=%" PRIu64 " projects=%zu", id, self->result.project_count);
    answer_accepted(self, id);
    upload_free(self);
    evals_adopt(api->config.evals, id);
}

static struct doc_project *projects_of(const struct upload *self)
{
    const struct intake_result *result = &self->result;
    struct doc_project *projects = mem_new_array(result->project_count, sizeof *projects);
    for (size_t i = 0; i < result->project_count; i++) {
        const struct intake_project *from = &result->projects[i];
        projects[i] = (struct doc_project){.name = from->name,
                                           .source = self->filename ? self->filename : "upload.zip",
                                           .bundle = from->bundle,
                                           .tree = from->tree,
                                           .bytes = from->source_bytes,
                                           .files = from->file_count,
                                           .failure = from->failure};
    }
    return projects;
}

static struct doc_ignored *ignored_of(const struct intake_result *result, size_t *count)
{
    *count = result->ignored_count < DOC_IGNORED_MAX ? result->ignored_count : DOC_IGNORED_MAX;
    struct doc_ignored *ignored = mem_new_array(*count, sizeof *ignored);
    for (size_t i = 0; i < *count; i++)
        ignored[i] =
            (struct doc_ignored){.path = result->ignored[i].path, .why = result->ignored[i].why};
    return ignored;
}

static void append_request(struct upload *self)
{
    const struct store_identity *me = store_identity(self->api->config.store);
    size_t ignored_count;
    owned_mem struct doc_project *projects = projects_of(self);
    owned_mem struct doc_ignored *ignored = ignored_of(&self->result, &ignored_count);
    const char *name = self->name.len ? buf_str(&self->name) : self->filename;
    struct doc_req req = {.created_ms = clock_wall_ms(),
                          .kind = DOC_ZIP,
                          .name = name ? name : "upload.zip",
                          .options = self->options.doc,
                          .body = self->digest,
                          .key = self->key,
                          .projects = projects,
                          .project_count = self->result.project_count,
                          .ignored = ignored,
                          .ignored_count = ignored_count};
    if (self->overlay.project_count > 0)
        req.overlay = self->overlay.projects[0].bundle;
    struct doc_fence fence = {.ballot = {.epoch = 1, .owner = me->nid_short},
                              .gen = me->gen,
                              .reps = &me->nid,
                              .rep_count = 1};
    self->id = draw_id(self);
    store_apply(self->api->config.store,
                &(struct delta){.id = self->id, .req = &req, .fence = &fence}, on_durable, self);
}

/* ---- bundles --------------------------------------------------------------------------------- */

static void on_adopted(void *arg, const struct err *err, const struct hash *hash)
{
    (void)hash;
    struct upload *self = arg;
    if (err && err->code != ERR_NONE && self->failure.code == ERR_NONE)
        self->failure = *err;
    if (--self->adopting > 0)
        return;
    if (self->failure.code != ERR_NONE)
        refuse(self, &self->failure);
    else if (!self->x)
        upload_free(self);
    else
        append_request(self);
}

/* Equal projects share one bundle, which can be adopted once. */
static bool is_first_of_its_kind(const struct intake_result *result, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (result->projects[i].path &&
            memcmp(&result->projects[i].bundle, &result->projects[at].bundle,
                   sizeof(struct hash)) == 0)
            return false;
    return true;
}

static void adopt_bundles(struct upload *self, const struct intake_result *result)
{
    for (size_t i = 0; i < result->project_count; i++) {
        const struct intake_project *project = &result->projects[i];
        if (!project->path || !is_first_of_its_kind(result, i))
            continue;
        self->adopting++;
        store_adopt_blob(self->api->config.store, project->path, &project->bundle, "zst",
                         on_adopted, self);
    }
}

static void adopt(struct upload *self)
{
    self->adopting = 1; /* so that it cannot come to nought before all are asked for */
    adopt_bundles(self, &self->result);
    adopt_bundles(self, &self->overlay);
    on_adopted(self, NULL, NULL);
}

/* ---- intake ---------------------------------------------------------------------------------- */

static bool start_intake(struct upload *self, bool is_overlay);

static void on_intake(struct upload *self, struct intake_result *to, struct intake_result *result,
                      const struct err *err)
{
    self->intake = NULL;
    if (!result) {
        refuse(self, err);
        return;
    }
    *to = *result;
    *result = (struct intake_result){0};
    if (to == &self->result && self->has_tests) {
        if (!start_intake(self, true))
            refuse(self, &self->failure);
        return;
    }
    adopt(self);
}

static void on_file(void *arg, struct intake_result *result, const struct err *err)
{
    struct upload *self = arg;
    on_intake(self, &self->result, result, err);
}

static void on_tests(void *arg, struct intake_result *result, const struct err *err)
{
    struct upload *self = arg;
    struct err named = err ? *err : (struct err)ERR_INIT;
    if (err)
        err_wrap(&named, "tests");
    on_intake(self, &self->overlay, result, &named);
}

/* A project at the top of the zip is named after the file that the user chose. */
static char *default_name(const struct upload *self)
{
    const char *name = self->filename ? self->filename : "project";
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    size_t len = strlen(base);
    if (len > 4 && strcasecmp(base + len - 4, ".zip") == 0)
        len -= 4;
    return len ? mem_strndup(base, len) : mem_strdup("project");
}

static bool start_intake(struct upload *self, bool is_overlay)
{
    owned_mem char *zip = staging(self, is_overlay ? "tests.zip" : "file.zip");
    owned_mem char *out = staging(self, is_overlay ? "tests" : "file");
    owned_mem char *name = default_name(self);
    self->intake = intake_start(self->api->config.base,
                                &(struct intake_spec){.zip_path = zip,
                                                      .out_dir = out,
                                                      .name = name,
                                                      .overlay = is_overlay,
                                                      .limits_set = true,
                                                      .limits = self->api->config.archive_limits,
                                                      .program = self->api->config.program},
                                is_overlay ? on_tests : on_file, self, &self->failure);
    return self->intake != NULL;
}

static void on_gone(void *arg)
{
    struct upload *self = arg;
    self->x = NULL;
    if (self->intake) /* nothing is on its way to the disk yet */
        upload_free(self);
}

/* Another request under the same key: the first one's answer, or a refusal if it is not the same.
 */
static bool answer_repeated(struct upload *self)
{
    if (!self->key)
        return false;
    uint64_t id = draw_id(self);
    const struct doc *doc = store_find(self->api->config.store, id, NULL);
    if (!doc || !doc->req)
        return false;
    if (memcmp(&doc->req->body, &self->digest, sizeof self->digest) == 0) {
        answer_accepted(self, id);
        upload_free(self);
        return true;
    }
    struct err err = ERR_INIT;
    err_refuse(&err, ERR_UNPROCESSABLE, "idempotency-key-reused",
               "another request was sent under this Idempotency-Key");
    refuse(self, &err);
    return true;
}

void submit_handle(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct upload *self = http_state(x);
    struct err err = ERR_INIT;
    int64_t seconds;
    const char *key = http_header(x, "Idempotency-Key");
    self->x = x;
    http_on_gone(x, on_gone, self);
    if (key && (strlen(key) == 0 || strlen(key) > KEY_MAX)) {
        err_refuse(&err, ERR_INVALID, "bad-idempotency-key",
                   "Idempotency-Key must have 1 to %d characters", KEY_MAX);
        refuse(self, &err);
        return;
    }
    if (evaluation_wait_seconds(x, &seconds, &err)) {
        refuse(self, &err);
        return;
    }
    self->key = key ? mem_strdup(key) : NULL;
    if (answer_repeated(self))
        return;
    if (!start_intake(self, false))
        refuse(self, &self->failure);
}
