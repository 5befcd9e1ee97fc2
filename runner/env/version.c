#include "runner/env/version.h"

#include <stddef.h>
#include <string.h>

#define PARTS_MAX 6

struct release {
    unsigned parts[PARTS_MAX];
    size_t count;
    bool wildcard; /* 3.9.* */
};

/* Reads "3.11.7", "3.9.*"; what follows the release ("rc1", "+x") is left out. */
static bool read_release(struct release *self, const char *text, size_t len)
{
    *self = (struct release){.count = 0};
    size_t at = 0;
    while (at < len && self->count < PARTS_MAX) {
        if (text[at] == '*') {
            self->wildcard = true;
            return self->count > 0;
        }
        size_t digits = 0;
        unsigned value = 0;
        for (; at < len && digits < 6 && text[at] >= '0' && text[at] <= '9'; digits++)
            value = value * 10 + (unsigned)(text[at++] - '0');
        if (digits == 0)
            return false;
        self->parts[self->count++] = value;
        if (at >= len || text[at] != '.')
            return true;
        at++;
    }
    return self->count > 0;
}

/* Compares the first `count` parts; absent ones are 0. */
static int compare(const struct release *a, const struct release *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a->parts[i] != b->parts[i])
            return a->parts[i] < b->parts[i] ? -1 : 1;
    }
    return 0;
}

static bool satisfies_clause(const struct release *version, const char *clause, size_t len)
{
    size_t op = 0;
    while (op < len && strchr("<>=!~", clause[op]) != NULL)
        op++;
    size_t from = op;
    while (from < len && clause[from] == ' ')
        from++;
    struct release wanted;
    if (op == 0 || !read_release(&wanted, clause + from, len - from))
        return true;
    int order = compare(version, &wanted, wanted.wildcard ? wanted.count : PARTS_MAX);
    if (op == 1)
        return clause[0] == '<' ? order < 0 : clause[0] != '>' || order > 0;
    if (memcmp(clause, ">=", 2) == 0)
        return order >= 0;
    if (memcmp(clause, "<=", 2) == 0)
        return order <= 0;
    if (memcmp(clause, "!=", 2) == 0)
        return order != 0;
    if (memcmp(clause, "~=", 2) == 0)
        return order >= 0 && compare(version, &wanted, wanted.count - (wanted.count > 1)) == 0;
    return order == 0; /* == and === */
}

bool version_satisfies(const char *version, const char *spec)
{
    struct release have;
    if (!read_release(&have, version, strlen(version)))
        return true;
    while (*spec != '\0') {
        spec += strspn(spec, " ,\t");
        size_t len = strcspn(spec, ",");
        if (len > 0 && !satisfies_clause(&have, spec, len))
            return false;
        spec += len;
    }
    return true;
}

int version_compare(const char *a, const char *b)
{
    struct release left;
    struct release right;
    (void)read_release(&left, a, strlen(a));
    (void)read_release(&right, b, strlen(b));
    return compare(&left, &right, PARTS_MAX);
}
