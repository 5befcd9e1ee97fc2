/* build_inner: what build.c (the order of steps) and build_command.c (what a step runs) share. */
#ifndef ENV_BUILD_INNER_H
#define ENV_BUILD_INNER_H

#include "runner/child/child.h"
#include "runner/egress/egress.h"
#include "runner/env/blame.h"
#include "runner/env/build.h"
#include "runner/jail/jail.h"

enum build_step {
    BUILD_RESOLVE,
    BUILD_WHEELS,
    BUILD_BUILDS,
    BUILD_PIP,
    BUILD_LOOK,
    BUILD_COMPILE,
    BUILD_SEAL,
};

/* What the last installing step reached for, and did not get. */
struct build_reached {
    struct egress_refusal refusals[EGRESS_REFUSALS_MAX];
    size_t refusal_count;
    unsigned failures; /* of what it may reach */
    bool is_over;      /* its bytes were used up */
};

struct build {
    struct event_base *base; /* borrowed */
    struct build_spec spec;
    build_done_fn *done;
    void *arg;
    enum build_step step;
    enum build_step installed_by;
    bool is_direct; /* wheels without a resolver: the requirements are pins themselves */
    struct build *next_waiting; /* for the turn */
    bool is_waiting;
    unsigned set_aside;         /* numbers the trees of attempts in vain */
    struct child *child;        /* NULL between steps */
    struct child *watcher;      /* of what is written; NULL unless an installer runs */
    struct egress_client *gate; /* NULL unless a step runs behind one */
    struct build_reached reached;
    uint64_t deadline_ms;
    struct requirements pins; /* what the resolver chose */
    char *scratch;            /* the tree that the resolver sees */
    struct buf log;
    struct buf message;
    struct build_result result;
};

#define BUILD_ARGS_MAX  40
#define BUILD_VARS_MAX  (ENV_SETTINGS_MAX + 16)
#define BUILD_BINDS_MAX (ENV_BINDINGS_MAX + PYTHON_BINDS_MAX + 8)

/* One step's program and what it may see. */
struct build_command {
    const char *argv[BUILD_ARGS_MAX + 1];
    size_t argc;
    const char *envp[BUILD_VARS_MAX + 1];
    size_t envc;
    struct jail_bind binds[BUILD_BINDS_MAX];
    size_t bind_count;
    char *texts[BUILD_ARGS_MAX + BUILD_VARS_MAX]; /* owned, what the above point to */
    size_t text_count;
};

int build_command_init(struct build_command *self, const struct build *build,
                       struct err *err) ERR_CHECKED;
void build_command_fini(struct build_command *self);

/* Makes the way out of the step that is about to start; `*fd_owned` is for its jail. */
int build_gate_open(struct build *self, int *fd_owned, struct err *err) ERR_CHECKED;

/* Notes what the step reached for, in `reached` and in the log, and ends its connections. */
void build_gate_close(struct build *self);

/* Blames what an installer was refused, or could not reach, where that may be why it failed:
 * appends a line to `message` and changes `blame`. */
void build_blame_reach(const struct build *self, struct blame *blame, struct buf *message);

/* Looks at what the build has written until build_unwatch(), and stops its child when that is too
 * much. Without a watcher, which is logged, the seal still finds it. */
void build_watch(struct build *self);
void build_unwatch(struct build *self);

/* Makes the folders of a build, an empty environment, and the files that the installer reads. */
int build_work_make(const struct build *build, struct err *err) ERR_CHECKED;
int build_tree_make(const struct build *build, const char *dir, struct err *err) ERR_CHECKED;
int build_inputs_write(const struct build *build, struct err *err) ERR_CHECKED;

#endif
