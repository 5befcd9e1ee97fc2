/* line: the log's records, and how damage in them is found and survived.
 *
 *     crc32c(8 hex) SP length(8 hex) SP {json} LF        the crc covers length and json
 *
 * JSON text has no line feed inside, so that after damage the next line feed is a place to try
 * again; only a line whose crc is right counts. */
#ifndef NODE_STORE_LINE_H
#define NODE_STORE_LINE_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define LINE_HEAD      18
#define LINE_MAX_BYTES (256u << 20) /* of JSON */

/* Appends one record. `len` is at most LINE_MAX_BYTES and `json` has no line feed. */
void line_encode(const char *json, size_t len, struct buf *out);

struct line_scan {
    const char *bytes; /* borrowed */
    size_t len;
    size_t at;
    size_t good_end;  /* behind the last good line */
    size_t bad_bytes; /* skipped before good_end: rot, whichever file it is */
    size_t good_count;
};

void line_scan_init(struct line_scan *self, const char *bytes, size_t len);

/* Finds the next good line and lends its JSON. False at the end. Then len - good_end bytes are left
 * that do not check: in the newest segment a torn tail, that was never acknowledged; else rot. */
bool line_scan_next(struct line_scan *self, const char **json, size_t *len);

#endif
