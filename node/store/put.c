#include "node/store/put.h"

void put_hex(struct json_out *json, const char *key, uint64_t value)
{
    char text[17] = "";
    for (size_t i = 16; i-- > 0; value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    json_out_key_str(json, key, text);
}

void put_hash(struct json_out *json, const char *key, const struct hash *hash)
{
    char text[HASH_HEX];
    if (doc_hash_is_set(hash))
        json_out_key_str(json, key, hash_hex(hash, text));
}

void put_optional(struct json_out *json, const char *key, const char *text)
{
    if (text)
        json_out_key_str(json, key, text);
}

void put_count(struct json_out *json, const char *key, uint64_t value)
{
    if (value)
        json_out_key_uint(json, key, value);
}

void put_flag(struct json_out *json, const char *key, bool value)
{
    if (value)
        json_out_key_bool(json, key, true);
}

void put_ballot(struct json_out *json, struct doc_ballot ballot)
{
    json_out_key_uint(json, "epoch", ballot.epoch);
    put_hex(json, "owner", ballot.owner);
}

void put_texts(struct json_out *json, const char *key, const char *const *texts, size_t count)
{
    if (count == 0)
        return;
    json_out_key(json, key);
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++)
        json_out_str(json, texts[i]);
    json_out_close_array(json);
}
