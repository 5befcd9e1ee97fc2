/* Messages that outlive the step that sent them. */
#ifndef TESTS_MESSAGES_H
#define TESTS_MESSAGES_H

#include "proto/base/mem.h"
#include "proto/wire/message.h"

#include <string.h>

/* The bytes that a message borrows, or NULL. */
static inline struct wire_bytes *message_bytes(struct wire_msg *msg)
{
    return msg->kind == WIRE_READ    ? &msg->read.sketch
           : msg->kind == WIRE_DOC   ? &msg->doc.delta
           : msg->kind == WIRE_PUT   ? &msg->put.delta
           : msg->kind == WIRE_DELTA ? &msg->delta.delta
                                     : NULL;
}

static inline void *message_part(void **at, const void *from, size_t len)
{
    void *to = *at;
    if (len > 0)
        memcpy(to, from, len);
    *at = (char *)to + len;
    return to;
}

/* A deep copy; returns what owns it. */
static inline void *message_copy(struct wire_msg *msg)
{
    struct wire_bytes *bytes = message_bytes(msg);
    size_t len = bytes ? bytes->len : 0;
    if (msg->kind == WIRE_SYNC)
        len = msg->sync.bucket_count * sizeof(uint64_t);
    if (msg->kind == WIRE_DIFF)
        len = msg->diff.cover.len + msg->diff.have_count * sizeof(struct wire_digest);
    void *memory = mem_new(len + 1), *at = memory;
    if (bytes)
        bytes->data = message_part(&at, bytes->data, bytes->len);
    if (msg->kind == WIRE_SYNC)
        msg->sync.buckets =
            message_part(&at, msg->sync.buckets, msg->sync.bucket_count * sizeof(uint64_t));
    if (msg->kind == WIRE_DIFF) {
        msg->diff.have =
            message_part(&at, msg->diff.have, msg->diff.have_count * sizeof(struct wire_digest));
        msg->diff.cover.data = message_part(&at, msg->diff.cover.data, msg->diff.cover.len);
    }
    return memory;
}

#endif
