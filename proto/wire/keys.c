#include "proto/wire/keys.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

static uint8_t kid_of(const uint8_t bytes[KEYS_BYTES])
{
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)"kid1", 4, bytes, KEYS_BYTES);
    return hash[0];
}

static int add_key(struct keys *self, const uint8_t bytes[KEYS_BYTES], struct err *err)
{
    if (self->count == KEYS_MAX)
        return err_set(err, ERR_INVALID, "more than %d keys", KEYS_MAX);
    struct key *key = &self->key[self->count];
    memcpy(key->bytes, bytes, KEYS_BYTES);
    key->kid = kid_of(bytes);
    const struct key *same = keys_find(self, key->kid);
    if (same && memcmp(same->bytes, bytes, KEYS_BYTES) == 0)
        return err_set(err, ERR_INVALID, "a key is there twice");
    if (same) /* one new key in 256 */
        return err_set(err, ERR_INVALID, "two keys look alike in a packet's head: draw another");
    self->count++;
    return 0;
}

static int parse_line(struct keys *self, const char *line, size_t len, struct err *err)
{
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
        len--;
    for (; len && (*line == ' ' || *line == '\t'); line++)
        len--;
    if (len == 0 || *line == '#')
        return 0;
    uint8_t bytes[KEYS_BYTES];
    size_t got = 0;
    bool fine = len == 2 * sizeof bytes &&
                sodium_hex2bin(bytes, sizeof bytes, line, len, NULL, &got, NULL) == 0 &&
                got == sizeof bytes;
    int failed =
        fine ? add_key(self, bytes, err)
             : err_set(err, ERR_INVALID, "not a key: %d hex digits are wanted", 2 * KEYS_BYTES);
    sodium_memzero(bytes, sizeof bytes);
    return failed;
}

static int parse_lines(const char *text, size_t len, struct keys *out, struct err *err)
{
    const char *end = text + len;
    for (unsigned number = 1; text < end; number++) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));
        if (!eol)
            eol = end;
        if (parse_line(out, text, (size_t)(eol - text), err))
            return err_wrap(err, "keys, line %u", number);
        text = eol + 1;
    }
    return out->count ? 0 : err_set(err, ERR_INVALID, "keys: none");
}

int keys_parse(const char *text, size_t len, struct keys *out, struct err *err)
{
    keys_wipe(out);
    if (len > KEYS_TEXT_MAX)
        return err_set(err, ERR_TOO_LARGE, "keys: %zu bytes, at most %d", len, KEYS_TEXT_MAX);
    int failed = parse_lines(text, len, out, err);
    if (failed)
        keys_wipe(out);
    return failed;
}

void keys_from_name(const char *cluster, struct keys *out)
{
    static const uint8_t purpose[] = "testmesh loopback key 1";
    keys_wipe(out);
    crypto_generichash(out->key[0].bytes, KEYS_BYTES, (const uint8_t *)cluster, strlen(cluster),
                       purpose, sizeof purpose);
    out->key[0].kid = kid_of(out->key[0].bytes);
    out->count = 1;
}

const struct key *keys_find(const struct keys *self, uint8_t kid)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->key[i].kid == kid)
            return &self->key[i];
    return NULL;
}

void keys_name_hash(const char *cluster, uint8_t out[KEYS_NAME_HASH])
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)cluster, strlen(cluster), NULL, 0);
    memcpy(out, hash, KEYS_NAME_HASH);
}

void keys_wipe(struct keys *self) { sodium_memzero(self, sizeof *self); }
