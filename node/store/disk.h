/* disk: the one thread that writes.
 *
 * The loop hands over jobs; the thread does them in order and hands them back; their `done` runs on
 * the loop, in the same order. Jobs that follow each other and only append to the log become one
 * write and one sync: a hundred results that come together cost one.
 *
 *     loop                      thread
 *     disk_submit() --queue-->  run()
 *     done()  <--- eventfd ---
 */
#ifndef NODE_STORE_DISK_H
#define NODE_STORE_DISK_H

#include "node/store/disk_ops.h"
#include "node/store/segments.h"
#include "proto/base/buf.h"

struct event_base;
struct disk;

/* Embedded as the first member of what a job is about. */
struct disk_job {
    struct disk_job *next; /* private */
    /* In the thread; NULL for a job that appends `line`. Fills `err` if it fails. */
    void (*run)(struct disk_job *self, struct segments *log);
    void (*done)(struct disk_job *self); /* on the loop; owns the job again */
    struct buf line;
    struct err err;
};

/* Starts the thread. Takes over `log` (borrowed; only the thread touches it until disk_stop()).
 * Returns owned. Errors: ERR_UNAVAILABLE. */
struct disk *disk_start(struct event_base *base, struct segments *log, struct err *err);

/* Takes a job, whose memory is its owner's again in done(). */
void disk_submit(struct disk *self, struct disk_job *job);

/* Jobs that were submitted and are not done. */
size_t disk_outstanding(const struct disk *self);

/* Waits until all jobs so far, and those that their done()s submit, are done. */
void disk_flush(struct disk *self);

/* disk_flush(), then ends the thread. */
void disk_stop(struct disk *self_owned);

#endif
