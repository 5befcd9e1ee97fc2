#include "runner/intake/name.h"

#include <stdio.h>
#include <string.h>

/* The upper half of code page 437, which zip means unless a flag says UTF-8 (APPNOTE appendix D).
 */
static const uint16_t cp437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

/* Returns the length of the sequence at `at` (RFC 3629), 0 when there is none. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (need < 2 || need > left)
        return need == 1;
    uint32_t point = at[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3fu);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < least[need] || point > 0x10ffff || surrogate ? 0 : need;
}

bool name_is_utf8(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0, step; i < len; i += step)
        if ((step = utf8_length(bytes + i, len - i)) == 0)
            return false;
    return true;
}

/* Every code point of the page is below U+10000. */
static size_t put_utf8(char *to, uint32_t point)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xc0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | point >> 12);
    to[1] = (char)(0x80 | (point >> 6 & 0x3f));
    to[2] = (char)(0x80 | (point & 0x3f));
    return 3;
}

char *name_show(const uint8_t *raw, size_t len, char out[NAME_SHOW_MAX])
{
    size_t at = 0;
    for (size_t i = 0, step; i < len; i += step) {
        step = utf8_length(raw + i, len - i);
        bool control =
            raw[i] < 0x20 || raw[i] == 0x7f || (raw[i] == 0xc2 && raw[i + (step > 1)] < 0xa0);
        if (at > NAME_SHOW_MAX - 16) { /* room for one more of either form, and the dots */
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (step > 0 && !control) {
            memcpy(out + at, raw + i, step);
            at += step;
            continue;
        }
        step += step == 0;
        for (size_t k = 0; k < step; k++)
            at += (size_t)snprintf(out + at, 5, "\\x%02x", raw[i + k]);
    }
    out[at] = '\0';
    return out;
}

static int refuse(struct err *err, const char *reason, const uint8_t *raw, size_t len,
                  const char *why)
{
    char shown[NAME_SHOW_MAX];
    return err_refuse(err, ERR_UNPROCESSABLE, reason, "the archive names \"%s\", which %s",
                      name_show(raw, len, shown), why);
}

/* Returns what is wrong with the characters, NULL for nothing. C1 controls (U+0080..U+009F) steer
 * terminals as escape sequences do. */
static const char *bad_character(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == 0)
            return "has a NUL in it";
        if (c < 0x20 || c == 0x7f)
            return "has a control character in it";
        if (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
            return "has a control character in it";
    }
    return NULL;
}

/* Turns raw bytes into UTF-8 with slashes. Returns the length. */
static size_t transcode(const uint8_t *raw, size_t len, char *to)
{
    bool text = name_is_utf8(raw, len);
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        if (raw[i] == '\\')
            to[at++] = '/';
        else if (text || raw[i] < 0x80)
            to[at++] = (char)raw[i];
        else
            at += put_utf8(to + at, cp437[raw[i] - 0x80]);
    }
    to[at] = '\0';
    return at;
}

struct parts {
    char *out;
    size_t len;
    uint32_t depth;
    uint32_t depth_max;
    const char *reason; /* set with `why` when a part is refused */
    const char *why;
};

static bool part_refused(struct parts *self, const char *reason, const char *why)
{
    self->reason = reason;
    self->why = why;
    return false;
}

static bool part_add(struct parts *self, const char *part, size_t len)
{
    if (len == 0)
        return part_refused(self, "archive-bad-name", "has an empty part");
    if (len == 1 && part[0] == '.')
        return true;
    if (len == 2 && part[0] == '.' && part[1] == '.')
        return part_refused(self, "archive-escape", "climbs out of the archive");
    if (len > ARCHIVE_PART_MAX)
        return part_refused(self, "archive-bad-name", "has a part of more than 255 bytes");
    if (self->len + len + 1 > ARCHIVE_PATH_MAX)
        return part_refused(self, "archive-bad-name", "is longer than 1024 bytes");
    if (++self->depth > self->depth_max)
        return part_refused(self, "archive-too-deep", "lies too many folders deep");
    if (self->len > 0)
        self->out[self->len++] = '/';
    memcpy(self->out + self->len, part, len);
    self->len += len;
    return true;
}

int name_decode(const uint8_t *raw, size_t len, bool flagged_utf8, uint32_t depth_max,
                char out[ARCHIVE_PATH_MAX + 1], bool *folder, struct err *err)
{
    char text[3 * ARCHIVE_PATH_MAX + 1];
    if (len == 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-bad-name",
                          "the archive has an entry without a name");
    if (len > ARCHIVE_PATH_MAX)
        return refuse(err, "archive-bad-name", raw, len, "is longer than 1024 bytes");
    if (flagged_utf8 && !name_is_utf8(raw, len))
        return refuse(err, "archive-bad-name", raw, len, "claims to be UTF-8 and is not");
    size_t text_len = transcode(raw, len, text);
    const char *bad = bad_character(text, text_len);
    if (bad)
        return refuse(err, "archive-bad-name", raw, len, bad);
    if (text[0] == '/')
        return refuse(err, "archive-escape", raw, len, "is an absolute path");
    char letter = (char)(text[0] | 0x20);
    if (letter >= 'a' && letter <= 'z' && text[1] == ':')
        return refuse(err, "archive-escape", raw, len, "starts with a drive letter");
    *folder = text[text_len - 1] == '/';
    text_len -= *folder;
    struct parts parts = {.out = out, .depth_max = depth_max};
    for (size_t at = 0, end; at <= text_len; at = end + 1) {
        const char *slash = memchr(text + at, '/', text_len - at);
        end = slash ? (size_t)(slash - text) : text_len;
        if (!part_add(&parts, text + at, end - at))
            return refuse(err, parts.reason, raw, len, parts.why);
    }
    out[parts.len] = '\0';
    return 0;
}
