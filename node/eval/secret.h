/* secret: the token of an evaluation's repositories, from the 202 until nobody clones any more.
 *
 * Whoever takes an evaluation over must be able to go on cloning, so the token is kept where the
 * request is: on its replicas, as a blob of its own that the request names. It is sealed with
 * XChaCha20-Poly1305 (libsodium) under a key that follows from the cluster's: a stolen data folder
 * does not have it, nor does a backup, a log or a document. The file is its owner's alone, is
 * unlinked when the last clone is over, and is no part of any record.
 *
 * What is sealed beside the token, and what it is bound to:
 * - the one host that it is for, inside: a document whose URLs were changed sends it nowhere else;
 * - the cluster and the digest of the request's body (doc_req.body), authenticated: it opens for
 *   that request only. Not its id: a request with a key has its blob before the id is known, and
 *   may go through several; the digest is the same for all of them, and for no other request.
 *
 * Two seals of one token never are the same bytes: nobody learns that two requests share one. */
#ifndef NODE_EVAL_SECRET_H
#define NODE_EVAL_SECRET_H

#include "node/store/store.h"
#include "proto/wire/keys.h"

#define SECRET_EXT STORE_EXT_SECRET /* of its blob */
#define SECRET_MAX 4096             /* bytes of one that is sealed */

/* One that is open. Its text is in pages of their own that are neither swapped nor dumped, and
 * wiped when it is closed. */
struct secret {
    char *host; /* "github.com" */
    uint16_t port;
    char *token;
};

/* What opens it: host_secrets() has this node's. Borrows. */
struct secret_place {
    const struct keys *keys;
    const char *cluster;
    struct store *store;
};

/* Seals into `out` (appended). `body` is the request's doc_req.body. host and token are at most 255
 * and 1024 bytes. */
void secret_seal(const struct secret_place *place, const struct hash *body,
                 const struct secret *secret, struct buf *out);

/* Opens the secret of a request from its blob, with whichever of the keys it was sealed with.
 * secret_close() in any case. Errors: ERR_NOT_FOUND it is not here, or the request has none;
 * ERR_CORRUPT it does not open: damaged, another request's, or its key was taken away. */
int secret_open(const struct secret_place *place, const struct doc_req *req, struct secret *out,
                struct err *err) ERR_CHECKED;
void secret_close(struct secret *self);

/* The same of bytes; only ERR_CORRUPT. */
int secret_unseal(const struct secret_place *place, const struct hash *body,
                  const struct buf *sealed, struct secret *out, struct err *err) ERR_CHECKED;

#endif
