/* objects: the objects of one pack (libgit2), in a folder of their own, without any repository
 * around: there is no configuration, no hook and no work tree that could be read. */
#ifndef GIT_OBJECTS_H
#define GIT_OBJECTS_H

#include "proto/base/err.h"

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct objects_limits {
    uint32_t count;        /* in the pack */
    uint64_t object_bytes; /* one of them, inflated */
};

/* Told of every piece that came and of every object that was put away; often. */
typedef void objects_watch_fn(void *arg, uint32_t received, bool is_whole);

struct objects {
    struct objects_limits limits;
    objects_watch_fn *watch; /* set by the caller after objects_begin(), or NULL */
    void *watch_arg;
    bool is_whole; /* all of the pack has come */
    char *folder;
    git_indexer *indexer;
    git_indexer_progress progress;
    git_odb *odb;
    git_repository *view; /* what libgit2 wants for reading */
};

/* Begins a pack in an existing empty folder. Errors: ERR_INTERNAL. */
int objects_begin(struct objects *self, const char *folder, const struct objects_limits *limits,
                  struct err *err) ERR_CHECKED;

/* Takes the pack's next bytes. Errors: ERR_UNPROCESSABLE repo-too-large, repo-damaged;
 * ERR_UNAVAILABLE disk-full. */
int objects_feed(struct objects *self, const char *bytes, size_t len, struct err *err) ERR_CHECKED;

/* The pack has come: every object's hash has been computed, and they can be read. Errors as above.
 */
int objects_end(struct objects *self, struct err *err) ERR_CHECKED;

void objects_fini(struct objects *self);

/* Says what libgit2 said last, with `what` before it: repo-damaged, repo-too-large, disk-full, or
 * ERR_IO for what is the machine's fault. Its words for that may name folders of ours, and are left
 * out. */
int objects_error(const char *what, struct err *err);

#endif
