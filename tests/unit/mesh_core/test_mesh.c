/* Evaluations from SUBMIT to FINAL, over one node and more. */
#include "tests/unit/mesh_core/meshes.h"

#include <stdio.h>

static const struct doc_rec *counted(const struct node *node, uint32_t m)
{
    const struct doc *doc = doc_of(node, EVAL);
    assert_non_null(doc);
    return doc_counted(doc, 0, m);
}

static void assert_final(const struct node *node, size_t modules)
{
    const struct doc *doc = doc_of(node, EVAL);
    assert_non_null(doc);
    assert_true(doc_is_final(doc));
    assert_int_equal(doc->seal->vec_count, modules);
}

/* ---- a mesh of one --------------------------------------------------------------------------- */

static void test_alone(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(1, 2);
    struct node *a = &world->nodes[0];
    a->is_disk_stopped = true;
    submit(a, EVAL, 0);
    settle(world);
    assert_null(last_seen(a, MESH_ACCEPTED)); /* not before it is durable */
    durable(a);
    assert_int_equal(last_seen(a, MESH_ACCEPTED)->replicas, 1);
    a->is_disk_stopped = false;
    pass(world, 1000);
    struct work chore = last_work(a, MESH_PREPARE);
    assert_int_equal(chore.m, WORK_CHORE);
    makes_plan(a, &chore, 3);
    pass(world, 100);
    assert_int_equal(count_seen(a, MESH_START), 2); /* as many as there are slots */
    assert_int_equal(mesh_load(a->mesh).running, 2);
    assert_int_equal(mesh_load(a->mesh).waiting, 1);
    a->modules = 3; /* from here on the runner does it */
    pass(world, 2000);
    assert_int_equal(count_seen(a, MESH_START), 3);
    assert_int_equal(count_seen(a, MESH_FINAL), 1);
    assert_int_equal(count_seen(a, MESH_DROP), 1);
    assert_final(a, 3);
    assert_int_equal(world->sent_count, 0); /* nothing for itself leaves the machine */
    meshes_free(world);
}

static void test_a_record_that_is_not_durable_does_not_count(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(1, 1);
    struct node *a = &world->nodes[0];
    submit(a, EVAL, 0);
    pass(world, 1000);
    struct work chore = last_work(a, MESH_PREPARE);
    makes_plan(a, &chore, 1);
    pass(world, 100);
    struct work first = last_work(a, MESH_START);
    a->is_disk_stopped = true;
    passes(a, &first);
    disk_fails(a);
    settle(world);
    assert_null(last_seen(a, MESH_FINAL));
    a->is_disk_stopped = false;
    pass(world, 1000);
    struct work again = last_work(a, MESH_START);
    assert_int_equal(again.n, first.n + 1);
    passes(a, &again);
    pass(world, 1000);
    assert_final(a, 1);
    assert_int_equal(counted(a, 0)->n, again.n);
    meshes_free(world);
}

static void test_one_that_is_cancelled(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(1, 1);
    struct node *a = &world->nodes[0];
    submit(a, EVAL, 0);
    pass(world, 1000);
    struct work chore = last_work(a, MESH_PREPARE);
    makes_plan(a, &chore, 2);
    pass(world, 100);
    tell(a, (struct mesh_event){.kind = MESH_CANCEL, .eval = EVAL, .token = 9});
    pass(world, 1000);
    assert_true(last_seen(a, MESH_CANCELLED)->is_ok);
    assert_int_equal(last_seen(a, MESH_CANCELLED)->token, 9);
    struct work stopped = last_work(a, MESH_STOP);
    struct work started = last_work(a, MESH_START);
    assert_true(work_is_same(&stopped, &started));
    assert_int_equal(count_seen(a, MESH_FINAL), 1);
    assert_true(doc_of(a, EVAL)->seal->cancelled);
    meshes_free(world);
}

/* ---- work for others ------------------------------------------------------------------------- */

static void test_two_share_the_work(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(2, 1);
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    a->modules = b->modules = 6;
    a->is_idle = true; /* its slot is never free again: the rest is for b */
    submit(a, EVAL, 0);
    pass(world, 1000);
    assert_int_equal(last_seen(a, MESH_ACCEPTED)->replicas, 2);
    pass(world, 20000);
    assert_int_equal(count_seen(a, MESH_START), 1);
    assert_int_equal(count_seen(b, MESH_START), 5);
    assert_null(last_seen(a, MESH_FINAL));
    a->is_idle = false;
    pass(world, 5000);
    assert_final(a, 6);
    assert_final(b, 6); /* and hears of it */
    unsigned of_b = 0;
    for (uint32_t m = 0; m < 6; m++)
        of_b += counted(a, m)->node == b->id;
    assert_int_equal(of_b, 5);
    meshes_free(world);
}

static bool loses_news(const struct node *from, const struct node *to, enum wire_kind kind)
{
    (void)from, (void)to;
    return kind == WIRE_DELTA || kind == WIRE_SYNC || kind == WIRE_DIFF;
}

static bool loses_news_and_offers(const struct node *from, const struct node *to,
                                  enum wire_kind kind)
{
    return kind == WIRE_OFFER || loses_news(from, to, kind);
}

/* The node of a mesh of four that is no replica. */
static struct node *stranger_of(struct meshes *world, uint64_t eval)
{
    for (size_t i = 0; i < world->count; i++)
        if (!doc_of(&world->nodes[i], eval))
            return &world->nodes[i];
    fail_msg("all have it");
    return NULL;
}

static void test_an_offer_of_something_unknown_is_read_first(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(4, 1);
    struct node *a = &world->nodes[0];
    world->loses = loses_news_and_offers;
    for (size_t i = 0; i < world->count; i++) {
        world->nodes[i].modules = 6; /* whoever gets it ready: there is more to do than it can */
        world->nodes[i].is_idle = true;
    }
    submit(a, EVAL, 0);
    settle(world);
    assert_int_equal(last_seen(a, MESH_ACCEPTED)->replicas, 3);
    struct node *d = stranger_of(world, EVAL);
    pass(world, 3000);
    assert_int_not_equal(count_sent(world, a, d, WIRE_OFFER), 0);
    assert_int_equal(count_sent(world, d, a, WIRE_READ), 0);
    world->loses = loses_news;
    pass(world, 3000);
    assert_int_not_equal(count_sent(world, d, a, WIRE_READ), 0);
    size_t read = 0;
    for (size_t i = 0; i < world->sent_count; i++) {
        const struct sent *sent = &world->sent[i];
        if (sent->from != d->id)
            continue;
        read += sent->kind == WIRE_READ;
        if (sent->kind == WIRE_CLAIM)
            assert_int_not_equal(read, 0); /* no claim before */
    }
    assert_int_not_equal(count_sent(world, d, a, WIRE_CLAIM), 0);
    assert_non_null(doc_of(d, EVAL));
    meshes_free(world);
}

static void assign(struct node *to, const struct node *from, struct wire_fence fence,
                   struct wire_job_ref job)
{
    struct wire_msg msg = {.kind = WIRE_ASSIGN,
                           .assign = {.eid = EVAL, .fence = fence, .work = &job, .work_count = 1}};
    hear(to, from, &msg);
}

static void test_an_assignment_of_something_unknown_is_read_first(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(4, 1);
    struct node *a = &world->nodes[0];
    world->loses = loses_news_and_offers;
    submit(a, EVAL, 0);
    settle(world);
    struct node *d = stranger_of(world, EVAL);
    assign(d, a, fence_of(a, EVAL), (struct wire_job_ref){.m = WIRE_CHORE, .n = 9});
    assert_null(last_seen(d, MESH_PREPARE));
    settle(world);
    struct work chore = last_work(d, MESH_PREPARE);
    assert_int_equal(chore.n, 9);
    assert_int_equal(count_sent(world, d, a, WIRE_REFUSE), 0);
    meshes_free(world);
}

static void test_an_assignment_that_nobody_can_explain_is_refused(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(2, 1);
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    assign(a, b, (struct wire_fence){.epoch = 1, .owner = b->id},
           (struct wire_job_ref){.m = WIRE_CHORE, .n = 3});
    assert_int_equal(count_sent(world, a, b, WIRE_REFUSE), 0); /* it may only not know it yet */
    pass(world, 3000);
    owned_wire_msg msg;
    last_sent(world, a, b, WIRE_REFUSE, &msg);
    assert_int_equal(msg.refuse.why, WIRE_REFUSE_UNREADY);
    assert_int_equal(msg.refuse.work_count, 1);
    assert_int_equal(msg.refuse.work[0].n, 3);
    assert_null(last_seen(a, MESH_PREPARE));
    meshes_free(world);
}

static void test_work_of_what_is_over_is_refused(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(2, 1);
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    a->modules = b->modules = 1;
    submit(a, EVAL, 0);
    pass(world, 10000);
    assert_final(b, 1);
    size_t chores = count_seen(b, MESH_PREPARE);
    assign(b, a, fence_of(a, EVAL), (struct wire_job_ref){.m = WIRE_CHORE, .n = 9});
    settle(world);
    owned_wire_msg msg;
    last_sent(world, b, a, WIRE_REFUSE, &msg);
    assert_int_equal(msg.refuse.why, WIRE_REFUSE_UNKNOWN);
    assert_int_equal(count_seen(b, MESH_PREPARE), chores);
    meshes_free(world);
}

/* ---- bundles --------------------------------------------------------------------------------- */

static struct node *that_fetches(struct meshes *world)
{
    for (size_t i = 0; i < world->count; i++)
        if (last_seen(&world->nodes[i], MESH_FETCH))
            return &world->nodes[i];
    fail_msg("nobody fetches");
    return NULL;
}

/* Four nodes, one of them without the evaluation's bundle, and it is given the chore. */
static struct node *fetches_a_bundle(struct meshes *world)
{
    struct node *a = &world->nodes[0];
    world->loses = loses_news_and_offers;
    submit(a, EVAL, 77);
    settle(world);
    struct node *d = stranger_of(world, EVAL);
    d->docs.lacks_blobs = true;
    assign(d, a, fence_of(a, EVAL), (struct wire_job_ref){.m = WIRE_CHORE, .n = 9});
    settle(world);
    assert_ptr_equal(that_fetches(world), d);
    return d;
}

static void test_bundles_come_first(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(4, 1);
    struct node *a = &world->nodes[0];
    struct node *d = fetches_a_bundle(world);
    const struct seen *fetch = last_seen(d, MESH_FETCH);
    assert_int_equal(fetch->blob_count, 1);
    assert_int_equal(fetch->sources[0], a->id); /* whoever leads it has them */
    assert_null(last_seen(d, MESH_PREPARE));
    tell(d, (struct mesh_event){.kind = MESH_FETCHED, .token = fetch->token, .is_ok = true});
    assert_int_equal(last_work(d, MESH_PREPARE).n, 9);
    meshes_free(world);
}

static void test_bundles_that_cannot_be_had_are_another_nodes_work(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(4, 1);
    struct node *a = &world->nodes[0];
    struct node *d = fetches_a_bundle(world);
    tell(d, (struct mesh_event){.kind = MESH_FETCHED, .token = last_seen(d, MESH_FETCH)->token});
    assert_null(last_seen(d, MESH_PREPARE));
    owned_wire_msg msg;
    last_sent(world, d, a, WIRE_RESULT, &msg);
    assert_int_equal(msg.result.outcome, WIRE_OUTCOME_UNPREPARED);
    assert_int_equal(msg.result.blame, WORK_BLAME_CLUSTER);
    assert_int_equal(msg.result.delta.len, 0);
    meshes_free(world);
}

static void test_a_chore_is_cancelled_while_its_bundles_come(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(4, 1);
    struct node *a = &world->nodes[0];
    struct node *d = fetches_a_bundle(world);
    struct wire_ref ref = {.m = WIRE_CHORE, .n = 9};
    struct wire_msg cancel = {
        .kind = WIRE_CANCEL,
        .cancel = {.eid = EVAL, .fence = fence_of(a, EVAL), .work = &ref, .work_count = 1}};
    hear(d, a, &cancel);
    assert_null(last_seen(d, MESH_STOP)); /* its runner has not heard of it */
    tell(d, (struct mesh_event){
                .kind = MESH_FETCHED, .token = last_seen(d, MESH_FETCH)->token, .is_ok = true});
    assert_null(last_seen(d, MESH_PREPARE));
    assert_int_equal(mesh_load(d->mesh).preparing, 0);
    meshes_free(world);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void test_a_chore_that_fails_everywhere(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(2, 1);
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    submit(a, EVAL, 0);
    pass(world, 1000);
    struct node *first = last_seen(a, MESH_PREPARE) ? a : b;
    struct node *second = first == a ? b : a;
    assert_null(last_seen(second, MESH_PREPARE));
    struct work chore = last_work(first, MESH_PREPARE);
    cannot_prepare(first, &chore, "the first node's words");
    pass(world, 3000);
    const struct doc *doc = doc_of(a, EVAL);
    assert_null(doc_plan(doc, 0)); /* another node may do better */
    chore = last_work(second, MESH_PREPARE);
    assert_int_equal(count_seen(first, MESH_PREPARE), 1);
    cannot_prepare(second, &chore, "the last node's words");
    pass(world, 3000);
    const struct doc_plan *plan = doc_plan(doc, 0);
    assert_non_null(plan);
    assert_int_equal(plan->setup.blame, DOC_BLAME_CLUSTER);
    assert_string_equal(plan->setup.message, "the last node's words");
    assert_final(a, 0);
    assert_final(b, 0);
    meshes_free(world);
}

static void test_a_module_is_given_up(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(1, 1);
    struct node *a = &world->nodes[0];
    submit(a, EVAL, 0);
    pass(world, 1000);
    struct work chore = last_work(a, MESH_PREPARE);
    makes_plan(a, &chore, 1);
    pass(world, 100);
    for (uint32_t n = 1; n <= 2; n++) {
        struct work work = last_work(a, MESH_START);
        assert_int_equal(work.n, n);
        ends(a, &work, WORK_LOST, WORK_BLAME_TESTS, NULL);
        pass(world, 15000);
    }
    assert_int_equal(count_seen(a, MESH_START), 2);
    assert_final(a, 1);
    assert_int_equal(counted(a, 0)->outcome, DOC_LOST);
    assert_int_equal(counted(a, 0)->blame, DOC_BLAME_TESTS);
    assert_int_equal(counted(a, 0)->n, 2);
    meshes_free(world);
}

/* A project names its modules itself: what cannot be sent to other nodes ends it, and no node. */
static void test_a_plan_that_is_too_large(void **state)
{
    (void)state;
    enum { MODULES = 6000, LENGTH = 1000 };
    struct meshes *world = meshes_new(2, 1);
    struct node *a = &world->nodes[0];
    struct node *b = &world->nodes[1];
    submit(a, EVAL, 0);
    pass(world, 1000);
    struct node *runs = last_seen(a, MESH_PREPARE) ? a : b;
    struct work chore = last_work(runs, MESH_PREPARE);
    owned_mem char *text = mem_new((size_t)MODULES * LENGTH);
    owned_mem struct doc_module *modules = mem_new_array(MODULES, sizeof *modules);
    memset(text, '"', (size_t)MODULES * LENGTH); /* two bytes each where it is sent */
    for (size_t m = 0; m < MODULES; m++) {
        char *name = &text[m * LENGTH];
        (void)snprintf(name + LENGTH - 6, 6, "%05zu", m);
        modules[m].path = name;
    }
    struct doc_plan plan = {.p = chore.p,
                            .ballot = {.epoch = chore.ballot.epoch, .owner = chore.ballot.owner},
                            .modules = modules,
                            .module_count = MODULES};
    ends(runs, &chore, WORK_DONE, WORK_BLAME_NONE,
         &(struct delta){.id = EVAL, .plans = &plan, .plan_count = 1});
    pass(world, 10000);
    assert_final(a, 0);
    const struct doc_plan *kept = doc_plan(doc_of(a, EVAL), 0);
    assert_int_equal(kept->module_count, 0);
    assert_int_equal(kept->setup.outcome, DOC_SETUP_FAILED);
    assert_int_equal(kept->setup.blame, DOC_BLAME_PROJECT);
    meshes_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_a_record_that_is_not_durable_does_not_count),
        cmocka_unit_test(test_one_that_is_cancelled),
        cmocka_unit_test(test_two_share_the_work),
        cmocka_unit_test(test_an_offer_of_something_unknown_is_read_first),
        cmocka_unit_test(test_an_assignment_of_something_unknown_is_read_first),
        cmocka_unit_test(test_an_assignment_that_nobody_can_explain_is_refused),
        cmocka_unit_test(test_work_of_what_is_over_is_refused),
        cmocka_unit_test(test_bundles_come_first),
        cmocka_unit_test(test_bundles_that_cannot_be_had_are_another_nodes_work),
        cmocka_unit_test(test_a_chore_is_cancelled_while_its_bundles_come),
        cmocka_unit_test(test_a_chore_that_fails_everywhere),
        cmocka_unit_test(test_a_module_is_given_up),
        cmocka_unit_test(test_a_plan_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
