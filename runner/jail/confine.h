/* confine: puts one job of a running template into a sandbox of its own, in a fraction of a
 * millisecond.
 *
 * The template (jail.h) is a bubblewrap sandbox in which a fork server runs as uid 0 of a user
 * namespace of its own, with CAP_SYS_ADMIN there and no right outside. For each job:
 *
 *     server (template)                init (pid 1 of the job)           payload (pid 2)
 *     confine_before_fork()
 *     fork() ------------------------> confine_enter(spec, layers…)
 *     confine_after_fork()             fork() -------------------------> confine_payload(spec)
 *                                      confine_init_reap(payload, fd)    project code
 *     waitpid(init)  <---------------- exits: the pid namespace dies
 *
 * After confine_enter() the job has its own mount, network (lo is up), ipc and uts namespaces, its
 * own /proc, and fresh, limited, writable /tmp, /dev/shm and project folder (one tmpfs, one size);
 * all else is read-only. After confine_payload() it is an unprivileged user (uid 1000 of a user
 * namespace of its own), with no capability anywhere, limits and a seccomp filter. SIGKILL of init
 * (from outside) ends all of it at once; the payload cannot signal, stop or trace init.
 *
 * The same code is a static part of testmesh and a shared object without dependencies but libc,
 * testmesh-confine.so, that Python calls through ctypes. Nothing here allocates or takes a lock, so
 * that it may be called in a child of a process with threads. All functions return 0 or -1, and
 * fill `error` with a sentence when there is one; after a failure the process is to _exit: half a
 * sandbox is none, and the job is a fault of the cluster.
 *
 * Python:
 *
 *     lib = ctypes.CDLL(path)                    # use_errno is not needed
 *     error = ctypes.create_string_buffer(512)
 *     fds = (ctypes.c_int * len(layers))(*layers)
 *     lib.confine_enter(spec, ctypes.c_size_t(len(spec)), fds, ctypes.c_size_t(len(layers)),
 *                       ctypes.c_int(cgroup_fd), error, ctypes.c_size_t(len(error)))
 *
 * `spec` is opaque bytes to its carrier (it ends with its own size inside): the node builds it with
 * confine_spec_build() (confine_spec.h), the control socket hands it on.
 */
#ifndef RUNNER_JAIL_CONFINE_H
#define RUNNER_JAIL_CONFINE_H

#include <stddef.h>
#include <stdint.h>

#define CONFINE_VERSION 2

/* The payload's uid and gid inside. */
#define CONFINE_UID 1000

#define CONFINE_PATH_MAX 256
#define CONFINE_SPEC_MAX 65536 /* bytes, filter included */

/* The most folders that one layer may be deep. */
#define CONFINE_DEPTH_MAX 200

enum confine_flag {
    CONFINE_RLIMIT_AS = 1, /* memory_bytes as RLIMIT_AS a process: where no cgroup is writable */
    CONFINE_KEEP_NET = 2,  /* stay in the template's network namespace */
};

/* Fixed-width, native byte order, no padding; `filter_count` BPF instructions of 8 bytes follow. */
struct confine_spec {
    uint32_t version; /* CONFINE_VERSION */
    uint32_t size;    /* bytes, filter included */
    uint32_t flags;
    uint32_t filter_count;
    /* 0: no limit */
    uint64_t memory_bytes;
    uint64_t cpu_seconds; /* a process; SIGXCPU, then SIGKILL a second later */
    uint64_t file_bytes;
    uint64_t processes;   /* of this job alone: counted in its user namespace */
    uint64_t descriptors; /* a process */
    uint64_t tmp_bytes;   /* of project folder, /tmp and /dev/shm together */
    uint64_t tmp_inodes;
    char project[CONFINE_PATH_MAX]; /* "/work/<name>": "/work" is a folder of the template */
    char hostname[64];
};

enum confine_end_flag {
    CONFINE_END_FILE_REFUSED = 1, /* a write was refused for file_bytes */
    CONFINE_END_FILE_FULL = 2,    /* it left a file of just file_bytes */
    CONFINE_END_TMP_FULL = 4,     /* tmp_bytes were used up at some moment */
    CONFINE_END_INODES_FULL = 8,  /* tmp_inodes were */
};

/* What init says at the end; fixed-width, native byte order, no padding. The flags and figures are
 * for explaining a result: the payload can bring all of them about, and a limit that was met for a
 * moment only may go unseen. */
struct confine_end {
    int32_t wait_status; /* of the payload, as wait(2) gives it */
    uint32_t flags;
    uint64_t tmp_bytes;  /* the most that was seen in use */
    uint64_t tmp_inodes; /* the same */
};

/* In the server, around fork(): the next child is pid 1 of a new pid namespace, and a network is
 * laid ready for it (kept from an earlier job, where nothing is left in one); afterwards the
 * server's children are its neighbours again. confine_after_fork() is for the server only, also
 * when fork() failed. A server for which one of them fails is of no more use, and ends. */
int confine_before_fork(void);
int confine_after_fork(void);

/* In init. `layer_fds` are folders (O_PATH suffices) whose trees are copied into the project
 * folder, in order, later ones over earlier ones; modification times and execute bits are kept,
 * special files are refused. They are closed on the way. `cgroup_procs_fd` is an open cgroup.procs,
 * or -1; it is closed too. Takes the working folder to the project.
 *
 * The copy fails with a sentence that ends in "(project too large)" when it does not fit the
 * limits: that is the project's fault; everything else is the cluster's. */
int confine_enter(const void *spec, size_t len, const int *layer_fds, size_t layer_count,
                  int cgroup_procs_fd, char *error, size_t error_size);

/* In the payload: the working folder is the project, a new session, no capability, no new
 * privileges, the limits, and last the seccomp filter. Descriptors stay as they are: see
 * confine_close_others(). */
int confine_payload(const void *spec, size_t len, char *error, size_t error_size);

/* Closes every descriptor but 0, 1, 2 and the `count` that are kept. */
int confine_close_others(const int *keep, size_t count);

/* In init, instead of a loop of its own; never returns. Closes every descriptor but `status_fd`,
 * reaps whatever ends, and when the payload has ended, exits, whereupon the kernel kills what is
 * left in the namespace.
 *
 * How it ended: with `status_fd` >= 0 (a pipe or socket), a struct confine_end is written there
 * first, in one piece, and init exits with 0. End of file without one: init itself was killed,
 * which only we or the kernel's memory killer do. With -1, init exits with the payload's code, or
 * 128 + signal, which is ambiguous for codes above 128. (Init cannot die of the payload's signal:
 * the kernel shields pid 1.) */
void confine_init_reap(int payload_pid, int status_fd) __attribute__((noreturn));

#endif
