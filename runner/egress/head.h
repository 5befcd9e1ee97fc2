/* head: the head of a request to the proxy (RFC 9110, 9.3.6; RFC 9112, 3.2). Pure.
 *
 *     CONNECT host:port HTTP/1.1             a tunnel
 *     GET http://host[:port]/path HTTP/1.1   one request, sent on; GET and HEAD, without a body
 *
 * Strict: CRLF only, one blank between the words of the first line, no folded headers, no control
 * characters. What comes from a client is not sent on as it came: the line and the headers are
 * written anew. */
#ifndef EGRESS_HEAD_H
#define EGRESS_HEAD_H

#include "runner/egress/target.h"

#define EGRESS_HEAD_MAX ((size_t)16 << 10)

struct egress_head {
    struct egress_target target;
    bool is_tunnel;
    /* the rest of another than CONNECT; borrowed from the bytes that were parsed */
    const char *method;
    size_t method_len;
    const char *path; /* with its query; "/" where there is none */
    size_t path_len;
    const char *fields; /* the lines behind the first, the empty one not among them */
    size_t fields_len;
};

/* Reads a whole head, up to and with its empty line. Returns 0, or the HTTP status that it is
 * refused with: 400, 405, 431 or 505. */
int egress_head_parse(struct egress_head *self, const char *bytes, size_t len);

/* Appends the request as a server gets it, or a further proxy (`through`, with its
 * "Proxy-Authorization" value or NULL): the connection ends with its answer. */
void egress_head_put(const struct egress_head *self, bool through, const char *authorization,
                     struct buf *out);

/* Appends a CONNECT for a further proxy. */
void egress_head_put_connect(const struct egress_target *target, const char *authorization,
                             struct buf *out);

/* Reads the status of a proxy's answer to CONNECT; 0 when it is none. */
unsigned egress_head_status(const char *bytes, size_t len);

#endif
