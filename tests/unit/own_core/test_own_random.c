/* Whatever is said in whatever order: nothing breaks, and what must never happen does not. */
#include "proto/base/rand.h"
#include "tests/unit/own_core/one_node.h"

#define IDS 3

static struct one *one;
static struct rand rand_state;

static uint64_t any(uint64_t bound) { return rand_below(&rand_state, bound); }
static uint8_t any_node(void) { return (uint8_t)(A + any(4)); }

static uint32_t any_epoch(void)
{
    static const uint32_t epochs[] = {1, 2, 3, OWN_REPLACED_EPOCH, UINT32_MAX};
    return epochs[any(40) == 0 ? 4 : any(4)];
}

static struct doc_ballot any_ballot(void)
{
    return (struct doc_ballot){any_epoch(), short_k(any_node())};
}

/* Some parts of a document, as somebody might have them. */
static const struct delta *any_delta(uint64_t id)
{
    static struct doc_plan plan;
    static struct doc_rec recs[2];
    static struct doc_seal seal;
    static struct doc_fence fence;
    plan = one_plan();
    recs[0] = one_rec(0, 1 + (uint32_t)any(3));
    recs[1] = one_rec(1, 1 + (uint32_t)any(3));
    seal = (struct doc_seal){.ballot = any_ballot(),
                             .gen = 1,
                             .plans = &plan,
                             .plan_count = 1,
                             .vec = recs,
                             .vec_count = any(3)};
    fence = *one_fence(any_epoch(), any_node(), 1 + any(9));
    fence.rep_count = any(4);
    struct delta delta = {.id = id};
    delta.req = any(3) == 0 ? &one_req : NULL;
    delta.fence = any(2) ? &fence : NULL;
    delta.plans = &plan;
    delta.plan_count = any(3) == 0;
    delta.res = recs;
    delta.res_count = any(3);
    delta.cancel = any(12) == 0;
    delta.seal = any(8) == 0 ? &seal : NULL;
    if (any(20) == 0)
        delta.com = seal.ballot;
    return hold_copy(&one->hold, &delta);
}

static struct wire_bytes any_bytes(uint64_t id)
{
    if (any(10) == 0)
        return (struct wire_bytes){.data = (const uint8_t *)"{\"id\":", .len = any(7)};
    return hold_encoded(&one->hold, any_delta(id));
}

/* A number of a question that may be one of ours. */
static uint32_t any_rid(uint32_t *last_rid)
{
    return any(4) ? *last_rid : (uint32_t)any(UINT32_MAX);
}

static struct wire_msg any_message(uint32_t last_rid)
{
    struct wire_msg msg = {0};
    uint64_t id = ID + any(IDS);
    struct doc_ballot ballot = any_ballot();
    uint32_t rid = any_rid(&last_rid);
    switch (any(5)) {
    case 0:
        msg.kind = WIRE_READ;
        msg.read = (struct wire_read){.rid = rid, .eid = id, .sketch = any_bytes(id)};
        break;
    case 1:
        msg.kind = WIRE_DOC;
        msg.doc = (struct wire_doc){
            .rid = rid, .eid = id, .seq = (uint32_t)any(3), .more = any(2), .delta = any_bytes(id)};
        break;
    case 2:
        msg.kind = WIRE_PUT;
        msg.put = (struct wire_put){
            .rid = rid, .eid = id, .kind = (uint8_t)any(7), .delta = any_bytes(id)};
        break;
    case 3:
        msg.kind = WIRE_PUT_OK;
        msg.put_ok = (struct wire_put_ok){.rid = rid, .eid = id};
        if (any(4) == 0)
            msg.put_ok.seal = (struct wire_fence){.epoch = ballot.epoch, .owner = ballot.owner};
        break;
    default:
        msg.kind = WIRE_PUT_LOW;
        msg.put_low = (struct wire_put_low){.rid = rid, .eid = id, .why = (uint8_t)any(5)};
        msg.put_low.fence = (struct wire_fence){.epoch = ballot.epoch, .owner = ballot.owner};
    }
    return msg;
}

static struct own_event any_event(const struct wire_msg *msg)
{
    struct own_event event = {.now_ms = one->now += any(any(10) == 0 ? 20000 : 50),
                              .wall_ms = 5,
                              .kind = (enum own_event_kind)any(OWN_ASK + 1),
                              .id = ID + any(IDS),
                              .peer = short_k(any_node()),
                              .token = any(50),
                              .is_ok = any(2),
                              .fence = any_ballot(),
                              .msg = msg};
    if (event.kind == OWN_APPENDED || any(2))
        event.kind = OWN_MESSAGE;
    event.delta = hold_copy(&one->hold, &(struct delta){.id = event.id, .req = &one_req});
    event.member = (struct own_member){.node = node_k(any_node()),
                                       .gen = 1 + any(3),
                                       .state = (enum own_member_state)any(3),
                                       .is_refused = any(2),
                                       .is_draining = any(4) == 0};
    return event;
}

/* I6: what this node says that it leads is not below what it has promised. */
static void check(uint32_t *last_rid)
{
    for (size_t i = 0; i < one->out.count; i++) {
        const struct own_effect *effect = &one->out.effects[i];
        if (effect->kind == OWN_SEND && effect->msg.kind == WIRE_PUT)
            *last_rid = effect->msg.put.rid;
        if (effect->kind == OWN_SEND && effect->msg.kind == WIRE_READ)
            *last_rid = effect->msg.read.rid;
        const struct doc *doc = fake_find(&one->docs, effect->id);
        if (effect->kind == OWN_ACTIVE)
            assert_true(doc && doc->fence &&
                        doc_ballot_compare(doc->fence->ballot, effect->fence) == 0);
        if (effect->kind == OWN_ACCEPTED)
            assert_true(doc && doc->req);
    }
}

static void nothing_that_is_said_breaks_it(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint32_t last_rid = 0;
        one = one_new();
        rand_init(&rand_state, seed);
        struct own_config config = one_config(one, B);
        one_start(one, &config);
        for (int i = 0; i < 1000; i++) {
            struct wire_msg msg = any_message(last_rid);
            struct own_event event = any_event(&msg);
            one->seen.count = 0;
            tell(one, event);
            check(&last_rid);
            one->seen.count = 0;
            while (one->append_count > (any(2) ? 0 : 20)) {
                durable(one);
                check(&last_rid);
                one->seen.count = 0;
            }
            hold_clear(one->hold);
        }
        one_free(one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_that_is_said_breaks_it)};
    return cmocka_run_group_tests_name("own_random", tests, NULL, NULL);
}
