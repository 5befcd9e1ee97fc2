/* Any message, in any order, from anybody: the machine keeps its table in order and its own
 * incarnation to itself. */
#include "solo.h"

#include "proto/base/rand.h"

#define NODES 7

static struct rand chance;

static uint64_t below(uint64_t bound) { return rand_below(&chance, bound); }

static uint64_t any_gen(void)
{
    static const uint64_t rare[] = {0, 1, SWIM_GEN_MAX - 1, SWIM_GEN_MAX + 1, UINT64_MAX};
    return below(200) == 0 ? rare[below(countof(rare))] : 99 + below(4);
}

static uint32_t any_ver(void) { return below(200) == 0 ? UINT32_MAX - 1 : (uint32_t)below(6); }

static struct wire_member any_record(void)
{
    uint32_t index = (uint32_t)below(NODES);
    struct wire_member record = record_of(index, any_gen(), any_ver());
    record.st = (enum wire_state)below(WIRE_STATE_COUNT);
    record.flags = (uint32_t)below(2);
    if (below(20) == 0 && index != 0) /* a copy of ourselves would end us */
        record.addr = addr_of(index + 20);
    record.name = below(2) ? "one" : "another name";
    return record;
}

static struct wire_msg any_datagram(void)
{
    static const enum wire_kind any[] = {WIRE_PING,    WIRE_ACK,  WIRE_NACK, WIRE_PREQ,
                                         WIRE_ALIVE,   WIRE_DEAD, WIRE_LEFT, WIRE_LOAD,
                                         WIRE_SUSPECT, WIRE_WORK, WIRE_FENCE};
    struct wire_msg msg = {.kind = any[below(countof(any))]};
    uint32_t seq = said_count > 0 ? said[below(said_count)].seq : (uint32_t)below(100);
    switch ((int)msg.kind) {
    case WIRE_PING:
        msg.ping = (struct wire_ping){.seq = 5, .target = below(2) ? 0 : id_of(below(2) != 0)};
        break;
    case WIRE_ACK:
    case WIRE_NACK:
        msg.ack.seq = seq;
        break;
    case WIRE_PREQ:
        msg.preq = (struct wire_preq){.seq = 5,
                                      .target = id_of((uint32_t)below(NODES)),
                                      .addr = addr_of((uint32_t)below(NODES))};
        break;
    case WIRE_ALIVE:
        msg.alive = any_record();
        msg.alive.st = WIRE_STATE_ALIVE;
        break;
    case WIRE_LOAD:
        msg.load = (struct wire_load){.node = id_of((uint32_t)below(NODES)),
                                      .gen32 = 99 + (uint32_t)below(4),
                                      .lseq = (uint32_t)below(9),
                                      .queued = (uint16_t)below(2)};
        break;
    case WIRE_WORK:
        msg.work = (struct wire_work){.eid = 1 + below(9),
                                      .fence = {id_of(1), 1 + (uint32_t)below(3)},
                                      .seq = (uint32_t)below(4)};
        break;
    case WIRE_FENCE:
        msg.fence = (struct wire_fence_news){
            .eid = 1 + below(9), .fence = {id_of(1), 1 + (uint32_t)below(3)}, .gen = below(3)};
        break;
    default:
        msg.suspect = (struct wire_rumor){.node = id_of((uint32_t)below(NODES)),
                                          .gen = any_gen(),
                                          .ver = any_ver(),
                                          .from = id_of((uint32_t)below(NODES))};
        if (msg.kind == WIRE_LEFT)
            msg.left.from = 0;
        break;
    }
    return msg;
}

static void any_packet(void)
{
    uint32_t from = 1 + (uint32_t)below(NODES - 1);
    struct wire_packet packet =
        below(2) ? packet_from(from) : packet_of(from, any_gen(), any_ver());
    for (uint64_t i = below(4); i-- > 0;) {
        struct wire_msg msg = any_datagram();
        wire_packet_add(&packet, &msg);
    }
    disagrees = below(3) == 0;
    deliver(from, &packet);
}

static void any_frame(void)
{
    struct wire_member records[4];
    struct wire_tag tags[4];
    uint64_t need[4];
    size_t count = (size_t)below(5);
    for (size_t i = 0; i < count; i++) {
        records[i] = any_record();
        uint32_t index = (uint32_t)below(NODES + 2);
        tags[i] = (struct wire_tag){id_of(index), (uint32_t)below(3)};
        need[i] = id_of(index);
    }
    struct wire_msg msg = {.kind = WIRE_MSYNC, .msync = {.tags = tags, .tag_count = count}};
    if (below(2))
        msg = (struct wire_msg){
            .kind = WIRE_MFULL,
            .mfull = {
                .members = records, .member_count = count, .need = need, .need_count = count}};
    step((struct swim_event){
        .kind = SWIM_FRAME, .node = id_of((uint32_t)below(NODES + 1)), .msg = &msg});
    struct buf bytes = BUF_INIT; /* what we answer can be sent */
    for (size_t i = 0; i < out.count; i++)
        if (out.effects[i].kind == SWIM_SEND_FRAME)
            wire_encode(out.effects[i].msg, &bytes);
    buf_fini(&bytes);
}

static void anything(void)
{
    struct wire_member self = record_of(0, 0, 0);
    self.flags = (uint32_t)below(2);
    uint32_t seq = last.seq;
    switch (below(20)) {
    case 0:
        step((struct swim_event){.kind = SWIM_LINK_LOST, .node = id_of((uint32_t)below(NODES))});
        break;
    case 1:
        step((struct swim_event){.kind = below(2) ? SWIM_CONNECTED : SWIM_REFUSED, .seq = seq});
        break;
    case 2:
        step((struct swim_event){.kind = SWIM_UNREACHABLE, .addr = addr_of((uint32_t)below(9))});
        break;
    case 3:
        step((struct swim_event){.kind = SWIM_JOIN_ADDRESS, .addr = addr_of((uint32_t)below(9))});
        break;
    case 4:
        step((struct swim_event){.kind = SWIM_SELF, .member = &self});
        break;
    case 5:
        step((struct swim_event){.kind = SWIM_LOAD, .load = {.queued = (uint16_t)below(3)}});
        break;
    case 6:
        now_ms += below(2) ? below(3000) : 1; /* a pause, perhaps */
        break;
    case 7:
        if (kinds[SWIM_PERSIST_GEN] > 0)
            step((struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = swim_gen(swim) + 1});
        break;
    case 8:
    case 9:
        any_frame();
        break;
    case 10:
    case 11:
        wait_ms(below(2000));
        break;
    default:
        any_packet();
        break;
    }
}

static void check(uint32_t seed)
{
    uint32_t mhash = 0;
    size_t up = 0;
    uint64_t before = 0;
    size_t alive_count;
    const uint64_t *alive = swim_alive(swim, &alive_count);
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        swim_at(swim, i, &view);
        uint64_t node = id_node_short(&view.member.node);
        bool is_up = view.member.st <= WIRE_STATE_SUSPECT;
        bool is_wrong = node <= before || (is_up && (up >= alive_count || alive[up] != node)) ||
                        view.member.gen > SWIM_GEN_MAX ||
                        (view.is_self && view.member.st != WIRE_STATE_ALIVE);
        if (is_wrong) {
            printf("seed %u: the table is not in order\n", seed);
            fail();
        }
        up += is_up;
        before = node;
        if (is_up)
            mhash ^= (uint32_t)wire_member_hash(&view.member);
    }
    if (mhash != swim_mhash(swim) || up != alive_count) {
        printf("seed %u: the digest is not that of the table\n", seed);
        fail();
    }
}

static void whatever_is_said_the_table_is_in_order(void **unused)
{
    (void)unused;
    const char *many = getenv("SWIM_SEEDS");
    uint32_t seeds = many ? (uint32_t)strtoul(many, NULL, 10) : 60;
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        rand_init(&chance, seed);
        start(SWIM_TIMING, seed, 0);
        for (uint32_t i = 1; i < NODES; i++)
            answers[i] = refuses[i] = below(3) != 0;
        for (int i = 0; i < 500 && kinds[SWIM_EXIT] == 0; i++) {
            anything();
            if (kinds[SWIM_EXIT] == 0)
                check(seed);
            if (said_count > 5000)
                forget();
        }
        assert_true(longest <= WIRE_PACKET_BODY);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_said_the_table_is_in_order),
    };
    return cmocka_run_group_tests_name("swim storm", tests, NULL, NULL);
}
