#include "proto/wire/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct wire_addr wire_addr_v4(const uint8_t ip[4], uint16_t port)
{
    struct wire_addr self = {.family = 4, .port = port};
    memcpy(self.ip, ip, 4);
    return self;
}

struct wire_addr wire_addr_v6(const uint8_t ip[16], uint16_t port)
{
    if (memcmp(ip, mapped, sizeof mapped) == 0)
        return wire_addr_v4(ip + sizeof mapped, port);
    struct wire_addr self = {.family = 6, .port = port};
    memcpy(self.ip, ip, 16);
    return self;
}

int wire_addr_compare(const struct wire_addr *a, const struct wire_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int order = memcmp(a->ip, b->ip, sizeof a->ip);
    if (order)
        return order;
    return (a->port > b->port) - (a->port < b->port);
}

/* Digits only, 1 to 65535, no leading zero. */
static bool parse_port(const char *text, uint16_t *out)
{
    uint32_t port = 0;
    if (*text == '0')
        return false;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && at - text < 5; at++)
        port = port * 10 + (uint32_t)(*at - '0');
    if (*at || at == text || port > UINT16_MAX)
        return false;
    *out = (uint16_t)port;
    return true;
}

bool wire_addr_parse(const char *text, struct wire_addr *out)
{
    *out = (struct wire_addr){0};
    char host[WIRE_ADDR_TEXT];
    bool six = *text == '[';
    const char *begin = text + six;
    const char *end = strchr(begin, six ? ']' : ':');
    if (!end || (size_t)(end - begin) >= sizeof host)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    end += six;
    uint8_t ip[16];
    uint16_t port;
    if (*end != ':' || !parse_port(end + 1, &port) ||
        inet_pton(six ? AF_INET6 : AF_INET, host, ip) != 1)
        return false;
    *out = six ? wire_addr_v6(ip, port) : wire_addr_v4(ip, port);
    return true;
}

char *wire_addr_format(const struct wire_addr *self, char out[WIRE_ADDR_TEXT])
{
    char host[INET6_ADDRSTRLEN];
    bool six = self->family == 6;
    if (!wire_addr_is_set(self) ||
        !inet_ntop(six ? AF_INET6 : AF_INET, self->ip, host, sizeof host))
        return strcpy(out, "-");
    snprintf(out, WIRE_ADDR_TEXT, six ? "[%s]:%u" : "%s:%u", host, self->port);
    return out;
}

bool wire_addr_is_loopback(const struct wire_addr *self)
{
    static const uint8_t one[16] = {[15] = 1};
    if (self->family == 4)
        return self->ip[0] == 127;
    return self->family == 6 && memcmp(self->ip, one, sizeof one) == 0;
}
