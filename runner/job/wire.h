/* wire: the words between the engine and a server: a job's descriptor one way, answers the other.
 *
 * The server is our own code, yet it stands in a sandbox that strangers' code ran beneath, so its
 * answers are read like anything from outside. Pure. The other end is runner/harness/server.py. */
#ifndef RUNNER_JOB_WIRE_H
#define RUNNER_JOB_WIRE_H

#include "proto/base/buf.h"
#include "runner/jail/confine.h"
#include "runner/job/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_PROTOCOL   1
#define WIRE_ANSWER_MAX 4096

/* What a descriptor says beside the spec. Descriptors of the system travel next to it, in this
 * order: record socket, stdout, stderr, status pipe, layers, output folder, lists of cgroups. */
struct wire_job {
    uint64_t id;
    const struct job_spec *spec;
    const struct buf *confine; /* bytes of the sandbox; empty: none */
    const char *temp_dir;      /* unsandboxed: where copies are made; NULL in a jail */
    bool has_cgroup;           /* one counts its memory */
    unsigned cgroup_count;     /* to join: 0, 1, or 2 where another one counts processes */
};

/* Appends the descriptor. */
void wire_encode_job(const struct wire_job *job, struct buf *out);

enum wire_kind { WIRE_HELLO, WIRE_STARTED, WIRE_EXITED, WIRE_FAILED };

struct wire_answer {
    enum wire_kind kind;
    uint64_t id; /* of the job; all but hello */
    uint64_t protocol;
    int wait_status;         /* of the job's init */
    uint64_t cpu_us;         /* user and system, of init and all that was reaped */
    uint64_t max_rss_bytes;  /* of the largest process */
    struct cursor_text text; /* failed: why. hello: pytest's version, empty without */
};

/* Reads one packet; texts are borrowed from it. False when it is no answer of ours. */
bool wire_decode_answer(struct wire_answer *out, const void *packet, size_t len);

/* What the status pipe of a job said when it ended. */
enum wire_status_kind {
    WIRE_STATUS_NONE,    /* nothing: the job's init was killed */
    WIRE_STATUS_WAIT,    /* how the payload ended */
    WIRE_STATUS_REFUSED, /* the sandbox was not made; `text` says why */
};

struct wire_status {
    enum wire_status_kind kind;
    int wait_status;
    struct confine_end end; /* zeros without a sandbox */
    char text[512];
};

void wire_decode_status(struct wire_status *out, const void *bytes, size_t len);

#endif
