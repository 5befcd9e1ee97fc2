/* statuses: the commit statuses that git hosts are still to be told, a few at a time.
 *
 * Bounded. What a host does not take now is tried again, at longer and longer intervals or when the
 * host says, and given up at last: what becomes of a status never changes an evaluation. States of
 * one commit under one name go out in the order told; one that waits to be tried again gives way to
 * a newer one. */
#ifndef NODE_EVAL_STATUSES_H
#define NODE_EVAL_STATUSES_H

#include "runner/git/status.h"

#define STATUSES_MAX     4096 /* that wait; more are dropped, with a word in the log */
#define STATUSES_AT_ONCE 4
#define STATUSES_OF_HOST 2 /* of these: a silent one keeps nobody else waiting */

struct event_base;
struct statuses;

struct statuses_config {
    struct event_base *base;
    struct status_policy policy; /* borrows */
    const char *const *apis;     /* "NAME[:PORT]=URL", checked; borrowed */
    size_t api_count;
};

struct status_spec {
    const struct git_url *url; /* of the repository; copied, as is all below */
    const char *commit;        /* 40 hex digits */
    enum status_state state;
    const char *context;     /* "testmesh/<project>" */
    const char *description; /* "17.5/20, 35 of 40 passed" */
    const char *target_url;  /* for people; NULL: none */
    const char *token;       /* the caller has made sure that it is for this host */
};

/* Returns owned. Borrows what `config` points to. */
struct statuses *statuses_new(const struct statuses_config *config);

/* Kills what is under way and wipes all tokens. */
void statuses_free(struct statuses *self);

/* Takes one to be sent. */
void statuses_tell(struct statuses *self, const struct status_spec *spec);

/* How many have not been sent or given up. */
size_t statuses_waiting(const struct statuses *self);

/* How many of these are under way now. */
unsigned statuses_running(const struct statuses *self);

/* Calls `fn` for "sent", "failed" (given up) and "dropped". */
typedef void statuses_counter_fn(void *arg, const char *name, uint64_t value);
void statuses_each_counter(const struct statuses *self, statuses_counter_fn *fn, void *arg);

#endif
