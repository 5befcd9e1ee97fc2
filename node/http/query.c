#include "node/http/query.h"

#include "node/http/chars.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add(struct query *self, const char *text, size_t len)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    self->names[self->count] = self->text.len;
    chars_unescape(&self->text, text, name_len, true);
    buf_putc(&self->text, '\0');
    self->values[self->count] = self->text.len;
    if (equals)
        chars_unescape(&self->text, equals + 1, len - name_len - 1, true);
    buf_putc(&self->text, '\0');
    self->count++;
}

int query_parse(struct query *self, const char *text, struct err *err)
{
    while (*text) {
        size_t len = strcspn(text, "&");
        if (len > 0) {
            if (self->count == QUERY_PARAMS_MAX)
                return err_refuse(err, ERR_INVALID, "bad-query", "more than %d query parameters",
                                  QUERY_PARAMS_MAX);
            add(self, text, len);
        }
        text += len + (text[len] == '&');
    }
    return 0;
}

void query_fini(struct query *self)
{
    buf_fini(&self->text);
    self->count = 0;
}

const char *query_value(const struct query *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->text.data + self->names[i], name) == 0)
            return self->text.data + self->values[i];
    return NULL;
}

int query_int(const char *name, const char *text, int64_t min, int64_t max, int64_t *out,
              struct err *err)
{
    size_t sign = *text == '-';
    size_t digits = strspn(text + sign, "0123456789");
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (digits == 0 || text[sign + digits] != '\0' || errno == ERANGE || value < min || value > max)
        return err_refuse(err, ERR_INVALID, "bad-query",
                          "'%s' in the query must be a whole number from %" PRId64 " to %" PRId64,
                          name, min, max);
    *out = value;
    return 0;
}
