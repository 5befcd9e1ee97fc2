/* extract: writes the items of a bundle as a tree below one folder, which nothing in the bundle can
 * leave: every step down opens a real folder and follows no link. */
#ifndef INTAKE_EXTRACT_H
#define INTAKE_EXTRACT_H

#include "runner/intake/archive.h"
#include "runner/intake/bundle.h"

struct extract {
    const char *root; /* absolute; borrowed */
    int root_fd;
    bool replace; /* what is in the way goes: an overlay */
    struct archive_limits limits;
    uint64_t item_count;
    uint64_t size_bytes;
    int folder_fd; /* the folder of the last item */
    char folder[ARCHIVE_PATH_MAX + 1];
    char **folders; /* all that were made, for their times at the end */
    size_t folder_count;
    size_t folder_capacity;
};

/* Begins in an existing empty folder. Borrows `root`. */
int extract_open(struct extract *self, const char *root, const struct archive_limits *limits,
                 struct err *err) ERR_CHECKED;
void extract_close(struct extract *self);

/* Writes all items of the bundle in `fd`, whose bytes must have this hash. The tree is to be thrown
 * away when this fails. Errors: ERR_CORRUPT, ERR_TOO_LARGE, ERR_IO, ERR_UNAVAILABLE (disk-full). */
int extract_bundle(struct extract *self, int fd, const struct hash *want,
                   struct err *err) ERR_CHECKED;

/* Gives every folder the fixed time; last, since each new file changes its folder's. */
int extract_finish(struct extract *self, struct err *err) ERR_CHECKED;

#endif
