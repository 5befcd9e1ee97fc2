/* wipe: memory that may have held a secret is overwritten before others get it. */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stddef.h>

/* As realloc() and free(), for libraries that let their allocator be chosen: the whole old block is
 * overwritten. wipe_realloc() returns NULL where there is no memory. */
void *wipe_realloc(void *ptr_owned, size_t size);
void wipe_free(void *ptr_owned);

/* Copies a text to pages of its own, which are not swapped, not in a core file, and next to ones
 * that cannot be touched. Returns owned, by wipe_drop() only. */
char *wipe_keep(const char *text, size_t len) __attribute__((returns_nonnull));
void wipe_drop(char *text_owned); /* NULL is fine */

#endif
