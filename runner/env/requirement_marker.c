#include "runner/env/requirement_marker.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 32

/* marker  = or; or = and ("or" and)*; and = term ("and" term)*
 * term    = "(" or ")" | value operator value
 * value   = a known variable | a quoted text */
struct marker {
    const char *at;
    struct buf *out;
    int depth;
};

static void skip_blanks(struct marker *self) { self->at += strspn(self->at, " \t"); }

static bool take_word(struct marker *self, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(self->at, word, len) != 0 || isalnum((unsigned char)self->at[len]) ||
        self->at[len] == '_')
        return false;
    self->at += len;
    buf_puts(self->out, word);
    return true;
}

static bool take_value(struct marker *self)
{
    static const char *const variables[] = {
        "python_version",      "python_full_version",    "os_name",
        "sys_platform",        "platform_release",       "platform_system",
        "platform_version",    "platform_machine",       "platform_python_implementation",
        "implementation_name", "implementation_version", "extra",
    };
    skip_blanks(self);
    if (*self->at == '"' || *self->at == '\'') {
        const char *end = strchr(self->at + 1, *self->at);
        if (end == NULL)
            return false;
        buf_append(self->out, self->at, (size_t)(end + 1 - self->at));
        self->at = end + 1;
        return true;
    }
    for (size_t i = 0; i < countof(variables); i++) {
        if (take_word(self, variables[i]))
            return true;
    }
    return false;
}

static bool take_operator(struct marker *self)
{
    static const char *const operators[] = {"===", "==", ">=", "<=", "!=", "~=", ">", "<"};
    skip_blanks(self);
    buf_putc(self->out, ' ');
    for (size_t i = 0; i < countof(operators); i++) {
        size_t len = strlen(operators[i]);
        if (strncmp(self->at, operators[i], len) == 0) {
            self->at += len;
            buf_printf(self->out, "%s ", operators[i]);
            return true;
        }
    }
    if (take_word(self, "not")) {
        buf_putc(self->out, ' ');
        skip_blanks(self);
    }
    if (!take_word(self, "in"))
        return false;
    buf_putc(self->out, ' ');
    return true;
}

static bool take_or(struct marker *self);

static bool take_term(struct marker *self)
{
    skip_blanks(self);
    if (*self->at != '(')
        return take_value(self) && take_operator(self) && take_value(self);
    if (++self->depth > DEPTH_MAX)
        return false;
    self->at++;
    buf_putc(self->out, '(');
    if (!take_or(self))
        return false;
    skip_blanks(self);
    if (*self->at != ')')
        return false;
    self->at++;
    self->depth--;
    buf_putc(self->out, ')');
    return true;
}

/* Takes " word " between two terms; leaves `out` as it is when it is not there. */
static bool take_between(struct marker *self, const char *word)
{
    skip_blanks(self);
    size_t len = strlen(word);
    if (strncmp(self->at, word, len) != 0 || strchr(" \t(\"'", self->at[len]) == NULL)
        return false;
    self->at += len;
    buf_printf(self->out, " %s ", word);
    return true;
}

static bool take_and(struct marker *self)
{
    if (!take_term(self))
        return false;
    while (take_between(self, "and")) {
        if (!take_term(self))
            return false;
    }
    return true;
}

static bool take_or(struct marker *self)
{
    if (!take_and(self))
        return false;
    while (take_between(self, "or")) {
        if (!take_and(self))
            return false;
    }
    return true;
}

int requirement_marker_take(const char **at, struct buf *out, struct err *err)
{
    struct marker marker = {.at = *at, .out = out};
    skip_blanks(&marker);
    if (*marker.at == '\0') { /* "name ;" says nothing */
        *at = marker.at;
        return 0;
    }
    buf_puts(out, " ; ");
    if (!take_or(&marker))
        return err_refuse(err, ERR_UNPROCESSABLE, "requirement-syntax",
                          "the marker behind ; was not understood (it reads: python_version > "
                          "\"3.8\" and sys_platform == 'linux')");
    *at = marker.at;
    return 0;
}
