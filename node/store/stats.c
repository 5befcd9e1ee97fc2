/* What the store tells of itself. */
#include "node/store/store_inner.h"

static void count_entry(const struct entry *entry, struct store_stats *out)
{
    bool is_open = entry->doc && !doc_is_final(entry->doc);
    uint64_t created_ms = is_open && entry->doc->req ? entry->doc->req->created_ms : 0;
    out->evaluations[entry->doc ? summary_status_of(entry->doc) : entry->shown.status]++;
    if (created_ms && (!out->oldest_open_ms || created_ms < out->oldest_open_ms))
        out->oldest_open_ms = created_ms;
}

void store_stats(const struct store *self, struct store_stats *out)
{
    *out = (struct store_stats){.log_bytes = self->log_bytes,
                                .writes_waiting = disk_outstanding(self->disk),
                                .records = self->records,
                                .records_failed = self->records_failed,
                                .append = self->append,
                                .blob_bytes = self->blob_bytes,
                                .blobs_gone_bytes = self->blobs_gone_bytes};
    for (size_t i = 0; i < self->entries.count; i++)
        count_entry(self->entries.order[i], out);
}
