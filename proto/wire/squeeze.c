#include "proto/wire/squeeze.h"

#include <zstd.h>

#define LEVEL 1 /* JSON of records shrinks to an eighth already; links are fast */

bool squeeze(const void *bytes, size_t len, struct buf *out)
{
    buf_clear(out);
    size_t room = ZSTD_compressBound(len);
    size_t size = ZSTD_compress(buf_reserve(out, room), room, bytes, len, LEVEL);
    if (ZSTD_isError(size) || size >= len)
        return false;
    buf_added(out, size);
    return true;
}

enum link_verdict unsqueeze(const void *bytes, size_t len, struct buf *out)
{
    buf_clear(out);
    unsigned long long size = ZSTD_getFrameContentSize(bytes, len);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size == 0)
        return LINK_MALFORMED;
    if (size > LINK_BODY_MAX)
        return LINK_OVERSIZED;
    size_t got = ZSTD_decompress(buf_reserve(out, (size_t)size), (size_t)size, bytes, len);
    if (ZSTD_isError(got) || got != size)
        return LINK_MALFORMED;
    buf_added(out, got);
    return LINK_OK;
}
