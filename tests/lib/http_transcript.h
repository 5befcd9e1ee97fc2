/* What the parsers make of bytes, as text that does not depend on how the bytes were cut: the unit
 * tests and the fuzzers hold one cut against another with it. */
#ifndef TESTS_LIB_HTTP_TRANSCRIPT_H
#define TESTS_LIB_HTTP_TRANSCRIPT_H

#include "node/http/multipart.h"
#include "node/http/parse.h"

#include <string.h>

static const struct http_parse_limits transcript_limits = {
    .head_bytes = 4096, .head_fields = 20, .target_bytes = 256};

/* Hands out `len` bytes in pieces: of `size` each, or cut once at `size` where `once`. */
struct transcript_cut {
    size_t size;
    bool once;
};

static inline size_t transcript_piece(const struct transcript_cut *cut, size_t at, size_t len)
{
    size_t left = len - at;
    if (cut->once)
        return at < cut->size && cut->size < len ? cut->size - at : left;
    return cut->size && cut->size < left ? cut->size : left;
}

static inline void transcript_head(struct buf *out, const struct http_head *head)
{
    buf_printf(out, "%s %s ? %s host=%s 1.%u keep=%d expect=%d\n", head->method,
               http_head_text(head, head->path), http_head_text(head, head->query),
               http_head_text(head, head->host), head->minor, head->keep_alive,
               head->expects_continue);
    for (size_t i = 0; i < head->field_count; i++)
        buf_printf(out, "%s=%s\n", http_head_text(head, head->fields[i].name),
                   http_head_text(head, head->fields[i].value));
    buf_puts(out, "body:");
}

/* Returns false when the parser is done for. */
static inline bool transcript_event(struct buf *out, struct http_parser *parser,
                                    const struct http_parse_out *step)
{
    switch (step->event) {
    case HTTP_PARSE_MORE:
        return true;
    case HTTP_PARSE_HEAD:
        transcript_head(out, &parser->head);
        return true;
    case HTTP_PARSE_DATA:
        buf_append(out, step->data, step->data_len);
        return true;
    case HTTP_PARSE_END:
        buf_puts(out, "\nend\n");
        http_parse_next(parser);
        return true;
    case HTTP_PARSE_BAD:
        buf_printf(out, "\nbad %s\n", step->reason);
        return false;
    }
    return false;
}

/* Appends what a connection that sends these bytes would be understood as. */
static inline void transcript_http(struct buf *out, const char *bytes, size_t len,
                                   struct transcript_cut cut)
{
    struct http_parser parser;
    http_parse_init(&parser, &transcript_limits);
    bool alive = true;
    for (size_t at = 0; at < len && alive;) {
        size_t piece = transcript_piece(&cut, at, len);
        size_t used = 0;
        struct http_parse_out step = {.event = HTTP_PARSE_HEAD};
        while (alive && (used < piece || step.event != HTTP_PARSE_MORE)) {
            http_parse_step(&parser, bytes + at + used, piece - used, &step);
            used += step.used;
            alive = transcript_event(out, &parser, &step);
        }
        at += piece;
    }
    http_parse_fini(&parser);
}

static inline void transcript_part(struct buf *out, const struct multipart *parts,
                                   const struct multipart_out *step)
{
    switch (step->event) {
    case MULTIPART_MORE:
        return;
    case MULTIPART_PART:
        buf_printf(out, "part %s file=%s type=%s:", buf_str(&parts->name),
                   parts->has_filename ? buf_str(&parts->filename) : "-", buf_str(&parts->type));
        return;
    case MULTIPART_DATA:
        buf_append(out, step->data, step->data_len);
        return;
    case MULTIPART_ENDED:
        buf_puts(out, "\nended\n");
        return;
    case MULTIPART_BAD:
        return;
    }
}

/* Appends the parts of a body, and "whole" or why it is refused. */
static inline void transcript_multipart(struct buf *out, const char *boundary, const char *bytes,
                                        size_t len, struct transcript_cut cut)
{
    struct multipart parts;
    multipart_init(&parts, boundary, 8);
    struct multipart_out step = {.event = MULTIPART_MORE};
    for (size_t at = 0; at < len && step.event != MULTIPART_BAD;) {
        size_t piece = transcript_piece(&cut, at, len);
        for (size_t used = 0; used < piece && step.event != MULTIPART_BAD; used += step.used) {
            multipart_step(&parts, bytes + at + used, piece - used, &step);
            transcript_part(out, &parts, &step);
        }
        at += piece;
    }
    const char *reason = multipart_finish(&parts);
    buf_printf(out, "%s\n", reason ? reason : "whole");
    multipart_fini(&parts);
}

#endif
