/* locked: what a child that speaks to a git host gives up before it does so. */
#ifndef GIT_LOCKED_H
#define GIT_LOCKED_H

#include <stdint.h>

struct locked {
    int dir_fd;          /* the one folder that it may write to; -1: none */
    uint64_t file_bytes; /* of one file */
    const char *ca_file; /* certificate authorities; NULL: the library's */
    const char *ca_dir;
    uint16_t port; /* that it connects to, beside that of names */
};

/* For good: lockin_with_network() with what a library reads to find names and certificates; and
 * nobody may look into its memory, where the token is. */
void locked_enter(const struct locked *spec);

#endif
