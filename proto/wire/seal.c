#include "proto/wire/seal.h"

#include "proto/base/mem.h"
#include "proto/wire/senders.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define AAD_LEN (SEAL_HEAD + KEYS_NAME_HASH)
#define CTR_MAX ((UINT64_C(1) << 48) - 1)

_Static_assert(SEAL_HEAD + SEAL_TAG == WIRE_SEAL_OVERHEAD, "what wire.h takes off a packet");

struct seal {
    struct keys keys;
    uint8_t cluster[KEYS_NAME_HASH];
    uint64_t node;
    uint64_t boot;
    uint64_t ctr;            /* of the last packet */
    uint8_t own[KEYS_BYTES]; /* derived from the first key */
    struct senders senders;
    uint64_t counts[SEAL_VERDICTS];
};

struct head {
    uint8_t version;
    uint8_t kid;
    uint64_t node;
    uint64_t boot;
    uint64_t ctr;
};

const char *seal_verdict_name(enum seal_verdict verdict)
{
    static const char *const names[SEAL_VERDICTS] = {"ok",     "short", "long", "version", "key",
                                                     "forged", "own",   "old",  "replayed"};
    return (unsigned)verdict < SEAL_VERDICTS ? names[verdict] : "unknown";
}

static void put(uint8_t *at, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, number >>= 8)
        at[i] = (uint8_t)number;
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

static void write_head(const struct head *head, uint8_t out[SEAL_HEAD])
{
    out[0] = head->version;
    out[1] = head->kid;
    put(out + 2, head->node, 8);
    put(out + 10, head->boot, 8);
    put(out + 18, head->ctr, 6);
}

static struct head read_head(const uint8_t *packet)
{
    return (struct head){.version = packet[0],
                         .kid = packet[1],
                         .node = get(packet + 2, 8),
                         .boot = get(packet + 10, 8),
                         .ctr = get(packet + 18, 6)};
}

static void derive(const struct key *key, uint64_t node, uint64_t boot, uint8_t out[KEYS_BYTES])
{
    uint8_t text[4 + 8 + 8] = "udp1";
    put(text + 4, node, 8);
    put(text + 12, boot, 8);
    crypto_generichash(out, KEYS_BYTES, text, sizeof text, key->bytes, KEYS_BYTES);
}

/* What the tag covers beside the body, and the nonce. */
static void frame(const struct seal *self, const uint8_t *packet, uint8_t aad[AAD_LEN],
                  uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES])
{
    memcpy(aad, packet, SEAL_HEAD);
    memcpy(aad + SEAL_HEAD, self->cluster, KEYS_NAME_HASH);
    memset(nonce, 0, crypto_aead_chacha20poly1305_IETF_NPUBBYTES);
    memcpy(nonce + 6, packet + 18, 6);
}

struct seal *seal_new(const struct seal_config *config)
{
    struct seal *self = mem_new(sizeof *self);
    self->node = config->node;
    self->boot = config->boot;
    keys_name_hash(config->cluster, self->cluster);
    senders_init(&self->senders);
    seal_set_keys(self, config->keys);
    return self;
}

void seal_free(struct seal *self_owned)
{
    if (!self_owned)
        return;
    senders_fini(&self_owned->senders);
    sodium_memzero(self_owned, sizeof *self_owned);
    free(self_owned);
}

void seal_set_keys(struct seal *self, const struct keys *keys)
{
    assert(keys->count >= 1 && keys->count <= KEYS_MAX);
    self->keys = *keys;
    derive(&self->keys.key[0], self->node, self->boot, self->own);
}

size_t seal_close(struct seal *self, const void *body, size_t len, uint8_t *out)
{
    assert(len <= WIRE_PACKET_BODY && self->ctr < CTR_MAX);
    write_head(&(struct head){.version = SEAL_VERSION,
                              .kid = self->keys.key[0].kid,
                              .node = self->node,
                              .boot = self->boot,
                              .ctr = ++self->ctr},
               out);
    uint8_t aad[AAD_LEN];
    uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];
    frame(self, out, aad, nonce);
    unsigned long long sealed;
    crypto_aead_chacha20poly1305_ietf_encrypt(out + SEAL_HEAD, &sealed, body, len, aad, sizeof aad,
                                              NULL, nonce, self->own);
    return SEAL_HEAD + (size_t)sealed;
}

/* What can be said before any cryptography. */
static enum seal_verdict look_at(const struct seal *self, const uint8_t *packet, size_t len,
                                 struct head *head)
{
    if (len < SEAL_HEAD + SEAL_TAG)
        return SEAL_SHORT;
    if (len > WIRE_PACKET_MAX)
        return SEAL_LONG;
    *head = read_head(packet);
    if (head->version != SEAL_VERSION)
        return SEAL_VERSION_UNKNOWN;
    if (!keys_find(&self->keys, head->kid))
        return SEAL_KEY_UNKNOWN;
    return SEAL_OK;
}

/* Of a packet that authenticated. What is played again does not even make its sender look alive. */
static enum seal_verdict admit(struct seal *self, const struct head *head,
                               const uint8_t key[KEYS_BYTES])
{
    struct sender *sender = senders_find(&self->senders, head->node, head->boot);
    if (sender) {
        enum seal_verdict verdict = sender_note(sender, head->ctr);
        if (verdict != SEAL_OK)
            return verdict;
    }
    bool stranger = !sender;
    sender = senders_admit(&self->senders, head->node, head->boot);
    memcpy(sender->key, key, KEYS_BYTES);
    sender->kid = head->kid;
    return stranger ? sender_note(sender, head->ctr) : SEAL_OK;
}

static enum seal_verdict open_packet(struct seal *self, const uint8_t *packet, size_t len,
                                     struct seal_opened *out)
{
    struct head head;
    enum seal_verdict verdict = look_at(self, packet, len, &head);
    if (verdict != SEAL_OK)
        return verdict;
    uint8_t key[KEYS_BYTES];
    const struct sender *known = senders_find(&self->senders, head.node, head.boot);
    if (known && known->kid == head.kid)
        memcpy(key, known->key, sizeof key);
    else
        derive(keys_find(&self->keys, head.kid), head.node, head.boot, key);
    uint8_t aad[AAD_LEN];
    uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];
    frame(self, packet, aad, nonce);
    unsigned long long opened = 0;
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out->body, &opened, NULL, packet + SEAL_HEAD,
                                                  len - SEAL_HEAD, aad, sizeof aad, nonce, key))
        return SEAL_FORGED;
    if (head.node == self->node && head.boot == self->boot)
        return SEAL_OWN;
    out->node = head.node;
    out->boot = head.boot;
    out->len = (size_t)opened;
    return admit(self, &head, key);
}

enum seal_verdict seal_open(struct seal *self, const void *packet, size_t len,
                            struct seal_opened *out)
{
    enum seal_verdict verdict = open_packet(self, packet, len, out);
    self->counts[verdict]++;
    return verdict;
}

const uint64_t *seal_counts(const struct seal *self) { return self->counts; }

size_t seal_sender_count(const struct seal *self) { return self->senders.count; }
