/* One machine between nodes that the test plays: B of A, B, C and more. */
#ifndef TESTS_ONE_NODE_H
#define TESTS_ONE_NODE_H

#include "node/own/hold.h"
#include "node/own/own.h"
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "tests/unit/own_core/fake_docs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID 4711

/* Nodes: the short id of node k is k << 56. */
static inline struct id_node node_k(uint8_t k) { return (struct id_node){.bytes = {k}}; }
static inline uint64_t short_k(uint8_t k) { return (uint64_t)k << 56; }
enum { A = 1, B, C, D };

struct seen {
    struct own_effect effects[256]; /* their borrowed parts are gone but for `put` */
    size_t count;
};

struct one {
    struct fake_docs docs;
    struct own *own;
    struct own_out out;
    uint64_t now;
    struct seen seen;
    struct delta appended[64]; /* owned; asked for and not durable */
    uint64_t tokens[64];
    size_t append_count;
    struct delta sent; /* of the last PUT or DOC; owned */
    struct own_hold *hold;
};

static inline void one_take(struct one *self)
{
    for (size_t i = 0; i < self->out.count; i++) {
        const struct own_effect *effect = &self->out.effects[i];
        assert_true(self->seen.count < countof(self->seen.effects));
        self->seen.effects[self->seen.count++] = *effect;
        if (effect->kind == OWN_APPEND) {
            self->tokens[self->append_count] = effect->token;
            delta_copy(effect->delta, &self->appended[self->append_count++]);
        }
        const struct wire_bytes *bytes = effect->kind != OWN_SEND       ? NULL
                                         : effect->msg.kind == WIRE_PUT ? &effect->msg.put.delta
                                         : effect->msg.kind == WIRE_DOC ? &effect->msg.doc.delta
                                                                        : NULL;
        if (bytes && bytes->len > 0) {
            struct err err = ERR_INIT;
            delta_fini(&self->sent);
            assert_int_equal(delta_decode((const char *)bytes->data, bytes->len, &self->sent, &err),
                             0);
        }
    }
}

static inline void tell(struct one *self, struct own_event event)
{
    event.now_ms = self->now;
    event.wall_ms = 1790000000000;
    own_step(self->own, &event, &self->out);
    one_take(self);
}

/* The first append that waits reaches the disk. */
static inline void durable(struct one *self)
{
    assert_true(self->append_count > 0);
    struct delta delta = self->appended[0];
    uint64_t token = self->tokens[0];
    unsigned changed = 0;
    self->append_count--;
    memmove(self->appended, &self->appended[1], self->append_count * sizeof delta);
    memmove(self->tokens, &self->tokens[1], self->append_count * sizeof token);
    enum err_code code = fake_apply(&self->docs, &delta, &changed);
    tell(self, (struct own_event){.kind = OWN_APPENDED, .token = token, .code = code});
    if (changed)
        tell(self, (struct own_event){.kind = OWN_CHANGED, .id = delta.id, .changed = changed});
    delta_fini(&delta);
}

static inline void all_durable(struct one *self)
{
    while (self->append_count > 0)
        durable(self);
}

static inline void pass(struct one *self, uint64_t ms)
{
    for (uint64_t end = self->now + ms; self->now < end;) {
        uint64_t next = own_deadline(self->own);
        self->now = next <= self->now ? self->now + 1 : next < end ? next : end;
        if (own_deadline(self->own) <= self->now)
            tell(self, (struct own_event){.kind = OWN_TICK});
    }
}

static inline struct own_config one_config(struct one *self, uint8_t k)
{
    return (struct own_config){
        .node = node_k(k), .gen = 7, .docs = &self->docs.read, .seed = 5, .now_ms = self->now};
}

static inline struct one *one_new(void)
{
    struct one *self = mem_new(sizeof *self);
    self->now = 100000;
    fake_docs_init(&self->docs);
    return self;
}

static inline void one_start(struct one *self, const struct own_config *config)
{
    self->own = own_new(config);
    tell(self, (struct own_event){.kind = OWN_TICK});
}

static inline void one_free(struct one *self)
{
    own_free(self->own);
    own_out_fini(&self->out);
    for (size_t i = 0; i < self->append_count; i++)
        delta_fini(&self->appended[i]);
    delta_fini(&self->sent);
    hold_free(self->hold);
    fake_docs_fini(&self->docs);
    free(self);
}

static inline void member(struct one *self, uint8_t k, uint64_t gen, enum own_member_state state)
{
    tell(self, (struct own_event){.kind = OWN_MEMBER,
                                  .member = {.node = node_k(k), .gen = gen, .state = state}});
}

static inline void synced(struct one *self, uint8_t k)
{
    tell(self, (struct own_event){.kind = OWN_SYNCED, .peer = short_k(k)});
}

/* ---- what was done --------------------------------------------------------------------------- */

static inline void forget(struct one *self) { self->seen.count = 0; }

/* The last effect of a kind since forget(), or NULL. */
static inline const struct own_effect *last(const struct one *self, enum own_effect_kind kind)
{
    for (size_t i = self->seen.count; i-- > 0;)
        if (self->seen.effects[i].kind == kind)
            return &self->seen.effects[i];
    return NULL;
}

/* The last message of a kind to node k (0: any), or NULL. */
static inline const struct wire_msg *sent_to(const struct one *self, uint8_t k, enum wire_kind kind)
{
    for (size_t i = self->seen.count; i-- > 0;) {
        const struct own_effect *effect = &self->seen.effects[i];
        if (effect->kind == OWN_SEND && effect->msg.kind == kind &&
            (k == 0 || effect->peer == short_k(k)))
            return &effect->msg;
    }
    return NULL;
}

/* ---- what others say ------------------------------------------------------------------------- */

static inline void says(struct one *self, uint8_t k, struct wire_msg msg)
{
    tell(self, (struct own_event){.kind = OWN_MESSAGE, .peer = short_k(k), .msg = &msg});
}

static inline void says_ok(struct one *self, uint8_t k, struct doc_ballot seal)
{
    const struct wire_msg *put = sent_to(self, k, WIRE_PUT);
    assert_non_null(put);
    struct wire_msg ok = {.kind = WIRE_PUT_OK};
    ok.put_ok.rid = put->put.rid;
    ok.put_ok.eid = put->put.eid;
    ok.put_ok.seal = (struct wire_fence){.epoch = seal.epoch, .owner = seal.owner};
    says(self, k, ok);
}

static inline void says_low(struct one *self, uint8_t k, enum wire_why_low why,
                            struct doc_ballot fence)
{
    const struct wire_msg *put = sent_to(self, k, WIRE_PUT);
    assert_non_null(put);
    struct wire_msg low = {.kind = WIRE_PUT_LOW};
    low.put_low.rid = put->put.rid;
    low.put_low.eid = put->put.eid;
    low.put_low.why = (uint8_t)why;
    low.put_low.fence = (struct wire_fence){.epoch = fence.epoch, .owner = fence.owner};
    says(self, k, low);
}

/* As documents have it: what is absent is made canonical. */
static inline struct wire_bytes encoded(struct one *self, const struct delta *delta)
{
    return hold_encoded(&self->hold, hold_copy(&self->hold, delta));
}

/* The whole answer to the last READ of k, in one piece; NULL: unknown. */
static inline void says_doc(struct one *self, uint8_t k, const struct delta *delta)
{
    const struct wire_msg *read = sent_to(self, k, WIRE_READ);
    assert_non_null(read);
    struct wire_msg doc = {.kind = WIRE_DOC};
    doc.doc.rid = read->read.rid;
    doc.doc.eid = read->read.eid;
    if (delta)
        doc.doc.delta = encoded(self, delta);
    says(self, k, doc);
}

static inline void says_put(struct one *self, uint8_t k, enum wire_put_kind kind,
                            const struct delta *delta)
{
    struct wire_msg put = {.kind = WIRE_PUT};
    put.put.rid = 99;
    put.put.eid = delta->id;
    put.put.kind = (uint8_t)kind;
    put.put.delta = encoded(self, delta);
    says(self, k, put);
}

/* ---- an evaluation --------------------------------------------------------------------------- */

static const struct doc_project one_projects[] = {{.name = "anna", .source = "a", .bundle = {{1}}}};
static const struct doc_req one_req = {
    .created_ms = 5, .name = "class", .projects = one_projects, .project_count = 1};
static const struct doc_module one_modules[] = {{"a", 0}, {"b", 0}};

static inline struct doc_plan one_plan(void)
{
    struct doc_plan plan = {.ballot = {1, 1}, .modules = one_modules, .module_count = 2};
    plan.hash = doc_plan_hash(&plan);
    return plan;
}

static inline struct doc_rec one_rec(uint32_t m, uint32_t passed)
{
    return (struct doc_rec){.plan = one_plan().hash,
                            .m = m,
                            .ballot = {1, 1},
                            .n = passed,
                            .real = true,
                            .outcome = DOC_PASSED,
                            .tally = {.passed = passed}};
}

static inline struct doc_fence *one_fence(uint32_t epoch, uint8_t owner, uint64_t gen)
{
    static struct id_node reps[3];
    static struct doc_fence fence;
    for (uint8_t k = A; k <= C; k++)
        reps[k - A] = node_k(k);
    fence = (struct doc_fence){
        .ballot = {epoch, short_k(owner)}, .gen = gen, .reps = reps, .rep_count = 3};
    return &fence;
}

/* Puts a document of owner k, replicas A B C, on the disk, behind the machine's back. */
static inline void on_disk(struct one *self, uint32_t epoch, uint8_t owner, uint64_t gen)
{
    unsigned changed;
    struct delta delta = {.id = ID, .req = &one_req, .fence = one_fence(epoch, owner, gen)};
    assert_int_equal(fake_apply(&self->docs, &delta, &changed), 0);
}

/* Something becomes durable through another machine. */
static inline void learn(struct one *self, const struct delta *delta)
{
    unsigned changed = 0;
    assert_int_equal(fake_apply(&self->docs, delta, &changed), 0);
    if (changed)
        tell(self, (struct own_event){.kind = OWN_CHANGED, .id = delta->id, .changed = changed});
}

static inline void learn_results(struct one *self, uint32_t passed)
{
    struct doc_plan plan = one_plan();
    struct doc_rec recs[2] = {one_rec(0, passed), one_rec(1, passed)};
    learn(self, &(struct delta){.id = ID, .plans = &plan, .plan_count = 1});
    learn(self, &(struct delta){.id = ID, .res = recs, .res_count = 2});
}

static inline void submit(struct one *self)
{
    tell(self, (struct own_event){.kind = OWN_SUBMIT,
                                  .delta = &(struct delta){.id = ID, .req = &one_req}});
}

static inline const struct doc *the_doc(const struct one *self)
{
    return fake_find(&self->docs, ID);
}

/* ---- the node of a scene --------------------------------------------------------------------- */

static struct one *one;

static inline int set_up(void **state)
{
    (void)state;
    one = one_new();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    one_free(one);
    return 0;
}

static inline void start(uint8_t k, enum own_mutation mutation)
{
    struct own_config config = one_config(one, k);
    config.mutation = mutation;
    one_start(one, &config);
}

static inline void start_with_peers(uint8_t k, enum own_mutation mutation)
{
    start(k, mutation);
    for (uint8_t other = A; other <= C; other++)
        if (other != k)
            member(one, other, 1, OWN_ALIVE);
}

static const struct doc_ballot none;

#endif
