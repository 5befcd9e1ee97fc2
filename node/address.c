#include "node/address.h"

#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Any address that is not ours: nothing is sent there, the kernel only chooses a route. */
#define FAR_AWAY_V4 "192.0.2.1" /* RFC 5737 */
#define FAR_AWAY_V6 "2001:db8::1"

/* The length of what stands before the port. */
static size_t host_len(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon ? (size_t)(colon - address) : strlen(address);
}

char *address_with_port(const char *address, uint16_t port)
{
    return mem_printf("%.*s:%u", (int)host_len(address), address, port);
}

/* Splits "HOST:PORT"; brackets are taken off. Returns the host, owned. */
static char *split(const char *address, uint16_t *port)
{
    size_t len = host_len(address);
    const char *colon = address[len] ? address + len : NULL;
    unsigned long number = colon ? strtoul(colon + 1, NULL, 10) : 0;
    if (number > 0 && number <= UINT16_MAX)
        *port = (uint16_t)number;
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']')
        return mem_strndup(address + 1, len - 2);
    return mem_strndup(address, len);
}

bool address_is_loopback(const char *address)
{
    struct in_addr ip;
    uint16_t port = 0;
    owned_mem char *host = split(address, &port);
    if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
        return true;
    return inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void to_wire(const struct sockaddr *from, uint16_t port, struct wire_addr *out)
{
    if (from->sa_family == AF_INET)
        *out = wire_addr_v4((const uint8_t *)&((const struct sockaddr_in *)from)->sin_addr, port);
    else
        *out = wire_addr_v6(((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr, port);
}

/* The source address that a packet to the far end would carry; the loopback where there is no route
 * to anywhere: then a mesh on this machine is all that can be. */
static struct wire_addr own_address(int family, uint16_t port)
{
    static const uint8_t loopback[4] = {IN_LOOPBACKNET, 0, 0, 1};
    struct wire_addr own = wire_addr_v4(loopback, port);
    struct sockaddr_storage addr = {.ss_family = (sa_family_t)family};
    socklen_t len = sizeof addr;
    owned_fd int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (family == AF_INET) {
        struct sockaddr_in *to = (struct sockaddr_in *)&addr;
        to->sin_port = htons(9);
        (void)inet_pton(AF_INET, FAR_AWAY_V4, &to->sin_addr);
    } else {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)&addr;
        to->sin6_port = htons(9);
        (void)inet_pton(AF_INET6, FAR_AWAY_V6, &to->sin6_addr);
    }
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 &&
        getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
        to_wire((struct sockaddr *)&addr, port, &own);
    return own;
}

int address_resolve(const char *address, uint16_t port, struct wire_addr *out, struct err *err)
{
    owned_mem char *host = split(address, &port);
    if (host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        *out = own_address(strcmp(host, "::") == 0 ? AF_INET6 : AF_INET, port);
        return 0;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    if (strcmp(host, "localhost") == 0)
        hints.ai_family = AF_INET;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc)
        return err_set(err, ERR_INVALID, "%s: %s", host, gai_strerror(rc));
    to_wire(found->ai_addr, port, out);
    freeaddrinfo(found);
    return 0;
}
