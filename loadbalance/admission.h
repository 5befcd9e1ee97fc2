/* admission: is one more evaluation taken in, or told to come back?
 *
 * A queue that only grows makes everybody wait; a refusal with a time says when it makes sense to
 * try again (RFC 6585, 429; RFC 9110, 10.2.3 Retry-After).
 */
#ifndef LOADBALANCE_ADMISSION_H
#define LOADBALANCE_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_DRAIN_MAX_MS 600000
#define ADMISSION_QUEUED_MAX   10000
#define ADMISSION_UPLOADS_MAX  8

struct admission_state {
    bool is_draining;
    bool is_writable;         /* the store can append */
    bool is_repairing;        /* the store lost something and fetches it from others */
    uint32_t replicas;        /* nodes that could keep a copy now, this one too */
    uint32_t replicas_wanted; /* the fewest that an answer needs; 1 in a mesh of one */
    uint32_t uploads;         /* that are being received */
    uint64_t queued_modules;  /* on this node's own queue */
    uint64_t queued_ms;       /* predicted, of everything that is queued in the mesh */
    uint64_t running_left_ms; /* predicted, of what runs */
    uint32_t slots;           /* of all nodes that are alive */
};

enum admission_verdict {
    ADMISSION_OK,
    ADMISSION_DRAINING,    /* 503 */
    ADMISSION_UNWRITABLE,  /* 503 */
    ADMISSION_REPAIRING,   /* 503 */
    ADMISSION_NO_REPLICAS, /* 503 */
    ADMISSION_NO_SLOTS,    /* 503: nobody could run it */
    ADMISSION_UPLOADS,     /* 429 */
    ADMISSION_BUSY,        /* 429 */
};

struct admission {
    enum admission_verdict verdict;
    int status;             /* 202, 429 or 503 */
    uint32_t retry_after_s; /* 1 … 60; 0 where it is taken in */
};

struct admission admission_judge(const struct admission_state *state);

/* How long the mesh needs for what it has, in ms: predicted work over slots, at least one slot. */
uint64_t admission_drain_ms(const struct admission_state *state);

#endif
