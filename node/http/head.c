#include "node/http/head.h"

#include "node/http/chars.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void http_head_init(struct http_head *self)
{
    memset(self, 0, offsetof(struct http_head, fields));
    self->field_count = 0;
    self->content_length = -1;
    self->chunked = false;
    self->keep_alive = false;
    self->expects_continue = false;
}

void http_head_fini(struct http_head *self)
{
    buf_fini(&self->text);
    http_head_init(self);
}

char *http_trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    text[len] = '\0';
    return text;
}

static uint32_t place_of(const struct http_head *self, const char *text)
{
    return (uint32_t)(text - self->text.data);
}

/* ---- the request line --------------------------------------------------------------------- */

static bool is_target_char(char c) { return c > ' ' && c < 0x7f && !strchr("\"<>#\\", c); }

/* "." and "..", however they are written: nobody who means well sends them (clients resolve them),
 * and what stands behind us might resolve them otherwise than we do. */
static bool is_dots(const char *segment, size_t len)
{
    size_t dots = 0;
    for (size_t i = 0; i < len; dots++) {
        if (segment[i] == '.')
            i++;
        else if (len - i >= 3 && chars_same_n(segment + i, 3, "%2e"))
            i += 3;
        else
            return false;
    }
    return dots == 1 || dots == 2;
}

static const char *check_path(const char *path)
{
    size_t len = strlen(path);
    if (!chars_escapes_ok(path, len))
        return "http-escape";
    for (const char *at = strchr(path, '%'); at; at = strchr(at + 1, '%'))
        if (chars_same_n(at, 3, "%2f"))
            return "http-encoded-slash";
    for (const char *at = path; *at == '/';) {
        size_t segment = strcspn(++at, "/");
        if (is_dots(at, segment))
            return "http-dot-segment";
        at += segment;
    }
    return NULL;
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return text[digits] == '\0' && digits <= 5 && atoi(text) <= 65535;
}

/* uri-host [":" port], RFC 3986 section 3.2.2, without the escapes and sub-delimiters that no host
 * name of this world has. */
static bool is_host(const char *text)
{
    if (*text == '[') {
        size_t inside = strspn(text + 1, "0123456789abcdefABCDEF:.");
        const char *end = text + 1 + inside;
        return inside > 0 && *end == ']' && (end[1] == '\0' || (end[1] == ':' && is_port(end + 2)));
    }
    size_t len = 0;
    while (chars_is_token(text[len]) && !strchr("!#$%&'*+^`|", text[len]))
        len++;
    return len > 0 && len <= 255 &&
           (text[len] == '\0' || (text[len] == ':' && is_port(text + len + 1)));
}

/* http://authority/path?query: the authority goes to a place of its own, the rest is as in the
 * origin form. The bytes are moved to the front over the scheme, so that both get a zero behind
 * them. */
static const char *split_absolute(struct http_head *self, char **target)
{
    size_t scheme = 0;
    if (chars_same_n(*target, strnlen(*target, 7), "http://"))
        scheme = 7;
    else if (chars_same_n(*target, strnlen(*target, 8), "https://"))
        scheme = 8;
    else
        return "http-target-form";
    char *from = *target + scheme;
    size_t len = strcspn(from, "/?");
    memmove(*target, from, len);
    (*target)[len] = '\0';
    self->authority = place_of(self, *target);
    if (!is_host(*target))
        return "http-host";
    *target = from + len;
    if (**target !=
        '/') /* "http://host", "http://host?q": the path is "/"; there is room before it */
        *--*target = '/';
    return NULL;
}

static const char *split_target(struct http_head *self, char *target)
{
    for (const char *at = target; *at; at++)
        if (!is_target_char(*at))
            return "http-target-character";
    if (strcmp(target, "*") == 0 && strcmp(self->method, "OPTIONS") == 0) {
        self->path = place_of(self, target);
        self->query = self->path + 1;
        return NULL;
    }
    const char *bad = *target == '/' ? NULL : split_absolute(self, &target);
    if (bad)
        return bad;
    self->path = place_of(self, target);
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    else
        query = target + strlen(target);
    self->query = place_of(self, query);
    if (!chars_escapes_ok(query, strlen(query)))
        return "http-escape";
    return check_path(target);
}

static const char *check_version(struct http_head *self, const char *text)
{
    if (strlen(text) != 8 || strncmp(text, "HTTP/", 5) != 0 || text[6] != '.')
        return "http-request-line";
    if (text[5] != '1' || (text[7] != '0' && text[7] != '1'))
        return "http-version";
    self->minor = text[7] == '1';
    return NULL;
}

const char *http_head_request_line(struct http_head *self, size_t start)
{
    buf_putc(&self->text, '\0');
    char *line = self->text.data + start;
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version)
        return "http-request-line";
    *target++ = '\0';
    *version++ = '\0';
    const char *bad = check_version(self, version);
    if (bad)
        return bad;
    size_t len = strlen(line);
    if (!chars_are_token(line, len))
        return "http-method";
    if (len > HTTP_METHOD_MAX)
        return "http-method-unknown";
    memcpy(self->method, line, len + 1);
    return split_target(self, target);
}

/* ---- headers ------------------------------------------------------------------------------ */

const char *http_head_field(struct http_head *self, size_t start, size_t fields_max)
{
    if (self->field_count == fields_max || self->field_count == HTTP_FIELDS_MAX)
        return "http-too-many-headers";
    buf_putc(&self->text, '\0');
    char *line = self->text.data + start;
    if (*line == ' ' || *line == '\t')
        return "http-folded-header";
    char *colon = strchr(line, ':');
    if (!colon)
        return "http-header";
    if (colon > line && (colon[-1] == ' ' || colon[-1] == '\t'))
        return "http-blank-before-colon";
    size_t len = (size_t)(colon - line);
    if (!chars_are_token(line, len))
        return "http-header";
    *colon = '\0';
    chars_lower_all(line, len);
    struct http_field *field = &self->fields[self->field_count++];
    field->name = place_of(self, line);
    field->value = place_of(self, http_trim(colon + 1));
    return NULL;
}

const char *http_head_value(const struct http_head *self, const char *name)
{
    for (size_t i = 0; i < self->field_count; i++)
        if (strcmp(http_head_text(self, self->fields[i].name), name) == 0)
            return http_head_text(self, self->fields[i].value);
    return NULL;
}

static size_t count_of(const struct http_head *self, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < self->field_count; i++)
        count += strcmp(http_head_text(self, self->fields[i].name), name) == 0;
    return count;
}

static const char *judge_host(struct http_head *self)
{
    size_t count = count_of(self, "host");
    if (count == 0 && self->minor == 1)
        return "http-host-missing";
    if (count > 1)
        return "http-host-twice";
    const char *host = http_head_value(self, "host");
    if (host && !is_host(host))
        return "http-host";
    /* RFC 9112 section 3.2.2: an absolute target overrules the header. */
    if (self->authority)
        self->host = self->authority;
    else
        self->host = host ? place_of(self, host)
                          : self->query + (uint32_t)strlen(http_head_text(self, self->query));
    return NULL;
}

static const char *judge_length(struct http_head *self)
{
    const char *text = http_head_value(self, "content-length");
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != '\0')
        return "http-content-length";
    uint64_t value = 0;
    for (const char *at = text; *at; at++) {
        if (value > (uint64_t)INT64_MAX / 10 - 1)
            return "http-content-length";
        value = value * 10 + (uint64_t)(*at - '0');
    }
    self->content_length = (int64_t)value;
    return NULL;
}

static const char *judge_framing(struct http_head *self)
{
    size_t lengths = count_of(self, "content-length");
    size_t codings = count_of(self, "transfer-encoding");
    if (lengths > 1)
        return "http-content-length-twice";
    if (lengths && codings)
        return "http-length-and-encoding";
    if (lengths)
        return judge_length(self);
    if (codings == 0)
        return NULL;
    /* RFC 9112 section 6.1: 1.0 knows no codings, so whoever sent this does not know what it sends.
     */
    if (codings > 1 || self->minor == 0 ||
        !chars_same(http_head_value(self, "transfer-encoding"), "chunked"))
        return "http-transfer-encoding";
    self->chunked = true;
    return NULL;
}

static bool connection_has(const struct http_head *self, const char *option)
{
    for (size_t i = 0; i < self->field_count; i++) {
        if (strcmp(http_head_text(self, self->fields[i].name), "connection") != 0)
            continue;
        const char *at = http_head_text(self, self->fields[i].value);
        while (*at) {
            at += strspn(at, " \t,");
            size_t len = strcspn(at, " \t,");
            if (len > 0 && chars_same_n(at, len, option))
                return true;
            at += len;
        }
    }
    return false;
}

const char *http_head_finish(struct http_head *self)
{
    const char *bad = judge_host(self);
    if (!bad)
        bad = judge_framing(self);
    if (bad)
        return bad;
    self->keep_alive =
        self->minor == 1 ? !connection_has(self, "close") : connection_has(self, "keep-alive");
    const char *expect = http_head_value(self, "expect");
    if (expect && self->minor == 1) {
        if (count_of(self, "expect") > 1 || !chars_same(expect, "100-continue"))
            return "http-expect";
        self->expects_continue = self->chunked || self->content_length > 0;
    }
    return NULL;
}
