#include "proto/base/opt.h"

#include "proto/base/mem.h"

#include <string.h>
#include <strings.h>

void opt_list_fini(struct opt_list *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
    *self = (struct opt_list){0};
}

void opt_list_add(struct opt_list *self, const char *text)
{
    self->items = mem_resize(self->items, self->count + 1, sizeof(*self->items));
    self->items[self->count++] = mem_strdup(text);
}

void opt_parsed_fini(struct opt_parsed *self) { opt_list_fini(&self->operands); }

/* Digits into a number; returns what follows them, or NULL when there are none or too many. */
static const char *read_digits(const char *text, uint64_t *out)
{
    if (*text < '0' || *text > '9')
        return NULL;
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return NULL;
    }
    *out = value;
    return text;
}

bool opt_read_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    uint64_t value;
    const char *rest = read_digits(text + negative, &value);
    if (rest == NULL || *rest != '\0' || value > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Both readers stay below INT64_MAX, so that bounds of rows can be compared without care. */
static bool read_unit(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    uint64_t value;
    const char *rest = read_digits(text, &value);
    if (rest == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(rest, units[i].name) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, out) && *out <= INT64_MAX;
    }
    return false;
}

bool opt_read_bytes(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1 << 10},
        {"kib", 1 << 10},
        {"kb", 1 << 10},
        {"m", 1 << 20},
        {"mib", 1 << 20},
        {"mb", 1 << 20},
        {"g", 1 << 30},
        {"gib", 1 << 30},
        {"gb", 1 << 30},
        {"t", UINT64_C(1) << 40},
        {"tib", UINT64_C(1) << 40},
        {"tb", UINT64_C(1) << 40},
    };
    return read_unit(text, units, countof(units), out);
}

bool opt_read_duration_ms(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1000},     {"ms", 1},      {"s", 1000},     {"m", 60000},
        {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return read_unit(text, units, countof(units), out);
}

bool opt_read_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < countof(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            *out = true;
        else if (strcasecmp(text, no[i]) == 0)
            *out = false;
        else
            continue;
        return true;
    }
    return false;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

#define NEAR_WORD_MAX 40

/* Levenshtein's distance, one row of the matrix at a time. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[NEAR_WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *opt_nearest(const char *word, const char *words, size_t *len)
{
    size_t word_len = strlen(word);
    if (word_len == 0 || word_len > NEAR_WORD_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_distance = word_len / 3 + 2; /* farther than this is another word */
    while (*words != '\0') {
        size_t next = strcspn(words, " ");
        if (next > 0 && next <= NEAR_WORD_MAX) {
            size_t d = distance(word, word_len, words, next);
            if (d < best_distance && d < next) {
                best = words;
                best_distance = d;
                *len = next;
            }
        }
        words += next + (words[next] == ' ');
    }
    return best;
}
