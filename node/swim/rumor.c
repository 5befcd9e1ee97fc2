#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <stddef.h>
#include <string.h>

#define MISSES_MAX    3  /* rumors that did not fit before a packet is called full */
#define BACKLOG_COUNT 40 /* rumors that are about 3 packets */

#define owner_of(rumor, type) ((type *)(void *)((char *)(rumor)-offsetof(type, rumor)))

/* ---- the queue ------------------------------------------------------------------------------- */

void rumor_init(struct swim *self)
{
    for (size_t i = 0; i < RUMOR_LEVELS; i++) {
        struct rumor *head = &self->rumors.levels[i];
        head->next = head->prev = head;
    }
}

static void unlink_rumor(struct rumor *rumor)
{
    rumor->prev->next = rumor->next;
    rumor->next->prev = rumor->prev;
}

static void link_rumor(struct rumor *head, struct rumor *rumor)
{
    rumor->next = head->next;
    rumor->prev = head;
    head->next->prev = rumor;
    head->next = rumor;
}

void rumor_queue(struct swim *self, struct rumor *rumor)
{
    rumor_drop(self, rumor);
    rumor->sent = 0;
    rumor->is_queued = true;
    link_rumor(&self->rumors.levels[0], rumor);
    self->rumors.count++;
}

void rumor_drop(struct swim *self, struct rumor *rumor)
{
    if (!rumor->is_queued)
        return;
    unlink_rumor(rumor);
    rumor->is_queued = false;
    self->rumors.count--;
}

uint8_t rumor_limit(const struct swim *self)
{
    uint32_t digits = 0; /* ceil(log10(N + 1)) */
    for (uint64_t power = 1; power < self->alive_count + 1; power *= 10)
        digits++;
    uint32_t limit = self->timing.retransmit * (digits ? digits : 1);
    return (uint8_t)(limit < RUMOR_LEVELS ? limit : RUMOR_LEVELS);
}

static void count_told(struct swim *self, struct rumor *rumor)
{
    unlink_rumor(rumor);
    rumor->sent++;
    rumor->burst = self->burst;
    if (rumor->sent >= rumor_limit(self)) {
        rumor->is_queued = false;
        self->rumors.count--;
        return;
    }
    link_rumor(&self->rumors.levels[rumor->sent], rumor);
}

/* ---- packing --------------------------------------------------------------------------------- */

static struct wire_msg verdict_of(const struct member *member)
{
    const struct wire_member *record = &member->record;
    struct wire_rumor rumor = {.node = member->node, .gen = record->gen, .ver = record->ver};
    if (record->st == WIRE_STATE_LEFT)
        return (struct wire_msg){.kind = WIRE_LEFT, .left = rumor};
    rumor.from = member->accused_by;
    rumor.why = member->why;
    return (struct wire_msg){.kind = WIRE_DEAD, .dead = rumor};
}

static struct wire_msg accusation_of(const struct accuser *accuser)
{
    const struct wire_member *record = &accuser->subject->record;
    return (struct wire_msg){.kind = WIRE_SUSPECT,
                             .suspect = {.node = accuser->subject->node,
                                         .gen = record->gen,
                                         .ver = record->ver,
                                         .from = accuser->from}};
}

/* What a rumor says now. A suspect's own rumor still tells its attributes. */
static struct wire_msg message_of(struct rumor *rumor)
{
    if (rumor->kind == RUMOR_NEWS)
        return owner_of(rumor, struct news)->msg;
    if (rumor->kind == RUMOR_ACCUSATION)
        return accusation_of(owner_of(rumor, struct accuser));
    const struct member *member = owner_of(rumor, struct member);
    if (!member_is_up(member))
        return verdict_of(member);
    struct wire_msg msg = {.kind = WIRE_ALIVE, .alive = member->record};
    msg.alive.st = WIRE_STATE_ALIVE;
    return msg;
}

/* Nobody needs to be told of himself; what is bad goes to him as buddy, ahead of all rumors. */
static bool is_about(struct rumor *rumor, const struct member *to)
{
    if (!to || rumor->kind == RUMOR_NEWS)
        return false;
    if (rumor->kind == RUMOR_ACCUSATION)
        return owner_of(rumor, struct accuser)->subject == to;
    return owner_of(rumor, struct member) == to;
}

static size_t pack_rumors(struct swim *self, struct wire_packet *packet, const struct member *to)
{
    struct rumor *told[WIRE_PACKET_MAX / 8];
    size_t count = 0;
    size_t misses = 0;
    for (size_t level = 0; level < RUMOR_LEVELS && misses < MISSES_MAX; level++) {
        struct rumor *head = &self->rumors.levels[level];
        for (struct rumor *at = head->next; at != head && misses < MISSES_MAX; at = at->next) {
            if (is_about(at, to) || (self->burst != 0 && at->burst == self->burst))
                continue;
            struct wire_msg msg = message_of(at);
            bool fits = count < countof(told) && wire_packet_add(packet, &msg);
            if (fits || (self->faults & SWIM_FAULT_COUNT_UNSENT))
                told[count++] = at;
            misses += !fits;
        }
    }
    for (size_t i = 0; i < count; i++)
        count_told(self, told[i]);
    return count;
}

static void pack_buddy(struct wire_packet *packet, const struct member *to)
{
    if (!to || to->record.st == WIRE_STATE_ALIVE)
        return;
    struct wire_msg msg = to->suspicion && to->suspicion->accuser_count > 0
                              ? accusation_of(&to->suspicion->accusers[0])
                              : verdict_of(to);
    if (!member_is_up(to) || msg.kind == WIRE_SUSPECT)
        wire_packet_add(packet, &msg);
}

static struct wire_packet_head head_of(const struct swim *self)
{
    const struct member *me = self->me;
    struct wire_packet_head head = {
        .gen = me->record.gen, .ver = me->record.ver, .mhash = self->mhash, .shash = self->shash};
    bool is_news = self->now_ms - self->load_ms < self->timing.load_ms || news_busy(self);
    if (self->has_load && me->load && is_news) {
        head.has_load = true;
        head.load = *me->load;
    }
    return head;
}

bool rumor_send(struct swim *self, const struct wire_addr *addr, const struct member *to,
                const struct wire_msg *first, size_t first_count)
{
    if (first_count == 0 && self->rumors.count == 0)
        return false;
    self->packets = mem_grow(self->packets, &self->packet_capacity, self->packet_count + 1,
                             sizeof(*self->packets));
    struct wire_packet *packet = &self->packets[self->packet_count];
    struct wire_packet_head head = head_of(self);
    wire_packet_init(packet, &head, WIRE_PACKET_BODY);
    for (size_t i = 0; i < first_count; i++)
        wire_packet_add(packet, &first[i]);
    pack_buddy(packet, to);
    size_t told = pack_rumors(self, packet, to);
    if (first_count == 0 && told == 0) {
        wire_packet_fini(packet);
        return false;
    }
    news_pack_loads(self, packet, to);
    self->packet_count++;
    self->stats.packets_out++;
    self->stats.bytes_out += packet->body.len;

    struct swim_effect *effect = swim_effect_add(self, SWIM_SEND);
    effect->addr = *addr;
    effect->node = to ? to->node : 0;
    effect->bytes = (struct wire_bytes){(const uint8_t *)packet->body.data, packet->body.len};
    return true;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

void rumor_gossip(struct swim *self)
{
    if (self->rumors.count == 0 || self->now_ms < self->gossip_ms)
        return;
    self->gossip_ms = self->now_ms + self->timing.gossip_ms;
    struct member *peers[8];
    uint32_t fanout = self->timing.fanout < countof(peers) ? self->timing.fanout : countof(peers);
    size_t count = table_pick(self, fanout, 0, peers);
    for (size_t i = 0; i < count; i++) {
        self->burst = ++self->bursts;
        uint32_t packets = self->rumors.count > BACKLOG_COUNT / 3 ? self->timing.burst : 1;
        while (packets-- > 0 && rumor_send(self, &peers[i]->record.addr, peers[i], NULL, 0))
            continue;
    }
    self->burst = 0;
    if (self->rumors.count > BACKLOG_COUNT && count > 0)
        exchange_want(self, peers[0]->node);
}
