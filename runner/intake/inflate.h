/* inflate: reads the content of entries that the walk has accepted, with libzip.
 *
 * libzip is not shown the stranger's central directory but one that is written here from the walked
 * entries: it can see no entry, name or size that was not checked, and its memory follows one
 * project and not the archive. Bytes are counted again as they come. */
#ifndef INTAKE_INFLATE_H
#define INTAKE_INFLATE_H

#include "runner/intake/archive.h"

#include <sys/types.h>

#define INFLATE_ENTRIES_MAX 60000u
#define INFLATE_SIZE_MAX    (UINT64_C(4000) << 20) /* of an archive: no Zip64 is written here */

struct inflate;

/* Opens the entries [first, end) of an archive that are kept files and links. Borrows all three
 * arguments until inflate_free(). Returns owned, NULL with ERR_INTERNAL when libzip will not. */
struct inflate *inflate_new(const struct archive *archive, size_t first, size_t end,
                            const struct archive_source *source, struct err *err);

void inflate_free(struct inflate *self);

/* Goes to the next kept file or link, in the archive's order. The one before it must have been read
 * to its end. */
int inflate_next(struct inflate *self, const struct archive_entry *entry,
                 struct err *err) ERR_CHECKED;

/* Reads on. Returns the bytes read, 0 at the end, where the checksum and the size have been held
 * against what was declared. Errors: ERR_UNPROCESSABLE with archive-bad-crc, archive-size-lie or
 * archive-bad-data; ERR_IO. */
ssize_t inflate_read(struct inflate *self, void *out, size_t size, struct err *err) ERR_CHECKED;

#endif
