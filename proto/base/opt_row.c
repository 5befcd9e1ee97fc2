#include "proto/base/opt_row.h"

#include "proto/base/mem.h"

#include <string.h>

#define SHOWN_VALUE 80 /* of a refused value in an error */

void opt_show_value(const char *value, struct buf *out)
{
    for (size_t i = 0; value[i] != '\0'; i++) {
        if (i == SHOWN_VALUE) {
            buf_puts(out, "…");
            return;
        }
        unsigned char c = (unsigned char)value[i];
        buf_putc(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
}

/* What the setters need to know about the place that a value came from. */
struct setting {
    const struct opt_row *row;
    const struct opt_place *place;
    const char *value;
    struct err *err;
};

static int refuse(const struct setting *self, const char *problem)
{
    owned_buf shown = BUF_INIT;
    opt_show_value(self->value, &shown);
    return err_set(self->err, ERR_INVALID, "%s%s: %s", self->place->text, buf_str(&shown), problem);
}

void opt_show_number(const struct opt_row *row, int64_t value, struct buf *out)
{
    static const char *const sizes[] = {"", "K", "M", "G", "T"};
    static const char *const times[] = {"ms", "s", "m", "h"};
    static const int64_t steps[] = {1000, 60, 60};
    size_t unit = 0;
    if (row->type == OPT_BYTES) {
        for (; unit + 1 < countof(sizes) && value != 0 && value % 1024 == 0; unit++)
            value /= 1024;
        buf_printf(out, "%lld%s", (long long)value, sizes[unit]);
    } else if (row->type == OPT_DURATION) {
        for (; unit < countof(steps) && value != 0 && value % steps[unit] == 0; unit++)
            value /= steps[unit];
        buf_printf(out, "%lld%s", (long long)value, times[unit]);
    } else {
        buf_printf(out, "%lld", (long long)value);
    }
}

void opt_show_bounds(const struct opt_row *row, struct buf *out)
{
    bool from_zero = row->min == 0 && row->type != OPT_INT; /* which cannot be below it */
    if (row->max == 0)
        buf_puts(out, "at least ");
    else if (from_zero)
        buf_puts(out, "at most ");
    if (row->max == 0 || !from_zero)
        opt_show_number(row, row->min, out);
    if (row->max != 0 && !from_zero)
        buf_puts(out, " to ");
    if (row->max != 0)
        opt_show_number(row, row->max, out);
}

static int check_bounds(const struct setting *self, int64_t value)
{
    const struct opt_row *row = self->row;
    if (row->zero_word != NULL && value == 0)
        return 0;
    if (value >= row->min && (row->max == 0 || value <= row->max))
        return 0;
    owned_buf problem = BUF_INIT;
    buf_puts(&problem, "must be ");
    opt_show_bounds(row, &problem);
    if (row->zero_word != NULL)
        buf_printf(&problem, ", or 0 (%s)", row->zero_word);
    return refuse(self, buf_str(&problem));
}

static int set_int(const struct setting *self, int64_t *out)
{
    if (!opt_read_int(self->value, out))
        return refuse(self, "not a whole number");
    return check_bounds(self, *out);
}

static int set_quantity(const struct setting *self, uint64_t *out)
{
    if (self->row->type == OPT_BYTES && !opt_read_bytes(self->value, out))
        return refuse(self, "not a size (examples: 4096, 64K, 512M, 2G)");
    if (self->row->type == OPT_DURATION && !opt_read_duration_ms(self->value, out))
        return refuse(self, "not a duration (examples: 250ms, 90s, 5m, 2h)");
    return check_bounds(self, (int64_t)*out);
}

static int set_choice(const struct setting *self, int *out)
{
    const char *word = self->row->choices;
    for (int i = 0; *word != '\0'; i++) {
        size_t len = strcspn(word, " ");
        if (strlen(self->value) == len && memcmp(word, self->value, len) == 0) {
            *out = i;
            return 0;
        }
        word += len + (word[len] == ' ');
    }
    owned_buf problem = BUF_INIT;
    buf_printf(&problem, "must be one of: %s", self->row->choices);
    return refuse(self, buf_str(&problem));
}

static int add_item(const struct setting *self, const char *item, struct opt_list *list)
{
    if (list->count == OPT_LIST_MAX)
        return refuse(self, "too many of these");
    if (*item == '\0')
        return refuse(self, "must not be empty");
    opt_list_add(list, item);
    return 0;
}

static int add_items(const struct setting *self, struct opt_list *list)
{
    if (self->place->one_item)
        return add_item(self, self->value, list);
    for (const char *text = self->value; *text != '\0';) {
        size_t len = strcspn(text, ",");
        owned_mem char *item = mem_strndup(text, len);
        int rc = len > 0 ? add_item(self, item, list) : 0;
        if (rc != 0)
            return rc;
        text += len + (text[len] == ',');
    }
    return 0;
}

/* An empty text means none. */
static void set_string(const char *text, char **out)
{
    free(*out);
    *out = *text != '\0' ? mem_strdup(text) : NULL;
}

int opt_row_set(const struct opt_row *row, const struct opt_place *place, const char *text,
                void *target, struct err *err)
{
    const struct setting self = {.row = row, .place = place, .value = text, .err = err};
    void *at = (char *)target + row->offset;
    if (strlen(text) > OPT_VALUE_MAX)
        return refuse(&self, "too long");
    switch (row->type) {
    case OPT_STRING:
        set_string(text, at);
        return 0;
    case OPT_INT:
        return set_int(&self, at);
    case OPT_BYTES:
    case OPT_DURATION:
        return set_quantity(&self, at);
    case OPT_BOOL:
        return opt_read_bool(text, at) ? 0 : refuse(&self, "must be yes or no");
    case OPT_LIST:
        return add_items(&self, at);
    case OPT_CHOICE:
        return set_choice(&self, at);
    }
    return 0;
}
