/* policy: what a client of the proxy may reach. Pure.
 *
 *   asked for                         an index's client          a repository's client
 *   the node's own ports, here        egress-own                 egress-own
 *   link-local, metadata services     egress-link-local          egress-address
 *   a host that is not on the list    egress-host                egress-host
 *   any other address of such a host  connected to               public unicast only, or what
 *                                                                --git-allow-address has
 *
 * A literal address is judged before the list is looked at, so that a refusal has its best name;
 * an address that a name has is judged when it is known, each of them, and each time. */
#ifndef EGRESS_POLICY_H
#define EGRESS_POLICY_H

#include "proto/wire/addr.h"
#include "runner/egress/target.h"
#include "runner/git/address.h"

enum egress_verdict {
    EGRESS_FINE,
    EGRESS_NOT_ALLOWED, /* the host */
    EGRESS_OWN,
    EGRESS_LINK_LOCAL,
    EGRESS_NOT_PUBLIC,
};

#define EGRESS_OWN_MAX 16

/* The ports that this node listens on. */
struct egress_own {
    uint16_t ports[EGRESS_OWN_MAX];
    size_t count;
};

struct egress_policy {
    struct egress_places places;
    bool public_only; /* addresses: of a host that a user named, not the operator */
    struct git_networks also;
};

/* Judges what is asked for, by its text alone. `is_here`: it is an address in numbers, and one of
 * this machine's. */
enum egress_verdict egress_policy_target(const struct egress_policy *self,
                                         const struct egress_own *own,
                                         const struct egress_target *target, bool is_here);

/* Judges an address (with its port) that an allowed host has. `is_here`: it is one of this
 * machine's. */
enum egress_verdict egress_policy_address(const struct egress_policy *self,
                                          const struct egress_own *own,
                                          const struct wire_addr *addr, bool is_here);

/* A host that is an address in numbers, in any of the ways in which libraries read them. */
bool egress_target_address(const struct egress_target *target, struct wire_addr *out);

/* "egress-host" and so on, and what it means: "that host is not an index of this node". Static. */
const char *egress_verdict_reason(enum egress_verdict verdict);
const char *egress_verdict_words(enum egress_verdict verdict);

#endif
