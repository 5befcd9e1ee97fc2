/* lag: how late the event loop comes to what is due.
 *
 * A timer asks to be called every so often; how much later it is called is what every client and
 * peer waits, too. With debug lines it looks closer and says each time that it was long. */
#ifndef NODE_LAG_H
#define NODE_LAG_H

#include "proto/base/histogram.h"

#include <stdbool.h>

struct event;
struct event_base;

struct lag {
    struct event *timer; /* NULL: not started */
    uint32_t every_ms;
    bool is_logged;
    uint64_t checked_us;
    uint64_t cpu_ms;
    struct histogram late;
};

void lag_start(struct lag *self, struct event_base *base, bool is_logged);
void lag_stop(struct lag *self); /* one that was never started is fine */

#endif
