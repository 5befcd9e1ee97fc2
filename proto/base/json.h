/* json: a strict reader (jansson) and a streaming writer.
 *
 * The reader refuses what RFC 8259 leaves open: duplicate keys, bytes behind the value, NUL in
 * strings. The writer puts text straight into a buf; a DOM would need six to nine times the memory.
 * It places commas itself; text that is no valid UTF-8 is written with U+FFFD in place of the bad
 * bytes. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Reads one value. Returns owned (json_decref), or NULL with ERR_INVALID and a place in the text.
 */
json_t *json_in_parse(const char *text, size_t len, struct err *err);

static inline void json_in_free(json_t **value) { json_decref(*value); }
#define owned_json __attribute__((cleanup(json_in_free))) json_t

/* Members of an object by name, borrowed; a default where absent or of another type. */
const char *json_in_str(const json_t *object, const char *key, const char *fallback);
int64_t json_in_int(const json_t *object, const char *key, int64_t fallback);
double json_in_real(const json_t *object, const char *key, double fallback);
bool json_in_bool(const json_t *object, const char *key, bool fallback);

#define JSON_OUT_DEPTH 32

struct json_out {
    struct buf *to;   /* borrowed */
    unsigned depth;   /* open objects and arrays */
    bool after_value; /* a comma is due before the next value at this depth */
    bool after_key;
};

/* Begins a text at the end of `to`, which must outlive `self`. */
void json_out_init(struct json_out *self, struct buf *to);

void json_out_open_object(struct json_out *self);
void json_out_close_object(struct json_out *self);
void json_out_open_array(struct json_out *self);
void json_out_close_array(struct json_out *self);
void json_out_key(struct json_out *self, const char *key);
void json_out_str(struct json_out *self, const char *text); /* NULL is written as null */
void json_out_strn(struct json_out *self, const char *text, size_t len);
void json_out_int(struct json_out *self, int64_t value);
void json_out_uint(struct json_out *self, uint64_t value);
void json_out_real(struct json_out *self, double value, int decimals); /* trailing zeros dropped */
void json_out_bool(struct json_out *self, bool value);
void json_out_null(struct json_out *self);
void json_out_raw(struct json_out *self, const char *json,
                  size_t len);                                   /* JSON that is already text */
void json_out_value(struct json_out *self, const json_t *value); /* a jansson value, compact */

/* key and value in one. */
void json_out_key_str(struct json_out *self, const char *key, const char *text);
void json_out_key_int(struct json_out *self, const char *key, int64_t value);
void json_out_key_uint(struct json_out *self, const char *key, uint64_t value);
void json_out_key_real(struct json_out *self, const char *key, double value, int decimals);
void json_out_key_bool(struct json_out *self, const char *key, bool value);

#endif
