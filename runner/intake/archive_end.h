/* archive_end: the end of a zip, which says where its directory is. Internal to archive. */
#ifndef INTAKE_ARCHIVE_END_H
#define INTAKE_ARCHIVE_END_H

#include "runner/intake/archive.h"

struct archive_end {
    uint64_t count;
    uint64_t directory_offset;
    uint64_t directory_bytes;
};

static inline uint16_t zip_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static inline uint32_t zip_u32(const uint8_t *at)
{
    return zip_u16(at) | (uint32_t)zip_u16(at + 2) << 16;
}
static inline uint64_t zip_u64(const uint8_t *at)
{
    return zip_u32(at) | (uint64_t)zip_u32(at + 4) << 32;
}

/* Finds and checks the end record, and the Zip64 one where there is one. The directory it names is
 * inside the archive and ends where the end records begin. */
int archive_end_read(struct archive_end *self, const struct archive_source *source,
                     struct err *err) ERR_CHECKED;

#endif
