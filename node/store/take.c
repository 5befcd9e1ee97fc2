#include "node/store/take.h"

#include "node/store/doc_names.h"

#include <string.h>

void take_refuse(struct take *in, const char *key, const char *why)
{
    if (in->err.code == ERR_NONE)
        err_set(&in->err, ERR_INVALID, "\"%s\" %s", key, why);
}

void take_refuse_large(struct take *in, const char *key)
{
    if (in->err.code == ERR_NONE)
        err_set(&in->err, ERR_TOO_LARGE, "\"%s\" is over its limit", key);
}

uint64_t take_uint(struct take *in, const json_t *object, const char *key, uint64_t max)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        take_refuse(in, key, "is no number in its range");
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

int32_t take_int(struct take *in, const json_t *object, const char *key, int32_t max)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < -(int64_t)max ||
        json_integer_value(value) > max) {
        take_refuse(in, key, "is no number in its range");
        return 0;
    }
    return (int32_t)json_integer_value(value);
}

bool take_flag(struct take *in, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_boolean(value))
        take_refuse(in, key, "is neither true nor false");
    return json_is_true(value);
}

static const char *text_of(struct take *in, const json_t *value, const char *key, size_t max)
{
    if (!json_is_string(value)) {
        take_refuse(in, key, "is no text");
        return NULL;
    }
    if (json_string_length(value) > max) {
        take_refuse_large(in, key);
        return NULL;
    }
    return arena_text(in->arena, json_string_value(value), max);
}

const char *take_optional(struct take *in, const json_t *object, const char *key, size_t max)
{
    const json_t *value = json_object_get(object, key);
    return value ? text_of(in, value, key, max) : NULL;
}

const char *take_text(struct take *in, const json_t *object, const char *key, size_t max)
{
    const char *text = text_of(in, json_object_get(object, key), key, max);
    return text ? text : "";
}

uint64_t take_hex(struct take *in, const json_t *object, const char *key)
{
    const char *text = json_in_str(object, key, "");
    uint64_t value = 0;
    size_t i = 0;
    for (; text[i] && i < 16; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = strchr(digits, text[i]);
        if (!digit)
            break;
        value = value << 4 | (uint64_t)(digit - digits);
    }
    if (i != 16 || text[16])
        take_refuse(in, key, "is not 16 hex digits");
    return value;
}

struct hash take_hash(struct take *in, const json_t *object, const char *key)
{
    struct hash hash = {0};
    const json_t *value = json_object_get(object, key);
    if (value && (!json_is_string(value) || hash_from_hex(&hash, json_string_value(value)))) {
        take_refuse(in, key, "is not 64 hex digits");
        hash = (struct hash){0};
    }
    return hash;
}

struct doc_ballot take_ballot(struct take *in, const json_t *object)
{
    struct doc_ballot ballot = {.epoch = (uint32_t)take_uint(in, object, "epoch", UINT32_MAX),
                                .owner = take_hex(in, object, "owner")};
    if (ballot.epoch == 0)
        take_refuse(in, "epoch", "is missing");
    return ballot;
}

const json_t *take_object(struct take *in, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_object(value)) {
        take_refuse(in, key, "is no object");
        return NULL;
    }
    return value;
}

const json_t *take_array(struct take *in, const json_t *object, const char *key, size_t max,
                         size_t *count)
{
    const json_t *value = json_object_get(object, key);
    *count = 0;
    if (value && !json_is_array(value))
        take_refuse(in, key, "is no array");
    else if (json_array_size(value) > max)
        take_refuse_large(in, key);
    else
        *count = json_array_size(value);
    return value;
}

enum doc_outcome take_outcome(struct take *in, const json_t *object)
{
    enum doc_outcome outcome = DOC_NO_OUTCOME;
    if (!doc_outcome_parse(json_in_str(object, "outcome", ""), &outcome))
        take_refuse(in, "outcome", "is unknown");
    return outcome;
}

enum doc_blame take_blame(struct take *in, const json_t *object)
{
    enum doc_blame blame = DOC_BLAME_NONE;
    if (!doc_blame_parse(json_in_str(object, "blame", ""), &blame))
        take_refuse(in, "blame", "is unknown");
    return blame;
}

const char *const *take_texts(struct take *in, const json_t *object, const char *key, size_t max,
                              size_t *count)
{
    const json_t *array = take_array(in, object, key, max, count);
    const char **to = arena_take_array(in->arena, *count, sizeof *to);
    for (size_t i = 0; i < *count; i++)
        to[i] = text_of(in, json_array_get(array, i), key, DOC_TEXT_MAX);
    return to;
}
