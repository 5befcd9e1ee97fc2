/* file: whole files and trees, for start-up, helpers and tests. These calls block: the daemon's
 * loop does not make them on anything large. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends the file's bytes to `out`. Errors: ERR_NOT_FOUND, ERR_TOO_LARGE over `max` bytes, ERR_IO.
 */
int file_read(const char *path, size_t max, struct buf *out, struct err *err) ERR_CHECKED;

/* Writes all of `len` bytes to a descriptor, through short writes and signals. */
int file_write_all(int fd, const void *bytes, size_t len, struct err *err) ERR_CHECKED;

/* Replaces `path` by new content that is on disk when this returns: a temporary file in the same
 * folder, sync, rename, sync of the folder. */
int file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
                 struct err *err) ERR_CHECKED;

/* Syncs a folder, so that names made in it last. */
int file_sync_dir(const char *path, struct err *err) ERR_CHECKED;

/* Makes a folder and those above it; one that exists is fine. */
int file_make_dirs(const char *path, mode_t mode, struct err *err) ERR_CHECKED;

/* Removes a file or a whole tree without following a link or leaving its file system's tree. One
 * that is absent is fine. Folders without permissions are opened up on the way. */
int file_remove_tree(const char *path, struct err *err) ERR_CHECKED;

bool file_exists(const char *path);

/* Finds a program on a PATH-like list (NULL: the process's). Returns owned, NULL when absent. */
char *file_find_program(const char *name, const char *path);

#endif
