/* mem: allocation that cannot fail, and ownership that ends with the scope.
 *
 * Out of memory ends the process: every size that comes from outside is checked against a limit
 * before it is allocated, so what is left is our own bug or a machine that is beyond help. Locals
 * that own use the `owned_*` attributes and hand on what they own with steal_ptr() or steal_fd().
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* malloc, zeroed; calloc; realloc; strdup; memdup: return owned, never NULL. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *ptr_owned, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
void *mem_dup(const void *bytes, size_t len) __attribute__((malloc, returns_nonnull));

/* Returns owned text. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Grows an array to hold at least `need` items, by doubling. Updates *capacity. Returns the array.
 */
void *mem_grow(void *array_owned, size_t *capacity, size_t need, size_t size);

static inline void mem_free_at(void *at)
{
    void **ptr = at;
    free(*ptr);
    *ptr = NULL;
}

static inline void mem_close_at(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#define owned_mem __attribute__((cleanup(mem_free_at)))
#define owned_fd  __attribute__((cleanup(mem_close_at)))

/* Take the value out of an owning variable, which then owns nothing. */
#define steal_ptr(ptr)                                                                             \
    __extension__({                                                                                \
        __typeof__(*(ptr)) stolen_ = *(ptr);                                                       \
        *(ptr) = NULL;                                                                             \
        stolen_;                                                                                   \
    })

static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define countof(array) (sizeof(array) / sizeof((array)[0]))

#endif
