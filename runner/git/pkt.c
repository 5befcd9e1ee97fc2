#include "runner/git/pkt.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Returns the number that four hex digits are, -1 for anything else. */
static int read_length(const char head[4])
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = head[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The four digits are there. Returns what they say, PKT_MORE where a line begins. */
static enum pkt_event begin_line(struct pkt *self)
{
    int length = read_length(self->head);
    if (length == 0) {
        self->have = 0;
        return PKT_FLUSH;
    }
    if (length < 4 || length > PKT_LINE_MAX + 4) {
        self->is_bad = true;
        return PKT_BAD;
    }
    self->left = (size_t)length - 4;
    return PKT_MORE;
}

static void give_piece(struct pkt *self, const char *bytes, size_t len, struct pkt_out *out)
{
    size_t piece = len < self->left ? len : self->left;
    *out = (struct pkt_out){.event = PKT_DATA,
                            .used = out->used + piece,
                            .data = bytes,
                            .data_len = piece,
                            .is_last = piece == self->left};
    self->left -= piece;
    if (self->left == 0)
        self->have = 0;
}

void pkt_step(struct pkt *self, const char *bytes, size_t len, struct pkt_out *out)
{
    *out = (struct pkt_out){.event = self->is_bad ? PKT_BAD : PKT_MORE};
    if (self->is_bad)
        return;
    if (self->have < 4) {
        while (self->have < 4 && out->used < len)
            self->head[self->have++] = bytes[out->used++];
        if (self->have < 4)
            return;
        out->event = begin_line(self);
        if (out->event != PKT_MORE || (self->left > 0 && out->used == len))
            return;
    } else if (len == 0) {
        return;
    }
    give_piece(self, bytes + out->used, len - out->used, out);
}

bool pkt_is_between(const struct pkt *self) { return self->have == 0 && !self->is_bad; }

void pkt_put(struct buf *out, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof line);
    buf_printf(out, "%04x", (unsigned)len + 4);
    buf_append(out, line, (size_t)len);
}

void pkt_put_flush(struct buf *out) { buf_puts(out, "0000"); }
