/* What the tests of net are told in: nodes on loopback that write down what they are told, and a
 * loop that is driven until something is so. */
#ifndef TESTS_NET_WORLD_H
#define TESTS_NET_WORLD_H

#include "node/net/net.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORLD_WAIT_MS 20000
#define WORLD_LOG     4096

static struct event_base *world_base;
static struct event *world_beat; /* so that a wait ends though nothing happens */
static char *world_dir;
static size_t world_fds;

struct node {
    struct net *net;
    struct id_node nid;
    uint64_t id;
    struct wire_addr addr;
    /* what it was told */
    size_t datagrams, datagram_len, unreachables;
    uint8_t datagram[WIRE_PACKET_MAX];
    struct net_from from;
    size_t frames, frame_bytes, last_len;
    uint32_t numbers[WORLD_LOG]; /* the first four bytes of each frame */
    uint8_t last[64];
    size_t ups, downs;
    enum net_down down;
    uint64_t up_nid, down_nid;
    uint8_t version;
    uint32_t features;
    char name[64];
    size_t probes;
    uint32_t probe_seq;
    enum net_probed probed;
    size_t resolved_times, resolved_count;
    struct wire_addr resolved[NET_ADDRS_MAX];
    bool has_left;
};

static inline void world_datagram(void *arg, const struct net_from *from, const uint8_t *body,
                                  size_t len)
{
    struct node *self = arg;
    self->datagrams++;
    self->from = *from;
    self->datagram_len = len;
    memcpy(self->datagram, body, len);
}

static inline void world_unreachable(void *arg, const struct wire_addr *addr)
{
    (void)addr;
    ((struct node *)arg)->unreachables++;
}

static inline void world_frame(void *arg, uint64_t nid, const uint8_t *frame, size_t len)
{
    struct node *self = arg;
    (void)nid;
    if (len >= 4)
        memcpy(&self->numbers[self->frames % WORLD_LOG], frame, 4);
    self->frames++;
    self->frame_bytes += len;
    self->last_len = len;
    memcpy(self->last, frame, len < sizeof self->last ? len : sizeof self->last);
}

static inline void world_up(void *arg, uint64_t nid, const struct net_hello *hello)
{
    struct node *self = arg;
    self->ups++;
    self->up_nid = nid;
    self->version = hello->version;
    self->features = hello->features;
    (void)snprintf(self->name, sizeof self->name, "%s", hello->name);
}

static inline void world_down(void *arg, uint64_t nid, enum net_down how)
{
    struct node *self = arg;
    self->downs++;
    self->down_nid = nid;
    self->down = how;
}

static inline void world_probed(void *arg, uint32_t seq, enum net_probed how)
{
    struct node *self = arg;
    self->probes++;
    self->probe_seq = seq;
    self->probed = how;
}

static const struct net_events world_events = {
    .datagram = world_datagram,
    .unreachable = world_unreachable,
    .frame = world_frame,
    .link_up = world_up,
    .link_down = world_down,
    .probed = world_probed,
};

/* ---- the loop -------------------------------------------------------------------------------- */

static inline void world_on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static inline void turn(void) { event_base_loop(world_base, EVLOOP_ONCE); }

#define until(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = clock_mono_ms() + WORLD_WAIT_MS;                                           \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > end_)                                                            \
                fail_msg("in vain: %s", #condition);                                               \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* Descriptors of this process. */
static inline size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static inline int begin_world(void **unused)
{
    (void)unused;
    char name[64];
    log_setup((enum log_level)(LOG_LEVEL_ERROR + 1), false); /* failures are what we make */
    (void)snprintf(name, sizeof name, "%s/testmesh-net-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    world_fds = count_fds();
    world_base = event_base_new();
    world_beat = event_new(world_base, -1, EV_PERSIST, world_on_beat, NULL);
    event_add(world_beat, &(struct timeval){.tv_usec = 10000});
    world_dir = mkdtemp(name) ? mem_strdup(name) : NULL;
    return world_dir ? 0 : -1;
}

/* Every test gives back each descriptor. */
static inline int end_world(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    event_free(world_beat);
    event_base_free(world_base);
    size_t left = count_fds();
    if (left != world_fds)
        print_error("%zu descriptors before, %zu after\n", world_fds, left);
    int rc = file_remove_tree(world_dir, &err);
    mem_free_at(&world_dir);
    return rc || left != world_fds ? -1 : 0;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static inline struct net_config world_config(uint8_t number)
{
    struct net_config config = {
        .gen = 1, .cluster = "school", .name = "node", .versions = WIRE_VERSIONS, .features = 5};
    rand_system(&config.boot, sizeof config.boot);
    memset(config.nid.bytes, number, sizeof config.nid.bytes);
    return config;
}

/* Starts a node that listens in UDP and TCP at a port of its own. */
static inline void start_with(struct node *self, struct net_config *config, const char *address)
{
    struct err err = ERR_INIT;
    *self = (struct node){.nid = config->nid, .id = id_node_short(&config->nid)};
    config->events = &world_events;
    config->arg = self;
    self->net = net_new(world_base, config, &err);
    if (!self->net)
        fail_msg("%s", err.text);
    uint16_t port;
    if (net_listen(self->net, address, true, &port, &err))
        fail_msg("%s", err.text);
    self->addr = strchr(address, '[') ? wire_addr_v6((const uint8_t[16]){[15] = 1}, port)
                                      : wire_addr_v4((const uint8_t[4]){127, 0, 0, 1}, port);
}

static inline void start(struct node *self, uint8_t number)
{
    struct net_config config = world_config(number);
    start_with(self, &config, "127.0.0.1:0");
}

static inline void stop(struct node *self)
{
    net_free(self->net);
    self->net = NULL;
}

/* Sends a frame of `len` bytes that begins with a number (less than 10000: others may look like
 * messages of net's own). */
static inline int say(struct node *self, const struct node *to, uint32_t number, size_t len)
{
    owned_mem uint8_t *frame = mem_new(len < 4 ? 4 : len);
    memcpy(frame, &number, 4);
    return net_send_frame(self->net, to->id, &to->addr, frame, len);
}

/* Two nodes with a link between them. */
static inline void link_up(struct node *a, struct node *b)
{
    assert_int_equal(say(a, b, 0, 4), 0);
    until(b->frames == 1 && a->ups == 1 && b->ups == 1);
}

/* ---- the other side, by hand ----------------------------------------------------------------- */

static inline int raw_connect(const struct wire_addr *to)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    memcpy(&where.sin_addr, to->ip, 4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline int raw_bound(int type, struct wire_addr *addr)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof where;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
    *addr = wire_addr_v4((const uint8_t[4]){127, 0, 0, 1}, ntohs(where.sin_port));
    return fd;
}

static inline void raw_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* True once the other side has ended or reset the connection; what it sent before is counted. */
static inline bool raw_ended(int fd, size_t *got)
{
    uint8_t bytes[4096];
    for (;;) {
        ssize_t len = recv(fd, bytes, sizeof bytes, 0);
        if (len == 0 || (len < 0 && errno != EAGAIN))
            return true;
        if (len < 0)
            return false;
        if (got)
            *got += (size_t)len;
    }
}

#endif
