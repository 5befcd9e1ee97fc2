#include "node/lag.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <event2/event.h>
#include <inttypes.h>
#include <time.h>

#define EVERY_MS        100
#define EVERY_LOGGED_MS 10
#define LOGGED_US       50000

static uint64_t own_cpu_ms(void)
{
    struct timespec used = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* With little processor time of its own the loop waited for a disk, or the machine was busy. */
static void on_check(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct lag *self = arg;
    uint64_t now_us = clock_mono_us();
    uint64_t due_us = self->checked_us + (uint64_t)self->every_ms * 1000;
    uint64_t late_us = now_us > due_us ? now_us - due_us : 0;
    uint64_t cpu_ms = self->is_logged ? own_cpu_ms() : 0;
    histogram_add(&self->late, late_us);
    if (self->is_logged && late_us > LOGGED_US)
        log_debug("loop_late", "ms=%" PRIu64 " cpu_ms=%" PRIu64, late_us / 1000,
                  cpu_ms - self->cpu_ms);
    self->checked_us = now_us;
    self->cpu_ms = cpu_ms;
}

void lag_start(struct lag *self, struct event_base *base, bool is_logged)
{
    *self = (struct lag){.every_ms = is_logged ? EVERY_LOGGED_MS : EVERY_MS,
                         .is_logged = is_logged,
                         .checked_us = clock_mono_us(),
                         .cpu_ms = own_cpu_ms(),
                         .late = HISTOGRAM_SHORT};
    self->timer = event_new(base, -1, EV_PERSIST, on_check, self);
    event_add(self->timer, &(struct timeval){.tv_usec = (suseconds_t)self->every_ms * 1000});
}

void lag_stop(struct lag *self)
{
    if (self->timer)
        event_free(self->timer);
    self->timer = NULL;
}
