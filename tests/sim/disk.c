/* The disk of a node: a log whose lines are durable when they are synced, and what its readers see.
 *
 * Lines are bytes as in the real log (node/store/line.h): what a crash leaves of them is found by
 * the real scanner. */
#include "tests/sim/sim.h"

#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

static void *copy(const void *bytes, size_t len)
{
    void *to = mem_new(len + 1);
    return len > 0 ? memcpy(to, bytes, len) : to;
}

void disk_init(struct sim *self, struct sim_node *node)
{
    node->disk = (struct sim_disk){0};
    rand_init(&node->disk.rand, sim_hash3(self->options.seed, 5, node->index, self->disks_lost));
}

void disk_fini(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->doc_count; i++)
        doc_free(disk->docs[i]);
    for (size_t i = 0; i < disk->line_count; i++)
        free(disk->lines[i].bytes);
    free(disk->docs);
    free(disk->lines);
    free(disk->blobs);
    *disk = (struct sim_disk){0};
}

/* ---- what readers see ------------------------------------------------------------------------ */

struct doc *disk_find(const struct sim_disk *disk, uint64_t eval)
{
    for (size_t i = 0; i < disk->doc_count; i++)
        if (disk->docs[i]->id == eval)
            return disk->docs[i];
    return NULL;
}

static const struct doc *docs_find_fn(void *arg, uint64_t id)
{
    const struct sim_node *node = arg;
    return disk_find(&node->disk, id);
}

static void info_of(const struct doc *doc, struct docs_info *out)
{
    *out = (struct docs_info){.id = doc->id,
                              .digest = doc->digest,
                              .created_ms = doc->req ? doc->req->created_ms : 0,
                              .is_final = doc_is_final(doc)};
}

static bool docs_info_fn_(void *arg, uint64_t id, struct docs_info *out)
{
    const struct sim_node *node = arg;
    const struct doc *doc = disk_find(&node->disk, id);
    if (doc)
        info_of(doc, out);
    return doc != NULL;
}

static void docs_each_open_fn(void *arg, docs_doc_fn *fn, void *fn_arg)
{
    const struct sim_node *node = arg;
    for (size_t i = 0; i < node->disk.doc_count; i++)
        if (!doc_is_final(node->disk.docs[i]))
            fn(fn_arg, node->disk.docs[i]);
}

static void docs_each_fn(void *arg, docs_info_fn *fn, void *fn_arg)
{
    const struct sim_node *node = arg;
    for (size_t i = 0; i < node->disk.doc_count; i++) {
        struct docs_info info;
        info_of(node->disk.docs[i], &info);
        fn(fn_arg, &info);
    }
}

static const uint64_t *docs_buckets_fn(void *arg)
{
    const struct sim_node *node = arg;
    return node->disk.buckets;
}

static bool docs_has_blob_fn(void *arg, const struct hash *blob)
{
    const struct sim_node *node = arg;
    return disk_has_blob(&node->disk, blob);
}

struct docs disk_docs(struct sim_node *node)
{
    return (struct docs){.find = docs_find_fn,
                         .info = docs_info_fn_,
                         .each_open = docs_each_open_fn,
                         .each = docs_each_fn,
                         .buckets = docs_buckets_fn,
                         .has_blob = docs_has_blob_fn,
                         .arg = node};
}

/* ---- appends --------------------------------------------------------------------------------- */

uint64_t disk_sync_us(struct sim *self, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (self->is_calm)
        return sim_draw(&disk->rand, 100, 5 * SIM_MS);
    if (sim_chance(&disk->rand, self->swarm.slow_sync_ppm)) {
        SOMETIMES(SLOW_SYNC);
        return sim_draw(&disk->rand, 100 * SIM_MS, 2 * SIM_S);
    }
    return sim_draw(&disk->rand, 100, self->swarm.sync_us);
}

static void begin_sync(struct sim *self, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (disk->syncing > 0 || disk->line_count == 0)
        return;
    disk->syncing = disk->line_count;
    sim_push(self, &(struct sim_event){.at_us = self->now_us + disk_sync_us(self, node),
                                       .kind = SIM_SYNCED,
                                       .node = node->index,
                                       .life = node->life});
}

void disk_append(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_disk *disk = &node->disk;
    owned_buf json = BUF_INIT, line = BUF_INIT;
    delta_encode(effect->delta, &json);
    line_encode(buf_str(&json), json.len, &line);
    if (disk->line_count > 0 && disk->lines[disk->line_count - 1].token >= effect->token)
        check_violation(self, "I6", "%s: appends with tokens out of order", node->label);
    disk->lines =
        mem_grow(disk->lines, &disk->line_room, disk->line_count + 1, sizeof *disk->lines);
    disk->lines[disk->line_count] = (struct sim_line){.token = effect->token, .len = line.len};
    disk->lines[disk->line_count++].bytes = buf_steal(&line);
    begin_sync(self, node);
}

/* Joins one line's JSON into what is durable. */
static enum err_code join(struct sim *self, struct sim_node *node, const char *json, size_t len,
                          unsigned *changed)
{
    struct sim_disk *disk = &node->disk;
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    *changed = 0;
    if (delta_decode(json, len, &delta, &err) != 0) {
        check_violation(self, "I5", "%s appended what cannot be read: %s", node->label, err.text);
        return err.code;
    }
    struct doc *doc = disk_find(disk, delta.id);
    if (!doc) {
        doc = doc_new(delta.id);
        disk->docs =
            mem_grow(disk->docs, &disk->doc_room, disk->doc_count + 1, sizeof(struct doc *));
        disk->docs[disk->doc_count++] = doc;
    }
    uint64_t before = doc->digest;
    if (doc_apply(doc, &delta, changed, &err) != 0) {
        SOMETIMES(CONFLICT);
        return err.code;
    }
    disk->buckets[docs_bucket(doc->id)] ^= before ^ doc->digest;
    if (*changed)
        check_joined(self, node, doc, *changed);
    return ERR_NONE;
}

void disk_synced(struct sim *self, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    size_t count = disk->syncing;
    uint32_t life = node->life;
    struct sim_line *lines = copy(disk->lines, count * sizeof *lines);
    disk->line_count -= count;
    memmove(disk->lines, disk->lines + count, disk->line_count * sizeof *lines);
    disk->syncing = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned changed = 0;
        enum err_code code = ERR_UNAVAILABLE;
        if (node->life == life && !disk->has_failed)
            code = join(self, node, lines[i].bytes + LINE_HEAD, lines[i].len - LINE_HEAD - 1,
                        &changed);
        free(lines[i].bytes);
        if (disk->has_failed)
            SOMETIMES(DISK_FAILED);
        if (node->life == life)
            node_step(self, node,
                      &(struct mesh_event){.kind = MESH_APPENDED,
                                           .token = lines[i].token,
                                           .is_ok = code == ERR_NONE,
                                           .code = code,
                                           .changed = changed});
    }
    free(lines);
    if (node->life == life)
        begin_sync(self, node);
}

void disk_fail(struct sim *self, struct sim_node *node)
{
    SIM_CHART(self, "%s: its disk fails", node->label);
    node->disk.has_failed = true;
}

/* ---- a crash --------------------------------------------------------------------------------- */

/* What is left of the lines that were not synced: all of a process's that was killed; of a host
 * without power some, and perhaps one in part. */
static void tear(struct sim_disk *disk, bool is_power, struct buf *out)
{
    unsigned how = is_power ? (unsigned)rand_below(&disk->rand, 3) : 3;
    for (size_t i = 0; i < disk->line_count; i++)
        if (how != 1 || sim_chance(&disk->rand, 500000)) /* 1: pages in any order */
            buf_append(out, disk->lines[i].bytes, disk->lines[i].len);
        else
            SOMETIMES(LOG_HOLE);
    if (how == 0)
        buf_clear(out);
    if (how == 2 && out->len > 0)
        out->len = (size_t)rand_below(&disk->rand, out->len + 1);
}

void disk_crash(struct sim *self, struct sim_node *node, bool is_power)
{
    struct sim_disk *disk = &node->disk;
    owned_buf left = BUF_INIT;
    if (!disk->has_failed)
        tear(disk, is_power, &left);
    struct line_scan scan;
    line_scan_init(&scan, buf_str(&left), left.len);
    const char *json;
    size_t len, kept = 0;
    unsigned changed;
    for (; line_scan_next(&scan, &json, &len); kept++)
        (void)join(self, node, json, len, &changed);
    if (scan.good_end < left.len)
        SOMETIMES(TORN_TAIL);
    if (kept > 0)
        SOMETIMES(KEPT_WRITES);
    if (kept < disk->line_count)
        SOMETIMES(LOST_WRITES);
    for (size_t i = 0; i < disk->line_count; i++)
        free(disk->lines[i].bytes);
    disk->line_count = disk->syncing = 0;
    disk->has_failed = false;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

bool disk_has_blob(const struct sim_disk *disk, const struct hash *hash)
{
    for (size_t i = 0; i < disk->blob_count; i++)
        if (memcmp(&disk->blobs[i], hash, sizeof *hash) == 0)
            return true;
    return false;
}

void disk_add_blob(struct sim_disk *disk, const struct hash *hash)
{
    if (disk_has_blob(disk, hash))
        return;
    disk->blobs = mem_grow(disk->blobs, &disk->blob_room, disk->blob_count + 1, sizeof *hash);
    disk->blobs[disk->blob_count++] = *hash;
}

void disk_remove_blob(struct sim_disk *disk, const struct hash *hash)
{
    for (size_t i = 0; i < disk->blob_count; i++)
        if (memcmp(&disk->blobs[i], hash, sizeof *hash) == 0) {
            disk->blobs[i] = disk->blobs[--disk->blob_count];
            return;
        }
}

struct fetch {
    size_t blobs, sources, tries;
    /* hashes and ids follow */
};

void disk_fetch(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct fetch head = {effect->blob_count, effect->source_count, 0};
    size_t blob_bytes = head.blobs * sizeof *effect->blobs;
    size_t source_bytes = head.sources * sizeof *effect->sources;
    size_t len = sizeof head + blob_bytes + source_bytes;
    char *bytes = mem_new(len);
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, effect->blobs, blob_bytes);
    if (source_bytes > 0)
        memcpy(bytes + sizeof head + blob_bytes, effect->sources, source_bytes);
    sim_push(self,
             &(struct sim_event){.at_us = self->now_us + sim_draw(&node->rand, SIM_MS, 60 * SIM_MS),
                                 .kind = SIM_FETCHED,
                                 .node = node->index,
                                 .life = node->life,
                                 .a = effect->token,
                                 .bytes = bytes,
                                 .len = len});
}

static bool can_get(struct sim *self, struct sim_node *node, const struct hash *blob,
                    const uint64_t *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_node *from = node_by_id(self, sources[i]);
        if (from && from->is_up && from != node && disk_has_blob(&from->disk, blob) &&
            !self->paths[from->index][node->index].is_cut &&
            !self->paths[node->index][from->index].is_cut)
            return true;
    }
    return false;
}

void disk_fetched(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    struct fetch head;
    memcpy(&head, event->bytes, sizeof head);
    struct hash *blobs = copy((const char *)event->bytes + sizeof head,
                              head.blobs * sizeof *blobs + head.sources * sizeof(uint64_t));
    uint64_t *sources = copy(blobs + head.blobs, head.sources * sizeof *sources);
    bool ok = true;
    for (size_t i = 0; i < head.blobs; i++) {
        if (disk_has_blob(&node->disk, &blobs[i]))
            continue;
        if (!can_get(self, node, &blobs[i], sources, head.sources)) {
            ok = false;
            continue;
        }
        disk_add_blob(&node->disk, &blobs[i]);
        check_holds(self, node, &blobs[i]);
    }
    free(blobs);
    free(sources);
    SIM_CHART(self, "%s: %zu blobs from %zu sources %s", node->label, head.blobs, head.sources,
              ok ? "are here" : "could not be had");
    if (ok || head.tries >= 2) {
        if (ok)
            SOMETIMES(FETCHED);
        else
            SOMETIMES(FETCH_FAILED);
        node_step(self, node,
                  &(struct mesh_event){.kind = MESH_FETCHED, .token = event->a, .is_ok = ok});
        return;
    }
    struct sim_event again = *event;
    again.at_us = self->now_us + sim_draw(&node->rand, 200 * SIM_MS, 2 * SIM_S);
    again.bytes = mem_dup(event->bytes, event->len);
    head.tries++;
    memcpy(again.bytes, &head, sizeof head);
    sim_push(self, &again);
}
