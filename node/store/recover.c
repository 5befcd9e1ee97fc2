/* Recovery: what a started node knows. Documents are joins of deltas, so that it does not matter in
 * which order snapshots and segments are read, or that some say the same. */
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "node/store/store_inner.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define LOG_FILE_MAX_BYTES ((size_t)4 << 30)

static bool is_dot(const char *name) { return name[0] == '.'; }

static bool ends_in_tmp(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".tmp") == 0;
}

/* ---- sealed documents ------------------------------------------------------------------------ */

static void join_piece(void *arg, const struct delta *piece)
{
    unsigned changed;
    struct err err = ERR_INIT;
    if (doc_apply(arg, piece, &changed, &err))
        log_error("store_join", "why=%s", err.text);
}

/* Two files for one evaluation: the power went between writing one and removing the other. */
static void join_files(struct store *self, struct entry *entry, const char *file)
{
    struct err err = ERR_INIT;
    struct doc *other = store_read_sealed(self, file, &err);
    if (!other)
        return;
    if (store_load(self, entry, &err)) {
        doc_split(other, join_piece, entry->doc);
        doc_free(other);
        entry->stale = mem_strdup(file);
    } else {
        entry->doc = other;
        free(entry->file);
        entry->file = mem_strdup(file);
    }
    entry->final = false;
}

static void found_file(struct store *self, struct entries *indexed, const char *file)
{
    uint64_t id, digest;
    if (!entry_file_parse(file + 8, &id, &digest))
        return;
    struct entry *entry = entries_find(&self->entries, id);
    if (entry) {
        join_files(self, entry, file);
        return;
    }
    struct entry *known = entries_find(indexed, id);
    entry = entry_new(id);
    if (known && known->shown.digest == digest && strcmp(known->file, file) == 0) {
        struct entry empty = *entry;
        *entry = *known;
        *known = empty;
        known->shown = entry->shown; /* stays in its place in the order */
        known->shown.name = "";
    } else {
        entry->file = mem_strdup(file);
        entry->final = true;
        struct err err = ERR_INIT;
        if (!store_load(self, entry, &err)) {
            entry_free(entry);
            return;
        }
        entry_derive(entry);
        doc_free(entry->doc);
        entry->doc = NULL;
    }
    entries_add(&self->entries, entry);
}

static void found_month(struct store *self, struct entries *indexed, const char *month)
{
    owned_mem char *path = mem_printf("%s/evals/%s", self->dir, month);
    DIR *folder = opendir(path);
    const struct dirent *at;
    while (folder && (at = readdir(folder)) != NULL) {
        owned_mem char *file = mem_printf("%s/%s", month, at->d_name);
        if (ends_in_tmp(at->d_name)) {
            owned_mem char *half = mem_printf("%s/%s", path, at->d_name);
            (void)self->ops->unlink(self->ops->self, half);
        } else if (!is_dot(at->d_name)) {
            found_file(self, indexed, file);
        }
    }
    if (folder)
        closedir(folder);
}

/* Returns how many lines there were. */
static size_t read_index(const struct store *self, struct entries *indexed)
{
    owned_mem char *path = mem_printf("%s/evals/index.jsonl", self->dir);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    if (file_read(path, LOG_FILE_MAX_BYTES, &text, &err))
        return 0;
    struct line_scan scan;
    const char *json;
    size_t len;
    line_scan_init(&scan, text.data, text.len);
    while (line_scan_next(&scan, &json, &len)) {
        struct entry *entry = entry_decode(json, len);
        struct entry *old = entry ? entries_find(indexed, entry->shown.id) : NULL;
        if (old) {
            struct entry was = *old;
            uint64_t created_ms = entry->shown.created_ms;
            *old = *entry; /* a later line is about a later file */
            *entry = was;
            old->shown.created_ms = was.shown.created_ms;
            entries_move(indexed, old, created_ms);
            entry_free(entry);
        } else if (entry) {
            entries_add(indexed, entry);
        }
    }
    return scan.good_count;
}

static void write_index(struct store *self)
{
    owned_buf text = BUF_INIT;
    for (size_t i = 0; i < self->entries.count; i++) {
        const struct entry *entry = self->entries.order[i];
        if (!entry->final)
            continue;
        owned_buf json = BUF_INIT;
        entry_encode(entry, &json);
        line_encode(json.data, json.len, &text);
    }
    owned_mem char *path = mem_printf("%s/evals/index.jsonl", self->dir);
    owned_mem char *tmp = mem_printf("%s/evals/index.tmp", self->dir);
    struct err err = ERR_INIT;
    if (disk_place_file(self->ops, tmp, path, text.data, text.len, &err))
        log_warn("store_index", "why=%s", err.text);
}

static void recover_sealed(struct store *self)
{
    struct entries indexed = {0};
    size_t lines = read_index(self, &indexed);
    owned_mem char *path = mem_printf("%s/evals", self->dir);
    DIR *folder = opendir(path);
    const struct dirent *at;
    while (folder && (at = readdir(folder)) != NULL)
        if (strlen(at->d_name) == 7 && at->d_name[4] == '-')
            found_month(self, &indexed, at->d_name);
    if (folder)
        closedir(folder);
    entries_fini(&indexed);
    if (lines != self->entries.count)
        write_index(self);
}

/* ---- the log --------------------------------------------------------------------------------- */

int store_join(struct store *self, const struct delta *delta, unsigned *changed, struct entry **out,
               struct err *err)
{
    struct entry *entry = entries_find(&self->entries, delta->id);
    if (!entry) {
        entry = entry_new(delta->id);
        entries_add(&self->entries, entry);
    }
    *out = entry;
    struct err why = ERR_INIT;
    if (!entry->doc && entry->final)
        store_load(self, entry, &why);
    if (!entry->doc) {
        entry->doc = doc_new(delta->id);
        entry->final = entry->lost = false;
    }
    int rc = doc_apply(entry->doc, delta, changed, err);
    if (!rc && *changed && entry->final) {
        entry->final = false;
        store_uncache(self, entry);
    }
    if (entry->doc->req && entry->shown.created_ms != entry->doc->req->created_ms)
        entries_move(&self->entries, entry, entry->doc->req->created_ms);
    store_count_digest(self, entry);
    return rc;
}

static bool replay_line(struct store *self, const char *json, size_t len)
{
    struct err err = ERR_INIT;
    owned_delta delta = {0};
    struct entry *entry;
    unsigned changed;
    if (delta_decode(json, len, &delta, &err)) {
        log_error("store_record_unreadable", "why=%s", err.text);
        return false;
    }
    if (store_join(self, &delta, &changed, &entry, &err))
        log_warn("store_record_refused", "why=%s", err.text);
    return true;
}

static int keep_damaged(struct store *self, const char *path, const struct buf *bytes,
                        struct err *err)
{
    const char *folder = strstr(path, "/snap/") ? "snap" : "log";
    owned_mem char *copy =
        mem_printf("%s/quarantine/%s-%s", self->dir, folder, strrchr(path, '/') + 1);
    owned_mem char *tmp = mem_printf("%s.tmp", copy);
    store_note_damage(self);
    log_error("store_damaged", "file=%s copy=%s", path, copy);
    return disk_place_file(self->ops, tmp, copy, bytes->data, bytes->len, err);
}

static int replay_file(struct store *self, const char *path, bool newest, struct err *err)
{
    owned_buf text = BUF_INIT;
    if (file_read(path, LOG_FILE_MAX_BYTES, &text, err))
        return err->code;
    struct line_scan scan;
    const char *json;
    size_t len;
    bool readable = true;
    line_scan_init(&scan, text.data, text.len);
    while (line_scan_next(&scan, &json, &len))
        readable = replay_line(self, json, len) && readable;
    size_t tail = text.len - scan.good_end;
    if (newest && tail > 0)
        log_info("store_torn_tail", "file=%s bytes=%zu", path, tail);
    if (scan.bad_bytes > 0 || !readable || (tail > 0 && !newest))
        return keep_damaged(self, path, &text, err);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Replays the numbered files of one folder in their order. */
static int replay_dir(struct store *self, const char *name, bool is_log, uint64_t *largest,
                      size_t *count, struct err *err)
{
    owned_mem char *path = mem_printf("%s/%s", self->dir, name);
    owned_mem uint64_t *numbers = NULL;
    size_t room = 0;
    *count = 0;
    DIR *folder = opendir(path);
    const struct dirent *at;
    while (folder && (at = readdir(folder)) != NULL) {
        uint64_t number = segments_number_of(at->d_name);
        if (number > 0) {
            numbers = mem_grow(numbers, &room, *count + 1, sizeof *numbers);
            numbers[(*count)++] = number;
        }
    }
    if (folder)
        closedir(folder);
    if (*count > 0)
        qsort(numbers, *count, sizeof *numbers, by_number);
    for (size_t i = 0; i < *count; i++) {
        owned_mem char *file = segments_path(path, numbers[i]);
        if (replay_file(self, file, is_log && i + 1 == *count, err))
            return err->code;
        *largest = numbers[i] > *largest ? numbers[i] : *largest;
    }
    return 0;
}

/* Documents that came into memory only to be joined with what they had already. */
static void drop_unchanged(struct store *self)
{
    for (size_t i = 0; i < self->entries.count; i++) {
        struct entry *entry = self->entries.order[i];
        if (entry->final && entry->doc) {
            doc_free(entry->doc);
            entry->doc = NULL;
        }
    }
}

int store_recover(struct store *self, uint64_t *number, bool *compact, struct err *err)
{
    size_t snaps, segments;
    *number = 0;
    recover_sealed(self);
    if (replay_dir(self, "snap", false, number, &snaps, err) ||
        replay_dir(self, "log", true, number, &segments, err))
        return err->code;
    for (size_t i = 0; i < self->entries.count; i++)
        store_count_digest(self, self->entries.order[i]);
    drop_unchanged(self);
    *compact = segments > 0 || snaps > 1 || self->repairing;
    return 0;
}
