/* cloning: the mesh's wishes about repositories and their token, and what became of them. */
#include "node/host/host_inner.h"

#include "proto/base/mem.h"

#define SWEEP_YOUNG_S 600 /* of a submission that is on its way */

/* ---- what happened --------------------------------------------------------------------------- */

static enum mesh_clone_phase phase_of(enum fetch_phase phase)
{
    switch (phase) {
    case FETCH_CONNECTING:
        return MESH_CLONE_CONNECTING;
    case FETCH_RECEIVING:
        return MESH_CLONE_RECEIVING;
    case FETCH_INDEXING:
        return MESH_CLONE_INDEXING;
    case FETCH_WAITING:
    case FETCH_PHASES:
        break;
    }
    return MESH_CLONE_WAITING;
}

/* Later: the mesh may stop the very child that speaks. */
static void on_progress(void *arg, const struct work *work, const struct fetch_progress *progress)
{
    host_feed_later(arg, (struct mesh_event){.kind = MESH_CLONE_PROGRESS,
                                             .work = *work,
                                             .clone = {.p = work->p,
                                                       .phase = phase_of(progress->phase),
                                                       .bytes = progress->received_bytes,
                                                       .objects = progress->objects,
                                                       .tries = progress->tries}});
}

static void on_cloned(void *arg, const struct work *work, const struct delta *delta)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_CLONED, .work = *work, .delta = delta});
}

static const struct clones_events events = {.progress = on_progress, .cloned = on_cloned};

void host_open_clones(struct host *self)
{
    struct clones_config config = self->config.clones;
    config.base = self->config.base;
    config.secrets = host_secrets(self);
    config.events = &events;
    config.arg = self;
    self->clones = clones_new(&config);
}

/* ---- tokens that nobody needs ---------------------------------------------------------------- */

struct kept {
    struct hash *items;
    size_t count, room;
};

static bool keep_secret(void *arg, const struct doc *doc)
{
    struct kept *kept = arg;
    if (!doc->req || doc_is_final(doc) || !doc_hash_is_set(&doc->req->secret))
        return true;
    kept->items = mem_grow(kept->items, &kept->room, kept->count + 1, sizeof *kept->items);
    kept->items[kept->count++] = doc->req->secret;
    return true;
}

void host_sweep_secrets(struct host *self, bool is_start)
{
    struct kept kept = {0};
    store_each_unsealed(self->config.store, keep_secret, &kept);
    store_sweep_blobs(self->config.store, SECRET_EXT, kept.items, kept.count,
                      is_start ? 0 : SWEEP_YOUNG_S);
    free(kept.items);
}
