/* treename: whether a name from a repository's tree may become a file's. */
#ifndef GIT_TREENAME_H
#define GIT_TREENAME_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checks a whole path, "a/b.py": as of a zip (name.h), and no part that git itself, on whichever
 * system, would take for its own folder. Errors: ERR_UNPROCESSABLE with archive-escape,
 * archive-bad-name or archive-too-deep. */
int git_treename_check(const char *path, uint32_t depth_max, struct err *err) ERR_CHECKED;

/* Whether one part is ".git" to some file system: in any letter case, "git~1", with blanks, dots or
 * a stream behind it (NTFS), with characters in it that are not there (HFS+). */
bool git_treename_is_dot_git(const char *part, size_t len);

#endif
