/* Sealed documents: one file each, written once, named by what it holds. */
#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "node/store/store_inner.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEALED_MAX_BYTES (1u << 30)

static void quarantine(struct store *self, const char *path, const char *file)
{
    const char *name = strrchr(file, '/');
    owned_mem char *to = mem_printf("%s/quarantine/%s", self->dir, name ? name + 1 : file);
    (void)self->ops->rename(self->ops->self, path, to);
    store_note_damage(self);
}

struct doc *store_read_sealed(struct store *self, const char *file, struct err *err)
{
    owned_mem char *path = mem_printf("%s/evals/%s", self->dir, file);
    owned_buf text = BUF_INIT;
    const char *name = strrchr(file, '/');
    uint64_t id = 0, digest = 0;
    if (file_read(path, SEALED_MAX_BYTES, &text, err))
        return NULL;
    struct doc *doc = doc_decode(buf_str(&text), text.len, err);
    if (doc && entry_file_parse(name ? name + 1 : file, &id, &digest) && doc->id == id &&
        doc->digest == digest)
        return doc;
    doc_free(doc);
    err_set(err, ERR_CORRUPT, "%s does not hold what its name says", file);
    log_error("store_sealed_damaged", "file=%s", file);
    quarantine(self, path, file);
    return NULL;
}

struct doc *store_load(struct store *self, struct entry *entry, struct err *err)
{
    if (entry->doc)
        return entry->doc;
    entry->doc = store_read_sealed(self, entry->file, err);
    if (!entry->doc)
        store_lose(self, entry);
    return entry->doc;
}

void store_uncache(struct store *self, const struct entry *entry)
{
    for (size_t i = 0; i < STORE_CACHED; i++)
        if (self->cached[i] == entry)
            self->cached[i] = NULL;
}

void store_cache(struct store *self, struct entry *entry)
{
    size_t at = 0;
    while (at < STORE_CACHED - 1 && self->cached[at] && self->cached[at] != entry)
        at++;
    struct entry *out = self->cached[at];
    if (out && out != entry) {
        doc_free(out->doc);
        out->doc = NULL;
    }
    memmove(&self->cached[1], &self->cached[0], at * sizeof(struct entry *));
    self->cached[0] = entry;
}

/* ---- writing --------------------------------------------------------------------------------- */

struct seal_job {
    struct disk_job job;
    struct store *store;
    uint64_t id, digest;
    char *file;   /* "2026-11/…" */
    char *old[2]; /* paths of files that this one replaces; or NULL */
    struct buf text;
};

static void append_index(const struct store *store, const struct buf *line)
{
    const struct disk_ops *ops = store->ops;
    owned_mem char *path = mem_printf("%s/evals/index.jsonl", store->dir);
    int fd = ops->open(ops->self, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct err err = ERR_INIT;
    if (fd >= 0) {
        (void)!disk_write(ops, fd, line->data, line->len, &err); /* can be made again */
        (void)ops->close(ops->self, fd);
    }
}

static void run_seal(struct disk_job *job, struct segments *log)
{
    struct seal_job *self = (struct seal_job *)job;
    const struct disk_ops *ops = log->ops;
    owned_mem char *path = mem_printf("%s/evals/%s", self->store->dir, self->file);
    owned_mem char *tmp = mem_printf("%s.tmp", path);
    owned_mem char *month = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    if (disk_make_dir(ops, month, &job->err) ||
        disk_place_file(ops, tmp, path, self->text.data, self->text.len, &job->err))
        return;
    append_index(self->store, &job->line);
    for (size_t i = 0; i < countof(self->old); i++)
        if (self->old[i])
            (void)ops->unlink(ops->self, self->old[i]);
}

static void finish_entry(struct store *store, struct entry *entry, struct seal_job *job)
{
    entry->sealing = false;
    if (job->job.err.code != ERR_NONE) { /* it is in the log; the next start tries again */
        log_warn("store_seal_failed", "id=%" PRIu64 " why=%s", job->id, job->job.err.text);
        return;
    }
    free(entry->file);
    entry->file = steal_ptr(&job->file);
    mem_free_at(&entry->stale);
    if (!entry->doc || entry->doc->digest != job->digest) {
        store_seal(store, entry);
        return;
    }
    entry->final = true;
    entry_derive(entry);
    store_cache(store, entry);
}

static void done_seal(struct disk_job *job)
{
    struct seal_job *self = (struct seal_job *)job;
    finish_entry(self->store, entries_find(&self->store->entries, self->id), self);
    buf_fini(&self->text);
    buf_fini(&job->line);
    free(self->file);
    free(self->old[0]);
    free(self->old[1]);
    free(self);
}

static char *replaced(const struct store *self, const char *file, const char *by)
{
    return file && strcmp(file, by) != 0 ? mem_printf("%s/evals/%s", self->dir, file) : NULL;
}

void store_seal(struct store *self, struct entry *entry)
{
    if (entry->sealing || entry->final || !doc_is_final(entry->doc))
        return;
    struct seal_job *job = mem_new(sizeof *job);
    job->job.run = run_seal;
    job->job.done = done_seal;
    job->store = self;
    job->id = entry->shown.id;
    job->digest = entry->doc->digest;
    job->file = entry_file_name(entry->doc);
    job->old[0] = replaced(self, entry->file, job->file);
    job->old[1] = replaced(self, entry->stale, job->file);
    doc_encode(entry->doc, &job->text);
    buf_putc(&job->text, '\n');
    entry_derive(entry);
    owned_buf json = BUF_INIT;
    char *file = entry->file;
    entry->file = job->file; /* the line is about the file to come */
    entry_encode(entry, &json);
    entry->file = file;
    line_encode(json.data, json.len, &job->job.line);
    entry->sealing = true;
    disk_submit(self->disk, &job->job);
}
