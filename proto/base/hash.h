/* hash: BLAKE2b for names of content, CRC-32C for records on disk, a 64-bit mix for tables. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#define HASH_BYTES 32
#define HASH_HEX   65 /* with the terminating zero */

/* BLAKE2b-256 (RFC 7693). */
struct hash {
    uint8_t bytes[HASH_BYTES];
};

struct hash_state {
    crypto_generichash_state inner;
};

void hash_init(struct hash_state *self);
void hash_update(struct hash_state *self, const void *bytes, size_t len);
void hash_final(struct hash_state *self, struct hash *out);

/* The hash of one piece. */
struct hash hash_of(const void *bytes, size_t len);

/* Writes 64 lower-case hex digits and a zero. Returns `out`. */
char *hash_hex(const struct hash *self, char out[HASH_HEX]);

/* Reads 64 hex digits. Returns 0, or -1 when `hex` is anything else. */
int hash_from_hex(struct hash *self, const char *hex) __attribute__((warn_unused_result));

/* The first 64 bits of BLAKE2b, for digests that are combined by xor. */
uint64_t hash_u64(const void *bytes, size_t len);

/* How far `node` stands in the order of preference for `thing`: larger is better. All nodes rank
 * alike, and one that goes changes nothing among the others: rendezvous hashing (Thaler and
 * Ravishankar, 1998). */
uint64_t hash_weight(uint64_t thing, uint64_t node);

/* CRC-32C (Castagnoli; RFC 3720 appendix B.4); start with crc = 0. */
uint32_t hash_crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
