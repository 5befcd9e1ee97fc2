#include "runner/egress/target.h"

#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <string.h>

#define PLACES_MAX 256

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool is_name_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

/* Digits only, 1 to 65535. */
static bool parse_port(const char *text, size_t len, uint16_t *out)
{
    uint32_t port = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]))
            return false;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *out = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

/* Copies a host in lower case, of characters that its kind has. */
static bool take_host(struct egress_target *self, const char *text, size_t len, bool is_v6)
{
    struct in6_addr v6;
    if (!is_v6 && len > 1 && text[len - 1] == '.')
        len--;
    if (len == 0 || len > EGRESS_HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        self->host[i] = lower(text[i]);
        if (!is_v6 && !is_name_char(self->host[i]))
            return false;
    }
    self->host[len] = '\0';
    if (is_v6)
        return strlen(self->host) == len && inet_pton(AF_INET6, self->host, &v6) == 1;
    return self->host[0] != '.' && self->host[0] != '-' && self->host[len - 1] != '.' &&
           !strstr(self->host, "..");
}

bool egress_target_parse(struct egress_target *self, const char *text, size_t len,
                         uint16_t default_port)
{
    *self = (struct egress_target){.port = default_port};
    bool is_v6 = len > 0 && text[0] == '[';
    const char *start = text + is_v6;
    const char *end = memchr(start, is_v6 ? ']' : ':', len - is_v6);
    if (is_v6 && !end)
        return false;
    const char *rest = end ? end + is_v6 : text + len;
    size_t left = (size_t)(text + len - rest);
    if (!take_host(self, start, (size_t)((end ? end : text + len) - start), is_v6))
        return false;
    if (left == 0)
        return default_port != 0;
    return rest[0] == ':' && parse_port(rest + 1, left - 1, &self->port);
}

void egress_target_put(const struct egress_target *self, struct buf *out)
{
    bool is_v6 = strchr(self->host, ':') != NULL;
    buf_printf(out, is_v6 ? "[%s]:%u" : "%s:%u", self->host, self->port);
}

void egress_places_add(struct egress_places *self, const struct egress_target *place)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].port == place->port && strcmp(self->items[i].host, place->host) == 0)
            return;
    if (self->count == PLACES_MAX)
        return;
    self->items = mem_grow(self->items, &self->capacity, self->count + 1, sizeof *self->items);
    self->items[self->count++] = *place;
}

/* The port of the URL whose "://" stands at `at`; 0 for other schemes. */
static uint16_t scheme_port(const char *text, const char *at)
{
    size_t before = (size_t)(at - text);
    if (before >= 5 && strncmp(at - 5, "https", 5) == 0)
        return 443;
    return before >= 4 && strncmp(at - 4, "http", 4) == 0 ? 80 : 0;
}

void egress_places_add_urls(struct egress_places *self, const char *text)
{
    const char *at = text;
    while ((at = strstr(at, "://")) != NULL) {
        uint16_t port = scheme_port(text, at);
        at += 3;
        size_t len = strcspn(at, "/?#, \t\r\n\"'");
        const char *host = at;
        for (size_t i = len; i > 0 && host == at; i--)
            if (at[i - 1] == '@')
                host = at + i;
        struct egress_target place;
        if (port && egress_target_parse(&place, host, len - (size_t)(host - at), port))
            egress_places_add(self, &place);
    }
}

int egress_places_add_text(struct egress_places *self, const char *text, struct err *err)
{
    struct egress_target place;
    size_t len = strlen(text);
    bool has_port = egress_target_parse(&place, text, len, 0);
    if (!has_port && !egress_target_parse(&place, text, len, 443))
        return err_set(err, ERR_INVALID, "%.100s: must be HOST or HOST:PORT", text);
    if (!has_port)
        place.port = 0;
    egress_places_add(self, &place);
    return 0;
}

bool egress_places_have(const struct egress_places *self, const struct egress_target *target)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct egress_target *place = &self->items[i];
        bool is_port =
            place->port ? place->port == target->port : target->port == 80 || target->port == 443;
        if (is_port && strcmp(place->host, target->host) == 0)
            return true;
    }
    return false;
}

void egress_places_fini(struct egress_places *self)
{
    free(self->items);
    *self = (struct egress_places){0};
}
