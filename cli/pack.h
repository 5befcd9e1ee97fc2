/* pack: folders into a zip, for sending. */
#ifndef CLI_PACK_H
#define CLI_PACK_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_ENTRIES_MAX 200000
#define PACK_DEPTH_MAX   64

struct pack {
    char *path; /* of the zip, a temporary file */
    size_t files;
    size_t skipped; /* entries that are no part of a project, or can be in no zip */
    uint64_t bytes; /* of the zip */
};

/* Zips each folder under its own name (the second of two with one name becomes "name-2"), or, with
 * `flat`, the content of the only folder without a name above it. Symbolic links stay links;
 * version control, virtual environments and caches are left out. The file lies in $TMPDIR until
 * pack_fini(). Errors: ERR_NOT_FOUND, ERR_INVALID (no folder), ERR_TOO_LARGE, ERR_IO. */
int pack_folders(struct pack *self, char *const *folders, size_t count, bool flat,
                 struct err *err) ERR_CHECKED;

/* Removes the file. */
void pack_fini(struct pack *self);

/* Writes bytes to a temporary file. Returns its path, owned, or NULL. Errors: ERR_IO. */
char *pack_new_file(const void *bytes, size_t len, struct err *err) ERR_CHECKED;

#define owned_pack __attribute__((cleanup(pack_fini))) struct pack

#endif
