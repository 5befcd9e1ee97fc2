#include "proto/base/hash.h"

#include <string.h>

void hash_init(struct hash_state *self)
{
    crypto_generichash_init(&self->inner, NULL, 0, HASH_BYTES);
}

void hash_update(struct hash_state *self, const void *bytes, size_t len)
{
    crypto_generichash_update(&self->inner, bytes, len);
}

void hash_final(struct hash_state *self, struct hash *out)
{
    crypto_generichash_final(&self->inner, out->bytes, HASH_BYTES);
}

struct hash hash_of(const void *bytes, size_t len)
{
    struct hash out;
    crypto_generichash(out.bytes, HASH_BYTES, bytes, len, NULL, 0);
    return out;
}

char *hash_hex(const struct hash *self, char out[HASH_HEX])
{
    return sodium_bin2hex(out, HASH_HEX, self->bytes, HASH_BYTES);
}

int hash_from_hex(struct hash *self, const char *hex)
{
    size_t len = 0;
    const char *end = NULL;
    if (strlen(hex) != (size_t)HASH_BYTES * 2)
        return -1;
    if (sodium_hex2bin(self->bytes, HASH_BYTES, hex, (size_t)HASH_BYTES * 2, NULL, &len, &end) ||
        len != HASH_BYTES || *end)
        return -1;
    return 0;
}

uint64_t hash_u64(const void *bytes, size_t len)
{
    uint8_t out[crypto_generichash_BYTES_MIN];
    crypto_generichash(out, sizeof out, bytes, len, NULL, 0);
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | out[i];
    return value;
}

uint32_t hash_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
            table[i] = c;
        }
    }
    const uint8_t *at = bytes;
    crc = ~crc;
    while (len--)
        crc = table[(crc ^ *at++) & 0xff] ^ crc >> 8;
    return ~crc;
}
