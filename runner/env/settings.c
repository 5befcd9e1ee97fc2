#include "runner/env/settings.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum value_kind {
    VALUE_PLAIN,
    VALUE_FILE,  /* a host path */
    VALUE_URL,   /* may hold a password */
    VALUE_PLACES /* blank-separated URLs and host paths */
};

/* What is taken from the operator's environment, and what each installer calls it; NULL: nothing,
 * that installer reads it under another row's name or not at all. */
static const struct setting {
    const char *name;
    const char *pip;
    const char *uv;
    enum value_kind kind;
    bool is_index; /* decides what is installed: a part of the key */
} table[] = {
    {"SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_FILE", VALUE_FILE, false},
    {"SSL_CERT_DIR", "SSL_CERT_DIR", "SSL_CERT_DIR", VALUE_FILE, false},
    {"REQUESTS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", VALUE_FILE, false},
    {"PIP_CERT", "PIP_CERT", "SSL_CERT_FILE", VALUE_FILE, false},
    {"PIP_INDEX_URL", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", VALUE_URL, true},
    {"UV_INDEX_URL", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", VALUE_URL, true},
    {"UV_DEFAULT_INDEX", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", VALUE_URL, true},
    {"PIP_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", VALUE_URL, true},
    {"PIP_FIND_LINKS", "PIP_FIND_LINKS", "UV_FIND_LINKS", VALUE_PLACES, true},
    {"PIP_NO_INDEX", "PIP_NO_INDEX", NULL, VALUE_PLAIN, true},
    {"PIP_TRUSTED_HOST", "PIP_TRUSTED_HOST", "UV_INSECURE_HOST", VALUE_PLAIN, false},
    {"PIP_DEFAULT_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT", VALUE_PLAIN, false},
    {"PIP_RETRIES", "PIP_RETRIES", "UV_HTTP_RETRIES", VALUE_PLAIN, false},
    {"PIP_PROXY", "PIP_PROXY", "ALL_PROXY", VALUE_URL, false},
    {"HTTPS_PROXY", "HTTPS_PROXY", "HTTPS_PROXY", VALUE_URL, false},
    {"HTTP_PROXY", "HTTP_PROXY", "HTTP_PROXY", VALUE_URL, false},
    {"ALL_PROXY", "ALL_PROXY", "ALL_PROXY", VALUE_URL, false},
    {"NO_PROXY", "NO_PROXY", "NO_PROXY", VALUE_PLAIN, false},
    {"https_proxy", "HTTPS_PROXY", "HTTPS_PROXY", VALUE_URL, false},
    {"http_proxy", "HTTP_PROXY", "HTTP_PROXY", VALUE_URL, false},
    {"no_proxy", "NO_PROXY", "NO_PROXY", VALUE_PLAIN, false},
};

static const char *find(const char *const *environ_, const char *name)
{
    size_t len = strlen(name);
    for (; *environ_ != NULL; environ_++) {
        if (strncmp(*environ_, name, len) == 0 && (*environ_)[len] == '=')
            return *environ_ + len + 1;
    }
    return NULL;
}

/* The value of a variable as it stands now, or NULL. */
static const char *value_of(const struct env_settings *self, const char *name)
{
    return find((const char *const *)self->vars, name);
}

static void add_bind(struct env_settings *self, const char *path, size_t len)
{
    for (size_t i = 0; i < self->bind_count; i++) {
        if (strncmp(self->binds[i], path, len) == 0 && self->binds[i][len] == '\0')
            return;
    }
    if (self->bind_count < ENV_BINDINGS_MAX && len > 1 && path[0] == '/')
        self->binds[self->bind_count++] = mem_strndup(path, len);
}

/* The user part of a URL: what stands between :// and @, before the path. */
static size_t user_part(const char *url, const char **start)
{
    const char *scheme = strstr(url, "://");
    if (scheme == NULL)
        return 0;
    *start = scheme + 3;
    size_t host = strcspn(*start, "/?# \t\r\n\"'");
    for (size_t i = host; i > 0; i--) {
        if ((*start)[i - 1] == '@')
            return i - 1;
    }
    return 0;
}

static void add_secrets(struct env_settings *self, const char *text)
{
    const char *start;
    for (; (text = strstr(text, "://")) != NULL; text += 3) {
        size_t len = user_part(text, &start);
        if (len > 0 && self->secret_count < ENV_BINDINGS_MAX)
            self->secrets[self->secret_count++] = mem_strndup(start, len);
        const char *colon = len > 0 ? memchr(start, ':', len) : NULL;
        if (colon != NULL && (size_t)(start + len - colon) > 4 &&
            self->secret_count < ENV_BINDINGS_MAX)
            self->secrets[self->secret_count++] =
                mem_strndup(colon + 1, (size_t)(start + len - colon) - 1);
    }
}

static void add_places(struct env_settings *self, const char *value)
{
    for (const char *at = value; *at != '\0'; at += strcspn(at, " \t")) {
        at += strspn(at, " \t");
        size_t len = strcspn(at, " \t");
        if (strncmp(at, "file://", 7) == 0)
            add_bind(self, at + 7, len - 7);
        else
            add_bind(self, at, len);
    }
}

/* uv takes the list of places with commas between them. */
static char *in_uv_words(const struct setting *setting, const char *value)
{
    char *text = mem_strdup(value);
    if (setting->kind == VALUE_PLACES) {
        for (char *at = text; *at != '\0'; at++)
            *at = *at == ' ' || *at == '\t' ? ',' : *at;
    }
    return text;
}

static void take(struct env_settings *self, const struct setting *setting, const char *value,
                 bool for_uv, size_t *count)
{
    const char *name = for_uv ? setting->uv : setting->pip;
    if (name == NULL || value_of(self, name) != NULL || *count == ENV_SETTINGS_MAX)
        return;
    owned_mem char *text = for_uv ? in_uv_words(setting, value) : mem_strdup(value);
    self->vars[(*count)++] = mem_printf("%s=%s", name, text);
    if (setting->kind == VALUE_FILE)
        add_bind(self, value, strlen(value));
    if (setting->kind == VALUE_PLACES)
        add_places(self, value);
    if (setting->kind == VALUE_URL || setting->kind == VALUE_PLACES)
        add_secrets(self, value);
}

void env_settings_init(struct env_settings *self, const char *const *environ_, bool for_uv)
{
    *self = (struct env_settings){.bind_count = 0};
    owned_buf index = BUF_INIT;
    size_t count = 0;
    for (size_t i = 0; i < countof(table); i++) {
        const char *value = find(environ_, table[i].name);
        if (value == NULL || *value == '\0' || strlen(value) > 4096)
            continue;
        take(self, &table[i], value, for_uv, &count);
        self->no_index = self->no_index || strcmp(table[i].name, "PIP_NO_INDEX") == 0;
        self->has_certificates = self->has_certificates || table[i].kind == VALUE_FILE;
        if (table[i].is_index)
            buf_printf(&index, "%s=%s\n", table[i].pip, value);
    }
    self->index = mem_strdup(buf_str(&index));
}

void env_settings_fini(struct env_settings *self)
{
    for (size_t i = 0; i < ENV_SETTINGS_MAX; i++)
        free(self->vars[i]);
    for (size_t i = 0; i < self->bind_count; i++)
        free(self->binds[i]);
    for (size_t i = 0; i < self->secret_count; i++)
        free(self->secrets[i]);
    free(self->index);
    *self = (struct env_settings){.bind_count = 0};
}

/* Returns how many bytes at `at` are a secret of the operator's. */
static size_t secret_at(const struct env_settings *self, const char *at, size_t left)
{
    for (size_t i = 0; i < self->secret_count; i++) {
        size_t len = strlen(self->secrets[i]);
        if (len <= left && memcmp(at, self->secrets[i], len) == 0)
            return len;
    }
    return 0;
}

void env_settings_redact(const struct env_settings *self, const char *text, size_t len,
                         struct buf *out)
{
    owned_mem char *copy = mem_strndup(text, len);
    size_t end = strlen(copy); /* an installer's output with a zero byte in it ends there */
    for (size_t at = 0; at < end;) {
        const char *start;
        size_t skip = secret_at(self, copy + at, end - at);
        if (skip == 0 && strncmp(copy + at, "://", 3) == 0) {
            skip = user_part(copy + at, &start);
            buf_puts(out, "://");
            at += 3;
        }
        if (skip > 0) {
            buf_puts(out, "***");
            at += skip;
        } else if (at < end) {
            buf_putc(out, copy[at++]);
        }
    }
}
