#include "runner/intake/archive_end.h"

#include "proto/base/mem.h"

#include <string.h>

#define END_BYTES       22u
#define END64_BYTES     56u
#define LOCATOR_BYTES   20u
#define TAIL_MAX        (END_BYTES + 65535u)
#define SIGN_END        0x06054b50u
#define SIGN_END64      0x06064b50u
#define SIGN_LOCATOR    0x07064b50u
#define SIGN_LOCAL      0x04034b50u
#define SIGN_SPANNED    0x08074b50u
#define REFUSED(r, ...) err_refuse(err, ERR_UNPROCESSABLE, (r), __VA_ARGS__)

/* No end record: says whether it looks like a zip that was cut. */
static int no_end(const struct archive_source *source, struct err *err)
{
    uint8_t head[4] = {0};
    size_t len = source->size < sizeof head ? (size_t)source->size : sizeof head;
    int rc = source->read_at(source->arg, 0, head, len, err);
    if (rc)
        return rc;
    bool zip = len < 4 ? memcmp(head, "PK\3\4", len) == 0
                       : zip_u32(head) == SIGN_LOCAL || zip_u32(head) == SIGN_SPANNED;
    if (zip)
        return REFUSED("archive-truncated", "the archive stops before its end; send it again");
    return REFUSED("archive-not-zip", "this is not a zip archive");
}

/* Looks for the end record whose comment ends with the archive. Returns its place in the tail, or
 * a negative code. */
static ssize_t find_end(const struct archive_source *source, const uint8_t *tail, size_t len,
                        struct err *err)
{
    int misfit = 0; /* the last record seen has a comment: > 0 too long, < 0 too short */
    for (size_t at = len < END_BYTES ? 0 : len - END_BYTES + 1; at-- > 0;) {
        if (zip_u32(tail + at) != SIGN_END)
            continue;
        size_t behind = len - at - END_BYTES;
        size_t comment = zip_u16(tail + at + 20);
        if (comment == behind)
            return (ssize_t)at;
        if (!misfit)
            misfit = comment > behind ? 1 : -1;
    }
    if (misfit > 0)
        return REFUSED("archive-truncated", "the archive stops within its comment; send it again");
    if (misfit < 0)
        return REFUSED("archive-trailing", "there are bytes behind the archive's end");
    return no_end(source, err);
}

/* A value that Zip64 holds: the old field is either full or says the same. */
static bool agrees(uint64_t wide, uint64_t narrow, uint64_t full)
{
    return narrow == full || narrow == wide;
}

static int read_end64(struct archive_end *self, const struct archive_source *source,
                      const uint8_t *locator, uint64_t locator_at, struct err *err)
{
    uint64_t at = zip_u64(locator + 8);
    if (zip_u32(locator + 4) != 0 || zip_u32(locator + 16) > 1)
        return REFUSED("archive-multipart", "the archive is one part of several");
    if (locator_at < END64_BYTES || at > locator_at - END64_BYTES)
        return REFUSED("archive-count-lie", "the Zip64 end record is not where it should be");
    uint8_t end[END64_BYTES];
    int rc = source->read_at(source->arg, at, end, sizeof end, err);
    if (rc)
        return rc;
    if (zip_u32(end) != SIGN_END64)
        return REFUSED("archive-prefixed", "the Zip64 end record is not where it should be");
    if (zip_u64(end + 4) != locator_at - at - 12)
        return REFUSED("archive-count-lie", "the Zip64 end record has a wrong length");
    if (zip_u32(end + 16) != 0 || zip_u32(end + 20) != 0)
        return REFUSED("archive-multipart", "the archive is one part of several");
    uint64_t count = zip_u64(end + 32);
    uint64_t bytes = zip_u64(end + 40);
    uint64_t offset = zip_u64(end + 48);
    if (zip_u64(end + 24) != count || !agrees(count, self->count, UINT16_MAX) ||
        !agrees(bytes, self->directory_bytes, UINT32_MAX) ||
        !agrees(offset, self->directory_offset, UINT32_MAX))
        return REFUSED("archive-count-lie", "the archive's two end records disagree");
    *self = (struct archive_end){count, offset, bytes};
    if (offset > at || bytes > at - offset)
        return REFUSED("archive-truncated", "the archive's directory is not all there");
    if (offset + bytes != at)
        return REFUSED("archive-prefixed", "there are bytes in front of the archive or within it");
    return 0;
}

static int read_end(struct archive_end *self, const struct archive_source *source,
                    const uint8_t *tail, size_t len, struct err *err)
{
    ssize_t found = find_end(source, tail, len, err);
    if (found < 0)
        return (int)found;
    const uint8_t *end = tail + found;
    uint64_t at = source->size - len + (uint64_t)found;
    *self = (struct archive_end){zip_u16(end + 10), zip_u32(end + 16), zip_u32(end + 12)};
    uint8_t locator[LOCATOR_BYTES] = {0};
    if (at >= LOCATOR_BYTES) {
        int rc = source->read_at(source->arg, at - LOCATOR_BYTES, locator, sizeof locator, err);
        if (rc)
            return rc;
    }
    bool wide = zip_u32(locator) == SIGN_LOCATOR;
    if ((zip_u16(end + 4) != 0 && !(wide && zip_u16(end + 4) == UINT16_MAX)) ||
        (zip_u16(end + 6) != 0 && !(wide && zip_u16(end + 6) == UINT16_MAX)))
        return REFUSED("archive-multipart", "the archive is one part of several");
    if (zip_u16(end + 8) != zip_u16(end + 10))
        return REFUSED("archive-count-lie", "the archive states two numbers of entries");
    if (wide)
        return read_end64(self, source, locator, at - LOCATOR_BYTES, err);
    if (self->directory_offset > at || self->directory_bytes > at - self->directory_offset)
        return REFUSED("archive-truncated", "the archive's directory is not all there");
    if (self->directory_offset + self->directory_bytes != at)
        return REFUSED("archive-prefixed", "there are bytes in front of the archive or within it");
    return 0;
}

int archive_end_read(struct archive_end *self, const struct archive_source *source, struct err *err)
{
    if (source->size == 0)
        return REFUSED("archive-empty", "the archive has no bytes");
    size_t len = source->size < TAIL_MAX ? (size_t)source->size : TAIL_MAX;
    if (len < END_BYTES)
        return no_end(source, err);
    owned_mem uint8_t *tail = mem_new(len);
    int rc = source->read_at(source->arg, source->size - len, tail, len, err);
    return rc ? rc : read_end(self, source, tail, len, err);
}
