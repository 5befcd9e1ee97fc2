#include "runner/egress/upstream.h"

#include "proto/base/mem.h"
#include "runner/egress/policy.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX  4096
#define PROXY_PORT 80

enum serves { SERVES_HTTPS = 1, SERVES_HTTP = 2 };

/* In the order of belief: what is named for one kind goes before what is named for all. */
static const struct variable {
    const char *name;
    unsigned serves;
} variables[] = {
    {"PIP_PROXY", SERVES_HTTPS | SERVES_HTTP},
    {"HTTPS_PROXY", SERVES_HTTPS},
    {"https_proxy", SERVES_HTTPS},
    {"HTTP_PROXY", SERVES_HTTP},
    {"http_proxy", SERVES_HTTP},
    {"ALL_PROXY", SERVES_HTTPS | SERVES_HTTP},
    {"all_proxy", SERVES_HTTPS | SERVES_HTTP},
};

static const char *find(const char *const *environ_, const char *name)
{
    size_t len = strlen(name);
    for (; *environ_; environ_++)
        if (strncmp(*environ_, name, len) == 0 && (*environ_)[len] == '=')
            return (*environ_)[len + 1] ? *environ_ + len + 1 : NULL;
    return NULL;
}

bool egress_is_proxy_variable(const char *variable)
{
    static const char *const no[] = {"NO_PROXY", "no_proxy"};
    size_t len = strcspn(variable, "=");
    for (size_t i = 0; i < countof(variables); i++)
        if (strlen(variables[i].name) == len && strncmp(variable, variables[i].name, len) == 0)
            return true;
    for (size_t i = 0; i < countof(no); i++)
        if (strlen(no[i]) == len && strncmp(variable, no[i], len) == 0)
            return true;
    return false;
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* "Basic …" of a URL's user part, whose percent escapes are undone. Returns owned. */
static char *authorization_of(const char *user, size_t len)
{
    owned_buf plain = BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        bool is_escape =
            user[i] == '%' && i + 2 < len && hex(user[i + 1]) >= 0 && hex(user[i + 2]) >= 0;
        buf_putc(&plain, is_escape ? (char)(hex(user[i + 1]) * 16 + hex(user[i + 2])) : user[i]);
        i += is_escape ? 2 : 0;
    }
    if (!memchr(buf_str(&plain), ':', plain.len))
        buf_putc(&plain, ':');
    size_t room = sodium_base64_encoded_len(plain.len, sodium_base64_VARIANT_ORIGINAL);
    owned_mem char *text = mem_new(room);
    sodium_bin2base64(text, room, (const unsigned char *)plain.data, plain.len,
                      sodium_base64_VARIANT_ORIGINAL);
    return mem_printf("Basic %s", text);
}

static bool take_upstream(struct egress_upstream *self, const char *value)
{
    static const char scheme[] = "http://";
    if (strncasecmp(value, scheme, sizeof scheme - 1) == 0)
        value += sizeof scheme - 1;
    else if (strstr(value, "://"))
        return false;
    size_t len = strcspn(value, "/?#");
    const char *host = value;
    for (size_t i = len; i > 0 && host == value; i--)
        if (value[i - 1] == '@')
            host = value + i;
    size_t user = host > value ? (size_t)(host - value) - 1 : 0;
    self->is_set = egress_target_parse(&self->at, host, len - (size_t)(host - value), PROXY_PORT);
    if (self->is_set && user)
        self->authorization = authorization_of(value, user);
    return self->is_set;
}

int egress_upstreams_init(struct egress_upstreams *self, const char *const *environ_,
                          struct err *err)
{
    struct egress_upstream *const both[] = {&self->https, &self->http};
    int rc = 0;
    *self = (struct egress_upstreams){.exceptions = NULL};
    for (size_t i = 0; i < countof(variables); i++) {
        const char *value = find(environ_, variables[i].name);
        for (unsigned kind = 0; value && kind < countof(both); kind++) {
            if (!(variables[i].serves & (1u << kind)) || both[kind]->is_set)
                continue;
            if (strlen(value) > VALUE_MAX || !take_upstream(both[kind], value)) {
                rc = err_set(err, ERR_INVALID, "%s: must be http://HOST:PORT", variables[i].name);
                *both[kind] = (struct egress_upstream){.is_set = true};
            }
        }
    }
    const char *exceptions = find(environ_, "NO_PROXY");
    if (!exceptions)
        exceptions = find(environ_, "no_proxy");
    if (exceptions && strlen(exceptions) <= VALUE_MAX)
        self->exceptions = mem_strdup(exceptions);
    return rc;
}

void egress_upstreams_fini(struct egress_upstreams *self)
{
    free(self->https.authorization);
    free(self->http.authorization);
    free(self->exceptions);
    *self = (struct egress_upstreams){.exceptions = NULL};
}

/* ---- exceptions ---- */

static bool is_in_network(const char *item, const struct egress_target *target)
{
    struct git_network network;
    struct wire_addr addr;
    if (!strchr(item, '/') || !egress_target_address(target, &addr) ||
        git_network_parse(&network, item, NULL))
        return false;
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    if (addr.family == 4)
        memcpy(bytes + 12, addr.ip, 4);
    else
        memcpy(bytes, addr.ip, 16);
    unsigned whole = network.bits / 8, rest = network.bits % 8;
    return memcmp(bytes, network.bytes, whole) == 0 &&
           (rest == 0 || (bytes[whole] ^ network.bytes[whole]) >> (8 - rest) == 0);
}

/* "example.org" stands for itself and for what is below. */
static bool is_exception(const char *item, const struct egress_target *target)
{
    struct egress_target want;
    if (strcmp(item, "*") == 0)
        return true;
    if (is_in_network(item, target))
        return true;
    if (*item == '*')
        item++;
    if (*item == '.')
        item++;
    struct wire_addr addr;
    bool has_port = egress_target_parse(&want, item, strlen(item), 0);
    owned_mem char *bare = mem_printf("[%s]", item); /* of IPv6, without its brackets */
    if (!has_port && !egress_target_parse(&want, item, strlen(item), target->port) &&
        !egress_target_parse(&want, bare, strlen(bare), target->port))
        return false;
    if (has_port && want.port != target->port)
        return false;
    if (strcmp(want.host, target->host) == 0)
        return true;
    size_t len = strlen(target->host), end = strlen(want.host);
    return !egress_target_address(target, &addr) && len > end + 1 &&
           target->host[len - end - 1] == '.' && strcmp(target->host + len - end, want.host) == 0;
}

static bool is_direct(const char *list, const struct egress_target *target)
{
    for (const char *at = list; *at; at += strcspn(at, ", \t")) {
        at += strspn(at, ", \t");
        owned_mem char *item = mem_strndup(at, strcspn(at, ", \t"));
        if (*item && is_exception(item, target))
            return true;
    }
    return false;
}

const struct egress_upstream *egress_upstreams_for(const struct egress_upstreams *self,
                                                   const struct egress_target *target,
                                                   bool is_tunnel)
{
    const struct egress_upstream *upstream = is_tunnel ? &self->https : &self->http;
    if (!upstream->is_set || (self->exceptions && is_direct(self->exceptions, target)))
        return NULL;
    return upstream;
}
