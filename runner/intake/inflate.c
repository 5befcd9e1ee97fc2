#include "runner/intake/inflate.h"

#include "proto/base/buf.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zip.h>

/* libzip looks for the end record in the last 64 KiB and takes whatever has its signature. So much
 * nothing in front of ours keeps strangers' bytes out of its sight. */
#define QUIET_BYTES (66u << 10)

struct inflate {
    const struct archive_source *source;
    uint64_t data_bytes; /* the archive's own, in front of our directory */
    struct buf tail;     /* our directory, the quiet zone, the end record */
    uint64_t at;         /* where libzip reads */
    struct err broken;   /* what the source said last */
    zip_error_t zip_error;
    zip_t *zip;
    zip_file_t *file;
    const struct archive_entry *entry;
    zip_uint64_t index; /* of the next entry in our directory */
    uint64_t got;       /* inflated bytes of this entry */
};

static void put_u16(struct buf *to, unsigned value)
{
    buf_putc(to, (char)value);
    buf_putc(to, (char)(value >> 8));
}

static void put_u32(struct buf *to, uint64_t value)
{
    assert(value <= UINT32_MAX);
    put_u16(to, (unsigned)(value & 0xffff));
    put_u16(to, (unsigned)(value >> 16));
}

/* A central header whose name is a number: nothing here needs the real one. */
static void put_central(struct buf *to, const struct archive_entry *entry, unsigned number)
{
    buf_append(to, "PK\1\2", 4);
    put_u16(to, 20); /* written by, needed to read: version 2.0 */
    put_u16(to, 20);
    put_u16(to, 0); /* flags */
    put_u16(to, entry->method);
    put_u32(to, 0x00210000); /* 1980-01-01 00:00 */
    put_u32(to, entry->crc);
    put_u32(to, entry->packed_bytes);
    put_u32(to, entry->size_bytes);
    put_u16(to, 8); /* the name; no extra field, no comment */
    put_u16(to, 0);
    put_u16(to, 0);
    put_u16(to, 0); /* disk, attributes */
    put_u16(to, 0);
    put_u32(to, 0);
    put_u32(to, entry->header_offset);
    buf_printf(to, "%08u", number);
}

static bool has_content(const struct archive_entry *entry)
{
    return !entry->skipped && (entry->kind == ARCHIVE_FILE || entry->kind == ARCHIVE_LINK);
}

static void put_tail(struct inflate *self, const struct archive *archive, size_t first, size_t end)
{
    unsigned count = 0;
    for (size_t i = first; i < end; i++)
        if (has_content(&archive->entries[i]))
            put_central(&self->tail, &archive->entries[i], count++);
    assert(count <= INFLATE_ENTRIES_MAX);
    size_t directory_bytes = self->tail.len;
    memset(buf_reserve(&self->tail, QUIET_BYTES), 0, QUIET_BYTES);
    buf_added(&self->tail, QUIET_BYTES);
    buf_append(&self->tail, "PK\5\6\0\0\0\0", 8);
    put_u16(&self->tail, count);
    put_u16(&self->tail, count);
    put_u32(&self->tail, directory_bytes);
    put_u32(&self->tail, self->data_bytes);
    put_u16(&self->tail, 0);
}

static zip_int64_t source_read(struct inflate *self, void *out, zip_uint64_t len)
{
    uint64_t whole = self->data_bytes + self->tail.len;
    if (len > whole - self->at)
        len = whole - self->at;
    if (self->at >= self->data_bytes) {
        memcpy(out, self->tail.data + (self->at - self->data_bytes), len);
    } else {
        if (len > self->data_bytes - self->at)
            len = self->data_bytes - self->at;
        if (self->source->read_at(self->source->arg, self->at, out, len, &self->broken)) {
            zip_error_set(&self->zip_error, ZIP_ER_READ, 0);
            return -1;
        }
    }
    self->at += len;
    return (zip_int64_t)len;
}

static zip_int64_t source_seek(struct inflate *self, void *data, zip_uint64_t len)
{
    zip_int64_t to = zip_source_seek_compute_offset(self->at, self->data_bytes + self->tail.len,
                                                    data, len, &self->zip_error);
    if (to < 0)
        return -1;
    self->at = (uint64_t)to;
    return 0;
}

static zip_int64_t source_do(void *arg, void *data, zip_uint64_t len, zip_source_cmd_t command)
{
    struct inflate *self = arg;
    zip_stat_t *st = data;
    int what = (int)command;
    if (what == ZIP_SOURCE_OPEN)
        self->at = 0;
    if (what == ZIP_SOURCE_OPEN || what == ZIP_SOURCE_CLOSE || what == ZIP_SOURCE_FREE)
        return 0;
    if (what == ZIP_SOURCE_READ)
        return source_read(self, data, len);
    if (what == ZIP_SOURCE_SEEK)
        return source_seek(self, data, len);
    if (what == ZIP_SOURCE_TELL)
        return (zip_int64_t)self->at;
    if (what == ZIP_SOURCE_ERROR)
        return zip_error_to_data(&self->zip_error, data, len);
    if (what == ZIP_SOURCE_SUPPORTS)
        return zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
            ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    if (what == ZIP_SOURCE_STAT) {
        zip_stat_init(st);
        st->size = self->data_bytes + self->tail.len;
        st->valid |= ZIP_STAT_SIZE;
        return sizeof *st;
    }
    zip_error_set(&self->zip_error, ZIP_ER_OPNOTSUPP, 0);
    return -1;
}

struct inflate *inflate_new(const struct archive *archive, size_t first, size_t end,
                            const struct archive_source *source, struct err *err)
{
    struct inflate *self = mem_new(sizeof *self);
    self->source = source;
    self->data_bytes = archive->data_bytes;
    zip_error_init(&self->zip_error);
    put_tail(self, archive, first, end);
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *from = zip_source_function_create(source_do, self, &why);
    if (from)
        self->zip = zip_open_from_source(from, ZIP_RDONLY, &why);
    if (!self->zip) {
        err_set(err, ERR_INTERNAL, "libzip does not open our own directory: %s",
                zip_error_strerror(&why));
        zip_source_free(from);
        zip_error_fini(&why);
        inflate_free(self);
        return NULL;
    }
    zip_error_fini(&why);
    return self;
}

void inflate_free(struct inflate *self)
{
    if (!self)
        return;
    if (self->file)
        zip_fclose(self->file);
    if (self->zip)
        zip_discard(self->zip);
    zip_error_fini(&self->zip_error);
    buf_fini(&self->tail);
    free(self);
}

static int failed(const struct inflate *self, const zip_error_t *why, struct err *err)
{
    if (self->broken.code) {
        *err = self->broken;
        return err->code;
    }
    int code = zip_error_code_zip(why);
    if (code == ZIP_ER_MEMORY || code == ZIP_ER_INTERNAL)
        return err_set(err, ERR_INTERNAL, "libzip: error %d", code);
    if (code == ZIP_ER_CRC)
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-bad-crc",
                          "%s is damaged: its checksum is wrong", self->entry->path);
    if (code == ZIP_ER_INCONS)
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-size-lie",
                          "%s has another size than it states", self->entry->path);
    return err_refuse(err, ERR_UNPROCESSABLE, "archive-bad-data",
                      "%s is damaged and cannot be unpacked", self->entry->path);
}

int inflate_next(struct inflate *self, const struct archive_entry *entry, struct err *err)
{
    assert(has_content(entry));
    if (self->file)
        zip_fclose(self->file);
    self->entry = entry;
    self->got = 0;
    self->file = zip_fopen_index(self->zip, self->index++, 0);
    return self->file ? 0 : failed(self, zip_get_error(self->zip), err);
}

ssize_t inflate_read(struct inflate *self, void *out, size_t size, struct err *err)
{
    zip_int64_t got = zip_fread(self->file, out, size);
    if (got < 0)
        return failed(self, zip_file_get_error(self->file), err);
    self->got += (uint64_t)got;
    if (self->got > self->entry->size_bytes || (got == 0 && self->got != self->entry->size_bytes))
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-size-lie",
                          "%s has another size than it states", self->entry->path);
    return (ssize_t)got;
}
