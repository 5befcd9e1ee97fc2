#include "runner/env/requirement_line.h"

#include "proto/base/mem.h"
#include "runner/env/requirement_marker.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PARTS_MAX 64 /* extras, clauses or hashes of one requirement */

struct cursor {
    const char *at; /* zero-terminated text */
};

static void skip_blanks(struct cursor *self) { self->at += strspn(self->at, " \t"); }

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static int syntax(struct err *err, const char *what)
{
    return err_refuse(err, ERR_UNPROCESSABLE, "requirement-syntax",
                      "%s (a line reads: name[extra]>=1.0 ; python_version > \"3.8\")", what);
}

/* Takes a distribution's or an extra's name and appends its normal form (PEP 503). */
static bool take_name(struct cursor *self, struct buf *out)
{
    size_t len = 0;
    while (is_name_char(self->at[len]))
        len++;
    while (len > 0 && !isalnum((unsigned char)self->at[len - 1]))
        len--;
    if (len == 0 || len > REQUIREMENT_MAX_NAME || !isalnum((unsigned char)self->at[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (isalnum((unsigned char)self->at[i]))
            buf_putc(out, (char)tolower((unsigned char)self->at[i]));
        else if (isalnum((unsigned char)self->at[i + 1]))
            buf_putc(out, '-');
    }
    self->at += len;
    return true;
}

/* A small sorted set of texts. */
struct parts {
    struct buf items[PARTS_MAX];
    size_t count;
};

static void parts_fini(struct parts *self)
{
    for (size_t i = 0; i < countof(self->items); i++)
        buf_fini(&self->items[i]);
}

#define owned_parts __attribute__((cleanup(parts_fini))) struct parts

/* Keeps the last item, in order, unless it is there already. False when there is no room. */
static void parts_settle(struct parts *self)
{
    struct buf last = self->items[self->count];
    size_t at = self->count;
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(buf_str(&self->items[i]), buf_str(&last)) == 0) {
            buf_clear(&self->items[self->count]);
            return;
        }
    }
    for (; at > 0 && strcmp(buf_str(&self->items[at - 1]), buf_str(&last)) > 0; at--)
        self->items[at] = self->items[at - 1];
    self->items[at] = last;
    self->count++;
}

static void parts_join(const struct parts *self, const char *between, struct buf *out)
{
    for (size_t i = 0; i < self->count; i++)
        buf_printf(out, "%s%s", i > 0 ? between : "", buf_str(&self->items[i]));
}

static int take_extras(struct cursor *self, struct buf *out, struct err *err)
{
    owned_parts extras = {.count = 0};
    self->at++;
    for (skip_blanks(self); *self->at != ']'; skip_blanks(self)) {
        if (extras.count == PARTS_MAX - 1 || !take_name(self, &extras.items[extras.count]))
            return syntax(err, "an extra's name was expected between [ and ]");
        parts_settle(&extras);
        skip_blanks(self);
        if (*self->at == ',')
            self->at++;
        else if (*self->at != ']')
            return syntax(err, "] was expected behind the extras");
    }
    self->at++;
    if (extras.count > 0) {
        buf_putc(out, '[');
        parts_join(&extras, ",", out);
        buf_putc(out, ']');
    }
    return 0;
}

static bool take_clause(struct cursor *self, struct buf *out)
{
    static const char *const operators[] = {"===", "==", ">=", "<=", "!=", "~=", ">", "<"};
    for (size_t i = 0; i < countof(operators); i++) {
        size_t len = strlen(operators[i]);
        if (strncmp(self->at, operators[i], len) != 0)
            continue;
        self->at += len;
        skip_blanks(self);
        size_t version =
            strspn(self->at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU"
                             "VWXYZ.*+!_-");
        if (version == 0 || self->at[0] == '-')
            return false;
        buf_puts(out, operators[i]);
        buf_append(out, self->at, version);
        self->at += version;
        return true;
    }
    return false;
}

static int take_versions(struct cursor *self, struct buf *out, struct err *err)
{
    owned_parts clauses = {.count = 0};
    bool closed = *self->at == '(';
    if (closed)
        self->at++;
    for (skip_blanks(self); strchr("<>=!~", *self->at) != NULL && *self->at != '\0';
         skip_blanks(self)) {
        if (clauses.count == PARTS_MAX - 1 || !take_clause(self, &clauses.items[clauses.count]))
            return syntax(err, "a version was expected, such as >=1.0");
        parts_settle(&clauses);
        skip_blanks(self);
        if (*self->at != ',')
            break;
        self->at++;
    }
    if (closed && *self->at != ')')
        return syntax(err, ") was expected behind the versions");
    self->at += closed;
    parts_join(&clauses, ",", out);
    return 0;
}

static int refuse_source(struct err *err, const char *what)
{
    return err_refuse(err, ERR_UNPROCESSABLE, "requirement-source",
                      "%s is not installed from: name a package of the index, or put the code into "
                      "the project",
                      what);
}

/* name @ https://host/path */
static int take_url(struct cursor *self, const struct requirements_policy *policy, struct buf *out,
                    struct err *err)
{
    self->at++;
    skip_blanks(self);
    size_t len = strcspn(self->at, " \t");
    if (strncmp(self->at, "https://", 8) != 0)
        return refuse_source(err, "a source other than https://");
    size_t host = strcspn(self->at + 8, "/?# \t");
    if (host == 0 || memchr(self->at + 8, '@', host) != NULL)
        return refuse_source(err, "a URL with a user part or without a host");
    if (!policy->allow_urls)
        return err_refuse(
            err, ERR_UNPROCESSABLE, "requirement-source",
            "packages from a URL, such as of %.*s, are not allowed on this node: name "
            "one of the index",
            host < 100 ? (int)host : 100, self->at + 8);
    if (strcspn(self->at, "$'\"\\<>`{}|^;") < len)
        return refuse_source(err, "a URL with such characters");
    buf_puts(out, " @ ");
    buf_append(out, self->at, len);
    self->at += len;
    return 0;
}

static bool take_hash(struct cursor *self, struct buf *out)
{
    static const struct {
        const char *name;
        size_t digits;
    } kinds[] = {{"sha256:", 64}, {"sha384:", 96}, {"sha512:", 128}};
    if (strncmp(self->at, "--hash", 6) != 0 || strchr("= \t", self->at[6]) == NULL)
        return false;
    self->at += 6;
    self->at += *self->at == '=' ? 1 : strspn(self->at, " \t");
    for (size_t i = 0; i < countof(kinds); i++) {
        size_t head = strlen(kinds[i].name);
        if (strncmp(self->at, kinds[i].name, head) != 0)
            continue;
        size_t digits = strspn(self->at + head, "0123456789abcdefABCDEF");
        if (digits != kinds[i].digits)
            return false;
        buf_puts(out, kinds[i].name);
        for (size_t d = 0; d < digits; d++)
            buf_putc(out, (char)tolower((unsigned char)self->at[head + d]));
        self->at += head + digits;
        return true;
    }
    return false;
}

static int take_hashes(struct cursor *self, struct requirement_line *line, struct buf *out,
                       struct err *err)
{
    owned_parts hashes = {.count = 0};
    for (skip_blanks(self); *self->at == '-'; skip_blanks(self)) {
        if (strncmp(self->at, "--hash", 6) != 0)
            return err_refuse(err, ERR_UNPROCESSABLE, "requirement-option",
                              "%.*s is not taken behind a package: only --hash=sha256:… is",
                              (int)strcspn(self->at, " \t=") > 60 ? 60
                                                                  : (int)strcspn(self->at, " \t="),
                              self->at);
        if (hashes.count == PARTS_MAX - 1 || !take_hash(self, &hashes.items[hashes.count]))
            return syntax(err, "a hash reads --hash=sha256: and 64 hex digits");
        parts_settle(&hashes);
        line->has_hash = true;
    }
    for (size_t i = 0; i < hashes.count; i++)
        buf_printf(out, " --hash=%s", buf_str(&hashes.items[i]));
    return 0;
}

/* What looks like a path, a URL or a file, said so rather than as a slip of syntax. */
static bool is_source(const char *text)
{
    static const char *const starts[] = {".", "/", "~", "\\", "file:", "git:", "ssh:"};
    static const char *const ends[] = {".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz", ".tar.xz"};
    for (size_t i = 0; i < countof(starts); i++) {
        if (strncmp(text, starts[i], strlen(starts[i])) == 0)
            return true;
    }
    size_t word = strcspn(text, " ;@<>=!~([");
    for (size_t i = 0; i < countof(ends); i++) {
        size_t len = strlen(ends[i]);
        if (word > len && strncmp(text + word - len, ends[i], len) == 0)
            return true;
    }
    if (isalpha((unsigned char)text[0]) && text[1] == ':')
        return true;
    return strcspn(text, "/\\") < strcspn(text, " \t;@#'\"");
}

static int take_item(struct requirement_line *line, const char *text,
                     const struct requirements_policy *policy, struct err *err)
{
    struct cursor cursor = {text};
    owned_buf name = BUF_INIT;
    owned_buf out = BUF_INIT;
    if (is_source(text))
        return refuse_source(err, "a path, a file or a repository");
    if (!take_name(&cursor, &name))
        return syntax(err, "a package's name was expected");
    buf_puts(&out, buf_str(&name));
    skip_blanks(&cursor);
    int rc = *cursor.at == '[' ? take_extras(&cursor, &out, err) : 0;
    skip_blanks(&cursor);
    if (rc == 0)
        rc = *cursor.at == '@' ? take_url(&cursor, policy, &out, err)
                               : take_versions(&cursor, &out, err);
    skip_blanks(&cursor);
    if (rc == 0 && *cursor.at == ';') {
        cursor.at++;
        rc = requirement_marker_take(&cursor.at, &out, err);
    }
    if (rc == 0)
        rc = take_hashes(&cursor, line, &out, err);
    if (rc == 0 && *cursor.at != '\0')
        rc = syntax(err, "something behind the requirement was not understood");
    if (rc != 0)
        return rc;
    line->kind = REQUIREMENT_LINE_ITEM;
    line->name = buf_steal(&name);
    line->text = buf_steal(&out);
    return 0;
}

enum option_answer { OPTION_REFUSE, OPTION_SOURCE, OPTION_DROP, OPTION_PRE, OPTION_HASHES };

static const struct option {
    const char *name; /* two characters: what follows may touch it, as in -rfile */
    enum option_answer answer;
    const char *say;
} options[] = {
    {"--pre", OPTION_PRE, NULL},
    {"--require-hashes", OPTION_HASHES, NULL},
    {"--prefer-binary", OPTION_DROP, "--prefer-binary was dropped: wheels come first anyway"},
    {"--only-binary", OPTION_DROP, "--only-binary was dropped: wheels come first anyway"},
    {"--no-binary", OPTION_DROP, "--no-binary was dropped: a wheel is taken where there is one"},
    {"--use-pep517", OPTION_DROP, "--use-pep517 was dropped: it is always so"},
    {"-r", OPTION_REFUSE,
     "a file outside the project, or one that cannot be read, is not included"},
    {"--requirement", OPTION_REFUSE,
     "a file outside the project, or one that cannot be read, is not included"},
    {"-c", OPTION_REFUSE,
     "a file outside the project, or one that cannot be read, is not included"},
    {"--constraint", OPTION_REFUSE,
     "a file outside the project, or one that cannot be read, is not included"},
    {"-e", OPTION_SOURCE, NULL},
    {"--editable", OPTION_SOURCE, NULL},
    {"-i", OPTION_REFUSE, "the index is the operator's choice"},
    {"--index-url", OPTION_REFUSE, "the index is the operator's choice"},
    {"--extra-index-url", OPTION_REFUSE, "the index is the operator's choice"},
    {"--no-index", OPTION_REFUSE, "the index is the operator's choice"},
    {"-f", OPTION_REFUSE, "the index is the operator's choice"},
    {"--find-links", OPTION_REFUSE, "the index is the operator's choice"},
    {"--trusted-host", OPTION_REFUSE, "the index is the operator's choice"},
};

static const struct option *find_option(const char *text)
{
    size_t word = strcspn(text, " \t=");
    for (size_t i = 0; i < countof(options); i++) {
        size_t len = strlen(options[i].name);
        if (strncmp(text, options[i].name, len) == 0 &&
            (word == len || (len == 2 && text[1] != '-')))
            return &options[i];
    }
    return NULL;
}

static int take_option(struct requirement_line *line, const char *text, struct err *err)
{
    static const struct option other = {"", OPTION_REFUSE, "options of an installer are not taken"};
    const struct option *option = find_option(text);
    size_t word = strcspn(text, " \t=");
    bool is_flag =
        option != NULL && (option->answer == OPTION_PRE || option->answer == OPTION_HASHES);
    if (option == NULL || (is_flag && text[word] != '\0'))
        option = &other;
    line->note = option->say;
    switch (option->answer) {
    case OPTION_PRE:
        line->kind = REQUIREMENT_LINE_PRERELEASE;
        return 0;
    case OPTION_HASHES:
        line->kind = REQUIREMENT_LINE_REQUIRE_HASHES;
        return 0;
    case OPTION_DROP:
        line->kind = REQUIREMENT_LINE_DROPPED;
        return 0;
    case OPTION_SOURCE:
        return refuse_source(err, "a folder or a repository (-e)");
    case OPTION_REFUSE:
        break;
    }
    return err_refuse(err, ERR_UNPROCESSABLE, "requirement-option", "%.*s is refused: %s",
                      word > 60 ? 60 : (int)word, text, option->say);
}

/* `.`, `./`, `-e .`, `-e .[extra]`: the project itself. */
static bool is_project_itself(const char *text)
{
    static const char *const editable[] = {"-e", "--editable"};
    for (size_t i = 0; i < countof(editable); i++) {
        size_t len = strlen(editable[i]);
        if (strncmp(text, editable[i], len) == 0) {
            text += len;
            text += strspn(text, " \t=");
            break;
        }
    }
    char quote = *text == '"' || *text == '\'' ? *text++ : '\0';
    if (*text++ != '.')
        return false;
    text += *text == '/';
    if (*text == '[') {
        text += strcspn(text, "]");
        text += *text == ']';
    }
    if (quote != '\0' && *text++ != quote)
        return false;
    return text[strspn(text, " \t")] == '\0';
}

static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((text[i] < ' ' && text[i] != '\t') || text[i] > '~')
            return false;
    }
    return true;
}

int requirement_line_parse(struct requirement_line *self, const char *text, size_t len,
                           const struct requirements_policy *policy, struct err *err)
{
    *self = (struct requirement_line){.kind = REQUIREMENT_LINE_NONE};
    if (!is_plain(text, len))
        return syntax(err, "a control character or a letter outside of ASCII");
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    owned_mem char *line = mem_strndup(text, len);
    for (char *at = line; *at != '\0'; at++)
        *at = *at == '\t' ? ' ' : *at;
    const char *start = line + strspn(line, " \t");
    if (*start == '\0')
        return 0;
    if (is_project_itself(start)) {
        self->kind = REQUIREMENT_LINE_DROPPED;
        self->note = "the project itself is not installed: its root is on the path";
        return 0;
    }
    return *start == '-' ? take_option(self, start, err) : take_item(self, start, policy, err);
}

void requirement_line_fini(struct requirement_line *self)
{
    free(self->name);
    free(self->text);
    *self = (struct requirement_line){.kind = REQUIREMENT_LINE_NONE};
}
