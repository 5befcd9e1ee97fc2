/* verdict: what a job's records, its end and its limits say together.
 *
 * Pure. It is fed with the packets of the record socket as they come and with the facts that only
 * the supervisor knows (how the process ended, which limit struck), and then says one outcome,
 * whose fault it was, the counts and one line of JSON for each test. The rules, first match wins:
 *
 *   cancelled by us                          cancelled
 *   our machinery failed (no begin record,   lost             blame cluster
 *     server died, sandbox not made)
 *   the project cannot be set up             setup_failed     blame project
 *   a limit struck                           timeout | oom | output_limit; unreported tests: error
 *   records that do not fit each other       error            "tampered"
 *   ended by a signal, no end record         crashed
 *   ended otherwise, no end record           error            os._exit() and the like
 *   a collector failed                       error            blame project when nothing was
 * collected pytest itself failed (exit status 3, 4)  error a test in error or never reported error
 *   a test failed                            failed
 *   tests, all skipped                       skipped
 *   no test                                  no_tests
 *   else                                     passed           even where pytest's exit status is
 * not 0
 *
 * Limits of processes, file sizes and disk stop nothing: the job is answered with an error, and
 * what it makes of that is judged as above. Where it ended badly the message begins with the limit.
 *
 * A test's outcome is the worst of its phases; failing outside of the call is an error; one that
 * was collected and of which no call was reported is an error too, unless it had been deselected
 * through pytest's hook before. */
#ifndef RUNNER_JOB_VERDICT_H
#define RUNNER_JOB_VERDICT_H

#include "proto/base/buf.h"
#include "runner/job/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The vocabulary of results, the same on the wire, in JSON and on disk. */
enum job_outcome {
    JOB_PASSED,
    JOB_FAILED,
    JOB_ERROR,
    JOB_SKIPPED,
    JOB_TIMEOUT,
    JOB_OOM,
    JOB_OUTPUT_LIMIT,
    JOB_CRASHED,
    JOB_SETUP_FAILED,
    JOB_NO_TESTS,
    JOB_CANCELLED,
    JOB_LOST,
    JOB_OUTCOMES,
};

enum job_blame { JOB_BLAME_NONE, JOB_BLAME_TESTS, JOB_BLAME_PROJECT, JOB_BLAME_CLUSTER };

/* "passed", "output_limit", ...; static. */
const char *job_outcome_name(enum job_outcome outcome);

/* "tests", "project", "cluster"; NULL for JOB_BLAME_NONE; static. */
const char *job_blame_name(enum job_blame blame);

struct job_counts {
    uint32_t passed;
    uint32_t failed;
    uint32_t errors;
    uint32_t skipped;
    uint32_t xfailed;
    uint32_t xpassed; /* counts as passed in marks */
};

enum job_limit {
    JOB_LIMIT_NONE,
    JOB_LIMIT_WALL,      /* ms */
    JOB_LIMIT_CPU,       /* ms */
    JOB_LIMIT_MEMORY,    /* bytes */
    JOB_LIMIT_PROCESSES, /* count */
    JOB_LIMIT_FILE,      /* bytes */
    JOB_LIMIT_TMP,       /* bytes */
    JOB_LIMIT_INODES,    /* count: files and folders on the same disk */
    JOB_LIMIT_OUTPUT,    /* bytes */
};

/* "wall", "cpu", "memory", ...; NULL for none; static. */
const char *job_limit_name(enum job_limit limit);

enum job_kind {
    JOB_RUN,      /* a module's tests */
    JOB_DISCOVER, /* which files pytest would collect from */
    JOB_COMPILE,  /* .pyc files into a layer; runs no code of the project */
    JOB_DESCRIBE, /* what a project declares; runs no code of the project */
    JOB_INSTALL,  /* the project into a layer, in editable form; runs its build */
};

/* How the job came to its end, as the supervisor saw it. */
struct job_end {
    bool cancelled;
    bool lost;             /* our own machinery failed; `text` says how */
    bool setup_failed;     /* the project could not be set up; `text` says why */
    const char *text;      /* borrowed for the call; NULL for none */
    enum job_limit struck; /* the limit for which it was stopped */
    enum job_limit met;    /* one that it met and that stopped nothing: explains, never judges */
    uint64_t used;         /* of the one or the other */
    uint64_t allowed;
    int wait_status;     /* as of waitpid(2) */
    bool foreign_record; /* a record came from a process that is not the job's */
};

#define VERDICT_CASES_BYTES 16777216 /* of JSON lines a module; texts are dropped first */
#define VERDICT_IDS_BYTES   8388608  /* of node ids a module */
#define VERDICT_MESSAGE     1024

struct verdict_module {
    char *path; /* owned */
    uint64_t bytes;
};

struct verdict_case; /* one collected test */
struct verdict_problem;

struct verdict {
    enum job_kind kind;
    const char
        *module; /* borrowed; the path that a module-wide error is filed under; may be NULL */
    struct record_order order;
    const char *tampered; /* static text, NULL while all records fit */
    bool begun;
    bool ended;
    int64_t exit_status; /* pytest's, once ended */
    struct verdict_case *cases;
    size_t case_count;
    size_t case_capacity;
    size_t text_bytes; /* of ids and texts held */
    size_t id_bytes;
    struct verdict_problem *problems;
    size_t problem_count;
    size_t problem_capacity;
    uint32_t deselected;
    bool says_full;      /* a test was told that there is no space left: its own word */
    struct buf internal; /* pytest's internal error */
    struct verdict_module *modules;
    size_t module_count;
    size_t module_capacity;
    struct buf blob;
    uint32_t finished;        /* tests with their last phase reported */
    struct job_counts counts; /* of finished tests, while it runs */
};

/* Prepares for one job. Borrows `module` for as long as `self` lives. */
void verdict_init(struct verdict *self, enum job_kind kind, const char *module);
void verdict_fini(struct verdict *self);

/* Takes one packet of the record socket; whatever is wrong with it is remembered. Returns true when
 * a test was finished by it, so that progress can be shown. */
bool verdict_take(struct verdict *self, const void *packet, size_t len);

/* What the module comes to. */
struct verdict_result {
    enum job_outcome outcome;
    enum job_blame blame;
    char message[VERDICT_MESSAGE]; /* one line for people; empty where there is nothing to say */
    struct job_counts counts;
    uint32_t deselected;
    bool tampered;
    int exit_code; /* pytest's exit status; -1 when it said none */
};

/* Judges, and appends one JSON line a test to `cases` ({"test", "outcome", "time", "message"?,
 * "longrepr"?, "stdout"?, "stderr"?}, then a newline), bounded by VERDICT_CASES_BYTES. `output` is
 * the end of what the job printed, shown where the job died without a word of its own; may be NULL.
 */
void verdict_conclude(struct verdict *self, const struct job_end *end, const char *output,
                      struct buf *cases, struct verdict_result *out);

#endif
