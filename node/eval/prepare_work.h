/* prepare_work: what the files of prepare share. */
#ifndef NODE_EVAL_PREPARE_WORK_H
#define NODE_EVAL_PREPARE_WORK_H

#include "node/eval/prepare.h"
#include "runner/intake/intake.h"

/* One describe, compile or discover job may take as long as a module, within these: a large project
 * is not unknown because its modules are short, and one that never answers does not hold a slot for
 * long. */
#define PREPARE_WALL_MIN_MS 20000
#define PREPARE_WALL_MAX_MS 120000
#define PREPARE_AT_ONCE_MAX 64

struct prepare_host {
    struct prepare_config config;
    char *dir;
    char *program;
    char *trash;
    struct prepare_work *works;   /* all that live */
    struct prepare_work *waiting; /* for the first half, in order of arrival */
    struct prepare_work **waiting_end;
    struct prepare_work *busy[PREPARE_AT_ONCE_MAX]; /* who has a describe slot */
    struct job_environment bare;
    struct job_bind bare_binds[PYTHON_BINDS_MAX];
    char *bare_key;
};

struct prepare_work {
    struct prepared self;
    struct prepare_host *host;
    struct prepare_work *next; /* of all */
    struct prepare_work *next_waiting;
    bool is_waiting;
    bool was_retried;
    bool was_asked_again; /* for its modules */
    uint64_t group;
    int describe_slot; /* -1: none held */
    char *project;
    char *bundle_path;
    char *overlay_path;
    struct hash bundle;
    struct hash overlay;
    char *unit; /* DIR/<unit> */
    char *src;
    char *src_fresh; /* being unpacked */
    char *pyc;
    char *pyc_fresh; /* being filled */
    char *installed; /* the layer of install = editable; NULL: none is wanted */
    char *installed_fresh;
    const struct env *build_env; /* what its build asks for, while that is due */
    void (*build_ready)(struct prepare_work *work);
    unsigned rounds; /* in which the build asked for more */
    struct materialise *materialise;
    struct env_ticket *ticket;
    struct job *job;
    struct event *later; /* calls `then` from the loop */
    void (*then)(struct prepare_work *work);
    bool is_cancelled;
    unsigned slot;
    prepare_done_fn *done;
    void *arg;
    char *message; /* owns setup.message */
    struct job_bind env_binds[ENV_BINDS_MAX];
};

/* prepare_host.c: all works, and the queue for the first half. Leaving and giving back what one has
 * not is harmless. */
void prepare_add_work(struct prepare_work *work);
void prepare_drop_work(struct prepare_work *work);
void prepare_enter_queue(struct prepare_work *work);
void prepare_leave_queue(struct prepare_work *work);
void prepare_give_slot_back(struct prepare_work *work);
void prepare_remove(struct prepare_host *self, const char *path); /* logs what goes wrong */

/* prepare.c */
void prepare_first_half(struct prepare_work *work);
void prepare_later(struct prepare_work *work, void (*then)(struct prepare_work *work));
char *prepare_in_unit(const struct prepare_work *work, const char *name); /* returns owned */

/* How a half ends: well, badly, or because nobody wants it any more. */
void prepare_finish(struct prepare_work *work);
void prepare_fail(struct prepare_work *work, enum doc_blame blame, const char *message);
void prepare_cancelled(struct prepare_work *work);

void prepare_set_modules(struct prepared *self, char *const *paths, const uint64_t *sizes,
                         size_t count);
void prepare_use_candidates(struct prepared *self);
void prepare_note(struct prepared *self, char *text_owned); /* for the user */

/* prepare_modules.c */
void prepare_compile(struct prepare_work *work);
void prepare_fill_environment(struct prepare_work *work, const struct env *env,
                              struct job_spec *spec);

/* prepare_editable.c. In the first half, once there is an environment: returns false when nothing
 * is to be installed; else the half ends when all is there that the installation needs. In the
 * second: installs where that is due, and goes on with prepare_compile(). */
bool prepare_editable_begin(struct prepare_work *work);
void prepare_editable_install(struct prepare_work *work);
void prepare_editable_free(struct prepare_work *work);

#endif
