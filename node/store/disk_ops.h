/* disk_ops: the system calls that change the store, as a table, so that tests can make any of them
 * fail, or end the world at it. Each returns as its namesake does, with errno. */
#ifndef NODE_STORE_DISK_OPS_H
#define NODE_STORE_DISK_OPS_H

#include "proto/base/err.h"

#include <stddef.h>
#include <sys/types.h>

struct disk_ops {
    void *self; /* handed to each; the table may be used by two threads, one after the other */
    int (*open)(void *self, const char *path, int flags, mode_t mode);
    ssize_t (*write)(void *self, int fd, const void *bytes, size_t len);
    int (*sync)(void *self, int fd); /* data and what is needed to find it */
    int (*close)(void *self, int fd);
    int (*rename)(void *self, const char *from, const char *to);
    int (*unlink)(void *self, const char *path);
    int (*mkdir)(void *self, const char *path, mode_t mode);
    int (*sync_dir)(void *self, const char *path);
};

extern const struct disk_ops disk_ops_system;

/* Writes all bytes; errors are ERR_UNAVAILABLE, as are those of the functions below. */
int disk_write(const struct disk_ops *ops, int fd, const void *bytes, size_t len,
               struct err *err) ERR_CHECKED;

/* Puts a file in place: TMP written and synced, renamed to `path`, its folder synced. What fails
 * leaves `path` as it was, and no TMP where that can be helped. */
int disk_place_file(const struct disk_ops *ops, const char *tmp, const char *path,
                    const void *bytes, size_t len, struct err *err) ERR_CHECKED;

/* Renames a file whose bytes are synced already, and syncs the folder it goes to. */
int disk_place_name(const struct disk_ops *ops, const char *from, const char *path,
                    struct err *err) ERR_CHECKED;

/* Makes one folder whose parent exists, and syncs the parent; one that exists is fine. */
int disk_make_dir(const struct disk_ops *ops, const char *path, struct err *err) ERR_CHECKED;

/* Syncs the folder that holds `path`. */
int disk_sync_parent(const struct disk_ops *ops, const char *path, struct err *err) ERR_CHECKED;

#endif
