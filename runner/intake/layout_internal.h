/* The parts of layout, for each other. */
#ifndef INTAKE_LAYOUT_INTERNAL_H
#define INTAKE_LAYOUT_INTERNAL_H

#include "runner/intake/layout.h"

#include <sys/types.h>

/* A folder of the archive: entries[begin .. end-1], all of whose paths start with `path`. */
struct layout_folder {
    const char *path; /* not terminated: `len` bytes; borrowed from an entry, "" for the top */
    size_t len;
    size_t begin;
    size_t end;
};

struct layout_folder layout_top(const struct archive *archive);

/* Steps through what is directly in a folder. `at` starts as folder->begin. Returns false at the
 * end; otherwise `child` is the next one, a file where child->len is the entry's whole path and the
 * entry is no folder. Skipped entries are passed over; `at` moves behind the child. */
bool layout_next(const struct archive *archive, const struct layout_folder *folder, size_t *at,
                 struct layout_folder *child);

/* Whether `child` is a folder (explicit or only implied by what is in it). */
bool layout_is_folder(const struct archive *archive, const struct layout_folder *child);

/* The last part of a folder's or file's path. Returns its length. */
size_t layout_base(const struct layout_folder *child, const char **base);

/* Adds a row, copying `len` bytes of `path`; counts it only where the list is full. */
void layout_note_add(struct layout_notes *notes, const char *path, size_t len, const char *why);

/* Marks and names what never belongs to a project. */
void layout_skip(struct archive *archive, struct layout_notes *ignored);

enum layout_shape {
    LAYOUT_PROJECT, /* this folder is a project */
    LAYOUT_WRAPPER, /* it holds one folder, in `only`, that is to be looked at instead */
    LAYOUT_SHELF,   /* each of its folders is a project */
};

enum layout_shape layout_judge(const struct archive *archive, const struct layout_folder *folder,
                               struct layout_folder *only);

/* Whether Python files or configuration lie directly in a folder, or tests or src below it. */
bool layout_has_python(const struct archive *archive, const struct layout_folder *folder);

/* Counts what is kept and holds it against the limits; fails single projects, remarks on twins. */
int layout_tally(struct layout *self, const struct archive *archive,
                 const struct archive_limits *limits, struct err *err) ERR_CHECKED;

/* Whether it is called tests, test or src: then it is a part of a project and never one. */
bool layout_is_part(const struct layout_folder *child);

#endif
