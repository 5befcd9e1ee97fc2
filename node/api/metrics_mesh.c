/* metrics_mesh: who is there, how well nodes hear each other, and how far their stores are apart.
 */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <string.h>

/* ---- members --------------------------------------------------------------------------------- */

struct members {
    uint64_t by_state[WIRE_STATE_COUNT];
    uint64_t draining, incompatible, disagreeing;
    uint64_t slots; /* of the living */
    uint32_t rtt_ms;
    uint64_t differs_ms;
};

static void count_living(struct members *self, const struct swim_view *view, uint64_t now_ms)
{
    uint64_t since_ms = view->differs_since_ms;
    uint64_t differs_ms = since_ms && now_ms > since_ms ? now_ms - since_ms : 0;
    self->draining += (view->member.flags & WIRE_FLAG_DRAINING) != 0;
    self->incompatible += !view->is_compatible;
    self->disagreeing += !view->agrees;
    self->slots += view->member.caps.slots;
    if (view->rtt_ms > self->rtt_ms)
        self->rtt_ms = view->rtt_ms;
    if (differs_ms > self->differs_ms)
        self->differs_ms = differs_ms;
}

static void count_members(struct members *self, const struct swim *swim)
{
    uint64_t now_ms = clock_mono_ms();
    *self = (struct members){0};
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        swim_at(swim, i, &view);
        if ((unsigned)view.member.st < WIRE_STATE_COUNT)
            self->by_state[view.member.st]++;
        if (view.member.st <= WIRE_STATE_SUSPECT)
            count_living(self, &view, now_ms);
    }
}

static void put_members(struct exposition *out, const struct swim *swim)
{
    struct members members;
    count_members(&members, swim);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_mesh_members",
                      "Members as this node sees them, itself too; the dead are remembered for a "
                      "day, those that left for an hour.");
    for (enum wire_state st = 0; st < WIRE_STATE_COUNT; st++)
        exposition_uint(out, EXPOSITION_LABEL("state", wire_state_name(st)), members.by_state[st]);
    exposition_gauge(out, "testmesh_mesh_members_draining", "Living members that take no work.",
                     (double)members.draining);
    exposition_gauge(out, "testmesh_mesh_members_incompatible",
                     "Living members that speak no version of ours.", (double)members.incompatible);
    exposition_gauge(out, "testmesh_mesh_members_disagreeing",
                     "Living members whose list of members was another, when last heard.",
                     (double)members.disagreeing);
    exposition_gauge(out, "testmesh_mesh_slots", "Slots of the living members together.",
                     (double)members.slots);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_mesh_round_trip_max_seconds",
                      "Smoothed round trip to the farthest living member.");
    exposition_ms(out, EXPOSITION_NONE, members.rtt_ms);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_mesh_store_differs_seconds",
                      "For how long, at most, a living member's store has not been equal to ours.");
    exposition_ms(out, EXPOSITION_NONE, members.differs_ms);
    exposition_gauge(out, "testmesh_mesh_local_health",
                     "How far behind this node is with its own probes; 0 is well, 8 the worst.",
                     swim_health(swim));
}

/* ---- counters of the machines ---------------------------------------------------------------- */

#define SOURCES 12

/* One family, and the counters (host_each_counter()) that are its samples. */
struct family {
    enum exposition_kind kind;
    const char *name;
    const char *help;
    const char *label; /* NULL: one sample */
    struct {
        const char *part, *counter;
        const char *value; /* of the label */
    } sources[SOURCES];
};

static const struct family families[] = {
    {EXPOSITION_COUNTER,
     "testmesh_mesh_probes_total",
     "Pings to other members.",
     NULL,
     {{"swim", "probes", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_probes_failed_total",
     "Pings that nobody answered, neither directly nor through others.",
     NULL,
     {{"swim", "probes_failed", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_refutations_total",
     "Times that this node had to say that it lives.",
     NULL,
     {{"swim", "refutations", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_pauses_total",
     "Times that this process was stopped, or starved, for longer than a quarter second.",
     NULL,
     {{"swim", "pauses", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_datagrams_total",
     "Datagrams of the mesh.",
     "direction",
     {{"net", "datagrams_in", "in"}, {"net", "datagrams_out", "out"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_datagram_bytes_total",
     "Their bytes.",
     "direction",
     {{"net", "datagram_bytes_in", "in"}, {"net", "datagram_bytes_out", "out"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_datagrams_dropped_total",
     "Datagrams that were not taken, or not sent.",
     "reason",
     {{"net", "datagrams_foreign", "foreign"},
      {"net", "datagrams_malformed", "malformed"},
      {"net", "datagrams_keyless", "unknown_key"},
      {"net", "datagrams_forged", "forged"},
      {"net", "datagrams_replayed", "replayed"},
      {"net", "datagrams_unsent", "unsent"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_frames_total",
     "Messages on links between nodes.",
     "direction",
     {{"net", "frames_in", "in"}, {"net", "frames_out", "out"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_frame_bytes_total",
     "Their bytes, those of blobs among them.",
     "direction",
     {{"net", "frame_bytes_in", "in"}, {"net", "frame_bytes_out", "out"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_frames_dropped_total",
     "Messages that never reached the other end.",
     "reason",
     {{"net", "frames_refused", "refused"}, {"net", "frames_lost", "lost"}}},
    {EXPOSITION_GAUGE,
     "testmesh_mesh_links",
     "Links to other nodes.",
     NULL,
     {{"net", "links", NULL}}},
    {EXPOSITION_GAUGE,
     "testmesh_mesh_queued_bytes",
     "What waits to be sent on them.",
     NULL,
     {{"net", "queued_bytes", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_links_up_total",
     "Links that came up.",
     NULL,
     {{"net", "links_up", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_links_failed_total",
     "Links that broke, and attempts that came to nothing.",
     "reason",
     {{"net", "links_lost", "lost"},
      {"net", "links_stalled", "stalled"},
      {"net", "links_refused", "refused"},
      {"net", "links_unreached", "unreached"},
      {"net", "links_mismatched", "mismatched"},
      {"net", "links_foreign", "foreign"},
      {"net", "links_garbage", "garbage"},
      {"net", "links_forged", "forged"},
      {"net", "links_oversized", "oversized"},
      {"net", "links_crowded", "crowded"}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_names_failed_total",
     "Names to join through that had no address.",
     NULL,
     {{"net", "names_failed", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_mesh_messages_refused_total",
     "What other nodes said and this one did not take.",
     "reason",
     {{"mesh", "bad_frames", "bad_frame"},
      {"mesh", "unknown_messages", "unknown_message"},
      {"mesh", "refused_deltas", "refused_delta"}}},
    {EXPOSITION_COUNTER,
     "testmesh_blob_fetches_total",
     "Bundles and outputs that were wanted from other nodes.",
     "outcome",
     {{"net", "blobs_fetched", "fetched"}, {"net", "blobs_failed", "failed"}}},
    {EXPOSITION_COUNTER,
     "testmesh_blob_bytes_total",
     "Their bytes between nodes.",
     "direction",
     {{"net", "blob_bytes_in", "in"}, {"net", "blob_bytes_out", "out"}}},
    {EXPOSITION_COUNTER,
     "testmesh_blobs_corrupt_total",
     "Blobs that came whole and were not what their name says.",
     NULL,
     {{"net", "blobs_corrupt", NULL}}},
    {EXPOSITION_GAUGE,
     "testmesh_replication_waiting",
     "Evaluations that other nodes have in a newer state, to be asked for.",
     NULL,
     {{"sync", "waiting", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_replication_rounds_total",
     "Comparisons of stores that this node began.",
     NULL,
     {{"sync", "rounds", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_replication_conflicts_total",
     "Evaluations that cannot be joined: two requests under one id.",
     NULL,
     {{"sync", "conflicts", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_ownership_claims_total",
     "Times that this node began to claim an evaluation of a node that was gone.",
     NULL,
     {{"own", "claims", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_ownership_lost_total",
     "Times that it found another owner there.",
     NULL,
     {{"own", "stepped_down", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_evaluations_degraded_total",
     "Results that this node committed without a majority of the copies.",
     NULL,
     {{"own", "degraded", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_replicas_replaced_total",
     "Replicas that were silent and replaced by others.",
     NULL,
     {{"own", "replaced", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_queue_assigned_total",
     "Work that this node gave out, to itself too.",
     "kind",
     {{"queue", "assigned", "module"}, {"queue", "chores_assigned", "project"}}},
    {EXPOSITION_COUNTER,
     "testmesh_queue_lost_total",
     "Attempts that were lost with their node or their runner.",
     NULL,
     {{"queue", "lost", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_queue_given_up_total",
     "Work that nobody will do any more.",
     NULL,
     {{"queue", "given_up", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_claims_total",
     "Times that this node asked for work.",
     NULL,
     {{"agent", "claims", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_claims_unanswered_total",
     "Times that nobody answered it.",
     NULL,
     {{"agent", "claim_timeouts", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_results_sent_again_total",
     "Results that their owner had to be told again.",
     NULL,
     {{"agent", "resent", NULL}}},
    {EXPOSITION_COUNTER,
     "testmesh_commit_statuses_total",
     "Commits' statuses that git hosts were told, or not.",
     "outcome",
     {{"statuses", "sent", "sent"},
      {"statuses", "failed", "failed"},
      {"statuses", "dropped", "dropped"}}},
    {EXPOSITION_GAUGE,
     "testmesh_commit_statuses_waiting",
     "Statuses that have not been told yet.",
     NULL,
     {{"statuses", "waiting", NULL}}},
};

struct found {
    const char *part, *counter;
    uint64_t value;
};

struct counters {
    struct found *items;
    size_t count, room;
};

static void collect(void *arg, const char *part, const char *name, uint64_t value)
{
    struct counters *self = arg;
    self->items = mem_grow(self->items, &self->room, self->count + 1, sizeof *self->items);
    self->items[self->count++] = (struct found){part, name, value};
}

static const struct found *find(const struct counters *self, const char *part, const char *counter)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->items[i].counter, counter) == 0 && strcmp(self->items[i].part, part) == 0)
            return &self->items[i];
    return NULL;
}

/* A counter that a machine no longer has is missing here: test_metrics.py sees that none is. */
static void put_family(struct exposition *out, const struct family *family,
                       const struct counters *counters)
{
    exposition_family(out, family->kind, family->name, family->help);
    for (size_t i = 0; i < SOURCES && family->sources[i].part; i++) {
        const struct found *found =
            find(counters, family->sources[i].part, family->sources[i].counter);
        if (found)
            exposition_uint(out,
                            family->label
                                ? EXPOSITION_LABEL(family->label, family->sources[i].value)
                                : EXPOSITION_NONE,
                            found->value);
    }
}

void metrics_put_mesh(struct exposition *out, const struct api *api)
{
    struct counters counters = {0};
    put_members(out, host_members(api->config.host));
    host_each_counter(api->config.host, collect, &counters);
    for (size_t i = 0; i < countof(families); i++)
        put_family(out, &families[i], &counters);
    free(counters.items);
}
