/* buf: bytes that grow. Always followed by a zero byte that is not counted. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL while empty and never written */
    size_t len;
    size_t capacity;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

void buf_fini(struct buf *self);

#define owned_buf __attribute__((cleanup(buf_fini))) struct buf

/* Makes room for `extra` more bytes and returns where they go; buf_added() then counts them. */
char *buf_reserve(struct buf *self, size_t extra);
void buf_added(struct buf *self, size_t len);

void buf_append(struct buf *self, const void *bytes, size_t len);
void buf_puts(struct buf *self, const char *text);
void buf_putc(struct buf *self, char c);
void buf_printf(struct buf *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Removes `len` bytes from the front. */
void buf_consume(struct buf *self, size_t len);
void buf_clear(struct buf *self);

/* Returns the text (never NULL), borrowed until the next change. */
const char *buf_str(const struct buf *self);

/* Returns owned bytes, zero-terminated, and leaves `self` empty. */
char *buf_steal(struct buf *self);

#endif
