#include "node/eval/secret.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/*   magic 4 | nonce 24 | XChaCha20-Poly1305 of: port 2, length of host 1, host, token | tag 16   */
#define MAGIC     "TMS1"
#define MAGIC_LEN 4
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_LEN  (MAGIC_LEN + NONCE_LEN)
#define PLAIN_MIN 3
#define HOST_MAX  255
#define PURPOSE   "testmesh repository token 1"
#define AAD_LEN   (MAGIC_LEN + KEYS_NAME_HASH + sizeof(struct hash))

static void derive(const struct key *key, uint8_t out[KEYS_BYTES])
{
    crypto_generichash(out, KEYS_BYTES, (const uint8_t *)PURPOSE, sizeof PURPOSE - 1, key->bytes,
                       KEYS_BYTES);
}

static void frame(const struct secret_place *place, const struct hash *body, uint8_t aad[AAD_LEN])
{
    memcpy(aad, MAGIC, MAGIC_LEN);
    keys_name_hash(place->cluster, aad + MAGIC_LEN);
    memcpy(aad + MAGIC_LEN + KEYS_NAME_HASH, body, sizeof *body);
}

/* Pages of its own, that are wiped by sodium_free(). */
static void *guarded(size_t len)
{
    void *at = sodium_init() < 0 ? NULL : sodium_malloc(len);
    if (!at)
        abort(); /* out of memory */
    return at;
}

void secret_seal(const struct secret_place *place, const struct hash *body,
                 const struct secret *secret, struct buf *out)
{
    uint8_t key[KEYS_BYTES];
    uint8_t aad[AAD_LEN];
    size_t host_len = strlen(secret->host), token_len = strlen(secret->token);
    size_t len = PLAIN_MIN + host_len + token_len;
    assert(host_len <= HOST_MAX && HEAD_LEN + len + TAG_LEN <= SECRET_MAX);
    uint8_t *plain = guarded(len);
    plain[0] = (uint8_t)(secret->port >> 8);
    plain[1] = (uint8_t)secret->port;
    plain[2] = (uint8_t)host_len;
    memcpy(plain + PLAIN_MIN, secret->host, host_len);
    memcpy(plain + PLAIN_MIN + host_len, secret->token, token_len);
    uint8_t *head = (uint8_t *)buf_reserve(out, HEAD_LEN + len + TAG_LEN);
    memcpy(head, MAGIC, MAGIC_LEN);
    randombytes_buf(head + MAGIC_LEN, NONCE_LEN);
    derive(&place->keys->key[0], key);
    frame(place, body, aad);
    crypto_aead_xchacha20poly1305_ietf_encrypt(head + HEAD_LEN, NULL, plain, len, aad, AAD_LEN,
                                               NULL, head + MAGIC_LEN, key);
    buf_added(out, HEAD_LEN + len + TAG_LEN);
    sodium_memzero(key, sizeof key);
    sodium_free(plain);
}

/* With each key of the ring. Returns owned (sodium_free), NULL when none of them opens it. */
static uint8_t *decrypt(const struct secret_place *place, const struct hash *body,
                        const struct buf *sealed, size_t len)
{
    const uint8_t *head = (const uint8_t *)sealed->data;
    uint8_t key[KEYS_BYTES];
    uint8_t aad[AAD_LEN];
    uint8_t *plain = guarded(len);
    bool is_open = false;
    frame(place, body, aad);
    for (size_t i = 0; i < place->keys->count && !is_open; i++) {
        derive(&place->keys->key[i], key);
        is_open = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, head + HEAD_LEN,
                                                             len + TAG_LEN, aad, AAD_LEN,
                                                             head + MAGIC_LEN, key) == 0;
    }
    sodium_memzero(key, sizeof key);
    if (is_open)
        return plain;
    sodium_free(plain);
    return NULL;
}

static char *text_of(const uint8_t *bytes, size_t len)
{
    char *text = guarded(len + 1);
    memcpy(text, bytes, len);
    text[len] = '\0';
    return text;
}

int secret_unseal(const struct secret_place *place, const struct hash *body,
                  const struct buf *sealed, struct secret *out, struct err *err)
{
    *out = (struct secret){0};
    size_t least = HEAD_LEN + PLAIN_MIN + TAG_LEN;
    uint8_t *plain = NULL;
    size_t len = 0;
    if (sealed->len >= least && sealed->len <= SECRET_MAX &&
        memcmp(sealed->data, MAGIC, MAGIC_LEN) == 0) {
        len = sealed->len - HEAD_LEN - TAG_LEN;
        plain = decrypt(place, body, sealed, len);
    }
    if (!plain || (size_t)PLAIN_MIN + plain[2] > len) {
        sodium_free(plain);
        return err_set(err, ERR_CORRUPT, "the sealed token does not open");
    }
    size_t host_len = plain[2];
    out->port = (uint16_t)(plain[0] << 8 | plain[1]);
    out->host = text_of(plain + PLAIN_MIN, host_len);
    out->token = text_of(plain + PLAIN_MIN + host_len, len - PLAIN_MIN - host_len);
    sodium_free(plain);
    return 0;
}

int secret_open(const struct secret_place *place, const struct doc_req *req, struct secret *out,
                struct err *err)
{
    owned_buf sealed = BUF_INIT;
    *out = (struct secret){0};
    if (!doc_hash_is_set(&req->secret))
        return err_set(err, ERR_NOT_FOUND, "the request has no token");
    int rc = store_read_blob(place->store, &req->secret, SECRET_EXT, SECRET_MAX, &sealed, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? rc : err_set(err, ERR_CORRUPT, "the sealed token: unreadable");
    return secret_unseal(place, &req->body, &sealed, out, err);
}

void secret_close(struct secret *self)
{
    sodium_free(self->host);
    sodium_free(self->token);
    *self = (struct secret){0};
}
