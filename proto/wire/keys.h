/* keys: the cluster's secret. Whoever holds it is trusted with everything; there is no other. */
#ifndef WIRE_KEYS_H
#define WIRE_KEYS_H

#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX       3 /* the first seals, all open: rotation is add, promote, remove */
#define KEYS_BYTES     32
#define KEYS_TEXT_MAX  4096 /* of a key file */
#define KEYS_NAME_HASH 8

struct key {
    uint8_t bytes[KEYS_BYTES];
    uint8_t kid; /* names the key on the wire: one byte of its hash, distinct within a ring */
};

struct keys {
    struct key key[KEYS_MAX];
    size_t count; /* 1 … KEYS_MAX once made */
};

/* Reads a key file: a key a line as 64 hex digits; blank lines and lines that begin with '#' do not
 * count. Wipes `out` on failure. No text of the file gets into `err`.
 * Errors: ERR_INVALID (a line that is no key, none, more than KEYS_MAX, one twice, two of one kid),
 * ERR_TOO_LARGE. */
int keys_parse(const char *text, size_t len, struct keys *out, struct err *err) ERR_CHECKED;

/* Makes the one key that follows from the cluster's name: everybody can. It keeps clusters apart
 * and is for nodes that listen on the loopback alone. */
void keys_from_name(const char *cluster, struct keys *out);

/* Returns the key of that kid, or NULL. */
const struct key *keys_find(const struct keys *self, uint8_t kid);

/* What every packet and session authenticates beside the key: the first 8 bytes of BLAKE2b-128 of
 * the cluster's name. */
void keys_name_hash(const char *cluster, uint8_t out[KEYS_NAME_HASH]);

/* Overwrites the secret. */
void keys_wipe(struct keys *self);

#endif
