#include "node/api/submit_options.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/job/engine.h"

#include <string.h>

#define TIMEOUT_MAX_S 86400
#define PRIORITY_MAX  100

static int bad(struct err *err, const char *what)
{
    return err_refuse(err, ERR_UNPROCESSABLE, "bad-option", "options: %s", what);
}

static int read_number(const json_t *value, int64_t min, int64_t max, int64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return -1;
    *out = json_integer_value(value);
    return 0;
}

static int read_args(struct submit_options *self, const json_t *list, struct err *err)
{
    if (!json_is_array(list) || json_array_size(list) > JOB_ARGS_MAX)
        return bad(err, "pytest_args must be a list of at most 32 texts");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *arg = json_string_value(json_array_get(list, i));
        if (!arg)
            return bad(err, "pytest_args must be a list of texts");
        if (!job_arg_allowed(arg))
            return err_refuse(err, ERR_UNPROCESSABLE, "bad-option",
                              "options: pytest_args: \"%.80s\" is not allowed", arg);
        self->args[self->doc.pytest_arg_count++] = mem_strdup(arg);
    }
    union {
        char **in;
        const char *const *out;
    } list_of = {.in = self->args};
    self->doc.pytest_args = list_of.out;
    return 0;
}

static int read_option(struct submit_options *self, const char *name, const json_t *value,
                       struct err *err)
{
    int64_t number = 0;
    if (strcmp(name, "timeout_s") == 0) {
        if (read_number(value, 1, TIMEOUT_MAX_S, &number))
            return bad(err, "timeout_s must be a whole number from 1 to 86400");
        self->doc.timeout_s = (uint32_t)number;
        return 0;
    }
    if (strcmp(name, "priority") == 0) {
        if (read_number(value, -PRIORITY_MAX, PRIORITY_MAX, &number))
            return bad(err, "priority must be a whole number from -100 to 100");
        self->doc.priority = (int32_t)number;
        return 0;
    }
    if (strcmp(name, "pytest_args") == 0)
        return read_args(self, value, err);
    if (strcmp(name, "network") == 0)
        return json_is_false(value) ? 0
                                    : bad(err, "network: modules have a network of their own only");
    if (strcmp(name, "retries") == 0)
        return read_number(value, 0, 0, &number) == 0
                   ? 0
                   : bad(err, "retries: a module is run once; only its loss is made good");
    return err_refuse(err, ERR_UNPROCESSABLE, "bad-option", "options: there is no option \"%.40s\"",
                      name);
}

int submit_options_read(struct submit_options *self, const char *text, size_t len, struct err *err)
{
    *self = (struct submit_options){0};
    if (len == 0)
        return 0;
    owned_json *object = json_in_parse(text, len, err);
    if (!object)
        return err_wrap(err, "options");
    if (!json_is_object(object))
        return bad(err, "must be a JSON object");
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        if (read_option(self, json_object_iter_key(at), json_object_iter_value(at), err))
            return err->code;
    return 0;
}

void submit_options_fini(struct submit_options *self)
{
    for (size_t i = 0; i < self->doc.pytest_arg_count; i++)
        free(self->args[i]);
}
