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

struct kinds {
    struct doc *doc;
    size_t sources, plans, others;
};

static void count_kind(void *arg, const struct delta *piece)
{
    struct kinds *self = arg;
    self->sources += piece->source_count;
    self->plans += piece->plan_count;
    self->others += !piece->source_count && !piece->plan_count;
    join_piece(self->doc, piece);
}

static struct kinds pull_kinds(struct doc *to, const struct doc *from)
{
    owned_buf sketch = BUF_INIT;
    struct kinds kinds = {.doc = to};
    doc_sketch_encode(to, &sketch);
    doc_sketch_split(from, sketch.data, sketch.len, count_kind, &kinds);
    return kinds;
}

static void a_source_more_brings_no_plan_again(void **unused)
{
    (void)unused;
    struct doc_source source = {.p = 3,
                                .ballot = {1, 1},
                                .source = "https://github.com/x/z/tree/5",
                                .bundle = {{5}},
                                .tree = {{5}}};
    struct doc_plan five = {.p = 3, .ballot = {1, 1}, .tree = {{5}}, .modules = random_modules};
    struct doc_plan six = {.p = 3, .ballot = {1, 1}, .tree = {{6}}, .modules = random_modules};
    owned_doc *a = doc_new(1), *b = doc_new(1);
    struct delta first = {.id = 1,
                          .req = &random_req,
                          .sources = &source,
                          .source_count = 1,
                          .plans = &five,
                          .plan_count = 1};
    join_piece(a, &first);
    struct kinds all = pull_kinds(b, a);
    assert_true(all.sources == 1 && all.plans == 1 && all.others == 1);
    source.ballot.epoch = 2; /* cloned again: the same commit */
    join_piece(a, &(struct delta){.id = 1, .sources = &source, .source_count = 1});
    struct kinds again = pull_kinds(b, a);
    assert_true(again.sources == 1 && again.plans == 0 && again.others == 0);
    join_piece(a,
               &(struct delta){.id = 1, .plans = &six, .plan_count = 1}); /* counts for nothing */
    struct kinds other = pull_kinds(b, a);
    assert_true(other.sources == 0 && other.plans == 2 && other.others == 0);
    assert_true(a->digest == b->digest);
}

/* Nodes of the version before read no other. */
static void without_sources_a_sketch_is_as_before(void **unused)
{
    (void)unused;
    struct doc_plan plan = {.p = 1, .ballot = {1, 1}, .modules = random_modules, .module_count = 3};
    owned_doc *doc = doc_new(1);
    owned_buf sketch = BUF_INIT;
    join_piece(doc, &(struct delta){.id = 1, .req = &random_req, .plans = &plan, .plan_count = 1});
    doc_sketch_encode(doc, &sketch);
    assert_int_equal(sketch.len,
                     1 + 1 + 4 * 8 + 4 + random_req.project_count * (4 + 4 * 8 + 4) + 3 * 2);
    assert_int_equal(sketch.data[0], 1);
    assert_int_equal(sketch.data[1], 0);
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
        cmocka_unit_test(a_source_more_brings_no_plan_again),
        cmocka_unit_test(without_sources_a_sketch_is_as_before),
        cmocka_unit_test(what_is_no_sketch_gets_everything),
    };
    return cmocka_run_group_tests_name("doc_sketch", tests, NULL, NULL);
}
