/* Probes in flight:
 *
 *   waiting --delay--> direct: PING --RTO--> indirect: PREQ to k, stream --end--> failed: accuse
 *                        | ACK                | ACK of a relay, HELLO               ^
 *                        +--> well            +--> well            refused ---------+
 */
#include "node/swim/inner.h"

#include "proto/base/mem.h"

#define CANDIDATE_TRIES 3
#define ASKS_MAX        64 /* strangers asked at once who they are */

static uint32_t scaled_period(const struct swim *self)
{
    return self->timing.period_ms * (1 + self->health);
}

static uint32_t rto_of(const struct swim *self, uint64_t node)
{
    const struct member *member = node ? table_find(self, node) : NULL;
    if (!member || member->rtt8 == 0)
        return self->timing.rto_max_ms;
    uint32_t rto = (member->rtt8 - 1) / 2; /* 4 round trips of 1/8 ms */
    rto = rto < self->timing.rto_min_ms ? self->timing.rto_min_ms : rto;
    return rto > self->timing.rto_max_ms ? self->timing.rto_max_ms : rto;
}

struct probe *probe_find(struct swim *self, uint32_t seq)
{
    for (size_t i = 0; i < self->probe_count; i++)
        if (self->probes[i].seq == seq)
            return &self->probes[i];
    return NULL;
}

static void drop(struct swim *self, struct probe *probe)
{
    *probe = self->probes[--self->probe_count];
}

static struct probe *add(struct swim *self, enum probe_kind kind, uint64_t node,
                         const struct wire_addr *addr)
{
    if (self->probe_count == PROBES_MAX) {
        self->stats.dropped++;
        return NULL;
    }
    struct probe *probe = &self->probes[self->probe_count++];
    *probe = (struct probe){.kind = (uint8_t)kind, .node = node, .addr = *addr, .seq = ++self->seq};
    return probe;
}

static void send_ping(struct swim *self, struct probe *probe)
{
    bool asks = probe->kind == PROBE_CANDIDATE || probe->kind == PROBE_CONTACT;
    struct wire_msg first[2] = {
        {.kind = WIRE_PING, .ping = {.seq = probe->seq, .target = asks ? 0 : probe->node}},
        {.kind = WIRE_ALIVE, .alive = self->me->record},
    };
    probe->sent_ms = self->now_ms;
    const struct member *to = probe->node ? table_find(self, probe->node) : NULL;
    rumor_send(self, &probe->addr, to, first, probe->kind == PROBE_CONTACT ? 2 : 1);
}

static void send_connect(struct swim *self, const struct probe *probe)
{
    struct swim_effect *effect = swim_effect_add(self, SWIM_CONNECT);
    effect->node = probe->node;
    effect->addr = probe->addr;
    effect->seq = probe->seq;
}

static void go_direct(struct swim *self, struct probe *probe)
{
    probe->stage = STAGE_DIRECT;
    probe->next_ms = self->now_ms + rto_of(self, probe->node);
    self->stats.probes++;
    send_ping(self, probe);
    if (probe->connects_first)
        send_connect(self, probe);
}

static void go_indirect(struct swim *self, struct probe *probe)
{
    probe->stage = STAGE_INDIRECT;
    probe->next_ms = probe->end_ms;
    struct member *relays[8];
    uint32_t want = self->timing.relays < countof(relays) ? self->timing.relays : countof(relays);
    size_t count = table_pick(self, want, probe->node, relays);
    struct wire_msg preq = {
        .kind = WIRE_PREQ, .preq = {.seq = probe->seq, .target = probe->node, .addr = probe->addr}};
    for (size_t i = 0; i < count; i++)
        rumor_send(self, &relays[i]->record.addr, relays[i], &preq, 1);
    probe->relays = (uint8_t)count;
    if (!probe->connects_first)
        send_connect(self, probe);
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static void shuffle_order(struct swim *self)
{
    const uint64_t *alive = table_alive(self);
    self->order_at = 0;
    self->order_count = 0;
    self->order =
        mem_grow(self->order, &self->order_capacity, self->alive_count + 1, sizeof(*self->order));
    for (size_t i = 0; i < self->alive_count; i++) {
        if (alive[i] == self->me->node)
            continue;
        size_t at = (size_t)rand_below(&self->rand, self->order_count + 1);
        self->order[self->order_count++] = self->order[at];
        self->order[at] = alive[i];
    }
}

/* A new member is asked at some time in this round, not first by everybody. */
void probe_order_add(struct swim *self, uint64_t node)
{
    if (!self->me || node == self->me->node)
        return;
    self->order =
        mem_grow(self->order, &self->order_capacity, self->order_count + 1, sizeof(*self->order));
    size_t left = self->order_count - self->order_at;
    size_t at = self->order_at + (size_t)rand_below(&self->rand, left + 1);
    self->order[self->order_count++] = self->order[at];
    self->order[at] = node;
}

static struct member *next_in_order(struct swim *self)
{
    for (int round = 0; round < 2; round++) {
        while (self->order_at < self->order_count) {
            struct member *member = table_find(self, self->order[self->order_at++]);
            if (member && member_is_up(member))
                return member;
        }
        shuffle_order(self);
    }
    return NULL;
}

void probe_cycle(struct swim *self)
{
    if (self->now_ms < self->cycle_ms || swim_leaving(self))
        return;
    self->cycle_ms = self->now_ms + scaled_period(self);
    struct member *member = next_in_order(self);
    if (!member)
        return;
    struct probe *probe = add(self, PROBE_CYCLE, member->node, &member->record.addr);
    if (!probe)
        return;
    probe->gen = member->record.gen;
    probe->end_ms = self->cycle_ms;
    go_direct(self, probe);
}

void probe_eager(struct swim *self, struct member *member, uint32_t delay_ms, bool connects_first)
{
    for (size_t i = 0; i < self->probe_count; i++) {
        const struct probe *other = &self->probes[i];
        if (other->kind == PROBE_EAGER && other->node == member->node)
            return;
    }
    struct probe *probe = add(self, PROBE_EAGER, member->node, &member->record.addr);
    if (!probe)
        return;
    probe->gen = member->record.gen;
    probe->connects_first = connects_first;
    probe->stage = STAGE_WAITING;
    probe->next_ms = self->now_ms + delay_ms;
    probe->end_ms = probe->next_ms + scaled_period(self);
    if (delay_ms == 0)
        go_direct(self, probe);
}

/* Asks once whoever is there; one question at a time to each. */
static struct probe *ask(struct swim *self, enum probe_kind kind, uint64_t node,
                         const struct wire_addr *addr)
{
    size_t asks = 0;
    for (size_t i = 0; i < self->probe_count; i++) {
        const struct probe *other = &self->probes[i];
        asks += other->kind == kind;
        if (other->kind == kind && wire_addr_compare(&other->addr, addr) == 0)
            return NULL;
    }
    struct probe *probe = asks < ASKS_MAX ? add(self, kind, node, addr) : NULL;
    if (!probe)
        return NULL;
    probe->end_ms = self->now_ms + CANDIDATE_TRIES * self->timing.rto_max_ms;
    go_direct(self, probe);
    return probe;
}

void probe_candidate(struct swim *self, uint64_t node, const struct wire_addr *addr)
{
    if (!swim_leaving(self))
        ask(self, PROBE_CANDIDATE, node, addr);
}

void probe_contact(struct swim *self, uint64_t node, const struct wire_addr *addr)
{
    if (!swim_leaving(self))
        ask(self, PROBE_CONTACT, node, addr);
}

void probe_buddy(struct swim *self, struct member *member)
{
    if (member->buddy_ms != 0 && self->now_ms < member->buddy_ms + self->timing.rto_max_ms)
        return;
    member->buddy_ms = self->now_ms;
    probe_candidate(self, member->node, &member->record.addr);
}

void probe_relay(struct swim *self, const struct wire_preq *preq, const struct wire_addr *asker)
{
    struct probe *probe = add(self, PROBE_RELAY, preq->target, &preq->addr);
    if (!probe)
        return;
    probe->asker = *asker;
    probe->asker_seq = preq->seq;
    probe->end_ms = self->now_ms + 4 * self->timing.rto_max_ms;
    go_direct(self, probe);
    probe->next_ms = self->now_ms + rto_of(self, preq->target) * 4 / 5;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void answer_asker(struct swim *self, const struct probe *probe, enum wire_kind kind)
{
    struct wire_msg answer = {.kind = kind, .ack = {.seq = probe->asker_seq}};
    rumor_send(self, &probe->asker, NULL, &answer, 1);
}

static void succeed(struct swim *self, struct probe *probe)
{
    if (probe->kind == PROBE_CYCLE)
        swim_feel(self, -1);
    drop(self, probe);
}

static void fail(struct swim *self, struct probe *probe, bool is_refused)
{
    struct probe failed = *probe;
    drop(self, probe);
    self->stats.probes_failed++;
    /* A refusal says that he is gone. Silence may be our own: all the more if relays that are to
     * say NACK are silent too. */
    if (failed.kind == PROBE_CYCLE && !is_refused)
        swim_feel(self, failed.relays == 0 ? 1 : failed.relays - failed.nacks);
    struct member *member = table_find(self, failed.node);
    if (!member || !member_is_up(member) || member->record.gen != failed.gen ||
        self->now_ms < self->accuse_after_ms || swim_leaving(self))
        return;
    suspicion_accuse(self, member, self->me->node);
    if (is_refused)
        suspicion_refused(self, member);
}

static bool may_accuse(const struct probe *probe)
{
    return probe->kind == PROBE_CYCLE || probe->kind == PROBE_EAGER;
}

static void note_rtt(struct swim *self, const struct probe *probe, uint64_t from)
{
    struct member *member = table_find(self, from);
    if (!member)
        return;
    uint64_t sample = (self->now_ms - probe->sent_ms) * 8;
    sample = sample > 800000 ? 800000 : sample;
    if (member->rtt8 == 0)
        member->rtt8 = (uint32_t)sample + 1;
    else
        member->rtt8 = (uint32_t)((7 * (uint64_t)(member->rtt8 - 1) + sample) / 8) + 1;
}

void probe_ack(struct swim *self, uint32_t seq, uint64_t from)
{
    struct probe *probe = probe_find(self, seq);
    if (!probe || probe->stage == STAGE_WAITING)
        return;
    if (probe->node != 0 && from != probe->node &&
        !(may_accuse(probe) && probe->stage == STAGE_INDIRECT) && probe->kind != PROBE_CONTACT &&
        probe->kind != PROBE_CANDIDATE)
        return;
    if (probe->stage == STAGE_DIRECT && probe->tries == 0)
        note_rtt(self, probe, from);
    if (probe->kind == PROBE_RELAY)
        answer_asker(self, probe, WIRE_ACK);
    if (probe->kind == PROBE_CONTACT)
        join_answered(self, &probe->addr, from);
    succeed(self, probe);
}

void probe_nack(struct swim *self, uint32_t seq)
{
    struct probe *probe = probe_find(self, seq);
    if (probe && may_accuse(probe) && probe->nacks < probe->relays)
        probe->nacks++;
}

void probe_connected(struct swim *self, uint32_t seq)
{
    struct probe *probe = probe_find(self, seq);
    if (probe && may_accuse(probe))
        succeed(self, probe);
}

void probe_refused(struct swim *self, uint32_t seq)
{
    struct probe *probe = probe_find(self, seq);
    if (probe && may_accuse(probe))
        fail(self, probe, true);
}

/* No need to wait for an answer. It is no refusal yet: a firewall may reject datagrams alone. */
void probe_unreachable(struct swim *self, const struct wire_addr *addr)
{
    for (size_t i = 0; i < self->probe_count; i++) {
        struct probe *probe = &self->probes[i];
        if (may_accuse(probe) && probe->stage == STAGE_DIRECT &&
            wire_addr_compare(&probe->addr, addr) == 0)
            go_indirect(self, probe);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

/* True when the probe is over. */
static bool advance(struct swim *self, struct probe *probe)
{
    if (probe->stage == STAGE_WAITING) {
        go_direct(self, probe);
        return false;
    }
    bool is_end = self->now_ms >= probe->end_ms;
    switch ((enum probe_kind)probe->kind) {
    case PROBE_CYCLE:
    case PROBE_EAGER:
        if (!is_end)
            go_indirect(self, probe);
        else
            fail(self, probe, false);
        return is_end;
    case PROBE_CANDIDATE:
    case PROBE_CONTACT:
        if (!is_end && ++probe->tries < CANDIDATE_TRIES && probe->kind == PROBE_CANDIDATE) {
            probe->next_ms = self->now_ms + self->timing.rto_max_ms;
            send_ping(self, probe);
            return false;
        }
        if (!is_end) {
            probe->next_ms = probe->end_ms;
            return false;
        }
        if (probe->kind == PROBE_CANDIDATE && !table_find(self, probe->node))
            join_ghost_add(self, probe->node, &probe->addr);
        drop(self, probe);
        return true;
    case PROBE_RELAY:
        if (probe->stage == STAGE_DIRECT)
            answer_asker(self, probe, WIRE_NACK);
        probe->stage = STAGE_INDIRECT;
        probe->next_ms = probe->end_ms;
        if (is_end)
            drop(self, probe);
        return is_end;
    }
    return true;
}

void probe_tick(struct swim *self)
{
    for (size_t i = 0; i < self->probe_count;) {
        if (self->now_ms < self->probes[i].next_ms || !advance(self, &self->probes[i]))
            i++;
    }
}

uint64_t probe_next(const struct swim *self)
{
    uint64_t next = swim_leaving(self) ? NEVER : self->cycle_ms;
    for (size_t i = 0; i < self->probe_count; i++)
        if (self->probes[i].next_ms < next)
            next = self->probes[i].next_ms;
    return next;
}
