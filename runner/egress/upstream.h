/* upstream: the operator's own proxies, as the usual variables name them. Pure.
 *
 * HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, in capitals or not, and pip's PIP_PROXY; http:// only.
 * NO_PROXY is a list with commas or blanks: "*", names (which stand for what is below them too,
 * with or without a "." or "*." before), addresses, ADDRESS/BITS; each but the last with a port or
 * not.
 */
#ifndef EGRESS_UPSTREAM_H
#define EGRESS_UPSTREAM_H

#include "runner/egress/target.h"

struct egress_upstream {
    struct egress_target at;
    bool is_set;
    char *authorization; /* "Basic …", or NULL; a secret */
};

struct egress_upstreams {
    struct egress_upstream https; /* for tunnels */
    struct egress_upstream http;
    char *exceptions; /* NO_PROXY; NULL: none */
};

/* Reads an environment. Errors: ERR_INVALID names the variable that makes no sense, without its
 * value; what could be read is there, and fini is due in any case. */
int egress_upstreams_init(struct egress_upstreams *self, const char *const *environ_,
                          struct err *err) ERR_CHECKED;
void egress_upstreams_fini(struct egress_upstreams *self);

/* Returns whom to ask for a target; NULL: the target itself. Borrowed. */
const struct egress_upstream *egress_upstreams_for(const struct egress_upstreams *self,
                                                   const struct egress_target *target,
                                                   bool is_tunnel);

/* Whether a variable ("NAME=value") is one of a proxy's. */
bool egress_is_proxy_variable(const char *variable);

#endif
