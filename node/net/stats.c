/* Counters by name. */
#include "node/net/net_inner.h"
#include "proto/base/mem.h"

#define COUNTER(name)                                                                              \
    {                                                                                              \
#name, offsetof(struct net_stats, name)                                                    \
    }

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    COUNTER(datagrams_in),       COUNTER(datagrams_out),
    COUNTER(datagram_bytes_in),  COUNTER(datagram_bytes_out),
    COUNTER(datagrams_foreign),  COUNTER(datagrams_malformed),
    COUNTER(datagrams_keyless),  COUNTER(datagrams_forged),
    COUNTER(datagrams_replayed), COUNTER(datagrams_own),
    COUNTER(datagrams_unsent),   COUNTER(unreachables),
    COUNTER(frames_in),          COUNTER(frames_out),
    COUNTER(frame_bytes_in),     COUNTER(frame_bytes_out),
    COUNTER(frames_refused),     COUNTER(frames_lost),
    COUNTER(links_opened),       COUNTER(links_accepted),
    COUNTER(links_up),           COUNTER(links_lost),
    COUNTER(links_bye),          COUNTER(links_refused),
    COUNTER(links_unreached),    COUNTER(links_foreign),
    COUNTER(links_garbage),      COUNTER(links_forged),
    COUNTER(links_oversized),    COUNTER(links_mismatched),
    COUNTER(links_duplicate),    COUNTER(links_stalled),
    COUNTER(links_crowded),      COUNTER(probes),
    COUNTER(names_failed),       COUNTER(blobs_fetched),
    COUNTER(blobs_failed),       COUNTER(blob_bytes_in),
    COUNTER(blob_bytes_out),     COUNTER(blobs_served),
    COUNTER(blobs_busy),         COUNTER(blobs_absent),
    COUNTER(blobs_corrupt),      COUNTER(blobs_resumed),
    COUNTER(blobs_timeouts),     COUNTER(blobs_unasked),
    COUNTER(blobs_malformed),    COUNTER(links),
    COUNTER(strangers),          COUNTER(queued_bytes),
};

_Static_assert(countof(counters) * sizeof(uint64_t) == sizeof(struct net_stats),
               "every counter has a name");

struct net_stats net_stats(const struct net *self)
{
    struct net_stats stats = self->stats;
    stats.names_failed = names_failed(self->names);
    return stats;
}

void net_each_stat(const struct net *self, net_stat_fn *fn, void *arg)
{
    struct net_stats stats = net_stats(self);
    for (size_t i = 0; i < countof(counters); i++)
        fn(arg, counters[i].name, *(const uint64_t *)((const char *)&stats + counters[i].offset));
}

const char *net_down_name(enum net_down how)
{
    static const char *const names[] = {
        [NET_DOWN_BYE] = "bye",         [NET_DOWN_LOST] = "lost",
        [NET_DOWN_REFUSED] = "refused", [NET_DOWN_UNREACHED] = "unreached",
        [NET_DOWN_OTHER] = "other",     [NET_DOWN_VERSION] = "version",
    };
    return names[how];
}
