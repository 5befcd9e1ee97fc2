/* Claiming, sealing, and what happens without a majority. */
#include "tests/unit/own_core/one_node.h"

/* ---- claiming -------------------------------------------------------------------------------- */

/* B believes that the dead A owns it; C knows that it is its own now. */
static bool claims_over_the_living(enum own_mutation mutation)
{
    on_disk(one, 1, A, 1);
    start_with_peers(B, mutation);
    synced(one, C);
    pass(one, 4000);
    member(one, A, 1, OWN_DEAD);
    pass(one, 300);
    if (sent_to(one, C, WIRE_READ)) {
        assert_int_equal(one->append_count, 0);
        says_doc(one, C, &(struct delta){.id = ID, .fence = one_fence(2, C, 1)});
        all_durable(one);
        pass(one, 5000);
    }
    return one->append_count > 0 || the_doc(one)->fence->ballot.owner == short_k(B);
}

static void who_would_claim_asks_the_replicas_first(void **unused)
{
    (void)unused;
    assert_false(claims_over_the_living(OWN_SOUND));
}

static void claiming_without_asking_is_noticed(void **unused)
{
    (void)unused;
    assert_true(claims_over_the_living(OWN_NO_PREREAD_NO_GRACE));
}

static bool claims_right_after_boot(enum own_mutation mutation)
{
    on_disk(one, 1, A, 1);
    start_with_peers(B, mutation);
    member(one, A, 1, OWN_DEAD);
    pass(one, 2900);
    bool early = own_stats(one->own).claims > 0;
    if (!early) {
        pass(one, 5000); /* C is there, and nothing was heard of what it has */
        assert_int_equal(own_stats(one->own).claims, 0);
        synced(one, C);
        pass(one, 300);
        assert_int_equal(own_stats(one->own).claims, 1);
    }
    return early;
}

static void who_just_came_learns_before_he_claims(void **unused)
{
    (void)unused;
    assert_false(claims_right_after_boot(OWN_SOUND));
}

static void claiming_right_after_boot_is_noticed(void **unused)
{
    (void)unused;
    assert_true(claims_right_after_boot(OWN_NO_PREREAD_NO_GRACE));
}

/* Brings B to where its claim has gone out to C. A is dead. */
static void claim(enum own_mutation mutation)
{
    on_disk(one, 1, A, 1);
    start_with_peers(B, mutation);
    synced(one, C);
    pass(one, 4000);
    member(one, A, 1, OWN_DEAD);
    pass(one, 300);
    if (sent_to(one, C, WIRE_READ))
        says_doc(one, C, &(struct delta){.id = ID});
    all_durable(one);
    assert_int_equal(the_doc(one)->fence->ballot.epoch, 2);
    assert_true(the_doc(one)->fence->ballot.owner == short_k(B));
    assert_int_equal(the_doc(one)->fence->gen, 7);
}

static void a_claim_is_sent_until_it_is_answered(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    for (int i = 0; i < 3; i++) {
        forget(one);
        pass(one, 8000);
        assert_non_null(sent_to(one, C, WIRE_PUT));
        assert_null(last(one, OWN_ACTIVE));
    }
    says_ok(one, C, none);
    assert_int_equal(last(one, OWN_ACTIVE)->fence.epoch, 2);
    assert_non_null(last(one, OWN_NEWS));
    forget(one);
    pass(one, 60000);
    assert_null(sent_to(one, C, WIRE_PUT));
}

/* C has accepted a seal of A with other results than B counts. */
static uint32_t passed_in_the_seal(enum own_mutation mutation)
{
    claim(mutation);
    says_ok(one, C, (struct doc_ballot){1, short_k(A)});
    if (mutation == OWN_SOUND) {
        assert_null(last(one, OWN_ACTIVE)); /* not before it knows what C has accepted */
        struct doc_plan plan = one_plan();
        struct doc_rec vec[2] = {one_rec(0, 1), one_rec(1, 1)};
        struct doc_seal seal = {.ballot = {1, short_k(A)},
                                .gen = 1,
                                .plans = &plan,
                                .plan_count = 1,
                                .vec = vec,
                                .vec_count = 2};
        says_doc(one, C, &(struct delta){.id = ID, .seal = &seal});
        all_durable(one);
        says_ok(one, C, (struct doc_ballot){1, short_k(A)});
    }
    learn_results(one, 9);
    all_durable(one);
    const struct doc *doc = the_doc(one);
    assert_int_equal(doc->seal->ballot.epoch, 2);
    assert_null(last(one, OWN_FINAL));
    says_ok(one, C, doc->seal->ballot);
    all_durable(one);
    assert_non_null(last(one, OWN_FINAL));
    return doc_counted(doc, 0, 0)->tally.passed;
}

static void what_may_be_committed_is_adopted(void **unused)
{
    (void)unused;
    assert_int_equal(passed_in_the_seal(OWN_SOUND), 1);
}

static void not_adopting_is_noticed(void **unused)
{
    (void)unused;
    assert_int_equal(passed_in_the_seal(OWN_NO_ADOPTION), 9);
}

static void a_higher_fence_ends_it(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    says_ok(one, C, none);
    learn(one, &(struct delta){.id = ID, .fence = one_fence(2, C, 1)});
    assert_non_null(last(one, OWN_STEPPED_DOWN));
    assert_false(own_is_active(one->own, ID, NULL));
    forget(one);
    pass(one, 60000);
    assert_int_equal(one->append_count, 0);
    assert_null(sent_to(one, C, WIRE_PUT));
}

static void so_do_a_low_and_a_rumor(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    says_ok(one, C, none);
    learn_results(one, 1);
    all_durable(one);
    says_low(one, C, WIRE_LOW_FENCE, (struct doc_ballot){3, short_k(C)});
    assert_non_null(last(one, OWN_STEPPED_DOWN));
    assert_non_null(sent_to(one, C, WIRE_READ));
    tell(one, (struct own_event){.kind = OWN_HEARD, .id = ID, .fence = {4, short_k(C)}});
    pass(one, 60000);
    assert_null(last(one, OWN_FINAL));
    member(one, C, 1, OWN_DEAD); /* then above what was heard of */
    pass(one, 20000);
    all_durable(one);
    assert_int_equal(the_doc(one)->fence->ballot.epoch, 5);
}

/* ---- without a majority ---------------------------------------------------------------------- */

static void alone_for_half_a_minute_acts_and_says_so(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    member(one, C, 1, OWN_DEAD);
    pass(one, 29000);
    assert_null(last(one, OWN_ACTIVE));
    pass(one, 1100);
    assert_non_null(last(one, OWN_ACTIVE));
    learn_results(one, 1);
    all_durable(one);
    assert_true(doc_is_final(the_doc(one)));
    assert_true(the_doc(one)->degraded);
}

static void the_wait_begins_anew_with_the_seal(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    says_ok(one, C, none);
    member(one, C, 1, OWN_DEAD);
    pass(one, 100000);
    learn_results(one, 1);
    all_durable(one);
    pass(one, 29000);
    assert_false(doc_is_final(the_doc(one)));
    pass(one, 1100);
    all_durable(one);
    assert_true(doc_is_final(the_doc(one)));
    assert_true(the_doc(one)->degraded);
}

/* Replicas A and B; A's process is known not to run. */
static bool decides_as_the_last_of_two(bool was_synced)
{
    unsigned changed;
    struct doc_fence fence = *one_fence(1, A, 1);
    fence.rep_count = 2;
    struct delta delta = {.id = ID, .req = &one_req, .fence = &fence};
    assert_int_equal(fake_apply(&one->docs, &delta, &changed), 0);
    start(B, OWN_SOUND);
    member(one, A, 1, OWN_ALIVE);
    if (was_synced)
        synced(one, A);
    tell(one, (struct own_event){
                  .kind = OWN_MEMBER,
                  .member = {.node = node_k(A), .gen = 1, .state = OWN_DEAD, .is_refused = true}});
    pass(one, 10000);
    all_durable(one);
    learn_results(one, 1);
    all_durable(one);
    assert_false(the_doc(one)->degraded);
    return doc_is_final(the_doc(one));
}

static void the_last_of_two_decides_if_it_knows_all(void **unused)
{
    (void)unused;
    assert_true(decides_as_the_last_of_two(true));
}

static void the_last_of_two_waits_if_it_may_not_know_all(void **unused)
{
    (void)unused;
    assert_false(decides_as_the_last_of_two(false));
}

/* ---- lives ----------------------------------------------------------------------------------- */

static void its_own_of_an_earlier_life_is_claimed_anew(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 6);
    start_with_peers(A, OWN_SOUND);
    learn_results(one, 1);
    pass(one, 2900);
    assert_int_equal(one->append_count, 0);
    synced(one, B);
    pass(one, 200);
    says_doc(one, B, NULL);
    says_doc(one, C, NULL);
    all_durable(one);
    assert_int_equal(the_doc(one)->fence->ballot.epoch, 2);
    assert_int_equal(the_doc(one)->fence->gen, 7);
}

static void others_wait_for_an_owner_that_came_back(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    synced(one, C);
    pass(one, 4000);
    member(one, A, 2, OWN_ALIVE);
    pass(one, 5000);
    assert_int_equal(own_stats(one->own).claims, 0);
    pass(one, 3000);
    assert_int_equal(own_stats(one->own).claims, 1);
}

static void who_leaves_names_a_successor(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    says_ok(one, C, none);
    forget(one);
    tell(one, (struct own_event){.kind = OWN_LEAVE});
    assert_non_null(last(one, OWN_STEPPED_DOWN));
    assert_null(last(one, OWN_HANDED_OVER));
    all_durable(one);
    assert_true(the_doc(one)->fence->ballot.owner == short_k(C));
    assert_int_equal(the_doc(one)->fence->gen, 0); /* no life of its has minted it */
    says_ok(one, C, none);
    assert_non_null(last(one, OWN_HANDED_OVER));
    submit(one);
    assert_int_equal(last(one, OWN_REFUSED)->why, OWN_LEAVING);
}

static void a_named_successor_claims_at_once(void **unused)
{
    (void)unused;
    on_disk(one, 1, A, 1);
    start_with_peers(B, OWN_SOUND);
    synced(one, C);
    pass(one, 4000);
    says_put(one, A, WIRE_PUT_CLAIM, &(struct delta){.id = ID, .fence = one_fence(2, B, 7)});
    all_durable(one);
    pass(one, 2500);
    all_durable(one);
    assert_int_equal(the_doc(one)->fence->ballot.epoch, 3);
}

static void an_owner_seals_what_is_cancelled(void **unused)
{
    (void)unused;
    claim(OWN_SOUND);
    says_ok(one, C, none);
    learn(one, &(struct delta){.id = ID, .cancel = true});
    all_durable(one);
    says_ok(one, C, (struct doc_ballot){2, short_k(B)});
    all_durable(one);
    assert_true(doc_is_final(the_doc(one)) && the_doc(one)->seal->cancelled);
    assert_non_null(last(one, OWN_STEPPED_DOWN));
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(who_would_claim_asks_the_replicas_first),
        STORY(claiming_without_asking_is_noticed),
        STORY(who_just_came_learns_before_he_claims),
        STORY(claiming_right_after_boot_is_noticed),
        STORY(a_claim_is_sent_until_it_is_answered),
        STORY(what_may_be_committed_is_adopted),
        STORY(not_adopting_is_noticed),
        STORY(a_higher_fence_ends_it),
        STORY(so_do_a_low_and_a_rumor),
        STORY(alone_for_half_a_minute_acts_and_says_so),
        STORY(the_wait_begins_anew_with_the_seal),
        STORY(the_last_of_two_decides_if_it_knows_all),
        STORY(the_last_of_two_waits_if_it_may_not_know_all),
        STORY(its_own_of_an_earlier_life_is_claimed_anew),
        STORY(others_wait_for_an_owner_that_came_back),
        STORY(who_leaves_names_a_successor),
        STORY(a_named_successor_claims_at_once),
        STORY(an_owner_seals_what_is_cancelled),
    };
    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
