#include "proto/base/wipe.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void wipe_free(void *ptr)
{
    if (ptr)
        explicit_bzero(ptr, malloc_usable_size(ptr));
    free(ptr);
}

void *wipe_realloc(void *ptr, size_t size)
{
    size_t had = ptr ? malloc_usable_size(ptr) : 0;
    if (size == 0) {
        wipe_free(ptr);
        return NULL;
    }
    void *moved = malloc(size);
    if (moved && ptr) {
        memcpy(moved, ptr, had < size ? had : size);
        wipe_free(ptr);
    }
    return moved;
}

char *wipe_keep(const char *text, size_t len)
{
    char *kept = sodium_init() < 0 ? NULL : sodium_malloc(len + 1);
    if (!kept)
        abort(); /* out of memory */
    memcpy(kept, text, len);
    kept[len] = '\0';
    return kept;
}

void wipe_drop(char *text) { sodium_free(text); }
