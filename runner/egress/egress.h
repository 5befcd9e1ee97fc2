/* egress: the one way out of a network namespace: a proxy on the node's event loop.
 *
 * What installs requirements, and what fetches repositories, runs in a network namespace of its
 * own, without a route. Its proxy listens there: the socket is made inside (runner/jail/gate.h) and
 * handed out through a socket pair; connections that are accepted on it are therefore that
 * client's, and nobody else's. What it may reach is policy.h's.
 *
 *     client                              node                                  out there
 *     CONNECT pypi.org:443 ────────────>  the host is on the list?
 *                                         its addresses are looked up, and judged
 *                                         one that is fine is connected to ───> 151.101.0.223
 *     <──────────────────── 200           bytes, in both directions
 *
 * The connection goes to the very address that was judged. With a proxy of the operator's
 * (upstream.h) that one is asked instead, and looks the name up; addresses in numbers are judged
 * here all the same.
 *
 * Answers: 200; 400, 405, 431, 505 for a head that makes no sense; 403 for what is refused, with a
 * line that says why; 502 and 504 for what could not be reached. A client's refusals are kept for
 * whoever has to explain why it failed. */
#ifndef RUNNER_EGRESS_EGRESS_H
#define RUNNER_EGRESS_EGRESS_H

#include "runner/egress/policy.h"
#include "runner/egress/upstream.h"

struct event_base;
struct egress;
struct egress_client;

/* Of an `egress_resolve_fn`: all addresses, with the port; none when there is no such name. */
typedef void egress_resolved_fn(void *arg, const struct wire_addr *addrs, size_t count);

/* Looks a name up without blocking, and calls `done` once, never from within. Errors: any; then
 * `done` is not called. */
typedef int egress_resolve_fn(void *arg, const char *name, uint16_t port, egress_resolved_fn *done,
                              void *done_arg, struct err *err);

struct egress_config {
    struct event_base *base;
    egress_resolve_fn *resolve;
    void *resolve_arg;
    const char *const *environ_; /* for upstream.h; NULL: no further proxy */
};

/* Returns owned. A proxy's variable that makes no sense is logged, and what needs it fails. */
struct egress *egress_new(const struct egress_config *config);

/* All clients must be gone, and so must be whoever looks names up. NULL is fine. */
void egress_free(struct egress *self_owned);

/* A port of this node, which no client reaches at an address of this machine's. */
void egress_add_own_port(struct egress *self, uint16_t port);

struct egress_client_spec {
    const struct egress_policy *policy; /* borrowed for the client's life */
    uint64_t bytes_max;                 /* of all connections, both ways; 0: no limit */
    unsigned connections_max;           /* at once, the next one waits; 0: 64 */
    uint32_t idle_ms;                   /* a connection without a byte ends; 0: 300,000 */
    uint32_t connect_ms;                /* to look up and connect; 0: 30,000 */
};

#define EGRESS_REFUSALS_MAX 8

/* What a client asked for in vain. */
struct egress_refusal {
    struct egress_target target;
    enum egress_verdict verdict;
    bool is_allowed_host;         /* its host is on the list, its addresses are not fine */
    char address[WIRE_ADDR_TEXT]; /* that was judged; "" for none */
};

/* Makes a client: `*fd_owned` is for gate_open(), and to be closed when it was passed on. Returns
 * owned, or NULL. Errors: ERR_IO. */
struct egress_client *egress_client_new(struct egress *self, const struct egress_client_spec *spec,
                                        int *fd_owned, struct err *err) ERR_CHECKED;

/* Ends its connections. NULL is fine. */
void egress_client_free(struct egress_client *self_owned);

/* The first few, each once; borrowed. */
const struct egress_refusal *egress_client_refusals(const struct egress_client *self,
                                                    size_t *count);

/* How often what it may reach could not be reached. */
unsigned egress_client_failures(const struct egress_client *self);

/* Whether its bytes are used up. */
bool egress_client_is_over(const struct egress_client *self);

uint64_t egress_client_bytes(const struct egress_client *self);

#endif
