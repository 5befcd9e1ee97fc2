/* env: Python environments, built once per key and shared read-only.
 *
 * What makes two environments equal is hashed into a key: interpreter, installer, index and the
 * canonical requirements (requirements.h). One key is built once, whoever asks meanwhile waits for
 * the same build; a finished one is a folder that is never changed again and that every job of that
 * key sees read-only at ENV_ROOT.
 *
 *   data/envs/<key>/   bin/python, lib/…, pyvenv.cfg and, written last, when all that is on disk,
 *                      the marker .testmesh.json: without it the folder is half built, and removed
 *                      at start
 *   data/envs/tmp/     what goes away: private caches, folders on their way out
 *   data/envs/cache/   the installer's cache of wheels; thrown away when it is over a quarter of
 *                      what environments may take
 *   data/envs/pyc/     byte code that environments share (pyc.h); no jail sees it
 *
 * A build is a run of children, never on the loop. With uv:
 *
 *   resolve   which versions: those that plain `pip install` would choose. A source-only package
 *             may be asked for its metadata, which runs its code: with a cache that is thrown away
 *   wheels    those versions, all of them from wheels: no stranger's code runs, so this step may
 *             use the cache that all share
 *   builds    only where a chosen version has no wheel; with the cache that is thrown away
 *
 * (`--no-build` alone would take an older version that has a wheel, and install something else
 * than the user has at home. Where every requirement is one exact version, wheels come first, and
 * the resolver only when something that has no version came along, or when that failed.) With pip
 * one step does it all, without a shared cache. Then:
 *
 *   look      links the byte code that is known already (pyc.h)
 *   compile   what is not known, by a bare `python -I -S` that sees the environment read-only,
 *             without network and cache: a package's .pth file would run there, and does not
 *   seal      owner and modes, size, pytest's version; then the marker
 *
 * What a build writes is measured while it installs, and again when it is sealed: too much is the
 * project's fault ("package-too-large").
 *
 * What installs in a jail has a network of its own, and reaches the hosts of the index in force, of
 * further indexes and find-links, and those named in the configuration; nothing else (egress.h).
 *
 * A build that fails is remembered for a while with its log, so that 300 uploads of one mistake
 * cost one build.
 */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include "proto/base/err.h"
#include "proto/base/histogram.h"
#include "runner/env/describe.h"
#include "runner/env/python.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an environment is seen in every jail, at build time and later: first lines of scripts and
 * byte code carry this path. */
#define ENV_ROOT   "/env"
#define ENV_PYTHON "/env/bin/python"

#define ENV_BINDS_MAX 12
/* Kept of a build's output, at its head and again at its tail. */
#define ENV_LOG_BYTES ((size_t)64 << 10)

struct egress;

enum env_installer { ENV_INSTALLER_AUTO, ENV_INSTALLER_UV, ENV_INSTALLER_PIP };

struct env_config {
    const char *dir; /* data/envs; made when absent */
    const char *const *pythons;
    size_t python_count; /* 0: python3 on PATH */
    enum env_installer installer;
    const char *uv;              /* the program; NULL: uv on PATH */
    const char *const *settings; /* the node's environment; NULL: environ. Only the names in
                                    settings.h are ever taken from it */
    const char *self;            /* this program, absolute, for `--helper` */
    const char *runtime_dir;     /* where jail_write_runtime() has been; NULL: builds are unjailed,
                                    as --allow-unsandboxed has it, and root is the folder itself */
    uid_t uid;                   /* who installs when the node is root; 0: JAIL_UID_BASE */
    uint32_t build_wall_ms;      /* 0: 600,000 */
    uint32_t failure_ms;         /* a failure is remembered for, 0: 300,000 */
    uint64_t cap_bytes;          /* finished environments in all, 0: 8 GiB */
    uint64_t build_max_bytes;    /* all that one build writes; 0: half of cap_bytes */
    unsigned builds_max;         /* at once, 0: 4; they wait for the network */
    bool allow_urls;             /* name @ https://… */
    struct egress *egress;       /* the way out of those who install in a jail; NULL: the machine's
                                    network. Borrowed for the life of the store */
    const char *const *index_hosts; /* HOST or HOST:PORT, of which an index serves files */
    size_t index_host_count;
    bool is_cache_suspect; /* the power may have gone: caches hold what never reached the disk.
                              They are made anew; environments were synced before their marker */
    /* An environment went to make room; its key may be built anew, into another folder. From the
     * loop or from within env_release(). May be NULL. */
    void (*evicted)(void *arg, const char *key);
    void *evicted_arg;
};

struct env_bind {
    const char *source; /* host */
    const char *target; /* jail; read-only there */
};

/* A finished environment; borrowed, until env_release(). */
struct env {
    const char *key;  /* 64 hex digits */
    const char *dir;  /* on the host, absolute */
    const char *root; /* ENV_ROOT; unjailed: dir */
    const char *python;
    const char *site_packages; /* in the jail */
    struct env_bind binds[ENV_BINDS_MAX];
    size_t bind_count; /* dir at ENV_ROOT first, then what the interpreter needs */
    const struct python *interpreter;
    const char *python_version; /* "3.11.7" */
    const char *pytest_version; /* "8.4.2" */
    uint64_t bytes;
    bool hit; /* existed when it was asked for */
};

enum env_blame { ENV_BLAME_PROJECT, ENV_BLAME_CLUSTER };

/* Why there is none; the outcome is setup_failed. Borrowed, for the time of the callback. */
struct env_failure {
    enum env_blame blame;
    const char *reason;  /* stable: "package-not-found", "package-conflict", "package-build",
                            "requirement-…", "index-unreachable", "disk-full", "timeout", … */
    const char *message; /* one or a few lines for the user, with the installer's words */
    const char *log;     /* head and tail of the build's output, secrets blotted out; may be "" */
};

struct env_request {
    const char *requirements; /* describe.requirements; NULL or "": the base environment */
    const char *constraints;  /* describe.constraints; may be NULL */
    const char *python;       /* requires-python; may be NULL */
    const char *name;         /* who asks, for the log ("course/alice"); may be NULL */
};

/* Called once per env_acquire(), from the loop and never from within it. Exactly one of the two is
 * not NULL. An env must be given back with env_release(). */
typedef void env_done_fn(void *arg, const struct env *env, const struct env_failure *failure);

struct env_store;
struct env_ticket;

/* Opens the store: asks the interpreters, removes what was half built, finds what is finished.
 * Blocks for 0.1 s or so. Copies `config`'s texts. Returns owned, or NULL. Errors: ERR_NOT_FOUND
 * (no Python), ERR_UNAVAILABLE (no installer), ERR_IO. */
struct env_store *env_store_new(struct event_base *base, const struct env_config *config,
                                struct err *err) ERR_CHECKED;

/* Stops builds (their callbacks are not called) and frees. Environments stay on disk. */
void env_store_free(struct env_store *self_owned);

/* Asks for an environment. Copies `request`. Returns borrowed, good until `done` is called; for
 * env_cancel(). Cannot fail: refusals reach `done` as well. */
struct env_ticket *env_acquire(struct env_store *self, const struct env_request *request,
                               env_done_fn *done, void *arg);

/* Forgets a request: `done` will not be called. The last one to leave stops the build. */
void env_cancel(struct env_ticket *ticket_owned);

/* Gives an environment back. It stays on disk until its room is needed. */
void env_release(struct env_store *self, const struct env *env);

/* What the banner and `doctor` tell; borrowed for the life of the store. */
const struct python *env_store_pythons(const struct env_store *self, size_t *count);
const char *env_store_installer(const struct env_store *self); /* "uv 0.13.9", "pip 23.0.1" */
const char *env_store_warning(const struct env_store *self);   /* NULL when there is none */

/* What is there, and what was done since the store was opened. */
struct env_stats {
    size_t ready;    /* environments on the disk */
    uint64_t bytes;  /* of those */
    size_t waiting;  /* builds that wait for their turn */
    size_t building; /* under way */
    uint64_t hits;   /* requests whose environment was there */
    uint64_t misses; /* that waited for a build, or met one's failure */
    uint64_t built;
    uint64_t failed[2]; /* by enum env_blame */
    uint64_t evicted;
    struct histogram build; /* of those that were built, from the request on */
};
void env_store_stats(const struct env_store *self, struct env_stats *out);

/* `testmesh --helper env …`: seals a built tree, removes trees; for the store's own use.
 * Takes the whole command line. */
int helper_env_main(int argc, char **argv);

#endif
