/* inspect: says what a node would make of a folder. It needs no node, and runs no project code. */
#include "cli/client.h"
#include "cli/local.h"
#include "cli/skip.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DESCRIBE_MS   30000
#define DESCRIBE_MAX  (8 * 1024 * 1024)
#define MODULES_SHOWN 50
#define LINE_SHOWN    400

struct inspect_options {
    struct verb_shared shared;
    char *python;
    bool all;
};

static const struct opt_row rows[] = {
    {.flag = "python",
     .type = OPT_STRING,
     .env = "TESTMESH_PYTHON",
     .fallback = "python3",
     .metavar = "PATH",
     .help = "Interpreter that reads the project's files",
     .offset = offsetof(struct inspect_options, python)},
    {.flag = "all",
     .short_flag = 'a',
     .type = OPT_BOOL,
     .help = "Name every module",
     .offset = offsetof(struct inspect_options, all)},
    VERB_JSON_ROW(struct inspect_options, "One JSON object a project, with all that was found"),
};

static const struct opt_table table = {
    .program = "testmesh inspect",
    .usage = "[options] FOLDER",
    .about = "Says what is found in a folder, and why: its projects, the files that look like test "
             "modules, what would be installed. No project code runs; which files pytest itself "
             "takes as modules is asked when they are run.",
    .rows = rows,
    .row_count = countof(rows),
};

static json_t *describe(const struct inspect_options *self, const char *folder,
                        const struct cli_parts *parts, struct err *err)
{
    owned_mem char *script = mem_strndup(parts->describe_py, parts->describe_py_len);
    const char *const argv[] = {self->python, "-I", "-c", script, folder, NULL};
    const struct local_run spec = {
        .argv = argv, .timeout_ms = DESCRIBE_MS, .output_max = DESCRIBE_MAX};
    owned_buf out = BUF_INIT;
    if (local_run(&spec, &out, err) != 0) {
        err_wrap(err, "reading %.200s", folder);
        return NULL;
    }
    return json_in_parse(buf_str(&out), out.len, err);
}

static const json_t *candidates_of(const json_t *described)
{
    return json_object_get(described, "candidates");
}

static void put_line(const char *label, const char *text, struct buf *out)
{
    buf_printf(out, "  %-13s ", label);
    text_safe(text, LINE_SHOWN, out);
    buf_putc(out, '\n');
}

static void put_modules(const json_t *modules, size_t limit, struct buf *out)
{
    size_t i;
    json_t *path;
    json_array_foreach((json_t *)(uintptr_t)modules, i, path)
    {
        if (i == limit) {
            buf_printf(out, "    … and %zu more (--all)\n", json_array_size(modules) - limit);
            return;
        }
        buf_puts(out, "    ");
        text_safe(json_is_string(path) ? json_string_value(path) : "?", LINE_SHOWN, out);
        buf_putc(out, '\n');
    }
}

/* Lines for the installer; comments and the marks that say where a line comes from are left out. */
static void put_requirements(const char *text, struct buf *out)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        owned_mem char *line = mem_strndup(text, len);
        const char *word = line + strspn(line, " \t\r");
        if (*word != '\0' && *word != '#') {
            buf_puts(out, "    ");
            text_safe(word, LINE_SHOWN, out);
            buf_putc(out, '\n');
        }
        text += len + (text[len] == '\n');
    }
}

static void put_project(const char *name, const json_t *described, size_t limit, struct buf *out)
{
    const json_t *pytest = json_object_get(described, "pytest");
    const json_t *requirements = json_object_get(described, "requirements");
    const json_t *modules = candidates_of(described);
    owned_buf count = BUF_INIT;
    text_safe(name, LINE_SHOWN, out);
    buf_putc(out, '\n');
    put_line("pytest reads", json_in_str(pytest, "config_file", "no settings: its own defaults"),
             out);
    put_line("needs", json_in_str(requirements, "why", ""), out);
    put_requirements(json_in_str(requirements, "text", ""), out);
    if (json_in_str(described, "requires_python", NULL) != NULL)
        put_line("python", json_in_str(described, "requires_python", ""), out);
    if (json_in_bool(described, "src_layout", false))
        put_line("path", "src is put on the path beside the root", out);
    buf_printf(&count, "%zu file%s", json_array_size(modules),
               json_array_size(modules) == 1 ? " looks like a test module"
                                             : "s look like test modules");
    put_line("tests", buf_str(&count), out);
    put_modules(modules, limit, out);
    size_t i;
    json_t *note;
    json_array_foreach(json_object_get(described, "notes"), i, note)
        put_line("note", json_is_string(note) ? json_string_value(note) : "?", out);
}

struct inspection {
    const struct inspect_options *options;
    const struct cli_parts *parts;
    struct buf out;
    size_t projects, modules;
};

static void add_project(struct inspection *self, const char *name, json_t *described)
{
    self->modules += json_array_size(candidates_of(described));
    if (self->options->shared.json) {
        struct json_out json;
        json_object_set_new(described, "folder", json_string(name));
        json_out_init(&json, &self->out);
        json_out_value(&json, described);
        buf_putc(&self->out, '\n');
    } else {
        buf_puts(&self->out, self->projects > 0 ? "\n" : "");
        put_project(name, described, self->options->all ? SIZE_MAX : MODULES_SHOWN, &self->out);
    }
    self->projects++;
}

static int is_candidate(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && !skip_entry(entry->d_name, true);
}

/* Describes each folder below `folder`; one without tests is named as well. */
static int inspect_below(struct inspection *self, const char *folder, struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_candidate, alphasort);
    if (count < 0)
        return err_set(err, ERR_IO, "read the folder %.300s: %m", folder);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        owned_mem char *path = mem_printf("%s/%s", folder, entries[i]->d_name);
        owned_mem char *mark = mem_printf("%s/" SKIP_VENV_MARK, path);
        struct stat stat_;
        bool wanted =
            rc == 0 && lstat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode) && !file_exists(mark);
        owned_json *described = wanted ? describe(self->options, path, self->parts, err) : NULL;
        if (wanted && described == NULL)
            rc = err->code;
        else if (described != NULL)
            add_project(self, entries[i]->d_name, described);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static bool has_settings(const json_t *described)
{
    const json_t *requirements = json_object_get(described, "requirements");
    return json_array_size(json_object_get(requirements, "files")) > 0 ||
           json_is_string(json_object_get(json_object_get(described, "pytest"), "config_file"));
}

static bool is_own_module(const char *path)
{
    static const char *const folders[] = {"test/", "tests/", "testing/", "src/"};
    for (size_t i = 0; i < countof(folders); i++) {
        if (strncmp(path, folders[i], strlen(folders[i])) == 0)
            return true;
    }
    return strchr(path, '/') == NULL;
}

/* Settings, requirements, or modules at the top or in a folder for tests make the folder itself a
 * project; else each folder below it is one. */
static bool is_one_project(const json_t *described)
{
    size_t i;
    json_t *path;
    json_array_foreach((json_t *)(uintptr_t)candidates_of(described), i, path)
    {
        if (json_is_string(path) && is_own_module(json_string_value(path)))
            return true;
    }
    return has_settings(described);
}

static int inspect(struct inspection *self, const char *folder, struct err *err)
{
    owned_mem char *real = realpath(folder, NULL);
    struct stat stat_;
    if (real == NULL || stat(real, &stat_) != 0)
        return err_set(err, ERR_NOT_FOUND, "%.300s: %m", folder);
    if (!S_ISDIR(stat_.st_mode))
        return err_set(err, ERR_INVALID, "%.300s: not a folder; unpack a zip first", folder);
    owned_json *described = describe(self->options, real, self->parts, err);
    if (described == NULL)
        return err->code;
    if (!is_one_project(described))
        return inspect_below(self, real, err);
    add_project(self, strrchr(real, '/') + 1, described);
    return 0;
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    struct inspection self = {.options = options, .parts = parts};
    struct err err = ERR_INIT;
    if (parts->describe_py == NULL) {
        fputs("testmesh: this build has no describe.py\n", stderr);
        return CLI_CLUSTER;
    }
    int rc = inspect(&self, operands->items[0], &err);
    if (rc == 0) {
        if (!self.options->shared.json)
            buf_printf(&self.out, "%s%zu project%s, %zu module%s\n", self.projects > 0 ? "\n" : "",
                       self.projects, self.projects == 1 ? "" : "s", self.modules,
                       self.modules == 1 ? "" : "s");
        verb_print(&self.out);
    }
    buf_fini(&self.out);
    if (rc != 0)
        return verb_fail(&err);
    return self.modules > 0 ? CLI_PASSED : CLI_NO_TESTS;
}

const struct cli_verb inspect_verb = {.name = "inspect",
                                      .summary = "Say what is found in a folder, and why",
                                      .table = &table,
                                      .target_size = sizeof(struct inspect_options),
                                      .operands_min = 1,
                                      .operands_max = 1,
                                      .run = run};
