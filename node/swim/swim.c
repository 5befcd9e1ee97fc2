#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

#define EXPIRE_MS 60000 /* between looks for who is to be forgotten */

/* ---- effects --------------------------------------------------------------------------------- */

struct swim_effect *swim_effect_add(struct swim *self, enum swim_effect_kind kind)
{
    struct swim_out *out = self->out;
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof(*out->effects));
    struct swim_effect *effect = &out->effects[out->count++];
    *effect = (struct swim_effect){.kind = kind};
    return effect;
}

void swim_change(struct swim *self, uint64_t node, enum swim_what what)
{
    /* Storms of them come from tables, with each node once; what repeats itself is recent. */
    for (size_t i = self->change_count; i-- > 0 && i + 8 >= self->change_count;)
        if (self->changes[i].node == node && self->changes[i].what == what)
            return;
    self->changes = mem_grow(self->changes, &self->change_capacity, self->change_count + 1,
                             sizeof(*self->changes));
    self->changes[self->change_count++] =
        (struct swim_effect){.kind = SWIM_MEMBER, .node = node, .what = what};
}

void swim_end(struct swim *self, enum swim_exit why, const struct wire_addr *addr)
{
    struct swim_effect *effect = swim_effect_add(self, SWIM_EXIT);
    effect->exit = why;
    if (addr)
        effect->addr = *addr;
    self->is_over = true;
}

struct wire_msg *swim_frame(struct swim *self, const struct member *to, void *list_owned,
                            void *other_owned)
{
    self->frames = mem_grow(self->frames, &self->frame_capacity, self->frame_count + 1,
                            sizeof(struct frame *));
    struct frame *frame = mem_new(sizeof(*frame));
    frame->list_owned = list_owned;
    frame->other_owned = other_owned;
    self->frames[self->frame_count++] = frame;
    struct swim_effect *effect = swim_effect_add(self, SWIM_SEND_FRAME);
    effect->node = to->node;
    effect->addr = to->record.addr;
    effect->msg = &frame->msg;
    return &frame->msg;
}

void swim_out_fini(struct swim_out *out)
{
    free(out->effects);
    *out = (struct swim_out){0};
}

/* What the last step's effects borrowed. */
static void forget_effects(struct swim *self)
{
    for (size_t i = 0; i < self->packet_count; i++)
        wire_packet_fini(&self->packets[i]);
    for (size_t i = 0; i < self->frame_count; i++) {
        free(self->frames[i]->list_owned);
        free(self->frames[i]->other_owned);
        free(self->frames[i]);
    }
    self->packet_count = 0;
    self->frame_count = 0;
    self->change_count = 0;
}

void swim_feel(struct swim *self, int delta)
{
    int health = (int)self->health + delta;
    int most = (int)self->timing.health_max;
    self->health = (uint32_t)(health < 0 ? 0 : health > most ? most : health);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct swim *swim_new(const struct swim_config *config)
{
    assert(wire_addr_is_set(&config->self.addr) && config->self.gen <= SWIM_GEN_MAX);
    struct swim *self = mem_new(sizeof(*self));
    self->timing = config->timing;
    self->boot = config->boot;
    self->faults = config->faults;
    self->now_ms = config->now_ms;
    rand_init(&self->rand, config->seed);
    rumor_init(self);
    self->join_ms = NEVER;
    self->leave_end_ms = NEVER;
    self->is_alive_stale = true;

    struct wire_member record = config->self;
    record.ver = 0;
    record.st = WIRE_STATE_ALIVE;
    self->me = table_add(self, &record);
    rumor_queue(self, &self->me->rumor);
    self->cycle_ms = self->now_ms + rand_below(&self->rand, self->timing.period_ms);
    self->gossip_ms = self->now_ms;
    self->heal_ms = self->now_ms + rand_below(&self->rand, self->timing.heal_ms);
    self->expire_ms = self->now_ms + self->timing.heal_ms;
    self->deadline_ms = self->now_ms;
    table_alive(self);
    return self;
}

void swim_free(struct swim *self)
{
    if (!self)
        return;
    forget_effects(self);
    news_free(self);
    table_free(self);
    free(self->packets);
    free(self->frames);
    free(self->changes);
    free(self->order);
    free(self);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void shift(uint64_t *at, uint64_t by)
{
    if (*at != NEVER && *at != 0)
        *at += by;
}

/* We were stopped, or starved: what the others sent meanwhile is still to be read, and nobody is to
 * be accused of our own silence. */
static void make_up_for(struct swim *self, uint64_t late)
{
    self->stats.pauses++;
    swim_feel(self, 1);
    self->accuse_after_ms = self->now_ms + self->timing.rto_max_ms;
    for (size_t i = 0; i < self->probe_count; i++) {
        shift(&self->probes[i].sent_ms, late);
        shift(&self->probes[i].next_ms, late);
        shift(&self->probes[i].end_ms, late);
    }
    for (size_t i = 0; i < self->member_count; i++)
        if (self->members[i]->suspicion)
            self->members[i]->suspicion->start_ms += late;
    self->is_suspect_stale = true;
    shift(&self->cycle_ms, late);
    shift(&self->heal_ms, late);
    shift(&self->join_ms, late);
    shift(&self->mismatch_ms, late);
    shift(&self->mismatch_first_ms, late);
    shift(&self->mismatch_last_ms, late);
}

static void on_time(struct swim *self)
{
    probe_tick(self);
    suspicion_tick(self);
    probe_cycle(self);
    join_tick(self);
    rumor_gossip(self);
    exchange_tick(self);
}

static uint64_t next_of(struct swim *self)
{
    uint64_t next[] = {probe_next(self), suspicion_next(self), join_next(self), exchange_next(self),
                       self->rumors.count > 0 && (self->alive_count > 1 || swim_leaving(self))
                           ? self->gossip_ms
                           : NEVER};
    uint64_t least = NEVER;
    for (size_t i = 0; i < countof(next); i++)
        if (next[i] < least)
            least = next[i];
    /* What is due already (a death can make another one certain) is due now: a deadline in the past
     * would look like a pause. */
    return least < self->now_ms ? self->now_ms : least;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_link_lost(struct swim *self, uint64_t node)
{
    struct member *member = table_find(self, node);
    if (member && member != self->me && member_is_up(member) && !swim_leaving(self))
        probe_eager(self, member, 0, true);
}

static void on_self(struct swim *self, const struct wire_member *member)
{
    struct wire_member record = *member;
    if (!wire_addr_is_set(&record.addr))
        record.addr = self->me->record.addr;
    if (!swim_leaving(self) && table_set_attributes(self->me, &record))
        merge_bump(self);
}

static void on_news(struct swim *self, const struct wire_msg *msg)
{
    if (!swim_leaving(self))
        news_hear(self, msg);
}

static void take(struct swim *self, const struct swim_event *event)
{
    switch (event->kind) {
    case SWIM_TICK:
        break;
    case SWIM_PACKET:
        packet_hear(self, event);
        break;
    case SWIM_FRAME:
        exchange_frame(self, event->node, event->msg);
        break;
    case SWIM_CONNECTED:
        probe_connected(self, event->seq);
        break;
    case SWIM_REFUSED:
        probe_refused(self, event->seq);
        break;
    case SWIM_UNREACHABLE:
        probe_unreachable(self, &event->addr);
        break;
    case SWIM_SEND_FAILED:
        self->stats.unsent++;
        break;
    case SWIM_LINK_LOST:
        on_link_lost(self, event->node);
        break;
    case SWIM_JOIN_ADDRESS:
        join_address(self, &event->addr);
        break;
    case SWIM_LEAVE:
        join_leave(self);
        break;
    case SWIM_GEN_PERSISTED:
        merge_gen_persisted(self, event->gen);
        break;
    case SWIM_SELF:
        on_self(self, event->member);
        break;
    case SWIM_LOAD:
        news_load_self(self, &event->load);
        break;
    case SWIM_SHASH:
        self->shash = event->shash;
        break;
    case SWIM_NEWS:
        on_news(self, event->msg);
        break;
    }
}

void swim_step(struct swim *self, const struct swim_event *event, struct swim_out *out)
{
    out->count = 0;
    forget_effects(self);
    if (self->is_over)
        return;
    self->out = out;
    if (event->now_ms > self->now_ms)
        self->now_ms = event->now_ms;
    if (self->has_begun && self->deadline_ms != NEVER &&
        self->now_ms > self->deadline_ms + self->timing.pause_ms)
        make_up_for(self, self->now_ms - self->deadline_ms);
    self->has_begun = true;
    if (self->now_ms >= self->expire_ms) { /* first: effects borrow from members */
        self->expire_ms = self->now_ms + EXPIRE_MS;
        table_expire(self);
    }
    take(self, event);
    if (!self->is_over)
        on_time(self);
    for (size_t i = 0; i < self->change_count; i++)
        *swim_effect_add(self, SWIM_MEMBER) = self->changes[i];
    table_alive(self);
    self->deadline_ms = self->is_over ? NEVER : next_of(self);
    self->out = NULL;
}

uint64_t swim_deadline(const struct swim *self) { return self->deadline_ms; }
