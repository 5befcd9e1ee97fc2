/* media: media types and their parameters, in Content-Type and Content-Disposition (RFC 9110
 * section 8.3, RFC 2183). */
#ifndef NODE_HTTP_MEDIA_H
#define NODE_HTTP_MEDIA_H

#include "proto/base/buf.h"

#include <stdbool.h>

/* Appends the value's first word (before ";"), trimmed, in lower case. */
void media_type(struct buf *out, const char *value);

bool media_is(const char *value, const char *type);

/* One parameter: the name as written, the value without its quotes. */
struct media_param {
    const char *name;
    size_t name_len;
    struct buf value;
};

/* Reads the next parameter. `*at` begins as the header's value and moves on. In quotes, \" and
 * \\ stand for the second character, and any other backslash for itself, since old browsers put
 * whole Windows paths there. Returns 1, 0 at the end, or -1 where it is malformed. `param` may be
 * reused; its value is the caller's to buf_fini(). */
int media_next_param(const char **at, struct media_param *param);

#define MEDIA_BOUNDARY_MAX 70

/* Writes the boundary of a multipart Content-Type. Of several the last counts: curl appends its own
 * behind what the user wrote. False when there is none or it is not 1 to 70 characters of RFC
 * 2046's. */
bool media_boundary(const char *content_type, char out[MEDIA_BOUNDARY_MAX + 1]);

#endif
