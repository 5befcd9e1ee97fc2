/* text: words for a terminal. Pure. Names and messages come from strangers: nothing of theirs
 * reaches a terminal without text_safe(). */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends at most `max` bytes of `text` (and "…" where there were more), with line breaks as blanks
 * and every other control character as '?', so that no escape sequence survives, and no override
 * of the direction of writing. */
void text_safe(const char *text, size_t max, struct buf *out);

/* As text_safe(), with line breaks and tabs kept. */
void text_safe_lines(const char *text, size_t max, struct buf *out);

/* Columns that UTF-8 text takes, one a character. */
size_t text_columns(const char *text);

/* Appends `text`, cut with "…" at `width` columns, and filled with blanks to it where `fill`. */
void text_cell(const char *text, size_t width, bool fill, struct buf *out);

/* "0.31 s", "12.4 s", "3m 05s", "2h 10m". */
void text_duration(double seconds, struct buf *out);

/* "812 B", "3.4 MiB". */
void text_size(uint64_t bytes, struct buf *out);

enum text_style { TEXT_PLAIN, TEXT_GOOD, TEXT_BAD, TEXT_ODD, TEXT_DIM, TEXT_BOLD };

/* Appends `text` in a colour, or plain where `colour` is false. */
void text_styled(enum text_style style, const char *text, bool colour, struct buf *out);

#endif
