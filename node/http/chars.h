/* chars: the character classes of RFC 9110, 3986 and 2046, and percent escapes. */
#ifndef NODE_HTTP_CHARS_H
#define NODE_HTTP_CHARS_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* RFC 9110 section 5.6.2: method, field name, parameter name. */
bool chars_is_token(char c);
bool chars_are_token(const char *text, size_t len); /* false for none */

/* What may stand in a line: blank, tab, visible, and bytes above ASCII. */
bool chars_is_text(char c);

/* Returns 0..15, or -1. */
int chars_hex(char c);

char chars_lower(char c);
void chars_lower_all(char *text, size_t len);

/* Equal but for ASCII case. */
bool chars_same(const char *a, const char *b);
bool chars_same_n(const char *text, size_t len, const char *other);

/* Whether every "%" is followed by two digits, none of them being %00. */
bool chars_escapes_ok(const char *text, size_t len);

/* Appends the bytes that `text` stands for, whose escapes are in order. `plus` makes "+" a blank.
 */
void chars_unescape(struct buf *out, const char *text, size_t len, bool plus);

#endif
