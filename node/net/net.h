/* net: the mesh's edge to the network: datagrams, links between nodes, names, blobs (blobs.h).
 *
 * It decides nothing about membership or work. Nodes are named by id_node_short(). What goes in and
 * out are bodies of datagrams and plain frames as proto/wire/ encodes them; sealing, sessions,
 * HELLO and BYE are done here, and so are the frames of blobs (GET, DATA, BLOB_ERR, HAS, HAVE).
 *
 * A link is one TCP connection between two nodes, opened when there is a frame to send and closed
 * with BYE when nothing was sent for a while. Frames of one sender arrive in their order, and once;
 * after link_down some of the last ones may not have arrived. Two nodes that open at the same time
 * end with one link: the one that the node with the smaller id opened.
 *
 * Without a key file the mesh is for one machine: what does not come from a loopback address is
 * dropped and counted, and nothing is sent to another.
 *
 * Nobody who lacks the key ever gets an answer to a datagram. A connection that
 * names a key of ours (one byte) gets 37 bytes that anybody may have, and then its end.
 *
 * Everything here is for the loop's thread, and returns at once. No callback runs inside a call of
 * net_*(), and every call but net_free() may be made from inside a callback. */
#ifndef NODE_NET_NET_H
#define NODE_NET_NET_H

#include "proto/base/err.h"
#include "proto/base/id.h"
#include "proto/wire/link.h"
#include "proto/wire/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct net;

/* ---- what it tells --------------------------------------------------------------------------- */

/* Where a datagram came from. `boot` changes with each start of the sender. */
struct net_from {
    struct wire_addr addr;
    uint64_t nid;
    uint64_t boot;
};

/* Why there is no link (any longer). */
enum net_down {
    NET_DOWN_BYE,       /* both said goodbye; no sign of trouble */
    NET_DOWN_LOST,      /* a link that was up ended without BYE, or stalled */
    NET_DOWN_REFUSED,   /* nobody listens there: hard evidence */
    NET_DOWN_UNREACHED, /* no connection, or no HELLO, in time */
    NET_DOWN_OTHER,     /* another node answers there: says nothing about the one that was meant */
    NET_DOWN_VERSION,   /* no version of the protocol that both speak, or another cluster */
};

const char *net_down_name(enum net_down how);

/* What the other side said of itself in HELLO. Texts are borrowed for the call. */
struct net_hello {
    struct id_node nid;
    uint64_t gen, boot;
    const char *name; /* at most 63 bytes, checked to be printable UTF-8 or "" */
    uint8_t version;  /* the one to speak: the smaller maximum */
    uint32_t features;
    struct wire_addr addr; /* the other end of the connection; its port means something only where
                              we opened it */
};

/* How a probe ended. */
enum net_probed { NET_PROBE_CONNECTED, NET_PROBE_REFUSED, NET_PROBE_TIMEOUT };

/* All may be NULL. `arg` is net_config.arg. Bytes are borrowed for the call. */
struct net_events {
    /* An authentic datagram that was not seen before. */
    void (*datagram)(void *arg, const struct net_from *from, const uint8_t *body, size_t len);
    /* The kernel says that nothing listens at `addr` in UDP (ICMP port unreachable). */
    void (*unreachable)(void *arg, const struct wire_addr *addr);
    void (*frame)(void *arg, uint64_t nid, const uint8_t *frame, size_t len);
    void (*link_up)(void *arg, uint64_t nid, const struct net_hello *hello);
    /* After link_up: once. Without it: each time that an attempt to open failed. The frames that
     * waited are gone (net_stats.frames_lost). */
    void (*link_down)(void *arg, uint64_t nid, enum net_down how);
    void (*probed)(void *arg, uint32_t seq, enum net_probed how);
};

/* ---- life ------------------------------------------------------------------------------------ */

struct net_config {
    struct id_node nid;
    uint64_t gen;
    uint64_t boot; /* random, new for each start: rand_system() */
    const char *cluster;
    const char *name; /* the node's label, for HELLO */
    struct wire_versions versions;
    uint32_t features;
    /* The cluster's keys, one a line, 64 hex digits, 3 at most; `#` comments. The first encrypts,
     * all decrypt. The file must be ours or root's and closed to everybody else (0600, 0400). NULL:
     * loopback only. */
    const char *key_file;
    const struct net_events *events; /* borrowed for ever */
    void *arg;

    /* For tests; 0 for the default. */
    uint32_t connect_ms;     /* 2000: until TCP is connected; also for probes */
    uint32_t handshake_ms;   /* 5000: from there to HELLO */
    uint32_t stall_ms;       /* 10000: bytes wait and the other end takes none */
    uint32_t idle_ms;        /* 60000: nothing in either direction, then BYE */
    uint32_t linger_ms;      /* 2000: from our BYE to the other's end */
    uint32_t redial_ms;      /* 100: between two attempts to open a link to one node */
    size_t queue_bytes;      /* 32 MiB: frames that wait for one node; more are refused */
    size_t links_max;        /* 2048, both directions together */
    const char *name_server; /* "127.0.0.1:53": in place of the system's; copied */
    size_t strangers_max;    /* 128: connections that have not proved who they are */
};

/* Returns owned. Borrows `base`, copies `config` with its texts. Listens nowhere yet.
 * Errors: ERR_FORBIDDEN the key file is somebody else's or open to others, ERR_INVALID it has no
 * key, or no keys, or too many, ERR_NOT_FOUND, ERR_IO. */
struct net *net_new(struct event_base *base, const struct net_config *config, struct err *err);

/* Closes everything without a word (see net_leave) and frees; no callback. NULL is fine. */
void net_free(struct net *self_owned);

/* Binds UDP at "127.0.0.1:5001", "[::]:0", ":5001" or "localhost:5001", and with `links` listens in
 * TCP at the same number (`--mesh ADDR`); without, connections come through net_adopt(). Port 0
 * takes a free one. Without a key "every address" is narrowed to the loopback's. Returns 0 and the
 * port. May be called again for more addresses, NET_LISTEN_MAX at most.
 * Errors: ERR_INVALID the text, or an address that is not loopback without a key; ERR_CONFLICT a
 * port in use; ERR_TOO_LARGE too many; ERR_IO. */
#define NET_LISTEN_MAX 8
int net_listen(struct net *self, const char *address, bool links, uint16_t *port,
               struct err *err) ERR_CHECKED;

/* Takes a connection that began with "MSH1": an http_adopt_fn whose arg is the net. */
void net_adopt(int fd_owned, const void *first, size_t len, void *net);

/* Says BYE on every link when its frames are out, accepts nothing more, and calls `done` (from the
 * loop) when all are closed: after linger_ms at the latest. Datagrams go on. */
void net_leave(struct net *self, void (*done)(void *arg), void *arg);

/* ---- datagrams ------------------------------------------------------------------------------- */

/* Seals and sends. 0; ERR_TOO_LARGE over WIRE_PACKET_BODY; ERR_FORBIDDEN not loopback and no key;
 * ERR_UNAVAILABLE the kernel did not take it (counts as no answer, never as not asked). */
int net_send(struct net *self, const struct wire_addr *to, const void *body, size_t len);

/* ---- links ----------------------------------------------------------------------------------- */

/* Sends one frame to `nid`, opening a link to `to` where there is none; copies. 0 when it was sent
 * or waits; ERR_TOO_LARGE over LINK_BODY_MAX; ERR_BUSY too much waits for this node already, or
 * there are too many links; ERR_FORBIDDEN not loopback and no key; ERR_CANCELLED after net_leave().
 */
int net_send_frame(struct net *self, uint64_t nid, const struct wire_addr *to, const void *frame,
                   size_t len);

/* True when a link is up. */
bool net_has_link(const struct net *self, uint64_t nid);

/* Bytes that wait to be sent to `nid`. */
size_t net_queued(const struct net *self, uint64_t nid);

/* Ends what there is with `nid` at once: frames are dropped, no callback. For a member that is
 * dead. */
void net_drop_link(struct net *self, uint64_t nid);

/* Tries to connect in TCP and closes again; events.probed tells, once, with `seq`. Proves that
 * something listens, not what. */
void net_probe(struct net *self, const struct wire_addr *to, uint32_t seq);

/* The cluster's keys; borrowed for ever. For what is sealed on disk (node/eval/secret.h). */
const struct keys *net_keys(const struct net *self);

/* ---- names ----------------------------------------------------------------------------------- */

#define NET_ADDRS_MAX 64

/* Borrowed for the call; none when the name has no address now. */
typedef void net_resolved_fn(void *arg, const struct wire_addr *addrs, size_t count);

/* Looks up "dns:name[:port]", "name[:port]", "192.0.2.1[:port]" or "[2001:db8::1]:port": all of its
 * IPv4 and IPv6 addresses, each time anew. `done` is called once, from the loop; not after
 * net_free(). ERR_INVALID when the text is none of those: then `done` is not called. */
int net_resolve(struct net *self, const char *name, uint16_t default_port, net_resolved_fn *done,
                void *arg, struct err *err) ERR_CHECKED;

/* ---- counters -------------------------------------------------------------------------------- */

/* Since net_new(). docs/protocol.md explains them. */
struct net_stats {
    /* datagrams */
    uint64_t datagrams_in, datagrams_out, datagram_bytes_in, datagram_bytes_out;
    uint64_t datagrams_foreign;   /* not from this machine, and there is no key */
    uint64_t datagrams_malformed; /* too short, too long, another version of the packet */
    uint64_t datagrams_keyless;   /* sealed with a key that we do not have */
    uint64_t datagrams_forged;    /* changed, another key of that number, or another cluster */
    uint64_t datagrams_replayed;  /* seen before, or too old to tell */
    uint64_t datagrams_own;       /* our own, come back */
    uint64_t datagrams_unsent;    /* the kernel did not take them */
    uint64_t unreachables;
    /* links */
    uint64_t frames_in, frames_out, frame_bytes_in, frame_bytes_out;
    uint64_t frames_refused; /* the queue was full, or the frame too large */
    uint64_t frames_lost;    /* waited for a link that failed */
    uint64_t links_opened, links_accepted, links_up, links_lost, links_bye;
    uint64_t links_refused;    /* nobody listened */
    uint64_t links_unreached;  /* no connection or no HELLO in time */
    uint64_t links_foreign;    /* not from this machine, and there is no key */
    uint64_t links_garbage;    /* bytes that are no handshake, or that end inside one */
    uint64_t links_forged;     /* a frame that does not open, or a key that we do not have */
    uint64_t links_oversized;  /* a frame over its limit */
    uint64_t links_mismatched; /* another node, cluster or version than was meant */
    uint64_t links_duplicate;  /* closed because the two sides opened at once */
    uint64_t links_stalled;    /* the other end took no bytes for too long */
    uint64_t links_crowded;    /* too many connections at once */
    uint64_t probes, names_failed;
    /* blobs */
    uint64_t blobs_fetched, blobs_failed, blob_bytes_in, blob_bytes_out;
    uint64_t blobs_served, blobs_busy, blobs_absent;
    uint64_t blobs_corrupt;   /* whole, and not what their name says */
    uint64_t blobs_resumed;   /* went on at another source */
    uint64_t blobs_timeouts;  /* a source that was silent for too long */
    uint64_t blobs_unasked;   /* DATA, HAVE or BLOB_ERR that nobody waits for */
    uint64_t blobs_malformed; /* frames that made no sense */
    /* now */
    uint64_t links, strangers, queued_bytes;
};

struct net_stats net_stats(const struct net *self);

/* Calls `fn` for each counter with its name and value, in the order above. */
typedef void net_stat_fn(void *arg, const char *name, uint64_t value);
void net_each_stat(const struct net *self, net_stat_fn *fn, void *arg);

#endif
