#include "proto/base/utf8.h"

size_t utf8_length(const void *bytes, size_t left)
{
    const unsigned char *at = bytes;
    if (left == 0)
        return 0;
    unsigned char c = at[0];
    if (c < 0x80)
        return 1;
    size_t need = c >= 0xc2 && c <= 0xdf   ? 2
                  : (c & 0xf0) == 0xe0     ? 3
                  : c >= 0xf0 && c <= 0xf4 ? 4
                                           : 0;
    if (!need || need > left)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
        (c == 0xf4 && at[1] > 0x8f))
        return 0;
    return need;
}

void utf8_repair(const char *text, size_t len, size_t max, struct buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < len;) {
        size_t step = utf8_length(text + i, len - i);
        size_t add = step ? step : 3;
        if (out->len - start + add > max)
            return;
        buf_append(out, step ? text + i : "\xef\xbf\xbd", add);
        i += step ? step : 1;
    }
}

bool utf8_is_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = (unsigned char)text[i] < 0x80 ? 1 : utf8_length(text + i, len - i);
        if (!step)
            return false;
        i += step;
    }
    return true;
}
