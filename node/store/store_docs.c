#include "node/store/store_docs.h"

#include "node/own/docs.h"
#include "node/store/store_inner.h"

static void count_as(struct store *self, struct entry *entry, uint64_t digest)
{
    self->buckets[docs_bucket(entry->shown.id)] ^= entry->counted ^ digest;
    entry->counted = digest;
}

void store_count_digest(struct store *self, struct entry *entry)
{
    count_as(self, entry, entry->doc ? entry->doc->digest : entry->lost ? 0 : entry->shown.digest);
}

void store_lose(struct store *self, struct entry *entry)
{
    entry->lost = true;
    count_as(self, entry, 0);
}

static const struct doc *find(void *arg, uint64_t id)
{
    struct err err = ERR_INIT;
    return store_find(arg, id, &err);
}

static struct docs_info info_of(const struct entry *entry)
{
    return (struct docs_info){.id = entry->shown.id,
                              .digest = entry->counted,
                              .created_ms = entry->shown.created_ms,
                              .is_final = entry->doc ? doc_is_final(entry->doc)
                                                     : entry->final && !entry->lost};
}

static bool info(void *arg, uint64_t id, struct docs_info *out)
{
    const struct store *self = arg;
    const struct entry *entry = entries_find(&self->entries, id);
    if (entry)
        *out = info_of(entry);
    return entry && !entry->lost;
}

static void each_open(void *arg, docs_doc_fn *fn, void *fn_arg)
{
    const struct store *self = arg;
    for (size_t i = 0; i < self->entries.count; i++) {
        const struct entry *entry = self->entries.order[i];
        if (entry->doc && !doc_is_final(entry->doc))
            fn(fn_arg, entry->doc);
    }
}

static void each(void *arg, docs_info_fn *fn, void *fn_arg)
{
    const struct store *self = arg;
    for (size_t i = 0; i < self->entries.count; i++) {
        struct docs_info at = info_of(self->entries.order[i]);
        fn(fn_arg, &at);
    }
}

static const uint64_t *buckets(void *arg) { return ((const struct store *)arg)->buckets; }

static bool has_blob(void *arg, const struct hash *blob)
{
    return store_has_blob(arg, blob, "zst") || store_has_blob(arg, blob, STORE_EXT_SECRET);
}

void store_docs(struct store *self, struct docs *out)
{
    *out = (struct docs){.find = find,
                         .info = info,
                         .each_open = each_open,
                         .each = each,
                         .buckets = buckets,
                         .has_blob = has_blob,
                         .arg = self};
}
