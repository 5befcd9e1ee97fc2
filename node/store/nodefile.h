/* nodefile: who this node is, in two files written by turns, so that one that was being written
 * when the power went leaves the other. */
#ifndef NODE_STORE_NODEFILE_H
#define NODE_STORE_NODEFILE_H

#include "node/store/disk_ops.h"
#include "node/store/store.h"

/* Reads the newest valid file, or makes a nid where neither exists; starts a new generation,
 * max(stored + 1, now_s), and has it on disk before it returns.
 * Errors: ERR_CORRUPT files are there and none is valid (a new nid would make this node a stranger
 * to its own records: the operator is to decide), ERR_CONFLICT the files belong to another cluster,
 * ERR_UNAVAILABLE. */
int nodefile_start(const struct disk_ops *ops, const char *dir, const char *cluster, uint64_t now_s,
                   struct store_identity *out, struct err *err) ERR_CHECKED;

/* Has a generation of at least `gen` on disk before it returns. Errors: ERR_CORRUPT,
 * ERR_UNAVAILABLE.
 */
int nodefile_raise(const struct disk_ops *ops, const char *dir, uint64_t gen,
                   struct err *err) ERR_CHECKED;

#endif
