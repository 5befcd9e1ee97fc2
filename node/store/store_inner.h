/* store_inner: what the files of the store share. */
#ifndef NODE_STORE_STORE_INNER_H
#define NODE_STORE_STORE_INNER_H

#include "node/own/docs.h"
#include "node/store/disk.h"
#include "node/store/entry.h"
#include "node/store/store.h"

/* Sealed documents that are kept in memory after somebody asked for them. */
#define STORE_CACHED 8

struct pin {
    struct hash hash;
    size_t count;
};

struct duration {
    uint64_t key; /* 0: free */
    uint32_t ms;
};

struct durations {
    struct duration *slots;
    size_t room, count;
};

struct store {
    char *dir;
    char *tmp_dir;
    const struct disk_ops *ops;
    int lock_fd;
    struct store_identity identity;
    struct segments log; /* the disk thread's */
    struct disk *disk;   /* NULL while opening */
    struct entries entries;
    uint64_t buckets[DOCS_BUCKETS];     /* xor of the documents' digests, by id (docs.h) */
    struct entry *cached[STORE_CACHED]; /* most recent first */
    store_watch_fn *watch;
    void *watch_arg;
    bool repairing;
    bool failed;
    struct err why;
    uint64_t log_bytes; /* since the last snapshot */
    uint64_t compact_bytes;
    bool compacting;
    uint64_t records, records_failed;
    struct histogram append;
    uint64_t blob_bytes, blobs_gone_bytes;
    uint64_t put_count; /* names of temporary blobs */
    struct pin *pins;
    size_t pin_count, pin_room;
    struct durations durations;
};

/* recover.c: fills the entries from index, files and log; tells the newest segment's number and
 * whether there is a log to compact. */
int store_recover(struct store *self, uint64_t *number, bool *compact, struct err *err) ERR_CHECKED;

/* Joins a delta into the entry's document (made or read if need be). */
int store_join(struct store *self, const struct delta *delta, unsigned *changed,
               struct entry **entry, struct err *err) ERR_CHECKED;

/* store.c: says, for this and later lives until store_repaired(), that acknowledged records are
 * gone. */
void store_note_damage(struct store *self);

/* store_docs.c: brings the buckets up to date with a document that changed, or whose file did not
 * check. */
void store_count_digest(struct store *self, struct entry *entry);
void store_lose(struct store *self, struct entry *entry);

/* archive.c: the document of an entry, from its file if it is not in memory; NULL and the file in
 * quarantine if it does not check. */
struct doc *store_load(struct store *self, struct entry *entry, struct err *err);

/* Says that nobody needs the document of a final entry in memory just now. */
void store_cache(struct store *self, struct entry *entry);
void store_uncache(struct store *self, const struct entry *entry);

/* Reads a sealed document, "2026-11/…", and holds it against its name. */
struct doc *store_read_sealed(struct store *self, const char *file, struct err *err);

/* Begins to write the file of an entry whose document is final, unless that is under way. */
void store_seal(struct store *self, struct entry *entry);

/* compact.c: the lines of all documents that are not final. */
void store_encode_snapshot(struct store *self, struct buf *out);

/* Begins a compaction when the log has grown enough. */
void store_compact(struct store *self);

/* durations.c */
void durations_load(struct store *self);
void durations_fini(struct durations *self);

#endif
