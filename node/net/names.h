/* names: looks names up without blocking. */
#ifndef NODE_NET_NAMES_H
#define NODE_NET_NAMES_H

#include "node/net/net.h"

struct names;

/* `server` like "127.0.0.1:53" is asked in place of the system's; NULL for those. Copies. */
struct names *names_new(struct event_base *base, const char *server);

/* Forgets what is asked: no `done` is called. */
void names_free(struct names *self_owned);

/* See net_resolve(). */
int names_resolve(struct names *self, const char *text, uint16_t default_port,
                  net_resolved_fn *done, void *arg, struct err *err) ERR_CHECKED;

/* Names that had no address. */
uint64_t names_failed(const struct names *self);

#endif
