/* The messages, field by field, in their order on the wire. New fields go to the end of a list. */
#include "proto/base/mem.h"
#include "proto/wire/shape.h"

#include <stddef.h>

#define AT(type_, field_) .at = offsetof(struct type_, field_)

#define BOOL(s, f)                                                                                 \
    {                                                                                              \
        .type = SHAPE_BOOL, AT(s, f)                                                               \
    }
#define U8(s, f)                                                                                   \
    {                                                                                              \
        .type = SHAPE_U8, AT(s, f), .max = UINT8_MAX                                               \
    }
#define U16(s, f)                                                                                  \
    {                                                                                              \
        .type = SHAPE_U16, AT(s, f), .max = UINT16_MAX                                             \
    }
#define U32(s, f)                                                                                  \
    {                                                                                              \
        .type = SHAPE_U32, AT(s, f), .max = UINT32_MAX                                             \
    }
#define U64(s, f)                                                                                  \
    {                                                                                              \
        .type = SHAPE_U64, AT(s, f)                                                                \
    }
#define ENUM(s, f, last)                                                                           \
    {                                                                                              \
        .type = SHAPE_ENUM, AT(s, f), .max = (last)                                                \
    }
#define ID(s, f)                                                                                   \
    {                                                                                              \
        .type = SHAPE_ID, AT(s, f)                                                                 \
    }
#define TARGET(s, f)                                                                               \
    {                                                                                              \
        .type = SHAPE_ID_OR_NIL, AT(s, f)                                                          \
    }
#define EVAL(s)                                                                                    \
    {                                                                                              \
        .type = SHAPE_EVAL, AT(s, eid)                                                             \
    }
#define NODE(s, f)                                                                                 \
    {                                                                                              \
        .type = SHAPE_NODE, AT(s, f)                                                               \
    }
#define HASH(s, f)                                                                                 \
    {                                                                                              \
        .type = SHAPE_HASH, AT(s, f)                                                               \
    }
#define ADDR(s, f)                                                                                 \
    {                                                                                              \
        .type = SHAPE_ADDR, AT(s, f)                                                               \
    }
#define TEXT(s, f, most)                                                                           \
    {                                                                                              \
        .type = SHAPE_TEXT, AT(s, f), .max = (most)                                                \
    }
#define BYTES(s, f, most)                                                                          \
    {                                                                                              \
        .type = SHAPE_BYTES, AT(s, f), .max = (most)                                               \
    }
#define PART(s, f, part)                                                                           \
    {                                                                                              \
        .type = SHAPE_STRUCT, AT(s, f), .item = &(part)                                            \
    }
#define WARM(s)                                                                                    \
    {                                                                                              \
        .type = SHAPE_WARM, AT(s, warm), .count_at = offsetof(struct s, warm_count)                \
    }
#define MANY(kind, s, f, n, most)                                                                  \
    {                                                                                              \
        .type = (kind), AT(s, f), .count_at = offsetof(struct s, n), .max = (most)                 \
    }
#define LIST(s, f, n, most, part)                                                                  \
    {                                                                                              \
        .type = SHAPE_LIST, AT(s, f), .count_at = offsetof(struct s, n), .max = (most),            \
        .item = &(part)                                                                            \
    }

/* A part of messages. All its elements must be there, so that a list of them cannot be far larger
 * in memory than on the wire; what later versions add to it does not count. */
#define PART_SHAPE(name_, struct_, ...)                                                            \
    static const struct shape_field name_##_fields[] = {__VA_ARGS__};                              \
    static const struct shape name_ = {.name = #name_,                                             \
                                       .size = sizeof(struct struct_),                             \
                                       .least = countof(name_##_fields),                           \
                                       .count = countof(name_##_fields),                           \
                                       .fields = name_##_fields}

#define FIELDS(name_, ...) static const struct shape_field name_##_fields[] = {__VA_ARGS__}

#define FENCE(s)    PART(s, fence, fence)
#define WORK_IDS(s) U32(s, p), U32(s, m), U16(s, n)

PART_SHAPE(fence, wire_fence, U32(wire_fence, epoch), ID(wire_fence, owner));
PART_SHAPE(versions, wire_versions, U8(wire_versions, min), U8(wire_versions, max));
PART_SHAPE(caps, wire_caps, U16(wire_caps, slots), U16(wire_caps, speed), U32(wire_caps, mem_mb));
PART_SHAPE(member, wire_member, NODE(wire_member, node), U64(wire_member, gen),
           U32(wire_member, ver), ENUM(wire_member, st, WIRE_STATE_COUNT - 1),
           ADDR(wire_member, addr), U16(wire_member, http), PART(wire_member, pv, versions),
           U32(wire_member, feat), U32(wire_member, flags), PART(wire_member, caps, caps),
           TEXT(wire_member, name, WIRE_NAME_MAX), TEXT(wire_member, address, WIRE_ADDRESS_MAX));
PART_SHAPE(ref, wire_ref, WORK_IDS(wire_ref));
PART_SHAPE(done, wire_done, U32(wire_done, p), U32(wire_done, m), FENCE(wire_done),
           U16(wire_done, n));
PART_SHAPE(job, wire_job_ref, WORK_IDS(wire_job_ref), ID(wire_job_ref, plan),
           U32(wire_job_ref, est_ms));
PART_SHAPE(running, wire_running, EVAL(wire_running), U32(wire_running, p), U32(wire_running, m),
           FENCE(wire_running), U16(wire_running, n), U32(wire_running, elapsed_ms),
           U8(wire_running, phase));
PART_SHAPE(attempt, wire_attempt, WORK_IDS(wire_attempt), ID(wire_attempt, node),
           U32(wire_attempt, elapsed_ms), U32(wire_attempt, passed), U32(wire_attempt, failed),
           U32(wire_attempt, errors), U32(wire_attempt, skipped));
PART_SHAPE(clone, wire_clone, U32(wire_clone, p), U8(wire_clone, phase), U64(wire_clone, bytes),
           U32(wire_clone, objects), U16(wire_clone, tries));

FIELDS(ping, U32(wire_ping, seq), TARGET(wire_ping, target));
FIELDS(ack, U32(wire_ack, seq));
FIELDS(preq, U32(wire_preq, seq), ID(wire_preq, target), ADDR(wire_preq, addr));
FIELDS(suspect, ID(wire_rumor, node), U64(wire_rumor, gen), U32(wire_rumor, ver),
       ID(wire_rumor, from));
FIELDS(dead, ID(wire_rumor, node), U64(wire_rumor, gen), U32(wire_rumor, ver), ID(wire_rumor, from),
       U8(wire_rumor, why));
FIELDS(left, ID(wire_rumor, node), U64(wire_rumor, gen), U32(wire_rumor, ver));
FIELDS(load, ID(wire_load, node), U32(wire_load, gen32), U32(wire_load, lseq),
       U8(wire_load, free_slots), U32(wire_load, eta_ms), U8(wire_load, cpu),
       U16(wire_load, queued), WARM(wire_load));
FIELDS(work, EVAL(wire_work), FENCE(wire_work), U32(wire_work, queued), U32(wire_work, seq));
FIELDS(fence_news, EVAL(wire_fence_news), FENCE(wire_fence_news), U64(wire_fence_news, gen));

FIELDS(hello, NODE(wire_hello, node), U64(wire_hello, gen), ID(wire_hello, boot),
       PART(wire_hello, pv, versions), U32(wire_hello, feat), TEXT(wire_hello, name, WIRE_NAME_MAX),
       TEXT(wire_hello, cluster, WIRE_NAME_MAX));
FIELDS(bye, U8(wire_bye, reason));
FIELDS(error, U32(wire_error, rid), U16(wire_error, code), TEXT(wire_error, text, WIRE_TEXT_MAX));
FIELDS(msync, MANY(SHAPE_TAGS, wire_msync, tags, tag_count, WIRE_MEMBERS_MAX));
FIELDS(mfull, LIST(wire_mfull, members, member_count, WIRE_MEMBERS_MAX, member),
       MANY(SHAPE_IDS, wire_mfull, need, need_count, WIRE_MEMBERS_MAX));

FIELDS(offer, EVAL(wire_offer), FENCE(wire_offer), U32(wire_offer, queued), U16(wire_offer, weight),
       TARGET(wire_offer, req_digest));
FIELDS(claim, EVAL(wire_claim), FENCE(wire_claim), U8(wire_claim, slots), U8(wire_claim, chores),
       U32(wire_claim, ms), MANY(SHAPE_NUMBERS, wire_claim, ready, ready_count, WIRE_READY_MAX));
FIELDS(assign, EVAL(wire_assign), FENCE(wire_assign),
       LIST(wire_assign, work, work_count, WIRE_WORK_MAX, job),
       MANY(SHAPE_IDS, wire_assign, sources, source_count, WIRE_SOURCES_MAX));
FIELDS(refuse, EVAL(wire_refuse), FENCE(wire_refuse), U8(wire_refuse, why),
       LIST(wire_refuse, work, work_count, WIRE_WORK_MAX, ref));
FIELDS(result, EVAL(wire_result), FENCE(wire_result), WORK_IDS(wire_result),
       U8(wire_result, outcome), U8(wire_result, blame), BYTES(wire_result, delta, WIRE_DELTA_MAX),
       U32(wire_result, took_ms));
FIELDS(result_ok, EVAL(wire_result_ok),
       LIST(wire_result_ok, done, done_count, WIRE_WORK_MAX, done));
FIELDS(beat, U8(wire_beat, free_slots), U32(wire_beat, eta_ms),
       LIST(wire_beat, running, running_count, WIRE_RUNNING_MAX, running));
FIELDS(cancel, EVAL(wire_cancel), FENCE(wire_cancel), BOOL(wire_cancel, all),
       LIST(wire_cancel, work, work_count, WIRE_WORK_MAX, ref));
FIELDS(progress, EVAL(wire_progress), FENCE(wire_progress), WORK_IDS(wire_progress),
       U32(wire_progress, passed), U32(wire_progress, failed), U32(wire_progress, errors),
       U32(wire_progress, skipped));

FIELDS(read, U32(wire_read, rid), EVAL(wire_read), BYTES(wire_read, sketch, WIRE_SKETCH_MAX));
FIELDS(live, EVAL(wire_live), FENCE(wire_live), BOOL(wire_live, preparing),
       LIST(wire_live, attempts, attempt_count, WIRE_RUNNING_MAX, attempt),
       LIST(wire_live, clones, clone_count, WIRE_CLONES_MAX, clone));
FIELDS(doc, U32(wire_doc, rid), EVAL(wire_doc), U32(wire_doc, seq), BOOL(wire_doc, more),
       BYTES(wire_doc, delta, WIRE_DELTA_MAX));
FIELDS(put, U32(wire_put, rid), EVAL(wire_put), U8(wire_put, kind),
       BYTES(wire_put, delta, WIRE_DELTA_MAX));
FIELDS(put_ok, U32(wire_put_ok, rid), EVAL(wire_put_ok), BYTES(wire_put_ok, delta, WIRE_DELTA_MAX),
       PART(wire_put_ok, seal, fence));
FIELDS(put_low, U32(wire_put_low, rid), EVAL(wire_put_low), FENCE(wire_put_low),
       U8(wire_put_low, why));
FIELDS(sync, U32(wire_sync, rid), ID(wire_sync, root),
       MANY(SHAPE_BUCKETS, wire_sync, buckets, bucket_count, WIRE_BUCKETS));
FIELDS(diff, U32(wire_diff, rid), U32(wire_diff, seq), BOOL(wire_diff, more),
       BYTES(wire_diff, cover, WIRE_BUCKETS / 8),
       MANY(SHAPE_DIGESTS, wire_diff, have, have_count, WIRE_DIGESTS_MAX));
FIELDS(delta, EVAL(wire_delta), BYTES(wire_delta, delta, WIRE_DELTA_MAX));

FIELDS(has, U32(wire_has, rid), MANY(SHAPE_HASHES, wire_has, hashes, hash_count, WIRE_HASHES_MAX));
FIELDS(have, U32(wire_have, rid), BYTES(wire_have, has, WIRE_HASHES_MAX));
FIELDS(get, HASH(wire_get, hash), U64(wire_get, off), U32(wire_get, len));
FIELDS(data, HASH(wire_data, hash), U64(wire_data, off), U64(wire_data, total),
       BYTES(wire_data, bytes, WIRE_DATA_MAX));
FIELDS(blob_err, HASH(wire_blob_err, hash), U8(wire_blob_err, why),
       MANY(SHAPE_IDS, wire_blob_err, others, other_count, WIRE_SOURCES_MAX));

FIELDS(submit, U32(wire_submit, rid), EVAL(wire_submit), BYTES(wire_submit, delta, WIRE_DELTA_MAX));
FIELDS(submitted, U32(wire_submitted, rid), EVAL(wire_submitted), U8(wire_submitted, why),
       U8(wire_submitted, replicas), U16(wire_submitted, retry_s));

/* `least_`: without these elements a message says nothing. */
#define MESSAGE(kind_, struct_, fields_, least_)                                                   \
    {                                                                                              \
        .name = #kind_, .kind = WIRE_##kind_, .size = sizeof(struct struct_), .least = (least_),   \
        .count = countof(fields_##_fields), .fields = fields_##_fields                             \
    }

static const struct shape shapes[] = {
    MESSAGE(PING, wire_ping, ping, 1),
    MESSAGE(ACK, wire_ack, ack, 1),
    MESSAGE(PREQ, wire_preq, preq, 3),
    MESSAGE(NACK, wire_ack, ack, 1),
    MESSAGE(ALIVE, wire_member, member, 5),
    MESSAGE(SUSPECT, wire_rumor, suspect, 3),
    MESSAGE(DEAD, wire_rumor, dead, 3),
    MESSAGE(LEFT, wire_rumor, left, 3),
    MESSAGE(LOAD, wire_load, load, 3),
    MESSAGE(WORK, wire_work, work, 3),
    MESSAGE(FENCE, wire_fence_news, fence_news, 3),
    MESSAGE(HELLO, wire_hello, hello, 4),
    MESSAGE(BYE, wire_bye, bye, 0),
    MESSAGE(ERR, wire_error, error, 2),
    MESSAGE(MSYNC, wire_msync, msync, 1),
    MESSAGE(MFULL, wire_mfull, mfull, 1),
    MESSAGE(OFFER, wire_offer, offer, 3),
    MESSAGE(CLAIM, wire_claim, claim, 5),
    MESSAGE(ASSIGN, wire_assign, assign, 3),
    MESSAGE(NOWORK, wire_work, work, 2),
    MESSAGE(REFUSE, wire_refuse, refuse, 4),
    MESSAGE(RESULT, wire_result, result, 6),
    MESSAGE(RESULT_OK, wire_result_ok, result_ok, 2),
    MESSAGE(BEAT, wire_beat, beat, 3),
    MESSAGE(CANCEL, wire_cancel, cancel, 3),
    MESSAGE(PROGRESS, wire_progress, progress, 5),
    MESSAGE(READ, wire_read, read, 2),
    MESSAGE(DOC, wire_doc, doc, 4),
    MESSAGE(PUT, wire_put, put, 4),
    MESSAGE(PUT_OK, wire_put_ok, put_ok, 2),
    MESSAGE(PUT_LOW, wire_put_low, put_low, 3),
    MESSAGE(LIVE, wire_live, live, 3),
    MESSAGE(SYNC, wire_sync, sync, 2),
    MESSAGE(DIFF, wire_diff, diff, 3),
    MESSAGE(DELTA, wire_delta, delta, 2),
    MESSAGE(HAS, wire_has, has, 2),
    MESSAGE(HAVE, wire_have, have, 2),
    MESSAGE(GET, wire_get, get, 3),
    MESSAGE(DATA, wire_data, data, 4),
    MESSAGE(BLOB_ERR, wire_blob_err, blob_err, 2),
    MESSAGE(SUBMIT, wire_submit, submit, 3),
    MESSAGE(SUBMITTED, wire_submitted, submitted, 3),
};

const struct shape shape_load = {.name = "load",
                                 .size = sizeof(struct wire_load),
                                 .least = 3,
                                 .count = countof(load_fields),
                                 .fields = load_fields};

const struct shape *shape_of(uint64_t kind)
{
    for (size_t i = 0; i < countof(shapes); i++)
        if (kind && (uint64_t)shapes[i].kind == kind)
            return &shapes[i];
    return NULL;
}

const char *wire_kind_name(enum wire_kind kind)
{
    const struct shape *shape = shape_of(kind);
    return shape ? shape->name : "UNKNOWN";
}
