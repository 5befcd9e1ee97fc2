/* fold: when two names are one to a person, though not to this file system: letter case (ASCII, and
 * accented Latin), and accents written as one character or as two (NFC and NFD). Used for remarks
 * and for keeping project names apart, so other scripts may be missed. */
#ifndef INTAKE_FOLD_H
#define INTAKE_FOLD_H

#include <stddef.h>

/* Writes the folded form of valid UTF-8 and returns its length; at most 1.5 times as long, cut off
 * at `size`. Twins have equal forms. */
size_t fold_path(const char *path, char *out, size_t size);

#endif
