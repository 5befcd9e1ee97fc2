/* archive: what a stranger's zip says it holds, checked before any library opens it.
 *
 * A walk of the central directory (APPNOTE 6.3.9, Zip64 included) over a read-at function: counts,
 * extents, local headers against central ones, names, kinds. Nothing is inflated here; what the
 * walk accepts is in bounds, does not overlap, and has one meaning for every reader.
 *
 * Whatever is wrong refuses the whole archive: ERR_UNPROCESSABLE with one of the reasons below.
 *
 *   archive-not-zip           other bytes            archive-escape      a name that leaves the
 * tree archive-empty             no bytes, no entry     archive-bad-name    a name no tree can hold
 *   archive-truncated         the end is missing     archive-too-deep    too many folders
 *   archive-multipart         one of several disks   archive-duplicate   one path twice
 *   archive-prefixed          bytes in front         archive-conflict    a file that is a folder
 * too archive-trailing          bytes behind           archive-encrypted   needs a password
 *   archive-count-lie         counts disagree        archive-method      neither stored nor
 * deflated archive-header-lie        headers disagree       archive-too-many-entries
 *   archive-size-lie          sizes disagree         archive-too-large
 *   archive-overlap           entries share bytes    archive-bomb        inflates out of proportion
 *   archive-bad-crc           found while inflating  archive-too-many-projects
 */
#ifndef INTAKE_ARCHIVE_H
#define INTAKE_ARCHIVE_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_PATH_MAX 1024
#define ARCHIVE_PART_MAX 255
#define ARCHIVE_LINK_MAX 4095

struct archive_limits {
    uint32_t entry_count;         /* in the whole archive, skipped ones included */
    uint32_t project_entry_count; /* kept, in one project */
    uint64_t file_bytes;          /* inflated, one file */
    uint64_t project_bytes;       /* inflated, one project */
    uint64_t total_bytes;         /* inflated, all projects */
    uint64_t name_bytes;          /* of all paths together: what the walk keeps in memory */
    uint64_t ratio_floor_bytes;   /* no ratio is asked of less than this */
    uint32_t ratio;               /* inflated to compressed, over all that is kept */
    uint32_t depth;               /* parts of a path */
};

#define ARCHIVE_LIMITS_DEFAULT                                                                     \
    ((struct archive_limits){.entry_count = 200000,                                                \
                             .project_entry_count = 20000,                                         \
                             .file_bytes = UINT64_C(64) << 20,                                     \
                             .project_bytes = UINT64_C(512) << 20,                                 \
                             .total_bytes = UINT64_C(4) << 30,                                     \
                             .name_bytes = UINT64_C(16) << 20,                                     \
                             .ratio_floor_bytes = UINT64_C(1) << 20,                               \
                             .ratio = 100,                                                         \
                             .depth = 32})

/* Where the bytes are. `read_at` fills all of `len` bytes or fails with ERR_IO; it is never asked
 * for a byte at or behind `size`. */
struct archive_source {
    int (*read_at)(void *arg, uint64_t offset, void *out, size_t len, struct err *err);
    void *arg;
    uint64_t size;
};

enum archive_kind { ARCHIVE_FILE, ARCHIVE_FOLDER, ARCHIVE_LINK, ARCHIVE_SPECIAL };

struct archive_entry {
    const char *path; /* "a/b.py": no slash at either end, no dots; borrowed from the archive */
    uint64_t header_offset; /* of the local header */
    uint64_t packed_bytes;
    uint64_t size_bytes; /* as declared; the inflater counts again */
    uint32_t crc;        /* CRC-32 of the content, as declared */
    uint16_t path_len;
    uint8_t method; /* 0 stored, 8 deflated */
    uint8_t kind;   /* enum archive_kind */
    bool executable;
    bool skipped; /* set by layout_find(): in no project */
};

struct archive {
    struct archive_entry *entries; /* in tree order: a folder directly before all that is in it */
    size_t count;
    uint64_t data_bytes; /* what is in front of the central directory */
    char **blocks;       /* the memory of the paths */
    size_t block_count;
    size_t block_capacity;
    size_t block_left; /* free bytes in the last block */
    uint64_t name_bytes;
};

/* Walks the archive. On failure `self` is empty; either way archive_fini() ends it. Reads the
 * central directory and each local header once. Errors: ERR_UNPROCESSABLE as above, ERR_IO. */
int archive_walk(struct archive *self, const struct archive_source *source,
                 const struct archive_limits *limits, struct err *err) ERR_CHECKED;

void archive_fini(struct archive *self);

/* Orders paths as a tree is walked: bytes, with the slash before all others. */
int archive_path_compare(const char *a, const char *b);

/* Returns the first entry at or behind `from` whose path is not below `folder` (`len` bytes), given
 * that the entry at `from` is the folder or in it. An empty folder is the root. */
size_t archive_folder_end(const struct archive *self, size_t from, const char *folder, size_t len);

/* Finds the first entry that is `folder` or in it; `count` where there is none. */
size_t archive_folder_begin(const struct archive *self, const char *folder, size_t len);

/* Finds the entry of exactly this path, NULL when there is none. Borrowed from the archive. */
const struct archive_entry *archive_find(const struct archive *self, const char *path);

#endif
