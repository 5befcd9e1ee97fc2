/* Does something listen there? */
#include "node/net/net_inner.h"
#include "proto/base/mem.h"

#include <errno.h>

static void on_result(void *arg, int fd_owned, int error)
{
    struct probe *self = arg;
    struct net *net = self->net;
    uint32_t seq = self->seq;
    owned_fd int fd = fd_owned;
    enum net_probed how = error == 0              ? NET_PROBE_CONNECTED
                          : error == ECONNREFUSED ? NET_PROBE_REFUSED
                                                  : NET_PROBE_TIMEOUT;
    (void)fd;
    TAILQ_REMOVE(&net->probes, self, links);
    free(self);
    if (net->config.events->probed)
        net->config.events->probed(net->config.arg, seq, how);
}

void net_probe(struct net *self, const struct wire_addr *to, uint32_t seq)
{
    struct probe *probe = mem_new(sizeof *probe);
    probe->net = self;
    probe->seq = seq;
    self->stats.probes++;
    TAILQ_INSERT_TAIL(&self->probes, probe, links);
    /* To where nothing may be sent a connection is tried that fails: the answer comes as always. */
    uint32_t ms = net_may_speak(self, to) ? self->config.connect_ms : 0;
    probe->connect = connect_start(self->base, to, ms, on_result, probe);
}

void probe_cancel_all(struct net *self)
{
    struct probe *at;
    while ((at = TAILQ_FIRST(&self->probes))) {
        TAILQ_REMOVE(&self->probes, at, links);
        connect_cancel(at->connect);
        free(at);
    }
}
