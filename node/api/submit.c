/* submit: POST /evaluation, from the whole body to the 202.
 *
 *   body ─ staging files, hashed on the way ─ [a key: is it known in the mesh?]
 *        ─ intake (a child) ─ [intake of the overlay] ─ bundles adopted by the store
 *          (or, of a list of repositories: the overlay, then a child each that fetches it)
 *        ─ the mesh takes it ─ 202
 *
 * The 202 is sent when all of it is on disk, here and on its replicas. Whatever fails before leaves
 * nothing behind: the staging folder goes, and bundles that no document names are collected. A
 * client that leaves before the request was appended takes it back. */
#include "node/api/upload.h"

#include "node/api/auth.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <inttypes.h>
#include <string.h>

#define KEY_MAX  255
#define ID_DRAWS 8

void submit_free_all(struct api *self)
{
    while (self->uploads)
        upload_free(self->uploads);
}

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

static void answer_accepted(struct upload *self, uint64_t id, unsigned replicas)
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
    json_out_key_uint(&out, "replicas", replicas);
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

static uint64_t id_of_hash(uint64_t hash)
{
    uint64_t id = hash & ID_EVAL_MAX;
    return id ? id : 1;
}

/* One key of one user is one evaluation, on whichever node. One that was refused, or cancelled
 * before anything of it ran, has used up its id: then the key stands for the next one. */
static uint64_t id_of_key(const struct upload *self)
{
    owned_mem char *name = mem_printf("testmesh|%u|%s|%s", self->draws, self->user, self->key);
    return id_of_hash(hash_u64(name, strlen(name)));
}

static uint64_t draw_id(const struct store *store)
{
    uint64_t id;
    do {
        rand_system(&id, sizeof id);
        id = id_of_hash(id);
    } while (store_has(store, id));
    return id;
}

static bool is_replica(const struct doc_fence *fence, uint64_t node)
{
    for (size_t i = 0; i < fence->rep_count; i++)
        if (id_node_short(&fence->reps[i]) == node)
            return true;
    return false;
}

static void submit_request(struct upload *self);

/* What was submitted may have been known under its key, or have been refused: then nobody needs the
 * token that came with it. Nor does this node where others are the replicas. */
static void drop_secret(struct upload *self)
{
    const struct api_config *config = &self->api->config;
    const struct doc *doc = store_find(config->store, self->id, NULL);
    bool is_kept = doc && doc->req &&
                   memcmp(&doc->req->secret, &self->secret, sizeof self->secret) == 0 &&
                   (!doc->fence || is_replica(doc->fence, host_self(config->host)));
    if (doc_hash_is_set(&self->secret) && !is_kept)
        store_remove_blob(config->store, &self->secret, SECRET_EXT);
}

static void on_submitted(void *arg, const struct err *err, unsigned replicas, unsigned retry_s)
{
    struct upload *self = arg;
    if (err->code == ERR_CONFLICT && ++self->draws < ID_DRAWS) {
        submit_request(self);
        return;
    }
    drop_secret(self);
    if (err->code != ERR_NONE) {
        if (self->x && retry_s)
            http_set_headerf(self->x, "Retry-After", "%u", retry_s);
        refuse(self, err);
        return;
    }
    log_info("eval_accepted", "id=%" PRIu64 " projects=%zu replicas=%u", self->id,
             self->result.project_count, replicas);
    answer_accepted(self, self->id, replicas);
    upload_free(self);
}

static struct doc_project *projects_of(const struct upload *self)
{
    const struct intake_result *result = &self->result;
    struct doc_project *projects = mem_new_array(result->project_count, sizeof *projects);
    for (size_t i = 0; i < result->project_count; i++) {
        const struct intake_project *from = &result->projects[i];
        projects[i] = (struct doc_project){.name = from->name,
                                           .source = from->source     ? from->source
                                                     : self->filename ? self->filename
                                                                      : "upload.zip",
                                           .bundle = from->bundle,
                                           .tree = from->tree,
                                           .bytes = from->source_bytes,
                                           .files = from->file_count,
                                           .failure = from->failure,
                                           .is_clusters = from->is_clusters};
    }
    return projects;
}

/* What does not fit in is one more row, which says how much. Returns owned. */
static struct doc_ignored *rows_of(const struct intake_note *notes, size_t count, size_t more,
                                   char **rest, size_t *row_count)
{
    size_t kept = count < DOC_IGNORED_MAX ? count : DOC_IGNORED_MAX - 1;
    struct doc_ignored *rows = mem_new_array(kept + 1, sizeof *rows);
    for (size_t i = 0; i < kept; i++)
        rows[i] = (struct doc_ignored){.path = notes[i].path, .why = notes[i].why};
    *rest = NULL;
    *row_count = kept;
    if (count - kept + more > 0 && kept < DOC_IGNORED_MAX) {
        *rest = mem_printf("and %zu more", count - kept + more);
        rows[(*row_count)++] = (struct doc_ignored){.path = "", .why = *rest};
    }
    return rows;
}

static void submit_request(struct upload *self)
{
    struct store *store = self->api->config.store;
    const struct intake_result *result = &self->result;
    bool is_git = upload_has(self, UPLOAD_REPOSITORIES);
    const char *name = self->name.len ? buf_str(&self->name) : self->filename;
    owned_mem struct doc_project *projects = projects_of(self);
    struct doc_req req = {.created_ms = clock_wall_ms(),
                          .kind = is_git ? DOC_GIT : DOC_ZIP,
                          .name = name     ? name
                                  : is_git ? "repositories"
                                           : "upload.zip",
                          .options = self->options.doc,
                          .body = self->digest,
                          .key = self->key,
                          .secret = self->secret,
                          .statuses = self->statuses,
                          .projects = projects,
                          .project_count = result->project_count};
    owned_mem char *more_ignored = NULL;
    owned_mem char *more_remarks = NULL;
    owned_mem struct doc_ignored *ignored =
        rows_of(result->ignored, result->ignored_count, result->ignored_more, &more_ignored,
                &req.ignored_count);
    owned_mem struct doc_ignored *remarks =
        rows_of(result->remarks, result->remark_count, result->remarks_more, &more_remarks,
                &req.remark_count);
    req.ignored = ignored;
    req.remarks = remarks;
    if (self->overlay.project_count > 0)
        req.overlay = self->overlay.projects[0].bundle;
    self->id = self->key ? id_of_key(self) : draw_id(store);
    self->is_submitted = true;
    host_submit(self->api->config.host, &(struct delta){.id = self->id, .req = &req}, on_submitted,
                self);
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
        submit_request(self);
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
    self->adopting++; /* so that it cannot come to nought before all are asked for */
    adopt_bundles(self, &self->result);
    adopt_bundles(self, &self->overlay);
    on_adopted(self, NULL, NULL);
}

/* ---- intake ---------------------------------------------------------------------------------- */

static bool start_intake(struct upload *self, bool is_overlay);
static bool start_repositories(struct upload *self);

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
    bool has_begun = true;
    if (to == &self->result && upload_has(self, UPLOAD_TESTS))
        has_begun = start_intake(self, true);
    else if (to == &self->overlay && upload_has(self, UPLOAD_REPOSITORIES))
        has_begun = start_repositories(self);
    else
        adopt(self);
    if (!has_begun)
        refuse(self, &self->failure);
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
    owned_mem char *zip = upload_path(self, is_overlay ? "tests.zip" : "file.zip");
    owned_mem char *out = upload_path(self, is_overlay ? "tests" : "file");
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

/* ---- repositories ---------------------------------------------------------------------------- */

static void put_secret(struct upload *self, struct git_url *first)
{
    const struct secret secret = {
        .host = first->host, .port = first->port, .token = self->git.token};
    struct secret_place place = host_secrets(self->api->config.host);
    owned_buf sealed = BUF_INIT;
    secret_seal(&place, &self->digest, &secret, &sealed);
    self->secret = hash_of(sealed.data, sealed.len);
    self->adopting++;
    store_put_blob(self->api->config.store, sealed.data, sealed.len, SECRET_EXT, on_adopted, self);
}

/* The token is for the first host: a second one that the request names shall not learn it. */
static bool start_repositories(struct upload *self)
{
    struct git_url first;
    if (repositories_name(&self->git, &self->api->config.git_hosts, &self->result, &first,
                          &self->failure))
        return false;
    if (self->git.token)
        put_secret(self, &first);
    self->statuses = self->git.statuses;
    git_request_fini(&self->git);
    adopt(self);
    return true;
}

/* From what came to bundles. False with `failure` filled. A wrong overlay shall be known before
 * anything is fetched. */
static bool start_work(struct upload *self)
{
    if (!upload_has(self, UPLOAD_REPOSITORIES))
        return start_intake(self, false);
    return upload_has(self, UPLOAD_TESTS) ? start_intake(self, true) : start_repositories(self);
}

/* ---- a key that may have been sent before ---------------------------------------------------- */

static void check_key(struct upload *self);

/* Where it is known and nobody is sure of it, the mesh answers at the end: it waits until somebody
 * is. */
static void on_key_asked(void *arg, uint64_t id, bool is_known, uint64_t stale_ms)
{
    struct upload *self = arg;
    const struct doc *doc = is_known ? store_find(self->api->config.store, id, NULL) : NULL;
    unsigned replicas;
    enum mesh_standing standing = host_standing(self->api->config.host, id, &replicas);
    struct err err = ERR_INIT;
    (void)stale_ms;
    if (!self->x) {
        upload_free(self);
    } else if (standing == MESH_WITHDRAWN && ++self->draws < ID_DRAWS) {
        check_key(self);
    } else if (doc && doc->req &&
               memcmp(&doc->req->body, &self->digest, sizeof self->digest) != 0) {
        err_refuse(&err, ERR_UNPROCESSABLE, "idempotency-key-reused",
                   "another request was sent under this Idempotency-Key");
        refuse(self, &err);
    } else if (doc && standing == MESH_ACKNOWLEDGED) {
        answer_accepted(self, id, replicas);
        upload_free(self);
    } else if (!start_work(self)) {
        refuse(self, &self->failure);
    }
}

static void check_key(struct upload *self)
{
    host_ask(self->api->config.host, id_of_key(self), on_key_asked, self);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void on_gone(void *arg)
{
    struct upload *self = arg;
    self->x = NULL;
    if (self->intake) /* nothing is on its way to the disk yet */
        upload_free(self);
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
    if (key) {
        self->key = mem_strdup(key);
        auth_user(self->api->config.auth, x, self->user);
        check_key(self);
    } else if (!start_work(self)) {
        refuse(self, &self->failure);
    }
}
