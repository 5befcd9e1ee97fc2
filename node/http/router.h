/* router: which row of the table a request belongs to. */
#ifndef NODE_HTTP_ROUTER_H
#define NODE_HTTP_ROUTER_H

#include "node/http/server.h"

#define ROUTER_PARAMS_MAX 8

struct router_match {
    const struct http_route *route;
    struct buf text; /* decoded values, each with a zero behind it */
    const char *names[ROUTER_PARAMS_MAX];
    size_t name_lens[ROUTER_PARAMS_MAX];
    size_t values[ROUTER_PARAMS_MAX];
    size_t count;
};

/* Finds the first row for `method` and `path` (checked, with its escapes); a slash at the end of
 * the path does not matter. `self` is zeroed before. Errors: ERR_NOT_FOUND; ERR_METHOD where other
 * methods fit (router_allow() names them). */
int router_find(struct router_match *self, const struct http_route *routes, size_t count,
                const char *method, const char *path, struct err *err) ERR_CHECKED;
void router_match_fini(struct router_match *self);

/* The decoded value of a parameter, borrowed; NULL where the pattern has no such name. */
const char *router_param(const struct router_match *self, const char *name);

/* Appends "GET, HEAD, OPTIONS": what the path takes. Returns whether it takes anything. */
bool router_allow(struct buf *out, const struct http_route *routes, size_t count, const char *path);

#endif
