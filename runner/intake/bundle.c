#include "runner/intake/bundle.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void set(ZSTD_CCtx *context, ZSTD_cParameter what, int value)
{
    size_t rc = ZSTD_CCtx_setParameter(context, what, value);
    assert(!ZSTD_isError(rc));
}

void bundle_writer_init(struct bundle_writer *self)
{
    *self = (struct bundle_writer){.fd = -1};
    self->context = ZSTD_createCCtx();
    assert(self->context);
    set(self->context, ZSTD_c_compressionLevel, BUNDLE_LEVEL);
    set(self->context, ZSTD_c_windowLog, BUNDLE_WINDOW_LOG);
    set(self->context, ZSTD_c_checksumFlag, 1);
    self->packed_size = ZSTD_CStreamOutSize();
    self->packed = mem_new(self->packed_size);
}

void bundle_writer_fini(struct bundle_writer *self)
{
    mem_close_at(&self->fd);
    ZSTD_freeCCtx(self->context);
    buf_fini(&self->piece);
    free(self->packed);
    self->packed = NULL;
}

void bundle_writer_begin(struct bundle_writer *self, int fd_owned)
{
    mem_close_at(&self->fd);
    self->fd = fd_owned;
    ZSTD_CCtx_reset(self->context, ZSTD_reset_session_only);
    hash_init(&self->bundle);
    hash_init(&self->tree);
    self->bundle_bytes = self->content_left = 0;
    self->padding = 0;
    buf_clear(&self->piece);
}

static int write_packed(struct bundle_writer *self, size_t len, struct err *err)
{
    hash_update(&self->bundle, self->packed, len);
    self->bundle_bytes += len;
    int rc = file_write_all(self->fd, self->packed, len, err);
    if (rc && (errno == ENOSPC || errno == EDQUOT))
        return err_refuse(err, ERR_UNAVAILABLE, "disk-full", "there is no room for the upload");
    return rc;
}

/* Compresses the first `len` bytes of the piece and drops them. */
static int flush(struct bundle_writer *self, size_t len, ZSTD_EndDirective mode, struct err *err)
{
    ZSTD_inBuffer in = {self->piece.data, len, 0};
    hash_update(&self->tree, self->piece.data, len);
    size_t left;
    do {
        ZSTD_outBuffer out = {self->packed, self->packed_size, 0};
        left = ZSTD_compressStream2(self->context, &out, &in, mode);
        if (ZSTD_isError(left))
            return err_set(err, ERR_INTERNAL, "compress: %s", ZSTD_getErrorName(left));
        int rc = out.pos > 0 ? write_packed(self, out.pos, err) : 0;
        if (rc)
            return rc;
    } while (in.pos < in.size || (mode == ZSTD_e_end && left > 0));
    buf_consume(&self->piece, len);
    return 0;
}

static int flush_whole_pieces(struct bundle_writer *self, struct err *err)
{
    int rc = 0;
    while (!rc && self->piece.len >= BUNDLE_PIECE)
        rc = flush(self, BUNDLE_PIECE, ZSTD_e_continue, err);
    return rc;
}

int bundle_writer_item(struct bundle_writer *self, const struct tar_item *item, struct err *err)
{
    assert(self->content_left == 0);
    tar_put_head(&self->piece, item);
    self->content_left = item->kind == ARCHIVE_FILE ? item->size_bytes : 0;
    self->padding = tar_padding(self->content_left);
    return flush_whole_pieces(self, err);
}

int bundle_writer_bytes(struct bundle_writer *self, const void *bytes, size_t len, struct err *err)
{
    static const char zeros[TAR_BLOCK];
    assert(len <= self->content_left);
    buf_append(&self->piece, bytes, len);
    self->content_left -= len;
    if (self->content_left == 0)
        buf_append(&self->piece, zeros, self->padding);
    return flush_whole_pieces(self, err);
}

int bundle_writer_end(struct bundle_writer *self, struct bundle_facts *out, struct err *err)
{
    assert(self->content_left == 0);
    tar_put_end(&self->piece);
    int rc = flush_whole_pieces(self, err);
    if (!rc)
        rc = flush(self, self->piece.len, ZSTD_e_end, err);
    if (rc)
        return rc;
    if (fsync(self->fd))
        return err_set(err, ERR_IO, "sync a bundle: %m");
    mem_close_at(&self->fd);
    hash_final(&self->bundle, &out->bundle);
    hash_final(&self->tree, &out->tree);
    out->bundle_bytes = self->bundle_bytes;
    return 0;
}

void bundle_reader_init(struct bundle_reader *self, int fd)
{
    *self = (struct bundle_reader){.fd = fd};
    self->context = ZSTD_createDCtx();
    assert(self->context);
    size_t rc = ZSTD_DCtx_setParameter(self->context, ZSTD_d_windowLogMax, BUNDLE_WINDOW_MAX);
    assert(!ZSTD_isError(rc));
    hash_init(&self->bundle);
    self->packed_size = ZSTD_DStreamInSize();
    self->packed = mem_new(self->packed_size);
    self->in.src = self->packed;
}

void bundle_reader_fini(struct bundle_reader *self)
{
    ZSTD_freeDCtx(self->context);
    free(self->packed);
    self->packed = NULL;
}

/* Reads more of the file. Returns the bytes read, 0 at its end. */
static ssize_t refill(struct bundle_reader *self, struct err *err)
{
    ssize_t got;
    do
        got = read(self->fd, self->packed, self->packed_size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(err, ERR_IO, "read a bundle: %m");
    hash_update(&self->bundle, self->packed, (size_t)got);
    self->in = (ZSTD_inBuffer){self->packed, (size_t)got, 0};
    return got;
}

int bundle_reader_read(struct bundle_reader *self, void *out, size_t len, struct err *err)
{
    ZSTD_outBuffer room = {out, len, 0};
    while (room.pos < room.size) {
        size_t before_in = self->in.pos;
        size_t before_out = room.pos;
        size_t rc = self->frame_over ? 0 : ZSTD_decompressStream(self->context, &room, &self->in);
        if (ZSTD_isError(rc))
            return err_set(err, ERR_CORRUPT, "the bundle is damaged: %s", ZSTD_getErrorName(rc));
        if (self->frame_over)
            return err_set(err, ERR_CORRUPT, "the bundle is damaged: it ends too early");
        self->frame_over = rc == 0 && (self->in.pos > before_in || room.pos > before_out);
        if (room.pos == room.size || self->frame_over || self->in.pos < self->in.size)
            continue;
        ssize_t got = refill(self, err);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "the bundle is damaged: it ends too early");
    }
    return 0;
}

/* The frame's last bytes give no content: the decompressor is asked for a byte that must not come.
 */
int bundle_reader_end(struct bundle_reader *self, const struct hash *want, struct err *err)
{
    char byte;
    while (!self->frame_over) {
        ZSTD_outBuffer room = {&byte, 1, 0};
        size_t rc = ZSTD_decompressStream(self->context, &room, &self->in);
        if (ZSTD_isError(rc) || room.pos > 0)
            return err_set(err, ERR_CORRUPT, "the bundle is damaged: bytes behind its end");
        self->frame_over = rc == 0;
        ssize_t got = self->frame_over ? 1 : refill(self, err);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "the bundle is damaged: it ends too early");
    }
    ssize_t more = self->in.pos < self->in.size ? 1 : refill(self, err);
    if (more < 0)
        return (int)more;
    struct hash got;
    hash_final(&self->bundle, &got);
    if (more > 0 || memcmp(&got, want, sizeof got) != 0)
        return err_set(err, ERR_CORRUPT,
                       "the bundle's bytes are not those that its name stands for");
    return 0;
}
