#include "node/repair.h"

#include "node/store/store.h"
#include "proto/base/log.h"

#include <inttypes.h>

static bool name_lost(void *arg, const struct doc *doc)
{
    (void)arg;
    if (!doc->req || !doc->fence)
        log_error("eval_lost", "id=%" PRIu64 " its request is lost", doc->id);
    return true;
}

static bool find_unfinished(void *arg, const struct doc *doc)
{
    bool *found = arg;
    *found = doc->req && doc->fence;
    return !*found;
}

void repair_begin(struct repair *self, struct store *store)
{
    self->is_rerunning = store_repairing(store);
    if (!self->is_rerunning)
        return;
    log_error("store_repairing", "acknowledged records are damaged: nothing new is accepted until "
                                 "what is left is finished");
    store_each_unsealed(store, name_lost, NULL);
}

void repair_step(struct repair *self, struct store *store)
{
    bool is_unfinished = false;
    if (!store_repairing(store))
        return;
    if (self->is_rerunning)
        store_each_unsealed(store, find_unfinished, &is_unfinished);
    if (is_unfinished)
        return;
    self->is_rerunning = false;
    store_repaired(store);
    log_warn("store_repaired", "what could be done again has been; the rest is in quarantine/");
}
