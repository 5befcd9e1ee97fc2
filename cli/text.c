#include "cli/text.h"

#include <string.h>

#define DURATION_MAX_S 2e9 /* fits an int; 63 years */

static bool continues(unsigned char c) { return (c & 0xc0) == 0x80; }

/* U+202A to U+202E and U+2066 to U+2069 turn what follows around, beyond their own text. */
static bool turns_around(const unsigned char *at)
{
    return at[0] == 0xe2 && ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) ||
                             (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));
}

/* C0, DEL, and C1 in its UTF-8 form (c2 80 .. c2 9f), which some terminals obey as well. */
static size_t control_len(const unsigned char *at, size_t left)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return 1;
    if (left > 2 && turns_around(at))
        return 3;
    return left > 1 && at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f ? 2 : 0;
}

static void copy_safe(const char *text, size_t max, bool lines, struct buf *out)
{
    size_t len = strlen(text);
    size_t end = len < max ? len : max;
    while (end < len && end > 0 && continues((unsigned char)text[end]))
        end--;
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < end; i++) {
        size_t control = control_len(bytes + i, end - i);
        if (control == 0) {
            buf_putc(out, text[i]);
        } else if (text[i] == '\n' || text[i] == '\t') {
            buf_putc(out, lines ? text[i] : ' ');
        } else if (text[i] != '\r') {
            buf_putc(out, '?');
            i += control - 1;
        }
    }
    if (end < len)
        buf_puts(out, "…");
}

void text_safe(const char *text, size_t max, struct buf *out) { copy_safe(text, max, false, out); }

void text_safe_lines(const char *text, size_t max, struct buf *out)
{
    copy_safe(text, max, true, out);
}

size_t text_columns(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += !continues((unsigned char)*text);
    return count;
}

void text_cell(const char *text, size_t width, bool fill, struct buf *out)
{
    size_t columns = text_columns(text);
    if (columns <= width) {
        buf_puts(out, text);
        if (fill)
            buf_printf(out, "%*s", (int)(width - columns), "");
        return;
    }
    size_t kept = 0;
    for (; *text != '\0'; text++) {
        if (!continues((unsigned char)*text) && kept++ == width - 1)
            break;
        buf_putc(out, *text);
    }
    buf_puts(out, "…");
}

void text_duration(double seconds, struct buf *out)
{
    if (!(seconds < DURATION_MAX_S)) /* a node may say anything; so may be no number at all */
        seconds = DURATION_MAX_S;
    if (seconds < 10)
        buf_printf(out, "%.2f s", seconds < 0 ? 0 : seconds);
    else if (seconds < 60)
        buf_printf(out, "%.1f s", seconds);
    else if (seconds < 3600)
        buf_printf(out, "%dm %02ds", (int)seconds / 60, (int)seconds % 60);
    else
        buf_printf(out, "%dh %02dm", (int)seconds / 3600, (int)seconds / 60 % 60);
}

void text_size(uint64_t bytes, struct buf *out)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        buf_printf(out, "%llu B", (unsigned long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    buf_printf(out, "%.1f %s", value, units[unit]);
}

void text_styled(enum text_style style, const char *text, bool colour, struct buf *out)
{
    static const char *const codes[] = {
        [TEXT_PLAIN] = "0", [TEXT_GOOD] = "32", [TEXT_BAD] = "31",
        [TEXT_ODD] = "33",  [TEXT_DIM] = "2",   [TEXT_BOLD] = "1",
    };
    if (colour && style != TEXT_PLAIN)
        buf_printf(out, "\x1b[%sm%s\x1b[0m", codes[style], text);
    else
        buf_puts(out, text);
}
