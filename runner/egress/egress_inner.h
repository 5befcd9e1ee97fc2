/* egress_inner: what egress.c (clients), tunnel.c (one connection of a client), connect.c (where it
 * leads) and relay.c (what then passes) share. */
#ifndef RUNNER_EGRESS_EGRESS_INNER_H
#define RUNNER_EGRESS_EGRESS_INNER_H

#include "runner/egress/egress.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/queue.h>

#define TUNNEL_ADDRS_MAX 8

enum tunnel_state {
    TUNNEL_HEAD,
    TUNNEL_LOOKUP,
    TUNNEL_CONNECTING,
    TUNNEL_ASKING, /* the operator's proxy */
    TUNNEL_RELAY,
    TUNNEL_ANSWERING, /* with a refusal; then it waits for the client to go */
};

/* A name that is looked up; outlives its tunnel. */
struct question {
    LIST_ENTRY(question) links;
    struct tunnel *tunnel; /* NULL: gone */
};

struct tunnel {
    LIST_ENTRY(tunnel) links;
    struct egress_client *client;
    enum tunnel_state state;
    struct bufferevent *in;  /* the client's */
    struct bufferevent *out; /* NULL until it connects */
    struct event *timer;
    struct egress_target target;
    bool is_tunnel;
    struct buf request; /* of one that is no tunnel */
    const struct egress_upstream *upstream;
    struct question *question;
    struct wire_addr addrs[TUNNEL_ADDRS_MAX]; /* judged, and fine */
    size_t addr_count;
    size_t addr_next;
    bool in_is_over; /* nothing more comes from there */
    bool out_is_over;
    bool is_broken; /* one side is gone: the other gets what is left */
};

struct egress_client {
    struct egress *egress;
    struct egress_client_spec spec; /* defaults filled in */
    struct event *mailbox;          /* until the listening socket is here */
    int mailbox_fd;
    struct evconnlistener *listener;
    struct event *again; /* accepts again when there were no descriptors */
    LIST_HEAD(, tunnel) tunnels;
    size_t tunnel_count;
    struct egress_refusal refusals[EGRESS_REFUSALS_MAX];
    size_t refusal_count;
    unsigned failures;
    uint64_t bytes;
    bool is_over;
};

struct egress {
    struct event_base *base;
    egress_resolve_fn *resolve;
    void *resolve_arg;
    struct egress_upstreams upstreams;
    struct egress_own own;
    LIST_HEAD(, question) questions;
};

/* ---- egress.c */
void client_note_refusal(struct egress_client *self, const struct egress_refusal *refusal);
void client_tunnel_gone(struct egress_client *self);

/* ---- tunnel.c */
void tunnel_start(struct egress_client *client, int fd_owned);
void tunnel_end(struct tunnel *self_owned);
void tunnel_arm(struct tunnel *self, uint32_t ms);

/* Each answers, and ends the tunnel when the client is gone: what may be reached and cannot, and
 * what may not be. `addr`: that was judged; NULL: none. */
void tunnel_fail(struct tunnel *self, unsigned status, const char *words);
void tunnel_refuse(struct tunnel *self, enum egress_verdict verdict, const struct wire_addr *addr);

/* Returns how long the head is that lies there; 0: it is not whole yet, -1: it is too long. */
ssize_t tunnel_head_len(struct evbuffer *bytes);

/* ---- connect.c: from a target that may be reached to relay_start() */
void tunnel_look_up(struct tunnel *self);
void tunnel_connect_next(struct tunnel *self); /* another address, or none is left */
bool tunnel_is_here(const struct wire_addr *addr);

/* ---- relay.c: both sides are there; from here on bytes pass */
void relay_start(struct tunnel *self);

#endif
