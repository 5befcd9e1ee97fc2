#include "runner/child/capture.h"

#include "proto/base/mem.h"

#include <string.h>

void capture_init(struct capture *self, size_t head_max, size_t tail_max)
{
    *self = (struct capture){.head_max = head_max, .tail_max = tail_max};
}

void capture_fini(struct capture *self)
{
    buf_fini(&self->head);
    free(self->tail);
    self->tail = NULL;
    self->tail_len = 0;
}

static void tail_add(struct capture *self, const char *bytes, size_t len)
{
    if (len > self->tail_max) {
        bytes += len - self->tail_max;
        len = self->tail_max;
    }
    size_t first = self->tail_max - self->tail_at;
    if (first > len)
        first = len;
    memcpy(self->tail + self->tail_at, bytes, first);
    memcpy(self->tail, bytes + first, len - first);
    self->tail_at = (self->tail_at + len) % self->tail_max;
    self->tail_len += len;
    if (self->tail_len > self->tail_max)
        self->tail_len = self->tail_max;
}

void capture_add(struct capture *self, const void *bytes, size_t len)
{
    self->total_bytes += len;
    size_t room = self->head_max - self->head.len;
    size_t head = len < room ? len : room;
    buf_append(&self->head, bytes, head);
    if (head == len || self->tail_max == 0)
        return;
    if (!self->tail)
        self->tail = mem_new(self->tail_max);
    tail_add(self, (const char *)bytes + head, len - head);
}

uint64_t capture_dropped(const struct capture *self)
{
    return self->total_bytes - self->head.len - self->tail_len;
}

void capture_text(const struct capture *self, struct buf *out)
{
    buf_append(out, self->head.data, self->head.len);
    uint64_t dropped = capture_dropped(self);
    if (dropped > 0)
        buf_printf(out, "\n[... %llu bytes left out ...]\n", (unsigned long long)dropped);
    if (self->tail_len == 0)
        return;
    size_t start = (self->tail_at + self->tail_max - self->tail_len) % self->tail_max;
    size_t first = self->tail_max - start;
    if (first > self->tail_len)
        first = self->tail_len;
    buf_append(out, self->tail + start, first);
    buf_append(out, self->tail, self->tail_len - first);
}
