/* net_inner: what the files of net share. */
#ifndef NODE_NET_NET_INNER_H
#define NODE_NET_NET_INNER_H

#include "node/net/connect.h"
#include "node/net/names.h"
#include "node/net/net.h"

#include <netinet/in.h>
#include <sys/queue.h>

struct bufferevent;
struct event;
struct evconnlistener;

#define PEER_BUCKETS 256

/* A frame that waits for a link. */
struct frame {
    TAILQ_ENTRY(frame) links;
    size_t len;
    uint8_t bytes[];
};

/* All that there is with one node. At most one of connect, dial and timer's wait goes on at a time,
 * and none while there is an `up` that is not leaving. */
struct peer {
    LIST_ENTRY(peer) links;
    struct net *net;
    uint64_t nid;
    struct wire_addr addr;
    struct connect *connect; /* we open: not connected yet */
    struct channel *dial;    /* we open: HELLO is not through */
    struct channel *up;      /* the link, until its very end */
    struct channel *held;    /* theirs, which waits until the old link has ended */
    struct event *timer;     /* until the next attempt */
    bool is_waiting;         /* for the timer */
    bool was_doubled;        /* theirs was turned away for the sake of ours */
    unsigned doubles;        /* times that ours was */
    uint64_t attempted_ms;
    size_t queued_bytes;
    TAILQ_HEAD(, frame) frames;
};

enum channel_phase {
    CHANNEL_GREETING, /* until HELLO */
    CHANNEL_HELD,     /* HELLO is here and waits for judgement */
    CHANNEL_UP,
    CHANNEL_REJECTED, /* told why; waits for its end */
    CHANNEL_DEAD,     /* freed at the loop's next turn */
};

/* One TCP connection. */
struct channel {
    TAILQ_ENTRY(channel) links;
    struct net *net;
    struct peer *peer;       /* NULL for a stranger's */
    struct bufferevent *bev; /* for what goes out */
    struct event *readable;
    struct link *link;
    enum channel_phase phase;
    bool is_dialled; /* by us */
    bool has_spoken, said_bye, heard_bye, has_ended;
    bool is_shut; /* our side */
    struct wire_addr addr;
    uint64_t boot;       /* of the other side */
    uint64_t since_ms;   /* in this phase */
    uint64_t traffic_ms; /* a message last went either way */
    uint64_t drained_ms; /* bytes last went out, or began to wait */
    uint64_t bye_ms;
    struct buf hello; /* the message while held */
};

struct udp {
    struct net *net;
    struct event *event;
    int fd;
    struct wire_addr bound;
};

struct probe {
    TAILQ_ENTRY(probe) links;
    struct net *net;
    struct connect *connect;
    uint32_t seq;
};

/* For blobs.c. They may be called from inside calls of net_*(): they take note, and act later. */
struct net_hooks {
    void *arg;
    void (*message)(void *arg, uint64_t nid, const struct wire_msg *msg);
    void (*down)(void *arg, uint64_t nid);
    void (*drained)(void *arg, uint64_t nid); /* few bytes wait to go out */
};

struct net {
    struct event_base *base;
    struct net_config config;
    uint64_t nid;
    struct keys keys;
    bool has_key;
    struct seal *seal;
    struct udp udp[NET_LISTEN_MAX];
    size_t udp_count;
    struct evconnlistener *listeners[NET_LISTEN_MAX];
    size_t listener_count;
    LIST_HEAD(, peer) peers[PEER_BUCKETS];
    TAILQ_HEAD(channels, channel) channels;
    struct channels graveyard;
    TAILQ_HEAD(, probe) probes;
    struct event *reaper;  /* frees the graveyard */
    struct event *tick;    /* deadlines of channels */
    struct event *settled; /* tells that leaving is done */
    struct event *retry;   /* accepts again */
    struct names *names;
    struct net_hooks hooks;
    struct net_stats stats;
    bool is_leaving;
    uint64_t leaving_ms;
    void (*left)(void *arg);
    void *left_arg;
    uint8_t *scratch; /* what recvmmsg() fills */
};

/* ---- probe.c */
void probe_cancel_all(struct net *self);

#define NET_DRAINED_BYTES (256u << 10) /* so few bytes that wait make room for more of a blob */

/* Says whether an address may be spoken with. */
static inline bool net_may_speak(const struct net *self, const struct wire_addr *addr)
{
    return self->has_key || wire_addr_is_loopback(addr);
}

/* ---- udp.c */
int udp_open(struct net *self, const struct wire_addr *at, uint16_t *port, struct err *err);
void udp_close_all(struct net *self);

/* ---- channel.c: one connection; reports to peers.c */
struct channel *channel_new(struct net *self, int fd_owned, const struct wire_addr *addr,
                            bool is_dialled);
void channel_feed(struct channel *self, const void *bytes, size_t len);
void channel_write(struct channel *self, const void *frame, size_t len, bool compress);
void channel_send(struct channel *self, const struct wire_msg *msg);
size_t channel_waiting(const struct channel *self); /* bytes to go out */
void channel_set_phase(struct channel *self, enum channel_phase phase);
void channel_say_bye(struct channel *self, enum wire_why_bye why); /* once; more is ignored */
void channel_fail(struct channel *self, enum net_down how); /* ends it at once, and reports */
void channel_kill(struct channel *self);                    /* at once, without a report */
void channel_hold(struct channel *self, bool on);           /* reads no more, or again */
void channel_check(struct channel *self, uint64_t now_ms);  /* its deadlines */
void channel_bury(struct net *self);                        /* frees the graveyard */

/* ---- handshake.c: the first message each way */
void handshake_send_hello(struct channel *self);
void handshake_take(struct channel *self, const void *bytes, size_t len);
void handshake_again(struct channel *self); /* one that was held */
void handshake_reject(struct channel *self, enum wire_why_bye why);

/* ---- peers.c */
struct peer *net_find_peer(const struct net *self, uint64_t nid);
struct peer *peers_get(struct net *self, uint64_t nid);
void peers_free_all(struct net *self);
void peers_adopt(struct peer *self, struct channel *channel); /* whose it is, is known */
void peers_want(struct peer *self); /* opens a link if frames wait and nothing is under way */
bool peers_can_write(const struct peer *self);
void peers_flush(struct peer *self);
void peers_give_up(struct peer *self, enum net_down how); /* an attempt failed */
void peers_tell_down(struct peer *self, enum net_down how);
void peers_doubled(struct channel *channel); /* ours was turned away for theirs */
/* As net_send_frame(); `compress` is false for what is compressed already. */
int peers_send(struct net *self, uint64_t nid, const struct wire_addr *to, const struct buf *frame,
               bool compress);

/* ---- meeting.c */
void peers_leave(struct net *self);
/* A stranger's HELLO is good: what is to become of him. A link that he replaces ends here. */
enum peers_verdict { PEERS_ACCEPT, PEERS_DOUBLE, PEERS_BUSY, PEERS_HOLD };
enum peers_verdict peers_judge(struct channel *channel, const struct wire_hello *hello);
void peers_up(struct channel *channel, const struct wire_hello *hello);
void peers_message(struct channel *channel, enum wire_kind kind, const void *bytes, size_t len);
/* A channel of a peer ended, at any phase. */
void peers_ended(struct channel *channel, enum net_down how);

/* ---- net.c */
void net_hook(struct net *self, const struct net_hooks *hooks);
void net_settle(struct net *self); /* when leaving: looks whether all are gone */
void net_watch_deadlines(struct net *self);

#endif
