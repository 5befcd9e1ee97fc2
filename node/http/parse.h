/* parse: HTTP/1.1 requests out of bytes of any split, strictly (RFC 9110, RFC 9112).
 *
 * The answer never depends on where the bytes were cut. What is refused, is refused for good: the
 * connection has lost its framing and must end. Refusals are names of rows of problems.tbl.
 *
 *   head: CRLF only; one blank between the parts of the request line; no folding, no blank before a
 * colon, no control characters; exactly one Host; Content-Length in digits, once; Transfer-Encoding
 * "chunked", once, never with a length body: Content-Length or chunked; strict sizes, bounded
 * extensions and trailers, both dropped
 */
#ifndef NODE_HTTP_PARSE_H
#define NODE_HTTP_PARSE_H

#include "node/http/head.h"

enum http_parse_event {
    HTTP_PARSE_MORE, /* all bytes are used; give more */
    HTTP_PARSE_HEAD, /* `head` is whole; the body follows (perhaps none: then END is next) */
    HTTP_PARSE_DATA, /* a piece of the body: a part of the bytes given, or more of them later */
    HTTP_PARSE_END,  /* the request is whole; http_parse_next() for another */
    HTTP_PARSE_BAD,  /* `reason` says why; every later step says so again */
};

struct http_parse_out {
    enum http_parse_event event;
    size_t used; /* bytes to be taken off the input; the step may leave some with MORE never */
    const char *data;
    size_t data_len;
    const char *reason;
};

struct http_parse_limits {
    size_t head_bytes;
    size_t head_fields;  /* at most HTTP_FIELDS_MAX */
    size_t target_bytes; /* the whole request line but 32 bytes */
};

enum http_parse_state {
    HTTP_AT_REQUEST_LINE,
    HTTP_AT_FIELDS,
    HTTP_AT_FIXED,
    HTTP_AT_CHUNK_SIZE,
    HTTP_AT_CHUNK_DATA,
    HTTP_AT_CHUNK_END,
    HTTP_AT_TRAILERS,
    HTTP_AT_END,
    HTTP_AT_BAD,
};

struct http_parser {
    struct http_parse_limits limits;
    struct http_head head;
    enum http_parse_state state;
    struct buf line;   /* of chunk sizes and trailers; the head's lines go to head.text, which then
                          stays put */
    size_t line_start; /* of the line under way, in head.text */
    size_t line_len;   /* with a CR that is not followed yet */
    size_t head_len;   /* bytes of head seen */
    size_t extra_len;  /* bytes of chunk extensions and trailers seen */
    uint64_t left;     /* of the body, or of the chunk */
    bool after_cr;
    const char *reason;
};

/* Prepares for the first request of a connection. */
void http_parse_init(struct http_parser *self, const struct http_parse_limits *limits);
void http_parse_fini(struct http_parser *self);

/* Takes bytes and fills `out` with one event; call again with what was not used until it says MORE.
 * With no bytes it may still have an event (END after a head without a body). `data` is borrowed
 * from `bytes`. */
void http_parse_step(struct http_parser *self, const char *bytes, size_t len,
                     struct http_parse_out *out);

/* After END: prepares for the next request and gives the head's memory back. */
void http_parse_next(struct http_parser *self);

/* Whether a byte of the request has been seen. */
bool http_parse_has_begun(const struct http_parser *self);

#endif
