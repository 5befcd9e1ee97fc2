/* Compaction: the log so far is replaced by what it amounts to. The thread ends its segment first;
 * what had been appended by then has been joined when the loop hears of it, so that the documents
 * in memory cover every segment up to that one. */
#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "node/store/store_inner.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>

static void encode_piece(void *arg, const struct delta *piece)
{
    owned_buf json = BUF_INIT;
    delta_encode(piece, &json);
    if (json.len <= LINE_MAX_BYTES)
        line_encode(json.data, json.len, arg);
    else
        log_error("store_line_too_long", "id=%" PRIu64 " bytes=%zu", piece->id, json.len);
}

void store_encode_snapshot(struct store *self, struct buf *out)
{
    for (size_t i = 0; i < self->entries.count; i++) {
        const struct entry *entry = self->entries.order[i];
        if (!entry->final && entry->doc)
            doc_split(entry->doc, encode_piece, out);
    }
}

struct compact_job {
    struct disk_job job;
    struct store *store;
    uint64_t number;
    struct buf text;
};

static void run_snapshot(struct disk_job *job, struct segments *log)
{
    struct compact_job *self = (struct compact_job *)job;
    (void)!segments_snapshot(log, self->number, self->text.data, self->text.len, &job->err);
}

static void done_snapshot(struct disk_job *job)
{
    struct compact_job *self = (struct compact_job *)job;
    self->store->compacting = false;
    if (job->err.code != ERR_NONE)
        log_warn("store_compact_failed", "why=%s", job->err.text);
    buf_fini(&self->text);
    free(self);
}

static void run_rotate(struct disk_job *job, struct segments *log)
{
    struct compact_job *self = (struct compact_job *)job;
    segments_rotate(log);
    self->number = log->number;
}

static void done_rotate(struct disk_job *job)
{
    struct compact_job *self = (struct compact_job *)job;
    store_encode_snapshot(self->store, &self->text);
    self->store->log_bytes = 0;
    job->run = run_snapshot;
    job->done = done_snapshot;
    disk_submit(self->store->disk, job);
}

void store_compact(struct store *self)
{
    if (self->compacting || self->failed || self->log_bytes < self->compact_bytes)
        return;
    struct compact_job *job = mem_new(sizeof *job);
    job->store = self;
    job->job.run = run_rotate;
    job->job.done = done_rotate;
    self->compacting = true;
    disk_submit(self->disk, &job->job);
}
