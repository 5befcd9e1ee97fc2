/* target: where a client of the proxy wants to go, and the lists of where it may. Pure. */
#ifndef EGRESS_TARGET_H
#define EGRESS_TARGET_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EGRESS_HOST_MAX 253

struct egress_target {
    char host[EGRESS_HOST_MAX + 1]; /* a name or an address, in lower case, without [] and "." */
    uint16_t port;
};

/* Reads "host:port" or "[::1]:port" of `len` bytes; a port may be left out where `default_port` is
 * not 0. False for anything else: scopes, user parts, characters that no name has. */
bool egress_target_parse(struct egress_target *self, const char *text, size_t len,
                         uint16_t default_port);

/* Appends "host:port", an IPv6 address in brackets. */
void egress_target_put(const struct egress_target *self, struct buf *out);

/* Hosts that are allowed. Port 0 stands for 80 and 443. */
struct egress_places {
    struct egress_target *items;
    size_t count;
    size_t capacity;
};

void egress_places_add(struct egress_places *self, const struct egress_target *place);

/* Adds the host of every http and https URL that stands in a text, whatever stands between. */
void egress_places_add_urls(struct egress_places *self, const char *text);

/* Adds what an operator wrote: HOST or HOST:PORT. Errors: ERR_INVALID. */
int egress_places_add_text(struct egress_places *self, const char *text,
                           struct err *err) ERR_CHECKED;

bool egress_places_have(const struct egress_places *self, const struct egress_target *target);
void egress_places_fini(struct egress_places *self);

#endif
