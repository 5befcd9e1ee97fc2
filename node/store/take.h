/* take: single values of JSON objects, checked. The first thing wrong ends a reading: `err` is
 * sticky, every take_…() that follows gives zero, and who reads hands out what he read only if
 * nothing was wrong. Counts and lengths are checked before memory is taken for them. */
#ifndef NODE_STORE_TAKE_H
#define NODE_STORE_TAKE_H

#include "node/store/arena.h"
#include "node/store/doc.h"
#include "proto/base/json.h"

struct take {
    struct arena *arena; /* what is read goes there */
    struct err err;
};

/* Ends the reading: ERR_INVALID, or ERR_TOO_LARGE, with the field's name. */
void take_refuse(struct take *in, const char *key, const char *why);
void take_refuse_large(struct take *in, const char *key);

/* Absent is zero, false or NULL. */
uint64_t take_uint(struct take *in, const json_t *object, const char *key, uint64_t max);
int32_t take_int(struct take *in, const json_t *object, const char *key, int32_t max);
bool take_flag(struct take *in, const json_t *object, const char *key);
const char *take_optional(struct take *in, const json_t *object, const char *key, size_t max);
struct hash take_hash(struct take *in, const json_t *object, const char *key);
const json_t *take_object(struct take *in, const json_t *object, const char *key);

/* These must be there. */
const char *take_text(struct take *in, const json_t *object, const char *key, size_t max);
uint64_t take_hex(struct take *in, const json_t *object, const char *key);
struct doc_ballot take_ballot(struct take *in, const json_t *object);
enum doc_outcome take_outcome(struct take *in, const json_t *object);
enum doc_blame take_blame(struct take *in, const json_t *object);

/* Returns an array, NULL if it is absent; `count` gets its length, 0 if anything is wrong. */
const json_t *take_array(struct take *in, const json_t *object, const char *key, size_t max,
                         size_t *count);
const char *const *take_texts(struct take *in, const json_t *object, const char *key, size_t max,
                              size_t *count);

#endif
