/* id: the names of evaluations and nodes. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

/* An evaluation: 1 .. 2^53-1, so that every JSON reader holds it; printed in decimal. 0 is none. */
#define ID_EVAL_MAX  ((UINT64_C(1) << 53) - 1)
#define ID_EVAL_TEXT 20

/* A node: 16 random bytes, made once, kept for life. */
#define ID_NODE_BYTES 16
#define ID_NODE_HEX   33

struct id_node {
    uint8_t bytes[ID_NODE_BYTES];
};

/* Reads an evaluation's id: digits only, no sign, no leading zero, in range. False for all else. */
bool id_eval_parse(const char *text, uint64_t *out);

/* Writes the decimal form. Returns `out`. */
char *id_eval_format(uint64_t id, char out[ID_EVAL_TEXT]);

char *id_node_hex(const struct id_node *node, char out[ID_NODE_HEX]);
bool id_node_parse(const char *hex, struct id_node *out);

/* The first 8 bytes, big-endian: the short form in records. */
uint64_t id_node_short(const struct id_node *node);

#endif
