/* put: single values as members of a JSON object, in the one form that take.h reads. */
#ifndef NODE_STORE_PUT_H
#define NODE_STORE_PUT_H

#include "node/store/doc.h"
#include "proto/base/json.h"

void put_hex(struct json_out *json, const char *key, uint64_t value);

/* "epoch" and "owner". */
void put_ballot(struct json_out *json, struct doc_ballot ballot);

/* None, NULL, zero, false and a list that is empty are left out. */
void put_hash(struct json_out *json, const char *key, const struct hash *hash);
void put_optional(struct json_out *json, const char *key, const char *text);
void put_count(struct json_out *json, const char *key, uint64_t value);
void put_flag(struct json_out *json, const char *key, bool value);
void put_texts(struct json_out *json, const char *key, const char *const *texts, size_t count);

#endif
