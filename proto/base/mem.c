#include "proto/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *checked(void *ptr)
{
    if (!ptr) {
        static const char text[] = "testmesh: out of memory\n";
        ssize_t ignored = write(2, text, sizeof text - 1);
        (void)ignored;
        abort();
    }
    return ptr;
}

void *mem_new(size_t size) { return checked(calloc(1, size ? size : 1)); }

void *mem_new_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *ptr_owned, size_t count, size_t size)
{
    return checked(reallocarray(ptr_owned, count ? count : 1, size ? size : 1));
}

char *mem_strdup(const char *text) { return checked(strdup(text)); }

char *mem_strndup(const char *text, size_t len) { return checked(strndup(text, len)); }

void *mem_dup(const void *bytes, size_t len)
{
    void *copy = mem_new(len);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    return checked(text);
}

void *mem_grow(void *array_owned, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return array_owned;
    size_t grown = *capacity ? *capacity : 8;
    while (grown < need)
        grown *= 2;
    array_owned = mem_resize(array_owned, grown, size);
    *capacity = grown;
    return array_owned;
}
