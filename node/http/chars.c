#include "node/http/chars.h"

#include <string.h>
#include <strings.h>

bool chars_is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

bool chars_are_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!chars_is_token(text[i]))
            return false;
    return len > 0;
}

bool chars_is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= ' ' && u != 0x7f);
}

int chars_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = chars_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char chars_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

void chars_lower_all(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = chars_lower(text[i]);
}

bool chars_same_n(const char *text, size_t len, const char *other)
{
    for (size_t i = 0; i < len; i++)
        if (other[i] == '\0' || chars_lower(text[i]) != chars_lower(other[i]))
            return false;
    return other[len] == '\0';
}

bool chars_same(const char *a, const char *b) { return chars_same_n(a, strlen(a), b); }

bool chars_escapes_ok(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%')
            continue;
        if (len - i < 3 || chars_hex(text[i + 1]) < 0 || chars_hex(text[i + 2]) < 0)
            return false;
        if (text[i + 1] == '0' && text[i + 2] == '0')
            return false;
        i += 2;
    }
    return true;
}

void chars_unescape(struct buf *out, const char *text, size_t len, bool plus)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%' && len - i >= 3) {
            buf_putc(out, (char)(chars_hex(text[i + 1]) * 16 + chars_hex(text[i + 2])));
            i += 2;
        } else {
            buf_putc(out, plus && text[i] == '+' ? ' ' : text[i]);
        }
    }
}
