/* upload: a POST /evaluation on its way: what has come of its body, and what has become of that.
 *
 * upload.c takes the body in, submit.c does the rest. */
#ifndef NODE_API_UPLOAD_H
#define NODE_API_UPLOAD_H

#include "node/api/git_request.h"
#include "node/api/internal.h"
#include "node/api/repositories.h"
#include "node/api/submit_options.h"

enum upload_field {
    UPLOAD_FILE,
    UPLOAD_TESTS,
    UPLOAD_NAME,
    UPLOAD_OPTIONS,
    UPLOAD_REPOSITORIES, /* "projects", or the whole body where it is application/json */
    UPLOAD_OTHER
};

struct upload {
    struct api *api;
    struct http_exchange *x; /* NULL: the client has left */
    struct upload *next;
    char *folder; /* of its own, in the store's folder for temporary files */
    enum upload_field field;
    unsigned seen; /* a bit a field */
    int fd;        /* of the staging file being written */
    struct hash_state hashing;
    struct hash digest; /* of all fields: tells a repeated request from another one */
    char *filename;
    struct buf name;
    struct buf options_text;
    struct buf json; /* wiped: a token is in it */
    struct submit_options options;
    char *key;              /* Idempotency-Key, or NULL */
    char user[HASH_HEX];    /* whose key it is */
    struct git_request git; /* of UPLOAD_REPOSITORIES */
    struct hash secret;     /* its token's blob, sealed, once it is asked for; or none */
    bool is_submitted;      /* it is the mesh's now */
    bool statuses; /* of the commits, are to be told */
    struct intake *intake;
    struct intake_result result;
    struct intake_result overlay;
    size_t adopting;    /* blobs on their way */
    struct err failure; /* the first that failed */
    uint64_t id;
    unsigned draws; /* of ids that were taken */
};

extern const struct http_form upload_form; /* its state is the upload */

/* Stops what is under way, takes the files away and frees. Nothing of it may be on its way to the
 * store. */
void upload_free(struct upload *self_owned);

bool upload_has(const struct upload *self, enum upload_field field);

/* The path of a file of its own; UPLOAD_FILE and UPLOAD_TESTS are in "file.zip" and "tests.zip".
 * Returns owned. */
char *upload_path(const struct upload *self, const char *name);

#endif
