#include "node/http/router.h"

#include "node/http/chars.h"

#include <assert.h>
#include <string.h>

static void add_param(struct router_match *self, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    assert(self->count < ROUTER_PARAMS_MAX);
    self->names[self->count] = name;
    self->name_lens[self->count] = name_len;
    self->values[self->count] = self->text.len;
    self->count++;
    chars_unescape(&self->text, value, value_len, false);
    buf_putc(&self->text, '\0');
}

/* A literal is compared with what the segment stands for: "/st%61ts" is "/stats". */
static bool is_literal(const char *text, size_t len, const char *want, size_t want_len)
{
    owned_buf plain = BUF_INIT;
    chars_unescape(&plain, text, len, false);
    return plain.len == want_len && memcmp(buf_str(&plain), want, want_len) == 0;
}

static bool fits(struct router_match *self, const char *pattern, const char *path, size_t path_len)
{
    buf_clear(&self->text);
    self->count = 0;
    const char *end = path + path_len;
    while (*pattern == '/' && path < end && *path == '/') {
        pattern++;
        path++;
        size_t name = strcspn(pattern, "/");
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t len = slash ? (size_t)(slash - path) : (size_t)(end - path);
        if (*pattern == '*') {
            add_param(self, pattern + 1, name - 1, path, (size_t)(end - path));
            return true;
        }
        if (*pattern == ':') {
            if (len == 0)
                return false;
            add_param(self, pattern + 1, name - 1, path, len);
        } else if (!is_literal(path, len, pattern, name)) {
            return false;
        }
        pattern += name;
        path += len;
    }
    return *pattern == '\0' && path == end;
}

static size_t path_len_of(const char *path)
{
    size_t len = strlen(path);
    return len > 1 && path[len - 1] == '/' ? len - 1 : len;
}

static bool takes(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

int router_find(struct router_match *self, const struct http_route *routes, size_t count,
                const char *method, const char *path, struct err *err)
{
    size_t len = path_len_of(path);
    bool known = false;
    for (size_t i = 0; i < count; i++) {
        if (!fits(self, routes[i].pattern, path, len))
            continue;
        known = true;
        if (takes(&routes[i], method)) {
            self->route = &routes[i];
            return 0;
        }
    }
    self->count = 0;
    if (known)
        return err_set(err, ERR_METHOD, "%s does not take %s", path, method);
    return err_set(err, ERR_NOT_FOUND, "there is no %s here", path);
}

void router_match_fini(struct router_match *self)
{
    buf_fini(&self->text);
    self->count = 0;
    self->route = NULL;
}

const char *router_param(const struct router_match *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strlen(name) == self->name_lens[i] &&
            memcmp(self->names[i], name, self->name_lens[i]) == 0)
            return self->text.data + self->values[i];
    return NULL;
}

static void add_method(struct buf *out, const char *method)
{
    if (!strstr(buf_str(out), method))
        buf_printf(out, "%s, ", method);
}

bool router_allow(struct buf *out, const struct http_route *routes, size_t count, const char *path)
{
    struct router_match match = {0};
    size_t len = path_len_of(path);
    for (size_t i = 0; i < count; i++) {
        if (!fits(&match, routes[i].pattern, path, len))
            continue;
        add_method(out, routes[i].method);
        if (takes(&routes[i], "HEAD"))
            add_method(out, "HEAD");
    }
    router_match_fini(&match);
    bool any = out->len > 0;
    buf_puts(out, "OPTIONS");
    return any;
}
