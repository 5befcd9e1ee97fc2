/* What is said to a git host of a commit, and where; without I/O. */
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/utf8.h"
#include "runner/git/status.h"

#include <string.h>

static const char https[] = "https://";

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c));
}

/* ---- where the API is ------------------------------------------------------------------------ */

static bool is_url(const char *text, struct err *err)
{
    if (strncmp(text, https, sizeof https - 1) != 0)
        return false;
    text += sizeof https - 1;
    size_t len = strcspn(text, "/");
    owned_mem char *host = mem_strndup(text, len);
    if (git_host_check(host, err))
        return false;
    for (text += len; *text; text++)
        if (*text != '/' && !is_plain(*text))
            return false;
    return true;
}

int status_api_check(const char *item, struct err *err)
{
    const char *equals = strchr(item, '=');
    owned_mem char *host = mem_strndup(item, equals ? (size_t)(equals - item) : 0);
    if (!equals || git_host_check(host, err) || !is_url(equals + 1, err) ||
        strlen(equals) > GIT_URL_MAX)
        return err_set(err, ERR_INVALID, "%.200s: must be HOST=https://HOST/PATH, or HOST:PORT=…",
                       item);
    return 0;
}

static bool is_item_for(const char *item, const struct git_url *url)
{
    owned_mem char *with_port = mem_printf("%s:%u", url->host, url->port);
    size_t len = strcspn(item, "=");
    bool is_default = url->port == GIT_HTTPS_PORT && strlen(url->host) == len;
    return (is_default && strncasecmp(item, url->host, len) == 0) ||
           (strlen(with_port) == len && strncasecmp(item, with_port, len) == 0);
}

static bool ends_with(const char *text, size_t len, const char *end)
{
    size_t end_len = strlen(end);
    return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

static char *usual_base(const struct git_url *url)
{
    if (strcmp(url->host, "github.com") == 0)
        return mem_strdup("https://api.github.com");
    if (strcmp(url->host, "gitlab.com") == 0)
        return mem_strdup("https://gitlab.com/api/v4");
    if (url->port == GIT_HTTPS_PORT)
        return mem_printf("https://%s/api/v3", url->host);
    return mem_printf("https://%s:%u/api/v3", url->host, url->port);
}

void status_base_find(struct status_base *self, const struct git_url *url, const char *const *items,
                      size_t count)
{
    const char *given = NULL;
    for (size_t i = 0; i < count && !given; i++)
        if (is_item_for(items[i], url))
            given = strchr(items[i], '=') + 1;
    self->url = given ? mem_strdup(given) : usual_base(url);
    size_t len = strlen(self->url);
    while (len > 0 && self->url[len - 1] == '/')
        self->url[--len] = '\0';
    self->kind = ends_with(self->url, len, "/api/v4") ? STATUS_GITLAB : STATUS_GITHUB;
}

void status_base_fini(struct status_base *self) { mem_free_at(&self->url); }

/* A path of GitLab's is one segment of the URL. */
static void put_escaped(const char *text, bool keeps_slash, struct buf *out)
{
    for (; *text; text++) {
        if (is_plain(*text) || (keeps_slash && *text == '/'))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

void status_put_url(const struct status_base *base, const char *path, const char *commit,
                    struct buf *out)
{
    bool is_gitlab = base->kind == STATUS_GITLAB;
    buf_printf(out, "%s/%s/", base->url, is_gitlab ? "projects" : "repos");
    put_escaped(path, !is_gitlab, out);
    buf_printf(out, "/statuses/%s", commit);
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void put_cut(struct json_out *json, const char *key, const char *text, size_t max)
{
    owned_buf cut = BUF_INIT;
    utf8_repair(text, strlen(text), max, &cut);
    json_out_key_str(json, key, buf_str(&cut));
}

void status_put_body(enum status_kind kind, enum status_state state, const char *context,
                     const char *description, const char *target_url, struct buf *out)
{
    static const char *const names[][STATUS_STATE_COUNT] = {
        [STATUS_GITHUB] = {"pending", "success", "failure", "error"},
        [STATUS_GITLAB] = {"pending", "success", "failed", "failed"}};
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "state", names[kind][state]);
    put_cut(&json, kind == STATUS_GITLAB ? "name" : "context", context, STATUS_CONTEXT_MAX);
    put_cut(&json, "description", description, STATUS_DESCRIPTION_MAX);
    if (target_url)
        json_out_key_str(&json, "target_url", target_url);
    json_out_close_object(&json);
}

/* ---- what came of it ------------------------------------------------------------------------- */

bool status_is_taken(const struct status_answer *answer)
{
    return answer->http == 200 || answer->http == 201;
}

bool status_is_passing(const struct status_answer *answer)
{
    long http = answer->http;
    return http == 0 || http == 408 || http == 429 || http >= 500 ||
           (http == 403 && (answer->is_limited || answer->retry_after_s > 0));
}
