/* client: what the verbs ask a node for. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/doc.h"
#include "cli/http.h"
#include "proto/base/json.h"

/* Reads an evaluation's id as a user typed it. Errors: ERR_INVALID. */
int client_check_id(const char *text, struct err *err) ERR_CHECKED;

/* Asks for `path` and reads the answer as JSON. Returns owned, or NULL. */
json_t *client_get_json(struct http_client *http, const char *path, struct err *err) ERR_CHECKED;

struct client_upload {
    const char *zip;         /* NULL: `urls` */
    const char *const *urls; /* of repositories that the node fetches */
    size_t url_count;
    const char *token;    /* for the repositories' host; NULL: none */
    bool statuses;        /* of the commits, at that host */
    const char *zip_name; /* what it is called there */
    const char *tests;    /* a zip that is laid over every project; NULL: none */
    const char *name;     /* of the evaluation; NULL: none */
    const char *options;  /* JSON; NULL: none */
};

/* Submits projects. Writes the evaluation's id, owned, to `*id`, and the answer's body to `body`.
 */
int client_submit(struct http_client *http, const struct client_upload *upload, char **id,
                  struct buf *body, struct err *err) ERR_CHECKED;

/* Is called with each item of a list of tests; returns false to end it. */
typedef bool client_test_fn(void *arg, const json_t *item);

struct client_test_query {
    const char *id;
    const char *project, *module, *outcome; /* NULL: any */
    bool detail;                            /* with tracebacks and output */
    unsigned limit;                         /* a page's size */
};

/* Goes through the tests of an evaluation, page by page. */
int client_each_test(struct http_client *http, const struct client_test_query *query,
                     client_test_fn *each, void *arg, struct err *err) ERR_CHECKED;

#endif
