/* name: from the bytes that a zip has for a name to a path that every system reads alike. */
#ifndef INTAKE_NAME_H
#define INTAKE_NAME_H

#include "runner/intake/archive.h"

#define NAME_SHOW_MAX 128

/* Decodes and checks a name: UTF-8 where it is valid (macOS does not flag it), else, unless
 * flagged, code page 437; backslashes are separators, "." parts are dropped. `folder` is set when
 * it ends with a separator. An empty result is the top folder itself. Errors: ERR_UNPROCESSABLE
 * with archive-escape, archive-bad-name or archive-too-deep. */
int name_decode(const uint8_t *raw, size_t len, bool flagged_utf8, uint32_t depth_max,
                char out[ARCHIVE_PATH_MAX + 1], bool *folder, struct err *err) ERR_CHECKED;

/* Writes any bytes so that they can be shown in a message. Returns `out`. */
char *name_show(const uint8_t *raw, size_t len, char out[NAME_SHOW_MAX]);

bool name_is_utf8(const uint8_t *bytes, size_t len);

#endif
