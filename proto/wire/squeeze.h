/* squeeze: bodies of frames, smaller. One pass each way: decompressing writes straight into the
 * output, whose size is checked before it is allocated, so that no window is needed and a bomb
 * costs no more than its header says it may. Private to link.c. */
#ifndef WIRE_SQUEEZE_H
#define WIRE_SQUEEZE_H

#include "proto/wire/link.h"

/* Fills `out` with one zstd frame. False, with `out` empty, if it would not be smaller. */
bool squeeze(const void *bytes, size_t len, struct buf *out);

/* Fills `out` with what one zstd frame holds: 1 … LINK_BODY_MAX bytes, as its header says.
 * LINK_OK, LINK_OVERSIZED, LINK_MALFORMED. */
enum link_verdict unsqueeze(const void *bytes, size_t len, struct buf *out);

#endif
