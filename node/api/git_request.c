#include "node/api/git_request.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/wipe.h"
#include "runner/git/fetch.h"

#include <string.h>

#define NAME_MAX_BYTES 1024

static int bad(struct err *err, const char *reason, const char *what)
{
    return err_refuse(err, ERR_UNPROCESSABLE, reason, "%s", what);
}

/* The library keeps strings as they were; nobody else holds this one. */
static void wipe(const json_t *string)
{
    if (json_is_string(string))
        explicit_bzero((char *)(uintptr_t)json_string_value(string), json_string_length(string));
}

static int read_token(struct git_request *self, const json_t *value, struct err *err)
{
    if (json_is_null(value))
        return 0;
    const char *text = json_string_value(value);
    size_t len = text ? strlen(text) : 0;
    if (!text || len > FETCH_TOKEN_MAX)
        return bad(err, "bad-token", "auth_token must be a text of at most 1024 characters");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] == 0x7f)
            return bad(err, "bad-token", "auth_token has a blank or a character that no token has");
    self->token = len ? wipe_keep(text, len) : NULL;
    return 0;
}

static int read_projects(struct git_request *self, const json_t *list, struct err *err)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > GIT_PROJECTS_MAX)
        return bad(err, "bad-projects", "projects must be a list of 1 to 1000 URLs");
    self->urls = mem_new_array(count, sizeof *self->urls);
    for (size_t i = 0; i < count; i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (!url)
            return bad(err, "bad-projects", "projects must be a list of texts");
        self->urls[self->url_count++] = mem_strdup(url);
    }
    return 0;
}

static int read_name(struct git_request *self, const json_t *value, struct err *err)
{
    const char *name = json_string_value(value);
    if (json_is_null(value))
        return 0;
    if (!name || strlen(name) > NAME_MAX_BYTES)
        return bad(err, "unprocessable", "name must be a text of at most 1024 bytes");
    self->name = name[0] ? mem_strdup(name) : NULL;
    return 0;
}

static int read_statuses(struct git_request *self, const json_t *value, struct err *err)
{
    if (!json_is_boolean(value) && !json_is_null(value))
        return bad(err, "unprocessable", "statuses must be true or false");
    self->statuses = json_is_true(value);
    return 0;
}

static int read_member(struct git_request *self, const char *key, const json_t *value,
                       struct err *err)
{
    if (strcmp(key, "auth_token") == 0)
        return read_token(self, value, err);
    if (strcmp(key, "projects") == 0)
        return read_projects(self, value, err);
    if (strcmp(key, "name") == 0)
        return read_name(self, value, err);
    if (strcmp(key, "statuses") == 0)
        return read_statuses(self, value, err);
    if (strcmp(key, "options") != 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "unprocessable",
                          "there is no member \"%.40s\" beside auth_token, projects, statuses, "
                          "name and options",
                          key);
    if (json_is_null(value))
        return 0;
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    self->options = mem_strdup(text ? text : "");
    free(text);
    return 0;
}

/* The URLs in their one form, in the order sent: that decides which of two gets the plain name. */
static void digest(struct git_request *self)
{
    struct hash_state state;
    hash_init(&state);
    for (size_t i = 0; i < self->url_count; i++) {
        struct git_url url;
        owned_buf text = BUF_INIT;
        /* Whether its host is allowed is another question. */
        const char *host = strstr(self->urls[i], "://");
        owned_mem char *any =
            host ? mem_strndup(host + 3, strcspn(host + 3, "/?#")) : mem_strdup("");
        const char *const items[] = {any};
        if (git_url_parse(&url, self->urls[i], &(struct git_hosts){items, 1}, NULL) == 0)
            git_url_put(&url, NULL, &text);
        else
            buf_puts(&text, self->urls[i]);
        hash_update(&state, buf_str(&text), text.len + 1);
    }
    const char *const rest[] = {self->statuses ? "statuses" : "", self->name, self->options};
    for (size_t i = 0; i < countof(rest); i++)
        hash_update(&state, rest[i] ? rest[i] : "", rest[i] ? strlen(rest[i]) + 1 : 1);
    hash_final(&state, &self->digest);
}

int git_request_read(struct git_request *self, char *text, size_t len, struct err *err)
{
    *self = (struct git_request){0};
    struct err why = ERR_INIT;
    owned_json *root = json_in_parse(text, len, &why);
    explicit_bzero(text, len);
    if (!root)
        return err_refuse(err, ERR_INVALID, "bad-json", "the body is no JSON");
    int rc = json_is_object(root) ? 0 : bad(err, "bad-projects", "the body must be a JSON object");
    for (void *at = json_object_iter(root); at && !rc; at = json_object_iter_next(root, at))
        rc = read_member(self, json_object_iter_key(at), json_object_iter_value(at), err);
    wipe(json_object_get(root, "auth_token"));
    if (!rc && self->url_count == 0)
        rc = bad(err, "bad-projects", "projects is missing: a list of URLs of repositories");
    if (!rc && self->statuses && !self->token)
        rc = bad(err, "statuses-token",
                 "statuses are told with auth_token, and there is none in the request");
    if (!rc)
        digest(self);
    return rc;
}

void git_request_fini(struct git_request *self)
{
    wipe_drop(self->token);
    for (size_t i = 0; i < self->url_count; i++)
        free(self->urls[i]);
    free(self->urls);
    free(self->name);
    free(self->options);
    *self = (struct git_request){0};
}
