#include "node/http/multipart.h"

#include "node/http/chars.h"
#include "node/http/head.h"

#include <assert.h>
#include <string.h>

#define PREAMBLE_MAX 1024
#define HEADER_MAX   (8 * 1024)

void multipart_init(struct multipart *self, const char *boundary, size_t parts_max)
{
    size_t len = strlen(boundary);
    assert(len > 0 && len <= MEDIA_BOUNDARY_MAX);
    memset(self, 0, sizeof *self);
    memcpy(self->delimiter, "\r\n--", 4);
    memcpy(self->delimiter + 4, boundary, len);
    self->delimiter_len = len + 4;
    self->delimiter[len + 4] =
        '-'; /* so that a delimiter and a dash that were data can be given back */
    self->parts_max = parts_max;
    self->matched = 2; /* the body begins as if behind a line */
}

void multipart_fini(struct multipart *self)
{
    buf_fini(&self->header);
    buf_fini(&self->name);
    buf_fini(&self->filename);
    buf_fini(&self->type);
}

static void refuse(struct multipart *self, struct multipart_out *out, const char *reason)
{
    self->state = MULTIPART_AT_BAD;
    self->reason = reason;
    out->event = MULTIPART_BAD;
    out->reason = reason;
}

/* ---- data --------------------------------------------------------------------------------- */

static void give(struct multipart *self, struct multipart_out *out, const char *data, size_t len)
{
    if (self->in_part) {
        out->event = MULTIPART_DATA;
        out->data = data;
        out->data_len = len;
        return;
    }
    self->preamble_len += len;
    if (self->preamble_len > PREAMBLE_MAX)
        refuse(self, out, "form-start");
}

/* What looked like a delimiter was data. `rest` bytes of it may still begin another. */
static void give_back(struct multipart *self, struct multipart_out *out, size_t len, size_t rest)
{
    self->state = MULTIPART_AT_DATA;
    self->matched = rest;
    self->tail = '\0';
    give(self, out, self->delimiter, len);
}

static void step_data(struct multipart *self, const char *bytes, size_t len,
                      struct multipart_out *out)
{
    if (self->matched == 0) {
        const char *cr = memchr(bytes, '\r', len);
        size_t plain = cr ? (size_t)(cr - bytes) : len;
        if (plain > 0) {
            out->used = plain;
            give(self, out, bytes, plain);
            return;
        }
    }
    while (out->used < len) {
        if (bytes[out->used] != self->delimiter[self->matched]) {
            give_back(self, out, self->matched, 0);
            return;
        }
        out->used++;
        if (++self->matched == self->delimiter_len) {
            self->state = MULTIPART_AT_TAIL;
            return;
        }
    }
}

static void end_part(struct multipart *self, struct multipart_out *out, enum multipart_state next)
{
    if (self->in_part)
        out->event = MULTIPART_ENDED;
    self->in_part = false;
    self->state = next;
    self->tail = '\0';
    self->matched = 0;
    self->header_len = 0;
    buf_clear(&self->name);
    buf_clear(&self->filename);
    buf_clear(&self->type);
    self->has_name = false;
    self->has_filename = false;
}

static void step_tail(struct multipart *self, char c, struct multipart_out *out)
{
    if (self->tail == '\0') {
        if (c != '-' && c != '\r') {
            give_back(self, out, self->delimiter_len, 0);
            return;
        }
        self->tail = c;
    } else if (self->tail == '-') {
        if (c != '-') {
            give_back(self, out, self->delimiter_len + 1, 0);
            return;
        }
        end_part(self, out, MULTIPART_AT_EPILOGUE);
    } else {
        if (c != '\n') {
            give_back(self, out, self->delimiter_len, 1);
            return;
        }
        end_part(self, out, MULTIPART_AT_HEADER);
    }
    out->used = 1;
}

/* ---- a part's headers ---------------------------------------------------------------------- */

/* RFC 8187: UTF-8'language'percent-escapes. Anything else is left to the plain filename. */
static bool read_extended(struct buf *out, const char *value)
{
    const char *quote = strchr(value, '\'');
    const char *text = quote ? strchr(quote + 1, '\'') : NULL;
    if (!text || !chars_same_n(value, (size_t)(quote - value), "utf-8"))
        return false;
    text++;
    if (!chars_escapes_ok(text, strlen(text)))
        return false;
    buf_clear(out);
    chars_unescape(out, text, strlen(text), false);
    return true;
}

static const char *read_disposition(struct multipart *self, const char *value)
{
    if (!media_is(value, "form-data") || self->has_name)
        return "form-disposition";
    struct media_param param = {0};
    bool has_extended = false;
    int got;
    while ((got = media_next_param(&value, &param)) > 0) {
        if (chars_same_n(param.name, param.name_len, "name")) {
            buf_clear(&self->name);
            buf_append(&self->name, buf_str(&param.value), param.value.len);
            self->has_name = true;
        } else if (chars_same_n(param.name, param.name_len, "filename*")) {
            has_extended = read_extended(&self->filename, buf_str(&param.value));
            self->has_filename |= has_extended;
        } else if (!has_extended && chars_same_n(param.name, param.name_len, "filename")) {
            buf_clear(&self->filename);
            buf_append(&self->filename, buf_str(&param.value), param.value.len);
            self->has_filename = true;
        }
    }
    buf_fini(&param.value);
    return got < 0 || !self->has_name ? "form-disposition" : NULL;
}

static const char *read_header(struct multipart *self)
{
    char *line = self->header.data;
    char *colon = strchr(line, ':');
    if (!colon || !chars_are_token(line, (size_t)(colon - line)))
        return "form-header";
    *colon = '\0';
    const char *value = http_trim(colon + 1);
    if (chars_same(line, "content-disposition"))
        return read_disposition(self, value);
    if (chars_same(line, "content-type")) {
        buf_clear(&self->type);
        media_type(&self->type, value);
    } else if (chars_same(line, "content-transfer-encoding")) {
        if (!chars_same(value, "binary") && !chars_same(value, "8bit") &&
            !chars_same(value, "7bit"))
            return "form-encoding";
    }
    return NULL;
}

static void begin_part(struct multipart *self, struct multipart_out *out)
{
    if (!self->has_name) {
        refuse(self, out, "form-disposition");
        return;
    }
    if (++self->part_count > self->parts_max) {
        refuse(self, out, "form-too-many-parts");
        return;
    }
    if (self->type.len == 0)
        buf_puts(&self->type, "text/plain");
    self->state = MULTIPART_AT_DATA;
    self->in_part = true;
    out->event = MULTIPART_PART;
}

static void end_line(struct multipart *self, struct multipart_out *out)
{
    self->tail = '\0';
    if (self->header.len == 0) {
        begin_part(self, out);
        return;
    }
    const char *reason = read_header(self);
    buf_clear(&self->header);
    if (reason)
        refuse(self, out, reason);
}

static void step_header(struct multipart *self, char c, struct multipart_out *out)
{
    out->used = 1;
    if (++self->header_len > HEADER_MAX) {
        refuse(self, out, "form-header-too-large");
    } else if (self->tail == '\r') {
        if (c == '\n')
            end_line(self, out);
        else
            refuse(self, out, "form-header");
    } else if (c == '\r') {
        self->tail = c;
    } else if (chars_is_text(c)) {
        buf_putc(&self->header, c);
    } else {
        refuse(self, out, "form-header");
    }
}

static void step_once(struct multipart *self, const char *bytes, size_t len,
                      struct multipart_out *out)
{
    switch (self->state) {
    case MULTIPART_AT_DATA:
        step_data(self, bytes, len, out);
        return;
    case MULTIPART_AT_TAIL:
        step_tail(self, *bytes, out);
        return;
    case MULTIPART_AT_HEADER:
        step_header(self, *bytes, out);
        return;
    case MULTIPART_AT_EPILOGUE:
        out->used = len;
        return;
    case MULTIPART_AT_BAD:
        refuse(self, out, self->reason);
        return;
    }
}

void multipart_step(struct multipart *self, const char *bytes, size_t len,
                    struct multipart_out *out)
{
    size_t used = 0;
    *out = (struct multipart_out){.event = MULTIPART_MORE};
    while (used < len && out->event == MULTIPART_MORE) {
        *out = (struct multipart_out){.event = MULTIPART_MORE};
        step_once(self, bytes + used, len - used, out);
        used += out->used;
    }
    out->used = used;
    if (self->state == MULTIPART_AT_BAD)
        refuse(self, out, self->reason);
}

const char *multipart_finish(const struct multipart *self)
{
    if (self->state == MULTIPART_AT_BAD)
        return self->reason;
    if (self->state == MULTIPART_AT_EPILOGUE)
        return NULL;
    return self->part_count == 0 && !self->in_part && self->state != MULTIPART_AT_HEADER
               ? "form-start"
               : "form-truncated";
}
