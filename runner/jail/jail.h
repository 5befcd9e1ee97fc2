/* jail: the sandbox that a child (runner/child) is started in.
 *
 * Tier A: user, mount, pid, net, ipc and uts namespaces made by bubblewrap; a read-only root of the
 * machine's /usr and what the caller binds; a small /etc of our own; private /proc, /dev, /dev/shm
 * and /tmp; a network of its own with lo up. Inside, the first program is uid 1000 without any
 * capability and under the seccomp filter of confine_spec.h (a plain jail), or uid 0 of its own
 * user namespace with the three capabilities that confine.h needs (a template). Outside, it is an
 * unprivileged uid: the slot's when the node is root, the node's else.
 *
 * As root a plain `bwrap --uid` would keep the host's uid 0, and dropping the uid first would lose
 * sight of sources below a 0700 folder. So a helper of this binary (`--helper jail`) goes between:
 * it takes a private mount namespace, binds every source below a folder of mode 0755, drops to the
 * slot's uid, and then executes bubblewrap on the staged names.
 */
#ifndef RUNNER_JAIL_JAIL_H
#define RUNNER_JAIL_JAIL_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/child/child.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JAIL_HOSTNAME "testmesh"

/* The first uid of slots when the node is root; --slot-uid-base. */
#define JAIL_UID_BASE 20000

enum jail_network {
    JAIL_NETWORK_NONE, /* a namespace of its own, lo up */
    JAIL_NETWORK_HOST, /* the machine's: for installers that have no gate */
};

struct jail_bind {
    const char *source; /* on the host; a link is followed */
    const char *target; /* absolute path inside; NULL: as `source` */
    bool writable;      /* by `uid`: the caller sees to owner or mode */
    bool optional;      /* skipped when the source is absent */
};

struct jail_spec {
    const char *runtime_dir; /* where jail_write_runtime() has been */
    const char *helper;      /* path of this binary, "/proc/self/exe" resolved */
    const char *bwrap;       /* NULL: found on PATH */
    const struct jail_bind *binds;
    size_t bind_count;
    enum jail_network network;
    int gate_fd;        /* > 0: the program starts behind a gate (gate.h), which goes out by this
                           socket; borrowed until jail_start() returns. Not for templates */
    bool is_template;   /* keeps CAP_SYS_ADMIN, NET_ADMIN and SETFCAP in its own namespace */
    bool without_proc;  /* leave /proc empty; so is every jail after a jail_probe() that found
                         * that it cannot be mounted */
    uid_t uid;          /* outside, when the node is root; 0: JAIL_UID_BASE */
    uint64_t tmp_bytes; /* of /tmp and, again, of /dev/shm; 0: 256 MiB */
    const char *cwd;    /* inside; NULL: "/tmp" */
    const char *const *argv; /* paths inside */
    const char *const *envp; /* whole; NULL: jail_default_env() */
};

/* What child_start() needs; owns its strings. */
struct jail_command {
    char **argv;
    size_t argc;
    char **envp;
};

/* Builds the command line of a child of this process, without the seccomp filter, for which a
 * descriptor is needed: jail_start() adds it. The environment is passed as it is, since a command
 * line is public; variables that steer the dynamic linker (LD_…, GLIBC_TUNABLES, GCONV_PATH) are
 * refused, because our helper runs with them as root. Errors: ERR_UNAVAILABLE without bubblewrap,
 * ERR_NOT_FOUND for an absent source, ERR_INVALID. */
int jail_command_build(const struct jail_spec *spec, struct jail_command *out,
                       struct err *err) ERR_CHECKED;
void jail_command_fini(struct jail_command *self);

/* child_start() in a jail: `child` says streams, descriptors, limits and cgroup; its argv, envp and
 * cwd are ignored, its oom_score_adj becomes 1000. Errors as of the two. */
struct child *jail_start(struct event_base *base, const struct jail_spec *spec,
                         const struct child_spec *child, child_done_fn *done, void *arg,
                         struct err *err) ERR_CHECKED;

/* The variables of a jailed program when the caller names none: PATH, HOME=/tmp, LANG=C.UTF-8,
 * USER, LOGNAME, TMPDIR; NULL-terminated, static. */
const char *const *jail_default_env(void);

/* Writes what a jail needs into a folder (made when absent, 0755): etc/, testmesh-confine.so and
 * testmesh-gate.
 * Blocks; for start-up. Errors: ERR_IO. */
int jail_write_runtime(const char *dir, struct err *err) ERR_CHECKED;

/* Name of the shared object in the runtime folder, and where a template sees it. */
#define JAIL_CONFINE_FILE "testmesh-confine.so"
#define JAIL_CONFINE_PATH "/opt/testmesh/testmesh-confine.so"

/* The same of the program that opens a gate. */
#define JAIL_GATE_FILE "testmesh-gate"
#define JAIL_GATE_PATH "/opt/testmesh/testmesh-gate"

/* What jails can do on this machine, found by trying. */
struct jail_report {
    char tier;          /* 'A', or '-' for none */
    bool confine_works; /* per-job sandboxes inside a template work */
    bool proc_works;    /* /proc can be mounted inside; else it is empty */
    char text[256];     /* for the banner: "A: namespaces, seccomp, cgroup v1 memory" */
    char problem[256];  /* why not, "" when all is well: "bwrap is not installed" */
    char advice[256];   /* what to do about it: "apt install bubblewrap" */
};

/* Tries for at most a few seconds. Blocks; for start-up and `doctor`. Borrows `runtime_dir`, which
 * jail_write_runtime() has filled, and `helper`, the path of this binary. */
void jail_probe(const char *runtime_dir, const char *helper, uid_t uid, struct jail_report *out);

/* `testmesh --helper jail …`: stages the sources, drops to the uid, executes bubblewrap. Runs as
 * root. Returns an exit code only on failure (125), with a sentence on standard error. */
int helper_jail_main(int argc, char **argv);

/* `testmesh --helper jail-probe`, inside a template: confines one job and reports. */
int helper_jail_probe_main(int argc, char **argv);

#endif
