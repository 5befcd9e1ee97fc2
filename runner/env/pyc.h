/* pyc: byte code that environments share, file by file.
 *
 * Most of what environments hold is the same: pytest and what it needs. Byte code depends on
 * nothing but the Python, the path that the file is seen at (ENV_ROOT, always) and the source, so
 * the hash of those three is its name here:
 *
 *   data/envs/pyc/<2 hex>/<62 hex>
 *
 * A file is linked into each environment that has that very source at that very place; a package
 * cannot claim another one's byte code, whatever it says in its RECORD. What is not there is
 * compiled in a jail (pyc.py) and, after installations in which no stranger's code ran, kept. The
 * folder is the node's own; no jail ever sees it. All of this blocks: for helpers.
 */
#ifndef ENV_PYC_H
#define ENV_PYC_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define PYC_SOURCE_MAX ((size_t)16 << 20) /* a larger file gets no byte code */
#define PYC_LIST       "in/misses"        /* below `work` */
#define PYC_OUT        "pyc"

extern const unsigned char pyc_py[]; /* the compiling program's text, zero-terminated */
extern const size_t pyc_py_len;

struct pyc_place {
    const char *dir;   /* the environment, in which nothing runs any more */
    const char *root;  /* where it will be seen */
    const char *work;  /* of the build */
    const char *cache; /* data/envs/pyc, made when absent; NULL: nothing is shared */
    const char *tag;   /* in the names of byte code files, "cpython-311" */
    const char *salt;  /* says which Python exactly */
};

struct pyc_count {
    uint64_t hits;
    uint64_t misses;
};

/* Links the byte code that is known below dir/lib; writes the others' list to `work`. Existing byte
 * code of a name that is known is replaced. Errors: ERR_IO. */
int pyc_look(const struct pyc_place *place, struct pyc_count *out, struct err *err) ERR_CHECKED;

/* Moves what was compiled from that list into the environment, through the cache where there is
 * one. What is missing there stays missing. Errors: ERR_IO. */
int pyc_take(const struct pyc_place *place, struct err *err) ERR_CHECKED;

/* Removes the least recently used files that are in no environment while they are larger than `cap`
 * together. Errors: ERR_IO. */
int pyc_trim(const char *cache, uint64_t cap_bytes, struct err *err) ERR_CHECKED;

#endif
