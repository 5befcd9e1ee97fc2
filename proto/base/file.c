#include "proto/base/file.h"

#include "proto/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %m", path);
    size_t start = out->len;
    for (;;) {
        ssize_t got = read(fd, buf_reserve(out, 16384), 16384);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, "read %s: %m", path);
        if (got == 0)
            return 0;
        buf_added(out, (size_t)got);
        if (out->len - start > max)
            return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
    }
}

int file_write_all(int fd, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set(err, ERR_IO, "write: %m");
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

int file_sync_dir(const char *path, struct err *err)
{
    owned_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return err_set(err, ERR_IO, "sync %s: %m", path);
    return 0;
}

static int write_and_sync(const char *path, const void *bytes, size_t len, mode_t mode,
                          struct err *err)
{
    owned_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(err, ERR_IO, "create %s: %m", path);
    if (fchmod(fd, mode))
        return err_set(err, ERR_IO, "chmod %s: %m", path);
    if (file_write_all(fd, bytes, len, err))
        return err_wrap(err, "%s", path);
    if (fsync(fd))
        return err_set(err, ERR_IO, "sync %s: %m", path);
    return 0;
}

int file_replace(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
    owned_mem char *fresh = mem_printf("%s.new", path);
    int rc = write_and_sync(fresh, bytes, len, mode, err);
    if (rc) {
        unlink(fresh);
        return rc;
    }
    if (rename(fresh, path)) {
        unlink(fresh);
        return err_set(err, ERR_IO, "rename %s: %m", path);
    }
    owned_mem char *folder = mem_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    return file_sync_dir(slash ? folder : ".", err);
}

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
    owned_mem char *part = mem_strdup(path);
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(part, mode) && errno != EEXIST)
            return err_set(err, ERR_IO, "make folder %s: %m", part);
        *at = saved;
        if (!saved)
            return 0;
    }
}

static int remove_at(int parent, const char *name, struct err *err)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM && errno != EACCES)
        return err_set(err, ERR_IO, "remove %s: %m", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(err, ERR_IO, "open %s: %m", name);
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        (void)fchmod(fd, 0700);
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return err_set(err, ERR_IO, "open %s: %m", name);
    }
    int rc = 0;
    const struct dirent *entry;
    while (!rc && (entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_at(dirfd(folder), entry->d_name, err);
    closedir(folder);
    if (!rc && unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
        rc = err_set(err, ERR_IO, "remove %s: %m", name);
    return rc;
}

int file_remove_tree(const char *path, struct err *err) { return remove_at(AT_FDCWD, path, err); }

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

char *file_find_program(const char *name, const char *path)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? mem_strdup(name) : NULL;
    if (!path)
        path = getenv("PATH");
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path) {
        size_t len = strcspn(path, ":");
        owned_mem char *candidate = mem_printf("%.*s/%s", (int)len, path, name);
        struct stat st;
        if (len > 0 && access(candidate, X_OK) == 0 && stat(candidate, &st) == 0 &&
            S_ISREG(st.st_mode))
            return steal_ptr(&candidate);
        path += len + (path[len] == ':');
    }
    return NULL;
}
