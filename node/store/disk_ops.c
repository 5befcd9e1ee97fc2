#include "node/store/disk_ops.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int sys_open(void *self, const char *path, int flags, mode_t mode)
{
    (void)self;
    return open(path, flags | O_CLOEXEC, mode);
}

static ssize_t sys_write(void *self, int fd, const void *bytes, size_t len)
{
    (void)self;
    return write(fd, bytes, len);
}

/* A file that somebody removed under us takes bytes as ever, and nobody will find them. */
static int sys_sync(void *self, int fd)
{
    struct stat st;
    (void)self;
    if (fdatasync(fd) || fstat(fd, &st))
        return -1;
    if (st.st_nlink > 0)
        return 0;
    errno = ENOENT;
    return -1;
}

static int sys_close(void *self, int fd)
{
    (void)self;
    return close(fd);
}

static int sys_rename(void *self, const char *from, const char *to)
{
    (void)self;
    return rename(from, to);
}

static int sys_unlink(void *self, const char *path)
{
    (void)self;
    return unlink(path);
}

static int sys_mkdir(void *self, const char *path, mode_t mode)
{
    (void)self;
    return mkdir(path, mode);
}

static int sys_sync_dir(void *self, const char *path)
{
    (void)self;
    owned_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

const struct disk_ops disk_ops_system = {
    .open = sys_open,
    .write = sys_write,
    .sync = sys_sync,
    .close = sys_close,
    .rename = sys_rename,
    .unlink = sys_unlink,
    .mkdir = sys_mkdir,
    .sync_dir = sys_sync_dir,
};

int disk_write(const struct disk_ops *ops, int fd, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t put = ops->write(ops->self, fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_set(err, ERR_UNAVAILABLE, "write: %m");
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

int disk_sync_parent(const struct disk_ops *ops, const char *path, struct err *err)
{
    owned_mem char *folder = mem_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    if (ops->sync_dir(ops->self, slash ? folder : "."))
        return err_set(err, ERR_UNAVAILABLE, "sync folder of %s: %m", path);
    return 0;
}

int disk_place_name(const struct disk_ops *ops, const char *from, const char *path, struct err *err)
{
    if (ops->rename(ops->self, from, path))
        return err_set(err, ERR_UNAVAILABLE, "rename to %s: %m", path);
    return disk_sync_parent(ops, path, err);
}

static int write_file(const struct disk_ops *ops, const char *path, const void *bytes, size_t len,
                      struct err *err)
{
    int fd = ops->open(ops->self, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return err_set(err, ERR_UNAVAILABLE, "create %s: %m", path);
    int rc = disk_write(ops, fd, bytes, len, err);
    if (!rc && ops->sync(ops->self, fd))
        rc = err_set(err, ERR_UNAVAILABLE, "sync %s: %m", path);
    if (ops->close(ops->self, fd) && !rc)
        rc = err_set(err, ERR_UNAVAILABLE, "close %s: %m", path);
    return rc;
}

int disk_place_file(const struct disk_ops *ops, const char *tmp, const char *path,
                    const void *bytes, size_t len, struct err *err)
{
    int rc = write_file(ops, tmp, bytes, len, err);
    if (!rc)
        rc = disk_place_name(ops, tmp, path, err);
    if (rc)
        (void)ops->unlink(ops->self, tmp);
    return rc;
}

int disk_make_dir(const struct disk_ops *ops, const char *path, struct err *err)
{
    if (ops->mkdir(ops->self, path, 0700)) {
        if (errno == EEXIST)
            return 0;
        return err_set(err, ERR_UNAVAILABLE, "make folder %s: %m", path);
    }
    return disk_sync_parent(ops, path, err);
}
