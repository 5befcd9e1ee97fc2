#include "cli/doc.h"

#include "cli/cli.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <string.h>

/* A member's place, for errors: "module_results.calc.tests/test_a.py". */
struct place {
    const char *section, *project, *module;
};

static int wrong(const struct place *at, const char *key, const char *what, struct err *err)
{
    owned_buf text = BUF_INIT;
    const char *const parts[] = {at->section, at->project, at->module};
    for (size_t i = 0; i < countof(parts); i++) {
        if (parts[i] != NULL)
            buf_printf(&text, "%.60s.", parts[i]);
    }
    return err_set(err, ERR_CORRUPT, "the node's answer makes no sense: %s%s is not %s",
                   buf_str(&text), key, what);
}

static int get_count(const json_t *object, const char *key, const struct place *at, uint64_t *out,
                     struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(at, key, "a count", err);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static int get_number(const json_t *object, const char *key, const struct place *at, double *out,
                      struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return wrong(at, key, "a number", err);
    *out = json_number_value(value);
    return 0;
}

static int get_counts(const json_t *object, const struct place *at, struct doc_counts *out,
                      struct err *err)
{
    int rc = get_count(object, "passed", at, &out->passed, err);
    if (rc == 0)
        rc = get_count(object, "failed", at, &out->failed, err);
    if (rc == 0)
        rc = get_count(object, "errors", at, &out->errors, err);
    if (rc == 0)
        rc = get_count(object, "skipped", at, &out->skipped, err);
    return rc;
}

static int get_state(const json_t *object, const struct place *at, enum doc_state *out,
                     struct err *err)
{
    static const char *const names[] = {"pending", "running", "done"};
    const char *status = json_in_str(object, "status", "");
    for (int i = 0; i < (int)countof(names); i++) {
        if (strcmp(status, names[i]) == 0) {
            *out = (enum doc_state)i;
            return 0;
        }
    }
    return wrong(at, "status", "pending, running or done", err);
}

static int read_module(const json_t *object, const struct place *at, struct doc_module *out,
                       struct err *err)
{
    int rc = get_state(object, at, &out->state, err);
    if (rc == 0)
        rc = get_counts(object, at, &out->counts, err);
    if (rc == 0)
        rc = get_number(object, "time", at, &out->time_s, err);
    if (rc != 0)
        return rc;
    out->outcome = mem_strdup(json_in_str(object, "outcome", ""));
    out->blame = mem_strdup(json_in_str(object, "blame", ""));
    out->path = mem_strdup(at->module);
    return 0;
}

static void add_counts(struct doc_counts *sum, const struct doc_counts *more)
{
    sum->passed += more->passed;
    sum->failed += more->failed;
    sum->errors += more->errors;
    sum->skipped += more->skipped;
}

static int read_modules(struct doc *self, size_t project, const json_t *modules, struct err *err)
{
    struct doc_project *owner = &self->projects[project];
    const char *path;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)modules, path, value)
    {
        if (self->module_count == DOC_MODULES_MAX)
            return err_set(err, ERR_CORRUPT, "the node's answer has too many modules");
        struct place at = {"module_results", owner->name, path};
        struct doc_module *module = &self->modules[self->module_count];
        int rc = read_module(value, &at, module, err);
        if (rc != 0)
            return rc;
        module->project = project;
        self->module_count++;
        owner->modules++;
        owner->modules_done += module->state == DOC_DONE;
        add_counts(&owner->counts, &module->counts);
        add_counts(&self->counts, &module->counts);
    }
    return 0;
}

/* What a node may say about a project in words; the first that is there. */
static const char *find_note(const json_t *object)
{
    static const char *const keys[] = {"note", "message", "failure"};
    for (size_t i = 0; i < countof(keys); i++) {
        const char *text = json_in_str(object, keys[i], "");
        if (*text != '\0')
            return text;
    }
    return "";
}

static int read_fetch(struct doc_fetch *out, const char *name, const json_t *object,
                      struct err *err)
{
    struct place at = {"projects", name, "fetch"};
    const json_t *next = json_object_get(object, "next_try_s");
    const char *phase = json_in_str(object, "phase", NULL);
    if (!json_is_object(object))
        return 0;
    if (phase == NULL)
        return wrong(&at, "phase", "a text", err);
    int rc = get_count(object, "received_bytes", &at, &out->received_bytes, err);
    if (rc == 0)
        rc = get_count(object, "objects", &at, &out->objects, err);
    if (rc == 0)
        rc = get_count(object, "tries", &at, &out->tries, err);
    out->has_next_try = json_is_number(next);
    out->next_try_s = out->has_next_try ? json_number_value(next) : 0;
    if (rc == 0)
        out->phase = mem_strdup(phase);
    return rc;
}

bool doc_is_fetching(const struct doc_fetch *self)
{
    return self->phase != NULL && strcmp(self->phase, "done") != 0 &&
           strcmp(self->phase, "failed") != 0;
}

static int read_project(struct doc_project *out, const char *name, const json_t *object,
                        struct err *err)
{
    struct place at = {"projects", name, NULL};
    const json_t *nota = json_object_get(object, "nota");
    out->has_nota = !json_is_null(nota);
    if (out->has_nota) {
        int rc = get_number(object, "nota", &at, &out->nota, err);
        if (rc != 0)
            return rc;
    }
    int rc = get_number(object, "time", &at, &out->time_s, err);
    if (rc == 0)
        rc = read_fetch(&out->fetch, name, json_object_get(object, "fetch"), err);
    if (rc != 0)
        return rc;
    out->note = mem_strdup(find_note(object));
    out->name = mem_strdup(name);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns an object's keys in byte order; the array is owned, the keys belong to the object. */
static const char **sorted_keys(json_t *object)
{
    const char **keys = mem_new_array(json_object_size(object), sizeof(*keys));
    size_t count = 0;
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it))
        keys[count++] = json_object_iter_key(it);
    qsort(keys, count, sizeof(*keys), compare_keys);
    return keys;
}

static int read_projects(struct doc *self, const json_t *root, struct err *err)
{
    json_t *projects = json_object_get(root, "projects");
    json_t *results = json_object_get(root, "module_results");
    const struct place at = {NULL, NULL, NULL};
    if (!json_is_object(projects) || json_object_size(projects) > DOC_PROJECTS_MAX)
        return wrong(&at, "projects", "an object of reasonable size", err);
    if (!json_is_object(results))
        return wrong(&at, "module_results", "an object", err);
    size_t total = 0;
    const char *name;
    json_t *value;
    json_object_foreach(results, name, value) total += json_object_size(value);
    self->projects = mem_new_array(json_object_size(projects), sizeof(*self->projects));
    self->modules = mem_new_array(total, sizeof(*self->modules));
    owned_mem const char **names = sorted_keys(projects);
    for (size_t i = 0; i < json_object_size(projects); i++) {
        const json_t *project = json_object_get(projects, names[i]);
        int rc = read_project(&self->projects[i], names[i], project, err);
        if (rc != 0)
            return rc;
        self->project_count++;
        rc = read_modules(self, i, json_object_get(results, names[i]), err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_info(struct doc *self, const json_t *root, struct err *err)
{
    const struct place at = {"_run_info", NULL, NULL};
    const json_t *info = json_object_get(root, "_run_info");
    int rc = get_number(info, "nota", &at, &self->nota, err);
    if (rc == 0)
        rc = get_number(info, "%passed", &at, &self->percent_passed, err);
    if (rc != 0)
        return rc;
    self->mean_nota = json_in_real(info, "mean_nota", 0); /* null where no project has a mark */
    self->eval_time_s = json_in_real(info, "eval_time", 0);
    return 0;
}

static int read_root(struct doc *self, const json_t *root, struct err *err)
{
    const struct place at = {NULL, NULL, NULL};
    const char *id = json_in_str(root, "id", NULL);
    const char *status = json_in_str(root, "status", NULL);
    if (id == NULL)
        return wrong(&at, "id", "a text", err);
    if (status == NULL)
        return wrong(&at, "status", "a text", err);
    self->id = mem_strdup(id);
    self->status = mem_strdup(status);
    self->final = strcmp(status, "done") == 0 || strcmp(status, "cancelled") == 0 ||
                  strcmp(status, "failed") == 0;
    self->incomplete = json_in_bool(root, "incomplete", false);
    int rc = get_count(root, "executed", &at, &self->executed, err);
    if (rc == 0)
        rc = get_count(root, "executing", &at, &self->executing, err);
    if (rc == 0)
        rc = get_count(root, "pending", &at, &self->pending, err);
    if (rc == 0)
        rc = read_info(self, root, err);
    return rc == 0 ? read_projects(self, root, err) : rc;
}

int doc_read_answer(struct doc *out, const char *json, size_t len, struct err *err)
{
    owned_json *root = json_in_parse(json, len, err);
    if (root == NULL) {
        err_wrap(err, "the node's answer is not JSON");
        err->code = ERR_CORRUPT;
        return ERR_CORRUPT;
    }
    int rc = read_root(out, root, err);
    if (rc != 0)
        doc_fini(out);
    return rc;
}

void doc_fini(struct doc *self)
{
    for (size_t i = 0; i < self->project_count; i++) {
        free(self->projects[i].name);
        free(self->projects[i].note);
        free(self->projects[i].fetch.phase);
    }
    for (size_t i = 0; i < self->module_count; i++) {
        free(self->modules[i].path);
        free(self->modules[i].outcome);
        free(self->modules[i].blame);
    }
    free(self->projects);
    free(self->modules);
    free(self->id);
    free(self->status);
    *self = (struct doc){0};
}

static bool any_outcome(const struct doc *self, const char *outcome)
{
    for (size_t i = 0; i < self->module_count; i++) {
        if (strcmp(self->modules[i].outcome, outcome) == 0)
            return true;
    }
    return false;
}

static bool any_without(const struct doc *self)
{
    for (size_t i = 0; i < self->project_count; i++) {
        const struct doc_counts *c = &self->projects[i].counts;
        if (self->projects[i].has_nota && c->passed + c->failed + c->errors + c->skipped == 0)
            return true;
    }
    return false;
}

/* Errors that are failed set-ups alone do not make the tests guilty. */
static bool tests_failed(const struct doc *self)
{
    for (size_t i = 0; i < self->module_count; i++) {
        const struct doc_module *module = &self->modules[i];
        if (module->counts.failed + module->counts.errors > 0 &&
            strcmp(module->outcome, "setup_failed") != 0)
            return true;
    }
    return false;
}

int doc_exit_code(const struct doc *self, double fail_under)
{
    if (strcmp(self->status, "cancelled") == 0)
        return CLI_CANCELLED;
    if (strcmp(self->status, "failed") == 0 || self->incomplete)
        return CLI_CLUSTER;
    for (size_t i = 0; i < self->project_count; i++) {
        if (!self->projects[i].has_nota)
            return CLI_CLUSTER;
    }
    uint64_t counted = self->counts.passed + self->counts.failed + self->counts.errors;
    if (fail_under >= 0 && counted > 0)
        return self->percent_passed >= fail_under ? CLI_PASSED : CLI_FAILED;
    if (tests_failed(self))
        return CLI_FAILED;
    if (any_outcome(self, "setup_failed"))
        return CLI_SETUP;
    return self->project_count == 0 || any_without(self) ? CLI_NO_TESTS : CLI_PASSED;
}
