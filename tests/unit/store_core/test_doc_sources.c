/* Repositories: what a document says before they are cloned, when two owners cloned two commits,
 * and after. Project 3 of the request is one that is to be cloned. */
#include "tests/unit/store_core/random_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define P 3

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
    bool has = doc_has(doc, &delta);
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), 0);
    assert_int_equal(has, changed == 0);
    assert_true(doc_has(doc, &delta));
    return changed;
}

static void submitted(void) { apply((struct delta){.req = &random_req}); }

/* The source that is a commit with this first byte of its tree. */
static struct doc_source commit(uint32_t epoch, uint8_t tree)
{
    return (struct doc_source){.p = P,
                               .ballot = {epoch, 10},
                               .source = tree == 5 ? "https://github.com/x/z/tree/5555"
                                                   : "https://github.com/x/z/tree/6666",
                               .bundle = {{tree, 1}},
                               .tree = {{tree}},
                               .bytes = 100u + tree,
                               .files = 2};
}

static unsigned cloned(struct doc_source source)
{
    return apply((struct delta){.sources = &source, .source_count = 1});
}

static struct doc_plan plan_of(uint32_t epoch, uint8_t tree, size_t modules)
{
    return (struct doc_plan){.p = P,
                             .ballot = {epoch, 10},
                             .tree = {{tree}},
                             .modules = random_modules,
                             .module_count = modules};
}

static unsigned planned(struct doc_plan plan)
{
    return apply((struct delta){.plans = &plan, .plan_count = 1});
}

static unsigned ended(const struct doc_plan *plan, uint32_t m)
{
    struct doc_rec rec = {.p = P,
                          .plan = doc_plan_hash(plan),
                          .m = m,
                          .ballot = {1, 10},
                          .n = 1,
                          .node = 1,
                          .addr = "a:1",
                          .real = true,
                          .outcome = DOC_PASSED};
    return apply((struct delta){.res = &rec, .res_count = 1});
}

static void sealed(uint32_t epoch)
{
    owned_delta seal = {0};
    doc_make_seal(doc, (struct doc_ballot){epoch, 10}, 100, 1, &seal);
    apply(seal);
}

static struct doc_project project(void)
{
    struct doc_project out;
    doc_project(doc, P, &out);
    return out;
}

static void a_repository_is_open_until_its_source_is_known(void **unused)
{
    (void)unused;
    submitted();
    assert_true(doc_is_uncloned(doc, P));
    for (uint32_t p = 0; p < P; p++) /* these have a bundle or a failure */
        assert_false(doc_is_uncloned(doc, p));
    assert_null(doc_source(doc, P));
    assert_string_equal(project().source, "https://github.com/x/z");
    assert_false(doc_project_is_complete(doc, P));
    assert_int_equal(cloned(commit(1, 5)), DOC_CHANGED_SOURCE);
    assert_int_equal(cloned(commit(1, 5)), 0);
    assert_false(doc_is_uncloned(doc, P));
    assert_string_equal(project().name, "dan");
    assert_string_equal(project().source, "https://github.com/x/z/tree/5555");
    assert_int_equal(project().bundle.bytes[0], 5);
    assert_int_equal(project().tree.bytes[0], 5);
    assert_int_equal(project().bytes, 105);
    assert_int_equal(project().files, 2);
    assert_null(project().failure);
    assert_false(doc_project_is_complete(doc, P));
}

static void what_cannot_be_cloned_is_complete(void **unused)
{
    (void)unused;
    submitted();
    cloned((struct doc_source){.p = P,
                               .ballot = {1, 10},
                               .source = "https://github.com/x/z",
                               .failure = "no such repository",
                               .is_clusters = true});
    assert_false(doc_is_uncloned(doc, P));
    assert_string_equal(project().failure, "no such repository");
    assert_true(project().is_clusters);
    assert_true(doc_project_is_complete(doc, P));
}

static void nothing_is_planned_of_what_is_not_cloned(void **unused)
{
    (void)unused;
    struct doc_plan plan = plan_of(1, 5, 1);
    submitted();
    planned(plan);
    ended(&plan, 0);
    assert_null(doc_plan(doc, P));
    assert_null(doc_counted(doc, P, 0));
    assert_false(doc_project_is_complete(doc, P));
    cloned(commit(1, 5)); /* it had been cloned, only the word of it came late */
    assert_non_null(doc_plan(doc, P));
    assert_true(doc_project_is_complete(doc, P));
}

static void results_of_one_commit_never_count_for_another(void **unused)
{
    (void)unused;
    struct doc_plan five = plan_of(1, 5, 1), six = plan_of(2, 6, 1);
    submitted();
    cloned(commit(1, 5));
    planned(five);
    ended(&five, 0);
    assert_true(doc_project_is_complete(doc, P));
    assert_int_equal(cloned(commit(2, 6)), DOC_CHANGED_SOURCE); /* a branch that moved */
    assert_null(doc_plan(doc, P));
    assert_false(doc_project_is_complete(doc, P));
    planned(six); /* the same modules, another tree */
    assert_int_equal(doc_plan(doc, P)->tree.bytes[0], 6);
    assert_null(doc_counted(doc, P, 0));
    ended(&six, 0);
    assert_true(doc_project_is_complete(doc, P));
    assert_int_equal(cloned(commit(1, 5)), 0);
    assert_int_equal(project().tree.bytes[0], 6);
}

static void the_same_commit_cloned_again_keeps_its_plan(void **unused)
{
    (void)unused;
    submitted();
    cloned(commit(1, 5));
    planned(plan_of(1, 5, 2));
    cloned(commit(2, 5));
    assert_int_equal(doc_source(doc, P)->ballot.epoch, 2);
    assert_int_equal(doc_plan(doc, P)->module_count, 2);
}

/* An owner plans one commit and then hears that another one counts: its second plan has the ballot
 * of the first, and must get in whichever hash is the larger. */
static void no_plan_of_one_commit_keeps_out_one_of_another(void **unused)
{
    (void)unused;
    for (uint8_t first = 5; first <= 6; first++) {
        doc_free(doc);
        doc = doc_new(RANDOM_ID);
        submitted();
        cloned(commit(1, first));
        planned(plan_of(3, first, 1));
        cloned(commit(2, (uint8_t)(11 - first)));
        assert_int_equal(planned(plan_of(3, (uint8_t)(11 - first), 1)), DOC_CHANGED_PLAN);
        assert_int_equal(doc_plan(doc, P)->tree.bytes[0], 11 - first);
        assert_int_equal(planned(plan_of(9, first, 2)), DOC_CHANGED_PLAN);
        assert_int_equal(doc_plan(doc, P)->tree.bytes[0], 11 - first);
    }
}

static void a_late_source_changes_nothing_that_was_sealed(void **unused)
{
    (void)unused;
    struct doc_plan five = plan_of(1, 5, 1);
    submitted();
    cloned(commit(1, 5));
    planned(five);
    ended(&five, 0);
    sealed(1);
    assert_int_equal(doc->seal->source_count, 1);
    cloned(commit(2, 6));
    planned(plan_of(2, 6, 3));
    assert_int_equal(project().tree.bytes[0], 5);
    assert_int_equal(doc_plan(doc, P)->module_count, 1);
    assert_non_null(doc_counted(doc, P, 0));
    sealed(2); /* a later owner adopts it */
    assert_int_equal(doc->seal->source_count, 1);
    assert_int_equal(project().tree.bytes[0], 5);
}

static void a_seal_brings_its_sources(void **unused)
{
    (void)unused;
    submitted();
    cloned(commit(1, 5));
    planned(plan_of(1, 5, 1));
    owned_delta seal = {0};
    doc_make_seal(doc, (struct doc_ballot){1, 10}, 100, 1, &seal);
    doc_free(doc);
    doc = doc_new(RANDOM_ID);
    submitted();
    apply((struct delta){.seal = seal.seal});
    assert_int_equal(project().tree.bytes[0], 5);
    assert_int_equal(doc->sources[P]->bytes, 105);
    assert_int_equal(doc->plans[P]->module_count, 1);
}

static void a_cancelled_seal_ends_what_was_not_cloned(void **unused)
{
    (void)unused;
    submitted();
    apply((struct delta){.cancel = true});
    sealed(1);
    assert_false(doc_is_uncloned(doc, P));
    cloned(commit(1, 5)); /* in vain */
    assert_null(doc_source(doc, P));
    assert_int_equal(project().bytes, 0);
}

static void what_the_request_has_no_source_changes(void **unused)
{
    (void)unused;
    submitted();
    for (uint32_t p = 0; p < P; p++) {
        struct doc_source source = commit(1, 5);
        struct doc_project before, after;
        source.p = p;
        doc_project(doc, p, &before);
        cloned(source);
        doc_project(doc, p, &after);
        assert_null(doc_source(doc, p));
        assert_memory_equal(&before, &after, sizeof before);
    }
}

static void a_zip_has_nothing_to_clone(void **unused)
{
    (void)unused;
    struct doc_req zip = random_req;
    zip.kind = DOC_ZIP;
    apply((struct delta){.req = &zip});
    cloned(commit(1, 5));
    assert_false(doc_is_uncloned(doc, P));
    assert_null(doc_source(doc, P));
}

struct blobs {
    uint8_t first[16]; /* bytes */
    size_t count;
};

static void note_blob(void *arg, const struct hash *blob)
{
    struct blobs *self = arg;
    self->first[self->count++] = blob->bytes[0];
}

static bool names(uint8_t first)
{
    struct blobs blobs = {.count = 0};
    doc_each_blob(doc, note_blob, &blobs);
    return memchr(blobs.first, first, blobs.count) != NULL;
}

static void bundles_are_named_and_the_secret_until_the_end(void **unused)
{
    (void)unused;
    submitted();
    cloned(commit(1, 5));
    assert_true(names(1) && names(2) && names(5) &&
                names(7)); /* two of the request, 5, the secret */
    sealed(1);
    cloned(commit(2, 6));
    assert_true(names(5) && names(6) && names(7));
    apply((struct delta){.com = {1, 10}});
    assert_true(names(5) && !names(7));
}

static void long_lists_are_cut(void **unused)
{
    (void)unused;
    struct doc_ignored many[DOC_SOURCE_ROWS_MAX + 1];
    struct doc_source source = commit(1, 5);
    for (size_t i = 0; i < countof(many); i++)
        many[i] = (struct doc_ignored){"a", "b"};
    source.ignored = source.remarks = many;
    source.ignored_count = countof(many);
    source.remark_count = countof(many) - 1;
    submitted();
    cloned(source);
    assert_int_equal(doc_source(doc, P)->ignored_count, DOC_SOURCE_ROWS_MAX);
    assert_int_equal(doc_source(doc, P)->remark_count, DOC_SOURCE_ROWS_MAX);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(a_repository_is_open_until_its_source_is_known),
        STORY(what_cannot_be_cloned_is_complete),
        STORY(nothing_is_planned_of_what_is_not_cloned),
        STORY(results_of_one_commit_never_count_for_another),
        STORY(the_same_commit_cloned_again_keeps_its_plan),
        STORY(no_plan_of_one_commit_keeps_out_one_of_another),
        STORY(a_late_source_changes_nothing_that_was_sealed),
        STORY(a_seal_brings_its_sources),
        STORY(a_cancelled_seal_ends_what_was_not_cloned),
        STORY(what_the_request_has_no_source_changes),
        STORY(a_zip_has_nothing_to_clone),
        STORY(bundles_are_named_and_the_secret_until_the_end),
        STORY(long_lists_are_cut),
    };
    return cmocka_run_group_tests_name("doc_sources", tests, NULL, NULL);
}
