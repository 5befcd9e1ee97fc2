/* doc: an evaluation as a node tells it (GET /evaluation/<id>), read strictly. Pure. */
#ifndef CLI_DOC_H
#define CLI_DOC_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum doc_state { DOC_PENDING, DOC_RUNNING, DOC_DONE };

struct doc_counts {
    uint64_t passed, failed, errors, skipped;
};

struct doc_module {
    size_t project; /* index */
    char *path;
    enum doc_state state;
    char *outcome; /* "" until done */
    char *blame;   /* "" for nobody */
    struct doc_counts counts;
    double time_s;
};

/* A repository that is being fetched, or was. */
struct doc_fetch {
    char *phase; /* "waiting", "receiving", "done", …; NULL: nothing is known of a fetch */
    uint64_t received_bytes, objects, tries;
    bool has_next_try;
    double next_try_s;
};

struct doc_project {
    char *name;
    bool has_nota; /* false: the cluster's fault, it costs nobody a mark */
    double nota;   /* 0..20 */
    double time_s;
    char *note; /* the node's own words about it, "" for none */
    struct doc_fetch fetch;
    struct doc_counts counts;
    size_t modules, modules_done;
};

struct doc {
    char *id;
    char *status;
    bool final; /* done, cancelled or failed: nothing changes any more */
    bool incomplete;
    double nota, mean_nota, percent_passed, eval_time_s;
    uint64_t executed, executing, pending; /* modules */
    struct doc_counts counts;
    struct doc_project *projects; /* by name, in byte order */
    size_t project_count;
    struct doc_module *modules; /* by project, then in the node's order */
    size_t module_count;
};

#define DOC_PROJECTS_MAX 100000
#define DOC_MODULES_MAX  1000000

/* Reads an answer's body into `out` (zeroed). A member of another type than the API says is an
 * error that names it. Errors: ERR_CORRUPT. On failure there is nothing to free. */
int doc_read_answer(struct doc *out, const char *json, size_t len, struct err *err) ERR_CHECKED;

void doc_fini(struct doc *self);

/* How a program that waited for this ends (enum cli_exit). `fail_under` is the least percentage of
 * passed tests that counts as success, below 0: all of them. Borrows. */
int doc_exit_code(const struct doc *self, double fail_under);

/* Whether it is still to come, or on its way. */
bool doc_is_fetching(const struct doc_fetch *self);

#define owned_doc __attribute__((cleanup(doc_fini))) struct doc

#endif
