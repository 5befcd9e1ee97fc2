#include "node/api/exposition.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define US_PER_S UINT64_C(1000000)

static bool is_word(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    while (isalnum((unsigned char)*text) || *text == '_')
        text++;
    return *text == '\0';
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* Backslash and line feed, and in labels the quotation mark, are written with a backslash. */
static void put_escaped(struct buf *to, const char *text, bool is_label)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(to, "\\n");
        else if (*text == '\\' || (is_label && *text == '"'))
            buf_printf(to, "\\%c", *text);
        else
            buf_putc(to, *text);
    }
}

void exposition_init(struct exposition *self, struct buf *to)
{
    *self = (struct exposition){.to = to};
}

void exposition_family(struct exposition *self, enum exposition_kind kind, const char *name,
                       const char *help)
{
    static const char *const kinds[] = {[EXPOSITION_COUNTER] = "counter",
                                        [EXPOSITION_GAUGE] = "gauge",
                                        [EXPOSITION_HISTOGRAM] = "histogram"};
    assert(is_word(name) && ends_with(name, "_total") == (kind == EXPOSITION_COUNTER));
    self->family = name;
    self->kind = kind;
    buf_printf(self->to, "# HELP %s ", name);
    put_escaped(self->to, help, false);
    buf_printf(self->to, "\n# TYPE %s %s\n", name, kinds[kind]);
}

/* The name with its labels, and `le` as one more, up to the value. */
static void put_head(struct exposition *self, const char *suffix,
                     const struct exposition_labels *labels, const char *le)
{
    struct buf *to = self->to;
    char before = '{';
    buf_puts(to, self->family);
    buf_puts(to, suffix);
    for (size_t i = 0; labels && i < EXPOSITION_LABELS && labels->pairs[i].name; i++) {
        assert(is_word(labels->pairs[i].name) && labels->pairs[i].value);
        buf_printf(to, "%c%s=\"", before, labels->pairs[i].name);
        put_escaped(to, labels->pairs[i].value, true);
        buf_putc(to, '"');
        before = ',';
    }
    if (le) {
        buf_printf(to, "%cle=\"%s\"", before, le);
        before = ',';
    }
    if (before == ',')
        buf_putc(to, '}');
    buf_putc(to, ' ');
}

void exposition_uint(struct exposition *self, const struct exposition_labels *labels,
                     uint64_t value)
{
    assert(self->kind != EXPOSITION_HISTOGRAM);
    put_head(self, "", labels, NULL);
    buf_printf(self->to, "%" PRIu64 "\n", value);
}

void exposition_real(struct exposition *self, const struct exposition_labels *labels, double value)
{
    assert(self->kind != EXPOSITION_HISTOGRAM);
    put_head(self, "", labels, NULL);
    if (isnan(value))
        buf_puts(self->to, "NaN\n");
    else if (isinf(value))
        buf_puts(self->to, value > 0 ? "+Inf\n" : "-Inf\n");
    else
        buf_printf(self->to, "%.15g\n", value);
}

/* Without trailing zeros: 1500000 is "1.5", 2000000 is "2". */
static void put_us(struct buf *to, uint64_t us)
{
    uint64_t part = us % US_PER_S;
    int digits = 6;
    buf_printf(to, "%" PRIu64, us / US_PER_S);
    while (part > 0 && part % 10 == 0) {
        part /= 10;
        digits--;
    }
    if (part > 0)
        buf_printf(to, ".%0*" PRIu64, digits, part);
}

void exposition_ms(struct exposition *self, const struct exposition_labels *labels, uint64_t ms)
{
    assert(self->kind != EXPOSITION_HISTOGRAM);
    put_head(self, "", labels, NULL);
    put_us(self->to, ms * 1000);
    buf_putc(self->to, '\n');
}

void exposition_histogram(struct exposition *self, const struct exposition_labels *labels,
                          const struct histogram *histogram)
{
    uint64_t count = 0;
    assert(self->kind == EXPOSITION_HISTOGRAM);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        owned_buf le = BUF_INIT;
        if (i < HISTOGRAM_BOUNDS)
            put_us(&le, histogram->scale->bounds_us[i]);
        else
            buf_puts(&le, "+Inf");
        count += histogram->counts[i];
        put_head(self, "_bucket", labels, buf_str(&le));
        buf_printf(self->to, "%" PRIu64 "\n", count);
    }
    put_head(self, "_sum", labels, NULL);
    put_us(self->to, histogram->sum_us);
    buf_putc(self->to, '\n');
    put_head(self, "_count", labels, NULL);
    buf_printf(self->to, "%" PRIu64 "\n", count);
}

void exposition_counter(struct exposition *self, const char *name, const char *help, uint64_t value)
{
    exposition_family(self, EXPOSITION_COUNTER, name, help);
    exposition_uint(self, EXPOSITION_NONE, value);
}

void exposition_gauge(struct exposition *self, const char *name, const char *help, double value)
{
    exposition_family(self, EXPOSITION_GAUGE, name, help);
    exposition_real(self, EXPOSITION_NONE, value);
}
