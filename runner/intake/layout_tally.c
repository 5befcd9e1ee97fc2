/* What the projects of a layout add up to, and whether that is too much. */
#include "proto/base/mem.h"
#include "runner/intake/fold.h"
#include "runner/intake/layout_internal.h"
#include "runner/intake/name.h"

#include <inttypes.h>
#include <string.h>

#define MIB             20
#define REFUSED(r, ...) err_refuse(err, ERR_UNPROCESSABLE, (r), __VA_ARGS__)

struct tally {
    const struct archive *archive;
    const struct archive_limits *limits;
    uint64_t entry_count; /* kept, of the project at hand */
    uint64_t packed_bytes;
    uint64_t size_bytes;
};

static const char *within(const struct layout_project *project, const struct archive_entry *entry,
                          char out[NAME_SHOW_MAX])
{
    return name_show((const uint8_t *)entry->path + project->strip,
                     (size_t)entry->path_len - project->strip, out);
}

static void count_entry(struct tally *self, struct layout_project *project,
                        const struct archive_entry *entry)
{
    char shown[NAME_SHOW_MAX];
    self->entry_count++;
    if (entry->kind == ARCHIVE_FOLDER)
        return;
    project->file_count++;
    /* Sizes are declared by strangers: a sum that would wrap stays at the top. */
    if (__builtin_add_overflow(project->size_bytes, entry->size_bytes, &project->size_bytes))
        project->size_bytes = UINT64_MAX;
    self->packed_bytes += entry->packed_bytes;
    if (entry->kind == ARCHIVE_SPECIAL)
        layout_project_fail(project, "special-file",
                            mem_printf("%s is a pipe, a socket or a device; a project holds files, "
                                       "folders and links",
                                       within(project, entry, shown)));
    if (entry->size_bytes > self->limits->file_bytes)
        layout_project_fail(project, "archive-too-large",
                            mem_printf("%s has %" PRIu64 " MiB; a file may have %" PRIu64,
                                       within(project, entry, shown), entry->size_bytes >> MIB,
                                       self->limits->file_bytes >> MIB));
}

static void count_project(struct tally *self, struct layout_project *project)
{
    const struct archive_limits *limits = self->limits;
    self->entry_count = 0;
    for (size_t i = project->first; i < project->end; i++) {
        const struct archive_entry *entry = &self->archive->entries[i];
        if (!entry->skipped && entry->path_len > project->strip)
            count_entry(self, project, entry);
    }
    if (__builtin_add_overflow(self->size_bytes, project->size_bytes, &self->size_bytes))
        self->size_bytes = UINT64_MAX;
    if (self->entry_count > limits->project_entry_count)
        layout_project_fail(project, "archive-too-many-entries",
                            mem_printf("it has %" PRIu64 " entries; a project may have %" PRIu32,
                                       self->entry_count, limits->project_entry_count));
    if (project->size_bytes > limits->project_bytes)
        layout_project_fail(project, "archive-too-large",
                            mem_printf("it has %" PRIu64 " MiB; a project may have %" PRIu64,
                                       project->size_bytes >> MIB, limits->project_bytes >> MIB));
}

struct twin {
    uint64_t hash; /* of the folded path */
    uint32_t entry;
};

static int by_hash(const void *a, const void *b)
{
    const struct twin *left = a;
    const struct twin *right = b;
    if (left->hash != right->hash)
        return left->hash > right->hash ? 1 : -1;
    return (left->entry > right->entry) - (left->entry < right->entry);
}

/* FNV-1a: a twin that is missed or wrong costs a remark, so nothing stronger is needed. */
static uint64_t fold_hash(const char *path)
{
    char folded[2 * ARCHIVE_PATH_MAX];
    size_t len = fold_path(path, folded, sizeof folded);
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)folded[i]) * UINT64_C(1099511628211);
    return hash;
}

static void remark_twins(struct layout *self, const struct archive *archive)
{
    owned_mem struct twin *twins = mem_new_array(archive->count + 1, sizeof *twins);
    size_t count = 0;
    for (size_t i = 0; i < archive->count; i++)
        if (!archive->entries[i].skipped)
            twins[count++] = (struct twin){fold_hash(archive->entries[i].path), (uint32_t)i};
    qsort(twins, count, sizeof *twins, by_hash);
    for (size_t i = 1; i < count; i++) {
        const struct archive_entry *entry = &archive->entries[twins[i].entry];
        if (twins[i].hash == twins[i - 1].hash)
            layout_note_add(&self->remarks, entry->path, entry->path_len,
                            "another name differs from it in letter case or accents only");
    }
}

int layout_tally(struct layout *self, const struct archive *archive,
                 const struct archive_limits *limits, struct err *err)
{
    struct tally tally = {.archive = archive, .limits = limits};
    uint64_t total = 0;
    for (size_t i = 0; i < self->project_count; i++) {
        count_project(&tally, &self->projects[i]);
        if (!self->projects[i].failure)
            total += self->projects[i].size_bytes;
    }
    if (tally.size_bytes > limits->ratio_floor_bytes &&
        tally.size_bytes / limits->ratio > tally.packed_bytes)
        return REFUSED("archive-bomb",
                       "%" PRIu64 " bytes of the archive would become %" PRIu64
                       "; more than %" PRIu32 " times is refused",
                       tally.packed_bytes, tally.size_bytes, limits->ratio);
    if (total > limits->total_bytes)
        return REFUSED("archive-too-large",
                       "the projects have %" PRIu64 " MiB; at most %" PRIu64 " are taken",
                       total >> MIB, limits->total_bytes >> MIB);
    /* A limit fails one project of many, but an upload of one project is told at once. */
    const struct layout_project *first = &self->projects[0];
    if (self->project_count == 1 && first->failure && strncmp(first->reason, "archive-", 8) == 0)
        return REFUSED(first->reason, "%s", first->failure);
    remark_twins(self, archive);
    return 0;
}
