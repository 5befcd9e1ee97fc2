/* head: the request line and the headers of one request, line by line, after RFC 9110 and 9112.
 *
 * Stricter than the RFCs where leniency lets two parsers see two requests: what is doubtful is
 * refused, with the name of a row of problems.tbl. */
#ifndef NODE_HTTP_HEAD_H
#define NODE_HTTP_HEAD_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_MAX 100
#define HTTP_METHOD_MAX 16

/* Places in http_head.text, where each text ends with a zero. */
struct http_field {
    uint32_t name; /* in lower case */
    uint32_t value;
};

struct http_head {
    struct buf text;
    char method[HTTP_METHOD_MAX + 1];
    uint32_t path;  /* "/…", or "*"; escapes checked, still there */
    uint32_t query; /* without "?"; empty for none */
    uint32_t host;  /* of the target where that is absolute, else the Host header; empty in 1.0 */
    uint32_t authority;
    unsigned minor; /* HTTP/1.minor: 0 or 1 */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    int64_t content_length; /* -1: none announced */
    bool chunked;
    bool keep_alive;
    bool expects_continue;
};

/* Prepares for a request; frees nothing that http_head_fini() would. */
void http_head_init(struct http_head *self);
void http_head_fini(struct http_head *self);

/* Take one line each, without its CRLF, of characters that chars_is_text() lets pass. They return
 * NULL, or why the line is refused (static). The line stands at the end of `text`, from `start`. */
const char *http_head_request_line(struct http_head *self, size_t start);
const char *http_head_field(struct http_head *self, size_t start, size_t fields_max);

/* Judges the head as a whole: host, framing, connection, expectation. */
const char *http_head_finish(struct http_head *self);

/* The first value of a header (name in lower case), borrowed; NULL for none. */
const char *http_head_value(const struct http_head *self, const char *name);

static inline const char *http_head_text(const struct http_head *self, uint32_t at)
{
    return self->text.data ? self->text.data + at : "";
}

/* Trims blanks and tabs in place: returns the place of the rest and ends it with a zero. */
char *http_trim(char *text);

#endif
