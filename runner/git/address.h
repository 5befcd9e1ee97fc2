/* address: which addresses a repository's host may have.
 *
 * Public unicast only (RFC 6890 and the IANA registries of special addresses), and what the
 * operator allows besides. An address that carries another one (mapped, NAT64, 6to4, Teredo) counts
 * as the special range that it is. */
#ifndef GIT_ADDRESS_H
#define GIT_ADDRESS_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* An address and how many of its bits count; IPv4 as ::ffff:a.b.c.d. */
struct git_network {
    uint8_t bytes[16];
    unsigned bits;
};

struct git_networks {
    const struct git_network *items;
    size_t count;
};

/* Reads "10.0.0.0/8", "fd00::/8", or an address alone. Errors: ERR_INVALID. */
int git_network_parse(struct git_network *self, const char *text, struct err *err) ERR_CHECKED;

/* Borrows all. `also` may be NULL. */
bool git_address_is_allowed(const struct sockaddr *address, const struct git_networks *also);

#endif
