/* guard: what a browser could be tricked into sending us.
 *
 * A page whose host name was rebound to our address sends its own name as Host; a page of another
 * site that writes here sends its Origin. Programs send neither, and are not concerned. */
#ifndef NODE_HTTP_GUARD_H
#define NODE_HTTP_GUARD_H

#include <stdbool.h>

/* Whether `host` ("name:port", "" for none) is an IP literal, localhost, or one of `hosts`
 * (NULL-terminated or NULL; "*" is any). */
bool guard_host_ok(const char *host, const char *const *hosts);

/* Whether a write with these headers (NULL for none) comes from a page of ours or from no page.
 * `host` is the request's. */
bool guard_origin_ok(const char *origin, const char *fetch_site, const char *host,
                     const char *const *origins);

/* Whether a method changes nothing: GET, HEAD, OPTIONS. */
bool guard_is_safe(const char *method);

#endif
