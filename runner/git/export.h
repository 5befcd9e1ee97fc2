/* export: the tree of one commit as a bundle, the same that an upload of those files would become.
 */
#ifndef GIT_EXPORT_H
#define GIT_EXPORT_H

#include "runner/git/objects.h"
#include "runner/intake/bundle.h"
#include "runner/intake/layout.h"

struct export
{
    struct archive archive;
    struct layout layout;      /* one project */
    struct bundle_facts facts; /* where that one has not failed */
    git_oid *oids;             /* by header_offset of the archive's entries */
    size_t oid_capacity;
    size_t capacity;
};

struct export_spec {
    const char *commit; /* 40 hex digits */
    const char *name;   /* of the project, unclean */
    struct archive_limits limits;
    int out_fd; /* a folder: "<hash>.zst" is made in it */
};

/* Walks and writes. What is wrong with the tree is an error or a failure of the project, as in
 * layout_find(): special files are left out with a remark (a submodule is an empty folder), links
 * that leave fail it. Errors: ERR_UNPROCESSABLE with repo-commit, repo-damaged or a reason of
 * archive.h; ERR_IO, ERR_UNAVAILABLE disk-full. export_fini() in any case. */
int export_run(struct export *self, const struct objects *objects, const struct export_spec *spec,
               struct err *err) ERR_CHECKED;
void export_fini(struct export *self);

#endif
