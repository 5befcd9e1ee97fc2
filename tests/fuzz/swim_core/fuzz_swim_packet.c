/* Any bodies of authentic packets, one after the other, from three nodes: the table keeps its order
 * and its limits, we stay alive in it, and what goes out can be read. What it came to know stays
 * for some thousand inputs.
 *
 * An input is a run of pieces (pieces.h), each a body or an event: time passes, a port is
 * unreachable, a link breaks, a stream is up or refused. */
#include "node/swim/swim.h"
#include "tests/fuzz/pieces.h"

#define LIVES   4096 /* inputs */
#define SELF    2
#define STEP_MS 20

static struct swim *swim;
static struct swim_out out;
static uint64_t now_ms;
static uint64_t wants_gen;
static uint32_t last_seq;
static bool is_over;
static unsigned inputs;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(void)
{
    now_ms = 100000;
    wants_gen = 0;
    is_over = false;
    swim = swim_new(&(struct swim_config){.self = {.node = node_k(SELF),
                                                   .gen = 7,
                                                   .addr = addr_k(SELF),
                                                   .pv = WIRE_VERSIONS,
                                                   .name = "n",
                                                   .address = "n:5001"},
                                          .timing = SWIM_TIMING,
                                          .boot = SELF,
                                          .seed = 1,
                                          .now_ms = now_ms});
}

static void check_packet(const struct wire_bytes *bytes)
{
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    struct wire_msg msg;
    int got;
    expect(bytes->len <= WIRE_PACKET_BODY);
    expect(wire_packet_open(&reader, bytes->data, bytes->len, &head, NULL) == 0);
    while ((got = wire_packet_next(&reader, &msg, NULL)) == 1)
        wire_msg_fini(&msg);
    expect(got == 0);
}

static void check_table(void)
{
    uint64_t last = 0;
    struct swim_view view;
    expect(swim_count(swim) <= SWIM_NODES_MAX);
    for (size_t i = 0; i < swim_count(swim); i++) {
        swim_at(swim, i, &view);
        uint64_t node = id_node_short(&view.member.node);
        expect(i == 0 || node > last);
        expect(view.member.gen <= SWIM_GEN_MAX);
        expect(!view.is_self || is_over || view.member.st == WIRE_STATE_ALIVE);
        last = node;
    }
    expect(swim_member(swim, short_k(SELF), &view) && view.is_self);
}

static void tell(struct swim_event event)
{
    if (is_over)
        return;
    event.now_ms = now_ms;
    swim_step(swim, &event, &out);
    for (size_t i = 0; i < out.count; i++) {
        const struct swim_effect *effect = &out.effects[i];
        if (effect->kind == SWIM_SEND)
            check_packet(&effect->bytes);
        else if (effect->kind == SWIM_CONNECT)
            last_seq = effect->seq;
        else if (effect->kind == SWIM_PERSIST_GEN)
            wants_gen = effect->gen;
        else if (effect->kind == SWIM_EXIT)
            is_over = true;
    }
    check_table();
}

static void happen(uint8_t who, uint16_t what)
{
    switch (who & 7) {
    case 0:
        now_ms += what;
        break;
    case 1:
        tell((struct swim_event){.kind = SWIM_UNREACHABLE, .addr = addr_k(what % 5)});
        break;
    case 2:
        tell((struct swim_event){.kind = SWIM_LINK_LOST, .node = short_k(what % 5)});
        break;
    case 3:
        tell((struct swim_event){.kind = SWIM_CONNECTED, .seq = last_seq});
        break;
    case 4:
        tell((struct swim_event){.kind = SWIM_REFUSED, .seq = last_seq});
        break;
    case 5:
        tell((struct swim_event){.kind = SWIM_SEND_FAILED, .addr = addr_k(what % 5)});
        break;
    default:
        tell((struct swim_event){.kind = SWIM_JOIN_ADDRESS, .addr = addr_k(1 + what % 8)});
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned peers[] = {1, 3, 4};
    if (!swim)
        begin();
    struct piece piece;
    while (piece_next(&data, &size, &piece)) {
        unsigned from = peers[piece.who % 3];
        if (piece.who >= PIECE_EVENT)
            happen(piece.who, piece.number);
        else
            tell((struct swim_event){.kind = SWIM_PACKET,
                                     .node = short_k(from),
                                     .boot = from,
                                     .addr = addr_k(from),
                                     .bytes = {.data = piece.bytes, .len = piece.len}});
        if (wants_gen) {
            tell((struct swim_event){.kind = SWIM_GEN_PERSISTED, .gen = wants_gen});
            wants_gen = 0;
        }
        now_ms += STEP_MS;
        if (swim_deadline(swim) <= now_ms)
            tell((struct swim_event){.kind = SWIM_TICK});
    }
    if (++inputs % LIVES == 0 || is_over) {
        swim_free(swim);
        swim_out_fini(&out);
        swim = NULL;
    }
    return 0;
}
