#include "proto/base/buf.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void buf_fini(struct buf *self)
{
    free(self->data);
    *self = (struct buf)BUF_INIT;
}

char *buf_reserve(struct buf *self, size_t extra)
{
    self->data = mem_grow(self->data, &self->capacity, self->len + extra + 1, 1);
    self->data[self->len] = '\0'; /* still a text when nothing comes, as from an empty file */
    return self->data + self->len;
}

void buf_added(struct buf *self, size_t len)
{
    assert(self->len + len < self->capacity);
    self->len += len;
    self->data[self->len] = '\0';
}

void buf_append(struct buf *self, const void *bytes, size_t len)
{
    char *to = buf_reserve(self, len);
    if (len)
        memcpy(to, bytes, len);
    buf_added(self, len);
}

void buf_puts(struct buf *self, const char *text) { buf_append(self, text, strlen(text)); }

void buf_putc(struct buf *self, char c)
{
    if (self->len + 1 >= self->capacity)
        (void)buf_reserve(self, 1);
    self->data[self->len++] = c;
    self->data[self->len] = '\0';
}

void buf_printf(struct buf *self, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    assert(len >= 0);
    if ((size_t)len < sizeof small) {
        buf_append(self, small, (size_t)len);
        return;
    }
    char *to = buf_reserve(self, (size_t)len);
    va_start(ap, fmt);
    (void)vsnprintf(to, (size_t)len + 1, fmt, ap);
    va_end(ap);
    buf_added(self, (size_t)len);
}

void buf_consume(struct buf *self, size_t len)
{
    assert(len <= self->len);
    if (!len)
        return;
    self->len -= len;
    memmove(self->data, self->data + len, self->len + 1);
}

void buf_clear(struct buf *self)
{
    self->len = 0;
    if (self->data)
        self->data[0] = '\0';
}

const char *buf_str(const struct buf *self) { return self->data ? self->data : ""; }

char *buf_steal(struct buf *self)
{
    char *data = self->data ? self->data : mem_strdup("");
    *self = (struct buf)BUF_INIT;
    return data;
}
