#include "runner/egress/head.h"

#include "proto/base/mem.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX 100
#define METHOD_MAX 16

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Printable, a tab or above ASCII: nothing that ends a line somewhere else. */
static bool is_text(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] < ' ' && at[i] != '\t')
            return false;
    return memchr(at, 0x7f, len) == NULL;
}

/* The length of the line at `at`, without its CRLF; SIZE_MAX when there is none. */
static size_t line_len(const char *at, size_t left)
{
    const char *end = memchr(at, '\n', left);
    if (!end || end == at || end[-1] != '\r')
        return SIZE_MAX;
    return (size_t)(end - at) - 1;
}

static bool is_field(const char *at, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    return len > name_len && at[name_len] == ':' && strncasecmp(at, name, name_len) == 0;
}

/* What the line of a header means for a request without a body; 0 or a status. */
static int check_field(const char *at, size_t len)
{
    size_t name = 0;
    while (name < len && is_token_char(at[name]))
        name++;
    if (name == 0 || name == len || at[name] != ':' || !is_text(at, len))
        return 400;
    if (is_field(at, len, "Transfer-Encoding"))
        return 400;
    if (!is_field(at, len, "Content-Length"))
        return 0;
    size_t value = name + 1;
    while (value < len && at[value] == ' ')
        value++;
    return len - value == 1 && at[value] == '0' ? 0 : 400;
}

static int take_fields(struct egress_head *self, const char *bytes, size_t len)
{
    size_t at = 0, count = 0;
    self->fields = bytes;
    for (;;) {
        size_t line = line_len(bytes + at, len - at);
        if (line == SIZE_MAX)
            return 400;
        if (line == 0)
            break;
        if (++count > FIELDS_MAX)
            return 431;
        int status = check_field(bytes + at, line);
        if (status)
            return status;
        at += line + 2;
    }
    self->fields_len = at;
    return at + 2 == len ? 0 : 400;
}

static int take_url(struct egress_head *self, const char *text, size_t len)
{
    static const char scheme[] = "http://";
    size_t start = sizeof scheme - 1;
    if (len <= start || strncasecmp(text, scheme, start) != 0)
        return 400;
    size_t end = start;
    while (end < len && text[end] != '/' && text[end] != '?' && text[end] != '#')
        end++;
    if (!egress_target_parse(&self->target, text + start, end - start, 80))
        return 400;
    self->path = text + end;
    self->path_len = len - end;
    /* "?query" behind a host has a "/" before it; a fragment is never sent. */
    if (end == len) {
        self->path = "/";
        self->path_len = 1;
    }
    return self->path[0] == '/' && !memchr(self->path, '#', self->path_len) ? 0 : 400;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

static int take_line(struct egress_head *self, const char *line, size_t len)
{
    const char *blank = memchr(line, ' ', len);
    size_t method = blank ? (size_t)(blank - line) : 0;
    if (method == 0 || method > METHOD_MAX)
        return 400;
    const char *target = blank + 1;
    const char *next = memchr(target, ' ', len - method - 1);
    if (!next)
        return 400;
    size_t target_len = (size_t)(next - target);
    size_t version_len = (size_t)(line + len - next) - 1;
    for (size_t i = 0; i < target_len; i++)
        if (target[i] <= ' ' || target[i] == 0x7f)
            return 400;
    if (!is_word(next + 1, version_len, "HTTP/1.1") && !is_word(next + 1, version_len, "HTTP/1.0"))
        return version_len >= 5 && memcmp(next + 1, "HTTP/", 5) == 0 ? 505 : 400;
    self->method = line;
    self->method_len = method;
    self->is_tunnel = is_word(line, method, "CONNECT");
    if (self->is_tunnel)
        return egress_target_parse(&self->target, target, target_len, 0) ? 0 : 400;
    for (size_t i = 0; i < method; i++)
        if (!is_token_char(line[i]))
            return 400;
    int status = take_url(self, target, target_len);
    if (status)
        return status;
    return is_word(line, method, "GET") || is_word(line, method, "HEAD") ? 0 : 405;
}

int egress_head_parse(struct egress_head *self, const char *bytes, size_t len)
{
    *self = (struct egress_head){.is_tunnel = false};
    if (len > EGRESS_HEAD_MAX)
        return 431;
    size_t line = line_len(bytes, len);
    if (line == SIZE_MAX || line == 0)
        return 400;
    int status = take_line(self, bytes, line);
    return status ? status : take_fields(self, bytes + line + 2, len - line - 2);
}

/* Headers that are for us, or about this connection (RFC 9110, 7.6.1); the host is written anew. */
static bool is_ours(const char *at, size_t len)
{
    static const char *const names[] = {"Connection",
                                        "Proxy-Connection",
                                        "Keep-Alive",
                                        "Proxy-Authorization",
                                        "Proxy-Authenticate",
                                        "TE",
                                        "Trailer",
                                        "Upgrade",
                                        "Host",
                                        "Content-Length",
                                        "Expect"};
    for (size_t i = 0; i < countof(names); i++)
        if (is_field(at, len, names[i]))
            return true;
    return false;
}

static void put_host(const struct egress_target *target, struct buf *out)
{
    if (target->port != 80) {
        egress_target_put(target, out);
        return;
    }
    bool is_v6 = strchr(target->host, ':') != NULL;
    buf_printf(out, is_v6 ? "[%s]" : "%s", target->host);
}

static void put_authorization(const char *authorization, struct buf *out)
{
    if (authorization)
        buf_printf(out, "Proxy-Authorization: %s\r\n", authorization);
}

void egress_head_put(const struct egress_head *self, bool through, const char *authorization,
                     struct buf *out)
{
    buf_append(out, self->method, self->method_len);
    buf_putc(out, ' ');
    if (through) {
        buf_puts(out, "http://");
        put_host(&self->target, out);
    }
    buf_append(out, self->path, self->path_len);
    buf_puts(out, " HTTP/1.1\r\nHost: ");
    put_host(&self->target, out);
    buf_puts(out, "\r\n");
    for (size_t at = 0; at < self->fields_len;) {
        size_t line = line_len(self->fields + at, self->fields_len - at);
        if (!is_ours(self->fields + at, line))
            buf_append(out, self->fields + at, line + 2);
        at += line + 2;
    }
    if (through)
        put_authorization(authorization, out);
    buf_puts(out, "Connection: close\r\n\r\n");
}

void egress_head_put_connect(const struct egress_target *target, const char *authorization,
                             struct buf *out)
{
    buf_puts(out, "CONNECT ");
    egress_target_put(target, out);
    buf_puts(out, " HTTP/1.1\r\nHost: ");
    egress_target_put(target, out);
    buf_puts(out, "\r\n");
    put_authorization(authorization, out);
    buf_puts(out, "\r\n");
}

unsigned egress_head_status(const char *bytes, size_t len)
{
    static const char version[] = "HTTP/1.";
    size_t start = sizeof version - 1;
    if (len < start + 6 || memcmp(bytes, version, start) != 0 || bytes[start + 1] != ' ')
        return 0;
    unsigned status = 0;
    for (size_t i = start + 2; i < start + 5; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return 0;
        status = status * 10 + (unsigned)(bytes[i] - '0');
    }
    char next = bytes[start + 5];
    return next == ' ' || next == '\r' ? status : 0;
}
