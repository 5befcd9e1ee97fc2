/* http: requests to one node (libcurl). Blocking. Answers are bounded. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_ANSWER_MAX (64 * 1024 * 1024) /* 300 projects of 100 modules take about a tenth */
#define HTTP_ETAG_MAX   128

/* A part of multipart/form-data; ends with a NULL name. */
struct http_part {
    const char *name;
    const char *path;      /* a file that is sent as it is read, or NULL */
    const char *file_name; /* what the file is called there */
    const char *text;      /* the value where there is no path */
};

/* Called about once a second and whenever bytes move. Returning true gives the request up. */
typedef bool http_tick_fn(void *arg, uint64_t sent, uint64_t to_send);

struct http_request {
    const char *method;            /* NULL: GET */
    const char *path;              /* "/evaluation/1?wait=5" */
    const struct http_part *parts; /* a body; NULL: none */
    const char *json;              /* a body, too; NULL: none */
    const char *token;             /* in place of $TESTMESH_TOKEN; NULL: that one */
    const char *if_none_match;     /* an ETag; NULL or "": none */
    uint32_t timeout_ms;           /* without any byte moving; 0: 30 s */
};

struct http_answer {
    long status;
    struct buf body;
    char etag[HTTP_ETAG_MAX]; /* "" where there was none */
    long retry_after_s;
};

struct http_client;

/* Prepares for requests to `url` ("http://host:port", no path). A token in $TESTMESH_TOKEN goes
 * with each. Returns owned, or NULL. Errors: ERR_INVALID for a URL that is none. */
struct http_client *http_open(const char *url, struct err *err) ERR_CHECKED;
void http_close(struct http_client *self_owned);

/* The URL without a slash at its end; borrowed. */
const char *http_url(const struct http_client *self);

/* Says whether it can be nothing but this machine. */
bool http_is_loopback(const struct http_client *self);

void http_on_tick(struct http_client *self, http_tick_fn *tick, void *arg);

/* Sends, and fills `out` (zeroed or used before; http_answer_fini() in the end) with whatever
 * status came. Errors: ERR_UNAVAILABLE when nobody answers there, ERR_TIMEOUT, ERR_CANCELLED by the
 * tick, ERR_TOO_LARGE, ERR_IO. */
int http_send(struct http_client *self, const struct http_request *request, struct http_answer *out,
              struct err *err) ERR_CHECKED;

/* As http_send(), and a status of 400 or more becomes an error with the words of its problem
 * document. */
int http_expect(struct http_client *self, const struct http_request *request,
                struct http_answer *out, struct err *err) ERR_CHECKED;

void http_answer_fini(struct http_answer *self);

/* Appends `text` percent-encoded for a path or a query, but for the characters in `keep`. */
void http_escape(const char *text, const char *keep, struct buf *out);

static inline void http_close_at(struct http_client **self)
{
    if (*self != NULL)
        http_close(*self);
}
#define owned_http   __attribute__((cleanup(http_close_at))) struct http_client
#define owned_answer __attribute__((cleanup(http_answer_fini))) struct http_answer

#endif
