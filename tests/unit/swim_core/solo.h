/* One machine, and the test as everybody else. Member n has the address 10.0.0.n; the machine is
 * member 0. What it says is decoded and kept, so that a test can ask what was said. */
#ifndef TESTS_SWIM_SOLO_H
#define TESTS_SWIM_SOLO_H

#include "node/swim/swim.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BOOT 77

struct said { /* a message in a datagram */
    uint64_t at_ms;
    uint64_t packet; /* number of it */
    uint64_t node;   /* it is about, or PING's and PREQ's target */
    uint64_t from;
    uint64_t gen;
    uint32_t ver;
    uint32_t seq;
    uint32_t to; /* member, by address */
    enum wire_kind kind;
    uint8_t why;
};

struct change {
    uint64_t at_ms;
    uint64_t node;
    enum swim_what what;
};

static struct swim *swim;
static struct swim_out out;
static uint64_t now_ms;
static struct said *said;
static size_t said_count, said_capacity;
static struct change *changes;
static size_t change_count, change_capacity;
static struct swim_effect last; /* of the kinds that come alone */
static size_t kinds[SWIM_EXIT + 1];
static uint64_t packets;
static size_t longest;    /* body of a datagram */
static bool answers[256]; /* member ACKs what it is pinged with */
static bool refuses[256]; /* connections to it are refused at once */
static bool disagrees;    /* others have another digest */

static inline struct wire_addr addr_of(uint32_t index)
{
    uint8_t ip[4] = {10, 0, (uint8_t)(index >> 8), (uint8_t)index};
    return wire_addr_v4(ip, 5001);
}

static inline struct wire_member record_of(uint32_t index, uint64_t gen, uint32_t ver)
{
    struct wire_member record = {.addr = addr_of(index),
                                 .gen = gen,
                                 .ver = ver,
                                 .http = 5001,
                                 .pv = WIRE_VERSIONS,
                                 .caps = {.slots = 2},
                                 .name = "solo",
                                 .address = "10.0.0.1:5001"};
    record.node.bytes[6] = (uint8_t)((index + 1) >> 8);
    record.node.bytes[7] = (uint8_t)(index + 1);
    return record;
}

static inline uint64_t id_of(uint32_t index)
{
    struct wire_member record = record_of(index, 1, 0);
    return id_node_short(&record.node);
}

static inline void send_back(uint32_t from, enum wire_kind kind, uint32_t seq);

static inline void keep_message(const struct wire_msg *msg, uint32_t to)
{
    struct said one = {.at_ms = now_ms, .packet = packets, .to = to, .kind = msg->kind};
    switch ((int)msg->kind) {
    case WIRE_PING:
        one.seq = msg->ping.seq;
        one.node = msg->ping.target;
        break;
    case WIRE_ACK:
    case WIRE_NACK:
        one.seq = msg->ack.seq;
        break;
    case WIRE_PREQ:
        one.seq = msg->preq.seq;
        one.node = msg->preq.target;
        break;
    case WIRE_ALIVE:
        one.node = id_node_short(&msg->alive.node);
        one.gen = msg->alive.gen;
        one.ver = msg->alive.ver;
        break;
    case WIRE_SUSPECT:
    case WIRE_DEAD:
    case WIRE_LEFT:
        one.node = msg->suspect.node;
        one.gen = msg->suspect.gen;
        one.ver = msg->suspect.ver;
        one.from = msg->suspect.from;
        one.why = msg->suspect.why;
        break;
    case WIRE_LOAD:
        one.node = msg->load.node;
        break;
    case WIRE_WORK:
        one.node = msg->work.eid;
        break;
    case WIRE_FENCE:
        one.node = msg->fence.eid;
        break;
    default:
        break;
    }
    said = mem_grow(said, &said_capacity, said_count + 1, sizeof(*said));
    said[said_count++] = one;
}

static inline void keep_packet(const struct swim_effect *effect)
{
    uint32_t to = (uint32_t)effect->addr.ip[2] << 8 | effect->addr.ip[3];
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    struct wire_msg msg;
    assert_int_equal(wire_packet_open(&reader, effect->bytes.data, effect->bytes.len, &head, NULL),
                     0);
    packets++;
    longest = effect->bytes.len > longest ? effect->bytes.len : longest;
    while (wire_packet_next(&reader, &msg, NULL) > 0) {
        keep_message(&msg, to);
        wire_msg_fini(&msg);
    }
}

/* Gives the machine an event, keeps what it does, and answers for those who answer. */
static inline void step(struct swim_event event)
{
    event.now_ms = now_ms;
    swim_step(swim, &event, &out);
    size_t first = said_count;
    uint32_t refused[64];
    size_t refused_count = 0;
    for (size_t i = 0; i < out.count; i++) {
        const struct swim_effect *effect = &out.effects[i];
        kinds[effect->kind]++;
        if (effect->kind == SWIM_SEND) {
            keep_packet(effect);
        } else if (effect->kind == SWIM_MEMBER) {
            changes = mem_grow(changes, &change_capacity, change_count + 1, sizeof(*changes));
            changes[change_count++] = (struct change){now_ms, effect->node, effect->what};
        } else {
            last = *effect;
        }
        if (effect->kind == SWIM_CONNECT && refuses[effect->addr.ip[3]] &&
            refused_count < countof(refused))
            refused[refused_count++] = effect->seq;
    }
    size_t end = said_count;
    for (size_t i = 0; i < refused_count; i++)
        step((struct swim_event){.kind = SWIM_REFUSED, .seq = refused[i]});
    for (size_t i = first; i < end; i++)
        if (said[i].kind == WIRE_PING && answers[said[i].to & 255])
            send_back(said[i].to, WIRE_ACK, said[i].seq);
}

static inline struct wire_packet packet_of(uint32_t from, uint64_t gen, uint32_t ver)
{
    (void)from;
    struct wire_packet_head head = {
        .gen = gen, .ver = ver, .mhash = swim_mhash(swim) + (disagrees ? 1 : 0)};
    struct wire_packet packet;
    wire_packet_init(&packet, &head, WIRE_PACKET_BODY);
    return packet;
}

static inline void deliver(uint32_t from, struct wire_packet *packet)
{
    step((struct swim_event){
        .kind = SWIM_PACKET,
        .node = id_of(from),
        .boot = from == 0 ? BOOT + 1 : from, /* a datagram of "ourselves" is another process's */
        .addr = addr_of(from),
        .bytes = {(const uint8_t *)packet->body.data, packet->body.len}});
    wire_packet_fini(packet);
}

/* The newest incarnation that the machine knows of a member. */
static inline struct wire_packet packet_from(uint32_t from)
{
    struct swim_view view;
    if (!swim_member(swim, id_of(from), &view))
        return packet_of(from, 100, 0);
    return packet_of(from, view.member.gen, view.member.ver);
}

static inline void tell(uint32_t from, struct wire_msg msg)
{
    struct wire_packet packet = packet_from(from);
    wire_packet_add(&packet, &msg);
    deliver(from, &packet);
}

static inline void send_back(uint32_t from, enum wire_kind kind, uint32_t seq)
{
    tell(from, (struct wire_msg){.kind = kind, .ack = {.seq = seq}});
}

static inline void tell_alive(uint32_t from, uint32_t of, uint64_t gen, uint32_t ver)
{
    tell(from, (struct wire_msg){.kind = WIRE_ALIVE, .alive = record_of(of, gen, ver)});
}

/* SUSPECT, DEAD or LEFT of `of`, accused by `by`, in a packet of `from`. */
static inline void tell_bad(uint32_t from, enum wire_kind kind, uint32_t of, uint64_t gen,
                            uint32_t ver, uint32_t by)
{
    struct wire_msg msg = {
        .kind = kind, .suspect = {.node = id_of(of), .gen = gen, .ver = ver, .from = id_of(by)}};
    msg.suspect.why = kind == WIRE_DEAD ? WIRE_WHY_TIMEOUT : 0;
    msg.suspect.from = kind == WIRE_LEFT ? 0 : msg.suspect.from;
    tell(from, msg);
}

static inline void tell_table(uint32_t from, struct wire_member record, enum wire_state st)
{
    record.st = st;
    struct wire_msg msg = {.kind = WIRE_MFULL, .mfull = {.members = &record, .member_count = 1}};
    step((struct swim_event){.kind = SWIM_FRAME, .node = id_of(from), .msg = &msg});
}

/* Lets time pass with ticks exactly when they are asked for. */
static inline void wait_ms(uint64_t ms)
{
    uint64_t end_ms = now_ms + ms;
    unsigned in_vain = 0;
    while (swim_deadline(swim) <= end_ms) {
        assert_true(swim_deadline(swim) >= now_ms || in_vain == 0);
        if (swim_deadline(swim) > now_ms)
            now_ms = swim_deadline(swim);
        step((struct swim_event){.kind = SWIM_TICK});
        in_vain = swim_deadline(swim) > now_ms ? 0 : in_vain + 1;
        assert_true(in_vain < 4);
    }
    now_ms = end_ms;
}

static inline void forget(void)
{
    said_count = 0;
    change_count = 0;
    memset(kinds, 0, sizeof(kinds));
}

/* How often `kind` about `index` was said since forget(). */
static inline size_t count_said(enum wire_kind kind, uint32_t index)
{
    size_t count = 0;
    for (size_t i = 0; i < said_count; i++)
        count += said[i].kind == kind && said[i].node == id_of(index);
    return count;
}

static inline const struct said *find_said(enum wire_kind kind, uint32_t to)
{
    for (size_t i = 0; i < said_count; i++)
        if (said[i].kind == kind && said[i].to == to)
            return &said[i];
    return NULL;
}

static inline size_t count_changes(uint32_t index, enum swim_what what)
{
    size_t count = 0;
    for (size_t i = 0; i < change_count; i++)
        count += changes[i].node == id_of(index) && changes[i].what == what;
    return count;
}

static inline uint64_t time_of(uint32_t index, enum swim_what what)
{
    for (size_t i = 0; i < change_count; i++)
        if (changes[i].node == id_of(index) && changes[i].what == what)
            return changes[i].at_ms;
    return UINT64_MAX;
}

static inline int state_of(uint32_t index)
{
    struct swim_view view;
    return swim_member(swim, id_of(index), &view) ? (int)view.member.st : -1;
}

static inline void start(struct swim_timing timing, uint64_t seed, uint32_t faults)
{
    memset(answers, 0, sizeof(answers));
    memset(refuses, 0, sizeof(refuses));
    disagrees = false;
    now_ms = 10000;
    struct swim_config config = {.self = record_of(0, 100, 0),
                                 .timing = timing,
                                 .boot = BOOT,
                                 .seed = seed,
                                 .now_ms = now_ms,
                                 .faults = faults};
    swim = swim_new(&config);
    forget();
    step((struct swim_event){.kind = SWIM_TICK});
}

static inline void stop(void)
{
    swim_free(swim);
    swim = NULL;
    swim_out_fini(&out);
    free(said);
    free(changes);
    said = NULL;
    changes = NULL;
    said_count = said_capacity = change_count = change_capacity = 0;
    packets = 0;
    longest = 0;
}

/* Members 1 … count - 1 join and answer; the machine has come to rest. */
static inline void given_members_timed(uint32_t count, struct swim_timing timing)
{
    start(timing, 1, 0);
    for (uint32_t i = 1; i < count; i++) {
        answers[i] = true;
        tell_alive(i, i, 100, 0);
    }
    wait_ms(4000);
    forget();
}

static inline void given_members(uint32_t count) { given_members_timed(count, SWIM_TIMING); }

static inline int ends(void **unused)
{
    (void)unused;
    stop();
    return 0;
}

#endif
