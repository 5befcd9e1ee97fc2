/* repair: how a node that has no peers gets over a damaged store.
 *
 * What a damaged record said nobody can tell it. Where that was a part of an evaluation which is
 * not over, the work is done again: a plan or a result that is absent is one that is still to come.
 * An evaluation whose request is lost is named in the log. When all that can be finished is
 * finished, the store counts as repaired; until then the node takes nothing new (api.h). With peers
 * this is not for it: they have the records, and the mesh calls store_repaired() when it has asked
 * all of them. */
#ifndef NODE_REPAIR_H
#define NODE_REPAIR_H

#include <stdbool.h>

struct store;

struct repair {
    bool is_rerunning; /* what was unfinished at start is not all over yet */
};

/* After recovery: says in the log what is damaged, if anything is. */
void repair_begin(struct repair *self, struct store *store);

/* Looks whether the store counts as repaired now; for once in a while. Damage that is met later is
 * in documents that are over: they are lost, and there is nothing to wait for. */
void repair_step(struct repair *self, struct store *store);

#endif
