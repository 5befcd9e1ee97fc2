#include "runner/git/address.h"

#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define V4(a, b, c, d, n)                                                                          \
    {                                                                                              \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + (n)                           \
    }
#define V6(a, b, c, d, n)                                                                          \
    {                                                                                              \
        {(a) >> 8, (a)&0xff, (b) >> 8, (b)&0xff, (c) >> 8, (c)&0xff, (d) >> 8, (d)&0xff}, (n)      \
    }

/* What is not public unicast within the two ranges that are looked at at all: IPv4, and 2000::/3.
 */
static const struct git_network special[] = {
    V4(0, 0, 0, 0, 8),
    V4(10, 0, 0, 0, 8),
    V4(100, 64, 0, 0, 10),
    V4(127, 0, 0, 0, 8),
    V4(169, 254, 0, 0, 16),
    V4(172, 16, 0, 0, 12),
    V4(192, 0, 0, 0, 24),
    V4(192, 0, 2, 0, 24),
    V4(192, 31, 196, 0, 24),
    V4(192, 52, 193, 0, 24),
    V4(192, 88, 99, 0, 24),
    V4(192, 168, 0, 0, 16),
    V4(192, 175, 48, 0, 24),
    V4(198, 18, 0, 0, 15),
    V4(198, 51, 100, 0, 24),
    V4(203, 0, 113, 0, 24),
    V4(224, 0, 0, 0, 3),             /* multicast, reserved, broadcast */
    V6(0x2001, 0, 0, 0, 23),         /* Teredo, ORCHID, benchmarks */
    V6(0x2001, 0xdb8, 0, 0, 32),     /* documentation */
    V6(0x2002, 0, 0, 0, 16),         /* 6to4 */
    V6(0x2620, 0x4f, 0x8000, 0, 48), /* AS112 */
    V6(0x3fff, 0, 0, 0, 20),         /* documentation */
};

static const struct git_network v4 = V4(0, 0, 0, 0, 0);
static const struct git_network v6_unicast = V6(0x2000, 0, 0, 0, 3);

static bool contains(const struct git_network *self, const uint8_t bytes[16])
{
    unsigned whole = self->bits / 8, rest = self->bits % 8;
    if (memcmp(self->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || (self->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static bool is_in(const uint8_t bytes[16], const struct git_network *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (contains(&list[i], bytes))
            return true;
    return false;
}

static void map_v4(uint8_t out[16], const struct in_addr *from)
{
    memcpy(out, v4.bytes, 12);
    memcpy(out + 12, from, 4);
}

int git_network_parse(struct git_network *self, const char *text, struct err *err)
{
    char address[INET6_ADDRSTRLEN];
    struct in_addr in;
    size_t len = strcspn(text, "/");
    bool is_v4 = false;
    *self = (struct git_network){0};
    if (len < sizeof address) {
        memcpy(address, text, len);
        address[len] = '\0';
        is_v4 = inet_pton(AF_INET, address, &in) == 1;
    }
    if (is_v4)
        map_v4(self->bytes, &in);
    else if (len >= sizeof address || inet_pton(AF_INET6, address, self->bytes) != 1)
        return err_set(err, ERR_INVALID, "%.100s: must be an address, or ADDRESS/BITS", text);
    unsigned most = is_v4 ? 32 : 128, bits = most;
    if (text[len] == '/') {
        const char *at = text + len + 1;
        bits = 0;
        for (; *at >= '0' && *at <= '9' && bits <= most; at++)
            bits = bits * 10 + (unsigned)(*at - '0');
        if (*at || bits > most || at == text + len + 1)
            return err_set(err, ERR_INVALID, "%.100s: must be ADDRESS/BITS, of %u bits at most",
                           text, most);
    }
    self->bits = bits + (is_v4 ? 96 : 0);
    return 0;
}

bool git_address_is_allowed(const struct sockaddr *address, const struct git_networks *also)
{
    uint8_t bytes[16];
    if (address->sa_family == AF_INET)
        map_v4(bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
    else if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    else
        return false;
    if (also && is_in(bytes, also->items, also->count))
        return true;
    /* A mapped address is not a way around the list of IPv4: it is read as what it carries. */
    return (contains(&v4, bytes) || contains(&v6_unicast, bytes)) &&
           !is_in(bytes, special, countof(special));
}
