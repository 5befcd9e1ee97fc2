/* layout: which projects a walked archive holds, and what of it is left out.
 *
 * People zip in many ways: the content of one project, one folder, a folder of many, many side by
 * side. A folder IS a project when it holds configuration, requirements, tests (or a tests or src
 * folder with Python in it), or Python files while fewer than two of its folders are projects by
 * themselves. Folders that hold only one folder are looked through until one is; where there are
 * several, each is a project, with or without Python in it, and one folder within each of them is
 * looked through again. What does not belong to a project
 * (__MACOSX, .git, virtual environments, caches, files beside the projects) is skipped and named.
 */
#ifndef INTAKE_LAYOUT_H
#define INTAKE_LAYOUT_H

#include "runner/intake/archive.h"

#define LAYOUT_PROJECTS_MAX 2000
#define LAYOUT_NAME_MAX     100
#define LAYOUT_NOTES_MAX    200 /* rows of each list; the rest is only counted */

struct layout_note {
    char *path;
    const char *why; /* static */
};

struct layout_notes {
    struct layout_note *rows;
    size_t count; /* at most LAYOUT_NOTES_MAX */
    size_t capacity;
    size_t more; /* rows that did not fit */
};

struct layout_project {
    char *name;   /* safe in paths and URLs, unique here without regard to case; UTF-8 */
    char *folder; /* where it was in the archive, "" for the top */
    size_t first; /* its entries: archive->entries[first .. end-1] that are not skipped */
    size_t end;
    size_t strip;        /* bytes to drop from the front of each path */
    uint32_t file_count; /* kept files and links, folders not counted */
    uint64_t size_bytes; /* declared, kept */
    char *failure;       /* why it cannot run although the others can; NULL for none */
    const char *reason;  /* static, kebab-case; set with `failure` */
};

struct layout {
    struct layout_project *projects;
    size_t project_count;
    size_t project_capacity;
    struct layout_notes ignored; /* one row a skipped folder or file */
    struct layout_notes remarks; /* kept, but worth a word: twins, renamed projects */
};

struct layout_spec {
    const char *name; /* for a project at the top of the archive; NULL for "project" */
    bool overlay;     /* one tree to lay over others: no search for projects */
    bool whole;       /* one project, and its top is the archive's: a repository */
    struct archive_limits limits;
};

/* Fills `self` and marks the archive's skipped entries. Borrows `archive` for the call. On failure
 * `self` is still to be ended by layout_fini(). Errors: ERR_UNPROCESSABLE with archive-empty,
 * archive-too-large, archive-bomb, archive-too-many-entries or archive-too-many-projects. */
int layout_find(struct layout *self, struct archive *archive, const struct layout_spec *spec,
                struct err *err) ERR_CHECKED;

void layout_fini(struct layout *self);

/* Marks a project as failed; the first reason stays. Takes `failure_owned`. */
void layout_project_fail(struct layout_project *project, const char *reason, char *failure_owned);

/* Whether a symbolic link at `path` (inside its project) stays there. Only targets that climb first
 * and descend then are judged to stay: for those no other link of the tree can change the answer.
 */
bool layout_link_stays(const char *path, const char *target);

/* Writes "clean-2" and so on: the name of a project whose own is taken. */
void layout_name_number(const char *clean, unsigned number, char out[LAYOUT_NAME_MAX + 1]);

/* Writes what a project may be called, at most LAYOUT_NAME_MAX bytes and a zero. Never empty. */
void layout_name_clean(const char *raw, char out[LAYOUT_NAME_MAX + 1]);

#endif
