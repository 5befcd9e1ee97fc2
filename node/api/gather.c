/* gather: brings the blobs that an answer needs from the nodes that have them, a few at a time. */
#include "node/api/internal.h"

#include "proto/base/mem.h"

#include <event2/event.h>

#define AT_ONCE   4
#define GIVE_UP_S 5

struct gather {
    struct api *api;
    struct http_exchange *x;
    uint64_t eval;
    struct gather_blob *blobs;
    size_t count;
    size_t begun;
    size_t at_work;
    gather_fn *then;
    void *state;
    gather_free_fn *free_state;
    struct event *timer;
    struct gather *next;
};

static void gather_free(struct gather *self)
{
    struct gather **at = &self->api->gathers;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    host_forget(self->api->config.host, self);
    event_free(self->timer);
    free(self->blobs);
    free(self);
}

static void on_gone(void *arg)
{
    struct gather *self = arg;
    self->free_state(self->state);
    gather_free(self);
}

static void finish(struct gather *self)
{
    struct api *api = self->api;
    struct http_exchange *x = self->x;
    gather_fn *then = self->then;
    void *state = self->state;
    http_on_gone(x, NULL, NULL);
    gather_free(self);
    then(api, x, state);
}

static void on_time_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish(arg);
}

static void on_blob(void *arg, bool is_here);

static void begin_more(struct gather *self)
{
    while (self->begun < self->count && self->at_work < AT_ONCE) {
        const struct gather_blob *blob = &self->blobs[self->begun++];
        self->at_work++;
        host_blob(self->api->config.host, self->eval, blob->node, &blob->hash, blob->ext, on_blob,
                  self);
    }
}

static void on_blob(void *arg, bool is_here)
{
    struct gather *self = arg;
    (void)is_here;
    self->at_work--;
    begin_more(self);
    if (self->at_work == 0)
        finish(self);
}

void gather_blobs(struct api *api, struct http_exchange *x, const struct gather_wish *wish)
{
    struct gather *self = mem_new(sizeof *self);
    *self = (struct gather){.api = api,
                            .x = x,
                            .eval = wish->eval,
                            .blobs = mem_dup(wish->blobs, wish->count * sizeof *wish->blobs),
                            .count = wish->count,
                            .then = wish->then,
                            .state = wish->state,
                            .free_state = wish->free_state,
                            .next = api->gathers};
    self->timer = evtimer_new(api->config.base, on_time_over, self);
    event_add(self->timer, &(struct timeval){.tv_sec = GIVE_UP_S});
    api->gathers = self;
    http_on_gone(x, on_gone, self);
    begin_more(self);
}

void gather_free_all(struct api *api)
{
    while (api->gathers)
        on_gone(api->gathers);
}
