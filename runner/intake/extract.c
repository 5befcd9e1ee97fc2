#include "runner/intake/extract.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/intake/intake.h"
#include "runner/intake/layout.h"
#include "runner/intake/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct timespec times[2] = {{.tv_sec = INTAKE_MTIME}, {.tv_sec = INTAKE_MTIME}};

static int failed(struct err *err, const char *what, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return err_refuse(err, ERR_UNAVAILABLE, "disk-full", "there is no room for the project");
    /* In a fresh tree nothing can be in the way but what the bundle itself put there. */
    if (errno == EEXIST || errno == ENOTDIR || errno == ELOOP)
        return err_set(err, ERR_CORRUPT, "the bundle is damaged: %.200s is there twice", path);
    return err_set(err, ERR_IO, "%s %.200s: %m", what, path);
}

int extract_open(struct extract *self, const char *root, const struct archive_limits *limits,
                 struct err *err)
{
    *self = (struct extract){.root = root, .limits = *limits, .folder_fd = -1};
    self->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return self->root_fd < 0 ? err_set(err, ERR_IO, "open %s: %m", root) : 0;
}

void extract_close(struct extract *self)
{
    mem_close_at(&self->root_fd);
    mem_close_at(&self->folder_fd);
    for (size_t i = 0; i < self->folder_count; i++)
        free(self->folders[i]);
    free(self->folders);
}

/* Opens a folder below the root one part at a time. Returns a descriptor, or -1 with errno. */
static int open_folder(const struct extract *self, const char *path, size_t len)
{
    int at = fcntl(self->root_fd, F_DUPFD_CLOEXEC, 0);
    for (size_t start = 0, end; at >= 0 && start < len; start = end + 1) {
        char part[ARCHIVE_PART_MAX + 1];
        end = start + strcspn(path + start, "/");
        end = end < len ? end : len;
        memcpy(part, path + start, end - start);
        part[end - start] = '\0';
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
    }
    return at;
}

/* Makes the folder of `path` the current one and points `base` at the last part. */
static int enter_folder(struct extract *self, const char *path, const char **base, struct err *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    *base = slash ? slash + 1 : path;
    if (self->folder_fd >= 0 && strlen(self->folder) == len && memcmp(self->folder, path, len) == 0)
        return 0;
    mem_close_at(&self->folder_fd);
    self->folder_fd = open_folder(self, path, len);
    if (self->folder_fd < 0)
        return errno == ENOENT
                   ? err_set(err, ERR_CORRUPT, "the bundle is damaged: %.200s has no folder", path)
                   : failed(err, "open the folder of", path);
    memcpy(self->folder, path, len);
    self->folder[len] = '\0';
    return 0;
}

static int make_way(struct extract *self, const struct tar_item *item, const char *base,
                    struct err *err)
{
    struct stat st;
    if (!self->replace || fstatat(self->folder_fd, base, &st, AT_SYMLINK_NOFOLLOW))
        return 0;
    if (S_ISDIR(st.st_mode) && item->kind == ARCHIVE_FOLDER)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(self->folder_fd, base, 0) ? failed(err, "replace", item->path) : 0;
    owned_mem char *path = mem_printf("%s/%s", self->root, item->path);
    return file_remove_tree(path, err);
}

static int make_folder(struct extract *self, const char *path, const char *base, struct err *err)
{
    if (mkdirat(self->folder_fd, base, 0755) && !(self->replace && errno == EEXIST))
        return failed(err, "make", path);
    self->folders = mem_grow(self->folders, &self->folder_capacity, self->folder_count + 1,
                             sizeof *self->folders);
    self->folders[self->folder_count++] = mem_strdup(path);
    return 0;
}

static int make_link(struct extract *self, const struct tar_item *item, const char *base,
                     struct err *err)
{
    if (!layout_link_stays(item->path, item->target))
        return err_set(err, ERR_CORRUPT, "the bundle is damaged: a link leaves it");
    if (symlinkat(item->target, self->folder_fd, base) ||
        utimensat(self->folder_fd, base, times, AT_SYMLINK_NOFOLLOW))
        return failed(err, "link", item->path);
    return 0;
}

static int copy_content(struct bundle_reader *reader, int fd, uint64_t left, struct err *err)
{
    char room[64 << 10];
    for (uint64_t due = left + tar_padding(left); due > 0;) {
        size_t len = due < sizeof room ? (size_t)due : sizeof room;
        int rc = bundle_reader_read(reader, room, len, err);
        size_t real = left < len ? (size_t)left : len;
        if (!rc)
            rc = file_write_all(fd, room, real, err);
        if (rc)
            return rc == ERR_IO ? failed(err, "write", "a file") : rc;
        left -= real;
        due -= len;
    }
    return 0;
}

static int make_file(struct extract *self, const struct tar_item *item, const char *base,
                     struct bundle_reader *reader, struct err *err)
{
    owned_fd int fd =
        openat(self->folder_fd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(err, "create", item->path);
    int rc = copy_content(reader, fd, item->size_bytes, err);
    if (rc)
        return rc;
    if (fchmod(fd, item->executable ? 0755 : 0644) || futimens(fd, times))
        return failed(err, "finish", item->path);
    return 0;
}

static int check_item(struct extract *self, const struct tar_item *item, struct err *err)
{
    char again[ARCHIVE_PATH_MAX + 1];
    bool folder = false;
    self->item_count++;
    self->size_bytes += item->size_bytes;
    /* Folders that the archive only implied come on top of its entries. */
    if (self->item_count > (uint64_t)self->limits.project_entry_count * self->limits.depth ||
        item->size_bytes > self->limits.file_bytes || self->size_bytes > self->limits.project_bytes)
        return err_set(err, ERR_TOO_LARGE, "the bundle is over the limits of a project");
    if (name_decode((const uint8_t *)item->path, strlen(item->path), true, UINT32_MAX, again,
                    &folder, NULL) ||
        folder || strcmp(again, item->path) != 0)
        return err_set(err, ERR_CORRUPT, "the bundle is damaged: a name that no bundle has");
    return 0;
}

static int add_item(struct extract *self, const struct tar_item *item, struct bundle_reader *reader,
                    struct err *err)
{
    const char *base;
    int rc = check_item(self, item, err);
    if (!rc)
        rc = enter_folder(self, item->path, &base, err);
    if (!rc)
        rc = make_way(self, item, base, err);
    if (rc)
        return rc;
    if (item->kind == ARCHIVE_FOLDER)
        return make_folder(self, item->path, base, err);
    if (item->kind == ARCHIVE_LINK)
        return make_link(self, item, base, err);
    return make_file(self, item, base, reader, err);
}

static int read_tar(void *arg, void *out, size_t len, struct err *err)
{
    return bundle_reader_read(arg, out, len, err);
}

int extract_bundle(struct extract *self, int fd, const struct hash *want, struct err *err)
{
    struct bundle_reader reader;
    bundle_reader_init(&reader, fd);
    struct tar_source source = {read_tar, &reader};
    owned_mem struct tar_item *item = mem_new(sizeof *item);
    int rc;
    while ((rc = tar_get_head(item, &source, err)) > 0)
        if ((rc = add_item(self, item, &reader, err)))
            break;
    if (!rc)
        rc = bundle_reader_end(&reader, want, err);
    bundle_reader_fini(&reader);
    return rc;
}

int extract_finish(struct extract *self, struct err *err)
{
    for (size_t i = 0; i < self->folder_count; i++) {
        const char *path = self->folders[i];
        owned_fd int fd = open_folder(self, path, strlen(path));
        if (fd < 0 && self->replace && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            continue; /* an overlay put something else there */
        if (fd < 0 || futimens(fd, times))
            return failed(err, "finish", path);
    }
    if (fchmod(self->root_fd, 0755) || futimens(self->root_fd, times))
        return failed(err, "finish", self->root);
    return 0;
}
