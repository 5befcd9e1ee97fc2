/* session: whether the machine went down under a node.
 *
 * The store syncs what it promises; caches (source trees, byte code, wheels) are not worth it.
 * While a node runs, its data folder has a file with the kernel's boot id. A start that finds one
 * of another boot knows that a machine stopped before everything was on disk: what the caches hold
 * may be files of the right size full of zeros. After a kill -9 the boot is the same, and the
 * kernel has every byte. */
#ifndef NODE_SESSION_H
#define NODE_SESSION_H

#include "proto/base/err.h"

#include <stdbool.h>

/* Begins a session in a data folder that is this process's. Sets whether caches must be made anew.
 * A start that comes to nothing leaves the answer to the next. Errors: ERR_IO. */
int session_begin(const char *data, bool *is_cache_suspect, struct err *err) ERR_CHECKED;

/* The caches that were suspect are gone; from now on this boot answers for what they hold. Errors:
 * ERR_IO. */
int session_trust(const char *data, struct err *err) ERR_CHECKED;

/* Ends it: all of the file system is synced first. What cannot be done is logged. */
void session_end(const char *data);

#endif
