/* utf8: text from strangers, checked and repaired (RFC 3629: no surrogates, nothing over-long). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Returns the length, 1 to 4, of the valid sequence at the front of `left` bytes, else 0. */
size_t utf8_length(const void *bytes, size_t left);

bool utf8_is_valid(const char *text, size_t len);

/* Appends the text with U+FFFD in place of each bad byte, cut before `max` bytes at a whole
 * character. */
void utf8_repair(const char *text, size_t len, size_t max, struct buf *out);

#endif
