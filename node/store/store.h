/* store: a node's evaluations and blobs on disk.
 *
 *   DIR/node.a.json node.b.json       who this node is: nid and generation
 *   DIR/LOCK                          held while a process has the store open
 *   DIR/log/000017.jsonl              deltas as they came, 16 MiB a segment
 *   DIR/snap/000016.jsonl             the unsealed documents when segments up to 16 were dropped
 *   DIR/evals/2026-11/<id>.<digest>.json   one document per finished evaluation, plain JSON
 *   DIR/evals/index.jsonl             a line for each of those; rebuilt when it is lost
 *   DIR/blobs/ab/<hash>[.ext]         bundles, cases, output, logs; blobs/tmp for partial ones;
 *                                     .sealed: a repository's token, only while it is needed
 *   DIR/durations.txt                 how long modules take; not worth a sync
 *   DIR/quarantine/                   what did not check; never deleted by us
 *   DIR/DAMAGED                       there while store_repairing()
 *
 * One thread writes: it takes all lines that wait, writes them, syncs once, and reports to the
 * loop.
 *
 * What readers see is durable. An apply is joined into memory when its line is on disk, not before,
 * just ahead of its done_fn; until then no reader sees it. So nobody is ever shown what a power cut
 * could take back, and what a node has shown never goes backwards.
 *
 * An evaluation whose result is final (sealed and committed) becomes a file of its own by itself;
 * its summary stays in memory, the document is read again when somebody asks.
 *
 * When the log cannot be written or synced the store stops writing for good: after a failed sync
 * nobody knows what is on disk, and trying again would report success for lost pages. Reads go on;
 * store_writable() says why; the process is to drain and be started again.
 *
 * All functions are for the loop's thread only. */
#ifndef NODE_STORE_STORE_H
#define NODE_STORE_STORE_H

#include "node/store/doc.h"
#include "node/store/summary.h"
#include "node/store/totals.h"
#include "proto/base/histogram.h"

#include <stdbool.h>

struct event_base;
struct disk_ops;
struct store;

struct store_options {
    const char *dir;            /* made if absent; 0700 */
    struct event_base *base;    /* borrowed */
    const char *cluster;        /* kept in node.*.json; NULL for "testmesh" */
    uint64_t segment_bytes;     /* 0: 16 MiB */
    uint64_t compact_bytes;     /* log size that starts a compaction; 0: 64 MiB */
    const struct disk_ops *ops; /* tests only: system calls that fail; NULL: the system's */
};

/* Opens the store: takes the lock, starts a new generation, recovers, compacts what it found.
 * Blocks; for start-up. Returns owned (store_close).
 * Errors: ERR_CONFLICT another process has it, ERR_IO, ERR_CORRUPT both node files are damaged. */
struct store *store_open(const struct store_options *options, struct err *err);

/* Finishes what is queued, calls every outstanding done_fn, releases the lock. NULL is fine. */
void store_close(struct store *self_owned);

/* Waits for everything queued so far and calls its done_fns. Blocks; for tests and shut-down. */
void store_flush(struct store *self);

struct store_identity {
    struct id_node nid;
    uint64_t nid_short; /* for records */
    uint64_t gen;       /* larger than in any earlier life */
};
const struct store_identity *store_identity(const struct store *self);

/* Another process used a higher generation of this node: has `gen` on disk before it returns.
 * Blocks for a sync; happens when an old copy of the folder was put back. Errors: ERR_CORRUPT,
 * ERR_UNAVAILABLE. */
int store_raise_generation(struct store *self, uint64_t gen, struct err *err) ERR_CHECKED;

/* False after the log failed; then `why` (if not NULL) gets a static or store-owned reason. */
bool store_writable(const struct store *self, const char **why);

/* True from when damaged records were met that had been acknowledged once, over restarts, until
 * store_repaired() says that what could be had again has been. Meanwhile no new work may be
 * accepted: what is known of the old is not all that was promised. */
bool store_repairing(const struct store *self);
void store_repaired(struct store *self);

/* ---- evaluations ----------------------------------------------------------------------------- */

/* One evaluation as lists show it. */
struct store_entry {
    uint64_t id;
    const char *name;
    uint64_t created_ms;
    bool final;                 /* in a file of its own */
    enum summary_status status; /* without knowledge of what runs now */
    size_t projects, modules;   /* modules: planned so far */
    struct summary_tally tally;
    struct summary_marks marks;
    uint32_t mean_nota_e5;
    bool has_mean_nota;
    bool incomplete;
    uint64_t eval_ms;
    uint64_t digest; /* changes whenever the document does: an ETag */
};

/* Says whether the store has an evaluation. */
bool store_has(const struct store *self, uint64_t id);

/* Returns the document; NULL if there is none (ERR_NOT_FOUND) or its file does not check
 * (ERR_CORRUPT: moved to quarantine).
 *
 * Borrowed, and unchanged, until the caller returns to the loop, whatever else it asks of the store
 * meanwhile: deltas are joined from the loop alone (or in store_flush() and store_close()). But a
 * final document only until the next store_find(): few of those are kept, the others are read from
 * their files, which blocks for some milliseconds. */
const struct doc *store_find(struct store *self, uint64_t id, struct err *err);

/* Fills `out`, borrowing from the store as above. False if there is no such evaluation. */
bool store_entry(struct store *self, uint64_t id, struct store_entry *out);

/* Walks evaluations, newest first (created_ms, then id, descending): starts at the first one that
 * is older than (before_ms, before_id); UINT64_MAX twice for the newest. Stops when `fn` returns
 * false. `fn` must not call into the store. */
typedef bool store_each_fn(void *arg, const struct store_entry *entry);
void store_each(struct store *self, uint64_t before_ms, uint64_t before_id, store_each_fn *fn,
                void *arg);

/* Number of evaluations that are known. */
size_t store_count(const struct store *self);

/* What the store holds and has done since it was opened; cheap enough to be asked every second:
 * nothing is derived anew, so an unfinished evaluation counts by what its document says by now. */
struct store_stats {
    size_t evaluations[SUMMARY_STATUS_COUNT];
    uint64_t oldest_open_ms;   /* created_ms of the oldest that is not over; 0: there is none */
    uint64_t log_bytes;        /* since the last snapshot */
    size_t writes_waiting;     /* for the disk */
    uint64_t records;          /* that became durable */
    uint64_t records_failed;   /* that were refused or could not be written */
    struct histogram append;   /* from store_apply() to durable */
    uint64_t blob_bytes;       /* as of the last collection */
    uint64_t blobs_gone_bytes; /* collected, all in all */
};
void store_stats(const struct store *self, struct store_stats *out);

/* Walks the documents that are not final, oldest first: what a started node must go on with. */
typedef bool store_doc_fn(void *arg, const struct doc *doc);
void store_each_unsealed(struct store *self, store_doc_fn *fn, void *arg);

/* Sums up what /stats shows: totals_fini() frees it. */
void store_totals(struct store *self, struct totals *out);

/* Called when an append is durable and joined (err->code ERR_NONE, `changed` as in doc_apply()), or
 * has failed: ERR_UNAVAILABLE the store does not write, ERR_CONFLICT another request has the id,
 * ERR_TOO_LARGE. Never called before store_apply() has returned. `err` is borrowed. */
typedef void store_done_fn(void *arg, const struct err *err, unsigned changed);

/* Appends a delta and joins it once it is on disk. Copies. Calls are finished in their order.
 * `done` may be NULL. */
void store_apply(struct store *self, const struct delta *delta, store_done_fn *done, void *arg);

/* Told of every document that changed, after its done_fn: for those who publish news. One at most;
 * NULL takes it away. */
typedef void store_watch_fn(void *arg, const struct doc *doc, unsigned changed);
void store_watch(struct store *self, store_watch_fn *fn, void *arg);

/* ---- blobs ----------------------------------------------------------------------------------- */

#define STORE_EXT_MAX    15
#define STORE_EXT_SECRET "sealed" /* node/eval/secret.h */

/* Called when the blob is durable under its name, or has failed (ERR_UNAVAILABLE no space or a disk
 * error, ERR_IO the temporary file is not there). */
typedef void store_blob_fn(void *arg, const struct err *err, const struct hash *hash);

/* Writes bytes as a blob named by their hash. Copies. `ext` like "zst", or "" for none. One that is
 * there already is not written again. */
void store_put_blob(struct store *self, const void *bytes, size_t len, const char *ext,
                    store_blob_fn *done, void *arg);

/* Adopts a finished file, which must be on the store's file system and hash to `hash` (whoever
 * wrote it hashed it on the way): it is synced and renamed, or removed when the blob is there
 * already. On failure it stays where it was. */
void store_adopt_blob(struct store *self, const char *path, const struct hash *hash,
                      const char *ext, store_blob_fn *done, void *arg);

/* Returns the path where the blob is or would be. Owned text. */
char *store_blob_path(const struct store *self, const struct hash *hash, const char *ext);

/* Says whether the blob is there. */
bool store_has_blob(const struct store *self, const struct hash *hash, const char *ext);

/* Appends the blob's bytes. Blocks; for small ones. Does not check the hash.
 * Errors: ERR_NOT_FOUND, ERR_TOO_LARGE over `max`, ERR_IO. */
int store_read_blob(const struct store *self, const struct hash *hash, const char *ext, size_t max,
                    struct buf *out, struct err *err) ERR_CHECKED;

/* Unlinks a blob, in the disk thread and in the order of what was asked for: for kinds that are not
 * to stay (node/eval/secret.h). One that is absent is fine; what cannot be removed is logged. */
void store_remove_blob(struct store *self, const struct hash *hash, const char *ext);

/* The same for all blobs of a kind but those in `kept` (copied) and those that were put less than
 * `older_s` ago (0: all): what a crash left. */
void store_sweep_blobs(struct store *self, const char *ext, const struct hash *kept, size_t count,
                       unsigned older_s);

/* A folder on the store's file system for files that are to be adopted; emptied at start. */
const char *store_tmp_dir(const struct store *self);

/* Removes a file or folder below store_tmp_dir() in the disk thread: taking away what was large
 * blocks. What cannot be removed is logged, and gone after the next start. */
void store_remove_tmp(struct store *self, const char *path);

/* Keeps a blob from being collected while something uses it; counts. Blobs of unsealed documents,
 * and any blob put or adopted less than an hour ago, are safe without. */
void store_pin_blob(struct store *self, const struct hash *hash);
void store_unpin_blob(struct store *self, const struct hash *hash);

/* Removes the least recently used unpinned blobs until all of them take at most `cap_bytes`. Works
 * in the disk thread; `done` (or NULL) gets the sizes before and after. */
typedef void store_gc_fn(void *arg, uint64_t before_bytes, uint64_t after_bytes);
void store_collect_blobs(struct store *self, uint64_t cap_bytes, store_gc_fn *done, void *arg);

/* ---- durations ------------------------------------------------------------------------------- */

/* Records how long a module took: new = (old + ms) / 2. Not synced; lost entries cost an estimate.
 * `project` is summary_identity(). */
void store_duration_put(struct store *self, const char *project, const char *module, uint32_t ms);

/* Returns the expected time in ms; 0 when unknown. */
uint32_t store_duration_get(const struct store *self, const char *project, const char *module);

#endif
