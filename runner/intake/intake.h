/* intake: from an uploaded zip to one bundle per project, and from a bundle to a tree on disk.
 *
 * Both run in a helper child of this program, limited and locked in, since both parse strangers'
 * bytes. A bundle is a canonical tar (tree order, fixed times and owners, modes 0644 and 0755)
 * under zstd: equal sources give equal bundles. It is named by BLAKE2b-256 of its bytes; `tree` is
 * the hash of the tar inside, which does not depend on the compressor.
 */
#ifndef INTAKE_INTAKE_H
#define INTAKE_INTAKE_H

#include "proto/base/err.h"
#include "proto/base/hash.h"
#include "runner/intake/archive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

/* Every file and folder of a tree has this time: 1980-01-01 in UTC, the oldest a zip can say. */
#define INTAKE_MTIME 315532800

struct intake_note {
    char *path;
    char *why;
};

struct intake_project {
    char *name;         /* unique in the result, safe in paths and URLs; UTF-8, <= 100 bytes */
    char *folder;       /* where it was in the archive, "" for the top */
    char *failure;      /* why this project alone cannot run (blame: project), NULL for none */
    char *reason;       /* kebab-case name of the failure, NULL for none */
    char *path;         /* the bundle's file in out_dir, NULL when it failed */
    struct hash bundle; /* zero when it failed */
    struct hash tree;
    uint64_t bundle_bytes;
    uint64_t source_bytes;
    uint32_t file_count;
    char *source;     /* where it came from, where that is not the archive: a URL; else NULL */
    bool is_clusters; /* the failure is not the project's fault */
};

struct intake_result {
    struct intake_project *projects; /* in byte order of their names */
    size_t project_count;
    struct intake_note *ignored; /* skipped: one row a folder or a file */
    size_t ignored_count;
    size_t ignored_more;         /* rows that were left out of the list */
    struct intake_note *remarks; /* kept, but worth a word */
    size_t remark_count;
    size_t remarks_more;
};

void intake_result_fini(struct intake_result *self);

struct intake_spec {
    const char *zip_path;
    const char *out_dir; /* made here; must not exist. Removed again on failure */
    const char *name;    /* for a project at the top of the zip; NULL for "project" */
    bool overlay;        /* the zip is one tree to lay over every project: one bundle */
    bool limits_set;     /* use `limits` and not the default ones */
    struct archive_limits limits;
    uint32_t timeout_ms; /* 0 for 120 s */
    const char *program; /* that answers to --helper; NULL for /proc/self/exe */
};

/* Called once, on the loop, never from within intake_start(). `result` is NULL on failure, else
 * borrowed for the call. `err` says what went wrong: ERR_UNPROCESSABLE with a reason of archive.h
 * (the upload's fault), ERR_TIMEOUT, ERR_IO (our disk), ERR_INTERNAL (the helper died). */
typedef void intake_done_fn(void *arg, struct intake_result *result, const struct err *err);

struct intake;

/* Starts one. Copies `spec`. On success every bundle is a synced file `<out_dir>/<bundle hex>.zst`
 * (equal projects share one) that the caller moves or removes, with out_dir. Returns NULL on
 * failure; otherwise `done` will be called, and the handle is gone after it. */
struct intake *intake_start(struct event_base *base, const struct intake_spec *spec,
                            intake_done_fn *done, void *arg, struct err *err);

/* Stops it; `done` is not called. Nothing is left on disk. */
void intake_cancel(struct intake *self);

struct materialise_spec {
    const char *bundle_path;
    struct hash bundle;       /* checked while reading */
    const char *overlay_path; /* laid over it, files replace; NULL for none */
    struct hash overlay;
    const char *out_dir; /* appears whole, by a rename; one that exists already is a success */
    bool limits_set;     /* use those of `limits` for a project, not the default ones */
    struct archive_limits limits;
    uint32_t timeout_ms; /* 0 for 120 s */
    const char *program; /* as above */
};

/* Called once, on the loop, never from within materialise_start(). `err` is NULL when the tree is
 * there, else ERR_CORRUPT (the bundle is not what its name says), ERR_IO, ERR_TIMEOUT, ... */
typedef void materialise_done_fn(void *arg, const struct err *err);

struct materialise;

struct materialise *materialise_start(struct event_base *base, const struct materialise_spec *spec,
                                      materialise_done_fn *done, void *arg, struct err *err);
void materialise_cancel(struct materialise *self);

/* The helpers' own ends, for the composition root's `--helper NAME` table:
 *
 *     intake [--overlay] [--name NAME] [--limits n,…] ZIP OUT_DIR
 *     materialise [--limits n,…] OUT_DIR BUNDLE HASH [OVERLAY HASH]
 *
 * argv[0] is the helper's name. Both write one JSON document to standard output and return 0, or 1
 * with a document that names the error. */
int helper_intake_main(int argc, char **argv);
int helper_materialise_main(int argc, char **argv);

#endif
