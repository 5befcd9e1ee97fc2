#include "node/http/parse.h"

#include "node/http/chars.h"

#include <assert.h>
#include <string.h>

#define CHUNK_LINE_MAX   256
#define EXTRA_MAX        (16 * 1024)
#define CHUNK_DIGITS     15 /* below 2^60: no sum of such sizes is ever near an overflow */
#define REQUEST_LINE_ADD 32

void http_parse_init(struct http_parser *self, const struct http_parse_limits *limits)
{
    assert(limits->head_fields <= HTTP_FIELDS_MAX);
    memset(self, 0, sizeof *self);
    self->limits = *limits;
    http_head_init(&self->head);
}

void http_parse_fini(struct http_parser *self)
{
    http_head_fini(&self->head);
    buf_fini(&self->line);
}

void http_parse_next(struct http_parser *self)
{
    struct http_parse_limits limits = self->limits;
    http_parse_fini(self);
    http_parse_init(self, &limits);
}

bool http_parse_has_begun(const struct http_parser *self)
{
    return self->state != HTTP_AT_REQUEST_LINE || self->head_len > 0;
}

static void refuse(struct http_parser *self, struct http_parse_out *out, const char *reason)
{
    self->state = HTTP_AT_BAD;
    self->reason = reason;
    out->event = HTTP_PARSE_BAD;
    out->reason = reason;
}

/* ---- lines -------------------------------------------------------------------------------- */

static const char *check_room(struct http_parser *self)
{
    switch (self->state) {
    case HTTP_AT_REQUEST_LINE:
        if (self->line_len > self->limits.target_bytes + REQUEST_LINE_ADD)
            return "http-target-too-long";
        return ++self->head_len > self->limits.head_bytes ? "http-head-too-large" : NULL;
    case HTTP_AT_FIELDS:
        return ++self->head_len > self->limits.head_bytes ? "http-head-too-large" : NULL;
    case HTTP_AT_TRAILERS:
        return ++self->extra_len > EXTRA_MAX ? "http-trailers" : NULL;
    case HTTP_AT_CHUNK_SIZE:
        return self->line_len > CHUNK_LINE_MAX ? "http-chunk-size" : NULL;
    case HTTP_AT_FIXED:
    case HTTP_AT_CHUNK_DATA:
    case HTTP_AT_CHUNK_END:
    case HTTP_AT_END:
    case HTTP_AT_BAD:
        break;
    }
    return NULL;
}

/* Takes one byte of a line. Returns 1 when the line is whole, 0 for more, -1 with a reason. */
static int take_byte(struct http_parser *self, char c, const char **reason)
{
    *reason = check_room(self);
    if (*reason)
        return -1;
    if (self->after_cr) {
        *reason = "http-bare-cr";
        self->after_cr = false;
        return c == '\n' ? 1 : -1;
    }
    if (c == '\r') {
        self->after_cr = true;
        return 0;
    }
    if (!chars_is_text(c)) {
        *reason = c == '\n' ? "http-bare-lf" : "http-control-character";
        return -1;
    }
    bool in_head = self->state == HTTP_AT_REQUEST_LINE || self->state == HTTP_AT_FIELDS;
    buf_putc(in_head ? &self->head.text : &self->line, c);
    self->line_len++;
    return 0;
}

static int take_line(struct http_parser *self, const char *bytes, size_t len,
                     struct http_parse_out *out)
{
    while (out->used < len) {
        const char *reason = NULL;
        int got = take_byte(self, bytes[out->used++], &reason);
        if (got < 0)
            refuse(self, out, reason);
        if (got != 0)
            return got;
    }
    return 0;
}

static void end_line(struct http_parser *self)
{
    buf_clear(&self->line);
    self->line_start = self->head.text.len;
    self->line_len = 0;
}

/* ---- the head ----------------------------------------------------------------------------- */

static void finish_head(struct http_parser *self, struct http_parse_out *out)
{
    const char *reason = http_head_finish(&self->head);
    if (reason) {
        refuse(self, out, reason);
        return;
    }
    out->event = HTTP_PARSE_HEAD;
    if (self->head.chunked) {
        self->state = HTTP_AT_CHUNK_SIZE;
    } else if (self->head.content_length > 0) {
        self->left = (uint64_t)self->head.content_length;
        self->state = HTTP_AT_FIXED;
    } else {
        self->state = HTTP_AT_END;
    }
}

static void step_head(struct http_parser *self, const char *bytes, size_t len,
                      struct http_parse_out *out)
{
    while (take_line(self, bytes, len, out) > 0) {
        bool is_first = self->state == HTTP_AT_REQUEST_LINE;
        if (self->line_len == 0 && !is_first) {
            finish_head(self, out);
            return;
        }
        if (self->line_len == 0) {
            /* RFC 9112 section 2.2: one empty line before a request is forgiven. */
            if (self->head_len <= 2)
                continue;
            refuse(self, out, "http-request-line");
            return;
        }
        const char *reason =
            is_first ? http_head_request_line(&self->head, self->line_start)
                     : http_head_field(&self->head, self->line_start, self->limits.head_fields);
        if (reason) {
            refuse(self, out, reason);
            return;
        }
        self->state = HTTP_AT_FIELDS;
        end_line(self);
    }
}

/* ---- the body ----------------------------------------------------------------------------- */

static void step_data(struct http_parser *self, const char *bytes, size_t len,
                      struct http_parse_out *out)
{
    if (len == 0)
        return;
    size_t take = len < self->left ? len : (size_t)self->left;
    out->event = HTTP_PARSE_DATA;
    out->data = bytes;
    out->data_len = take;
    out->used = take;
    self->left -= take;
    if (self->left == 0)
        self->state = self->state == HTTP_AT_FIXED ? HTTP_AT_END : HTTP_AT_CHUNK_END;
}

static bool read_chunk_size(struct http_parser *self, const char *line, size_t len)
{
    size_t at = 0;
    self->left = 0;
    for (; at < len && chars_hex(line[at]) >= 0; at++) {
        if (at == CHUNK_DIGITS)
            return false;
        self->left = self->left * 16 + (uint64_t)chars_hex(line[at]);
    }
    self->extra_len += len - at;
    return at > 0 && (at == len || line[at] == ';') && self->extra_len <= EXTRA_MAX;
}

static void step_chunk_size(struct http_parser *self, const char *bytes, size_t len,
                            struct http_parse_out *out)
{
    if (take_line(self, bytes, len, out) <= 0)
        return;
    if (!read_chunk_size(self, self->line.data, self->line_len)) {
        refuse(self, out, "http-chunk-size");
        return;
    }
    end_line(self);
    self->state = self->left > 0 ? HTTP_AT_CHUNK_DATA : HTTP_AT_TRAILERS;
}

/* The CRLF behind a chunk's data. */
static void step_chunk_end(struct http_parser *self, const char *bytes, size_t len,
                           struct http_parse_out *out)
{
    while (out->used < len) {
        char c = bytes[out->used++];
        if (c != (self->after_cr ? '\n' : '\r')) {
            refuse(self, out, "http-chunk-end");
            return;
        }
        self->after_cr = !self->after_cr;
        if (!self->after_cr) {
            self->state = HTTP_AT_CHUNK_SIZE;
            return;
        }
    }
}

/* Trailers are held to the rules of headers and then dropped: nothing may change a request after it
 * was judged. */
static void step_trailers(struct http_parser *self, const char *bytes, size_t len,
                          struct http_parse_out *out)
{
    while (take_line(self, bytes, len, out) > 0) {
        if (self->line_len == 0) {
            self->state = HTTP_AT_END;
            return;
        }
        const char *line = self->line.data;
        const char *colon = memchr(line, ':', self->line_len);
        if (!colon || !chars_are_token(line, (size_t)(colon - line))) {
            refuse(self, out, "http-trailers");
            return;
        }
        end_line(self);
    }
}

static void step_once(struct http_parser *self, const char *bytes, size_t len,
                      struct http_parse_out *out)
{
    switch (self->state) {
    case HTTP_AT_REQUEST_LINE:
    case HTTP_AT_FIELDS:
        step_head(self, bytes, len, out);
        return;
    case HTTP_AT_FIXED:
    case HTTP_AT_CHUNK_DATA:
        step_data(self, bytes, len, out);
        return;
    case HTTP_AT_CHUNK_SIZE:
        step_chunk_size(self, bytes, len, out);
        return;
    case HTTP_AT_CHUNK_END:
        step_chunk_end(self, bytes, len, out);
        return;
    case HTTP_AT_TRAILERS:
        step_trailers(self, bytes, len, out);
        return;
    case HTTP_AT_END:
        out->event = HTTP_PARSE_END;
        return;
    case HTTP_AT_BAD:
        refuse(self, out, self->reason);
        return;
    }
}

void http_parse_step(struct http_parser *self, const char *bytes, size_t len,
                     struct http_parse_out *out)
{
    size_t used = 0;
    do {
        *out = (struct http_parse_out){.event = HTTP_PARSE_MORE};
        step_once(self, used ? bytes + used : bytes, len - used, out); /* no offset to a NULL */
        used += out->used;
    } while (out->event == HTTP_PARSE_MORE && (used < len || self->state == HTTP_AT_END));
    out->used = used;
}
