#include "runner/env/describe.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_MAX       64
#define NOTE_MAX        1000
#define PATHS_MAX       20000
#define PATH_MAX_       4096
#define BUILD_PATHS_MAX 8
#define BACKEND         "setuptools.build_meta:__legacy__"

static char *dup_or_null(const json_t *object, const char *key)
{
    const char *text = json_in_str(object, key, NULL);
    return text != NULL && *text != '\0' ? mem_strndup(text, NOTE_MAX) : NULL;
}

/* A file below the project's root, by its name alone. */
static bool is_inside(const char *path)
{
    if (*path == '\0' || *path == '/' || strlen(path) >= PATH_MAX_)
        return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && memcmp(part, "..", 2) == 0))
            return false;
    }
    return true;
}

static char **take_strings(const json_t *array, size_t max, size_t max_len, bool paths,
                           size_t *count)
{
    size_t size = json_array_size(array);
    char **out = mem_new_array((size < max ? size : max) + 1, sizeof *out);
    *count = 0;
    for (size_t i = 0; i < size && *count < max; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text != NULL && (!paths || is_inside(text)))
            out[(*count)++] = mem_strndup(text, max_len);
    }
    return out;
}

int describe_decode(struct describe *self, const char *json, size_t len, struct err *err)
{
    *self = (struct describe)DESCRIBE_INIT;
    if (len > DESCRIBE_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the description of a project is larger than %d bytes",
                       DESCRIBE_MAX_BYTES);
    owned_json *root = json_in_parse(json, len, err);
    if (root == NULL)
        return err_wrap(err, "the description of a project");
    const json_t *wanted = json_object_get(root, "requirements");
    if (!json_is_object(wanted))
        return err_set(err, ERR_INVALID, "the description of a project says no requirements");
    self->name = dup_or_null(root, "name");
    self->python = dup_or_null(root, "requires_python");
    self->pytest_config = dup_or_null(json_object_get(root, "pytest"), "config_file");
    self->requirements = mem_strdup(json_in_str(wanted, "text", ""));
    self->constraints = mem_strdup(json_in_str(wanted, "constraints", ""));
    self->source = mem_strndup(json_in_str(wanted, "source", "none"), NOTE_MAX);
    self->why = mem_strndup(json_in_str(wanted, "why", ""), NOTE_MAX);
    self->src_layout = json_in_bool(root, "src_layout", false);
    self->editable = json_in_bool(root, "editable", false);
    const json_t *build = json_object_get(root, "build");
    self->build_requires = mem_strdup(json_in_str(build, "requires", "setuptools>=64\n"));
    self->build_backend = mem_strndup(json_in_str(build, "backend", BACKEND), NOTE_MAX);
    self->build_path = take_strings(json_object_get(build, "path"), BUILD_PATHS_MAX, PATH_MAX_,
                                    false, &self->build_path_count);
    self->candidates_cut = json_in_bool(root, "candidates_cut", false);
    self->candidates = take_strings(json_object_get(root, "candidates"), PATHS_MAX, PATH_MAX_, true,
                                    &self->candidate_count);
    self->notes =
        take_strings(json_object_get(root, "notes"), NOTES_MAX, NOTE_MAX, false, &self->note_count);
    return 0;
}

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

void describe_fini(struct describe *self)
{
    free_strings(self->candidates, self->candidate_count);
    free_strings(self->notes, self->note_count);
    free_strings(self->build_path, self->build_path_count);
    free(self->build_requires);
    free(self->build_backend);
    free(self->name);
    free(self->requirements);
    free(self->constraints);
    free(self->source);
    free(self->why);
    free(self->python);
    free(self->pytest_config);
    *self = (struct describe)DESCRIBE_INIT;
}
