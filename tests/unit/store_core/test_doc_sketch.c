/* What a sketch brings over is exactly what was missing. */
#include "node/store/doc_sketch.h"
#include "tests/unit/store_core/random_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct intake {
    struct doc *doc;
    size_t pieces;
};

static void take_piece(void *arg, const struct delta *piece)
{
    struct intake *self = arg;
    self->pieces++;
    join_piece(self->doc, piece);
}

/* One READ and its answer. Returns the number of pieces. */
static size_t pull(struct doc *to, const struct doc *from)
{
    owned_buf sketch = BUF_INIT;
    struct intake intake = {.doc = to};
    doc_sketch_encode(to, &sketch);
    assert_true(sketch.len <= DOC_SKETCH_MAX);
    doc_sketch_split(from, sketch.data, sketch.len, take_piece, &intake);
    return intake.pieces;
}

static void two_pulls_make_two_documents_equal(void **unused)
{
    (void)unused;
    struct rand rand;
    rand_init(&rand, 42);
    for (int round = 0; round < 500; round++) {
        owned_doc *a = random_doc(&rand), *b = random_doc(&rand);
        owned_doc *both = joined(a, b);
        pull(a, b);
        if (a->digest !=
            both->digest) /* sums that met others: the second exchange brings the rest */
            pull(a, b);
        pull(b, a);
        if (b->digest != both->digest)
            pull(b, a);
        if (a->digest != both->digest || b->digest != both->digest)
            fail_msg("round %d", round);
        assert_int_equal(pull(a, b), 0);
        assert_int_equal(pull(b, a), 0);
    }
}

static void one_result_more_costs_one_piece_with_one_result(void **unused)
{
    (void)unused;
    static const struct doc_module modules[4] = {{"a", 0}, {"b", 0}, {"c", 0}, {"d", 0}};
    struct doc_plan plan = {.ballot = {1, 1}, .modules = modules, .module_count = 4};
    plan.hash = doc_plan_hash(&plan);
    owned_doc *a = doc_new(1), *b = doc_new(1);
    struct delta planned = {.id = 1, .req = &random_req, .plans = &plan, .plan_count = 1};
    join_piece(a, &planned);
    join_piece(b, &planned);
    for (uint32_t m = 0; m < 4; m++) {
        struct doc_rec rec = {.plan = plan.hash, .m = m, .ballot = {1, 1}, .n = 1, .real = true};
        rec.outcome = DOC_PASSED;
        struct delta done = {.id = 1, .res = &rec, .res_count = 1};
        join_piece(a, &done);
        if (m != 2)
            join_piece(b, &done);
    }
    owned_doc *got = doc_new(1);
    owned_buf sketch = BUF_INIT;
    struct intake intake = {.doc = got};
    doc_sketch_encode(b, &sketch);
    doc_sketch_split(a, sketch.data, sketch.len, take_piece, &intake);
    assert_int_equal(intake.pieces, 1);
    assert_int_equal(got->res_count, 1);
    assert_null(got->req);
    assert_int_equal(pull(a, b), 0); /* b has less: nothing for a */
}

static void what_is_no_sketch_gets_everything(void **unused)
{
    (void)unused;
    struct rand rand;
    rand_init(&rand, 3);
    owned_doc *doc = doc_new(RANDOM_ID);
    for (int i = 0; i < 40; i++)
        random_step(&rand, doc);
    owned_buf sketch = BUF_INIT;
    doc_sketch_encode(doc, &sketch);
    for (size_t len = 0; len < sketch.len; len++) {
        owned_doc *got = doc_new(RANDOM_ID);
        struct intake intake = {.doc = got};
        doc_sketch_split(doc, sketch.data, len, take_piece, &intake);
        assert_true(got->digest == doc->digest);
    }
    for (int i = 0; i < 2000; i++) { /* whatever it says: no crash, and nothing but pieces of doc */
        sketch.data[rand_below(&rand, sketch.len)] ^= (char)(1u << rand_below(&rand, 8));
        owned_doc *got = doc_new(RANDOM_ID);
        struct intake intake = {.doc = got};
        doc_sketch_split(doc, sketch.data, sketch.len, take_piece, &intake);
        join_piece(got, &(struct delta){.id = RANDOM_ID});
        owned_doc *both = joined(got, doc);
        assert_true(both->digest == doc->digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_pulls_make_two_documents_equal),
        cmocka_unit_test(one_result_more_costs_one_piece_with_one_result),
        cmocka_unit_test(what_is_no_sketch_gets_everything),
    };
    return cmocka_run_group_tests_name("doc_sketch", tests, NULL, NULL);
}
