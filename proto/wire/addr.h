/* addr: where a node listens. Numbers only: names are resolved at the edge, never here. */
#ifndef WIRE_ADDR_H
#define WIRE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

/* "[ffff:…:255.255.255.255]:65535" and its zero. */
#define WIRE_ADDR_TEXT 56

/* An IPv4 address uses the first 4 bytes of `ip`, the rest is zero. An IPv4 address mapped into
 * IPv6 (::ffff:a.b.c.d) is never kept as such: every way in turns it into the plain one, so that
 * one place has one value. */
struct wire_addr {
    uint8_t ip[16];
    uint16_t port;  /* host order */
    uint8_t family; /* 4, 6, or 0 for none */
};

/* Make one from network-order bytes (4 or 16). */
struct wire_addr wire_addr_v4(const uint8_t ip[4], uint16_t port);
struct wire_addr wire_addr_v6(const uint8_t ip[16], uint16_t port);

static inline bool wire_addr_is_set(const struct wire_addr *self) { return self->family != 0; }

/* A total order: family, address, port. 0 when equal. */
int wire_addr_compare(const struct wire_addr *a, const struct wire_addr *b);

/* Reads "192.0.2.7:5001" or "[2001:db8::7]:5001"; the port is 1 … 65535. False for anything else:
 * names, scopes (%eth0), spaces. */
bool wire_addr_parse(const char *text, struct wire_addr *out);

/* Writes the form that wire_addr_parse() reads; "-" for none. Returns `out`. */
char *wire_addr_format(const struct wire_addr *self, char out[WIRE_ADDR_TEXT]);

/* 127.0.0.0/8 or ::1. */
bool wire_addr_is_loopback(const struct wire_addr *self);

#endif
