/* cursor: reads msgpack from bytes that nobody vouches for.
 *
 * It walks a byte range in order and never allocates: texts are borrowed from the range. The caller
 * says at each step what he expects and how large it may be; a count can never exceed the bytes
 * that are left, so a header that announces gigabytes costs nothing. The first thing that does not
 * fit spoils the cursor: every later read fails too, so that a run of reads needs one check at its
 * end.
 *
 *     struct cursor in;
 *     cursor_init(&in, bytes, len);
 *     cursor_array(&in, 3, &count);
 *     cursor_uint(&in, UINT32_MAX, &number);
 *     cursor_str(&in, 256, &name);
 *     if (!cursor_done(&in)) refuse;
 *
 * Specification: github.com/msgpack/msgpack/blob/master/spec.md. Extension types are refused. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CURSOR_DEPTH 6 /* arrays and maps inside each other that cursor_skip() follows */

enum cursor_kind {
    CURSOR_END, /* no byte is left, or the cursor is spoiled */
    CURSOR_NIL,
    CURSOR_BOOL,
    CURSOR_UINT, /* an integer of 0 or more, in whichever form */
    CURSOR_INT,  /* a negative integer */
    CURSOR_REAL,
    CURSOR_STR,
    CURSOR_BIN,
    CURSOR_ARRAY,
    CURSOR_MAP,
    CURSOR_BAD, /* a reserved byte or an extension type */
};

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool spoiled;
};

/* Bytes inside the range that the cursor was given; not terminated, UTF-8 not checked. */
struct cursor_text {
    const char *data;
    size_t len;
};

/* Borrows the bytes for as long as the cursor and what it returned are used. */
void cursor_init(struct cursor *self, const void *bytes, size_t len);

/* What the next value is; reads nothing. */
enum cursor_kind cursor_peek(const struct cursor *self);

/* Each reads one value of its kind and returns true, or spoils the cursor, sets *out to zero and
 * returns false: on another kind, a value over `max` (or under `min`), a text longer than `max`, or
 * too few bytes. cursor_array() and cursor_map() read the header; items or pairs follow. */
bool cursor_nil(struct cursor *self);
bool cursor_bool(struct cursor *self, bool *out);
bool cursor_uint(struct cursor *self, uint64_t max, uint64_t *out);
bool cursor_int(struct cursor *self, int64_t min, int64_t max, int64_t *out);
bool cursor_real(struct cursor *self, double *out); /* float 32 and 64; integers are refused */
bool cursor_str(struct cursor *self, size_t max, struct cursor_text *out);
bool cursor_bin(struct cursor *self, size_t max, struct cursor_text *out);
bool cursor_array(struct cursor *self, size_t max, size_t *out);
bool cursor_map(struct cursor *self, size_t max, size_t *out);

/* Steps over one whole value of any kind, CURSOR_DEPTH deep at most. */
bool cursor_skip(struct cursor *self);

/* True when every byte was read and nothing failed. */
bool cursor_done(const struct cursor *self);

/* True when the whole range is one well-formed value: counts, depth and lengths. To be asked before
 * bytes from outside are given to a reader that allocates. */
bool cursor_check(const void *bytes, size_t len);

static inline bool cursor_ok(const struct cursor *self) { return !self->spoiled; }

/* True when the text equals a zero-terminated one. */
bool cursor_text_is(struct cursor_text text, const char *other);

#endif
