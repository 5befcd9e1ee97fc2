/* Any bytes as an archive: what the walk accepts is sorted, in bounds, apart, and well named; and
 * the layout gives every entry to one project at most. */
#include "proto/base/mem.h"
#include "runner/intake/layout.h"
#include "runner/intake/name.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t len;
};

static int read_at(void *arg, uint64_t offset, void *out, size_t len, struct err *err)
{
    const struct bytes *self = arg;
    (void)err;
    assert(offset <= self->len && len <= self->len - offset);
    if (len > 0)
        memcpy(out, self->data + offset, len);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct archive_entry *left = a;
    const struct archive_entry *right = b;
    return (left->header_offset > right->header_offset) -
           (left->header_offset < right->header_offset);
}

static void check_entries(const struct archive *archive, size_t len)
{
    for (size_t i = 0; i < archive->count; i++) {
        const struct archive_entry *entry = &archive->entries[i];
        char again[ARCHIVE_PATH_MAX + 1];
        bool folder;
        assert(entry->path_len == strlen(entry->path) && entry->path_len > 0);
        assert(name_decode((const uint8_t *)entry->path, entry->path_len, true, 32, again, &folder,
                           NULL) == 0);
        assert(!folder && strcmp(again, entry->path) == 0);
        assert(entry->method == 0 || entry->method == 8);
        assert(entry->method == 8 || entry->packed_bytes == entry->size_bytes);
        assert(i == 0 || archive_path_compare(archive->entries[i - 1].path, entry->path) < 0);
        assert(archive_find(archive, entry->path) == entry);
    }
    owned_mem struct archive_entry *sorted =
        mem_dup(archive->entries, (archive->count + 1) * sizeof *sorted);
    qsort(sorted, archive->count, sizeof *sorted, by_offset);
    for (size_t i = 0; i < archive->count; i++) {
        uint64_t next = i + 1 < archive->count ? sorted[i + 1].header_offset : archive->data_bytes;
        assert(archive->data_bytes <= len && sorted[i].header_offset <= next);
        assert(next - sorted[i].header_offset >= 30 + sorted[i].packed_bytes);
    }
}

static void check_layout(struct archive *archive, bool overlay)
{
    struct layout layout;
    struct layout_spec spec = {.overlay = overlay, .limits = ARCHIVE_LIMITS_DEFAULT};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < archive->count; i++)
        archive->entries[i].skipped = false;
    if (layout_find(&layout, archive, &spec, &err) == 0) {
        assert(layout.project_count > 0);
        size_t end = 0;
        for (size_t p = 0; p < layout.project_count; p++) {
            const struct layout_project *project = &layout.projects[p];
            char clean[LAYOUT_NAME_MAX + 1];
            layout_name_clean(project->name, clean);
            assert(strcmp(clean, project->name) == 0);
            assert(project->first >= end && project->first <= project->end);
            end = project->end;
            for (size_t i = project->first; i < project->end; i++)
                assert(archive->entries[i].path_len + 1u >= project->strip);
        }
        assert(end <= archive->count);
    }
    layout_fini(&layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    struct archive_source source = {read_at, &bytes, size};
    struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;
    struct archive archive;
    struct err err = ERR_INIT;
    if (archive_walk(&archive, &source, &limits, &err)) {
        assert(err.code == ERR_UNPROCESSABLE && err.reason && archive.count == 0);
        return 0;
    }
    check_entries(&archive, size);
    check_layout(&archive, false);
    check_layout(&archive, true);
    archive_fini(&archive);
    return 0;
}
