/* The helper that turns a zip into bundles: walk, find the projects, then inflate each into a tar.
 */
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/intake/inflate.h"
#include "runner/intake/limits.h"
#include "runner/intake/lockin.h"
#include "runner/intake/manifest.h"
#include "runner/intake/name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES ((size_t)64 << 10)

struct task {
    const char *zip_path;
    const char *out_dir;
    struct layout_spec spec;
    int zip_fd;
    int out_fd;
    bool out_made;
    struct archive_source source;
    struct archive archive;
    struct layout layout;
    struct bundle_facts *facts; /* one a project */
    size_t written;             /* projects whose temporary file may exist */
    struct bundle_writer writer;
    char *room; /* READ_BYTES */
};

static int read_at(void *arg, uint64_t offset, void *out, size_t len, struct err *err)
{
    const struct task *self = arg;
    char *to = out;
    while (len > 0) {
        ssize_t got = pread(self->zip_fd, to, len, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(err, ERR_IO, got ? "read the upload: %m" : "the upload became shorter");
        to += got;
        offset += (uint64_t)got;
        len -= (size_t)got;
    }
    return 0;
}

/* Reads a link's target. Returns its length, or -1 with the project failed when it is none. */
static int read_target(struct task *self, struct inflate *inflate, struct tar_item *item,
                       const struct archive_entry *entry, struct err *err)
{
    size_t len = 0;
    ssize_t got;
    while ((got = inflate_read(inflate, self->room, READ_BYTES, err)) > 0) {
        size_t room = ARCHIVE_LINK_MAX - len;
        memcpy(item->target + len, self->room, (size_t)got < room ? (size_t)got : room);
        len += (size_t)got < room ? (size_t)got : room;
    }
    item->target[len] = '\0';
    /* One that is too long or has a NUL was not copied whole, and is told by that. */
    return got < 0 ? (int)got : strlen(item->target) == entry->size_bytes;
}

static int add_content(struct task *self, struct layout_project *project, struct inflate *inflate,
                       const struct archive_entry *entry, struct tar_item *item, struct err *err)
{
    int rc = inflate_next(inflate, entry, err);
    if (rc)
        return rc;
    if (entry->kind == ARCHIVE_LINK) {
        rc = read_target(self, inflate, item, entry, err);
        if (rc < 0)
            return rc;
        if (rc == 0 || !layout_link_stays(item->path, item->target)) {
            layout_project_fail(project, "link-outside",
                                mem_printf("%.128s is a link that leaves the project", item->path));
            return 0;
        }
        return bundle_writer_item(&self->writer, item, err);
    }
    item->size_bytes = entry->size_bytes;
    rc = bundle_writer_item(&self->writer, item, err);
    while (!rc) {
        ssize_t got = inflate_read(inflate, self->room, READ_BYTES, err);
        if (got <= 0)
            return (int)got;
        rc = bundle_writer_bytes(&self->writer, self->room, (size_t)got, err);
    }
    return rc;
}

/* Adds the folders on the way to `path` that the item before it was not in. Archives need not name
 * them, and a bundle always does. */
static int add_folders(struct task *self, char before[ARCHIVE_PATH_MAX + 1], const char *path,
                       struct tar_item *item, struct err *err)
{
    for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++) {
        size_t len = (size_t)(slash - path);
        if (strncmp(before, path, len) == 0 && (before[len] == '/' || before[len] == '\0'))
            continue;
        *item = (struct tar_item){.kind = ARCHIVE_FOLDER};
        memcpy(item->path, path, len);
        int rc = bundle_writer_item(&self->writer, item, err);
        if (rc)
            return rc;
    }
    strcpy(before, path);
    return 0;
}

static int add_entry(struct task *self, struct layout_project *project, struct inflate *inflate,
                     const struct archive_entry *entry, struct tar_item *item, struct err *err)
{
    *item =
        (struct tar_item){.kind = (enum archive_kind)entry->kind, .executable = entry->executable};
    strcpy(item->path, entry->path + project->strip);
    if (entry->kind == ARCHIVE_FOLDER) {
        item->executable = false;
        return bundle_writer_item(&self->writer, item, err);
    }
    return add_content(self, project, inflate, entry, item, err);
}

static int add_entries(struct task *self, struct layout_project *project, struct inflate *inflate,
                       struct err *err)
{
    char before[ARCHIVE_PATH_MAX + 1] = "";
    owned_mem struct tar_item *item = mem_new(sizeof *item);
    for (size_t i = project->first; i < project->end && !project->failure; i++) {
        const struct archive_entry *entry = &self->archive.entries[i];
        if (entry->skipped || entry->path_len <= project->strip)
            continue;
        int rc = add_folders(self, before, entry->path + project->strip, item, err);
        if (!rc)
            rc = add_entry(self, project, inflate, entry, item, err);
        if (rc)
            return rc;
    }
    return 0;
}

#define TEMPORARY_NAME_MAX 40 /* 20 digits and the ending */

static char *temporary_name(size_t number, char out[TEMPORARY_NAME_MAX])
{
    snprintf(out, TEMPORARY_NAME_MAX, "%zu.tar.zst.tmp", number);
    return out;
}

static int write_bundle(struct task *self, size_t number, struct err *err)
{
    struct layout_project *project = &self->layout.projects[number];
    char name[TEMPORARY_NAME_MAX];
    int fd = openat(self->out_fd, temporary_name(number, name),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno == ENOSPC ? err_refuse(err, ERR_UNAVAILABLE, "disk-full",
                                            "there is no room for the upload")
                               : err_set(err, ERR_IO, "create a bundle: %m");
    self->written = number + 1;
    bundle_writer_begin(&self->writer, fd);
    struct inflate *inflate =
        inflate_new(&self->archive, project->first, project->end, &self->source, err);
    int rc = inflate ? add_entries(self, project, inflate, err) : err->code;
    inflate_free(inflate);
    if (!rc && project->failure) {
        unlinkat(self->out_fd, name, 0);
        return 0;
    }
    return rc ? rc : bundle_writer_end(&self->writer, &self->facts[number], err);
}

static char *final_name(const struct bundle_facts *facts, char out[HASH_HEX + 4])
{
    hash_hex(&facts->bundle, out);
    strcat(out, ".zst");
    return out;
}

static int publish(struct task *self, struct err *err)
{
    for (size_t i = 0; i < self->layout.project_count; i++) {
        char from[TEMPORARY_NAME_MAX];
        char to[HASH_HEX + 4];
        if (!self->layout.projects[i].failure &&
            renameat(self->out_fd, temporary_name(i, from), self->out_fd,
                     final_name(&self->facts[i], to)))
            return err_set(err, ERR_IO, "name a bundle: %m");
    }
    if (fsync(self->out_fd))
        return err_set(err, ERR_IO, "sync %s: %m", self->out_dir);
    return 0;
}

static int open_files(struct task *self, struct err *err)
{
    struct stat st;
    self->zip_fd = open(self->zip_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (self->zip_fd < 0 || fstat(self->zip_fd, &st))
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %m",
                       self->zip_path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is no file", self->zip_path);
    self->source = (struct archive_source){read_at, self, (uint64_t)st.st_size};
    if (mkdir(self->out_dir, 0700))
        return err_set(err, ERR_IO, "make %s: %m", self->out_dir);
    self->out_made = true;
    self->out_fd = open(self->out_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->out_fd < 0)
        return err_set(err, ERR_IO, "open %s: %m", self->out_dir);
    return 0;
}

static int run(struct task *self, struct err *err)
{
    const struct archive_limits *limits = &self->spec.limits;
    int rc = open_files(self, err);
    if (rc)
        return rc;
    lockin(self->out_fd, limits->project_bytes + limits->project_bytes / 8 + (64u << 20));
    if (self->source.size > INFLATE_SIZE_MAX)
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-too-large",
                          "the archive has more than %" PRIu64 " MiB", INFLATE_SIZE_MAX >> 20);
    if ((rc = archive_walk(&self->archive, &self->source, limits, err)) ||
        (rc = layout_find(&self->layout, &self->archive, &self->spec, err)))
        return rc;
    self->facts = mem_new_array(self->layout.project_count, sizeof *self->facts);
    self->room = mem_new(READ_BYTES);
    for (size_t i = 0; i < self->layout.project_count; i++)
        if (!self->layout.projects[i].failure && (rc = write_bundle(self, i, err)))
            return rc;
    return publish(self, err);
}

/* Removes what was made: bundles under either name, and their folder. */
static void undo(struct task *self)
{
    for (size_t i = 0; i < self->written; i++) {
        char name[HASH_HEX + 4];
        unlinkat(self->out_fd, temporary_name(i, name), 0);
        unlinkat(self->out_fd, final_name(&self->facts[i], name), 0);
    }
    if (self->out_made)
        rmdir(self->out_dir);
}

static int task_run(struct task *self, struct buf *out)
{
    struct err err = ERR_INIT;
    bundle_writer_init(&self->writer);
    int rc = run(self, &err);
    if (rc) {
        undo(self);
        manifest_write_error(out, &err);
    } else {
        manifest_write(out, &self->layout, self->facts);
    }
    bundle_writer_fini(&self->writer);
    layout_fini(&self->layout);
    archive_fini(&self->archive);
    free(self->facts);
    free(self->room);
    mem_close_at(&self->zip_fd);
    mem_close_at(&self->out_fd);
    return rc;
}

static bool parse_arguments(struct task *self, int argc, char **argv)
{
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (argv[at][2] == '\0') {
            at++;
            break;
        }
        if (strcmp(argv[at], "--overlay") == 0)
            self->spec.overlay = true;
        else if (strcmp(argv[at], "--name") == 0 && at + 1 < argc)
            self->spec.name = argv[++at]; /* a client's file name: any bytes */
        else if (strcmp(argv[at], "--limits") != 0 || at + 1 == argc ||
                 !limits_parse(argv[++at], &self->spec.limits))
            return false;
    }
    if (argc - at != 2)
        return false;
    const char *name = self->spec.name;
    if (name && !name_is_utf8((const uint8_t *)name, strlen(name)))
        self->spec.name = NULL;
    self->zip_path = argv[at];
    self->out_dir = argv[at + 1];
    return true;
}

int helper_intake_main(int argc, char **argv)
{
    struct task task = {.zip_fd = -1, .out_fd = -1, .spec.limits = ARCHIVE_LIMITS_DEFAULT};
    if (!parse_arguments(&task, argc, argv)) {
        fputs("usage: intake [--overlay] [--name NAME] [--limits N,...] ZIP OUT_DIR\n", stderr);
        return 2;
    }
    owned_buf out = BUF_INIT;
    int rc = task_run(&task, &out);
    if (file_write_all(STDOUT_FILENO, out.data, out.len, NULL))
        return 1;
    return rc ? 1 : 0;
}
