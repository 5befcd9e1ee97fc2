#include "node/way_out.h"

#include "node/net/names.h"
#include "proto/base/mem.h"
#include "runner/egress/egress.h"

#include <sys/stat.h>
#include <unistd.h>

#define SERVERS "/etc/resolv.conf"

extern char **environ;

struct asked {
    struct way_out *way_out;
    egress_resolved_fn *done;
    void *arg;
};

static void on_resolved(void *arg, const struct wire_addr *addrs, size_t count)
{
    struct asked asked = *(struct asked *)arg;
    free(arg);
    asked.way_out->asked--;
    asked.done(asked.arg, addrs, count);
}

/* A machine that moves has other name servers afterwards; what is under way is not disturbed. */
static void follow_servers(struct way_out *self)
{
    struct stat st;
    if (stat(SERVERS, &st) || self->asked ||
        (st.st_mtim.tv_sec == self->servers_changed.tv_sec &&
         st.st_mtim.tv_nsec == self->servers_changed.tv_nsec))
        return;
    names_free(self->names);
    self->names = names_new(self->base, NULL);
    self->servers_changed = st.st_mtim;
}

static int resolve(void *arg, const char *name, uint16_t port, egress_resolved_fn *done,
                   void *done_arg, struct err *err)
{
    struct way_out *self = arg;
    follow_servers(self);
    struct asked *asked = mem_new(sizeof *asked);
    *asked = (struct asked){self, done, done_arg};
    int rc = names_resolve(self->names, name, port, on_resolved, asked, err);
    if (rc)
        free(asked);
    else
        self->asked++;
    return rc;
}

void way_out_open(struct way_out *self, struct event_base *base)
{
    *self = (struct way_out){.base = base, .names = names_new(base, NULL)};
    self->egress = egress_new(&(struct egress_config){.base = base,
                                                      .resolve = resolve,
                                                      .resolve_arg = self,
                                                      .environ_ = (const char *const *)environ});
}

void way_out_close(struct way_out *self)
{
    names_free(steal_ptr(&self->names));
    egress_free(steal_ptr(&self->egress));
}
