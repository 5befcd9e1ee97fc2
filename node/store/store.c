#include "node/store/store.h"

#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "node/store/nodefile.h"
#include "node/store/store_inner.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAMAGE_FILE "DAMAGED"

/* ---- opening --------------------------------------------------------------------------------- */

static int take_lock(struct store *self, struct err *err)
{
    owned_mem char *path = mem_printf("%s/LOCK", self->dir);
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lock_fd < 0)
        return err_set(err, ERR_IO, "open %s: %m", path);
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, ERR_CONFLICT,
                       "another node has %s open: stop it, or give this one another --data folder",
                       self->dir);
    return err_set(err, ERR_IO, "lock %s: %m", path);
}

static int make_blob_dirs(struct store *self, struct err *err)
{
    owned_mem char *blobs = mem_printf("%s/blobs", self->dir);
    if (disk_make_dir(self->ops, blobs, err) || disk_make_dir(self->ops, self->tmp_dir, err))
        return err->code;
    for (unsigned i = 0; i < 256; i++) {
        owned_mem char *path = mem_printf("%s/%02x", blobs, i);
        if (self->ops->mkdir(self->ops->self, path, 0700) && errno != EEXIST)
            return err_set(err, ERR_UNAVAILABLE, "make folder %s: %m", path);
    }
    if (self->ops->sync_dir(self->ops->self, blobs))
        return err_set(err, ERR_UNAVAILABLE, "sync %s: %m", blobs);
    return 0;
}

static int make_layout(struct store *self, struct err *err)
{
    static const char *const names[] = {"log", "snap", "evals", "quarantine"};
    if (file_remove_tree(self->tmp_dir, err))
        return err->code;
    for (size_t i = 0; i < countof(names); i++) {
        owned_mem char *path = mem_printf("%s/%s", self->dir, names[i]);
        if (disk_make_dir(self->ops, path, err))
            return err->code;
    }
    return make_blob_dirs(self, err);
}

static void stop_writing(struct store *self, const struct err *why)
{
    if (self->failed)
        return;
    self->failed = true;
    self->why = *why;
    log_error("store_stopped", "why=%s", why->text);
}

/* Whatever of the log was read is written anew, into files whose syncs this process has seen: after
 * a crash or a failed sync nobody knows which of the old bytes are more than the page cache's. */
static void compact_at_start(struct store *self, uint64_t number)
{
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    store_encode_snapshot(self, &text);
    if (segments_snapshot(&self->log, number, text.data, text.len, &err) == 0)
        return;
    self->log.failed = true;
    self->log.why = err;
    stop_writing(self, &err);
}

static char *damage_path(const struct store *self)
{
    return mem_printf("%s/" DAMAGE_FILE, self->dir);
}

static int recover(struct store *self, uint64_t *number, bool *compact, struct err *err)
{
    owned_mem char *damage = damage_path(self);
    self->repairing = file_exists(damage); /* in an earlier life, and nobody has said otherwise */
    return store_recover(self, number, compact, err);
}

static int open_store(struct store *self, const struct store_options *options, struct err *err)
{
    const char *cluster = options->cluster ? options->cluster : "testmesh";
    uint64_t number;
    bool compact;
    if (strlen(cluster) > 63)
        return err_set(err, ERR_INVALID, "the cluster's name has more than 63 bytes");
    if (file_make_dirs(self->dir, 0700, err) || take_lock(self, err) ||
        nodefile_start(self->ops, self->dir, cluster, clock_wall_ms() / 1000, &self->identity,
                       err) ||
        make_layout(self, err) || recover(self, &number, &compact, err))
        return err->code;
    segments_init(&self->log, self->ops, self->dir, number,
                  options->segment_bytes ? options->segment_bytes : 16u << 20);
    if (compact)
        compact_at_start(self, number);
    durations_load(self);
    self->disk = disk_start(options->base, &self->log, err);
    return self->disk ? 0 : err->code;
}

static void free_store(struct store *self)
{
    if (self->disk)
        disk_stop(self->disk);
    if (self->log.ops)
        segments_fini(&self->log);
    entries_fini(&self->entries);
    durations_fini(&self->durations);
    free(self->pins);
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    free(self->tmp_dir);
    free(self->dir);
    free(self);
}

struct store *store_open(const struct store_options *options, struct err *err)
{
    struct store *self = mem_new(sizeof *self);
    self->dir = mem_strdup(options->dir);
    self->tmp_dir = mem_printf("%s/blobs/tmp", options->dir);
    self->ops = options->ops ? options->ops : &disk_ops_system;
    self->compact_bytes = options->compact_bytes ? options->compact_bytes : 64u << 20;
    self->lock_fd = -1;
    self->append = HISTOGRAM_SHORT;
    if (open_store(self, options, err)) {
        err_wrap(err, "store");
        free_store(self);
        return NULL;
    }
    for (size_t i = 0; i < self->entries.count; i++)
        if (self->entries.order[i]->doc)
            store_seal(self, self->entries.order[i]);
    return self;
}

void store_close(struct store *self)
{
    if (self)
        free_store(self);
}

void store_flush(struct store *self) { disk_flush(self->disk); }

const struct store_identity *store_identity(const struct store *self) { return &self->identity; }

int store_raise_generation(struct store *self, uint64_t gen, struct err *err)
{
    int rc = nodefile_raise(self->ops, self->dir, gen, err);
    if (rc == 0 && self->identity.gen < gen)
        self->identity.gen = gen;
    return rc;
}

bool store_writable(const struct store *self, const char **why)
{
    if (self->failed && why)
        *why = self->why.text;
    return !self->failed;
}

/* ---- damage ---------------------------------------------------------------------------------- */

void store_note_damage(struct store *self)
{
    static const char text[] = "Acknowledged records were damaged: see quarantine/.\n";
    if (self->repairing)
        return;
    owned_mem char *path = damage_path(self);
    owned_mem char *tmp = mem_printf("%s.tmp", path);
    struct err err = ERR_INIT;
    self->repairing = true;
    if (disk_place_file(self->ops, tmp, path, text, sizeof text - 1, &err))
        log_warn("store_damage_note", "why=%s", err.text);
}

bool store_repairing(const struct store *self) { return self->repairing; }

void store_repaired(struct store *self)
{
    owned_mem char *path = damage_path(self);
    if (!self->repairing)
        return;
    self->repairing = false;
    if ((self->ops->unlink(self->ops->self, path) && errno != ENOENT) ||
        self->ops->sync_dir(self->ops->self, self->dir))
        log_warn("store_damage_note", "why=remove %s: %m", path);
}

/* ---- appending ------------------------------------------------------------------------------- */

struct apply_job {
    struct disk_job job;
    struct store *store;
    struct delta delta;
    uint64_t began_us;
    store_done_fn *done;
    void *arg;
};

static void run_refusal(struct disk_job *job, struct segments *log)
{
    (void)log;
    err_set(&job->err, ERR_TOO_LARGE, "a record of more than %u bytes", LINE_MAX_BYTES);
}

static void finish_apply(struct store *store, struct apply_job *self)
{
    struct disk_job *job = &self->job;
    struct entry *entry = NULL;
    unsigned changed = 0;
    if (job->err.code == ERR_NONE) {
        store->log_bytes += job->line.len;
        histogram_add(&store->append, clock_mono_us() - self->began_us);
        (void)!store_join(store, &self->delta, &changed, &entry, &job->err);
    } else if (job->err.code == ERR_UNAVAILABLE) {
        stop_writing(store, &job->err);
    }
    store->records += job->err.code == ERR_NONE;
    store->records_failed += job->err.code != ERR_NONE;
    if (self->done)
        self->done(self->arg, &job->err, changed);
    if (!entry)
        return;
    if (changed && store->watch)
        store->watch(store->watch_arg, entry->doc, changed);
    if (entry->final && entry->doc)
        store_cache(store, entry);
    else if (entry->doc)
        store_seal(store, entry);
    store_compact(store);
}

static void done_apply(struct disk_job *job)
{
    struct apply_job *self = (struct apply_job *)job;
    finish_apply(self->store, self);
    delta_fini(&self->delta);
    buf_fini(&job->line);
    free(self);
}

void store_apply(struct store *self, const struct delta *delta, store_done_fn *done, void *arg)
{
    assert(delta->id > 0 && delta->id <= ID_EVAL_MAX);
    struct apply_job *job = mem_new(sizeof *job);
    owned_buf json = BUF_INIT;
    job->store = self;
    job->done = done;
    job->arg = arg;
    job->began_us = clock_mono_us();
    job->job.done = done_apply;
    delta_copy(delta, &job->delta);
    delta_encode(&job->delta, &json);
    if (json.len <= LINE_MAX_BYTES)
        line_encode(json.data, json.len, &job->job.line);
    else
        job->job.run = run_refusal;
    disk_submit(self->disk, &job->job);
}

void store_watch(struct store *self, store_watch_fn *fn, void *arg)
{
    self->watch = fn;
    self->watch_arg = arg;
}

/* ---- reading --------------------------------------------------------------------------------- */

bool store_has(const struct store *self, uint64_t id)
{
    return entries_find(&self->entries, id) != NULL;
}

const struct doc *store_find(struct store *self, uint64_t id, struct err *err)
{
    struct entry *entry = entries_find(&self->entries, id);
    if (!entry) {
        err_set(err, ERR_NOT_FOUND, "there is no evaluation %llu", (unsigned long long)id);
        return NULL;
    }
    const struct doc *doc = store_load(self, entry, err);
    if (doc && entry->final)
        store_cache(self, entry);
    return doc;
}

bool store_entry(struct store *self, uint64_t id, struct store_entry *out)
{
    struct entry *entry = entries_find(&self->entries, id);
    if (!entry)
        return false;
    entry_derive(entry);
    *out = entry->shown;
    return true;
}

void store_each(struct store *self, uint64_t before_ms, uint64_t before_id, store_each_fn *fn,
                void *arg)
{
    for (size_t i = entries_place(&self->entries, before_ms, before_id); i > 0; i--) {
        struct entry *entry = self->entries.order[i - 1];
        entry_derive(entry);
        if (!fn(arg, &entry->shown))
            return;
    }
}

size_t store_count(const struct store *self) { return self->entries.count; }

void store_each_unsealed(struct store *self, store_doc_fn *fn, void *arg)
{
    for (size_t i = 0; i < self->entries.count; i++) {
        const struct entry *entry = self->entries.order[i];
        if (entry->doc && !doc_is_final(entry->doc) && !fn(arg, entry->doc))
            return;
    }
}

void store_totals(struct store *self, struct totals *out)
{
    totals_begin(out);
    for (size_t i = 0; i < self->entries.count; i++) {
        struct entry *entry = self->entries.order[i];
        entry_derive(entry);
        totals_add(out, entry->shown.id, &entry->share);
    }
    totals_end(out);
}
