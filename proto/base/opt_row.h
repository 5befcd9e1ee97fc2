/* opt_row: what the parts of opt share. Not for others. */
#ifndef BASE_OPT_ROW_H
#define BASE_OPT_ROW_H

#include "proto/base/opt.h"

/* Where a value came from. */
struct opt_place {
    const char *text; /* stands before the value in an error: "--slots " */
    bool one_item;    /* a list's value is one item, not several with commas */
};

/* Reads `text` into the row's member of `target`; a list grows. Errors: ERR_INVALID. */
int opt_row_set(const struct opt_row *row, const struct opt_place *place, const char *text,
                void *target, struct err *err) ERR_CHECKED;

/* Appends a value as one short line: a terminal must not obey what a stranger wrote. */
void opt_show_value(const char *value, struct buf *out);

/* Appends a row's number the short way: 512M, 5m. */
void opt_show_number(const struct opt_row *row, int64_t value, struct buf *out);

/* Appends what numbers a row takes: "1 to 512", "at least 1M", "at most 1h". */
void opt_show_bounds(const struct opt_row *row, struct buf *out);

#endif
