/* tar: the one form of tar that bundles have (POSIX.1-2001 pax, ustar blocks).
 *
 * Everything that could vary is fixed: times, owners, modes, field forms, no padding beyond the two
 * closing blocks. The reader takes what the writer writes and nothing else: it writes again what it
 * has read and compares. Any tar program can read a bundle.
 */
#ifndef INTAKE_TAR_H
#define INTAKE_TAR_H

#include "proto/base/buf.h"
#include "runner/intake/archive.h"

#define TAR_BLOCK 512u
/* Long names come in a pax header of up to this many blocks: its own, and its records. */
#define TAR_PAX_MAX (2 * (ARCHIVE_LINK_MAX + 64))

struct tar_item {
    char path[ARCHIVE_PATH_MAX + 1];
    char target[ARCHIVE_LINK_MAX + 1]; /* of a link, else empty */
    enum archive_kind kind;            /* never ARCHIVE_SPECIAL */
    bool executable;
    uint64_t size_bytes; /* of a file; below 8 GiB */
};

/* Appends the header of an item, one block or, with long names, more. The content follows, then
 * zeros up to a whole block. */
void tar_put_head(struct buf *out, const struct tar_item *item);

/* Appends the two blocks of zeros at the end. */
void tar_put_end(struct buf *out);

/* Returns how many zeros follow content of this size. */
static inline size_t tar_padding(uint64_t size_bytes)
{
    return (size_t)(-size_bytes & (TAR_BLOCK - 1));
}

/* Where a reader takes blocks from: fills all of `len` bytes or fails. */
struct tar_source {
    int (*read)(void *arg, void *out, size_t len, struct err *err);
    void *arg;
};

/* Reads one header. Returns 1 with the item filled, 0 at the end (both blocks read), or
 * ERR_CORRUPT for anything that tar_put_head() would not have written, and the source's errors. */
int tar_get_head(struct tar_item *item, const struct tar_source *source,
                 struct err *err) ERR_CHECKED;

#endif
