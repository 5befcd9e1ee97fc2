/* Blobs: files named by their content, written once and never changed. */
#include "node/store/store_inner.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

char *store_blob_path(const struct store *self, const struct hash *hash, const char *ext)
{
    char hex[HASH_HEX];
    assert(strlen(ext) <= STORE_EXT_MAX && !strchr(ext, '/'));
    hash_hex(hash, hex);
    return mem_printf("%s/blobs/%.2s/%s%s%s", self->dir, hex, hex, *ext ? "." : "", ext);
}

bool store_has_blob(const struct store *self, const struct hash *hash, const char *ext)
{
    owned_mem char *path = store_blob_path(self, hash, ext);
    return file_exists(path);
}

int store_read_blob(const struct store *self, const struct hash *hash, const char *ext, size_t max,
                    struct buf *out, struct err *err)
{
    owned_mem char *path = store_blob_path(self, hash, ext);
    return file_read(path, max, out, err);
}

const char *store_tmp_dir(const struct store *self) { return self->tmp_dir; }

/* ---- putting --------------------------------------------------------------------------------- */

struct blob_job {
    struct disk_job job;
    struct hash hash;
    char *path;
    char *from; /* a file to write to or to adopt */
    bool adopt;
    struct buf bytes;
    store_blob_fn *done;
    void *arg;
};

static int sync_file(const struct disk_ops *ops, const char *path, struct err *err)
{
    int fd = ops->open(ops->self, path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return err_set(err, ERR_IO, "open %s: %m", path);
    int rc = ops->sync(ops->self, fd) ? err_set(err, ERR_UNAVAILABLE, "sync %s: %m", path) : 0;
    (void)ops->close(ops->self, fd);
    return rc;
}

static void run_blob(struct disk_job *job, struct segments *log)
{
    struct blob_job *self = (struct blob_job *)job;
    const struct disk_ops *ops = log->ops;
    if (file_exists(self->path)) {
        /* Used just now; and its name may not be on disk yet. */
        (void)utimensat(AT_FDCWD, self->path, NULL, 0);
        if (disk_sync_parent(ops, self->path, &job->err) == 0 && self->adopt)
            (void)ops->unlink(ops->self, self->from);
    } else if (!self->adopt) {
        (void)!disk_place_file(ops, self->from, self->path, self->bytes.data, self->bytes.len,
                               &job->err);
    } else if (sync_file(ops, self->from, &job->err) == 0) {
        (void)!disk_place_name(ops, self->from, self->path, &job->err);
    }
}

static void done_blob(struct disk_job *job)
{
    struct blob_job *self = (struct blob_job *)job;
    if (self->done)
        self->done(self->arg, &job->err, &self->hash);
    buf_fini(&self->bytes);
    free(self->path);
    free(self->from);
    free(self);
}

static struct blob_job *new_blob_job(const struct store *self, const struct hash *hash,
                                     const char *ext)
{
    struct blob_job *job = mem_new(sizeof *job);
    job->job.run = run_blob;
    job->job.done = done_blob;
    job->hash = *hash;
    job->path = store_blob_path(self, hash, ext);
    return job;
}

void store_put_blob(struct store *self, const void *bytes, size_t len, const char *ext,
                    store_blob_fn *done, void *arg)
{
    struct hash hash = hash_of(bytes, len);
    struct blob_job *job = new_blob_job(self, &hash, ext);
    job->from = mem_printf("%s/put-%" PRIu64, self->tmp_dir, ++self->put_count);
    buf_append(&job->bytes, bytes, len);
    job->done = done;
    job->arg = arg;
    disk_submit(self->disk, &job->job);
}

void store_adopt_blob(struct store *self, const char *path, const struct hash *hash,
                      const char *ext, store_blob_fn *done, void *arg)
{
    struct blob_job *job = new_blob_job(self, hash, ext);
    job->from = mem_strdup(path);
    job->adopt = true;
    job->done = done;
    job->arg = arg;
    disk_submit(self->disk, &job->job);
}

/* ---- collecting ------------------------------------------------------------------------------ */

/* What was put so lately may belong to a document that is not written yet. */
#define YOUNG_S 3600

void store_pin_blob(struct store *self, const struct hash *hash)
{
    for (size_t i = 0; i < self->pin_count; i++) {
        if (memcmp(&self->pins[i].hash, hash, sizeof *hash) == 0) {
            self->pins[i].count++;
            return;
        }
    }
    self->pins = mem_grow(self->pins, &self->pin_room, self->pin_count + 1, sizeof *self->pins);
    self->pins[self->pin_count++] = (struct pin){.hash = *hash, .count = 1};
}

void store_unpin_blob(struct store *self, const struct hash *hash)
{
    for (size_t i = 0; i < self->pin_count; i++) {
        if (memcmp(&self->pins[i].hash, hash, sizeof *hash) != 0)
            continue;
        if (--self->pins[i].count == 0)
            self->pins[i] = self->pins[--self->pin_count];
        return;
    }
    assert(false && "a blob is unpinned that was not pinned");
}

struct found_blob {
    char *path;
    uint64_t bytes;
    int64_t used_s;
    bool kept;
};

struct gc_job {
    struct disk_job job;
    struct store *store;
    char *dir; /* DIR/blobs */
    uint64_t cap_bytes, before_bytes, after_bytes;
    struct hash *kept; /* sorted */
    size_t kept_count, kept_room;
    struct found_blob *found;
    size_t found_count, found_room;
    store_gc_fn *done;
    void *arg;
};

static void keep_blob(void *arg, const struct hash *hash)
{
    struct gc_job *self = arg;
    self->kept = mem_grow(self->kept, &self->kept_room, self->kept_count + 1, sizeof *self->kept);
    self->kept[self->kept_count++] = *hash;
}

static int by_hash(const void *a, const void *b) { return memcmp(a, b, sizeof(struct hash)); }

static int by_use(const void *a, const void *b)
{
    const struct found_blob *x = a, *y = b;
    return (x->used_s > y->used_s) - (x->used_s < y->used_s);
}

static void find_blob(struct gc_job *self, int folder, const char *dir, const char *name)
{
    struct stat st;
    struct hash hash;
    if (strlen(name) < HASH_HEX - 1 || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) ||
        !S_ISREG(st.st_mode))
        return;
    owned_mem char *hex = mem_strndup(name, HASH_HEX - 1);
    if (hash_from_hex(&hash, hex))
        return;
    self->found =
        mem_grow(self->found, &self->found_room, self->found_count + 1, sizeof *self->found);
    self->found[self->found_count++] = (struct found_blob){
        .path = mem_printf("%s/%s", dir, name),
        .bytes = (uint64_t)st.st_size,
        .used_s = st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime,
        .kept = st.st_mtime > time(NULL) - YOUNG_S ||
                (self->kept_count > 0 &&
                 bsearch(&hash, self->kept, self->kept_count, sizeof hash, by_hash))};
    self->before_bytes += (uint64_t)st.st_size;
}

static void find_blobs(struct gc_job *self)
{
    for (unsigned i = 0; i < 256; i++) {
        owned_mem char *dir = mem_printf("%s/%02x", self->dir, i);
        DIR *folder = opendir(dir);
        const struct dirent *at;
        while (folder && (at = readdir(folder)) != NULL)
            find_blob(self, dirfd(folder), dir, at->d_name);
        if (folder)
            closedir(folder);
    }
}

static void run_gc(struct disk_job *job, struct segments *log)
{
    struct gc_job *self = (struct gc_job *)job;
    find_blobs(self);
    if (self->found_count > 0)
        qsort(self->found, self->found_count, sizeof *self->found, by_use);
    self->after_bytes = self->before_bytes;
    for (size_t i = 0; i < self->found_count && self->after_bytes > self->cap_bytes; i++) {
        const struct found_blob *blob = &self->found[i];
        if (!blob->kept && log->ops->unlink(log->ops->self, blob->path) == 0)
            self->after_bytes -= blob->bytes;
    }
}

static void done_gc(struct disk_job *job)
{
    struct gc_job *self = (struct gc_job *)job;
    self->store->blob_bytes = self->after_bytes;
    self->store->blobs_gone_bytes += self->before_bytes - self->after_bytes;
    if (self->done)
        self->done(self->arg, self->before_bytes, self->after_bytes);
    for (size_t i = 0; i < self->found_count; i++)
        free(self->found[i].path);
    free(self->found);
    free(self->kept);
    free(self->dir);
    free(self);
}

static bool keep_doc(void *arg, const struct doc *doc)
{
    doc_each_blob(doc, keep_blob, arg);
    return true;
}

void store_collect_blobs(struct store *self, uint64_t cap_bytes, store_gc_fn *done, void *arg)
{
    struct gc_job *job = mem_new(sizeof *job);
    job->job.run = run_gc;
    job->job.done = done_gc;
    job->store = self;
    job->dir = mem_printf("%s/blobs", self->dir);
    job->cap_bytes = cap_bytes;
    job->done = done;
    job->arg = arg;
    store_each_unsealed(self, keep_doc, job);
    for (size_t i = 0; i < self->pin_count; i++)
        keep_blob(job, &self->pins[i].hash);
    if (job->kept_count > 0)
        qsort(job->kept, job->kept_count, sizeof *job->kept, by_hash);
    disk_submit(self->disk, &job->job);
}

/* ---- temporary files ------------------------------------------------------------------------- */

struct remove_job {
    struct disk_job job;
    char *path;
};

static void run_remove(struct disk_job *job, struct segments *log)
{
    (void)log;
    struct remove_job *self = (struct remove_job *)job;
    (void)!file_remove_tree(self->path, &job->err);
}

static void done_remove(struct disk_job *job)
{
    struct remove_job *self = (struct remove_job *)job;
    if (job->err.code != ERR_NONE)
        log_warn("staging_not_removed", "%s", job->err.text);
    free(self->path);
    free(self);
}

void store_remove_tmp(struct store *self, const char *path)
{
    assert(strncmp(path, self->tmp_dir, strlen(self->tmp_dir)) == 0);
    struct remove_job *job = mem_new(sizeof *job);
    job->job.run = run_remove;
    job->job.done = done_remove;
    job->path = mem_strdup(path);
    disk_submit(self->disk, &job->job);
}
