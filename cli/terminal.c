#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR_LINE "\r\x1b[2K"

void terminal_init(struct terminal *self, FILE *to)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    *self = (struct terminal){.to = to};
    self->live = isatty(fileno(to)) && term != NULL && strcmp(term, "dumb") != 0;
    self->colour = self->live && (no_color == NULL || *no_color == '\0');
}

size_t terminal_width(const struct terminal *self)
{
    struct winsize size;
    if (!self->live)
        return 0;
    if (ioctl(fileno(self->to), TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void terminal_clear(struct terminal *self)
{
    if (self->shown)
        fputs(CLEAR_LINE, self->to);
    self->shown = false;
}

void terminal_print(struct terminal *self, const struct buf *lines)
{
    terminal_clear(self);
    fwrite(buf_str(lines), 1, lines->len, self->to);
    fflush(self->to);
}

void terminal_printf(struct terminal *self, const char *fmt, ...)
{
    va_list args;
    terminal_clear(self);
    va_start(args, fmt);
    vfprintf(self->to, fmt, args);
    va_end(args);
    fflush(self->to);
}

void terminal_status(struct terminal *self, const char *line)
{
    if (!self->live)
        return;
    fprintf(self->to, CLEAR_LINE "%s", line);
    fflush(self->to);
    self->shown = true;
}
