/* bundle: a canonical tar under zstd, written and read as streams.
 *
 * The compressor is fed in pieces of one size and with fixed parameters, so that equal trees give
 * equal bytes. Memory is a few MiB, whatever the size. */
#ifndef INTAKE_BUNDLE_H
#define INTAKE_BUNDLE_H

#include "proto/base/hash.h"
#include "runner/intake/tar.h"

#include <zstd.h>

#define BUNDLE_LEVEL      3
#define BUNDLE_WINDOW_LOG 21 /* 2 MiB when writing */
#define BUNDLE_WINDOW_MAX 23 /* 8 MiB is the most that a reader grants */
#define BUNDLE_PIECE      ((size_t)128 << 10)

struct bundle_facts {
    struct hash bundle; /* of the compressed bytes */
    struct hash tree;   /* of the tar */
    uint64_t bundle_bytes;
};

struct bundle_writer {
    ZSTD_CCtx *context;
    int fd; /* the file being written, -1 for none */
    struct hash_state bundle;
    struct hash_state tree;
    uint64_t bundle_bytes;
    uint64_t content_left; /* bytes due before the next item */
    size_t padding;        /* zeros that follow them */
    struct buf piece;      /* tar bytes not compressed yet */
    char *packed;          /* room for what the compressor gives */
    size_t packed_size;
};

void bundle_writer_init(struct bundle_writer *self);
void bundle_writer_fini(struct bundle_writer *self);

/* Begins a bundle in `fd_owned`, which is closed by bundle_writer_end() or the next begin or fini.
 */
void bundle_writer_begin(struct bundle_writer *self, int fd_owned);

/* Adds an item; exactly item->size_bytes of content follow through bundle_writer_bytes(). Items
 * come in tree order, each folder before what is in it. Errors of the writers: ERR_IO,
 * ERR_UNAVAILABLE (disk-full). */
int bundle_writer_item(struct bundle_writer *self, const struct tar_item *item,
                       struct err *err) ERR_CHECKED;
int bundle_writer_bytes(struct bundle_writer *self, const void *bytes, size_t len,
                        struct err *err) ERR_CHECKED;

/* Ends the bundle: all of it is on disk. */
int bundle_writer_end(struct bundle_writer *self, struct bundle_facts *out,
                      struct err *err) ERR_CHECKED;

struct bundle_reader {
    ZSTD_DCtx *context;
    int fd;
    struct hash_state bundle;
    ZSTD_inBuffer in;
    char *packed;
    size_t packed_size;
    bool frame_over;
};

/* Reads from `fd`, borrowed. */
void bundle_reader_init(struct bundle_reader *self, int fd);
void bundle_reader_fini(struct bundle_reader *self);

/* Fills all of `len` bytes of the tar. Errors: ERR_CORRUPT, ERR_IO. */
int bundle_reader_read(struct bundle_reader *self, void *out, size_t len,
                       struct err *err) ERR_CHECKED;

/* Checks that nothing follows and that the bytes have this hash. Errors: ERR_CORRUPT, ERR_IO. */
int bundle_reader_end(struct bundle_reader *self, const struct hash *want,
                      struct err *err) ERR_CHECKED;

#endif
