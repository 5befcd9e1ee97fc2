#include "runner/intake/fold.h"

#include <stdint.h>
#include <string.h>

/* What U+00C0 .. U+017F decompose to: a letter and a mark of U+0300 .. U+037F. */
static const struct {
    char letter;
    uint8_t mark;
} parts[0x180 - 0xc0] = {
    {'a', 0x00}, {'a', 0x01}, {'a', 0x02}, {'a', 0x03}, {'a', 0x08}, {'a', 0x0a}, {0},
    {'c', 0x27}, {'e', 0x00}, {'e', 0x01}, {'e', 0x02}, {'e', 0x08}, {'i', 0x00}, {'i', 0x01},
    {'i', 0x02}, {'i', 0x08}, {0},         {'n', 0x03}, {'o', 0x00}, {'o', 0x01}, {'o', 0x02},
    {'o', 0x03}, {'o', 0x08}, {0},         {0},         {'u', 0x00}, {'u', 0x01}, {'u', 0x02},
    {'u', 0x08}, {'y', 0x01}, {0},         {0},         {'a', 0x00}, {'a', 0x01}, {'a', 0x02},
    {'a', 0x03}, {'a', 0x08}, {'a', 0x0a}, {0},         {'c', 0x27}, {'e', 0x00}, {'e', 0x01},
    {'e', 0x02}, {'e', 0x08}, {'i', 0x00}, {'i', 0x01}, {'i', 0x02}, {'i', 0x08}, {0},
    {'n', 0x03}, {'o', 0x00}, {'o', 0x01}, {'o', 0x02}, {'o', 0x03}, {'o', 0x08}, {0},
    {0},         {'u', 0x00}, {'u', 0x01}, {'u', 0x02}, {'u', 0x08}, {'y', 0x01}, {0},
    {'y', 0x08}, {'a', 0x04}, {'a', 0x04}, {'a', 0x06}, {'a', 0x06}, {'a', 0x28}, {'a', 0x28},
    {'c', 0x01}, {'c', 0x01}, {'c', 0x02}, {'c', 0x02}, {'c', 0x07}, {'c', 0x07}, {'c', 0x0c},
    {'c', 0x0c}, {'d', 0x0c}, {'d', 0x0c}, {0},         {0},         {'e', 0x04}, {'e', 0x04},
    {'e', 0x06}, {'e', 0x06}, {'e', 0x07}, {'e', 0x07}, {'e', 0x28}, {'e', 0x28}, {'e', 0x0c},
    {'e', 0x0c}, {'g', 0x02}, {'g', 0x02}, {'g', 0x06}, {'g', 0x06}, {'g', 0x07}, {'g', 0x07},
    {'g', 0x27}, {'g', 0x27}, {'h', 0x02}, {'h', 0x02}, {0},         {0},         {'i', 0x03},
    {'i', 0x03}, {'i', 0x04}, {'i', 0x04}, {'i', 0x06}, {'i', 0x06}, {'i', 0x28}, {'i', 0x28},
    {'i', 0x07}, {0},         {0},         {0},         {'j', 0x02}, {'j', 0x02}, {'k', 0x27},
    {'k', 0x27}, {0},         {'l', 0x01}, {'l', 0x01}, {'l', 0x27}, {'l', 0x27}, {'l', 0x0c},
    {'l', 0x0c}, {0},         {0},         {0},         {0},         {'n', 0x01}, {'n', 0x01},
    {'n', 0x27}, {'n', 0x27}, {'n', 0x0c}, {'n', 0x0c}, {0},         {0},         {0},
    {'o', 0x04}, {'o', 0x04}, {'o', 0x06}, {'o', 0x06}, {'o', 0x0b}, {'o', 0x0b}, {0},
    {0},         {'r', 0x01}, {'r', 0x01}, {'r', 0x27}, {'r', 0x27}, {'r', 0x0c}, {'r', 0x0c},
    {'s', 0x01}, {'s', 0x01}, {'s', 0x02}, {'s', 0x02}, {'s', 0x27}, {'s', 0x27}, {'s', 0x0c},
    {'s', 0x0c}, {'t', 0x27}, {'t', 0x27}, {'t', 0x0c}, {'t', 0x0c}, {0},         {0},
    {'u', 0x03}, {'u', 0x03}, {'u', 0x04}, {'u', 0x04}, {'u', 0x06}, {'u', 0x06}, {'u', 0x0a},
    {'u', 0x0a}, {'u', 0x0b}, {'u', 0x0b}, {'u', 0x28}, {'u', 0x28}, {'w', 0x02}, {'w', 0x02},
    {'y', 0x02}, {'y', 0x02}, {'y', 0x08}, {'z', 0x01}, {'z', 0x01}, {'z', 0x07}, {'z', 0x07},
    {'z', 0x0c}, {'z', 0x0c}, {0},
};

size_t fold_path(const char *path, char *out, size_t size)
{
    size_t at = 0;
    while (*path && at + 4 < size) {
        unsigned char c = (unsigned char)path[0];
        unsigned point = (c & 0x1fu) << 6 | ((unsigned char)path[1] & 0x3fu);
        if (c >= 0xc3 && c <= 0xc5 && parts[point - 0xc0].letter) {
            unsigned mark = 0x300u + parts[point - 0xc0].mark;
            out[at++] = parts[point - 0xc0].letter;
            out[at++] = (char)(0xc0 | mark >> 6);
            out[at++] = (char)(0x80 | (mark & 0x3f));
            path += 2;
            continue;
        }
        out[at++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : *path;
        path++;
    }
    out[at] = '\0';
    return at;
}
