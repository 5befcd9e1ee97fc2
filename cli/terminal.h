/* terminal: lines that stay, and one line below them that changes. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct terminal {
    FILE *to;    /* borrowed */
    bool live;   /* a screen that can take back what it shows */
    bool colour; /* live, and NO_COLOR (no-color.org) does not forbid it */
    bool shown;  /* a status line is there now */
};

void terminal_init(struct terminal *self, FILE *to);

/* Columns; 0 where there is no screen. */
size_t terminal_width(const struct terminal *self);

/* Writes text of whole lines above the status line. */
void terminal_print(struct terminal *self, const struct buf *lines);
void terminal_printf(struct terminal *self, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Shows `line` as the status, in place of the one before; nothing where no screen is. */
void terminal_status(struct terminal *self, const char *line);
void terminal_clear(struct terminal *self);

#endif
