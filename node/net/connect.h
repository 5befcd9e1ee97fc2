/* connect: one attempt to connect in TCP, with a deadline. */
#ifndef NODE_NET_CONNECT_H
#define NODE_NET_CONNECT_H

#include "proto/wire/addr.h"

#include <stdint.h>

struct connect;
struct event_base;

/* `fd_owned` is connected, non-blocking, close-on-exec; or -1 and `error` is why (ETIMEDOUT at the
 * deadline). The attempt is freed before the call. */
typedef void connect_fn(void *arg, int fd_owned, int error);

/* Starts. `done` is called once, from the loop, unless connect_cancel() comes first. */
struct connect *connect_start(struct event_base *base, const struct wire_addr *to, uint32_t ms,
                              connect_fn *done, void *arg);

void connect_cancel(struct connect *self_owned);

#endif
