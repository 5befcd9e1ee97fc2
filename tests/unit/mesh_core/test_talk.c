/* What nodes say to each other: what is lost, late, wrong, or not theirs to say. */
#include "loadbalance/queue.h"
#include "tests/unit/mesh_core/meshes.h"

/* Two nodes; a leads one evaluation of one project with so many modules, and b runs the first of
 * them while a's slot is taken by another. */
struct pair {
    struct meshes *world;
    struct node *a, *b;
    struct work work; /* which b runs */
};

static struct pair pair_new(unsigned modules)
{
    struct pair self = {.world = meshes_new(2, 1)};
    self.a = &self.world->nodes[0];
    self.b = &self.world->nodes[1];
    self.a->modules = self.b->modules = modules;
    self.a->is_idle = self.b->is_idle = true;
    submit(self.a, EVAL, 0);
    pass(self.world, 10000);
    assert_int_equal(count_seen(self.a, MESH_START), 1);
    assert_int_equal(count_seen(self.b, MESH_START), 1);
    self.work = last_work(self.b, MESH_START);
    assert_int_equal(self.work.ballot.owner, self.a->id);
    return self;
}

static void pair_finishes(struct pair *self, size_t modules)
{
    self->a->is_idle = self->b->is_idle = false;
    pass(self->world, 30000);
    const struct doc *doc = doc_of(self->a, EVAL);
    assert_true(doc_is_final(doc));
    assert_int_equal(doc->seal->vec_count, modules);
    meshes_free(self->world);
}

/* ---- results --------------------------------------------------------------------------------- */

static bool loses_results(const struct node *from, const struct node *to, enum wire_kind kind)
{
    (void)from, (void)to;
    return kind == WIRE_RESULT || kind == WIRE_DELTA || kind == WIRE_SYNC || kind == WIRE_DIFF;
}

static bool loses_confirmations(const struct node *from, const struct node *to, enum wire_kind kind)
{
    return kind == WIRE_RESULT_OK || (kind != WIRE_RESULT && loses_results(from, to, kind));
}

static void test_a_result_is_sent_until_it_is_confirmed(void **state)
{
    (void)state;
    struct pair pair = pair_new(3);
    size_t chores = count_sent(pair.world, pair.b, pair.a, WIRE_RESULT);
    pair.world->loses = loses_results;
    passes(pair.b, &pair.work);
    settle(pair.world);
    assert_int_equal(count_sent(pair.world, pair.b, pair.a, WIRE_RESULT), chores + 1);
    pass(pair.world, 3500);
    assert_in_range(count_sent(pair.world, pair.b, pair.a, WIRE_RESULT), chores + 3, chores + 5);
    assert_null(doc_result(doc_of(pair.a, EVAL), pair.work.p, pair.work.m));
    pair.world->loses = loses_confirmations; /* it comes, and comes again: it counts once */
    pass(pair.world, 3500);
    assert_non_null(doc_result(doc_of(pair.a, EVAL), pair.work.p, pair.work.m));
    assert_true(count_sent(pair.world, pair.b, pair.a, WIRE_RESULT) >= chores + 6);
    pair.world->loses = NULL;
    pass(pair.world, 1500);
    size_t sent = count_sent(pair.world, pair.b, pair.a, WIRE_RESULT);
    pass(pair.world, 5000);
    assert_int_equal(count_sent(pair.world, pair.b, pair.a, WIRE_RESULT), sent);
    pair_finishes(&pair, 3);
}

/* Not before it is durable: a crash would lose what its executor has forgotten. */
static void test_a_result_is_confirmed_when_it_is_durable(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    size_t confirmed = count_sent(pair.world, pair.a, pair.b, WIRE_RESULT_OK); /* chores */
    pair.a->is_disk_stopped = true;
    passes(pair.b, &pair.work);
    settle(pair.world);
    assert_int_equal(count_sent(pair.world, pair.a, pair.b, WIRE_RESULT_OK), confirmed);
    disk_fails(pair.a);
    assert_int_equal(count_sent(pair.world, pair.a, pair.b, WIRE_RESULT_OK), confirmed);
    pair.a->is_disk_stopped = false;
    pass(pair.world, 1500);
    assert_true(count_sent(pair.world, pair.a, pair.b, WIRE_RESULT_OK) > confirmed);
    pair_finishes(&pair, 2);
}

static void say_result(struct pair *self, struct node *to, const struct node *from,
                       struct wire_fence fence)
{
    struct doc_rec rec = record_of(from, &self->work);
    struct delta delta = {.id = EVAL, .res = &rec, .res_count = 1};
    owned_buf bytes = BUF_INIT;
    delta_encode(&delta, &bytes);
    struct wire_msg msg = {.kind = WIRE_RESULT,
                           .result = {.eid = EVAL,
                                      .fence = fence,
                                      .p = self->work.p,
                                      .m = self->work.m,
                                      .n = (uint16_t)self->work.n,
                                      .outcome = WIRE_OUTCOME_DONE,
                                      .delta = {(const uint8_t *)bytes.data, bytes.len}}};
    hear(to, from, &msg);
}

static void test_who_does_not_lead_keeps_a_result_and_does_not_confirm_it(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    assert_null(doc_result(doc_of(pair.b, EVAL), pair.work.p, pair.work.m));
    say_result(&pair, pair.b, pair.a, fence_of(pair.a, EVAL));
    settle(pair.world);
    assert_non_null(doc_result(doc_of(pair.b, EVAL), pair.work.p, pair.work.m));
    assert_int_equal(count_sent(pair.world, pair.b, pair.a, WIRE_RESULT_OK), 0);
    pair_finishes(&pair, 2);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_what_is_refused_is_given_out_again(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct wire_ref ref = {.p = pair.work.p, .m = pair.work.m, .n = (uint16_t)pair.work.n};
    struct wire_msg refuse = {.kind = WIRE_REFUSE,
                              .refuse = {.eid = EVAL,
                                         .fence = fence_of(pair.a, EVAL),
                                         .why = WIRE_REFUSE_FULL,
                                         .work = &ref,
                                         .work_count = 1}};
    assert_int_equal(mesh_load(pair.a->mesh).waiting, 0);
    hear(pair.a, pair.b, &refuse);
    assert_int_equal(mesh_load(pair.a->mesh).waiting, 1);
    ref.n++; /* of an attempt that never was */
    hear(pair.a, pair.b, &refuse);
    assert_int_equal(mesh_load(pair.a->mesh).waiting, 1);
    pair_finishes(&pair, 2);
}

static void test_a_refusal_under_a_higher_fence_ends_the_lead(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct wire_ref ref = {.p = pair.work.p, .m = pair.work.m, .n = (uint16_t)pair.work.n};
    struct wire_msg refuse = {.kind = WIRE_REFUSE,
                              .refuse = {.eid = EVAL,
                                         .fence = {.epoch = 9, .owner = pair.b->id},
                                         .why = WIRE_REFUSE_FENCED,
                                         .work = &ref,
                                         .work_count = 1}};
    assert_int_equal(mesh_load(pair.a->mesh).owned, 1);
    hear(pair.a, pair.b, &refuse);
    assert_int_equal(mesh_load(pair.a->mesh).owned, 0);
    meshes_free(pair.world);
}

/* ---- what makes no sense --------------------------------------------------------------------- */

/* Counted once, and nothing follows from it: no effect, no change. */
static void is_ignored(struct pair *self, const void *bytes, size_t len, const uint64_t *counter,
                       const struct mesh_counters *counters)
{
    uint64_t before = *counter;
    uint64_t root = docs_root(&self->a->docs.read);
    hear_bytes(self->a, self->b, bytes, len);
    *(struct mesh_counters *)counters = mesh_counters(self->a->mesh);
    assert_int_equal(*counter, before + 1);
    assert_int_equal(self->a->out.count, 0);
    assert_int_equal(docs_root(&self->a->docs.read), root);
}

static void test_malformed_frames_are_counted(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct mesh_counters now = mesh_counters(pair.a->mesh);
    is_ignored(&pair, "", 0, &now.bad_frames, &now);
    is_ignored(&pair, "\xff\xff\xff", 3, &now.bad_frames, &now);
    is_ignored(&pair, "\x92\x34", 2, &now.bad_frames, &now); /* ends in the middle */
    /* An ASSIGN that claims 2^32-1 pieces of work in an array of none. */
    static const char lies[] = "\x95\x34\xcf\0\0\0\0\0\0\x12\x67\x92\x01\xcf\1\0\0\0\0\0\0\0"
                               "\xdd\xff\xff\xff\xff\xc0";
    is_ignored(&pair, lies, sizeof lies - 1, &now.bad_frames, &now);
    /* An OFFER by nobody: epoch 0. */
    owned_buf offer = BUF_INIT;
    wire_encode(&(struct wire_msg){.kind = WIRE_OFFER,
                                   .offer = {.eid = EVAL, .fence = {.owner = pair.b->id}}},
                &offer);
    is_ignored(&pair, offer.data, offer.len, &now.bad_frames, &now);
    /* An id that a later version may have, and one of datagrams. */
    is_ignored(&pair, "\x91\x7b", 2, &now.unknown_messages, &now);
    is_ignored(&pair, "\x92\x02\x05", 3, &now.unknown_messages, &now);
    pair_finishes(&pair, 2);
}

static void result_is_ignored(struct pair *self, struct wire_result result, const uint64_t *counter,
                              const struct mesh_counters *counters)
{
    owned_buf bytes = BUF_INIT;
    result.eid = EVAL;
    result.fence = fence_of(self->a, EVAL);
    wire_encode(&(struct wire_msg){.kind = WIRE_RESULT, .result = result}, &bytes);
    is_ignored(self, bytes.data, bytes.len, counter, counters);
}

static void test_results_that_make_no_sense_are_counted(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct mesh_counters now = mesh_counters(pair.a->mesh);
    struct doc_rec rec = record_of(pair.b, &pair.work);
    owned_buf other = BUF_INIT;
    owned_buf cancel = BUF_INIT;
    delta_encode(&(struct delta){.id = EVAL + 1, .res = &rec, .res_count = 1}, &other);
    delta_encode(&(struct delta){.id = EVAL, .cancel = true}, &cancel);
    struct wire_result done = {.outcome = WIRE_OUTCOME_DONE, .n = 1};
    done.delta = (struct wire_bytes){(const uint8_t *)"{}", 2};
    result_is_ignored(&pair, done, &now.refused_deltas, &now);
    done.delta = (struct wire_bytes){(const uint8_t *)other.data, other.len};
    result_is_ignored(&pair, done, &now.refused_deltas, &now);
    done.delta = (struct wire_bytes){(const uint8_t *)cancel.data, cancel.len};
    result_is_ignored(&pair, done, &now.refused_deltas, &now);
    result_is_ignored(&pair, (struct wire_result){.outcome = 0}, &now.bad_frames, &now);
    result_is_ignored(&pair, (struct wire_result){.outcome = 77}, &now.bad_frames, &now);
    result_is_ignored(&pair, (struct wire_result){.outcome = 1, .blame = 77}, &now.bad_frames,
                      &now);
    pair_finishes(&pair, 2);
}

/* Nobody can answer it: what is for this node itself never is a frame. */
static void test_a_frame_of_ones_own_is_counted(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct node *b = pair.b;
    pair.b = pair.a;
    struct mesh_counters now = mesh_counters(pair.a->mesh);
    owned_buf bytes = BUF_INIT;
    struct wire_msg msg = {.kind = WIRE_READ, .read = {.rid = 5, .eid = EVAL}};
    wire_encode(&msg, &bytes);
    is_ignored(&pair, bytes.data, bytes.len, &now.bad_frames, &now);
    pair.b = b;
    pair_finishes(&pair, 2);
}

/* ---- progress -------------------------------------------------------------------------------- */

static struct doc_tally tally_at(const struct node *node, const struct work *work)
{
    owned_mem struct mesh_running *running = NULL;
    size_t count = mesh_running(node->mesh, EVAL, &running);
    for (size_t i = 0; i < count; i++)
        if (work_is_same(&running[i].work, work))
            return running[i].tally;
    fail_msg("it does not run");
    return (struct doc_tally){0};
}

static void says_progress(struct pair *self, uint32_t passed)
{
    tell(self->b, (struct mesh_event){.kind = MESH_PROGRESS,
                                      .work = self->work,
                                      .tally = {.passed = passed, .failed = 1}});
    settle(self->world);
}

static void test_the_owner_sees_how_far_others_are(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    size_t before = count_seen(pair.a, MESH_RUNNING);
    says_progress(&pair, 3);
    assert_int_equal(tally_at(pair.a, &pair.work).passed, 3);
    assert_int_equal(tally_at(pair.a, &pair.work).failed, 1);
    assert_true(count_seen(pair.a, MESH_RUNNING) > before);
    says_progress(&pair, 4); /* too soon to be told again */
    assert_int_equal(tally_at(pair.b, &pair.work).passed, 4);
    assert_int_equal(tally_at(pair.a, &pair.work).passed, 3);
    pass(pair.world, 600);
    says_progress(&pair, 5);
    assert_int_equal(tally_at(pair.a, &pair.work).passed, 5);
    pair_finishes(&pair, 2);
}

/* What nobody runs has no progress: a late word, or an untrue one, is not kept. */
static void test_progress_of_what_does_not_run_is_not_kept(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    struct wire_progress late = {.eid = EVAL,
                                 .fence = fence_of(pair.a, EVAL),
                                 .p = pair.work.p,
                                 .m = pair.work.m,
                                 .n = (uint16_t)pair.work.n,
                                 .passed = 9};
    struct wire_msg msg = {.kind = WIRE_PROGRESS, .progress = late};
    msg.progress.m = 60000;
    hear(pair.a, pair.b, &msg);
    assert_int_equal(pair.a->out.count, 0);
    passes(pair.b, &pair.work);
    settle(pair.world);
    msg.progress = late;
    hear(pair.a, pair.b, &msg);
    assert_int_equal(pair.a->out.count, 0);
    pair_finishes(&pair, 2);
}

/* ---- links, and leaving ---------------------------------------------------------------------- */

static size_t count_effects(const struct node *node, enum mesh_effect_kind kind, uint64_t peer)
{
    size_t count = 0;
    for (size_t i = 0; i < node->out.count; i++)
        count += node->out.effects[i].kind == kind && node->out.effects[i].peer == peer;
    return count;
}

static void test_a_lost_link_is_looked_into_at_once(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    tell(pair.a, (struct mesh_event){
                     .kind = MESH_LINK_DOWN, .peer = pair.b->id, .link_end = MESH_LINK_BYE});
    assert_int_equal(count_effects(pair.a, MESH_PROBE, pair.b->id), 0);
    tell(pair.a, (struct mesh_event){
                     .kind = MESH_LINK_DOWN, .peer = pair.b->id, .link_end = MESH_LINK_LOST});
    assert_int_equal(count_effects(pair.a, MESH_PROBE, pair.b->id), 1);
    assert_int_equal(mesh_load(pair.a->mesh).waiting, 0); /* what runs there goes on */
    pair_finishes(&pair, 2);
}

static void test_what_a_dead_node_had_runs_elsewhere(void **state)
{
    (void)state;
    struct pair pair = pair_new(2);
    mesh_free(pair.b->mesh);
    pair.b->mesh = NULL;
    struct work mine = last_work(pair.a, MESH_START);
    passes(pair.a, &mine);
    pass(pair.world, QUEUE_SILENCE_MS - 2000); /* by its death: not only by its silence */
    assert_int_equal(last_seen(pair.a, MESH_MEMBER)->what, SWIM_DEAD);
    struct work again = last_work(pair.a, MESH_START);
    assert_int_equal(again.m, pair.work.m);
    assert_int_equal(again.n, pair.work.n + 1);
    passes(pair.a, &again);
    pass(pair.world, 60000); /* alone it waits for a majority, and then does without */
    assert_true(doc_is_final(doc_of(pair.a, EVAL)));
    meshes_free(pair.world);
}

static void test_a_node_that_leaves_hands_over_what_it_leads(void **state)
{
    (void)state;
    struct pair pair = pair_new(3);
    struct work mine = last_work(pair.a, MESH_START);
    tell(pair.a, (struct mesh_event){.kind = MESH_DRAIN});
    pass(pair.world, 8000);
    assert_int_equal(mesh_load(pair.a->mesh).owned, 0);
    assert_int_equal(mesh_load(pair.b->mesh).owned, 1);
    assert_int_equal(fence_of(pair.b, EVAL).owner, pair.b->id);
    assert_null(last_seen(pair.a, MESH_DRAINED)); /* one module runs here still */
    passes(pair.a, &mine);
    pass(pair.world, 3000);
    assert_int_equal(count_seen(pair.a, MESH_DRAINED), 1);
    assert_int_equal(count_seen(pair.a, MESH_START), 1); /* nothing new came */
    tell(pair.a, (struct mesh_event){.kind = MESH_LEAVE});
    pass(pair.world, 3000);
    assert_int_equal(count_seen(pair.a, MESH_GONE), 1);
    mesh_free(pair.a->mesh);
    pair.a->mesh = NULL;
    assert_int_equal(last_seen(pair.b, MESH_MEMBER)->what, SWIM_LEFT);
    pair.b->is_idle = false;
    pass(pair.world, 60000);
    const struct doc *doc = doc_of(pair.b, EVAL);
    assert_true(doc_is_final(doc));
    assert_int_equal(doc->seal->vec_count, 3);
    assert_int_equal(doc_counted(doc, 0, mine.m)->node, pair.a->id);
    meshes_free(pair.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_result_is_sent_until_it_is_confirmed),
        cmocka_unit_test(test_a_result_is_confirmed_when_it_is_durable),
        cmocka_unit_test(test_who_does_not_lead_keeps_a_result_and_does_not_confirm_it),
        cmocka_unit_test(test_what_is_refused_is_given_out_again),
        cmocka_unit_test(test_a_refusal_under_a_higher_fence_ends_the_lead),
        cmocka_unit_test(test_malformed_frames_are_counted),
        cmocka_unit_test(test_results_that_make_no_sense_are_counted),
        cmocka_unit_test(test_a_frame_of_ones_own_is_counted),
        cmocka_unit_test(test_the_owner_sees_how_far_others_are),
        cmocka_unit_test(test_progress_of_what_does_not_run_is_not_kept),
        cmocka_unit_test(test_a_lost_link_is_looked_into_at_once),
        cmocka_unit_test(test_what_a_dead_node_had_runs_elsewhere),
        cmocka_unit_test(test_a_node_that_leaves_hands_over_what_it_leads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
