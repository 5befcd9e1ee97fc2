/* Counters of the mesh's machines, by name. */
#include "node/mesh/mesh_inner.h"

#define TELL(part, from, name) fn(arg, part, #name, (from)->name)

static void tell_mesh(const struct mesh_counters *from, mesh_counter_fn *fn, void *arg)
{
    TELL("mesh", from, bad_frames);
    TELL("mesh", from, unknown_messages);
    TELL("mesh", from, refused_deltas);
    TELL("mesh", from, clones);
    TELL("mesh", from, clone_stops);
    TELL("mesh", from, bundles);
    TELL("mesh", from, secrets);
    TELL("mesh", from, other_trees);
}

static void tell_swim(const struct swim_stats *from, mesh_counter_fn *fn, void *arg)
{
    TELL("swim", from, packets_in);
    TELL("swim", from, packets_out);
    TELL("swim", from, bytes_out);
    TELL("swim", from, malformed);
    TELL("swim", from, unsent);
    TELL("swim", from, probes);
    TELL("swim", from, probes_failed);
    TELL("swim", from, syncs);
    TELL("swim", from, refutations);
    TELL("swim", from, pauses);
    TELL("swim", from, dropped);
}

static void tell_own(const struct own_stats *from, mesh_counter_fn *fn, void *arg)
{
    TELL("own", from, open);
    TELL("own", from, active);
    TELL("own", from, claims);
    TELL("own", from, stepped_down);
    TELL("own", from, adopted);
    TELL("own", from, degraded);
    TELL("own", from, replaced);
    TELL("own", from, lows);
    TELL("own", from, refused);
    TELL("own", from, ignored);
    TELL("own", from, dropped);
}

static void tell_sync(const struct sync_stats *from, mesh_counter_fn *fn, void *arg)
{
    TELL("sync", from, rounds);
    TELL("sync", from, reads);
    TELL("sync", from, pieces);
    TELL("sync", from, pushed);
    TELL("sync", from, conflicts);
    TELL("sync", from, ignored);
    TELL("sync", from, dropped);
    TELL("sync", from, waiting);
}

static void tell_work(const struct queue_stats *queue, const struct agent_stats *agent,
                      mesh_counter_fn *fn, void *arg)
{
    TELL("queue", queue, assigned);
    TELL("queue", queue, chores_assigned);
    TELL("queue", queue, offers);
    TELL("queue", queue, nowork);
    TELL("queue", queue, lost);
    TELL("queue", queue, adopted);
    TELL("queue", queue, given_up);
    TELL("queue", queue, duplicates);
    TELL("queue", queue, ignored);
    TELL("agent", agent, claims);
    TELL("agent", agent, claim_timeouts);
    TELL("agent", agent, started);
    TELL("agent", agent, refused);
    TELL("agent", agent, results);
    TELL("agent", agent, resent);
    TELL("agent", agent, ignored);
}

void mesh_each_counter(const struct mesh *self, mesh_counter_fn *fn, void *arg)
{
    struct own_stats own = own_stats(self->own);
    struct sync_stats sync = sync_stats(self->sync);
    struct queue_stats queue = queue_stats(self->queue);
    struct agent_stats agent = agent_stats(self->agent);
    tell_mesh(&self->counters, fn, arg);
    tell_swim(swim_stats(self->swim), fn, arg);
    tell_own(&own, fn, arg);
    tell_sync(&sync, fn, arg);
    tell_work(&queue, &agent, fn, arg);
}
