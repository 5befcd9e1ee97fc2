#include "runner/intake/manifest.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/intake/name.h"

#include <string.h>

/* A text that was cut within a character grows when it is written with U+FFFD there. */
#define TEXT_MAX ((size_t)2 * ERR_TEXT_MAX)

/* Every reason that a helper may give: what is not here came from no helper of ours. Kept as
 * literals since err borrows its reason for ever. */
static const char *const reasons[] = {
    "archive-not-zip",
    "archive-empty",
    "archive-truncated",
    "archive-multipart",
    "archive-prefixed",
    "archive-trailing",
    "archive-count-lie",
    "archive-header-lie",
    "archive-size-lie",
    "archive-overlap",
    "archive-escape",
    "archive-bad-name",
    "archive-too-deep",
    "archive-duplicate",
    "archive-conflict",
    "archive-encrypted",
    "archive-method",
    "archive-too-many-entries",
    "archive-too-many-projects",
    "archive-too-large",
    "archive-bomb",
    "archive-bad-crc",
    "archive-bad-data",
    "disk-full",
    "special-file",
    "link-outside",
    "repo-url",
    "repo-host",
    "repo-address",
    "repo-redirect",
    "repo-not-found",
    "repo-token",
    "repo-forbidden",
    "repo-not-git",
    "repo-empty",
    "repo-branch",
    "repo-commit",
    "repo-too-large",
    "repo-damaged",
    "repo-format",
    "repo-rate-limit",
    "repo-unreachable",
    "repo-certificate",
    "repo-timeout",
};

static const char *find_reason(const char *name)
{
    for (size_t i = 0; name && i < countof(reasons); i++)
        if (strcmp(reasons[i], name) == 0)
            return reasons[i];
    return NULL;
}

static void write_project(struct json_out *json, const struct layout_project *project,
                          const struct bundle_facts *facts)
{
    char hex[HASH_HEX];
    json_out_open_object(json);
    json_out_key_str(json, "name", project->name);
    json_out_key_str(json, "folder", project->folder);
    json_out_key_uint(json, "file_count", project->file_count);
    json_out_key_uint(json, "source_bytes", project->size_bytes);
    if (project->failure) {
        json_out_key_str(json, "reason", project->reason);
        json_out_key_str(json, "failure", project->failure);
    } else {
        json_out_key_str(json, "bundle", hash_hex(&facts->bundle, hex));
        json_out_key_str(json, "tree", hash_hex(&facts->tree, hex));
        json_out_key_uint(json, "bundle_bytes", facts->bundle_bytes);
    }
    json_out_close_object(json);
}

static void write_notes(struct json_out *json, const char *key, const struct layout_notes *notes)
{
    json_out_key(json, key);
    json_out_open_object(json);
    json_out_key_uint(json, "more", notes->more);
    json_out_key(json, "rows");
    json_out_open_array(json);
    for (size_t i = 0; i < notes->count; i++) {
        json_out_open_object(json);
        json_out_key_str(json, "path", notes->rows[i].path);
        json_out_key_str(json, "why", notes->rows[i].why);
        json_out_close_object(json);
    }
    json_out_close_array(json);
    json_out_close_object(json);
}

void manifest_write(struct buf *out, const struct layout *layout, const struct bundle_facts *facts)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key(&json, "projects");
    json_out_open_array(&json);
    for (size_t i = 0; i < layout->project_count; i++)
        write_project(&json, &layout->projects[i], &facts[i]);
    json_out_close_array(&json);
    write_notes(&json, "ignored", &layout->ignored);
    write_notes(&json, "remarks", &layout->remarks);
    json_out_close_object(&json);
}

void manifest_write_error(struct buf *out, const struct err *err)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key(&json, "error");
    json_out_open_object(&json);
    json_out_key_int(&json, "code", err->code);
    if (err->reason)
        json_out_key_str(&json, "reason", err->reason);
    json_out_key_str(&json, "text", err->text);
    json_out_close_object(&json);
    json_out_close_object(&json);
}

static int nonsense(struct err *err, const char *what)
{
    return err_set(err, ERR_INTERNAL, "the helper's answer makes no sense: %s", what);
}

/* Text of a bounded length that can be shown: valid UTF-8 without control characters. */
static const char *get_text(const json_t *object, const char *key, size_t max)
{
    const char *text = json_in_str(object, key, NULL);
    size_t len = text ? strlen(text) : 0;
    if (!text || len > max)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return NULL;
    return text;
}

static bool get_count(const json_t *object, const char *key, int64_t max, uint64_t *out)
{
    int64_t value = json_in_int(object, key, -1);
    *out = (uint64_t)value;
    return value >= 0 && value <= max;
}

/* A path as the walk gives them, or nothing. */
static bool is_path(const char *path)
{
    char again[ARCHIVE_PATH_MAX + 1];
    bool folder = false;
    return path && (path[0] == '\0' || (name_decode((const uint8_t *)path, strlen(path), true,
                                                    UINT32_MAX, again, &folder, NULL) == 0 &&
                                        strcmp(again, path) == 0));
}

static int read_project(struct intake_project *out, const json_t *object, const char *out_dir,
                        struct err *err)
{
    const char *name = get_text(object, "name", LAYOUT_NAME_MAX);
    const char *folder = get_text(object, "folder", ARCHIVE_PATH_MAX);
    const char *failure = get_text(object, "failure", TEXT_MAX);
    const char *bundle = json_in_str(object, "bundle", "");
    char clean[LAYOUT_NAME_MAX + 1];
    uint64_t files;
    if (name)
        layout_name_clean(name, clean);
    if (!name || strcmp(name, clean) != 0 || !is_path(folder) ||
        !get_count(object, "file_count", UINT32_MAX, &files) ||
        !get_count(object, "source_bytes", INT64_MAX, &out->source_bytes))
        return nonsense(err, "a project");
    out->name = mem_strdup(name);
    out->folder = mem_strdup(folder);
    out->file_count = (uint32_t)files;
    if (failure) {
        const char *reason = find_reason(json_in_str(object, "reason", NULL));
        out->failure = mem_strdup(failure);
        out->reason = reason ? mem_strdup(reason) : NULL;
        return reason ? 0 : nonsense(err, "a failure");
    }
    if (hash_from_hex(&out->bundle, bundle) ||
        hash_from_hex(&out->tree, json_in_str(object, "tree", "")) ||
        !get_count(object, "bundle_bytes", INT64_MAX, &out->bundle_bytes))
        return nonsense(err, "a bundle");
    char hex[HASH_HEX];
    out->path = mem_printf("%s/%s.zst", out_dir, hash_hex(&out->bundle, hex));
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct intake_project *)a)->name,
                  ((const struct intake_project *)b)->name);
}

static int read_projects(struct intake_result *result, const json_t *rows, const char *out_dir,
                         struct err *err)
{
    size_t count = json_array_size(rows);
    if (!json_is_array(rows) || count == 0 || count > LAYOUT_PROJECTS_MAX)
        return nonsense(err, "its projects");
    result->projects = mem_new_array(count, sizeof *result->projects);
    for (size_t i = 0; i < count; i++) {
        result->project_count++;
        int rc = read_project(&result->projects[i], json_array_get(rows, i), out_dir, err);
        if (rc)
            return rc;
    }
    qsort(result->projects, count, sizeof *result->projects, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(result->projects[i - 1].name, result->projects[i].name) == 0)
            return nonsense(err, "two projects of one name");
    return 0;
}

static int read_notes(const json_t *list, struct intake_note **notes, size_t *count, size_t *more,
                      struct err *err)
{
    const json_t *rows = json_object_get(list, "rows");
    size_t row_count = json_array_size(rows);
    uint64_t left_out;
    if (!json_is_array(rows) || row_count > LAYOUT_NOTES_MAX ||
        !get_count(list, "more", INT32_MAX, &left_out))
        return nonsense(err, "its notes");
    *more = (size_t)left_out;
    *notes = mem_new_array(row_count + 1, sizeof **notes);
    for (size_t i = 0; i < row_count; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *path = get_text(row, "path", ARCHIVE_PATH_MAX);
        const char *why = get_text(row, "why", TEXT_MAX);
        if (!is_path(path) || !why)
            return nonsense(err, "a note");
        (*notes)[i] = (struct intake_note){mem_strdup(path), mem_strdup(why)};
        *count = i + 1;
    }
    return 0;
}

static int read_error(const json_t *error, struct err *err)
{
    const char *text = get_text(error, "text", TEXT_MAX);
    int64_t code = json_in_int(error, "code", 0);
    if (!text || code >= 0 || code < ERR_INTERNAL)
        return nonsense(err, "an error");
    return err_refuse(err, (enum err_code)code, find_reason(json_in_str(error, "reason", NULL)),
                      "%s", text);
}

static json_t *parse(const char *text, size_t len, struct err *err)
{
    json_t *root = json_in_parse(text, len, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        nonsense(err, "it is no object");
        return NULL;
    }
    return root;
}

int manifest_read(struct intake_result *result, const char *text, size_t len, const char *out_dir,
                  struct err *err)
{
    *result = (struct intake_result){0};
    owned_json *root = parse(text, len, err);
    if (!root)
        return ERR_INTERNAL;
    const json_t *error = json_object_get(root, "error");
    if (error)
        return read_error(error, err);
    int rc = read_projects(result, json_object_get(root, "projects"), out_dir, err);
    if (!rc)
        rc = read_notes(json_object_get(root, "ignored"), &result->ignored, &result->ignored_count,
                        &result->ignored_more, err);
    if (!rc)
        rc = read_notes(json_object_get(root, "remarks"), &result->remarks, &result->remark_count,
                        &result->remarks_more, err);
    return rc;
}

int manifest_read_done(const char *text, size_t len, struct err *err)
{
    owned_json *root = parse(text, len, err);
    if (!root)
        return ERR_INTERNAL;
    const json_t *error = json_object_get(root, "error");
    if (error)
        return read_error(error, err);
    return json_in_bool(root, "done", false) ? 0 : nonsense(err, "it is not done");
}

static void notes_fini(struct intake_note *notes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(notes[i].path);
        free(notes[i].why);
    }
    free(notes);
}

void intake_result_fini(struct intake_result *self)
{
    for (size_t i = 0; i < self->project_count; i++) {
        free(self->projects[i].name);
        free(self->projects[i].folder);
        free(self->projects[i].failure);
        free(self->projects[i].reason);
        free(self->projects[i].path);
        free(self->projects[i].source);
    }
    free(self->projects);
    notes_fini(self->ignored, self->ignored_count);
    notes_fini(self->remarks, self->remark_count);
    *self = (struct intake_result){0};
}
