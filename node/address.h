/* address: what a node tells others of where it is. */
#ifndef NODE_ADDRESS_H
#define NODE_ADDRESS_H

#include "proto/base/err.h"
#include "proto/wire/addr.h"

#include <stdbool.h>

/* Says whether "HOST:PORT" is on this machine alone, by number or as localhost: a name like
 * 127.example.org must not pass for an address. */
bool address_is_loopback(const char *address);

/* Returns "HOST:PORT" with another port; owned. An address without one gets it. */
char *address_with_port(const char *address, uint16_t port);

/* Finds the numeric address under which other nodes reach "HOST:PORT" (port 0: `port`). Of every
 * address (0.0.0.0, [::], none) it is the one that this machine speaks from. Names are looked up,
 * which blocks. Errors: ERR_INVALID. */
int address_resolve(const char *address, uint16_t port, struct wire_addr *out,
                    struct err *err) ERR_CHECKED;

#endif
