#include "runner/git/export.h"

#include "proto/base/mem.h"
#include "runner/git/treename.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REFUSED(r, ...) err_refuse(err, ERR_UNPROCESSABLE, (r), __VA_ARGS__)
#define TEMPORARY       "bundle.tmp"

/* ---- the walk -------------------------------------------------------------------------------- */

struct walk {
    struct export *to;
    const struct objects *objects;
    const struct archive_limits *limits;
    char path[ARCHIVE_PATH_MAX + ARCHIVE_PART_MAX + 2]; /* of the folder under way */
};

static int add_entry(struct walk *self, size_t len, enum archive_kind kind, const git_oid *oid,
                     struct err *err)
{
    struct archive *archive = &self->to->archive;
    if (archive->count >= self->limits->entry_count)
        return REFUSED("archive-too-many-entries",
                       "the repository has more than %" PRIu32 " files and folders",
                       self->limits->entry_count);
    archive->name_bytes += len + 1;
    if (archive->name_bytes > self->limits->name_bytes)
        return REFUSED("archive-too-large", "the repository's names have more than %" PRIu64 " MiB",
                       self->limits->name_bytes >> 20);
    size_t at = archive->count;
    archive->entries =
        mem_grow(archive->entries, &self->to->capacity, at + 1, sizeof *archive->entries);
    archive->blocks =
        mem_grow(archive->blocks, &archive->block_capacity, at + 1, sizeof *archive->blocks);
    self->to->oids =
        mem_grow(self->to->oids, &self->to->oid_capacity, at + 1, sizeof *self->to->oids);
    archive->blocks[archive->block_count++] = mem_strndup(self->path, len);
    archive->entries[at] = (struct archive_entry){.path = archive->blocks[at],
                                                  .path_len = (uint16_t)len,
                                                  .kind = (uint8_t)kind,
                                                  .header_offset = at};
    self->to->oids[at] = *oid;
    archive->count++;
    return 0;
}

/* A file or a link: its size is in its header, so that nothing large is read yet. */
static int add_blob(struct walk *self, size_t len, const git_tree_entry *from, struct err *err)
{
    git_filemode_t mode = git_tree_entry_filemode_raw(from);
    const git_oid *oid = git_tree_entry_id(from);
    git_object_t type;
    size_t size;
    if (git_odb_read_header(&size, &type, self->objects->odb, oid))
        return objects_error(self->path, err);
    if (type != GIT_OBJECT_BLOB)
        return REFUSED("repo-damaged", "%.200s is no file", self->path);
    bool is_link = mode == GIT_FILEMODE_LINK;
    int rc = add_entry(self, len, is_link ? ARCHIVE_LINK : ARCHIVE_FILE, oid, err);
    if (rc)
        return rc;
    struct archive_entry *entry = &self->to->archive.entries[self->to->archive.count - 1];
    entry->size_bytes = entry->packed_bytes = size;
    entry->executable = !is_link && (mode & 0100);
    if (is_link && size > ARCHIVE_LINK_MAX)
        return REFUSED("archive-bad-name", "%.200s is a link with %zu bytes", self->path, size);
    return 0;
}

static int walk_tree(struct walk *self, const git_oid *oid, size_t len, struct err *err);

static int add_item(struct walk *self, size_t len, const git_tree_entry *from, struct err *err)
{
    switch ((unsigned)git_tree_entry_filemode_raw(from) & 0170000) {
    case 0100000:
    case 0120000:
        return add_blob(self, len, from, err);
    case 0040000: {
        int rc = add_entry(self, len, ARCHIVE_FOLDER, git_tree_entry_id(from), err);
        return rc ? rc : walk_tree(self, git_tree_entry_id(from), len, err);
    }
    case 0160000: /* another repository: what is in it is not fetched, and a clone has a folder, too
                   */
        return add_entry(self, len, ARCHIVE_FOLDER, git_tree_entry_id(from), err);
    default:
        return add_entry(self, len, ARCHIVE_SPECIAL, git_tree_entry_id(from), err);
    }
}

static int walk_item(struct walk *self, const git_tree_entry *item, size_t len, struct err *err)
{
    const char *name = git_tree_entry_name(item);
    size_t name_len = strlen(name);
    if (name_len > ARCHIVE_PART_MAX || len + name_len + 1 > ARCHIVE_PATH_MAX)
        return REFUSED("archive-bad-name", "the repository has a path of more than %d bytes",
                       ARCHIVE_PATH_MAX);
    if (strchr(name, '/') || name_len == 0)
        return REFUSED("archive-escape", "the repository has a name that is none");
    if (len > 0)
        self->path[len++] = '/';
    memcpy(self->path + len, name, name_len + 1);
    len += name_len;
    int rc = git_treename_check(self->path, self->limits->depth, err);
    return rc ? rc : add_item(self, len, item, err);
}

/* As deep as git_treename_check() lets paths be. */
static int walk_tree(struct walk *self, const git_oid *oid, size_t len, struct err *err)
{
    git_tree *tree;
    int rc = 0;
    if (git_tree_lookup(&tree, self->objects->view, oid))
        return objects_error(len ? self->path : "the tree", err);
    for (size_t i = 0; !rc && i < git_tree_entrycount(tree); i++)
        rc = walk_item(self, git_tree_entry_byindex(tree, i), len, err);
    self->path[len] = '\0';
    git_tree_free(tree);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return archive_path_compare(((const struct archive_entry *)a)->path,
                                ((const struct archive_entry *)b)->path);
}

static int walk_commit(struct export *self, const struct objects *objects,
                       const struct export_spec *spec, struct err *err)
{
    git_oid oid;
    git_commit *commit;
    owned_mem struct walk *walk = mem_new(sizeof *walk);
    *walk = (struct walk){.to = self, .objects = objects, .limits = &spec->limits};
    if (git_oid_fromstr(&oid, spec->commit) || git_commit_lookup(&commit, objects->view, &oid))
        return REFUSED("repo-commit", "what came has no commit %s", spec->commit);
    git_oid tree = *git_commit_tree_id(commit);
    git_commit_free(commit);
    int rc = walk_tree(walk, &tree, 0, err);
    if (rc)
        return rc;
    struct archive *archive = &self->archive;
    if (archive->count == 0)
        return REFUSED("repo-empty", "the repository has no files");
    qsort(archive->entries, archive->count, sizeof *archive->entries, by_path);
    for (size_t i = 1; i < archive->count; i++)
        if (strcmp(archive->entries[i - 1].path, archive->entries[i].path) == 0)
            return REFUSED("archive-duplicate", "the repository has %.200s twice",
                           archive->entries[i].path);
    return 0;
}

/* ---- the bundle ------------------------------------------------------------------------------ */

static int put_content(struct bundle_writer *writer, struct tar_item *item,
                       const git_odb_object *from, struct layout_project *project, struct err *err)
{
    const char *bytes = git_odb_object_data((git_odb_object *)(uintptr_t)from);
    size_t len = git_odb_object_size((git_odb_object *)(uintptr_t)from);
    if (item->kind == ARCHIVE_FILE) {
        item->size_bytes = len;
        int rc = bundle_writer_item(writer, item, err);
        return rc ? rc : bundle_writer_bytes(writer, bytes, len, err);
    }
    memcpy(item->target, bytes, len <= ARCHIVE_LINK_MAX ? len : 0);
    if (strlen(item->target) != len || !layout_link_stays(item->path, item->target)) {
        layout_project_fail(project, "link-outside",
                            mem_printf("%.128s is a link that leaves the project", item->path));
        return 0;
    }
    return bundle_writer_item(writer, item, err);
}

static int put_entry(struct export *self, const struct objects *objects,
                     struct bundle_writer *writer, const struct archive_entry *entry,
                     struct err *err)
{
    owned_mem struct tar_item *item = mem_new(sizeof *item);
    item->kind = (enum archive_kind)entry->kind;
    item->executable = entry->executable;
    memcpy(item->path, entry->path, (size_t)entry->path_len + 1);
    if (entry->kind == ARCHIVE_FOLDER)
        return bundle_writer_item(writer, item, err);
    git_odb_object *content;
    errno = 0;
    if (git_odb_read(&content, objects->odb, &self->oids[entry->header_offset]))
        return objects_error(entry->path, err);
    int rc = put_content(writer, item, content, &self->layout.projects[0], err);
    git_odb_object_free(content);
    return rc;
}

static int put_entries(struct export *self, const struct objects *objects,
                       struct bundle_writer *writer, struct err *err)
{
    const struct layout_project *project = &self->layout.projects[0];
    for (size_t i = project->first; i < project->end && !project->failure; i++) {
        int rc = self->archive.entries[i].skipped
                     ? 0
                     : put_entry(self, objects, writer, &self->archive.entries[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_bundle(struct export *self, const struct objects *objects, int out_fd,
                        struct err *err)
{
    struct bundle_writer writer;
    char name[HASH_HEX + 4];
    int fd = openat(out_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno == ENOSPC ? err_refuse(err, ERR_UNAVAILABLE, "disk-full",
                                            "there is no room for the bundle")
                               : err_set(err, ERR_IO, "create a bundle: %m");
    bundle_writer_init(&writer);
    bundle_writer_begin(&writer, fd);
    int rc = put_entries(self, objects, &writer, err);
    bool is_whole = !rc && !self->layout.projects[0].failure;
    if (is_whole)
        rc = bundle_writer_end(&writer, &self->facts, err);
    bundle_writer_fini(&writer);
    if (rc || !is_whole) {
        unlinkat(out_fd, TEMPORARY, 0);
        return rc;
    }
    hash_hex(&self->facts.bundle, name);
    strcat(name, ".zst");
    if (renameat(out_fd, TEMPORARY, out_fd, name) || fsync(out_fd))
        return err_set(err, ERR_IO, "name a bundle: %m");
    return 0;
}

int export_run(struct export *self, const struct objects *objects, const struct export_spec *spec,
               struct err *err)
{
    *self = (struct export){0};
    int rc = walk_commit(self, objects, spec, err);
    if (!rc)
        rc = layout_find(
            &self->layout, &self->archive,
            &(struct layout_spec){.name = spec->name, .whole = true, .limits = spec->limits}, err);
    if (rc || self->layout.projects[0].failure)
        return rc;
    return write_bundle(self, objects, spec->out_fd, err);
}

void export_fini(struct export *self)
{
    layout_fini(&self->layout);
    archive_fini(&self->archive);
    free(self->oids);
    *self = (struct export){0};
}
