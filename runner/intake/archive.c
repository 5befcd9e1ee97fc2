#include "runner/intake/archive.h"

#include "proto/base/mem.h"
#include "runner/intake/archive_end.h"
#include "runner/intake/name.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#define CENTRAL_BYTES 46u
#define LOCAL_BYTES   30u
#define SIGN_CENTRAL  0x02014b50u
#define SIGN_LOCAL    0x04034b50u
#define WINDOW_BYTES  (256u << 10)
#define BLOCK_BYTES   (64u << 10)
#define ZIP64_FIELD   1u

#define FLAG_ENCRYPTED  (1u << 0)
#define FLAG_DESCRIPTOR (1u << 3)
#define FLAG_PATCHED    (1u << 5)
#define FLAG_STRONG     (1u << 6)
#define FLAG_UTF8       (1u << 11)
#define FLAG_MASKED     (1u << 13)

#define HOST_UNIX  3u
#define HOST_MACOS 19u

#define REFUSED(r, ...) err_refuse(err, ERR_UNPROCESSABLE, (r), __VA_ARGS__)

/* The bytes of the archive that one entry takes, its local header included. */
struct extent {
    uint64_t begin;
    uint64_t end;
};

struct walk {
    struct archive *archive;
    const struct archive_source *source;
    const struct archive_limits *limits;
    struct archive_end end;
    struct extent *extents;
    size_t extent_count;
    uint64_t at; /* of the next central header */
    uint8_t *window;
    uint64_t window_at;
    size_t window_len;
};

/* One central header, with the strings behind it. */
struct central {
    const uint8_t *head;
    const uint8_t *name;
    const uint8_t *extra;
    size_t name_len;
    size_t extra_len;
    uint16_t flags;
    uint64_t packed;
    uint64_t size;
    uint64_t header_offset;
};

/* Points `out` at `len` bytes of the directory, valid until the next call. */
static int window(struct walk *self, uint64_t at, size_t len, const uint8_t **out, struct err *err)
{
    uint64_t end = self->end.directory_offset + self->end.directory_bytes;
    assert(len <= WINDOW_BYTES && at <= end);
    if (end - at < len)
        return REFUSED("archive-count-lie", "the archive's directory ends within an entry");
    if (at < self->window_at || at + len > self->window_at + self->window_len) {
        self->window_at = at;
        self->window_len = end - at < WINDOW_BYTES ? (size_t)(end - at) : WINDOW_BYTES;
        int rc = self->source->read_at(self->source->arg, at, self->window, self->window_len, err);
        if (rc) {
            self->window_len = 0;
            return rc;
        }
    }
    *out = self->window + (at - self->window_at);
    return 0;
}

/* Takes the wide values from the Zip64 field, in its fixed order, for those that are full. */
static int read_zip64(struct central *self, struct err *err)
{
    bool size = self->size == UINT32_MAX;
    bool packed = self->packed == UINT32_MAX;
    bool offset = self->header_offset == UINT32_MAX;
    if (!size && !packed && !offset)
        return 0;
    for (size_t at = 0; self->extra_len - at >= 4;) {
        const uint8_t *field = self->extra + at + 4;
        size_t len = zip_u16(self->extra + at + 2);
        if (len > self->extra_len - at - 4)
            break;
        if (zip_u16(self->extra + at) == ZIP64_FIELD) {
            if (len < 8u * (size_t)(size + packed + offset))
                break;
            self->size = size ? zip_u64(field) : self->size;
            self->packed = packed ? zip_u64(field + 8u * size) : self->packed;
            self->header_offset =
                offset ? zip_u64(field + 8u * (size_t)(size + packed)) : self->header_offset;
            return 0;
        }
        at += 4 + len;
    }
    /* A file of exactly 4 GiB less one byte needs no field, and is too large in any case. */
    return REFUSED("archive-size-lie", "an entry's Zip64 sizes are missing");
}

static int read_central(struct walk *self, struct central *out, struct err *err)
{
    const uint8_t *head = NULL;
    int rc = window(self, self->at, CENTRAL_BYTES, &head, err);
    if (rc)
        return rc;
    if (zip_u32(head) != SIGN_CENTRAL)
        return REFUSED("archive-count-lie",
                       "the archive's directory has fewer entries than stated");
    size_t name_len = zip_u16(head + 28);
    size_t extra_len = zip_u16(head + 30);
    size_t whole = CENTRAL_BYTES + name_len + extra_len + zip_u16(head + 32);
    if ((rc = window(self, self->at, whole, &head, err)))
        return rc;
    *out = (struct central){.head = head,
                            .name = head + CENTRAL_BYTES,
                            .extra = head + CENTRAL_BYTES + name_len,
                            .name_len = name_len,
                            .extra_len = extra_len,
                            .flags = zip_u16(head + 8),
                            .packed = zip_u32(head + 20),
                            .size = zip_u32(head + 24),
                            .header_offset = zip_u32(head + 42)};
    self->at += whole;
    return read_zip64(out, err);
}

/* What this program can and will inflate. */
static int check_content(const struct central *self, const char *shown, struct err *err)
{
    uint16_t method = zip_u16(self->head + 10);
    uint16_t disk = zip_u16(self->head + 34);
    if (self->flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
        return REFUSED("archive-encrypted", "%s is encrypted; send the archive without a password",
                       shown);
    if ((method != 0 && method != 8) || self->flags & FLAG_PATCHED)
        return REFUSED("archive-method",
                       "%s is packed by method %u; only stored and deflated entries are read",
                       shown, method);
    if (disk != 0 && disk != UINT16_MAX)
        return REFUSED("archive-multipart", "the archive is one part of several");
    if (method == 0 && self->packed != self->size)
        return REFUSED("archive-size-lie", "%s is stored and states two sizes", shown);
    if (method == 8 && self->size > 0 && self->packed == 0)
        return REFUSED("archive-size-lie", "%s is made of nothing", shown);
    return 0;
}

/* With a descriptor behind the data the local header may leave a value at zero; one that goes into
 * the Zip64 field is full. */
static bool local_says(uint32_t local, uint64_t central, bool descriptor)
{
    return local == central || (local == UINT32_MAX) || (descriptor && local == 0);
}

/* Holds the local header against the central one: readers that trust either must see the same. */
static int check_local(struct walk *self, const struct central *central, const char *shown,
                       struct err *err)
{
    uint8_t head[LOCAL_BYTES + ARCHIVE_PATH_MAX];
    uint64_t limit = self->end.directory_offset;
    size_t need = LOCAL_BYTES + central->name_len;
    assert(need <= sizeof head);
    if (central->header_offset > limit || limit - central->header_offset < need)
        return REFUSED("archive-truncated", "%s lies outside of the archive", shown);
    int rc = self->source->read_at(self->source->arg, central->header_offset, head, need, err);
    if (rc)
        return rc;
    uint16_t flags = zip_u16(head + 6);
    bool descriptor = flags & FLAG_DESCRIPTOR;
    if (zip_u32(head) != SIGN_LOCAL)
        return REFUSED("archive-header-lie", "%s is not where the directory says", shown);
    if (zip_u16(head + 26) != central->name_len ||
        memcmp(head + LOCAL_BYTES, central->name, central->name_len) != 0)
        return REFUSED("archive-header-lie", "%s has another name in its own header", shown);
    if (zip_u16(head + 8) != zip_u16(central->head + 10) || flags & (FLAG_ENCRYPTED | FLAG_PATCHED))
        return REFUSED("archive-header-lie", "%s has another method in its own header", shown);
    if (!local_says(zip_u32(head + 18), central->packed, descriptor) ||
        !local_says(zip_u32(head + 22), central->size, descriptor))
        return REFUSED("archive-size-lie", "%s has other sizes in its own header", shown);
    uint32_t crc = zip_u32(head + 14);
    if (crc != zip_u32(central->head + 16) && !(descriptor && crc == 0))
        return REFUSED("archive-header-lie", "%s has another checksum in its own header", shown);
    uint64_t data = central->header_offset + need + zip_u16(head + 28);
    if (data > limit || limit - data < central->packed)
        return REFUSED("archive-truncated", "%s does not fit into the archive", shown);
    self->extents[self->extent_count++] =
        (struct extent){central->header_offset, data + central->packed};
    return 0;
}

/* Only Unix systems write a mode; without one a name with a slash behind is a folder. */
static int entry_kind(struct archive_entry *entry, const struct central *central, bool slash,
                      const char *shown, struct err *err)
{
    uint32_t outside = zip_u32(central->head + 38);
    unsigned host = central->head[5];
    mode_t mode = host == HOST_UNIX || host == HOST_MACOS ? (mode_t)(outside >> 16) : 0;
    mode_t type = mode & S_IFMT;
    entry->executable = (mode & 0111) != 0;
    entry->kind = ARCHIVE_FILE;
    if (slash || type == S_IFDIR)
        entry->kind = ARCHIVE_FOLDER;
    else if (type == S_IFLNK)
        entry->kind = ARCHIVE_LINK;
    else if (type != 0 && type != S_IFREG)
        entry->kind = ARCHIVE_SPECIAL;
    if (entry->kind != ARCHIVE_FOLDER)
        return 0;
    if (central->size > 0)
        return REFUSED("archive-bad-name", "%s is named as a folder and has content", shown);
    if (type != 0 && type != S_IFDIR)
        return REFUSED("archive-bad-name", "%s is named as a folder and is none", shown);
    return 0;
}

static const char *keep_path(struct archive *self, const char *path, size_t len)
{
    if (self->block_left < len + 1) {
        self->blocks = mem_grow(self->blocks, &self->block_capacity, self->block_count + 1,
                                sizeof *self->blocks);
        self->blocks[self->block_count++] = mem_resize(NULL, BLOCK_BYTES, 1);
        self->block_left = BLOCK_BYTES;
    }
    char *at = self->blocks[self->block_count - 1] + BLOCK_BYTES - self->block_left;
    memcpy(at, path, len + 1);
    self->block_left -= len + 1;
    self->name_bytes += len + 1;
    return at;
}

static int take_entry(struct walk *self, struct err *err)
{
    struct central central = {0};
    int rc = read_central(self, &central, err);
    if (rc)
        return rc;
    char path[ARCHIVE_PATH_MAX + 1];
    char shown[NAME_SHOW_MAX];
    bool slash = false;
    rc = name_decode(central.name, central.name_len, central.flags & FLAG_UTF8, self->limits->depth,
                     path, &slash, err);
    if (rc)
        return rc;
    name_show(central.name, central.name_len, shown);
    if ((rc = check_content(&central, shown, err)) ||
        (rc = check_local(self, &central, shown, err)))
        return rc;
    struct archive_entry entry = {.header_offset = central.header_offset,
                                  .packed_bytes = central.packed,
                                  .size_bytes = central.size,
                                  .crc = zip_u32(central.head + 16),
                                  .path_len = (uint16_t)strlen(path),
                                  .method = central.head[10]};
    if ((rc = entry_kind(&entry, &central, slash, shown, err)))
        return rc;
    if (entry.path_len == 0)
        return entry.kind == ARCHIVE_FOLDER
                   ? 0
                   : REFUSED("archive-bad-name", "the archive names a file \"%s\"", shown);
    if (self->archive->name_bytes + entry.path_len + 1u > self->limits->name_bytes)
        return REFUSED("archive-too-large", "the archive's names take more than %llu MiB",
                       (unsigned long long)self->limits->name_bytes >> 20);
    entry.path = keep_path(self->archive, path, entry.path_len);
    self->archive->entries[self->archive->count++] = entry;
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct extent *left = a;
    const struct extent *right = b;
    return (left->begin > right->begin) - (left->begin < right->begin);
}

static int check_extents(struct walk *self, struct err *err)
{
    qsort(self->extents, self->extent_count, sizeof *self->extents, by_begin);
    if (self->extent_count > 0 && self->extents[0].begin != 0)
        return REFUSED("archive-prefixed", "there are bytes in front of the archive's first entry");
    for (size_t i = 1; i < self->extent_count; i++)
        if (self->extents[i].begin < self->extents[i - 1].end)
            return REFUSED("archive-overlap", "two entries share the archive's bytes");
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const struct archive_entry *left = a;
    const struct archive_entry *right = b;
    return archive_path_compare(left->path, right->path);
}

static bool is_below(const char *path, size_t len, const char *folder, size_t folder_len)
{
    return len > folder_len && path[folder_len] == '/' && memcmp(path, folder, folder_len) == 0;
}

/* Puts the entries in tree order, each path once. What is below a file comes directly behind it. */
static int check_paths(struct archive *self, struct err *err)
{
    qsort(self->entries, self->count, sizeof *self->entries, by_path);
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct archive_entry *entry = &self->entries[i];
        const struct archive_entry *before = kept > 0 ? &self->entries[kept - 1] : NULL;
        char shown[NAME_SHOW_MAX];
        if (before && strcmp(before->path, entry->path) == 0) {
            if (before->kind == ARCHIVE_FOLDER && entry->kind == ARCHIVE_FOLDER)
                continue;
            bool mixed = before->kind == ARCHIVE_FOLDER || entry->kind == ARCHIVE_FOLDER;
            return REFUSED(mixed ? "archive-conflict" : "archive-duplicate",
                           "the archive has %s twice",
                           name_show((const uint8_t *)entry->path, entry->path_len, shown));
        }
        if (before && before->kind != ARCHIVE_FOLDER &&
            is_below(entry->path, entry->path_len, before->path, before->path_len))
            return REFUSED("archive-conflict",
                           "the archive has %s as something that is no folder, and files below it",
                           name_show((const uint8_t *)before->path, before->path_len, shown));
        self->entries[kept++] = *entry;
    }
    self->count = kept;
    return 0;
}

static int walk(struct walk *self, struct err *err)
{
    uint64_t count = self->end.count;
    if (count > self->limits->entry_count)
        return REFUSED("archive-too-many-entries",
                       "the archive has %llu entries; at most %u are taken (leave out virtual "
                       "environments, caches and .git)",
                       (unsigned long long)count, self->limits->entry_count);
    if (count == 0 && self->end.directory_bytes == 0)
        return REFUSED("archive-empty", "the archive is empty");
    if (self->end.directory_bytes / CENTRAL_BYTES < count)
        return REFUSED("archive-count-lie", "the archive states more entries than it has");
    self->archive->data_bytes = self->end.directory_offset;
    self->archive->entries = mem_new_array((size_t)count + 1, sizeof *self->archive->entries);
    self->extents = mem_new_array((size_t)count + 1, sizeof *self->extents);
    self->window = mem_new(WINDOW_BYTES);
    self->at = self->end.directory_offset;
    for (uint64_t i = 0; i < count; i++) {
        int rc = take_entry(self, err);
        if (rc)
            return rc;
    }
    if (self->at != self->end.directory_offset + self->end.directory_bytes)
        return REFUSED("archive-count-lie", "the archive has more entries than it states");
    int rc = check_extents(self, err);
    return rc ? rc : check_paths(self->archive, err);
}

int archive_walk(struct archive *self, const struct archive_source *source,
                 const struct archive_limits *limits, struct err *err)
{
    *self = (struct archive){0};
    struct walk state = {.archive = self, .source = source, .limits = limits};
    int rc = archive_end_read(&state.end, source, err);
    if (!rc)
        rc = walk(&state, err);
    free(state.window);
    free(state.extents);
    if (rc)
        archive_fini(self);
    return rc;
}

void archive_fini(struct archive *self)
{
    for (size_t i = 0; i < self->block_count; i++)
        free(self->blocks[i]);
    free(self->blocks);
    free(self->entries);
    *self = (struct archive){0};
}
