#include "runner/env/requirements.h"

#include "proto/base/mem.h"
#include "runner/env/requirement_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN_MAX 200

/* Where the text that is being read says that it is from. */
struct reader {
    struct requirements *to;
    const struct requirements_policy *policy;
    const char *text;
    size_t len;
    size_t at;
    size_t line; /* of the next physical line in `origin` */
    size_t lines_read;
    char origin[ORIGIN_MAX + 1];
};

static void add_note(struct requirements *self, char *note_owned)
{
    bool known = false;
    for (size_t i = 0; i < self->note_count; i++)
        known = known || strcmp(self->notes[i], note_owned) == 0;
    if (known || self->note_count == REQUIREMENTS_MAX_NOTES) {
        free(note_owned);
        return;
    }
    self->notes = mem_resize(self->notes, self->note_count + 1, sizeof *self->notes);
    self->notes[self->note_count++] = note_owned;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct requirement *)a)->text, ((const struct requirement *)b)->text);
}

static void sort_and_merge(struct requirements *self)
{
    if (self->count == 0)
        return;
    qsort(self->items, self->count, sizeof *self->items, by_text);
    size_t kept = 1;
    for (size_t i = 1; i < self->count; i++) {
        if (strcmp(self->items[kept - 1].text, self->items[i].text) == 0) {
            free(self->items[i].name);
            free(self->items[i].text);
        } else {
            self->items[kept++] = self->items[i];
        }
    }
    self->count = kept;
}

/* Takes one physical line off the text: LF, CRLF and a lone CR end it. */
static size_t next_physical(struct reader *self, const char **line)
{
    *line = self->text + self->at;
    size_t left = self->len - self->at;
    size_t n = 0;
    while (n < left && (*line)[n] != '\n' && (*line)[n] != '\r')
        n++;
    self->at += n;
    if (self->at < self->len) {
        bool crlf = self->text[self->at] == '\r' && self->at + 1 < self->len &&
                    self->text[self->at + 1] == '\n';
        self->at += crlf ? 2 : 1;
    }
    self->line++;
    self->lines_read++;
    return n;
}

/* `#line 3 "requirements.txt"`: the next line is that one. */
static void read_origin(struct reader *self, const char *line, size_t len)
{
    char copy[ORIGIN_MAX + 32];
    unsigned number = 0;
    if (len >= sizeof copy || len < 6 || memcmp(line, "#line ", 6) != 0)
        return;
    memcpy(copy, line, len);
    copy[len] = '\0';
    int at = 0;
    if (sscanf(copy, "#line %7u \"%n", &number, &at) != 1 || at == 0)
        return;
    char *end = strrchr(copy + at, '"');
    if (end == NULL || end == copy + at)
        return;
    *end = '\0';
    snprintf(self->origin, sizeof self->origin, "%.*s", ORIGIN_MAX, copy + at);
    self->line = number;
}

/* A comment begins with # at the start of a line or behind a blank. */
static size_t without_comment(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
            return i;
    }
    return len;
}

/* Appends physical lines for as long as they end in a backslash. Sets *first to the line number. */
static int next_logical(struct reader *self, struct buf *line, size_t *first, struct err *err)
{
    buf_clear(line);
    *first = self->line;
    bool more = true;
    while (more && self->at < self->len) {
        const char *part;
        size_t len = next_physical(self, &part);
        if (self->lines_read > REQUIREMENTS_MAX_LINES)
            return err_refuse(err, ERR_TOO_LARGE, "requirement-limit",
                              "%s has more than %d lines: list the packages alone", self->origin,
                              REQUIREMENTS_MAX_LINES);
        read_origin(self, part, len);
        size_t bare = without_comment(part, len);
        more = bare == len && len > 0 && part[len - 1] == '\\';
        if (line->len + bare > REQUIREMENTS_MAX_LINE)
            return err_refuse(err, ERR_TOO_LARGE, "requirement-limit",
                              "%s line %zu: longer than %d bytes", self->origin, *first,
                              REQUIREMENTS_MAX_LINE);
        buf_append(line, part, more ? len - 1 : bare);
    }
    return 0;
}

static void take(struct reader *self, struct requirement_line *line, size_t number)
{
    struct requirements *to = self->to;
    switch (line->kind) {
    case REQUIREMENT_LINE_NONE:
        break;
    case REQUIREMENT_LINE_PRERELEASE:
        to->prerelease = true;
        break;
    case REQUIREMENT_LINE_REQUIRE_HASHES:
        to->require_hashes = true;
        break;
    case REQUIREMENT_LINE_DROPPED:
        add_note(to, mem_printf("%s line %zu: %s", self->origin, number, line->note));
        break;
    case REQUIREMENT_LINE_ITEM:
        to->items = mem_grow(to->items, &to->capacity, to->count + 1, sizeof *to->items);
        to->items[to->count++] =
            (struct requirement){.name = steal_ptr(&line->name), .text = steal_ptr(&line->text)};
        to->require_hashes = to->require_hashes || line->has_hash;
        break;
    }
}

static int read_lines(struct reader *self, struct err *err)
{
    owned_buf text = BUF_INIT;
    while (self->at < self->len) {
        size_t number;
        int rc = next_logical(self, &text, &number, err);
        if (rc != 0)
            return rc;
        struct requirement_line line;
        rc = requirement_line_parse(&line, buf_str(&text), text.len, self->policy, err);
        if (rc == 0 && line.kind == REQUIREMENT_LINE_ITEM &&
            self->to->count == REQUIREMENTS_MAX_ITEMS)
            rc = err_refuse(err, ERR_TOO_LARGE, "requirement-limit", "more than %d packages",
                            REQUIREMENTS_MAX_ITEMS);
        if (rc == 0)
            take(self, &line, number);
        requirement_line_fini(&line);
        if (rc != 0)
            return err_wrap(err, "%s line %zu", self->origin, number);
    }
    return 0;
}

int requirements_parse(struct requirements *self, const char *text, size_t len,
                       const struct requirements_policy *policy, struct err *err)
{
    static const struct requirements_policy strict = {.allow_urls = false};
    if (len > REQUIREMENTS_MAX_BYTES)
        return err_refuse(err, ERR_TOO_LARGE, "requirement-limit",
                          "the requirements are larger than %d bytes", REQUIREMENTS_MAX_BYTES);
    struct reader reader = {.to = self,
                            .policy = policy != NULL ? policy : &strict,
                            .text = text,
                            .len = len,
                            .line = 1,
                            .origin = "requirements"};
    int rc = read_lines(&reader, err);
    sort_and_merge(self);
    return rc;
}

void requirements_fini(struct requirements *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free(self->items[i].name);
        free(self->items[i].text);
    }
    for (size_t i = 0; i < self->note_count; i++)
        free(self->notes[i]);
    free(self->items);
    free(self->notes);
    *self = (struct requirements)REQUIREMENTS_INIT;
}

bool requirements_has(const struct requirements *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->items[i].name, name) == 0)
            return true;
    }
    return false;
}

void requirements_format(const struct requirements *self, struct buf *out)
{
    if (self->prerelease)
        buf_puts(out, "--pre\n");
    if (self->require_hashes)
        buf_puts(out, "--require-hashes\n");
    for (size_t i = 0; i < self->count; i++)
        buf_printf(out, "%s\n", self->items[i].text);
}
