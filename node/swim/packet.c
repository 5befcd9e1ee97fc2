#include "node/swim/inner.h"

#include <string.h>

#define REPLIES_MAX 8 /* of one packet: ACKs */

/* What one packet asks of us; answered when all of it was heard, so that the answer knows it. */
struct heard {
    const struct swim_event *event;
    struct wire_packet_head head;
    struct wire_ping pings[REPLIES_MAX];
    size_t ping_count;
    bool is_answer;
};

/* One of two processes with one id is told of the other, so that the older can see that it is. */
static void tell_copy(struct swim *self, const struct swim_event *event, const struct member *newer)
{
    if (self->copy_told_ms != 0 && self->now_ms - self->copy_told_ms < self->timing.period_ms)
        return;
    self->copy_told_ms = self->now_ms ? self->now_ms : 1;
    struct wire_msg alive = {.kind = WIRE_ALIVE, .alive = newer->record};
    alive.alive.st = WIRE_STATE_ALIVE;
    rumor_send(self, &event->addr, NULL, &alive, 1);
}

static void hear_news(struct swim *self, const struct wire_msg *msg)
{
    const struct wire_msg *news = news_hear(self, msg);
    if (news)
        swim_effect_add(self, SWIM_TOLD)->msg = news;
}

static void hear_ping(struct swim *self, struct heard *heard, const struct wire_ping *ping)
{
    bool is_for_us = ping->target == 0 || ping->target == self->me->node;
    if (is_for_us && heard->ping_count < REPLIES_MAX)
        heard->pings[heard->ping_count++] = *ping;
}

static void hear_message(struct swim *self, struct heard *heard, struct wire_msg *msg)
{
    const struct swim_event *event = heard->event;
    switch ((int)msg->kind) {
    case WIRE_PING:
        hear_ping(self, heard, &msg->ping);
        break;
    case WIRE_ACK:
        heard->is_answer = true;
        probe_ack(self, msg->ack.seq, event->node);
        break;
    case WIRE_NACK:
        probe_nack(self, msg->nack.seq);
        break;
    case WIRE_PREQ:
        if (msg->preq.target != self->me->node && !swim_leaving(self))
            probe_relay(self, &msg->preq, &event->addr);
        break;
    case WIRE_ALIVE:
        merge_alive(self, &msg->alive,
                    id_node_short(&msg->alive.node) == event->node ? SOURCE_DIRECT : SOURCE_RUMOR);
        break;
    case WIRE_SUSPECT:
        merge_suspect(self, &msg->suspect);
        break;
    case WIRE_DEAD:
        merge_dead(self, &msg->dead, SOURCE_RUMOR);
        break;
    case WIRE_LEFT:
        merge_left(self, &msg->left);
        break;
    case WIRE_LOAD:
        news_load(self, &msg->load);
        break;
    case WIRE_WORK:
    case WIRE_FENCE:
        hear_news(self, msg);
        break;
    default:
        break;
    }
}

/* Returns false when the packet is to be ignored as a whole. */
static bool hear_messages(struct swim *self, struct heard *heard, struct wire_packet_reader *reader)
{
    bool is_copy = heard->event->node == self->me->node;
    struct wire_msg msg;
    int more;
    while ((more = wire_packet_next(reader, &msg, NULL)) > 0) {
        bool is_about_us =
            msg.kind == WIRE_ALIVE && id_node_short(&msg.alive.node) == self->me->node;
        if (!is_copy || is_about_us)
            hear_message(self, heard, &msg);
        wire_msg_fini(&msg);
        if (self->is_over)
            return false;
    }
    if (more < 0)
        self->stats.malformed++;
    return true;
}

static void answer_pings(struct swim *self, const struct heard *heard, const struct member *from)
{
    for (size_t i = 0; i < heard->ping_count; i++) {
        struct wire_msg answer[2] = {
            {.kind = WIRE_ACK, .ack = {.seq = heard->pings[i].seq}},
            {.kind = WIRE_ALIVE, .alive = self->me->record},
        };
        answer[1].alive.st = WIRE_STATE_ALIVE;
        bool asks = heard->pings[i].target == 0 && !swim_leaving(self);
        rumor_send(self, &heard->event->addr, from, answer, asks ? 2 : 1);
    }
}

static void compare_store(struct swim *self, struct member *member, uint32_t shash)
{
    if (shash == self->shash) {
        member->shash_since_ms = 0;
        return;
    }
    uint64_t now_ms = self->now_ms ? self->now_ms : 1;
    if (member->shash_since_ms == 0)
        member->shash_since_ms = now_ms;
    if (member->shash_told_ms != 0 && now_ms - member->shash_told_ms < self->timing.period_ms)
        return;
    member->shash_told_ms = now_ms;
    struct swim_effect *effect = swim_effect_add(self, SWIM_SHASH_DIFFERS);
    effect->node = member->node;
    effect->since_ms = member->shash_since_ms;
}

static void note_sender(struct swim *self, struct member *member, const struct heard *heard)
{
    const struct wire_packet_head *head = &heard->head;
    int order = member_compare(member, head->gen, head->ver);
    if (order < 0) { /* of its past, or of a copy of it that lives on elsewhere */
        if (member_is_up(member) &&
            wire_addr_compare(&heard->event->addr, &member->record.addr) != 0)
            tell_copy(self, heard->event, member);
        return;
    }
    member->heard_ms = self->now_ms;
    if (swim_leaving(self) || member->record.st == WIRE_STATE_LEFT)
        return;
    bool has_answer = heard->ping_count > 0;
    if (order > 0 || (member->record.st != WIRE_STATE_ALIVE && !has_answer))
        probe_buddy(self, member);
    if (order != 0)
        return;
    if (head->has_load && head->load.node == member->node)
        news_load(self, &head->load);
    exchange_note(self, member, head->mhash);
    if (member_is_up(member))
        compare_store(self, member, head->shash);
}

void packet_hear(struct swim *self, const struct swim_event *event)
{
    struct heard heard = {.event = event};
    struct wire_packet_reader reader;
    self->stats.packets_in++;
    if (event->node == self->me->node && event->boot == self->boot) {
        join_is_self(self, &event->addr);
        return;
    }
    if (wire_packet_open(&reader, event->bytes.data, event->bytes.len, &heard.head, NULL) ||
        heard.head.gen > SWIM_GEN_MAX) {
        self->stats.malformed++;
        return;
    }
    if (event->node == self->me->node) {
        tell_copy(self, event, self->me); /* and its words about ourselves are heard */
        hear_messages(self, &heard, &reader);
        return;
    }
    if (!hear_messages(self, &heard, &reader))
        return;
    struct member *from = table_find(self, event->node);
    answer_pings(self, &heard, from);
    if (from)
        note_sender(self, from, &heard);
    else if (!heard.is_answer) /* one whose answer tells nothing is not asked in circles */
        probe_candidate(self, event->node, &event->addr);
}
