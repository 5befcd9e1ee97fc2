#include "tests/unit/store_core/random_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed;

/* Equal documents have equal digests, and different ones different ones (I5). */
static void assert_same(const struct doc *a, const struct doc *b, const char *law, uint64_t round)
{
    owned_mem char *x = text_of_doc(a), *y = text_of_doc(b);
    if (strcmp(x, y) != 0 || a->digest != b->digest)
        fail_msg("%s: SEED=%llu round %llu\n%s\n%s", law, (unsigned long long)seed,
                 (unsigned long long)round, x, y);
}

static void the_join_is_a_semilattice(void **unused)
{
    (void)unused;
    const char *more = getenv("TESTMESH_TRIPLES");
    uint64_t rounds = more ? strtoull(more, NULL, 10) : 400;
    const char *given = getenv("SEED");
    seed = given ? strtoull(given, NULL, 10) : 20261121;
    printf("SEED=%llu\n", (unsigned long long)seed);
    struct rand rand;
    rand_init(&rand, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        owned_doc *a = random_doc(&rand), *b = random_doc(&rand), *c = random_doc(&rand);
        owned_doc *ab = joined(a, b), *ba = joined(b, a), *bc = joined(b, c);
        owned_doc *ab_c = joined(ab, c), *a_bc = joined(a, bc), *aa = joined(a, a);
        owned_doc *again = joined(ab, b);
        assert_same(aa, a, "idempotent", round);
        assert_same(ab, ba, "commutative", round);
        assert_same(ab_c, a_bc, "associative", round);
        assert_same(again, ab, "absorbing", round);
        owned_mem char *x = text_of_doc(a), *y = text_of_doc(b);
        assert_int_equal(strcmp(x, y) == 0, a->digest == b->digest);
    }
}

static void a_document_reads_as_it_was_written(void **unused)
{
    (void)unused;
    struct rand rand;
    rand_init(&rand, 7);
    for (int round = 0; round < 300; round++) {
        owned_doc *doc = random_doc(&rand);
        owned_mem char *text = text_of_doc(doc);
        struct err err = ERR_INIT;
        owned_doc *back = doc_decode(text, strlen(text), &err);
        if (!back)
            fail_msg("%s\n%s", err.text, text);
        assert_same(doc, back, "codec", (uint64_t)round);
    }
}

static void encode_and_join(void *to, const struct delta *piece)
{
    owned_buf text = BUF_INIT;
    delta_encode(piece, &text);
    struct err err = ERR_INIT;
    owned_delta back = {0};
    if (delta_decode(buf_str(&text), text.len, &back, &err))
        fail_msg("%s", err.text);
    owned_buf again = BUF_INIT;
    delta_encode(&back, &again);
    assert_string_equal(buf_str(&text), buf_str(&again));
    join_piece(to, &back);
}

static void deltas_read_as_they_were_written(void **unused)
{
    (void)unused;
    struct rand rand;
    rand_init(&rand, 8);
    for (int round = 0; round < 300; round++) {
        owned_doc *doc = random_doc(&rand);
        owned_doc *back = doc_new(doc->id);
        doc_split(doc, encode_and_join, back);
        assert_same(doc, back, "split", (uint64_t)round);
    }
}

/* ---- the stories ----------------------------------------------------------------------------- */

static struct doc *doc;

static int set_up(void **unused)
{
    (void)unused;
    doc = doc_new(RANDOM_ID);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    doc_free(doc);
    return 0;
}

static unsigned apply(struct delta delta)
{
    unsigned changed;
    struct err err = ERR_INIT;
    delta.id = RANDOM_ID;
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), 0);
    return changed;
}

static void planned(uint32_t p, size_t modules)
{
    struct doc_plan plan = {
        .p = p, .ballot = {1, 10}, .modules = random_modules, .module_count = modules};
    apply((struct delta){.plans = &plan, .plan_count = 1});
}

/* Project 3 of the request, which is a repository. */
static unsigned cloned(struct doc_source source)
{
    source.p = 3;
    return apply((struct delta){.sources = &source, .source_count = 1});
}

static struct doc_rec result(uint32_t m, uint32_t n, uint32_t passed)
{
    return (struct doc_rec){.plan = doc_plan(doc, 0)->hash,
                            .m = m,
                            .ballot = {1, 10},
                            .n = n,
                            .node = 1,
                            .addr = "a:1",
                            .real = true,
                            .outcome = DOC_PASSED,
                            .tally = {.passed = passed}};
}

static unsigned hear(struct doc_rec rec)
{
    return apply((struct delta){.res = &rec, .res_count = 1});
}

static void another_request_under_the_same_id_is_refused(void **unused)
{
    (void)unused;
    assert_int_equal(apply((struct delta){.req = &random_req}), DOC_CHANGED_REQ);
    assert_int_equal(apply((struct delta){.req = &random_req}), 0);
    struct doc_req other = random_req;
    other.body.bytes[3] = 1;
    uint64_t before = doc->digest;
    unsigned changed;
    struct err err = ERR_INIT;
    struct delta delta = {.id = RANDOM_ID, .req = &other, .cancel = true};
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), ERR_CONFLICT);
    assert_true(doc->digest == before && !doc->cancel);
}

static void a_real_result_beats_a_given_up_one_and_the_first_attempt_the_second(void **unused)
{
    (void)unused;
    planned(0, 1);
    struct doc_rec lost = result(0, 1, 0);
    lost.real = false;
    lost.outcome = DOC_LOST;
    lost.ballot.epoch = 9;
    assert_int_equal(hear(lost), DOC_CHANGED_RES);
    assert_int_equal(hear(result(0, 2, 5)), DOC_CHANGED_RES);
    assert_int_equal(hear(lost), 0);
    assert_int_equal(hear(result(0, 1, 4)), DOC_CHANGED_RES);
    assert_int_equal(hear(result(0, 2, 5)), 0);
    struct doc_rec newer = result(0, 3, 3);
    newer.ballot.epoch = 2;
    assert_int_equal(hear(newer), DOC_CHANGED_RES);
    assert_int_equal(doc_counted(doc, 0, 0)->tally.passed, 3);
}

static void a_late_result_changes_nothing_that_was_sealed(void **unused)
{
    (void)unused;
    apply((struct delta){.req = &random_req});
    planned(0, 2);
    hear(result(0, 2, 5));
    hear(result(1, 1, 6));
    owned_delta seal = {0};
    doc_make_seal(doc, (struct doc_ballot){1, 10}, 100, 1, &seal);
    apply(seal);
    hear(result(0, 1, 1)); /* a better record: the first attempt */
    assert_int_equal(doc_result(doc, 0, 0)->tally.passed, 1);
    assert_int_equal(doc_counted(doc, 0, 0)->tally.passed, 5);
    assert_false(doc_is_final(doc));
    apply((struct delta){.com = {1, 10}});
    assert_true(doc_is_final(doc));
    owned_delta later = {0};
    doc_make_seal(doc, (struct doc_ballot){2, 11}, 200, 9, &later); /* must adopt */
    apply(later);
    assert_int_equal(doc->seal->ballot.epoch, 2);
    assert_int_equal(doc_counted(doc, 0, 0)->tally.passed, 5);
    assert_int_equal(doc->seal->at_ms, 1);
}

static void results_may_come_before_their_plan(void **unused)
{
    (void)unused;
    planned(0, 2);
    struct doc_rec early = result(1, 1, 8);
    doc_free(doc);
    doc = doc_new(RANDOM_ID);
    hear(early);
    assert_null(doc_counted(doc, 0, 1));
    planned(0, 2);
    assert_int_equal(doc_counted(doc, 0, 1)->tally.passed, 8);
}

static void complete_means_that_every_planned_module_has_a_record(void **unused)
{
    (void)unused;
    assert_false(doc_is_complete(doc));
    apply((struct delta){.req = &random_req}); /* the third project cannot be run at all */
    planned(0, 1);
    assert_false(doc_is_complete(doc));
    cloned((struct doc_source){.ballot = {1, 10}, .failure = "gone"});
    struct doc_plan failed = {.p = 1,
                              .ballot = {1, 10},
                              .setup = {.outcome = DOC_SETUP_FAILED, .blame = DOC_BLAME_PROJECT},
                              .modules = random_modules,
                              .module_count = 3};
    apply((struct delta){.plans = &failed, .plan_count = 1});
    assert_false(doc_is_complete(doc));
    hear(result(0, 1, 1));
    assert_true(doc_is_complete(doc));
}

static void text_is_repaired_and_cut(void **unused)
{
    (void)unused;
    planned(0, 1);
    char longest[DOC_TEXT_MAX + 100];
    memset(longest, 'x', sizeof longest - 1);
    memcpy(longest + DOC_TEXT_MAX - 1, "\303\251", 2); /* would be cut in two */
    longest[sizeof longest - 1] = '\0';
    struct doc_rec rec = result(0, 1, 1);
    rec.message = longest;
    hear(rec);
    assert_int_equal(strlen(doc_counted(doc, 0, 0)->message), DOC_TEXT_MAX - 1);
}

#define HASH "0500000000000000000000000000000000000000000000000000000000000000"
#define SOURCE(more)                                                                               \
    "{\"id\":1,\"sources\":[{\"epoch\":1,\"owner\":\"0000000000000001\","                          \
    "\"hash\":\"0000000000000001\"," more "}]}"

static void lists_over_their_limit_are_refused(void **unused)
{
    (void)unused;
    owned_buf text = BUF_INIT;
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    buf_puts(&text, "{\"id\":1,\"sources\":[{\"epoch\":1,\"owner\":\"0000000000000001\",\"hash\":"
                    "\"0000000000000001\",\"source\":\"u\",\"failure\":\"f\",\"ignored\":[");
    for (int i = 0; i <= DOC_SOURCE_ROWS_MAX; i++)
        buf_puts(&text, i ? ",{\"path\":\"a\",\"why\":\"b\"}" : "{\"path\":\"a\",\"why\":\"b\"}");
    buf_puts(&text, "]}]}");
    assert_int_equal(delta_decode(buf_str(&text), text.len, &delta, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "\"ignored\""));
}

/* What of one project is there twice, and what is not in order, could count in two ways. */
static void sources_of_a_seal_are_in_order(void **unused)
{
    (void)unused;
    struct doc_source twice[2] = {{.p = 1, .ballot = {1, 1}, .source = "u", .failure = "f"},
                                  {.p = 1, .ballot = {1, 1}, .source = "u", .failure = "f"}};
    for (size_t i = 0; i < 2; i++)
        twice[i].hash = doc_source_hash(&twice[i]);
    struct doc_seal seal = {.ballot = {1, 1}, .sources = twice, .source_count = 2};
    owned_buf text = BUF_INIT;
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    delta_encode(&(struct delta){.id = 1, .seal = &seal}, &text);
    assert_int_equal(delta_decode(buf_str(&text), text.len, &delta, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"sources\""));
}

static void bad_deltas_are_refused_by_name(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *names;
    } bad[] = {
        {"{}", "id"},
        {"{\"id\":0}", "id"},
        {"{\"id\":9007199254740992}", "id"},
        {"{\"id\":1,\"res\":{}}", "res"},
        {"{\"id\":1,\"res\":[{\"p\":4096}]}", "p"},
        {"{\"id\":1,\"com\":{\"epoch\":1,\"owner\":\"1\"}}", "owner"},
        {"{\"id\":1,\"com\":{\"epoch\":0,\"owner\":\"0000000000000001\"}}", "epoch"},
        {"{\"id\":1,\"fence\":{\"epoch\":1,\"owner\":\"0000000000000001\",\"reps\":[1]}}", "reps"},
        {"{\"id\":1,\"req\":{\"kind\":\"rar\"}}", "kind"},
        {"{\"id\":1,\"plans\":[{\"p\":0,\"epoch\":1,\"owner\":\"0000000000000001\","
         "\"hash\":\"0000000000000001\",\"modules\":[]}]}",
         "hash"},
        {"{\"id\":1,\"cancel\":1}", "cancel"},
        {"{\"id\":1,\"sources\":1}", "sources"},
        {SOURCE("\"p\":4096"), "p"},
        {SOURCE("\"p\":0"), "source"},
        {SOURCE("\"source\":\"u\""), "bundle"},
        {SOURCE("\"source\":\"u\",\"failure\":\"f\",\"bundle\":\"" HASH "\""), "bundle"},
        {SOURCE("\"source\":\"u\",\"bundle\":\"" HASH "\""), "tree"},
        {SOURCE("\"source\":\"u\",\"failure\":\"f\",\"tree\":\"" HASH "\""), "tree"},
        {SOURCE("\"source\":\"u\",\"failure\":\"f\""), "hash"},
        {SOURCE("\"source\":\"u\",\"failure\":\"f\",\"ignored\":{}"), "ignored"},
        {SOURCE("\"source\":\"u\",\"failure\":\"f\",\"remarks\":[1]"), "path"},
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct err err = ERR_INIT;
        owned_delta delta = {0};
        owned_mem char *name = mem_printf("\"%s\"", bad[i].names);
        assert_int_equal(delta_decode(bad[i].text, strlen(bad[i].text), &delta, &err), ERR_INVALID);
        if (!strstr(err.text, name))
            fail_msg("%s does not name %s", err.text, name);
    }
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_join_is_a_semilattice),
        cmocka_unit_test(a_document_reads_as_it_was_written),
        cmocka_unit_test(deltas_read_as_they_were_written),
        STORY(another_request_under_the_same_id_is_refused),
        STORY(a_real_result_beats_a_given_up_one_and_the_first_attempt_the_second),
        STORY(a_late_result_changes_nothing_that_was_sealed),
        STORY(results_may_come_before_their_plan),
        STORY(complete_means_that_every_planned_module_has_a_record),
        STORY(text_is_repaired_and_cut),
        cmocka_unit_test(bad_deltas_are_refused_by_name),
        cmocka_unit_test(lists_over_their_limit_are_refused),
        cmocka_unit_test(sources_of_a_seal_are_in_order),
    };
    return cmocka_run_group_tests_name("doc", tests, NULL, NULL);
}
