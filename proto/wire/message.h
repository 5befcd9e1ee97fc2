/* message: everything that nodes say to each other, as plain structs.
 *
 * Nodes are named by id_node_short(), evaluations by their number; a piece of work is (eval, p, m):
 * project, module in that project's plan, and m = WIRE_CHORE for the project's own preparation. An
 * attempt at it is (fence, n). Times are durations in ms, never clocks: nobody compares clocks.
 *
 * In a struct to be encoded, lists and texts are borrowed for the call. In a decoded one, texts and
 * lists belong to the message (wire_msg_fini()), and `struct wire_bytes` borrow from the bytes that
 * were decoded. 0 counts go with lists that may be NULL.
 *
 * The meaning of the fields: docs/protocol.md. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "proto/base/hash.h"
#include "proto/wire/member.h"

/* Limits of one message; more is refused on arrival and an error of ours on the way out (assert).
 */
#define WIRE_MEMBERS_MAX 16384        /* members in MSYNC, MFULL */
#define WIRE_READY_MAX   4096         /* projects in CLAIM */
#define WIRE_WORK_MAX    4096         /* pieces of work in ASSIGN, REFUSE, CANCEL, RESULT_OK */
#define WIRE_SOURCES_MAX 16           /* nodes that hold a blob */
#define WIRE_RUNNING_MAX 4096         /* attempts in BEAT, LIVE */
#define WIRE_CLONES_MAX  4096         /* clones in LIVE */
#define WIRE_WARM_MAX    4            /* environments in LOAD */
#define WIRE_DIGESTS_MAX 4096         /* documents in DIFF */
#define WIRE_BUCKETS     256          /* of a SYNC */
#define WIRE_SKETCH_MAX  (1u << 20)   /* bytes of what a READ says is known already */
#define WIRE_HASHES_MAX  1024         /* blobs in HAS */
#define WIRE_TEXT_MAX    300          /* bytes of an ERR's words */
#define WIRE_DATA_MAX    (256u << 10) /* bytes of a blob in one DATA */
#define WIRE_DELTA_MAX   (15u << 20)  /* bytes of a document's delta */

#define WIRE_CHORE UINT32_MAX /* `m`: get the project ready, find its modules */

/* The numbers are the message ids on the wire; one is never used again for something else. */
enum wire_kind {
    WIRE_UNKNOWN = 0, /* an id that this version does not know: skip it */

    /* In datagrams. */
    WIRE_PING = 1,
    WIRE_ACK = 2,
    WIRE_PREQ = 3,
    WIRE_NACK = 4,
    WIRE_ALIVE = 5,
    WIRE_SUSPECT = 6,
    WIRE_DEAD = 7,
    WIRE_LEFT = 8,
    WIRE_LOAD = 9,
    WIRE_WORK = 10,
    WIRE_FENCE = 11,

    /* On streams. */
    WIRE_HELLO = 40,
    WIRE_BYE = 41,
    WIRE_ERR = 42,
    WIRE_MSYNC = 44,
    WIRE_MFULL = 45,
    WIRE_OFFER = 50,
    WIRE_CLAIM = 51,
    WIRE_ASSIGN = 52,
    WIRE_NOWORK = 53,
    WIRE_REFUSE = 54,
    WIRE_RESULT = 55,
    WIRE_RESULT_OK = 56,
    WIRE_BEAT = 57,
    WIRE_CANCEL = 58,
    WIRE_PROGRESS = 59,
    WIRE_READ = 60,
    WIRE_DOC = 61,
    WIRE_PUT = 62,
    WIRE_PUT_OK = 63,
    WIRE_PUT_LOW = 64,
    WIRE_LIVE = 65,
    WIRE_SYNC = 66,
    WIRE_DIFF = 67,
    WIRE_DELTA = 68,
    WIRE_HAS = 70,
    WIRE_HAVE = 71,
    WIRE_GET = 72,
    WIRE_DATA = 73,
    WIRE_BLOB_ERR = 74,
    WIRE_SUBMIT = 76,
    WIRE_SUBMITTED = 77,
};

/* "PING", …; "UNKNOWN" for a number that is none; static. */
const char *wire_kind_name(enum wire_kind kind);

/* ---- values ---------------------------------------------------------------------------------- */

/* Bytes; len 0 is none. */
struct wire_bytes {
    const uint8_t *data;
    size_t len;
};

/* A ballot, ordered by (epoch, owner); epoch 0 is none. */
struct wire_fence {
    uint64_t owner;
    uint32_t epoch;
};

int wire_fence_compare(struct wire_fence a, struct wire_fence b);

struct wire_ref { /* one attempt under a fence that is known from the message */
    uint32_t p;
    uint32_t m;
    uint16_t n; /* from 1 */
};

struct wire_done { /* one attempt, whole */
    struct wire_fence fence;
    uint32_t p;
    uint32_t m;
    uint16_t n;
};

struct wire_job_ref { /* one attempt to be started */
    uint64_t plan;    /* hash of the plan that `m` counts in; 0 for a chore without one */
    uint32_t p;
    uint32_t m;
    uint32_t est_ms;
    uint16_t n;
};

struct wire_running { /* one attempt that runs */
    uint64_t eid;
    struct wire_fence fence;
    uint32_t p;
    uint32_t m;
    uint32_t elapsed_ms;
    uint16_t n;
    uint8_t phase; /* of the executor's choosing: shown to people */
};

struct wire_attempt { /* one module that runs somewhere, as its owner knows it */
    uint64_t node;
    uint32_t p;
    uint32_t m;
    uint32_t elapsed_ms;
    uint32_t passed; /* so far, as are the next ones */
    uint32_t failed;
    uint32_t errors;
    uint32_t skipped;
    uint16_t n;
};

struct wire_clone { /* one repository that its owner fetches; so far */
    uint64_t bytes;
    uint32_t p;
    uint32_t objects;
    uint16_t tries;
    uint8_t phase; /* enum mesh_clone_phase or a later one */
};

struct wire_digest { /* one document */
    uint64_t eid;
    uint64_t dig;
};

struct wire_tag { /* one member */
    uint64_t node;
    uint32_t tag; /* low half of wire_member_hash() */
};

/* ---- datagrams ------------------------------------------------------------------------------- */

struct wire_ping {
    uint32_t seq;
    uint64_t target; /* 0: whoever listens there (heal, join) */
};

struct wire_ack { /* also NACK */
    uint32_t seq;
};

struct wire_preq {
    uint32_t seq;
    uint64_t target;
    struct wire_addr addr;
};

enum wire_why_dead { WIRE_WHY_NONE, WIRE_WHY_TIMEOUT, WIRE_WHY_REFUSED };

struct wire_rumor { /* SUSPECT, DEAD, LEFT of incarnation (gen, ver) */
    uint64_t node;
    uint64_t gen;
    uint32_t ver;
    uint64_t from; /* the accuser; not in LEFT */
    uint8_t why;   /* enum wire_why_dead or a later one; in DEAD alone */
};

struct wire_load {
    uint64_t node;
    uint32_t gen32;  /* low half of the generation */
    uint32_t lseq;   /* the larger is the newer, within a generation */
    uint32_t eta_ms; /* until a slot is free; 0 if one is */
    uint16_t queued;
    uint8_t free_slots;
    uint8_t cpu; /* percent, of others' making */
    uint8_t warm_count;
    uint32_t warm[WIRE_WARM_MAX]; /* tags of environments that are warm */
};

struct wire_work { /* also NOWORK on streams */
    uint64_t eid;
    struct wire_fence fence;
    uint32_t queued; /* 0: withdrawn */
    uint32_t seq;    /* the owner's count of its news of `eid`: rumors overtake each other, and
                        under one fence the larger is the newer */
};

struct wire_fence_news {
    uint64_t eid;
    struct wire_fence fence;
    uint64_t gen; /* the owner's */
};

/* ---- streams: the link, members -------------------------------------------------------------- */

struct wire_hello { /* the first message each way */
    struct id_node node;
    uint64_t gen;
    uint64_t boot;
    struct wire_versions pv;
    uint32_t feat;
    const char *name;
    const char *cluster;
};

enum wire_why_bye { WIRE_BYE_IDLE = 1, WIRE_BYE_LEAVING, WIRE_BYE_DOUBLE, WIRE_BYE_BUSY };

struct wire_bye {
    uint8_t reason; /* enum wire_why_bye or a later one */
};

enum wire_err_code { WIRE_ERR_VERSION = 1, WIRE_ERR_CLUSTER, WIRE_ERR_MALFORMED, WIRE_ERR_BUSY };

struct wire_error {
    uint32_t rid;     /* of the request that it answers; 0 for the link as a whole */
    uint16_t code;    /* enum wire_err_code or a later one */
    const char *text; /* for logs */
};

struct wire_msync {
    const struct wire_tag *tags;
    size_t tag_count;
};

struct wire_mfull {
    const struct wire_member *members;
    size_t member_count;
    const uint64_t *need; /* nodes whose records the sender wants */
    size_t need_count;
};

/* ---- streams: work --------------------------------------------------------------------------- */

struct wire_offer {
    uint64_t eid;
    struct wire_fence fence;
    uint32_t queued;
    uint16_t weight;
    uint64_t req_digest; /* of the request, for whoever has it already; 0 none */
};

struct wire_claim {
    uint64_t eid;
    struct wire_fence fence;
    uint8_t slots;         /* modules wanted now */
    uint8_t chores;        /* projects that it would prepare now */
    uint32_t ms;           /* predicted work wanted */
    const uint32_t *ready; /* projects that are ready there */
    size_t ready_count;
};

struct wire_assign {
    uint64_t eid;
    struct wire_fence fence;
    const struct wire_job_ref *work;
    size_t work_count;
    const uint64_t *sources; /* nodes that hold the bundles */
    size_t source_count;
};

enum wire_why_refuse {
    WIRE_REFUSE_FULL = 1,
    WIRE_REFUSE_DRAIN,
    WIRE_REFUSE_DISK,
    WIRE_REFUSE_FENCED,
    WIRE_REFUSE_UNREADY,
    WIRE_REFUSE_UNKNOWN
};

struct wire_refuse {
    uint64_t eid;
    struct wire_fence fence; /* the newest that the sender knows */
    uint8_t why;             /* enum wire_why_refuse or a later one */
    const struct wire_ref *work;
    size_t work_count;
};

enum wire_outcome {
    WIRE_OUTCOME_DONE = 1,   /* the delta has what came of it: a record, or a chore's plan */
    WIRE_OUTCOME_LOST,       /* the attempt's process or node went down */
    WIRE_OUTCOME_CANCELLED,  /* as asked */
    WIRE_OUTCOME_UNPREPARED, /* its project could not be got ready there */
};

struct wire_result {
    uint64_t eid;
    struct wire_fence fence;
    uint32_t p;
    uint32_t m;
    uint16_t n;
    uint8_t outcome; /* enum wire_outcome or a later one */
    uint8_t blame;   /* as in records: 0 none, 1 tests, 2 project, 3 cluster */
    struct wire_bytes delta;
    uint32_t took_ms; /* a chore: how long it took; 0 not measured */
};

struct wire_result_ok {
    uint64_t eid;
    const struct wire_done *done;
    size_t done_count;
};

struct wire_beat { /* every attempt that runs at the sender, for whomever */
    uint8_t free_slots;
    uint32_t eta_ms;
    const struct wire_running *running;
    size_t running_count;
};

struct wire_cancel {
    uint64_t eid;
    struct wire_fence fence;
    bool all; /* then `work` is empty */
    const struct wire_ref *work;
    size_t work_count;
};

struct wire_progress {
    uint64_t eid;
    struct wire_fence fence;
    uint32_t p;
    uint32_t m;
    uint16_t n;
    uint32_t passed;
    uint32_t failed;
    uint32_t errors;
    uint32_t skipped;
};

/* ---- streams: documents ---------------------------------------------------------------------- */

struct wire_read {
    uint32_t rid; /* the asker's number for the question; the answer repeats it */
    uint64_t eid;
    struct wire_bytes sketch; /* what the asker has already (node/store/doc_sketch.h); or none */
};

/* What is in no document: sent by the owner before the DOC that answers a READ. */
struct wire_live {
    uint64_t eid;
    struct wire_fence fence;
    bool preparing; /* somebody gets a project ready */
    const struct wire_attempt *attempts;
    size_t attempt_count;
    const struct wire_clone *clones;
    size_t clone_count;
};

/* One piece of the answer to a READ: a document comes in as many as it needs. */
struct wire_doc {
    uint32_t rid;
    uint64_t eid;
    uint32_t seq; /* of this piece, from 0: a gap means that the link broke between */
    bool more;    /* another DOC of the same rid follows */
    struct wire_bytes
        delta; /* none: unknown here. Known and nothing new: a delta of the id alone */
};

enum wire_put_kind {
    WIRE_PUT_SUBMIT = 1,
    WIRE_PUT_CLAIM,
    WIRE_PUT_SEAL,
    WIRE_PUT_CANCEL,
    WIRE_PUT_DATA
};

struct wire_put {
    uint32_t rid;
    uint64_t eid;
    uint8_t kind; /* enum wire_put_kind or a later one */
    struct wire_bytes delta;
};

struct wire_put_ok {
    uint32_t rid;
    uint64_t eid;
    struct wire_bytes delta; /* what the asker may not have; or none */
    struct wire_fence seal;  /* of the seal that the sender holds; or none */
};

enum wire_why_low {
    WIRE_LOW_FENCE = 1, /* `fence` was promised, and is higher */
    WIRE_LOW_CONFLICT,  /* another request has this id */
    WIRE_LOW_REFUSED,   /* cannot be kept here now: the disk, or a bundle that was not to be had */
};

struct wire_put_low {
    uint32_t rid;
    uint64_t eid;
    struct wire_fence fence; /* the highest that the sender knows of; none with a CONFLICT */
    uint8_t why;             /* enum wire_why_low or a later one */
};

/* A submission under an Idempotency-Key: its home takes it in, so that one node alone decides. */
struct wire_submit {
    uint32_t rid;
    uint64_t eid;
    struct wire_bytes delta; /* the request alone; its blobs are at the sender */
};

enum wire_why_submitted {
    WIRE_SUBMITTED_OK = 1, /* acknowledged: durable on `replicas` nodes */
    WIRE_SUBMITTED_TOO_FEW,
    WIRE_SUBMITTED_TOO_LATE,
    WIRE_SUBMITTED_TAKEN, /* the id is burnt: by one that was refused */
    WIRE_SUBMITTED_NO_DISK,
    WIRE_SUBMITTED_LEAVING,
    WIRE_SUBMITTED_OTHER, /* another request has this key */
};

struct wire_submitted {
    uint32_t rid;
    uint64_t eid;
    uint8_t why; /* enum wire_why_submitted or a later one */
    uint8_t replicas;
    uint16_t retry_s;
};

/* "These are my digests: say where you differ." Buckets are by id (docs_bucket()). */
struct wire_sync {
    uint32_t rid;
    uint64_t root; /* xor of the buckets */
    const uint64_t *buckets;
    size_t bucket_count; /* WIRE_BUCKETS */
};

/* The answer to a SYNC: all documents of the sender in those buckets that differ, in as many pieces
 * as that needs. With rid 0 it answers a DIFF: those of its documents that the other lacks or has
 * otherwise, for it to READ. */
struct wire_diff {
    uint32_t rid;
    uint32_t seq;            /* of this piece, from 0 */
    bool more;               /* another DIFF of the same rid follows */
    struct wire_bytes cover; /* 32 bytes, a bit a bucket (bit b % 8 of byte b / 8): `have` has all
                                that the sender holds in it; none with rid 0 */
    const struct wire_digest *have;
    size_t have_count;
};

/* News, as they became durable at the sender; not asked for. */
struct wire_delta {
    uint64_t eid;
    struct wire_bytes delta;
};

/* ---- streams: blobs -------------------------------------------------------------------------- */

struct wire_has {
    uint32_t rid;
    const struct hash *hashes;
    size_t hash_count;
};

struct wire_have {
    uint32_t rid;
    struct wire_bytes has; /* a byte for each hash of the question, in its order: 0 no, 1 yes */
};

struct wire_get {
    struct hash hash;
    uint64_t off;
    uint32_t len; /* at most WIRE_DATA_MAX is sent for one GET */
};

struct wire_data {
    struct hash hash;
    uint64_t off;
    uint64_t total;          /* of the blob */
    struct wire_bytes bytes; /* at most WIRE_DATA_MAX */
};

enum wire_why_blob { WIRE_BLOB_NONE = 1, WIRE_BLOB_BUSY };

struct wire_blob_err {
    struct hash hash;
    uint8_t why;            /* enum wire_why_blob or a later one */
    const uint64_t *others; /* nodes to try instead, the best first */
    size_t other_count;
};

/* ---- any of them ----------------------------------------------------------------------------- */

struct wire_chunk;

/* What a decoded message owns. */
struct wire_memory {
    struct wire_chunk *first;
    size_t bytes; /* allocated: at most 4 for each byte decoded */
};

struct wire_msg {
    enum wire_kind kind;
    union {
        struct wire_ping ping;
        struct wire_ack ack;  /* ACK */
        struct wire_ack nack; /* NACK */
        struct wire_preq preq;
        struct wire_member alive;
        struct wire_rumor suspect;
        struct wire_rumor dead;
        struct wire_rumor left;
        struct wire_load load;
        struct wire_work work;
        struct wire_fence_news fence;
        struct wire_hello hello;
        struct wire_bye bye;
        struct wire_error error; /* ERR */
        struct wire_msync msync;
        struct wire_mfull mfull;
        struct wire_offer offer;
        struct wire_claim claim;
        struct wire_assign assign;
        struct wire_work nowork;
        struct wire_refuse refuse;
        struct wire_result result;
        struct wire_result_ok result_ok;
        struct wire_beat beat;
        struct wire_cancel cancel;
        struct wire_progress progress;
        struct wire_read read;
        struct wire_live live;
        struct wire_doc doc;
        struct wire_put put;
        struct wire_put_ok put_ok;
        struct wire_put_low put_low;
        struct wire_sync sync;
        struct wire_diff diff;
        struct wire_delta delta;
        struct wire_has has;
        struct wire_have have;
        struct wire_get get;
        struct wire_data data;
        struct wire_blob_err blob_err;
        struct wire_submit submit;
        struct wire_submitted submitted;
    };
    struct wire_memory memory; /* zero in one to be encoded */
};

#endif
