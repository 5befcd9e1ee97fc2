#include "runner/env/python.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/env/probe.h"
#include "runner/env/version.h"

#include <string.h>

extern char **environ;

static const char question[] =
    "import json, os, sys, sysconfig\n"
    "real = os.path.realpath\n"
    "print(json.dumps({'executable': real(sys.executable), 'prefix': real(sys.base_prefix),\n"
    "    'exec_prefix': real(sys.base_exec_prefix), 'stdlib': real(os.path.dirname(os.__file__)),\n"
    "    'implementation': sys.implementation.name, 'version': '%d.%d.%d' % sys.version_info[:3],\n"
    "    'abi': sysconfig.get_config_var('SOABI') or sys.implementation.cache_tag or '',\n"
    "    'platform': sysconfig.get_platform(), 'tag': sys.implementation.cache_tag or ''}))\n";

/* Runs the question and returns the answer, owned, or NULL. */
static json_t *ask(const char *program, uid_t uid, const char *const *envp, struct err *err)
{
    const char *const argv[] = {program, "-I", "-c", question, NULL};
    owned_buf answer = BUF_INIT;
    if (probe_run(&(struct probe){.argv = argv, .envp = envp, .uid = uid}, &answer, err) != 0)
        return NULL;
    json_t *out = json_in_parse(buf_str(&answer), answer.len, err);
    if (out == NULL)
        err_set(err, ERR_INTERNAL, "%s answered something else than what it is", program);
    return out;
}

/* What /usr and its kin hold is visible in every jail. */
static bool is_given(const char *path)
{
    static const char *const given[] = {"/usr/", "/lib/", "/lib64/", "/bin/"};
    for (size_t i = 0; i < countof(given); i++) {
        size_t len = strlen(given[i]);
        if (strncmp(path, given[i], len) == 0 || strncmp(path, given[i], len - 1) == 0)
            return path[len - 1] == '/' || path[len - 1] == '\0';
    }
    return false;
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void add_bind(struct python *self, const char *path)
{
    if (path == NULL || path[0] != '/' || path[1] == '\0' || is_given(path))
        return;
    for (size_t i = 0; i < self->bind_count; i++) {
        if (is_below(path, self->binds[i]))
            return;
    }
    if (self->bind_count < PYTHON_BINDS_MAX)
        self->binds[self->bind_count++] = mem_strdup(path);
}

static int take_answer(struct python *self, const json_t *answer, struct err *err)
{
    self->executable = mem_strdup(json_in_str(answer, "executable", ""));
    self->base_prefix = mem_strdup(json_in_str(answer, "prefix", ""));
    self->version = mem_strdup(json_in_str(answer, "version", ""));
    self->abi = mem_strdup(json_in_str(answer, "abi", ""));
    self->platform = mem_strdup(json_in_str(answer, "platform", ""));
    self->tag = mem_strdup(json_in_str(answer, "tag", ""));
    if (self->executable[0] != '/' || self->base_prefix[0] != '/' || *self->version == '\0')
        return err_set(err, ERR_INTERNAL, "%s does not know where it is", self->asked);
    if (strcmp(json_in_str(answer, "implementation", ""), "cpython") != 0)
        return err_set(err, ERR_UNPROCESSABLE, "%s is no CPython", self->asked);
    if (version_compare(self->version, "3.8") < 0)
        return err_set(err, ERR_UNPROCESSABLE, "%s is Python %s; 3.8 or newer is needed",
                       self->asked, self->version);
    add_bind(self, self->base_prefix);
    add_bind(self, json_in_str(answer, "exec_prefix", NULL));
    add_bind(self, json_in_str(answer, "stdlib", NULL));
    owned_mem char *folder = mem_strdup(self->executable);
    char *slash = strrchr(folder, '/');
    *slash = '\0';
    add_bind(self, folder);
    return 0;
}

int python_probe(struct python *self, const struct python_query *query, struct err *err)
{
    static const char *const clean[] = {"LANG=C.UTF-8", "PATH=/usr/bin:/bin", NULL};
    *self = (struct python){.asked = mem_strdup(query->name)};
    owned_json *first = NULL;
    owned_json *second = NULL;
    owned_mem char *program = file_find_program(query->name, query->path);
    if (program == NULL) {
        err_set(err, ERR_NOT_FOUND, "%s: no such program", query->name);
        goto failed;
    }
    /* The name may be a version manager's script, which needs the operator's environment; what it
     * leads to is asked again with none, as jobs will run it. */
    first = ask(program, (uid_t)-1, (const char *const *)environ, err);
    const char *real = first != NULL ? json_in_str(first, "executable", NULL) : NULL;
    second = real != NULL ? ask(real, query->uid, clean, err) : NULL;
    if (second != NULL && take_answer(self, second, err) == 0)
        return 0;
    if (first != NULL && real == NULL)
        err_set(err, ERR_INTERNAL, "%s does not know where it is", query->name);
failed:
    python_fini(self);
    return err != NULL && err->code != ERR_NONE ? (int)err->code : ERR_UNPROCESSABLE;
}

static bool is_known(const struct python *all, size_t count, const char *executable)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].executable, executable) == 0)
            return true;
    }
    return false;
}

struct python *python_probe_all(const char *const *names, size_t name_count, uid_t uid,
                                size_t *count, char **warning, struct err *err)
{
    static const char *const usual[] = {"python3"};
    if (name_count == 0) {
        names = usual;
        name_count = 1;
    }
    struct python *all = mem_new_array(name_count + 1, sizeof *all);
    owned_buf said = BUF_INIT;
    struct err last = ERR_INIT;
    *count = 0;
    for (size_t i = 0; i <= name_count; i++) {
        bool is_fallback = i == name_count;
        if (is_fallback && *count > 0)
            break;
        const struct python_query query = {.name = is_fallback ? "/usr/bin/python3" : names[i],
                                           .uid = uid};
        struct err here = ERR_INIT;
        if (python_probe(&all[*count], &query, &here) != 0) {
            buf_printf(&said, "%s%s", said.len > 0 ? "; " : "", here.text);
            last = here;
            continue;
        }
        if (is_fallback)
            buf_puts(&said, "; /usr/bin/python3 is used");
        if (is_known(all, *count, all[*count].executable))
            python_fini(&all[*count]);
        else
            (*count)++;
    }
    *warning = said.len > 0 ? buf_steal(&said) : NULL;
    if (*count > 0)
        return all;
    free(all);
    err_set(err, ERR_NOT_FOUND, "no Python that can be used: %s",
            *warning != NULL ? *warning : last.text);
    free(steal_ptr(warning));
    return NULL;
}

const struct python *python_choose(const struct python *all, size_t count, const char *requires,
                                   bool *fits)
{
    for (size_t i = 0; i < count; i++) {
        if (requires == NULL || version_satisfies(all[i].version, requires)) {
            *fits = true;
            return &all[i];
        }
    }
    *fits = false;
    return &all[0];
}

void python_fini(struct python *self)
{
    free(self->asked);
    free(self->executable);
    free(self->base_prefix);
    free(self->version);
    free(self->abi);
    free(self->platform);
    free(self->tag);
    for (size_t i = 0; i < self->bind_count; i++)
        free(self->binds[i]);
    *self = (struct python){.bind_count = 0};
}

void python_free_all(struct python *all_owned, size_t count)
{
    for (size_t i = 0; i < count; i++)
        python_fini(&all_owned[i]);
    free(all_owned);
}
