/* multipart: takes a multipart/form-data body apart as it comes (RFC 7578, RFC 2046), in any split.
 *
 * Strict where it matters: a delimiter is CRLF "--" boundary and then at once CRLF or "--";
 * anything else is data. A preamble of up to 1 KiB is skipped, what follows the last boundary is
 * ignored. Encoded parts are refused. */
#ifndef NODE_HTTP_MULTIPART_H
#define NODE_HTTP_MULTIPART_H

#include "node/http/media.h"
#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum multipart_event {
    MULTIPART_MORE,  /* all bytes are used */
    MULTIPART_PART,  /* a part begins: its name, filename and type are set */
    MULTIPART_DATA,  /* bytes of it; perhaps not from the input */
    MULTIPART_ENDED, /* the part is whole */
    MULTIPART_BAD,   /* `reason` says why, for good */
};

struct multipart_out {
    enum multipart_event event;
    size_t used;
    const char *data; /* borrowed until the next step */
    size_t data_len;
    const char *reason;
};

enum multipart_state {
    MULTIPART_AT_DATA,   /* of a part, or the preamble */
    MULTIPART_AT_TAIL,   /* behind a delimiter */
    MULTIPART_AT_HEADER, /* of a part */
    MULTIPART_AT_EPILOGUE,
    MULTIPART_AT_BAD,
};

struct multipart {
    char delimiter[MEDIA_BOUNDARY_MAX + 8];
    size_t delimiter_len;
    size_t parts_max;
    size_t part_count;
    enum multipart_state state;
    size_t matched; /* bytes of the delimiter seen */
    char tail;      /* the byte behind a delimiter, '\0' before it */
    bool in_part;   /* PART has been told, ENDED not yet */
    size_t preamble_len;
    struct buf header; /* the line under way */
    size_t header_len; /* of all lines of this part */
    struct buf name;
    struct buf filename;
    bool has_name;
    bool has_filename;
    struct buf type;
    const char *reason;
};

/* Prepares for a body with this boundary, as media_boundary() gave it. */
void multipart_init(struct multipart *self, const char *boundary, size_t parts_max);
void multipart_fini(struct multipart *self);

/* Takes bytes and fills `out` with one event; call again with what was not used until it says MORE.
 */
void multipart_step(struct multipart *self, const char *bytes, size_t len,
                    struct multipart_out *out);

/* The body is over: NULL when it was whole, or why it is refused. */
const char *multipart_finish(const struct multipart *self);

#endif
