/* way_out: the node's proxy for what installs and what fetches (runner/egress): looks names up,
 * and knows the node's own ports. */
#ifndef NODE_WAY_OUT_H
#define NODE_WAY_OUT_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct egress;
struct event_base;
struct names;

struct way_out {
    struct event_base *base;
    struct egress *egress;
    struct names *names;
    struct timespec servers_changed; /* /etc/resolv.conf, when `names` read it */
    unsigned asked;                  /* names that are not answered yet */
};

/* The operator's proxies are taken from the environment. Errors: none; what makes no sense is
 * logged. */
void way_out_open(struct way_out *self, struct event_base *base);

/* For when all clients are gone. Fine for one that was never opened. */
void way_out_close(struct way_out *self);

#endif
