#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <string.h>

#define LOADS_MAX  6  /* of third parties in a packet */
#define LOADS_LOOK 32 /* members looked at for them */
#define LOAD_TELLS 4  /* times that each is passed on */

/* ---- WORK and FENCE -------------------------------------------------------------------------- */

static uint64_t eid_of(const struct wire_msg *msg)
{
    return msg->kind == WIRE_WORK ? msg->work.eid : msg->fence.eid;
}

static size_t place_of(const struct swim *self, const struct wire_msg *msg)
{
    size_t low = 0;
    size_t high = self->news_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct wire_msg *other = &self->news[middle]->msg;
        bool is_before = eid_of(other) < eid_of(msg) ||
                         (eid_of(other) == eid_of(msg) && other->kind < msg->kind);
        if (is_before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rumors overtake each other: only a larger one is news, or old ones would go round for ever. */
static bool is_newer(const struct wire_msg *msg, const struct wire_msg *than)
{
    if (msg->kind == WIRE_WORK) {
        int order = wire_fence_compare(msg->work.fence, than->work.fence);
        return order > 0 || (order == 0 && msg->work.seq > than->work.seq);
    }
    int order = wire_fence_compare(msg->fence.fence, than->fence.fence);
    return order > 0 || (order == 0 && msg->fence.gen > than->fence.gen);
}

static void take_out(struct swim *self, size_t place)
{
    struct news *news = self->news[place];
    rumor_drop(self, &news->rumor);
    free(news);
    memmove(self->news + place, self->news + place + 1,
            (self->news_count - place - 1) * sizeof(struct news *));
    self->news_count--;
}

static void drop_oldest(struct swim *self)
{
    size_t oldest = 0;
    for (size_t i = 1; i < self->news_count; i++)
        if (self->news[i]->heard_ms < self->news[oldest]->heard_ms)
            oldest = i;
    take_out(self, oldest);
    self->stats.dropped++;
}

const struct wire_msg *news_hear(struct swim *self, const struct wire_msg *msg)
{
    if (msg->kind != WIRE_WORK && msg->kind != WIRE_FENCE)
        return NULL;
    size_t place = place_of(self, msg);
    struct news *news = place < self->news_count ? self->news[place] : NULL;
    bool is_known = news && news->msg.kind == msg->kind && eid_of(&news->msg) == eid_of(msg);
    if (is_known && !is_newer(msg, &news->msg))
        return NULL;
    if (!is_known) {
        if (self->news_count == SWIM_NEWS_MAX)
            drop_oldest(self);
        place = place_of(self, msg);
        news = mem_new(sizeof(*news));
        news->rumor.kind = RUMOR_NEWS;
        self->news =
            mem_grow(self->news, &self->news_capacity, self->news_count + 1, sizeof(struct news *));
        memmove(self->news + place + 1, self->news + place,
                (self->news_count - place) * sizeof(struct news *));
        self->news[place] = news;
        self->news_count++;
    }
    news->msg = *msg;
    news->msg.memory = (struct wire_memory){0};
    news->heard_ms = self->now_ms;
    rumor_queue(self, &news->rumor);
    return &news->msg;
}

void news_free(struct swim *self)
{
    while (self->news_count > 0)
        take_out(self, self->news_count - 1);
    free(self->news);
}

/* ---- LOAD ------------------------------------------------------------------------------------ */

static bool means_busy(const struct wire_load *load)
{
    return load->queued > 0 || load->eta_ms > 0;
}

bool news_busy(const struct swim *self)
{
    return self->busy_ms != 0 && self->now_ms - self->busy_ms < self->timing.load_ms;
}

static void keep(struct swim *self, struct member *member, const struct wire_load *load)
{
    if (!member->load)
        member->load = mem_new(sizeof(*member->load));
    *member->load = *load;
    member->load_ms = self->now_ms;
    member->load_sent = 0;
    if (means_busy(load))
        self->busy_ms = self->now_ms ? self->now_ms : 1;
}

static bool same_load(const struct wire_load *a, const struct wire_load *b)
{
    return a->eta_ms == b->eta_ms && a->queued == b->queued && a->free_slots == b->free_slots &&
           a->cpu == b->cpu && a->warm_count == b->warm_count &&
           !memcmp(a->warm, b->warm, a->warm_count * sizeof(a->warm[0]));
}

void news_load_self(struct swim *self, const struct wire_load *load)
{
    if (load->warm_count > WIRE_WARM_MAX)
        return;
    struct member *me = self->me;
    if (means_busy(load))
        self->busy_ms = self->now_ms ? self->now_ms : 1;
    if (self->has_load && me->load && same_load(me->load, load))
        return;
    struct wire_load own = *load;
    own.node = me->node;
    own.gen32 = (uint32_t)me->record.gen;
    own.lseq = self->has_load && me->load ? me->load->lseq + 1 : 1;
    keep(self, me, &own);
    self->has_load = true;
    self->load_ms = self->now_ms;
}

void news_load(struct swim *self, const struct wire_load *load)
{
    struct member *member = table_find(self, load->node);
    if (!member || member == self->me || load->gen32 != (uint32_t)member->record.gen)
        return;
    bool is_known = member->load && member->load->gen32 == load->gen32;
    if (is_known && (int32_t)(load->lseq - member->load->lseq) <= 0)
        return;
    keep(self, member, load);
}

void news_pack_loads(struct swim *self, struct wire_packet *packet, const struct member *to)
{
    if (!news_busy(self) || self->alive_count < 3)
        return;
    const uint64_t *alive = table_alive(self);
    size_t start = (size_t)rand_below(&self->rand, self->alive_count);
    size_t look = self->alive_count < LOADS_LOOK ? self->alive_count : LOADS_LOOK;
    size_t count = 0;
    for (size_t i = 0; i < look && count < LOADS_MAX; i++) {
        struct member *member = table_find(self, alive[(start + i) % self->alive_count]);
        if (member == self->me || member == to || !member->load ||
            member->load_sent >= LOAD_TELLS ||
            self->now_ms - member->load_ms >= self->timing.load_ms)
            continue;
        struct wire_msg msg = {.kind = WIRE_LOAD, .load = *member->load};
        if (!wire_packet_add(packet, &msg))
            break;
        member->load_sent++;
        count++;
    }
}
