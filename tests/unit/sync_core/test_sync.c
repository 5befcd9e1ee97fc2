/* Some stores that are made equal, over a network that loses nothing, and sometimes something. */
#include "node/own/own.h"
#include "node/sync/sync.h"
#include "proto/base/rand.h"
#include "tests/unit/own_core/fake_docs.h"
#include "tests/unit/sync_core/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 4

struct post {
    unsigned from, to;
    struct wire_msg msg;
    void *bytes;
};

struct peer_node {
    struct fake_docs docs;
    struct sync *sync;
    struct sync_out out;
    struct own *reader; /* answers READ */
    struct own_out reader_out;
    size_t synced, whole;
};

static struct peer_node nodes[NODES];
static unsigned node_count;
static struct post *posts;
static size_t post_first, post_count, post_room;
static uint64_t now;
static unsigned lose_every; /* 0: nothing */
static struct rand chance;
static size_t sent[80], sent_bytes;

static uint64_t id_of(unsigned n) { return (uint64_t)(n + 1) << 56; }
static unsigned index_of(uint64_t id) { return (unsigned)(id >> 56) - 1; }

static void post(unsigned from, uint64_t to, const struct wire_msg *msg)
{
    const struct wire_bytes *bytes = message_bytes((struct wire_msg *)(uintptr_t)msg);
    sent[msg->kind]++;
    sent_bytes += (bytes ? bytes->len : 0) +
                  (msg->kind == WIRE_DIFF ? msg->diff.have_count * sizeof *msg->diff.have : 0);
    assert_true(msg->kind != WIRE_DIFF || msg->diff.have_count <= WIRE_DIGESTS_MAX);
    if (lose_every && rand_below(&chance, lose_every) == 0)
        return;
    posts = mem_grow(posts, &post_room, post_count + 1, sizeof *posts);
    struct post *it = &posts[post_count++];
    *it = (struct post){.from = from, .to = index_of(to), .msg = *msg};
    it->bytes = message_copy(&it->msg);
}

static void step(unsigned n, struct sync_event event);

static void append(unsigned n, uint64_t token, const struct delta *delta)
{
    unsigned changed = 0;
    enum err_code code = fake_apply(&nodes[n].docs, delta, &changed);
    step(n,
         (struct sync_event){
             .kind = SYNC_APPENDED, .token = token, .is_ok = code == ERR_NONE, .changed = changed});
}

/* Effects are taken off before they are done: doing one may step again. */
static void step(unsigned n, struct sync_event event)
{
    struct peer_node *node = &nodes[n];
    event.now_ms = now;
    struct sync_out out = {0};
    sync_step(node->sync, &event, &out);
    assert_true(sync_stats(node->sync).waiting <= 4096);
    for (size_t i = 0; i < out.count; i++) {
        const struct sync_effect *effect = &out.effects[i];
        if (effect->kind == SYNC_SEND)
            post(n, effect->peer, &effect->msg);
        else if (effect->kind == SYNC_APPEND)
            append(n, effect->token, effect->delta);
        node->synced += effect->kind == SYNC_SYNCED;
        node->whole += effect->kind == SYNC_WHOLE;
    }
    sync_out_fini(&out);
}

static void read_for(unsigned n, const struct post *it)
{
    struct peer_node *node = &nodes[n];
    own_step(node->reader,
             &(struct own_event){
                 .kind = OWN_MESSAGE, .now_ms = now, .peer = id_of(it->from), .msg = &it->msg},
             &node->reader_out);
    for (size_t i = 0; i < node->reader_out.count; i++)
        post(n, node->reader_out.effects[i].peer, &node->reader_out.effects[i].msg);
}

static void deliver_all(void)
{
    while (post_first < post_count) {
        struct post it = posts[post_first++];
        if (it.msg.kind == WIRE_READ)
            read_for(it.to, &it);
        else
            step(it.to,
                 (struct sync_event){.kind = SYNC_MESSAGE, .peer = id_of(it.from), .msg = &it.msg});
        free(it.bytes);
    }
    post_first = post_count = 0;
}

static void start(unsigned n)
{
    struct id_node self = {.bytes = {(uint8_t)(n + 1)}};
    nodes[n].sync = sync_new(&(struct sync_config){
        .self = id_of(n), .docs = &nodes[n].docs.read, .seed = n, .now_ms = now});
    nodes[n].reader =
        own_new(&(struct own_config){.node = self, .docs = &nodes[n].docs.read, .now_ms = now});
}

static void open_nodes(unsigned count)
{
    now = 1000;
    lose_every = 0;
    node_count = count;
    memset(sent, 0, sizeof sent);
    sent_bytes = 0;
    for (unsigned n = 0; n < count; n++) {
        nodes[n] = (struct peer_node){0};
        fake_docs_init(&nodes[n].docs);
        start(n);
    }
}

static int close_nodes(void **unused)
{
    (void)unused;
    for (; post_first < post_count; post_first++)
        free(posts[post_first].bytes);
    mem_free_at(&posts);
    post_first = post_count = post_room = 0;
    for (unsigned n = 0; n < node_count; n++) {
        sync_free(nodes[n].sync);
        own_free(nodes[n].reader);
        own_out_fini(&nodes[n].reader_out);
        fake_docs_fini(&nodes[n].docs);
    }
    return 0;
}

static void meet(unsigned n, unsigned m)
{
    step(n, (struct sync_event){.kind = SYNC_MEMBER, .peer = id_of(m), .is_ok = true});
    step(m, (struct sync_event){.kind = SYNC_MEMBER, .peer = id_of(n), .is_ok = true});
}

static bool are_equal(void)
{
    for (unsigned n = 1; n < node_count; n++)
        if (docs_root(&nodes[n].docs.read) != docs_root(&nodes[0].docs.read))
            return false;
    return true;
}

/* Lets time pass until the stores are equal. Returns how much; fails after `most`. */
static uint64_t until_equal(uint64_t most)
{
    uint64_t begun = now;
    deliver_all();
    for (; !are_equal(); now += 100) {
        if (now - begun > most)
            fail_msg("not equal after %llu ms", (unsigned long long)most);
        for (unsigned n = 0; n < node_count; n++) {
            if (sync_deadline(nodes[n].sync) <= now)
                step(n, (struct sync_event){.kind = SYNC_TICK});
            for (unsigned m = 0; m < node_count; m++)
                if (m != n && now % 1000 == 0)
                    step(n, (struct sync_event){.kind = SYNC_DIFFERS, .peer = id_of(m)});
        }
        deliver_all();
    }
    return now - begun;
}

/* ---- documents ------------------------------------------------------------------------------- */

static void add(unsigned n, uint64_t id, const char *name)
{
    struct doc_req req = {.created_ms = id, .name = name};
    struct doc_seal seal = {.ballot = {1, 1}, .gen = 1, .at_ms = id};
    struct delta delta = {.id = id, .req = &req, .seal = &seal, .com = {1, 1}};
    unsigned changed;
    (void)!fake_apply(&nodes[n].docs, &delta, &changed);
}

static void ten_thousand_come_to_a_new_node(void **unused)
{
    (void)unused;
    open_nodes(2);
    for (uint64_t id = 1; id <= 10000; id++)
        add(0, id, "x");
    for (uint64_t id = 9500; id <= 10500; id++)
        add(1, id, "x"); /* a few are there, a few are nowhere else */
    meet(0, 1);
    uint64_t took = until_equal(20000);
    printf("%llu ms, %zu READ, %zu DIFF, %zu bytes\n", (unsigned long long)took, sent[WIRE_READ],
           sent[WIRE_DIFF], sent_bytes);
    assert_int_equal(nodes[1].docs.count, 10500);
    assert_true(sent[WIRE_READ] <= 9499 + 500 + 10); /* each is asked for once */
    assert_true(nodes[0].synced > 0 && nodes[1].synced > 0);
    assert_int_equal(nodes[1].whole, 1);
}

static void equal_stores_cost_one_round(void **unused)
{
    (void)unused;
    open_nodes(2);
    for (uint64_t id = 1; id <= 500; id++) {
        add(0, id, "x");
        add(1, id, "x");
    }
    meet(0, 1);
    deliver_all();
    assert_int_equal(sent[WIRE_SYNC], 2);
    assert_int_equal(sent[WIRE_READ], 0);
    assert_true(nodes[0].synced == 1 && nodes[1].synced == 1);
}

static void what_is_lost_on_the_way_is_asked_for_again(void **unused)
{
    (void)unused;
    open_nodes(3);
    rand_init(&chance, 7);
    for (uint64_t id = 1; id <= 200; id++)
        add((unsigned)(id % 3), id, "x");
    lose_every = 5;
    meet(0, 1);
    meet(1, 2);
    meet(0, 2);
    until_equal(120000);
    assert_int_equal(nodes[0].docs.count, 200);
}

/* While one document changes with every step, another one still gets through. */
static void a_busy_document_starves_nobody(void **unused)
{
    (void)unused;
    open_nodes(2);
    add(0, 1, "quiet");
    meet(0, 1);
    for (uint32_t i = 0; i < 20; i++) {
        struct doc_rec rec = {
            .plan = 5, .m = i, .ballot = {1, 1}, .n = 1, .outcome = DOC_PASSED, .real = true};
        unsigned changed;
        (void)!fake_apply(&nodes[0].docs, &(struct delta){.id = 2, .res = &rec, .res_count = 1},
                          &changed);
        now += 100;
        step(1, (struct sync_event){.kind = SYNC_DIFFERS, .peer = id_of(0)});
        step(1, (struct sync_event){.kind = SYNC_TICK});
        deliver_all();
    }
    assert_non_null(fake_find(&nodes[1].docs, 1));
    assert_true(sent[WIRE_SYNC] <= 2 + 2 * 3); /* at most one a second each */
    until_equal(5000);
}

static void news_are_sent_once_to_a_few(void **unused)
{
    (void)unused;
    open_nodes(4);
    for (unsigned n = 0; n < 4; n++)
        for (unsigned m = 0; m < n; m++)
            meet(n, m);
    deliver_all();
    struct doc_req req = {.created_ms = 1, .name = "x"};
    struct delta delta = {.id = 9, .req = &req};
    unsigned changed;
    (void)!fake_apply(&nodes[0].docs, &delta, &changed);
    step(0, (struct sync_event){.kind = SYNC_LEARNED, .delta = &delta});
    for (int i = 0; i < 10; i++) {
        now += 100;
        for (unsigned n = 0; n < 4; n++)
            if (sync_deadline(nodes[n].sync) <= now)
                step(n, (struct sync_event){.kind = SYNC_TICK});
        deliver_all();
    }
    assert_true(are_equal());
    assert_int_equal(sent[WIRE_DELTA], 4 * 3);
    assert_int_equal(sent[WIRE_READ], 0);
}

static void com_is_no_news_without_its_seal(void **unused)
{
    (void)unused;
    open_nodes(2);
    meet(0, 1);
    deliver_all();
    add(0, 3, "x");
    step(0, (struct sync_event){.kind = SYNC_LEARNED,
                                .delta = &(struct delta){.id = 3, .com = {1, 1}}});
    now += 200;
    step(0, (struct sync_event){.kind = SYNC_TICK});
    deliver_all();
    assert_int_equal(sent[WIRE_DELTA], 1);
    assert_non_null(fake_find(&nodes[1].docs, 3)->seal);
}

static void two_requests_under_one_id_stay_apart(void **unused)
{
    (void)unused;
    open_nodes(2);
    add(0, 1, "one");
    add(1, 1, "other");
    add(0, 2, "x");
    uint64_t one = fake_find(&nodes[0].docs, 1)->digest,
             other = fake_find(&nodes[1].docs, 1)->digest;
    meet(0, 1);
    for (int i = 0; i < 100; i++) {
        now += 100;
        step(0, (struct sync_event){.kind = SYNC_DIFFERS, .peer = id_of(1)});
        step(1, (struct sync_event){.kind = SYNC_DIFFERS, .peer = id_of(0)});
        deliver_all();
    }
    assert_true(fake_find(&nodes[0].docs, 1)->digest == one);
    assert_true(fake_find(&nodes[1].docs, 1)->digest == other);
    assert_non_null(fake_find(&nodes[1].docs, 2));
    assert_true(sent[WIRE_READ] <= 4); /* once is enough */
    assert_true(sync_stats(nodes[0].sync).conflicts >= 1);
    assert_true(nodes[0].whole == 1 && nodes[1].whole == 1);
}

static void a_link_that_breaks_is_no_end(void **unused)
{
    (void)unused;
    open_nodes(2);
    for (uint64_t id = 1; id <= 100; id++)
        add(0, id, "x");
    meet(0, 1);
    for (size_t i = 0; i < post_count; i++) /* nothing of it arrives */
        free(posts[i].bytes);
    post_count = 0;
    for (unsigned n = 0; n < 2; n++)
        step(n, (struct sync_event){.kind = SYNC_LINK_DOWN, .peer = id_of(1 - n)});
    assert_int_equal(nodes[1].synced, 0);
    assert_true(until_equal(5000) <= 2000);
    assert_true(nodes[1].synced > 0);
}

static void nonsense_is_counted(void **unused)
{
    (void)unused;
    open_nodes(1);
    struct wire_msg msg = {.kind = WIRE_SYNC}; /* without buckets */
    step(0, (struct sync_event){.kind = SYNC_MESSAGE, .peer = id_of(1), .msg = &msg});
    msg = (struct wire_msg){.kind = WIRE_DIFF}; /* an answer to nothing */
    msg.diff.rid = 77;
    step(0, (struct sync_event){.kind = SYNC_MESSAGE, .peer = id_of(1), .msg = &msg});
    msg = (struct wire_msg){.kind = WIRE_DELTA};
    msg.delta = (struct wire_delta){.eid = 1, .delta = {(const uint8_t *)"{}", 2}};
    step(0, (struct sync_event){.kind = SYNC_MESSAGE, .peer = id_of(1), .msg = &msg});
    assert_int_equal(sync_stats(nodes[0].sync).ignored, 3);
    assert_int_equal(nodes[0].docs.count, 0);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_teardown(f, close_nodes)
    const struct CMUnitTest tests[] = {
        STORY(ten_thousand_come_to_a_new_node),
        STORY(equal_stores_cost_one_round),
        STORY(what_is_lost_on_the_way_is_asked_for_again),
        STORY(a_busy_document_starves_nobody),
        STORY(news_are_sent_once_to_a_few),
        STORY(com_is_no_news_without_its_seal),
        STORY(two_requests_under_one_id_stay_apart),
        STORY(a_link_that_breaks_is_no_end),
        STORY(nonsense_is_counted),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
