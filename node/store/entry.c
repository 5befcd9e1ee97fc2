#include "node/store/entry.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct entry *entry_new(uint64_t id)
{
    struct entry *self = mem_new(sizeof *self);
    self->shown.id = id;
    self->shown.name = "";
    return self;
}

void entry_free(struct entry *self)
{
    if (!self)
        return;
    share_fini(&self->share);
    doc_free(self->doc);
    free(self->name);
    free(self->file);
    free(self->stale);
    free(self);
}

static void show(struct entry *self, const struct summary *summary)
{
    free(self->name);
    self->name = mem_strdup(summary->name);
    self->shown = (struct store_entry){.id = self->doc->id,
                                       .name = self->name,
                                       .created_ms = summary->created_ms,
                                       .final = self->final,
                                       .status = summary->status,
                                       .projects = summary->project_count,
                                       .modules = summary->module_count,
                                       .tally = summary->tally,
                                       .marks = summary->marks,
                                       .mean_nota_e5 = summary->mean_nota_e5,
                                       .has_mean_nota = summary->has_mean_nota,
                                       .incomplete = summary->incomplete,
                                       .eval_ms = summary->eval_ms,
                                       .digest = self->doc->digest};
}

void entry_derive(struct entry *self)
{
    self->shown.final = self->final;
    if (!self->doc || (self->derived && self->shown.digest == self->doc->digest))
        return;
    owned_summary summary;
    summary_init(&summary, self->doc, NULL);
    show(self, &summary);
    share_fini(&self->share);
    share_init(&self->share, self->doc);
    self->derived = true;
}

char *entry_file_name(const struct doc *doc)
{
    time_t seconds = (time_t)((doc->req ? doc->req->created_ms : 0) / 1000);
    struct tm utc;
    char month[32];
    if (!gmtime_r(&seconds, &utc) || utc.tm_year > 8099 ||
        strftime(month, sizeof month, "%Y-%m", &utc) != 7)
        (void)snprintf(month, sizeof month, "0000-00");
    return mem_printf("%s/%" PRIu64 ".%016" PRIx64 ".json", month, doc->id, doc->digest);
}

bool entry_file_parse(const char *name, uint64_t *id, uint64_t *digest)
{
    char number[ID_EVAL_TEXT], hex[17], end[8];
    if (sscanf(name, "%19[0-9].%16[0-9a-f].%7s", number, hex, end) != 3 || strlen(hex) != 16 ||
        strcmp(end, "json") != 0)
        return false;
    *digest = strtoull(hex, NULL, 16);
    return id_eval_parse(number, id);
}

/* ---- the index ------------------------------------------------------------------------------- */

static const char *const tally_keys[] = {"passed",  "failed",  "errors",    "skipped",
                                         "xfailed", "xpassed", "deselected"};

static uint64_t *tally_at(struct summary_tally *tally, size_t i)
{
    uint64_t *const at[] = {&tally->passed,  &tally->failed,  &tally->errors,    &tally->skipped,
                            &tally->xfailed, &tally->xpassed, &tally->deselected};
    return at[i];
}

void entry_encode(const struct entry *self, struct buf *out)
{
    struct store_entry shown = self->shown;
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_uint(&json, "id", shown.id);
    json_out_key_str(&json, "file", self->file);
    json_out_key_str(&json, "name", shown.name);
    json_out_key_uint(&json, "created_ms", shown.created_ms);
    json_out_key_str(&json, "status", summary_status_name(shown.status));
    json_out_key_uint(&json, "project_count", shown.projects);
    json_out_key_uint(&json, "modules", shown.modules);
    for (size_t i = 0; i < countof(tally_keys); i++)
        json_out_key_uint(&json, tally_keys[i], *tally_at(&shown.tally, i));
    json_out_key_uint(&json, "mean_nota_e5", shown.mean_nota_e5);
    json_out_key_bool(&json, "has_mean_nota", shown.has_mean_nota);
    json_out_key_bool(&json, "incomplete", shown.incomplete);
    json_out_key_uint(&json, "eval_ms", shown.eval_ms);
    json_out_key(&json, "share");
    share_encode(&self->share, &json);
    json_out_close_object(&json);
}

static uint64_t take(const json_t *json, const char *key)
{
    int64_t value = json_in_int(json, key, 0);
    return value > 0 ? (uint64_t)value : 0;
}

static void take_shown(struct entry *self, const json_t *json)
{
    struct store_entry *shown = &self->shown;
    self->name = mem_strdup(json_in_str(json, "name", ""));
    shown->name = self->name;
    shown->created_ms = take(json, "created_ms");
    shown->projects = (size_t)take(json, "project_count");
    shown->modules = (size_t)take(json, "modules");
    for (size_t i = 0; i < countof(tally_keys); i++)
        *tally_at(&shown->tally, i) = take(json, tally_keys[i]) & ID_EVAL_MAX >> 12;
    shown->marks = summary_marks_of(&shown->tally);
    shown->mean_nota_e5 = (uint32_t)take(json, "mean_nota_e5");
    shown->has_mean_nota = json_in_bool(json, "has_mean_nota", false);
    shown->incomplete = json_in_bool(json, "incomplete", false);
    shown->eval_ms = take(json, "eval_ms");
}

struct entry *entry_decode(const char *text, size_t len)
{
    owned_json *json = json_in_parse(text, len, NULL);
    const char *file = json_in_str(json, "file", "");
    uint64_t id;
    struct store_entry shown = {0};
    if (strlen(file) < 9 || !entry_file_parse(file + 8, &id, &shown.digest) ||
        id != take(json, "id") ||
        !summary_status_parse(json_in_str(json, "status", ""), &shown.status))
        return NULL;
    struct entry *self = entry_new(id);
    if (share_decode(json_object_get(json, "share"), &self->share, NULL)) {
        entry_free(self);
        return NULL;
    }
    self->shown.digest = shown.digest;
    self->shown.status = shown.status;
    self->file = mem_strdup(file);
    take_shown(self, json);
    self->derived = true;
    self->final = true;
    return self;
}

/* ---- the table ------------------------------------------------------------------------------- */

void entries_fini(struct entries *self)
{
    for (size_t i = 0; i < self->count; i++)
        entry_free(self->order[i]);
    free(self->order);
    free(self->slots);
    *self = (struct entries){0};
}

static size_t slot_of(const struct entries *self, uint64_t id)
{
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (self->room - 1);
    while (self->slots[at] && self->slots[at]->shown.id != id)
        at = (at + 1) & (self->room - 1);
    return at;
}

struct entry *entries_find(const struct entries *self, uint64_t id)
{
    return self->room ? self->slots[slot_of(self, id)] : NULL;
}

size_t entries_place(const struct entries *self, uint64_t created_ms, uint64_t id)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct store_entry *at = &self->order[mid]->shown;
        if (at->created_ms < created_ms || (at->created_ms == created_ms && at->id < id))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void put_in_order(struct entries *self, struct entry *entry)
{
    self->order = mem_grow(self->order, &self->order_room, self->count + 1, sizeof *self->order);
    size_t at = entries_place(self, entry->shown.created_ms, entry->shown.id);
    memmove(&self->order[at + 1], &self->order[at], (self->count - at) * sizeof *self->order);
    self->order[at] = entry;
    self->count++;
}

void entries_add(struct entries *self, struct entry *entry)
{
    if ((self->count + 1) * 4 > self->room * 3) {
        free(self->slots);
        self->room = self->room ? self->room * 2 : 64;
        self->slots = mem_new_array(self->room, sizeof(struct entry *));
        for (size_t i = 0; i < self->count; i++)
            self->slots[slot_of(self, self->order[i]->shown.id)] = self->order[i];
    }
    self->slots[slot_of(self, entry->shown.id)] = entry;
    put_in_order(self, entry);
}

void entries_move(struct entries *self, struct entry *entry, uint64_t created_ms)
{
    size_t at = entries_place(self, entry->shown.created_ms, entry->shown.id);
    self->count--;
    memmove(&self->order[at], &self->order[at + 1], (self->count - at) * sizeof *self->order);
    entry->shown.created_ms = created_ms;
    put_in_order(self, entry);
}
