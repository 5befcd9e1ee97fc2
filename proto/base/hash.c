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

uint64_t hash_weight(uint64_t thing, uint64_t node)
{
    uint64_t mix = thing * UINT64_C(0x9e3779b97f4a7c15) ^ node;
    mix = (mix ^ mix >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mix = (mix ^ mix >> 27) * UINT64_C(0x94d049bb133111eb);
    return mix ^ mix >> 31;
}

/* Eight tables, so that eight bytes are taken at a step ("slicing by 8"); filled before main(),
 * since more than one thread may ask. */
static uint32_t crc_tables[8][256];

__attribute__((constructor)) static void fill_crc_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        crc_tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            crc_tables[k][i] =
                crc_tables[0][crc_tables[k - 1][i] & 0xff] ^ crc_tables[k - 1][i] >> 8;
}

uint32_t hash_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint32_t low =
            crc ^ (at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
        crc = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff] ^
              crc_tables[5][low >> 16 & 0xff] ^ crc_tables[4][low >> 24] ^ crc_tables[3][at[4]] ^
              crc_tables[2][at[5]] ^ crc_tables[1][at[6]] ^ crc_tables[0][at[7]];
    }
    while (len--)
        crc = crc_tables[0][(crc ^ *at++) & 0xff] ^ crc >> 8;
    return ~crc;
}
