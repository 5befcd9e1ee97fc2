/* refusals: packets that were refused are counted by the network; who runs the node is told in the
 * log, seldom, for each reason that he can do something about. */
#include "node/host/host_inner.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <inttypes.h>
#include <stddef.h>

#define TELL_EVERY_MS 60000

static const struct {
    size_t counters[3]; /* in struct net_stats; added up; 0: none */
    const char *what;
    const char *words;
} reasons[HOST_REFUSALS] = {
    {{offsetof(struct net_stats, datagrams_keyless), offsetof(struct net_stats, datagrams_forged),
      offsetof(struct net_stats, links_forged)},
     "other_key",
     "somebody speaks with another key or in another cluster: compare --key-file and --cluster"},
    {{offsetof(struct net_stats, links_mismatched), 0, 0},
     "other_node",
     "another node, another cluster or another version of the protocol answers at an address"},
    {{offsetof(struct net_stats, datagrams_foreign), offsetof(struct net_stats, links_foreign), 0},
     "other_machine",
     "somebody speaks from another machine: without --key-file a node meets others on its own"},
};

static uint64_t count_of(const struct net_stats *stats, size_t reason)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < 3; i++)
        if (reasons[reason].counters[i])
            sum += *(const uint64_t *)(const void *)((const char *)stats +
                                                     reasons[reason].counters[i]);
    return sum;
}

void host_tell_refusals(struct host *self)
{
    struct net_stats stats = net_stats(self->net);
    uint64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < HOST_REFUSALS; i++) {
        struct refusals *refusals = &self->refusals[i];
        uint64_t count = count_of(&stats, i);
        if (count == refusals->told ||
            (refusals->told_ms && refusals->told_ms + TELL_EVERY_MS > now_ms))
            continue;
        log_warn("mesh_refused", "what=%s count=%" PRIu64 " %s", reasons[i].what, count,
                 reasons[i].words);
        refusals->told = count;
        refusals->told_ms = now_ms;
    }
}
