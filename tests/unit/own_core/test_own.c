/* Accepting, the acceptor's side, what people ask. */
#include "tests/unit/own_core/one_node.h"

/* ---- accepting ------------------------------------------------------------------------------- */

static void a_mesh_of_one_does_all_alone(void **unused)
{
    (void)unused;
    start(A, OWN_SOUND);
    submit(one);
    assert_null(last(one, OWN_ACCEPTED));
    durable(one);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 1);
    assert_int_equal(last(one, OWN_ACTIVE)->fence.epoch, 1);
    learn_results(one, 1);
    assert_null(last(one, OWN_FINAL));
    all_durable(one);
    assert_non_null(last(one, OWN_FINAL));
    assert_true(doc_is_final(the_doc(one)));
    assert_false(the_doc(one)->degraded);
    assert_null(sent_to(one, 0, WIRE_PUT));
    assert_int_equal(own_stats(one->own).open, 0);
}

static void accepted_means_that_every_replica_has_it(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_SOUND);
    submit(one);
    durable(one);
    assert_non_null(one->sent.req);
    says_ok(one, B, none);
    says_ok(one, B, none);
    assert_null(last(one, OWN_ACCEPTED));
    assert_null(last(one, OWN_ACTIVE));
    says_ok(one, C, none);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 3);
    assert_non_null(last(one, OWN_ACTIVE));
}

static void acknowledging_early_is_noticed(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_ACK_BEFORE_REPLICAS);
    submit(one);
    durable(one);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 3);
}

static void one_silent_replica_is_replaced_by_another_node(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_SOUND);
    submit(one);
    durable(one);
    says_ok(one, B, none);
    member(one, D, 1, OWN_ALIVE);
    pass(one, 1999);
    assert_int_equal(one->append_count, 0);
    pass(one, 2);
    durable(one);
    assert_int_equal(the_doc(one)->fence->ballot.epoch, OWN_REPLACED_EPOCH);
    assert_int_equal(the_doc(one)->fence->rep_count, 3);
    assert_null(last(one, OWN_ACCEPTED));
    says_ok(one, D, none);
    assert_null(last(one, OWN_ACCEPTED)); /* B has to know the new list too */
    says_ok(one, B, none);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 3);
}

static void the_list_gets_shorter_where_there_is_nobody_else(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_SOUND);
    submit(one);
    durable(one);
    says_ok(one, B, none);
    member(one, C, 1, OWN_DEAD); /* no need to wait */
    durable(one);
    says_ok(one, B, none);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 2);
}

static void two_silent_ones_are_too_many(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_SOUND);
    submit(one);
    durable(one);
    pass(one, 9999);
    assert_null(last(one, OWN_REFUSED));
    pass(one, 2);
    assert_int_equal(last(one, OWN_REFUSED)->why, OWN_TOO_LATE);
    all_durable(one);
    assert_true(the_doc(one)->cancel);
    learn_results(one, 1);
    pass(one, 100);
    says_ok(one, B, none); /* the promise of a majority: to end it */
    all_durable(one);
    assert_null(last(one, OWN_ACTIVE));
    says_ok(one, B, none);
    all_durable(one);
    assert_true(doc_is_final(the_doc(one)));
    assert_true(the_doc(one)->seal->cancelled);
}

static void alone_among_others_is_too_few(void **unused)
{
    (void)unused;
    start(A, OWN_SOUND);
    member(one, B, 1, OWN_DEAD);
    submit(one);
    assert_int_equal(last(one, OWN_REFUSED)->why, OWN_TOO_FEW);
    assert_int_equal(last(one, OWN_REFUSED)->retry_s, 2);
    assert_int_equal(one->append_count, 0);
    member(one, B, 1, OWN_LEFT); /* it said goodbye */
    submit(one);
    durable(one);
    assert_int_equal(last(one, OWN_ACCEPTED)->replicas, 1);
}

static void an_id_that_is_another_ones_is_refused(void **unused)
{
    (void)unused;
    start_with_peers(A, OWN_SOUND);
    submit(one);
    durable(one);
    says_low(one, B, WIRE_LOW_CONFLICT, none);
    assert_int_equal(last(one, OWN_REFUSED)->why, OWN_TAKEN);
    forget(one);
    pass(one, 100000);
    assert_int_equal(one->seen.count, 0); /* it keeps out of the other one's way */
    submit(one);
    assert_int_equal(last(one, OWN_REFUSED)->why, OWN_TAKEN);
}

/* ---- the acceptor ---------------------------------------------------------------------------- */

static void a_put_is_answered_when_it_is_durable(void **unused)
{
    (void)unused;
    start_with_peers(B, OWN_SOUND);
    struct delta delta = {.id = ID, .req = &one_req, .fence = one_fence(1, A, 1)};
    says_put(one, A, WIRE_PUT_SUBMIT, &delta);
    assert_null(sent_to(one, A, WIRE_PUT_OK));
    durable(one);
    assert_int_equal(sent_to(one, A, WIRE_PUT_OK)->put_ok.rid, 99);
    forget(one);
    says_put(one, A, WIRE_PUT_SUBMIT, &delta); /* again: the answer was lost */
    assert_non_null(sent_to(one, A, WIRE_PUT_OK));
    assert_int_equal(one->append_count, 0);
}

static void answering_before_it_is_durable_is_noticed(void **unused)
{
    (void)unused;
    start_with_peers(B, OWN_ACK_BEFORE_FSYNC);
    struct delta delta = {.id = ID, .req = &one_req, .fence = one_fence(1, A, 1)};
    says_put(one, A, WIRE_PUT_SUBMIT, &delta);
    assert_non_null(sent_to(one, A, WIRE_PUT_OK));
}

static void bundles_come_before_the_answer(void **unused)
{
    (void)unused;
    start_with_peers(B, OWN_SOUND);
    one->docs.lacks_blobs = true;
    struct delta delta = {.id = ID, .req = &one_req, .fence = one_fence(1, A, 1)};
    says_put(one, A, WIRE_PUT_SUBMIT, &delta);
    assert_int_equal(one->append_count, 0);
    assert_int_equal(last(one, OWN_FETCH)->blob_count, 1);
    assert_int_equal(last(one, OWN_FETCH)->peer, short_k(A));
    uint64_t token = last(one, OWN_FETCH)->token;
    tell(one, (struct own_event){.kind = OWN_FETCHED, .token = token, .is_ok = true});
    durable(one);
    assert_non_null(sent_to(one, A, WIRE_PUT_OK));
    delta.id++;
    says_put(one, A, WIRE_PUT_SUBMIT, &delta);
    token = last(one, OWN_FETCH)->token;
    tell(one, (struct own_event){.kind = OWN_FETCHED, .token = token});
    assert_int_equal(sent_to(one, A, WIRE_PUT_LOW)->put_low.why, WIRE_LOW_REFUSED);
}

/* C has claimed; the seal of the owner before it was long on its way. */
static bool delayed_seal_is_low(enum own_mutation mutation)
{
    on_disk(one, 1, A, 1);
    start_with_peers(B, mutation);
    says_put(one, C, WIRE_PUT_CLAIM, &(struct delta){.id = ID, .fence = one_fence(2, C, 1)});
    durable(one);
    assert_non_null(sent_to(one, C, WIRE_PUT_OK));
    struct doc_seal seal = {.ballot = {1, short_k(A)}, .gen = 1};
    struct delta put = {.id = ID, .fence = one_fence(1, A, 1), .seal = &seal};
    says_put(one, A, WIRE_PUT_SEAL, &put);
    all_durable(one);
    const struct wire_msg *low = sent_to(one, A, WIRE_PUT_LOW);
    assert_true(!low != !sent_to(one, A, WIRE_PUT_OK));
    if (low)
        assert_true(low->put_low.fence.epoch == 2 && low->put_low.fence.owner == short_k(C));
    return low != NULL;
}

static void a_promise_is_kept(void **unused)
{
    (void)unused;
    assert_true(delayed_seal_is_low(OWN_SOUND));
}

static void a_promise_that_is_not_kept_is_noticed(void **unused)
{
    (void)unused;
    assert_false(delayed_seal_is_low(OWN_NO_PROMISE));
}

/* Which of two came first is decided by the disk. */
static void a_promise_counts_from_when_it_is_durable(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    struct doc_seal seal = {.ballot = {1, short_k(A)}, .gen = 1};
    says_put(one, C, WIRE_PUT_CLAIM, &(struct delta){.id = ID, .fence = one_fence(2, C, 1)});
    says_put(one, A, WIRE_PUT_SEAL,
             &(struct delta){.id = ID, .fence = one_fence(1, A, 1), .seal = &seal});
    durable(one);
    durable(one);
    assert_non_null(sent_to(one, C, WIRE_PUT_OK));
    assert_non_null(sent_to(one, A, WIRE_PUT_LOW));
    assert_null(sent_to(one, A, WIRE_PUT_OK));
}

/* ---- people ---------------------------------------------------------------------------------- */

static void ask(uint64_t id)
{
    forget(one);
    tell(one, (struct own_event){.kind = OWN_ASK, .id = id, .token = 5});
}

static void what_is_asked_is_read_from_the_owner(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    ask(ID);
    assert_null(last(one, OWN_ANSWER));
    struct doc_plan plan = one_plan();
    says_doc(one, A, &(struct delta){.id = ID, .plans = &plan, .plan_count = 1});
    assert_null(last(one, OWN_ANSWER));
    all_durable(one);
    assert_true(last(one, OWN_ANSWER)->is_ok);
    assert_int_equal(last(one, OWN_ANSWER)->stale_ms, 0);
    assert_int_equal(last(one, OWN_ANSWER)->token, 5);
    ask(ID);
    pass(one, 600); /* it does not answer */
    assert_int_equal(last(one, OWN_ANSWER)->stale_ms, 500);
}

static void what_is_unknown_is_asked_of_who_would_keep_it(void **unused)
{
    (void)unused;
    start_with_peers(B, OWN_SOUND);
    ask(ID);
    says_doc(one, A, NULL);
    assert_null(last(one, OWN_ANSWER));
    says_doc(one, C, &(struct delta){.id = ID, .req = &one_req, .fence = one_fence(1, C, 1)});
    all_durable(one);
    assert_true(last(one, OWN_ANSWER)->is_ok);
    ask(ID + 1);
    pass(one, 400);
    assert_false(last(one, OWN_ANSWER)->is_ok);
}

static void a_wish_to_end_it_is_durable_and_goes_to_the_owner(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    tell(one, (struct own_event){.kind = OWN_CANCEL, .id = ID, .token = 8});
    assert_null(last(one, OWN_CANCELLED));
    durable(one);
    assert_true(last(one, OWN_CANCELLED)->is_ok);
    assert_int_equal(sent_to(one, A, WIRE_PUT)->put.kind, WIRE_PUT_CANCEL);
    tell(one, (struct own_event){.kind = OWN_CANCEL, .id = ID + 1, .token = 9});
    assert_false(last(one, OWN_CANCELLED)->is_ok);
}

static void nonsense_is_counted(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    struct wire_msg put = {.kind = WIRE_PUT};
    put.put = (struct wire_put){.rid = 1, .eid = ID, .kind = WIRE_PUT_CLAIM};
    says(one, A, put);                                                           /* no delta */
    says_put(one, A, WIRE_PUT_CLAIM, &(struct delta){.id = ID, .cancel = true}); /* no fence */
    says(one, A, (struct wire_msg){.kind = WIRE_OFFER});
    says(one, B, put); /* from itself */
    assert_int_equal(own_stats(one->own).ignored, 4);
    assert_int_equal(one->append_count, 0);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(a_mesh_of_one_does_all_alone),
        STORY(accepted_means_that_every_replica_has_it),
        STORY(acknowledging_early_is_noticed),
        STORY(one_silent_replica_is_replaced_by_another_node),
        STORY(the_list_gets_shorter_where_there_is_nobody_else),
        STORY(two_silent_ones_are_too_many),
        STORY(alone_among_others_is_too_few),
        STORY(an_id_that_is_another_ones_is_refused),
        STORY(a_put_is_answered_when_it_is_durable),
        STORY(answering_before_it_is_durable_is_noticed),
        STORY(bundles_come_before_the_answer),
        STORY(a_promise_is_kept),
        STORY(a_promise_that_is_not_kept_is_noticed),
        STORY(a_promise_counts_from_when_it_is_durable),
        STORY(what_is_asked_is_read_from_the_owner),
        STORY(what_is_unknown_is_asked_of_who_would_keep_it),
        STORY(a_wish_to_end_it_is_durable_and_goes_to_the_owner),
        STORY(nonsense_is_counted),
    };
    return cmocka_run_group_tests_name("own", tests, NULL, NULL);
}
