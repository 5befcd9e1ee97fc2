/* blame: whose fault a failed installation is, from the installer's own words.
 *
 * "Package X does not exist" is the project's and comes back the same on every node; "this node
 * cannot reach the index" is the cluster's and costs nobody a mark. Both installers say both in
 * text only, so it is read here, with samples of each in the tests. Pure. */
#ifndef ENV_BLAME_H
#define ENV_BLAME_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct blame {
    bool is_cluster;
    bool is_missing_wheel; /* installing would work where building is allowed */
    const char *reason;    /* static: "package-not-found", "index-unreachable", … */
};

/* Reads what an installer printed before it failed (zero-terminated) and appends to `message` the
 * lines that say why, at most 1 KiB of them. Words that fit nothing are the project's
 * ("package-install"). */
struct blame blame_read(const char *output, struct buf *message);

#endif
