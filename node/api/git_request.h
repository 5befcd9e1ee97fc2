/* git_request: the body of a POST /evaluation that names repositories. Pure.
 *
 *     {"auth_token": "…", "projects": ["https://github.com/owner/name", …],
 *      "statuses": true, "name": "…", "options": {…}}
 *
 * All but projects is optional. */
#ifndef NODE_API_GIT_REQUEST_H
#define NODE_API_GIT_REQUEST_H

#include "proto/base/err.h"
#include "proto/base/hash.h"

#include <stdbool.h>
#include <stddef.h>

#define GIT_REQUEST_MAX  ((size_t)1 << 20) /* bytes of JSON */
#define GIT_PROJECTS_MAX 1000

struct git_request {
    char *token; /* NULL: none. For the host of the first URL. wipe_keep()'s */
    char **urls; /* as they were sent */
    size_t url_count;
    bool statuses; /* of the commits, are to be told to their host */
    char *name;    /* of the evaluation; NULL: none */
    char *options; /* JSON for submit_options_read(); NULL: none */
    struct hash digest;
};

/* Reads the body and wipes it: `text` is overwritten. `digest` is of what was asked for in its one
 * form, without the token: the same request with a new token is the same request.
 * git_request_fini() in any case. Errors: ERR_INVALID bad-request or bad-json, ERR_UNPROCESSABLE
 * bad-projects, bad-token or statuses-token. */
int git_request_read(struct git_request *self, char *text, size_t len, struct err *err) ERR_CHECKED;

void git_request_fini(struct git_request *self);

#endif
