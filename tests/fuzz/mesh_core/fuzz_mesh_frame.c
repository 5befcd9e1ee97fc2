/* Any frames from members, one after the other, to a mesh that has them as its peers, with a disk
 * and a runner that do what they are asked: it goes on, and what it says itself can be read. What
 * it came to know stays for some thousand inputs, so that they meet more than an empty node.
 *
 * An input is a run of pieces (pieces.h), each a frame or an event: time passes, a link goes, a
 * chore or module ends, a blob comes, something is submitted. */
#include "node/mesh/mesh.h"
#include "node/store/doc_copy.h"
#include "proto/base/mem.h"
#include "tests/fuzz/pieces.h"
#include "tests/unit/own_core/fake_docs.h"

#define LIVES   4096 /* inputs */
#define PEERS   3
#define SELF    2
#define EVAL    4711
#define WORKS   64
#define WAITS   256
#define STEP_MS 20

struct wait {
    uint64_t token;
    bool is_append;
    struct delta delta; /* owned */
};

static struct fake_docs docs;
static struct mesh *mesh;
static struct mesh_out out;
static struct wait waits[WAITS];
static size_t wait_count;
static struct work works[WORKS];
static size_t work_count;
static uint64_t now_ms;
static unsigned inputs;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t peer_k(unsigned k)
{
    static const unsigned peers[PEERS] = {1, 3, 4};
    return short_k(peers[k % PEERS]);
}

static void take_effect(const struct mesh_effect *effect)
{
    if (effect->kind == MESH_SEND_FRAME) {
        owned_wire_msg msg = {0};
        expect(effect->peer != short_k(SELF));
        expect(wire_decode(effect->bytes, effect->len, &msg, NULL) == 0);
    } else if (effect->kind == MESH_APPEND || effect->kind == MESH_FETCH) {
        expect(wait_count < WAITS);
        struct wait *wait = &waits[wait_count++];
        *wait = (struct wait){.token = effect->token, .is_append = effect->kind == MESH_APPEND};
        if (wait->is_append)
            delta_copy(effect->delta, &wait->delta);
    } else if (effect->kind == MESH_START || effect->kind == MESH_PREPARE) {
        works[work_count++ % WORKS] = effect->work;
    }
}

static void tell(struct mesh_event event)
{
    event.now_ms = now_ms;
    event.wall_ms = UINT64_C(1790000000000) + now_ms;
    mesh_step(mesh, &event, &out);
    for (size_t i = 0; i < out.count; i++)
        take_effect(&out.effects[i]);
}

/* Appends are answered in their order. */
static void answer_waits(bool is_ok)
{
    while (wait_count > 0) {
        struct wait wait = waits[0];
        unsigned changed = 0;
        memmove(waits, waits + 1, --wait_count * sizeof wait);
        enum err_code code = wait.is_append ? fake_apply(&docs, &wait.delta, &changed) : ERR_NONE;
        delta_fini(&wait.delta);
        tell((struct mesh_event){.kind = wait.is_append ? MESH_APPENDED : MESH_FETCHED,
                                 .token = wait.token,
                                 .is_ok = is_ok && code == ERR_NONE,
                                 .code = code,
                                 .changed = changed});
    }
}

static uint32_t estimate(void *arg, const struct doc *doc, uint32_t p, uint32_t m,
                         bool *is_measured)
{
    (void)arg, (void)doc, (void)p;
    *is_measured = m % 2;
    return m;
}

static void meet(unsigned k)
{
    struct wire_packet packet;
    struct wire_packet_head head = {.gen = 7};
    wire_packet_init(&packet, &head, WIRE_PACKET_BODY);
    struct wire_msg alive = {.kind = WIRE_ALIVE,
                             .alive = {.node = node_k(k),
                                       .gen = 7,
                                       .addr = addr_k(k),
                                       .pv = WIRE_VERSIONS,
                                       .caps = {.slots = 2},
                                       .name = "n",
                                       .address = "n:5001"}};
    wire_packet_add(&packet, &alive);
    tell((struct mesh_event){.kind = MESH_DATAGRAM,
                             .peer = short_k(k),
                             .boot = k,
                             .addr = addr_k(k),
                             .bytes = packet.body.data,
                             .len = packet.body.len});
    wire_packet_fini(&packet);
}

static void begin(void)
{
    fake_docs_init(&docs);
    now_ms = 100000;
    mesh = mesh_new(&(struct mesh_config){.self = {.node = node_k(SELF),
                                                   .gen = 7,
                                                   .addr = addr_k(SELF),
                                                   .pv = WIRE_VERSIONS,
                                                   .caps = {.slots = 2},
                                                   .name = "n",
                                                   .address = "n:5001"},
                                          .boot = SELF,
                                          .seed = 1,
                                          .now_ms = now_ms,
                                          .timing = SWIM_TIMING,
                                          .docs = &docs.read,
                                          .estimate = estimate,
                                          .slots = 2,
                                          .chores = 2});
    meet(1);
    meet(3);
    meet(4);
}

static void end(void)
{
    for (size_t i = 0; i < wait_count; i++)
        delta_fini(&waits[i].delta);
    mesh_free(mesh);
    mesh_out_fini(&out);
    fake_docs_fini(&docs);
    mesh = NULL;
    wait_count = work_count = 0;
}

static void end_work(uint8_t how)
{
    if (work_count == 0)
        return;
    struct work work = works[how % (work_count < WORKS ? work_count : WORKS)];
    struct doc_module module = {.path = "test_a.py"};
    struct doc_plan plan = {.p = work.p,
                            .ballot = {.epoch = work.ballot.epoch, .owner = work.ballot.owner},
                            .modules = &module,
                            .module_count = 1};
    struct delta delta = {.id = work.eval, .plans = &plan, .plan_count = 1};
    bool is_done = work.m == WORK_CHORE && how % 2;
    tell((struct mesh_event){.kind = MESH_ENDED,
                             .work = work,
                             .end = is_done ? WORK_DONE : (enum work_end)(1 + how % 5),
                             .blame = (enum work_blame)(how % 4),
                             .delta = is_done ? &delta : NULL});
}

static void submit(uint8_t which)
{
    struct doc_project project = {.name = "p", .source = "p.zip"};
    struct doc_req req = {.name = "e", .projects = &project, .project_count = 1};
    req.key = which % 2 ? "key" : NULL;
    uint64_t id = EVAL + which % 4;
    tell((struct mesh_event){
        .kind = MESH_SUBMIT, .eval = id, .delta = &(struct delta){.id = id, .req = &req}});
}

/* `what` is what stands where a frame has its length. */
static void happen(uint8_t who, uint16_t what)
{
    switch (who & 7) {
    case 0:
        now_ms += what % 20000;
        tell((struct mesh_event){.kind = MESH_TICK});
        break;
    case 1:
        tell((struct mesh_event){.kind = MESH_LINK_DOWN,
                                 .peer = peer_k(what),
                                 .link_end = what & 256 ? MESH_LINK_LOST : MESH_LINK_BYE});
        break;
    case 2:
        end_work((uint8_t)what);
        break;
    case 3:
        submit((uint8_t)what);
        break;
    case 4:
        docs.lacks_blobs = what % 2;
        break;
    case 5:
        tell((struct mesh_event){.kind = MESH_ASK, .eval = EVAL + what % 4, .token = what + 1u});
        break;
    case 6:
        tell((struct mesh_event){.kind = MESH_CANCEL, .eval = EVAL + what % 4, .token = 1});
        break;
    default:
        answer_waits(false);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!mesh)
        begin();
    struct piece piece;
    while (piece_next(&data, &size, &piece)) {
        if (piece.who >= PIECE_EVENT)
            happen(piece.who, piece.number);
        else
            tell((struct mesh_event){.kind = MESH_FRAME,
                                     .peer = peer_k(piece.who),
                                     .bytes = piece.bytes,
                                     .len = piece.len});
        answer_waits(true);
        now_ms += STEP_MS;
        if (mesh_deadline(mesh) <= now_ms)
            tell((struct mesh_event){.kind = MESH_TICK});
        answer_waits(true);
    }
    if (++inputs % LIVES == 0)
        end();
    return 0;
}
