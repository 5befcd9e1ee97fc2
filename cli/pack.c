#include "cli/pack.h"

#include "cli/skip.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

/* Level 1: a zip for one trip; the network here is mostly this machine. */
#define DEFLATE_LEVEL 1

struct walk {
    struct pack *pack;
    zip_t *zip;
    struct err *err;
};

static int zip_trouble(struct walk *self, const char *path)
{
    return err_set(self->err, ERR_IO, "zip %.300s: %s", path, zip_strerror(self->zip));
}

/* Adds one entry from a source that libzip then owns. */
static int add_source(struct walk *self, const char *name, zip_source_t *source, mode_t mode)
{
    zip_int64_t index = source != NULL ? zip_file_add(self->zip, name, source, 0) : -1;
    if (index < 0) {
        zip_source_free(source);
        return zip_trouble(self, name);
    }
    zip_uint64_t at = (zip_uint64_t)index;
    zip_set_file_compression(self->zip, at, ZIP_CM_DEFLATE, DEFLATE_LEVEL);
    zip_file_set_external_attributes(self->zip, at, 0, ZIP_OPSYS_UNIX, (zip_uint32_t)mode << 16);
    self->pack->files++;
    return 0;
}

static int add_link(struct walk *self, const char *path, const char *name, mode_t mode)
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof(target));
    if (len < 0)
        return err_set(self->err, ERR_IO, "read the link %.300s: %m", path);
    char *copy = mem_strndup(target, (size_t)len);
    return add_source(self, name, zip_source_buffer(self->zip, copy, (zip_uint64_t)len, 1), mode);
}

static int add_file(struct walk *self, const char *path, const char *name, mode_t mode)
{
    if (access(path, R_OK) != 0)
        return err_set(self->err, ERR_IO, "read %.300s: %m", path);
    return add_source(self, name, zip_source_file(self->zip, path, 0, -1), mode);
}

static int add_folder(struct walk *self, const char *path, const char *name, unsigned depth);

static int add_entry(struct walk *self, const char *path, const char *name, unsigned depth)
{
    struct stat stat;
    if (lstat(path, &stat) != 0)
        return err_set(self->err, ERR_IO, "look at %.300s: %m", path);
    const char *base = strrchr(path, '/') + 1;
    bool known = S_ISDIR(stat.st_mode) || S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode);
    if (!known || skip_entry(base, S_ISDIR(stat.st_mode))) {
        self->pack->skipped++;
        return 0;
    }
    if (self->pack->files >= PACK_ENTRIES_MAX)
        return err_set(self->err, ERR_TOO_LARGE, "%.300s: more than %d files in all", path,
                       PACK_ENTRIES_MAX);
    if (S_ISDIR(stat.st_mode))
        return add_folder(self, path, name, depth + 1);
    if (S_ISLNK(stat.st_mode))
        return add_link(self, path, name, stat.st_mode);
    return add_file(self, path, name, stat.st_mode);
}

static bool is_venv(const char *path)
{
    owned_mem char *mark = mem_printf("%s/" SKIP_VENV_MARK, path);
    return file_exists(mark);
}

static int no_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* In byte order: the same folder gives the same archive. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct walk *self, const char *path, const char *name, unsigned depth)
{
    if (depth > PACK_DEPTH_MAX)
        return err_set(self->err, ERR_TOO_LARGE, "%.300s: more than %d folders deep", path,
                       PACK_DEPTH_MAX);
    if (depth > 0 && is_venv(path)) {
        self->pack->skipped++;
        return 0;
    }
    if (*name != '\0' && zip_dir_add(self->zip, name, 0) < 0)
        return zip_trouble(self, name);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, no_dots, by_bytes);
    if (count < 0)
        return err_set(self->err, ERR_IO, "read the folder %.300s: %m", path);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        owned_mem char *below = mem_printf("%s/%s", path, entries[i]->d_name);
        owned_mem char *inside =
            mem_printf("%s%s%s", name, *name != '\0' ? "/" : "", entries[i]->d_name);
        if (rc == 0)
            rc = add_entry(self, below, inside, depth);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* Returns a top-level name, owned, that the zip has not yet. */
static char *top_name(struct walk *self, const char *real)
{
    const char *base = strrchr(real, '/') + 1;
    if (*base == '\0')
        base = "project";
    owned_mem char *first = mem_printf("%s/", base);
    if (zip_name_locate(self->zip, first, 0) < 0)
        return mem_strdup(base);
    for (unsigned i = 2;; i++) {
        owned_mem char *next = mem_printf("%s-%u/", base, i);
        if (zip_name_locate(self->zip, next, 0) < 0)
            return mem_printf("%s-%u", base, i);
    }
}

static int add_top(struct walk *self, const char *folder, bool flat)
{
    owned_mem char *real = realpath(folder, NULL);
    if (real == NULL)
        return err_set(self->err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%.300s: %m", folder);
    owned_mem char *name = flat ? mem_strdup("") : top_name(self, real);
    return add_folder(self, real, name, 0);
}

static char *temporary_path(int *fd, struct err *err)
{
    const char *folder = getenv("TMPDIR");
    char *path = mem_printf("%s/testmesh-XXXXXX", folder != NULL && *folder ? folder : "/tmp");
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0) {
        err_set(err, ERR_IO, "make a temporary file %.300s: %m", path);
        free(path);
        return NULL;
    }
    return path;
}

char *pack_new_file(const void *bytes, size_t len, struct err *err)
{
    owned_fd int fd = -1;
    char *path = temporary_path(&fd, err);
    if (path == NULL || file_write_all(fd, bytes, len, err) == 0)
        return path;
    unlink(path);
    free(path);
    return NULL;
}

static int close_zip(struct walk *self)
{
    struct stat stat;
    if (zip_close(self->zip) != 0) {
        err_set(self->err, ERR_IO, "zip: %s", zip_strerror(self->zip));
        zip_discard(self->zip);
        return ERR_IO;
    }
    if (lstat(self->pack->path, &stat) != 0)
        return err_set(self->err, ERR_IO, "%s: %m", self->pack->path);
    self->pack->bytes = (uint64_t)stat.st_size;
    return 0;
}

int pack_folders(struct pack *self, char *const *folders, size_t count, bool flat, struct err *err)
{
    struct walk walk = {.pack = self, .err = err};
    int code = 0;
    *self = (struct pack){.path = pack_new_file("", 0, err)};
    if (self->path == NULL)
        return err->code;
    walk.zip = zip_open(self->path, ZIP_TRUNCATE, &code);
    int rc = walk.zip == NULL ? err_set(err, ERR_IO, "zip: cannot begin %s", self->path) : 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_top(&walk, folders[i], flat);
    if (rc == 0 && self->files == 0)
        rc = err_set(err, ERR_INVALID, "%.300s: nothing in it to send", folders[0]);
    if (rc == 0)
        rc = close_zip(&walk);
    else if (walk.zip != NULL)
        zip_discard(walk.zip);
    if (rc != 0)
        pack_fini(self);
    return rc;
}

void pack_fini(struct pack *self)
{
    if (self->path != NULL)
        unlink(self->path);
    free(self->path);
    *self = (struct pack){0};
}
