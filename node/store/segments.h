/* segments: the log's files: appending, rotating, dropping. Used by one thread at a time. */
#ifndef NODE_STORE_SEGMENTS_H
#define NODE_STORE_SEGMENTS_H

#include "node/store/disk_ops.h"

#include <stdbool.h>
#include <stdint.h>

struct segments {
    const struct disk_ops *ops;
    char *log_dir;   /* owned */
    char *snap_dir;  /* owned */
    uint64_t number; /* of the newest segment, open or not; from 1 */
    int fd;          /* -1: the next append makes a segment */
    uint64_t size;
    uint64_t segment_bytes;
    bool failed; /* nothing is written any more; `why` says what failed first */
    struct err why;
};

/* `number` is the largest that any segment or snapshot has. Copies `dir`. */
void segments_init(struct segments *self, const struct disk_ops *ops, const char *dir,
                   uint64_t number, uint64_t segment_bytes);
void segments_fini(struct segments *self);

/* Appends and syncs. Any failure is the last thing that happens to this log: later calls fail with
 * ERR_UNAVAILABLE at once. */
int segments_append(struct segments *self, const void *bytes, size_t len,
                    struct err *err) ERR_CHECKED;

/* Ends the newest segment, so that the next append begins another. */
void segments_rotate(struct segments *self);

/* Puts a snapshot in the place of all snapshots and segments up to `number`. Until it is in place
 * for good nothing is removed. */
int segments_snapshot(struct segments *self, uint64_t number, const void *bytes, size_t len,
                      struct err *err) ERR_CHECKED;

/* Reads "000017.jsonl"; 0 for any other name. */
uint64_t segments_number_of(const char *name);

/* "DIR/000017.jsonl", owned. */
char *segments_path(const char *dir, uint64_t number);

#endif
