#include "proto/base/id.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

bool id_eval_parse(const char *text, uint64_t *out)
{
    if (text[0] < '1' || text[0] > '9' || strlen(text) > 16)
        return false;
    uint64_t value = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (value > ID_EVAL_MAX)
        return false;
    *out = value;
    return true;
}

char *id_eval_format(uint64_t id, char out[ID_EVAL_TEXT])
{
    (void)snprintf(out, ID_EVAL_TEXT, "%" PRIu64, id);
    return out;
}

char *id_node_hex(const struct id_node *node, char out[ID_NODE_HEX])
{
    return sodium_bin2hex(out, ID_NODE_HEX, node->bytes, ID_NODE_BYTES);
}

bool id_node_parse(const char *hex, struct id_node *out)
{
    size_t len = 0;
    const char *end = NULL;
    return strlen(hex) == (size_t)ID_NODE_BYTES * 2 &&
           sodium_hex2bin(out->bytes, ID_NODE_BYTES, hex, strlen(hex), NULL, &len, &end) == 0 &&
           len == ID_NODE_BYTES && !*end;
}

uint64_t id_node_short(const struct id_node *node)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | node->bytes[i];
    return value;
}
