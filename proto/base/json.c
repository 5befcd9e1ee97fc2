#include "proto/base/json.h"

#include "proto/base/mem.h"
#include "proto/base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

json_t *json_in_parse(const char *text, size_t len, struct err *err)
{
    json_error_t where;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!value)
        err_refuse(err, ERR_INVALID, "bad-json", "line %d, column %d: %s", where.line, where.column,
                   where.text);
    return value;
}

const char *json_in_str(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_in_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double json_in_real(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_in_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

void json_out_init(struct json_out *self, struct buf *to) { *self = (struct json_out){.to = to}; }

static void before_value(struct json_out *self)
{
    if (self->after_value && !self->after_key)
        buf_putc(self->to, ',');
    self->after_key = false;
    self->after_value = true;
}

static void open_with(struct json_out *self, char bracket)
{
    before_value(self);
    assert(self->depth < JSON_OUT_DEPTH);
    self->depth++;
    self->after_value = false;
    buf_putc(self->to, bracket);
}

static void close_with(struct json_out *self, char bracket)
{
    assert(self->depth > 0 && !self->after_key);
    self->depth--;
    self->after_value = true;
    buf_putc(self->to, bracket);
}

void json_out_open_object(struct json_out *self) { open_with(self, '{'); }
void json_out_close_object(struct json_out *self) { close_with(self, '}'); }
void json_out_open_array(struct json_out *self) { open_with(self, '['); }
void json_out_close_array(struct json_out *self) { close_with(self, ']'); }

static void put_escaped(struct buf *to, unsigned char c)
{
    switch (c) {
    case '"':
        buf_puts(to, "\\\"");
        break;
    case '\\':
        buf_puts(to, "\\\\");
        break;
    case '\n':
        buf_puts(to, "\\n");
        break;
    case '\r':
        buf_puts(to, "\\r");
        break;
    case '\t':
        buf_puts(to, "\\t");
        break;
    default:
        buf_printf(to, "\\u%04x", c);
    }
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

/* Nearly all text is plain, and keys always are: those take one reservation. */
static bool put_plain(struct buf *to, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_plain((unsigned char)text[i]))
            return false;
    char *out = buf_reserve(to, len + 2);
    out[0] = '"';
    memcpy(out + 1, text, len);
    out[len + 1] = '"';
    buf_added(to, len + 2);
    return true;
}

static void put_string(struct buf *to, const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t plain = 0;
    if (put_plain(to, text, len))
        return;
    buf_putc(to, '"');
    for (size_t i = 0; i < len;) {
        size_t step = at[i] < 0x80 ? 1 : utf8_length(at + i, len - i);
        if (step == 0 || at[i] < 0x20 || at[i] == '"' || at[i] == '\\' || at[i] == 0x7f) {
            buf_append(to, text + plain, i - plain);
            if (step == 0)
                buf_puts(to, "\xef\xbf\xbd");
            else
                put_escaped(to, at[i]);
            plain = ++i;
        } else {
            i += step;
        }
    }
    buf_append(to, text + plain, len - plain);
    buf_putc(to, '"');
}

void json_out_key(struct json_out *self, const char *key)
{
    before_value(self);
    put_string(self->to, key, strlen(key));
    buf_putc(self->to, ':');
    self->after_key = true;
}

void json_out_strn(struct json_out *self, const char *text, size_t len)
{
    before_value(self);
    put_string(self->to, text, len);
}

void json_out_str(struct json_out *self, const char *text)
{
    if (text)
        json_out_strn(self, text, strlen(text));
    else
        json_out_null(self);
}

void json_out_int(struct json_out *self, int64_t value)
{
    before_value(self);
    buf_printf(self->to, "%" PRId64, value);
}

void json_out_uint(struct json_out *self, uint64_t value)
{
    before_value(self);
    char text[20]; /* several times as quick as printf, and logs are made of numbers */
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
    } while ((value /= 10) > 0);
    buf_append(self->to, text + at, sizeof text - at);
}

void json_out_real(struct json_out *self, double value, int decimals)
{
    before_value(self);
    if (!isfinite(value)) {
        buf_puts(self->to, "null");
        return;
    }
    char text[400];
    int len = snprintf(text, sizeof text, "%.*f", decimals, value);
    if (strchr(text, '.')) {
        while (text[len - 1] == '0')
            len--;
        if (text[len - 1] == '.')
            len--;
    }
    bool minus_zero = len == 2 && text[0] == '-' && text[1] == '0';
    buf_append(self->to, text + minus_zero, (size_t)(len - minus_zero));
}

void json_out_bool(struct json_out *self, bool value)
{
    before_value(self);
    buf_puts(self->to, value ? "true" : "false");
}

void json_out_null(struct json_out *self)
{
    before_value(self);
    buf_puts(self->to, "null");
}

void json_out_raw(struct json_out *self, const char *json, size_t len)
{
    before_value(self);
    buf_append(self->to, json, len);
}

void json_out_value(struct json_out *self, const json_t *value)
{
    owned_mem char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_out_raw(self, text ? text : "null", text ? strlen(text) : 4);
}

void json_out_key_str(struct json_out *self, const char *key, const char *text)
{
    json_out_key(self, key);
    json_out_str(self, text);
}

void json_out_key_int(struct json_out *self, const char *key, int64_t value)
{
    json_out_key(self, key);
    json_out_int(self, value);
}

void json_out_key_uint(struct json_out *self, const char *key, uint64_t value)
{
    json_out_key(self, key);
    json_out_uint(self, value);
}

void json_out_key_real(struct json_out *self, const char *key, double value, int decimals)
{
    json_out_key(self, key);
    json_out_real(self, value, decimals);
}

void json_out_key_bool(struct json_out *self, const char *key, bool value)
{
    json_out_key(self, key);
    json_out_bool(self, value);
}
