/* job_inner: what engine.c and job.c share: a job as it lives, and the engine's table of them. */
#ifndef RUNNER_JOB_JOB_INNER_H
#define RUNNER_JOB_JOB_INNER_H

#include "runner/child/capture.h"
#include "runner/child/cgroup.h"
#include "runner/child/supervise.h"
#include "runner/child/tree.h"
#include "runner/job/engine.h"
#include "runner/job/server.h"
#include "runner/job/wire.h"

#include <sys/types.h>

#define JOB_FDS_MAX      12
#define JOB_STATUS_BYTES 600

struct slot {
    struct cgroup cgroup; /* kind CGROUP_NONE where none can be made */
};

struct engine {
    struct event_base *base;
    struct engine_config config; /* owns its texts */
    struct cgroup_root cgroups;
    struct slot **slots; /* by number; NULL until used */
    size_t slot_count;
    struct server **servers; /* warm and cold, all that live */
    uint64_t *used_ms;       /* when each was last given a job */
    size_t server_count;
    size_t server_capacity;
    struct job *jobs; /* linked; live */
    struct event *tick;
    uint64_t next_id;
    uint64_t measured_ms;
    unsigned next_uid;
};

struct job {
    struct job *next;
    struct engine *engine;
    uint64_t id;
    struct job_callbacks callbacks;
    void *arg;
    char *module;     /* owned; NULL for none */
    char *output_dir; /* owned; NULL for none */
    struct job_limits limits;
    struct slot *slot;
    bool has_cgroup;                    /* the slot's group counts this job's memory */
    bool counts_processes;              /* and its processes */
    unsigned cgroup_count;              /* lists that it joins */
    struct job_environment environment; /* owned */

    struct server *server; /* borrowed; NULL before it has one and after it lost it */
    bool sent;
    bool cold;
    struct buf descriptor;
    int theirs[JOB_FDS_MAX]; /* owned until sent: what travels beside the descriptor */
    size_t their_count;

    int record;
    int output;
    int status;
    struct event *on_record;
    struct event *on_output;
    struct event *soon; /* ends a job that never ran, from the loop */

    int pidfd;       /* of its init; -1 before it started */
    pid_t pid;       /* of its init, for measuring; 0 for none */
    int owed_signal; /* to be sent as soon as there is a pidfd */
    pid_t payload;   /* who sent the first record */
    bool foreign_record;

    struct supervise supervise;
    struct verdict verdict;
    struct capture capture;
    uint64_t started_ms;
    uint64_t ended_ms;
    uint64_t progress_ms;
    bool progress_due;
    bool begun;
    bool lost;
    bool cpu_known;
    char lost_text[512];
    int wait_status;
    struct confine_end confined; /* what its init saw; zeros without a sandbox */
    size_t process_peak;         /* the most that were seen, init among them */
    uint64_t cpu_us;
    uint64_t max_rss_bytes;
    bool finished;
};

/* Makes the sockets, descriptors and bytes of a job. Errors: ERR_INVALID, ERR_NOT_FOUND, ERR_IO. */
int job_prepare(struct job *self, const struct job_spec *spec, struct err *err) ERR_CHECKED;

/* Hands it to its server, which is ready. A busy server is tried again at the next tick. */
void job_send(struct job *self);

/* What its server says of it. */
void job_started(struct job *self, int pidfd_owned);
void job_exited(struct job *self, const struct wire_answer *answer);

/* Our own machinery failed it. */
void job_lose(struct job *self, const char *why);

/* Judges, and calls `done`. */
void job_tell(struct job *self);

/* Ends its processes at once, without waiting. */
void job_kill(struct job *self);

/* Feeds the supervisor. A job that is over is finished by the loop, later. */
void job_step(struct job *self, const struct supervise_event *event);

/* Looks at time and at what its tree uses (zeros when unknown). */
void job_tick(struct job *self, uint64_t now_ms, const struct tree_usage *used);

/* Frees what it has; the engine has forgotten it already. */
void job_free(struct job *self_owned);

/* The engine's part of a job's end: takes it out of the table and tells the server's clock. */
void engine_forget_job(struct engine *self, struct job *job);

#endif
