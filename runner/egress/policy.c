#include "runner/egress/policy.h"

#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Ranges that only this machine's link has, and where clouds tell a machine its secrets. An address
 * of IPv4 that IPv6 carries through a translator (RFC 6052) is what it carries. */
static const struct range {
    uint8_t family;
    uint8_t bits;
    uint8_t ip[16];
} local_ranges[] = {
    {4, 16, {169, 254}},
    {4, 32, {100, 100, 100, 200}},
    {4, 32, {168, 63, 129, 16}},
    {6, 10, {0xfe, 0x80}},
    {6, 128, {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}},
    {6, 128, {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}},
};

static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};

static bool is_in(const struct range *range, const struct wire_addr *addr)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (range->family != addr->family || memcmp(range->ip, addr->ip, whole) != 0)
        return false;
    return rest == 0 || (range->ip[whole] ^ addr->ip[whole]) >> (8 - rest) == 0;
}

static struct wire_addr carried(const struct wire_addr *addr)
{
    if (addr->family == 6 && memcmp(addr->ip, translated, sizeof translated) == 0)
        return wire_addr_v4(addr->ip + sizeof translated, addr->port);
    return *addr;
}

static bool is_link_local(const struct wire_addr *addr)
{
    for (size_t i = 0; i < countof(local_ranges); i++)
        if (is_in(&local_ranges[i], addr))
            return true;
    return false;
}

/* 0.0.0.0 and "::" are a way to say "here". */
static bool is_any(const struct wire_addr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->ip, zero, sizeof zero) == 0;
}

static bool is_own_port(const struct egress_own *own, uint16_t port)
{
    for (size_t i = 0; i < own->count; i++)
        if (own->ports[i] == port)
            return true;
    return false;
}

static bool is_public(const struct wire_addr *addr, const struct git_networks *also)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v4.sin_addr, addr->ip, sizeof v4.sin_addr);
    memcpy(&v6.sin6_addr, addr->ip, sizeof v6.sin6_addr);
    const void *either = addr->family == 4 ? (const void *)&v4 : (const void *)&v6;
    return git_address_is_allowed(either, also);
}

enum egress_verdict egress_policy_address(const struct egress_policy *self,
                                          const struct egress_own *own,
                                          const struct wire_addr *addr, bool is_here)
{
    struct wire_addr at = carried(addr);
    bool is_loopback = wire_addr_is_loopback(&at) || is_any(&at);
    if ((is_here || is_loopback) && is_own_port(own, at.port))
        return EGRESS_OWN;
    if (self->public_only)
        return is_public(addr, &self->also) ? EGRESS_FINE : EGRESS_NOT_PUBLIC;
    return is_link_local(&at) ? EGRESS_LINK_LOCAL : EGRESS_FINE;
}

/* RFC 6761: such names are the loopback's, whatever a server says. */
static bool is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t len = strlen(host), end = sizeof name - 1;
    return len >= end && strcmp(host + len - end, name) == 0 &&
           (len == end || host[len - end - 1] == '.');
}

bool egress_target_address(const struct egress_target *target, struct wire_addr *out)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    struct in_addr v4;
    uint8_t v6[16];
    if (inet_aton(target->host, &v4))
        *out = wire_addr_v4((const uint8_t *)&v4, target->port);
    else if (inet_pton(AF_INET6, target->host, v6) == 1)
        *out = wire_addr_v6(v6, target->port);
    else if (is_localhost(target->host))
        *out = wire_addr_v4(loopback, target->port);
    else
        return false;
    return true;
}

enum egress_verdict egress_policy_target(const struct egress_policy *self,
                                         const struct egress_own *own,
                                         const struct egress_target *target, bool is_here)
{
    struct wire_addr addr;
    bool is_number = egress_target_address(target, &addr);
    enum egress_verdict verdict =
        is_number ? egress_policy_address(self, own, &addr, is_here) : EGRESS_FINE;
    if (verdict == EGRESS_OWN || verdict == EGRESS_LINK_LOCAL)
        return verdict;
    return egress_places_have(&self->places, target) ? verdict : EGRESS_NOT_ALLOWED;
}

static const struct {
    const char *reason;
    const char *words;
} verdicts[] = {
    [EGRESS_FINE] = {"", ""},
    [EGRESS_NOT_ALLOWED] = {"egress-host", "that host is not an index of this node"},
    [EGRESS_OWN] = {"egress-own", "that is this node itself"},
    [EGRESS_LINK_LOCAL] = {"egress-link-local",
                           "that address is for this machine and its link alone"},
    [EGRESS_NOT_PUBLIC] = {"egress-address", "that address is not a public one"},
};

const char *egress_verdict_reason(enum egress_verdict verdict) { return verdicts[verdict].reason; }
const char *egress_verdict_words(enum egress_verdict verdict) { return verdicts[verdict].words; }
