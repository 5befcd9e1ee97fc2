#include "node/host/host_inner.h"

#include "node/store/store_docs.h"
#include "proto/base/byid.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#define RESOLVE_S 30
#define WATCH_S   1

#define SWEEP_EVERY_S 600

/* ---- steps ----------------------------------------------------------------------------------- */

static void arm(struct host *self, uint64_t now_ms)
{
    uint64_t at_ms = mesh_deadline(self->mesh);
    if (at_ms == UINT64_MAX) {
        event_del(self->timer);
        return;
    }
    uint64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000),
                           .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};
    event_add(self->timer, &wait);
}

void host_feed(struct host *self, struct mesh_event event)
{
    if (!self->mesh || self->is_gone)
        return;
    event.now_ms = clock_mono_ms();
    event.wall_ms = clock_wall_ms();
    self->is_stepping = true;
    mesh_step(self->mesh, &event, &self->out);
    for (size_t i = 0; i < self->out.count; i++)
        host_do(self, &self->out.effects[i]);
    self->is_stepping = false;
    arm(self, event.now_ms);
    host_tell_answers(self);
}

void host_feed_later(struct host *self, struct mesh_event event)
{
    struct later *later = mem_new(sizeof *later);
    later->event = event;
    *self->laters_end = later;
    self->laters_end = &later->next;
    event_active(self->take_laters, 0, 0);
}

static struct later *take_later(struct host *self)
{
    struct later *later = self->laters;
    self->laters = later->next;
    if (!self->laters)
        self->laters_end = &self->laters;
    return later;
}

static void on_take_laters(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host *self = arg;
    while (self->laters) {
        owned_mem struct later *later = take_later(self);
        host_feed(self, later->event);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    host_feed(arg, (struct mesh_event){.kind = MESH_TICK});
}

/* ---- the network's events -------------------------------------------------------------------- */

static void on_datagram(void *arg, const struct net_from *from, const uint8_t *body, size_t len)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_DATAGRAM,
                                       .addr = from->addr,
                                       .peer = from->nid,
                                       .boot = from->boot,
                                       .bytes = body,
                                       .len = len});
}

static void on_unreachable(void *arg, const struct wire_addr *addr)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_UNREACHABLE, .addr = *addr});
}

static void on_frame(void *arg, uint64_t nid, const uint8_t *frame, size_t len)
{
    host_feed(arg,
              (struct mesh_event){.kind = MESH_FRAME, .peer = nid, .bytes = frame, .len = len});
}

static void on_link_down(void *arg, uint64_t nid, enum net_down how)
{
    struct host *self = arg;
    struct swim_view view;
    log_debug("link_down", "node=%016" PRIx64 " how=%s", nid, net_down_name(how));
    if (how == NET_DOWN_REFUSED && self->mesh && swim_member(mesh_members(self->mesh), nid, &view))
        host_feed(self, (struct mesh_event){.kind = MESH_UNREACHABLE, .addr = view.member.addr});
    host_feed(self, (struct mesh_event){.kind = MESH_LINK_DOWN,
                                        .peer = nid,
                                        .link_end =
                                            how == NET_DOWN_LOST ? MESH_LINK_LOST : MESH_LINK_BYE});
}

/* That something took a connection proves little: a stopped process has a kernel that does. Only
 * that nobody listens is evidence. */
static void on_probed(void *arg, uint32_t seq, enum net_probed how)
{
    if (how == NET_PROBE_REFUSED)
        host_feed(arg, (struct mesh_event){.kind = MESH_PROBED, .token = seq});
}

static const struct net_events net_events = {.datagram = on_datagram,
                                             .unreachable = on_unreachable,
                                             .frame = on_frame,
                                             .link_down = on_link_down,
                                             .probed = on_probed};

/* ---- the executor's events ------------------------------------------------------------------- */

static void on_wants_slot(void *arg, const struct work *work)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_WANTS_SLOT, .work = *work});
}

static void on_progress(void *arg, const struct work *work, const struct doc_tally *tally)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_PROGRESS, .work = *work, .tally = *tally});
}

static void on_ended(void *arg, const struct work *work, enum work_end end, enum work_blame blame,
                     uint32_t took_ms, const struct delta *delta)
{
    host_feed(arg, (struct mesh_event){.kind = MESH_ENDED,
                                       .work = *work,
                                       .end = end,
                                       .blame = blame,
                                       .took_ms = took_ms,
                                       .delta = delta});
}

static const struct executor_events executor_events = {
    .wants_slot = on_wants_slot, .progress = on_progress, .ended = on_ended};

/* ---- life ------------------------------------------------------------------------------------ */

static bool locate(void *arg, uint64_t nid, struct wire_addr *out)
{
    struct host *self = arg;
    struct swim_view view;
    if (!self->mesh || !swim_member(mesh_members(self->mesh), nid, &view) ||
        view.member.st > WIRE_STATE_SUSPECT)
        return false;
    *out = view.member.addr;
    return true;
}

static void on_resolve(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    host_resolve_joins(arg);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host *self = arg;
    host_tell_refusals(self);
    if (++self->watched < SWEEP_EVERY_S)
        return;
    self->watched = 0;
    host_sweep_secrets(self, false);
}

static int open_net(struct host *self, struct err *err)
{
    const struct store_identity *me = store_identity(self->config.store);
    self->net = net_new(self->config.base,
                        &(struct net_config){.nid = me->nid,
                                             .gen = me->gen,
                                             .boot = self->boot,
                                             .cluster = self->config.cluster,
                                             .name = self->config.name,
                                             .versions = WIRE_VERSIONS,
                                             .key_file = self->config.key_file,
                                             .events = &net_events,
                                             .arg = self},
                        err);
    if (!self->net)
        return err->code;
    self->blobs = blobs_new(&(struct blobs_config){.base = self->config.base,
                                                   .net = self->net,
                                                   .store = self->config.store,
                                                   .locate = locate,
                                                   .arg = self});
    return 0;
}

struct host *host_new(const struct host_config *config, struct err *err)
{
    struct host *self = mem_new(sizeof *self);
    self->config = *config;
    self->self = store_identity(config->store)->nid_short;
    self->revision = store_identity(config->store)->gen << 32;
    self->answers_end = &self->answers;
    self->laters_end = &self->laters;
    self->copies_end = &self->copies;
    self->peers_path = mem_printf("%s/peers.txt", config->data);
    rand_system(&self->boot, sizeof self->boot);
    self->timer = evtimer_new(config->base, on_timer, self);
    self->take_laters = event_new(config->base, -1, 0, on_take_laters, self);
    self->resolve = event_new(config->base, -1, EV_PERSIST, on_resolve, self);
    self->watch = event_new(config->base, -1, EV_PERSIST, on_watch, self);
    self->config.executor.base = config->base;
    self->config.executor.events = &executor_events;
    self->config.executor.arg = self;
    self->executor = executor_new(&self->config.executor);
    store_docs(config->store, &self->docs);
    if (open_net(self, err)) {
        host_free(self);
        return NULL;
    }
    host_open_clones(self);
    host_open_statuses(self);
    return self;
}

int host_listen(struct host *self, const char *address, bool links, uint16_t *port, struct err *err)
{
    return net_listen(self->net, address, links, port, err);
}

void host_adopt(int fd_owned, const void *first, size_t len, void *host)
{
    net_adopt(fd_owned, first, len, ((struct host *)host)->net);
}

static void on_document(void *arg, const struct doc *doc, unsigned changed)
{
    host_copy_blobs(arg, doc, changed);
    host_note_statuses(arg, doc);
}

static struct mesh *make_mesh(struct host *self, const struct wire_addr *addr, uint16_t http_port,
                              bool had_peers)
{
    const struct store_identity *me = store_identity(self->config.store);
    uint64_t seed;
    rand_system(&seed, sizeof seed);
    return mesh_new(&(struct mesh_config){
        .self = {.node = me->nid,
                 .gen = me->gen,
                 .addr = *addr,
                 .http = http_port,
                 .pv = WIRE_VERSIONS,
                 .caps = {.slots = (uint16_t)self->config.slots, .mem_mb = self->config.memory_mb},
                 .name = self->config.name,
                 .address = self->address},
        .boot = self->boot,
        .seed = seed,
        .now_ms = clock_mono_ms(),
        .timing = SWIM_TIMING,
        .docs = &self->docs,
        .estimate = executor_estimate,
        .estimate_arg = self->executor,
        .slots = self->config.slots,
        .chores = self->config.chores,
        .module_timeout_ms = (uint32_t)self->config.executor.limits.wall_ms,
        .prepare_timeout_ms = self->config.prepare_timeout_ms,
        .allow_single = self->config.allow_single,
        .had_peers = had_peers});
}

int host_start(struct host *self, const char *address, const struct wire_addr *mesh,
               uint16_t http_port, struct err *err)
{
    owned_buf peers = BUF_INIT;
    self->address = mem_strdup(address);
    for (size_t i = 0; i < self->config.join_count; i++)
        if (host_join(self, self->config.join[i], err))
            return err_wrap(err, "--join %s", self->config.join[i]);
    host_read_peers(self, &peers);
    self->mesh = make_mesh(self, mesh, http_port, peers.len > 0 || self->config.join_count > 0);
    host_join_peers(self, &peers);
    store_watch(self->config.store, on_document, self);
    host_sweep_secrets(self, true);
    host_resolve_joins(self);
    event_add(self->resolve, &(struct timeval){.tv_sec = RESOLVE_S});
    event_add(self->watch, &(struct timeval){.tv_sec = WATCH_S});
    host_feed(self, (struct mesh_event){.kind = MESH_TICK});
    return 0;
}

void host_stop(struct host *self) { self->is_gone = true; }

void host_free(struct host *self)
{
    if (!self)
        return;
    store_watch(self->config.store, NULL, NULL);
    clones_free(self->clones);
    host_free_statuses(self);
    blobs_free(self->blobs);
    net_free(self->net);
    executor_free(self->executor);
    mesh_free(self->mesh);
    mesh_out_fini(&self->out);
    host_free_answers(self);
    host_free_copies(self);
    host_free_joins(self);
    while (self->laters)
        free(take_later(self));
    event_free(self->timer);
    event_free(self->take_laters);
    event_free(self->resolve);
    event_free(self->watch);
    free(self->peers_path);
    free(self->address);
    free(self);
}

/* ---- questions ------------------------------------------------------------------------------- */

struct mesh_load host_load(const struct host *self) { return mesh_load(self->mesh); }

enum mesh_standing host_standing(const struct host *self, uint64_t id, unsigned *replicas)
{
    return mesh_standing(self->mesh, id, replicas);
}

const struct swim *host_members(const struct host *self) { return mesh_members(self->mesh); }

const struct executor_stats *host_executor_stats(const struct host *self)
{
    return executor_stats(self->executor);
}

uint64_t host_self(const struct host *self) { return self->self; }

struct clones_stats host_clones_stats(const struct host *self)
{
    return clones_stats(self->clones);
}

struct secret_place host_secrets(const struct host *self)
{
    return (struct secret_place){
        .keys = net_keys(self->net), .cluster = self->config.cluster, .store = self->config.store};
}

struct counting {
    mesh_counter_fn *fn;
    void *arg;
};

static void on_net_counter(void *arg, const char *name, uint64_t value)
{
    const struct counting *counting = arg;
    counting->fn(counting->arg, "net", name, value);
}

static void on_status_counter(void *arg, const char *name, uint64_t value)
{
    const struct counting *counting = arg;
    counting->fn(counting->arg, "statuses", name, value);
}

void host_each_counter(const struct host *self, mesh_counter_fn *fn, void *arg)
{
    struct counting counting = {.fn = fn, .arg = arg};
    net_each_stat(self->net, on_net_counter, &counting);
    mesh_each_counter(self->mesh, fn, arg);
    statuses_each_counter(self->statuses, on_status_counter, &counting);
    on_status_counter(&counting, "waiting", statuses_waiting(self->statuses));
}

void host_on_final(struct host *self, host_final_fn *fn, void *arg)
{
    self->on_final = fn;
    self->on_final_arg = arg;
}

void host_on_exit(struct host *self, host_exit_fn *fn, void *arg)
{
    self->on_exit = fn;
    self->on_exit_arg = arg;
}

void host_drain(struct host *self) { host_feed(self, (struct mesh_event){.kind = MESH_DRAIN}); }

void host_leave(struct host *self, void (*done)(void *arg), void *arg)
{
    self->on_left = done;
    self->on_left_arg = arg;
    host_feed(self, (struct mesh_event){.kind = self->is_drained ? MESH_LEAVE : MESH_DRAIN});
}

void host_abandon(struct host *self) { host_feed(self, (struct mesh_event){.kind = MESH_LEAVE}); }

static const char *address_of(const struct host *self, uint64_t peer)
{
    struct swim_view view;
    if (peer == self->self)
        return self->address;
    return swim_member(mesh_members(self->mesh), peer, &view) ? view.member.address : NULL;
}

void host_live(const struct host *self, uint64_t id, struct host_live *out)
{
    owned_mem struct mesh_running *running = NULL;
    uint64_t now_ms = clock_mono_ms();
    size_t count = mesh_running(self->mesh, id, &running);
    *out = (struct host_live){.live = {.now_ms = clock_wall_ms(), .running_count = count}};
    const struct revision *at = byid_find(self->revisions, self->revision_count, id);
    out->revision = at ? at->count : 0;
    out->running = mem_new_array(count + 1, sizeof *out->running);
    for (size_t i = 0; i < count; i++)
        out->running[i] =
            (struct summary_running){.p = running[i].work.p,
                                     .m = running[i].work.m,
                                     .n = running[i].work.n,
                                     .addr = address_of(self, running[i].peer),
                                     .start_ms = out->live.now_ms - (now_ms - running[i].since_ms),
                                     .tally = running[i].tally};
    out->live.running = out->running;
    out->live.preparing = mesh_is_preparing(self->mesh, id);
    out->clone_count = mesh_cloning(self->mesh, id, &out->clones);
}

void host_live_fini(struct host_live *self)
{
    free(self->running);
    free(self->clones);
}
