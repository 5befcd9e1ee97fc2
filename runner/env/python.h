/* python: which interpreter it is that a name on PATH stands for.
 *
 * A version manager puts a shell script there, so the interpreter itself is asked once for what it
 * is and where it lives. Blocking (50 ms an interpreter): for start-up. */
#ifndef ENV_PYTHON_H
#define ENV_PYTHON_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PYTHON_BINDS_MAX 8

struct python {
    char *asked;       /* what it was found by: "python3", "/usr/bin/python3" */
    char *executable;  /* the real file, links resolved, absolute */
    char *base_prefix; /* absolute */
    char *version;     /* "3.11.7" */
    char *abi;         /* SOABI, "cpython-311-x86_64-linux-gnu" */
    char *platform;    /* "linux-x86_64" */
    char *tag;         /* in the names of byte code files: "cpython-311" */
    /* Host folders that must be visible in a jail, at the same path, for it to run; /usr, /lib,
     * /lib64 and /bin are taken as given and not listed. */
    char *binds[PYTHON_BINDS_MAX];
    size_t bind_count;
};

struct python_query {
    const char *name; /* a path, or a name that is looked for on PATH */
    const char *path; /* PATH to look on; NULL: the process's */
    /* Who must be able to run it without a jail that binds its folders: then those folders must be
     * reachable for that uid, and it is tried. (uid_t)-1: whoever, a jail is used. */
    uid_t uid;
};

/* Asks one interpreter. Errors: ERR_NOT_FOUND, ERR_UNPROCESSABLE (older than 3.8, no CPython,
 * not runnable by the uid), ERR_TIMEOUT (10 s), ERR_INTERNAL (its answer makes no sense). */
int python_probe(struct python *self, const struct python_query *query,
                 struct err *err) ERR_CHECKED;

/* Asks each of `names`, or python3 where there is none. Those that cannot be used are reported in
 * `warning` (owned text, NULL where all went well); where none can be used /usr/bin/python3 is
 * taken, and `warning` says so. Returns owned (python_free_all), `*count` of them; NULL when there
 * is none at all. */
struct python *python_probe_all(const char *const *names, size_t name_count, uid_t uid,
                                size_t *count, char **warning, struct err *err) ERR_CHECKED;

/* The one of `all` that fits `requires` (may be NULL) best: the first that satisfies it, else the
 * first. Sets *fits. Returns borrowed. */
const struct python *python_choose(const struct python *all, size_t count, const char *requires,
                                   bool *fits);

void python_fini(struct python *self);
void python_free_all(struct python *all_owned, size_t count);

#endif
