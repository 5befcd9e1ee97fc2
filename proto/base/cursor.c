#include "proto/base/cursor.h"

#include <string.h>

void cursor_init(struct cursor *self, const void *bytes, size_t len)
{
    self->at = bytes;
    self->end = self->at + len;
    self->spoiled = false;
}

static size_t left(const struct cursor *self) { return (size_t)(self->end - self->at); }

static bool spoil(struct cursor *self)
{
    self->spoiled = true;
    return false;
}

/* The head of a value: what it is, and its number, length or count. Costs no bytes of the range. */
struct head {
    enum cursor_kind kind;
    size_t bytes; /* of the head itself */
    uint64_t value;
};

static uint64_t big_endian(const uint8_t *at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | at[i];
    return value;
}

static int64_t sign_extended(uint64_t value, size_t width)
{
    uint64_t sign = UINT64_C(1) << (width * 8 - 1);
    return (int64_t)((value ^ sign) - sign);
}

/* 0xc0 .. 0xdf: the kind of the value, and how many bytes of number follow the first one. */
static const struct {
    uint8_t kind;
    uint8_t width;
} wide[32] = {
    {CURSOR_NIL, 0},  {CURSOR_BAD, 0},  {CURSOR_BOOL, 0}, {CURSOR_BOOL, 0},  {CURSOR_BIN, 1},
    {CURSOR_BIN, 2},  {CURSOR_BIN, 4},  {CURSOR_BAD, 0},  {CURSOR_BAD, 0},   {CURSOR_BAD, 0},
    {CURSOR_REAL, 4}, {CURSOR_REAL, 8}, {CURSOR_UINT, 1}, {CURSOR_UINT, 2},  {CURSOR_UINT, 4},
    {CURSOR_UINT, 8}, {CURSOR_INT, 1},  {CURSOR_INT, 2},  {CURSOR_INT, 4},   {CURSOR_INT, 8},
    {CURSOR_BAD, 0},  {CURSOR_BAD, 0},  {CURSOR_BAD, 0},  {CURSOR_BAD, 0},   {CURSOR_BAD, 0},
    {CURSOR_STR, 1},  {CURSOR_STR, 2},  {CURSOR_STR, 4},  {CURSOR_ARRAY, 2}, {CURSOR_ARRAY, 4},
    {CURSOR_MAP, 2},  {CURSOR_MAP, 4},
};

static struct head short_head(uint8_t first)
{
    if (first < 0x80)
        return (struct head){CURSOR_UINT, 1, first};
    if (first < 0x90)
        return (struct head){CURSOR_MAP, 1, first & 0x0f};
    if (first < 0xa0)
        return (struct head){CURSOR_ARRAY, 1, first & 0x0f};
    if (first < 0xc0)
        return (struct head){CURSOR_STR, 1, first & 0x1f};
    return (struct head){CURSOR_INT, 1, (uint64_t)(int64_t)(int8_t)first};
}

static struct head read_head(const struct cursor *self)
{
    if (self->spoiled || left(self) == 0)
        return (struct head){.kind = CURSOR_END};
    uint8_t first = *self->at;
    if (first < 0xc0 || first >= 0xe0)
        return short_head(first);
    struct head head = {(enum cursor_kind)wide[first - 0xc0].kind, 1, 0};
    size_t width = wide[first - 0xc0].width;
    if (head.kind == CURSOR_BOOL)
        head.value = first & 1;
    if (width >= left(self))
        return (struct head){.kind = CURSOR_BAD};
    if (width == 0)
        return head;
    head.bytes += width;
    head.value = big_endian(self->at + 1, width);
    if (head.kind == CURSOR_INT) {
        int64_t value = sign_extended(head.value, width);
        head.kind = value < 0 ? CURSOR_INT : CURSOR_UINT;
        head.value = (uint64_t)value;
    }
    return head;
}

enum cursor_kind cursor_peek(const struct cursor *self) { return read_head(self).kind; }

/* Takes a head of this kind whose value is at most `max`. */
static bool take(struct cursor *self, enum cursor_kind kind, uint64_t max, uint64_t *value)
{
    struct head head = read_head(self);
    *value = 0;
    if (head.kind != kind || head.value > max)
        return spoil(self);
    self->at += head.bytes;
    *value = head.value;
    return true;
}

bool cursor_nil(struct cursor *self)
{
    uint64_t unused;
    return take(self, CURSOR_NIL, 0, &unused);
}

bool cursor_bool(struct cursor *self, bool *out)
{
    uint64_t value;
    bool ok = take(self, CURSOR_BOOL, 1, &value);
    *out = value != 0;
    return ok;
}

bool cursor_uint(struct cursor *self, uint64_t max, uint64_t *out)
{
    return take(self, CURSOR_UINT, max, out);
}

bool cursor_int(struct cursor *self, int64_t min, int64_t max, int64_t *out)
{
    struct head head = read_head(self);
    *out = 0;
    if (head.kind == CURSOR_UINT && head.value > INT64_MAX)
        return spoil(self);
    if (head.kind != CURSOR_UINT && head.kind != CURSOR_INT)
        return spoil(self);
    int64_t value = (int64_t)head.value;
    if (value < min || value > max)
        return spoil(self);
    self->at += head.bytes;
    *out = value;
    return true;
}

bool cursor_real(struct cursor *self, double *out)
{
    struct head head = read_head(self);
    *out = 0;
    if (head.kind != CURSOR_REAL)
        return spoil(self);
    if (head.bytes == 5) {
        uint32_t bits = (uint32_t)head.value;
        float value;
        memcpy(&value, &bits, sizeof(value));
        *out = (double)value;
    } else {
        memcpy(out, &head.value, sizeof(*out));
    }
    self->at += head.bytes;
    return true;
}

static bool take_text(struct cursor *self, enum cursor_kind kind, size_t max,
                      struct cursor_text *out)
{
    uint64_t len;
    *out = (struct cursor_text){.data = ""};
    if (!take(self, kind, max, &len))
        return false;
    if (len > left(self))
        return spoil(self);
    *out = (struct cursor_text){(const char *)self->at, (size_t)len};
    self->at += len;
    return true;
}

bool cursor_str(struct cursor *self, size_t max, struct cursor_text *out)
{
    return take_text(self, CURSOR_STR, max, out);
}

bool cursor_bin(struct cursor *self, size_t max, struct cursor_text *out)
{
    return take_text(self, CURSOR_BIN, max, out);
}

/* Every item takes at least one byte, a pair two. */
static bool take_count(struct cursor *self, enum cursor_kind kind, size_t max, size_t *out)
{
    uint64_t count;
    bool ok = take(self, kind, max, &count);
    *out = 0;
    if (!ok)
        return false;
    if (count > left(self) / (kind == CURSOR_MAP ? 2 : 1))
        return spoil(self);
    *out = (size_t)count;
    return true;
}

bool cursor_array(struct cursor *self, size_t max, size_t *out)
{
    return take_count(self, CURSOR_ARRAY, max, out);
}

bool cursor_map(struct cursor *self, size_t max, size_t *out)
{
    return take_count(self, CURSOR_MAP, max, out);
}

/* Steps over one head, and its bytes where it is a text. Returns the values that are inside it. */
static size_t step_over(struct cursor *self)
{
    struct cursor_text text;
    size_t inside = 0;
    struct head head = read_head(self);
    switch (head.kind) {
    case CURSOR_NIL:
    case CURSOR_BOOL:
    case CURSOR_UINT:
    case CURSOR_INT:
    case CURSOR_REAL:
        self->at += head.bytes;
        break;
    case CURSOR_STR:
    case CURSOR_BIN:
        take_text(self, head.kind, SIZE_MAX, &text);
        break;
    case CURSOR_ARRAY:
        take_count(self, CURSOR_ARRAY, SIZE_MAX, &inside);
        break;
    case CURSOR_MAP:
        take_count(self, CURSOR_MAP, SIZE_MAX, &inside);
        inside *= 2;
        break;
    case CURSOR_END:
    case CURSOR_BAD:
        spoil(self);
        break;
    }
    return inside;
}

bool cursor_skip(struct cursor *self)
{
    size_t open[CURSOR_DEPTH + 1] = {1}; /* values still to come, by depth */
    unsigned depth = 0;
    while (!self->spoiled) {
        while (open[depth] == 0) {
            if (depth == 0)
                return true;
            depth--;
        }
        open[depth]--;
        size_t inside = step_over(self);
        if (inside == 0)
            continue;
        if (depth == CURSOR_DEPTH)
            return spoil(self);
        open[++depth] = inside;
    }
    return false;
}

bool cursor_done(const struct cursor *self) { return !self->spoiled && self->at == self->end; }

bool cursor_check(const void *bytes, size_t len)
{
    struct cursor cursor;
    cursor_init(&cursor, bytes, len);
    return cursor_skip(&cursor) && cursor_done(&cursor);
}

bool cursor_text_is(struct cursor_text text, const char *other)
{
    size_t len = strlen(other);
    return text.len == len && memcmp(text.data, other, len) == 0;
}
