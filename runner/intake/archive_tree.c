/* The walked entries as a tree: they are sorted so that all that is in a folder lies together. */
#include "proto/base/mem.h"
#include "runner/intake/archive.h"

#include <string.h>

int archive_path_compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    /* No path has a control character, so 1 is free for the slash. */
    unsigned char left = *a == '/' ? 1 : (unsigned char)*a;
    unsigned char right = *b == '/' ? 1 : (unsigned char)*b;
    return left - right;
}

static bool is_in(const struct archive_entry *entry, const char *folder, size_t len)
{
    return len == 0 || (entry->path_len >= len && memcmp(entry->path, folder, len) == 0 &&
                        (entry->path[len] == '/' || entry->path[len] == '\0'));
}

size_t archive_folder_end(const struct archive *self, size_t from, const char *folder, size_t len)
{
    size_t low = from;
    size_t high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_in(&self->entries[middle], folder, len))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns the first entry that does not come before `path`. */
static size_t lower_bound(const struct archive *self, const char *path)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (archive_path_compare(self->entries[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t archive_folder_begin(const struct archive *self, const char *folder, size_t len)
{
    if (len == 0)
        return 0;
    char path[ARCHIVE_PATH_MAX + 1];
    if (len > ARCHIVE_PATH_MAX)
        return self->count;
    memcpy(path, folder, len);
    path[len] = '\0';
    size_t at = lower_bound(self, path);
    return at < self->count && is_in(&self->entries[at], folder, len) ? at : self->count;
}

const struct archive_entry *archive_find(const struct archive *self, const char *path)
{
    size_t at = lower_bound(self, path);
    return at < self->count && strcmp(self->entries[at].path, path) == 0 ? &self->entries[at]
                                                                         : NULL;
}
