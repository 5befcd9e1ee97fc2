/* way: how a child that speaks to a git host gets there.
 *
 * Where the kernel lets it, the child has a network of its own, and goes through the node's proxy
 * (runner/egress), which connects it to that one host and judges the addresses; so a company's
 * proxy is gone through as well, and what would take the child over reaches nothing else. Elsewhere
 * it connects by itself, and judges them itself (transport.h).
 *
 *     parent                                  child
 *     way_open()
 *     child_start() with `fd`, WAY_WORD ────> way_enter(), way_filter(), locked.h
 *     way_passed()
 *     … it ends: way_judge(), way_close()
 */
#ifndef GIT_WAY_H
#define GIT_WAY_H

#include "proto/base/err.h"
#include "runner/child/child.h"
#include "runner/egress/egress.h"

/* The number that its end has in the child, and what tells the child that it is there. */
#define WAY_FD   3
#define WAY_WORD "way"

/* Must stay where it is while it is open. */
struct way {
    struct egress_policy policy;
    struct egress_client *client; /* NULL: there is no proxy */
    struct child_fd fd;
};

struct way_spec {
    const char *url;                 /* https: it leads to its host and port */
    const struct git_networks *also; /* borrowed until way_close() */
    uint64_t bytes_max;              /* in both directions, of all connections */
};

/* `egress`, which may be NULL, is borrowed until way_close(). Errors: ERR_IO. */
int way_open(struct way *self, struct egress *egress, const struct way_spec *spec,
             struct err *err) ERR_CHECKED;

/* For child_spec: how many descriptors the child gets from here, 0 or 1; they are `self->fd`. */
size_t way_fd_count(const struct way *self);

/* The child has it, or there will be none. */
void way_passed(struct way *self);

/* Puts better words into a failure of the child's, where the proxy refused it something. */
void way_judge(const struct way *self, struct err *err);

void way_close(struct way *self);

/* In the child, while it may still do anything: takes a network of its own. Returns the port of the
 * proxy on its loopback; 0: the kernel does not let it, and its network is the node's. */
uint16_t way_enter(void);

/* In the parent: a child was not let. Logged once. */
void way_note_shared(void);

/* Sets what all requests to git hosts have in common (of a CURL): https of a version that is fine,
 * no redirects but by hand, these certificate authorities (NULL: the library's), and the proxy at
 * that port, or none at all, whatever the environment says. */
void way_set_up(void *curl, uint16_t proxy_port, const char *ca_file, const char *ca_dir);

/* The status that the proxy gave in place of a connection; 0: it did connect, or was not asked. */
long way_refusal(void *curl);

/* In the child, behind that: gives up system calls that it has no use for, namespaces among them.
 * It needs to write a file for that, which locked.h may forbid. What the kernel does not let it
 * give up is left out. */
void way_filter(void);

#endif
