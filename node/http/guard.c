#include "node/http/guard.h"

#include "node/http/chars.h"

#include <arpa/inet.h>
#include <string.h>

static size_t name_len(const char *host)
{
    if (*host == '[') {
        const char *end = strchr(host, ']');
        return end ? (size_t)(end - host) + 1 : 0;
    }
    return strcspn(host, ":");
}

static bool is_literal(const char *host, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    bool is_six = *host == '[';
    if (is_six) {
        host++;
        len = len > 2 ? len - 2 : 0;
    }
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(is_six ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool is_localhost(const char *host, size_t len)
{
    static const char suffix[] = ".localhost"; /* RFC 6761: never anybody else */
    size_t tail = sizeof suffix - 1;
    return chars_same_n(host, len, "localhost") ||
           (len > tail && chars_same_n(host + len - tail, tail, suffix));
}

static bool is_listed(const char *text, size_t len, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(*list, "*") == 0 || chars_same_n(text, len, *list))
            return true;
    return false;
}

bool guard_host_ok(const char *host, const char *const *hosts)
{
    size_t len = name_len(host);
    if (*host == '\0')
        return true; /* HTTP/1.0 without Host: no browser */
    if (len > 1 && host[len - 1] == '.')
        len--;
    return is_literal(host, len) || is_localhost(host, len) || is_listed(host, len, hosts);
}

/* "name[:port]" without a port that the scheme implies. */
static size_t bare_len(const char *host)
{
    size_t name = name_len(host);
    const char *port = host + name;
    return strcmp(port, ":80") == 0 || strcmp(port, ":443") == 0 ? name : strlen(host);
}

static bool is_same_host(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");
    if (!authority)
        return false; /* "null" */
    authority += 3;
    size_t len = bare_len(authority);
    return len == bare_len(host) && strncasecmp(authority, host, len) == 0;
}

bool guard_origin_ok(const char *origin, const char *fetch_site, const char *host,
                     const char *const *origins)
{
    if (origin && is_listed(origin, strlen(origin), origins))
        return true;
    if (fetch_site)
        return strcmp(fetch_site, "same-origin") == 0 || strcmp(fetch_site, "none") == 0;
    return !origin || is_same_host(origin, host);
}

bool guard_is_safe(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "OPTIONS") == 0;
}
