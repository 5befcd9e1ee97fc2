/* supervise: decides what happens to one child, and what is said about it afterwards.
 *
 * A child is over when it has exited AND its streams have ended: exit alone loses the last
 * kilobytes, and a grandchild may hold a stream open for ever, so that a grace deadline closes
 * them. Whatever ends a child early (a limit, a stop) climbs the same ladder: rungs of a signal for
 * the whole tree and the time it is given to work. The first cause names the verdict; what follows
 * from it (the signal that the child then died of) does not.
 *
 *            STARTED          EXITED              all STREAM_EOF, or drain_ms over
 *   waiting ---------> running ----------> draining -------------------------------> done
 *      |                 |  LIMIT, STOP, TICK at the wall    ^
 *      | SPAWN_FAILED    +-----> stopping (ladder) ----------+ EXITED
 *      v                             | the last rung failed
 *     done                           +--------------------------> done (stuck)
 *
 * It knows neither processes nor clocks. Its driver is child.c; the supervisor of a job that runs
 * inside a fork server can drive the same machine.
 */
#ifndef RUNNER_CHILD_SUPERVISE_H
#define RUNNER_CHILD_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct supervise_rung {
    int signal;        /* for the whole tree when the rung is reached */
    uint32_t grace_ms; /* how long it may take to work, > 0 */
};

/* The ladder that everything of ours uses: TERM, 300 ms, KILL, 500 ms. */
extern const struct supervise_rung supervise_ladder[];
extern const size_t supervise_ladder_count;

enum supervise_limit {
    SUPERVISE_LIMIT_NONE,
    SUPERVISE_LIMIT_WALL,    /* ms */
    SUPERVISE_LIMIT_CPU,     /* ms, of the whole tree */
    SUPERVISE_LIMIT_MEMORY,  /* bytes, of the whole tree */
    SUPERVISE_LIMIT_OUTPUT,  /* bytes, both streams together */
    SUPERVISE_LIMIT_DISK,    /* bytes */
    SUPERVISE_LIMIT_PROCESS, /* a count */
};

/* Returns "wall", "cpu", "memory", "output", "disk", "processes" or "none"; static. */
const char *supervise_limit_name(enum supervise_limit limit);

/* Returns "ms", "bytes", "processes" or ""; static. */
const char *supervise_limit_unit(enum supervise_limit limit);

enum supervise_verdict_kind {
    SUPERVISE_PENDING,      /* not over */
    SUPERVISE_EXITED,       /* by itself, with `code` */
    SUPERVISE_SIGNALLED,    /* by `signal`, which was not ours */
    SUPERVISE_LIMITED,      /* we ended it: `limit`, `used`, `allowed` */
    SUPERVISE_CANCELLED,    /* we ended it because somebody asked */
    SUPERVISE_SPAWN_FAILED, /* it never ran; our fault, `code` is an errno */
    SUPERVISE_STUCK,        /* the kernel did not let it die; blame = cluster */
};

/* Returns "exited", "signalled", …; static. */
const char *supervise_verdict_name(enum supervise_verdict_kind kind);

struct supervise_verdict {
    enum supervise_verdict_kind kind;
    int code;   /* SUPERVISE_EXITED: 0..255; SUPERVISE_SPAWN_FAILED: errno */
    int signal; /* what it died of, whatever the kind; 0 for none */
    enum supervise_limit limit;
    uint64_t used;
    uint64_t allowed;
};

/* Writes what happened, for people: "memory limit: used 312.0 MiB of 256.0 MiB", "exited with code
 * 1". Returns `out`. */
char *supervise_describe(const struct supervise_verdict *verdict, char *out, size_t size);

struct supervise_spec {
    uint64_t wall_ms;                    /* 0: no limit */
    uint64_t output_bytes;               /* 0: no limit */
    uint32_t drain_ms;                   /* for streams after the exit; 0: 500 */
    unsigned stream_count;               /* streams whose end is waited for */
    const struct supervise_rung *ladder; /* NULL: supervise_ladder */
    size_t ladder_count;
};

enum supervise_event_kind {
    SUPERVISE_STARTED,      /* it runs */
    SUPERVISE_START_FAILED, /* `value` = errno */
    SUPERVISE_OUTPUT,       /* `value` = bytes read from any stream */
    SUPERVISE_STREAM_EOF,   /* one of the streams has ended */
    SUPERVISE_EXIT,         /* `status` as wait(2) gives it */
    SUPERVISE_LIMIT,        /* measured outside: `limit`, `value` = used, `allowed` */
    SUPERVISE_STOP,         /* somebody wants it to end; stopping twice is harmless */
    SUPERVISE_TICK,         /* time has passed */
};

struct supervise_event {
    enum supervise_event_kind kind;
    uint64_t now_ms; /* monotonic */
    uint64_t value;
    uint64_t allowed;
    enum supervise_limit limit;
    int status;
};

/* What the driver is to do now, in this order. */
struct supervise_out {
    int signal;         /* for the whole tree; 0: none */
    bool close_streams; /* read what is there, then close */
    bool done;          /* the verdict stands; no event will change it */
};

enum supervise_state {
    SUPERVISE_WAITING,
    SUPERVISE_RUNNING,
    SUPERVISE_STOPPING,
    SUPERVISE_DRAINING,
    SUPERVISE_DONE,
};

struct supervise {
    struct supervise_spec spec;
    enum supervise_state state;
    struct supervise_verdict verdict; /* `kind` stays pending until done */
    enum supervise_verdict_kind cause;
    uint64_t started_ms;
    uint64_t wall_deadline_ms;
    uint64_t deadline_ms; /* of the state: rung or drain */
    uint64_t output_bytes;
    unsigned streams_open;
    size_t next_rung;
};

/* Prepares `self` for one child. Copies `spec`, borrows its ladder. */
void supervise_init(struct supervise *self, const struct supervise_spec *spec);

/* Takes one event and says what to do. Cannot fail: an event that does not fit is ignored. When
 * `out->done` is first true, the driver ends whatever is left of the tree. */
void supervise_step(struct supervise *self, const struct supervise_event *event,
                    struct supervise_out *out);

/* Returns when supervise_step() wants its next SUPERVISE_TICK, UINT64_MAX for never. */
uint64_t supervise_deadline(const struct supervise *self);

#endif
