#include "node/net/blobs.h"

#include "node/net/blobs_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <event2/event.h>
#include <string.h>

#define ASK_MAX     256
#define TICK_MS     100
#define COLD_TICK_S 60 /* where there is nothing but partial files that are kept */

/* ---- what the other files need --------------------------------------------------------------- */

void blobs_kick(struct blobs *self) { event_active(self->kick, 0, 0); }

int blobs_send(struct blobs *self, uint64_t nid, const struct wire_msg *msg, bool compress)
{
    struct wire_addr addr = {.family = 0};
    bool has_link = net_has_link(self->config.net, nid);
    if (!has_link && !self->config.locate(self->config.arg, nid, &addr))
        return ERR_NOT_FOUND;
    owned_buf frame = BUF_INIT;
    wire_encode(msg, &frame);
    return peers_send(self->config.net, nid, &addr, &frame, compress);
}

/* ---- who has what ---------------------------------------------------------------------------- */

void blobs_ask(struct blobs *self, uint64_t nid, const struct hash *hashes, size_t count,
               blobs_have_fn *done, void *arg)
{
    assert(count <= ASK_MAX);
    struct question_have *question = mem_new(sizeof *question);
    *question = (struct question_have){.rid = ++self->last_rid,
                                       .nid = nid,
                                       .count = count,
                                       .until_ms = clock_mono_ms() + self->config.silent_ms,
                                       .done = done,
                                       .arg = arg};
    struct wire_msg msg = {.kind = WIRE_HAS,
                           .has = {.rid = question->rid, .hashes = hashes, .hash_count = count}};
    question->is_lost = blobs_send(self, nid, &msg, false) != 0;
    TAILQ_INSERT_TAIL(&self->questions, question, links);
    blobs_kick(self);
}

static void answer(struct blobs *self, struct question_have *question, const uint8_t *has)
{
    bool have[ASK_MAX];
    for (size_t i = 0; has && i < question->count; i++)
        have[i] = has[i] == 1;
    TAILQ_REMOVE(&self->questions, question, links);
    question->done(question->arg, question->nid, has ? have : NULL, question->count);
    free(question);
}

static void take_have(struct blobs *self, uint64_t nid, const struct wire_have *have)
{
    struct question_have *at;
    TAILQ_FOREACH(at, &self->questions, links)
    if (at->nid == nid && at->rid == have->rid && at->count == have->has.len && !at->is_lost)
        break;
    if (at)
        answer(self, at, have->has.data ? have->has.data : (const uint8_t *)"");
    else
        blobs_stats(self)->blobs_unasked++;
}

static void give_up_questions(struct blobs *self, uint64_t now_ms)
{
    struct question_have *at = TAILQ_FIRST(&self->questions);
    while (at) {
        struct question_have *next = TAILQ_NEXT(at, links);
        if (at->is_lost || now_ms >= at->until_ms)
            answer(self, at, NULL);
        at = next;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool has_deadlines(const struct blobs *self)
{
    return !TAILQ_EMPTY(&self->fetches) || !TAILQ_EMPTY(&self->uploads) ||
           !TAILQ_EMPTY(&self->questions);
}

static void arm(struct blobs *self)
{
    uint32_t ms = self->config.silent_ms / 8 + 1;
    ms = ms < TICK_MS ? ms : TICK_MS;
    event_del(self->tick);
    if (has_deadlines(self))
        event_add(self->tick, &(struct timeval){.tv_usec = (int)ms * 1000});
    else if (!TAILQ_EMPTY(&self->cold))
        event_add(self->tick, &(struct timeval){.tv_sec = COLD_TICK_S});
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct blobs *self = arg;
    uint64_t now = clock_mono_ms();
    give_up_questions(self, now);
    fetch_run_all(self, now);
    fetch_tell_all(self);
    if (serve_run_all(self, now))
        blobs_kick(self);
    arm(self);
}

static void on_message(void *arg, uint64_t nid, const struct wire_msg *msg)
{
    struct blobs *self = arg;
    if (msg->kind == WIRE_GET)
        serve_get(self, nid, &msg->get);
    else if (msg->kind == WIRE_DATA)
        pull_data(self, nid, &msg->data);
    else if (msg->kind == WIRE_BLOB_ERR)
        pull_refused(self, nid, &msg->blob_err);
    else if (msg->kind == WIRE_HAS)
        serve_has(self, nid, &msg->has);
    else if (msg->kind == WIRE_HAVE)
        take_have(self, nid, &msg->have);
}

static void on_down(void *arg, uint64_t nid)
{
    struct blobs *self = arg;
    struct question_have *at;
    TAILQ_FOREACH(at, &self->questions, links)
    at->is_lost = at->is_lost || at->nid == nid;
    serve_link_down(self, nid);
    pull_link_down(self, nid);
    blobs_kick(self);
}

static void on_drained(void *arg, uint64_t nid)
{
    struct blobs *self = arg;
    const struct upload *at;
    TAILQ_FOREACH(at, &self->uploads, links)
    {
        if (at->nid == nid && at->range_count > 0)
            blobs_kick(self);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct blobs *blobs_new(const struct blobs_config *config)
{
    struct blobs *self = mem_new(sizeof *self);
    uint64_t seed;
    self->config = *config;
    if (self->config.silent_ms == 0)
        self->config.silent_ms = 10000;
    if (self->config.give_up_ms == 0)
        self->config.give_up_ms = 60000;
    if (self->config.lost_ms == 0)
        self->config.lost_ms = 3000;
    if (self->config.bytes_max == 0)
        self->config.bytes_max = UINT64_C(4) << 30;
    rand_system(&seed, sizeof seed);
    rand_init(&self->rand, seed);
    TAILQ_INIT(&self->fetches);
    TAILQ_INIT(&self->cold);
    TAILQ_INIT(&self->answers);
    TAILQ_INIT(&self->uploads);
    TAILQ_INIT(&self->questions);
    self->kick = event_new(config->base, -1, 0, on_run, self);
    self->tick = evtimer_new(config->base, on_run, self);
    net_hook(config->net,
             &(struct net_hooks){
                 .arg = self, .message = on_message, .down = on_down, .drained = on_drained});
    return self;
}

void blobs_free(struct blobs *self_owned)
{
    struct blobs *self = self_owned;
    struct question_have *at;
    if (!self)
        return;
    net_hook(self->config.net, NULL);
    fetch_free_all(self);
    serve_free_all(self);
    while ((at = TAILQ_FIRST(&self->questions))) {
        TAILQ_REMOVE(&self->questions, at, links);
        free(at);
    }
    event_free(self->kick);
    event_free(self->tick);
    free(self);
}
