/* blobs: content-named files that travel from node to node on the links of net.h.
 *
 * Only ever pulled: a node asks for 256 KiB at a time, a few requests ahead. Bytes go to a partial
 * file in the store's tmp folder and are hashed on the way; at the end the store adopts the file if
 * the hash is right. When a source dies, is silent or busy, the next one goes on where it stopped.
 * When the whole has a wrong hash, those who sent it are asked no more (or last, when it came from
 * several), and it begins anew.
 *
 * A node serves at most 4 uploads at once, not counting blobs of one piece. Further ones are told
 * who got the blob from here lately, so that the number of sources doubles and the first one does
 * not carry all. Only whole blobs under their name are served, and one is pinned while it is.
 *
 * The partial file of a fetch that failed, or was cancelled, is kept for a while: a later fetch of
 * the same blob goes on there. A restart of the node begins anew (the store empties its tmp
 * folder).
 */
#ifndef NODE_NET_BLOBS_H
#define NODE_NET_BLOBS_H

#include "node/net/net.h"
#include "proto/base/hash.h"

struct blobs;
struct store;

struct blobs_config {
    struct event_base *base;
    struct net *net;     /* borrowed; at most one blobs on it */
    struct store *store; /* borrowed */
    /* Says where a node is now; false when it is not known or not alive. */
    bool (*locate)(void *arg, uint64_t nid, struct wire_addr *out);
    void *arg;

    /* For tests; 0 for the default. */
    uint32_t silent_ms;  /* 10000: without a byte from a source, then the next one is asked */
    uint32_t give_up_ms; /* 60000: without a byte from any source, then the fetch has failed */
    uint32_t lost_ms;    /* 3000: the same where nobody knows where any of them is */
    uint64_t bytes_max;  /* 4 GiB: a larger blob is refused */
};

/* Returns owned. */
struct blobs *blobs_new(const struct blobs_config *config);

/* Cancels everything; no callback. To be called before net_free(). NULL is fine. */
void blobs_free(struct blobs *self_owned);

/* Called once, from the loop. err->code ERR_NONE: the blob is in the store, durable, and pinned
 * during the call. ERR_NOT_FOUND: no source has it. ERR_UNAVAILABLE: no source could be reached in
 * time, or our disk failed. ERR_CORRUPT: none sent the right bytes. ERR_TOO_LARGE. ERR_CANCELLED.
 */
typedef void blobs_done_fn(void *arg, const struct hash *hash, const struct err *err);

/* Gets a blob. Sources are tried in their order; our own id among them is skipped. Whoever wants a
 * blob that is being fetched joins that fetch, and adds his sources; one that is there already is
 * answered at once (from the loop). `ext` as in store_put_blob(). Returns a ticket for
 * blobs_cancel(), never 0. */
uint64_t blobs_fetch(struct blobs *self, const struct hash *hash, const char *ext,
                     const uint64_t *sources, size_t source_count, blobs_done_fn *done, void *arg);

/* Nobody waits for this answer any more: its `done` is not called. A ticket that was answered is
 * ignored. */
void blobs_cancel(struct blobs *self, uint64_t ticket);

/* Asks a node which of `count` (256 at most) blobs it has. `have` is NULL when it did not say. */
typedef void blobs_have_fn(void *arg, uint64_t nid, const bool *have, size_t count);
void blobs_ask(struct blobs *self, uint64_t nid, const struct hash *hashes, size_t count,
               blobs_have_fn *done, void *arg);

#endif
