/* engine: runs jobs and says honestly what came of each.
 *
 * A job is one test module (or one question about a project) in a process of its own: forked from a
 * warm server of its environment, isolated, limited, watched from outside. The harness in it sends
 * records; this module reads them, holds the wall clock, counts output, ends what must end and
 * folds everything into one result. All calls are made on the loop's thread and none blocks;
 * callbacks come from the loop, never from inside engine_start() or job_cancel().
 *
 *   engine_start ─ server of the environment (started on demand) ─ fork ─ sandbox ─ pytest.main
 *        │                                                                 │ records, output
 *        └── begin ── progress* ── done  (exactly once, also after job_cancel) ◄──┘
 */
#ifndef RUNNER_JOB_ENGINE_H
#define RUNNER_JOB_ENGINE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/job/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct engine;
struct job;

enum engine_isolation {
    ENGINE_JAILED,      /* tier A: nothing else is ever tried */
    ENGINE_UNSANDBOXED, /* the operator's own risk: plain processes, project copied to a folder */
};

struct engine_config {
    const char *runtime_dir; /* where the harness is written to; absolute; read-only later */
    const char *temp_dir;    /* for unsandboxed copies; NULL: /tmp */
    enum engine_isolation isolation;
    bool fork_server;     /* false: a cold start for every job; same results */
    unsigned servers_max; /* warm servers kept, least recently used goes first; 0: 8 */
    unsigned uid_first;   /* jailed, as root: servers run as uids from here; 0: JAIL_UID_BASE */
    const char *helper;   /* jailed, as root: path of the program that has `--helper jail` */
};

struct job_bind {
    const char *source; /* host */
    const char *target; /* in the jail, read-only there */
};

/* Where a job's Python comes from. Equal `key` means the same environment: its jobs share a server.
 * Without a sandbox the program is `dir`/bin/python, or `python` where there is no `dir`. */
struct job_environment {
    const char *key;
    const char *dir;    /* the environment's folder on this host; NULL: none (bare: no pytest) */
    const char *python; /* interpreter as the job sees it: /env/bin/python, or a host path */
    const struct job_bind *binds; /* all that the interpreter needs beside /usr, /env included */
    size_t bind_count;
};

struct job_limits {
    uint64_t wall_ms;
    uint64_t cpu_ms;
    uint64_t memory_bytes;
    uint64_t processes;
    uint64_t file_bytes; /* one file */
    uint64_t tmp_bytes;  /* all that the job may write */
    uint64_t descriptors;
    uint64_t output_bytes; /* stop there; 32 KiB of its head and 32 KiB of its tail are kept */
};

/* The defaults: 300 s wall, 300 s CPU, 1 GiB, 64 processes, 64 MiB a file, 256 MiB, 256
 * descriptors, 64 MiB output. */
#define JOB_LIMITS_DEFAULT                                                                         \
    {                                                                                              \
        .wall_ms = 300000, .cpu_ms = 300000, .memory_bytes = UINT64_C(1) << 30, .processes = 64,   \
        .file_bytes = UINT64_C(64) << 20, .tmp_bytes = UINT64_C(256) << 20, .descriptors = 256,    \
        .output_bytes = UINT64_C(64) << 20                                                         \
    }

#define JOB_LAYERS_MAX 4
#define JOB_ARGS_MAX   32

struct job_spec {
    enum job_kind kind;
    struct job_environment environment;
    const char *layers[JOB_LAYERS_MAX]; /* host folders that make the tree, bottom first */
    size_t layer_count;
    const char *output_dir; /* compile, install: an empty host folder for the layer; else NULL */
    const char *project;    /* the tree's folder name in the job: /work/<project> */
    const char *module;     /* run: path relative to the tree, '/' separated; else NULL */
    /* run: more arguments for pytest, job_arg_allowed() each. install: the build backend
     * ("module:object"), then where in the tree it is looked for. */
    const char *args[JOB_ARGS_MAX];
    size_t arg_count;
    struct job_limits limits;
    unsigned slot; /* no two live jobs have the same */
};

struct job_output {
    struct buf kept;      /* head, a line that says how much was left out, tail */
    uint64_t total_bytes; /* all that was printed */
};

/* Lent to the `done` callback; what it takes out of the buffers (buf_steal) is the caller's. */
struct job_result {
    struct verdict_result verdict; /* outcome, blame, message, counts, exit code */
    enum job_limit limit;          /* the one that struck, or that was met; with used and allowed */
    uint64_t limit_used;
    uint64_t limit_allowed;
    struct buf cases; /* JSON lines, see verdict_conclude() */
    struct job_output output;
    uint64_t wall_ms;
    uint64_t cpu_ms;
    uint64_t max_rss_bytes;
    int wait_status;
    const struct verdict_module *modules; /* discover: in the order of pytest; borrowed */
    size_t module_count;
    struct buf blob; /* describe, compile, install: JSON text */
    bool cold_start; /* it ran without a warm server */
};

struct job_callbacks {
    /* The job's own process says that it lives. May be NULL. */
    void (*begin)(void *arg, struct job *job);
    /* Counts so far, at most ten times a second. May be NULL. */
    void (*progress)(void *arg, struct job *job, const struct job_counts *counts);
    /* The end, with no process of the job alive. `job` is freed when it returns. */
    void (*done)(void *arg, struct job *job, struct job_result *result);
};

/* Writes the harness into `dir` (made, mode 0755). Errors: ERR_IO. */
int engine_write_runtime(const char *dir, struct err *err) ERR_CHECKED;

/* Copies `config`. Writes the harness. Returns owned, NULL on error. Errors: ERR_IO. */
struct engine *engine_new(struct event_base *base, const struct engine_config *config,
                          struct err *err);

/* Ends every server at once and frees. Jobs that live are ended without their callback. */
void engine_free(struct engine *self);

/* Starts a job. Copies `spec` and `callbacks`. What fails later comes through `done`. Returns
 * borrowed, valid until `done` returns; NULL on error. Errors: ERR_INVALID (a spec that makes no
 * sense), ERR_IO (no descriptors left). */
struct job *engine_start(struct engine *self, const struct job_spec *spec,
                         const struct job_callbacks *callbacks, void *arg, struct err *err);

/* Ends the job; `done` still comes, with outcome cancelled. Harmless when it is ending already. */
void job_cancel(struct job *self);

/* Ends the idle servers of an environment that is being removed: a later one of the same key is
 * another folder. Nobody removes an environment that has jobs. */
void engine_forget(struct engine *self, const char *key);

/* True when users may pass this argument to pytest: "-kEXPR" and "-mEXPR" with the value in the
 * same argument, verbosity, -x, --maxfail=N, --tb=STYLE and the like; nothing that loads code,
 * writes files or changes what is run. */
bool job_arg_allowed(const char *arg);

#endif
