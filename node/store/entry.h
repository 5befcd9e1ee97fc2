/* entry: one evaluation as the store keeps it in memory, and the table of all. */
#ifndef NODE_STORE_ENTRY_H
#define NODE_STORE_ENTRY_H

#include "node/store/store.h"
#include "proto/base/buf.h"

struct entry {
    struct store_entry shown; /* derived; shown.name is owned through `name` */
    struct share share;       /* derived */
    bool derived;             /* `shown` and `share` belong to shown.digest */
    char *name;               /* owned */
    struct doc *doc;          /* owned; NULL: only in its file */
    char *file;               /* owned, "2026-11/<id>.<digest>.json"; NULL: none */
    char *stale;              /* owned, another file that the next one replaces; or NULL */
    bool final;               /* the file holds this very document */
    bool sealing;             /* the file is being written */
    bool lost;                /* the file did not check */
    uint64_t counted;         /* its digest, as it is in the store's buckets */
};

struct entry *entry_new(uint64_t id);
void entry_free(struct entry *self_owned);

/* Brings `shown` and `share` up to date with the document, if it is in memory. */
void entry_derive(struct entry *self);

/* The file's name by the document's digest and month. Returns owned. */
char *entry_file_name(const struct doc *doc);

/* Reads such a name without its folder. */
bool entry_file_parse(const char *name, uint64_t *id, uint64_t *digest);

/* A line of the index and back; only derived entries with a file have one. entry_decode() fills an
 * entry whose file is the one that the line names; false if the line is about another or damaged.
 */
void entry_encode(const struct entry *self, struct buf *out);
struct entry *entry_decode(const char *json, size_t len);

struct entries {
    struct entry **slots; /* hash table by id */
    size_t room;
    struct entry **order; /* by (created_ms, id), ascending; owns */
    size_t order_room;
    size_t count;
};

void entries_fini(struct entries *self);
struct entry *entries_find(const struct entries *self, uint64_t id);

/* Takes an entry whose id is new. */
void entries_add(struct entries *self, struct entry *entry_owned);

/* Puts an entry where its new created_ms belongs. */
void entries_move(struct entries *self, struct entry *entry, uint64_t created_ms);

/* Returns the index in `order` of the first entry that is not older than (created_ms, id). */
size_t entries_place(const struct entries *self, uint64_t created_ms, uint64_t id);

#endif
