/* capture: keeps the first and the last bytes of a stream, and counts all of them. */
#ifndef RUNNER_CHILD_CAPTURE_H
#define RUNNER_CHILD_CAPTURE_H

#include "proto/base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* What is kept of a job's output. */
#define CAPTURE_HEAD_BYTES ((size_t)32 << 10)
#define CAPTURE_TAIL_BYTES ((size_t)32 << 10)

struct capture {
    struct buf head;
    char *tail; /* a ring of tail_max bytes, allocated when the head is full */
    size_t head_max;
    size_t tail_max;
    size_t tail_at; /* where the next byte goes */
    size_t tail_len;
    uint64_t total_bytes;
};

/* Prepares to keep at most head_max + tail_max bytes; either may be 0. */
void capture_init(struct capture *self, size_t head_max, size_t tail_max);
void capture_fini(struct capture *self);

void capture_add(struct capture *self, const void *bytes, size_t len);

/* Returns how many bytes in the middle were dropped. */
uint64_t capture_dropped(const struct capture *self);

/* Appends what was kept to `out`: head, then, when bytes were dropped, a line
 * "[... N bytes left out ...]", then the tail. */
void capture_text(const struct capture *self, struct buf *out);

#endif
