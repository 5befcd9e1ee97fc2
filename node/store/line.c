#include "node/store/line.h"

#include "proto/base/hash.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void line_encode(const char *json, size_t len, struct buf *out)
{
    assert(len <= LINE_MAX_BYTES);
    char head[LINE_HEAD + 1];
    (void)snprintf(head + 9, sizeof head - 9, "%08zx ", len);
    uint32_t crc = hash_crc32c(hash_crc32c(0, head + 9, 8), json, len);
    (void)snprintf(head, 9, "%08x", (unsigned)crc);
    head[8] = ' ';
    buf_append(out, head, LINE_HEAD);
    buf_append(out, json, len);
    buf_putc(out, '\n');
}

void line_scan_init(struct line_scan *self, const char *bytes, size_t len)
{
    *self = (struct line_scan){.bytes = bytes, .len = len};
}

static bool hex8(const char *at, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 8; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

/* Returns the length of the good line at the front, 0 if there is none. */
static size_t good_line(const char *at, size_t left)
{
    uint32_t crc, len;
    if (left < LINE_HEAD + 1 || at[8] != ' ' || at[17] != ' ' || !hex8(at, &crc) ||
        !hex8(at + 9, &len))
        return 0;
    if (len > LINE_MAX_BYTES || len > left - LINE_HEAD - 1 || at[LINE_HEAD + len] != '\n')
        return 0;
    if (hash_crc32c(hash_crc32c(0, at + 9, 8), at + LINE_HEAD, len) != crc)
        return 0;
    return LINE_HEAD + (size_t)len + 1;
}

bool line_scan_next(struct line_scan *self, const char **json, size_t *len)
{
    while (self->at < self->len) {
        const char *at = self->bytes + self->at;
        size_t size = good_line(at, self->len - self->at);
        if (size > 0) {
            self->bad_bytes += self->at - self->good_end;
            self->at += size;
            self->good_end = self->at;
            self->good_count++;
            *json = at + LINE_HEAD;
            *len = size - LINE_HEAD - 1;
            return true;
        }
        const char *next = memchr(at, '\n', self->len - self->at);
        self->at = next ? (size_t)(next - self->bytes) + 1 : self->len;
    }
    return false;
}
