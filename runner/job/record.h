/* record: what a job says about itself, one record a packet.
 *
 * The harness inside the job writes numbered records to a SOCK_SEQPACKET; a packet is one msgpack
 * array [number, kind, field, ...], at most RECORD_BYTES_MAX. The bytes come from a process that
 * runs strangers' code, so everything is bounded here and nothing is believed but its form: what a
 * sequence of records means is verdict's business. Written by runner/harness/records.py.
 *
 *   0 begin       version
 *   1 collected   first index, [id, ...]
 *   2 removed     index                      announced as deselected after it had been collected
 *   3 counted     collected, deselected      pytest's own figures, collection is over
 *   4 phase       index, when, outcome, duration us, message, longrepr, stdout, stderr, flags
 *   5 problem     id, outcome, message, longrepr    a collector that failed or skipped itself
 *   6 internal    text                       pytest's internal error
 *   7 end         exit status, collected, reported, deselected
 *   8 module      path, bytes                (discover)
 *   9 blob        bytes                      a piece of a JSON text (describe, compile)
 */
#ifndef RUNNER_JOB_RECORD_H
#define RUNNER_JOB_RECORD_H

#include "proto/base/cursor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_VERSION   1
#define RECORD_BYTES_MAX 65536

/* Bounds of one field, in bytes. The harness cuts to them; a longer field is no record. */
#define RECORD_ID_MAX       32768
#define RECORD_MESSAGE_MAX  4096
#define RECORD_LONGREPR_MAX 16384
#define RECORD_CAPTURED_MAX 16384 /* 8 KiB of its beginning and 8 KiB of its end */
#define RECORD_BLOB_MAX     60000
#define RECORD_INDEX_MAX    1000000

enum record_kind {
    RECORD_BEGIN,
    RECORD_COLLECTED,
    RECORD_REMOVED,
    RECORD_COUNTED,
    RECORD_PHASE,
    RECORD_PROBLEM,
    RECORD_INTERNAL,
    RECORD_END,
    RECORD_MODULE,
    RECORD_BLOB,
    RECORD_KINDS,
};

enum record_when {
    RECORD_SETUP,
    RECORD_CALL,
    RECORD_TEARDOWN,
    RECORD_SUBTEST,
    RECORD_WHENS,
};

/* Ordered from good to bad: of a test's phases the largest counts. */
enum record_outcome {
    RECORD_PASSED,
    RECORD_SKIPPED,
    RECORD_XFAILED,
    RECORD_XPASSED,
    RECORD_FAILED,
    RECORD_OUTCOMES,
};

/* Bits of `flags`: what the harness saw besides the report. */
#define RECORD_FLAG_RAISED   1u /* the phase raised, yet its report says that it passed */
#define RECORD_FLAG_NO_SPACE 2u /* it raised an error that says that the disk is full */

struct record {
    uint64_t number;
    enum record_kind kind;
    union {
        struct {
            uint64_t version;
        } begin;
        struct {
            uint64_t first;
            size_t count;
            struct cursor ids; /* stands before `count` texts that have been checked */
        } collected;
        struct {
            uint64_t index;
        } removed;
        struct {
            uint64_t collected;
            uint64_t deselected;
        } counted;
        struct {
            uint64_t index;
            enum record_when when;
            enum record_outcome outcome;
            uint64_t duration_us;
            struct cursor_text message;
            struct cursor_text longrepr;
            struct cursor_text captured_out;
            struct cursor_text captured_err;
            uint64_t flags;
        } phase;
        struct {
            struct cursor_text id;
            enum record_outcome outcome;
            struct cursor_text message;
            struct cursor_text longrepr;
        } problem;
        struct {
            struct cursor_text text;
        } internal;
        struct {
            int64_t exit_status;
            uint64_t collected;
            uint64_t reported;
            uint64_t deselected;
        } end;
        struct {
            struct cursor_text path;
            uint64_t bytes;
        } module;
        struct {
            struct cursor_text piece;
        } blob;
    };
};

/* Reads one packet into `out`, whose texts are borrowed from it. Returns false when it is not
 * exactly one record of ours; `out` is then undefined. */
bool record_decode(struct record *out, const void *packet, size_t len);

/* Holds the order of a stream: numbers from 0 without gap or repetition, begin first and once,
 * nothing behind end. */
struct record_order {
    uint64_t next;
    bool ended;
};

void record_order_init(struct record_order *self);

/* Returns NULL when `record` may come next, else a static text that says why it may not. */
const char *record_order_take(struct record_order *self, const struct record *record);

#endif
