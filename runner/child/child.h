/* child: runs one program under supervision, on the event loop.
 *
 * Nothing is inherited: the environment is the given one, descriptors are the given ones and 0 to
 * 2, signals have their defaults, and the child leads a session and a process group of its own. It
 * dies with the process that started it, kill -9 included (PR_SET_PDEATHSIG). What is left of its
 * process group when it is over is killed; a jail (runner/jail) takes its whole pid namespace with
 * it.
 *
 * Its end is noticed through a pidfd, so that any number of children and other users of SIGCHLD
 * live side by side. Decisions are supervise.h's.
 */
#ifndef RUNNER_CHILD_CHILD_H
#define RUNNER_CHILD_CHILD_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/child/cgroup.h"
#include "runner/child/supervise.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child;
struct event_base;

enum child_stream_kind {
    CHILD_DISCARD, /* to /dev/null, uncounted */
    CHILD_COLLECT, /* keep head_bytes of the beginning and tail_bytes of the end; count all */
    CHILD_FD,      /* straight to `fd`, which is borrowed until child_start() returns */
    CHILD_BYTES,   /* hand them to `on_bytes` as they come; keep none, count all */
};

typedef void child_bytes_fn(void *arg, const void *bytes, size_t len);

struct child_stream {
    enum child_stream_kind kind;
    size_t head_bytes;
    size_t tail_bytes;
    int fd;
    child_bytes_fn *on_bytes; /* with the `arg` of child_start() */
};

/* Descriptor `from` of ours is `to` of the child's; `to` > 2. Borrowed until child_start() returns.
 */
struct child_fd {
    int from;
    int to;
};

/* 0 means no limit, unless said. */
struct child_limits {
    uint64_t wall_ms;
    uint64_t cpu_ms;       /* of the tree, looked at every 100 ms; also RLIMIT_CPU, rounded up */
    uint64_t output_bytes; /* collected and handed streams together */
    uint64_t memory_bytes; /* of the tree: by the cgroup when given, else summed RSS every 100 ms */
    uint64_t file_bytes;   /* RLIMIT_FSIZE */
    uint64_t descriptors;  /* RLIMIT_NOFILE */
    uint64_t processes;    /* RLIMIT_NPROC: counts the uid everywhere, and does not bind root */
    uint64_t address_bytes; /* RLIMIT_AS, a process */
};

struct child_spec {
    const char *const *argv; /* argv[0] is a path; PATH is not searched */
    const char *const *envp; /* whole; NULL: empty */
    const char *cwd;         /* NULL: "/" */
    int stdin_fd;            /* 0: /dev/null; else borrowed until child_start() returns */
    struct child_stream out;
    struct child_stream err;
    const struct child_fd *fds;
    size_t fd_count;
    struct child_limits limits; /* core files are always off */
    int nice;                   /* at least so nice, 0..19 */
    int oom_score_adj;          /* 0: inherited; a jail takes 1000 */
    struct cgroup *cgroup;      /* NULL: none. Borrowed until done; begun by child_start() */
};

struct child_result {
    struct supervise_verdict verdict;
    struct buf out; /* collected; on CHILD_COLLECT only */
    struct buf err;
    uint64_t out_bytes; /* all that came, kept or not */
    uint64_t err_bytes;
    uint64_t wall_ms;
    uint64_t cpu_ms; /* of what was reaped, and of the tree when it was last looked at */
    uint64_t
        max_rss_bytes; /* the larger of the largest process, the tree as seen, the cgroup's peak */
    char
        text[ERR_TEXT_MAX]; /* what happened, for people: "memory limit: used 312 MiB of 256 MiB" */
};

/* Told once, from the loop, never from within child_start(). `result` is borrowed for the call;
 * steal its bufs to keep them. The child is freed behind it. */
typedef void child_done_fn(void *arg, struct child_result *result);

/* Starts a child. Returns a handle, valid until `done` has returned. Borrows `spec` and what it
 * points to for the call. A program that cannot be executed is reported here, not through `done`.
 * Errors (NULL): ERR_NOT_FOUND no such program, ERR_INVALID a spec that makes no sense, ERR_IO. */
struct child *child_start(struct event_base *base, const struct child_spec *spec,
                          child_done_fn *done, void *arg, struct err *err) ERR_CHECKED;

/* Asks it to end: the ladder begins; `done` follows within a second with SUPERVISE_CANCELLED, or
 * with what it did by itself before. */
void child_stop(struct child *self);

/* Ends it because of a limit that the caller measures (disk, processes …). */
void child_limit(struct child *self, enum supervise_limit limit, uint64_t used, uint64_t allowed);

/* Kills it at once and forgets it; `done` is never called. For the node's own end. */
void child_drop(struct child *self);

pid_t child_pid(const struct child *self);

#endif
