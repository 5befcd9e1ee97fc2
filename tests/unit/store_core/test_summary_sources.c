/* What people read of repositories that are cloned after the evaluation was accepted. */
#include "node/store/summary.h"
#include "node/store/totals.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct doc_project projects[] = {
    {.name = "a", .source = "https://github.com/Owner/a"},
    {.name = "b", .source = "https://github.com/Owner/b/tree/main"},
};
static const struct doc_module modules[] = {{"a.py", 1}};
static struct doc *doc;
static struct summary sum;

static void hear(struct delta delta)
{
    unsigned changed;
    struct err err = ERR_INIT;
    delta.id = doc->id;
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), 0);
}

static int submitted(void **unused)
{
    (void)unused;
    struct doc_req req = {.created_ms = 1000000,
                          .kind = DOC_GIT,
                          .name = "two",
                          .projects = projects,
                          .project_count = countof(projects)};
    doc = doc_new(12345);
    hear((struct delta){.req = &req});
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    summary_fini(&sum);
    doc_free(doc);
    return 0;
}

static void cloned(uint32_t p, const char *url)
{
    struct doc_source source = {
        .p = p, .ballot = {1, 1}, .source = url, .bundle = {{1}}, .tree = {{2}}};
    hear((struct delta){.sources = &source, .source_count = 1});
}

static void not_cloned(uint32_t p, bool is_clusters)
{
    struct doc_source source = {.p = p,
                                .ballot = {1, 1},
                                .source = projects[p].source,
                                .failure = "why not",
                                .is_clusters = is_clusters};
    hear((struct delta){.sources = &source, .source_count = 1});
}

static void ran(uint32_t p)
{
    struct doc_plan plan = {
        .p = p, .ballot = {1, 1}, .tree = {{2}}, .modules = modules, .module_count = 1};
    hear((struct delta){.plans = &plan, .plan_count = 1});
    struct doc_rec rec = {.p = p,
                          .plan = doc_plan(doc, p)->hash,
                          .ballot = {1, 1},
                          .n = 1,
                          .node = 1,
                          .addr = "h:1",
                          .real = true,
                          .outcome = DOC_PASSED,
                          .tally = {.passed = 1}};
    hear((struct delta){.res = &rec, .res_count = 1});
}

static void sealed(void)
{
    owned_delta seal = {0};
    doc_make_seal(doc, (struct doc_ballot){1, 1}, 7, 1060500, &seal);
    seal.com = (struct doc_ballot){1, 1};
    hear(seal);
}

static const struct summary *read_now(void)
{
    summary_fini(&sum);
    summary_init(&sum, doc, NULL);
    assert_int_equal(sum.status, summary_status_of(doc));
    return &sum;
}

static void what_is_to_be_cloned_is_being_prepared(void **unused)
{
    (void)unused;
    assert_int_equal(read_now()->status, SUMMARY_PREPARING);
    assert_int_equal(sum.projects[0].phase, SUMMARY_PENDING);
    assert_int_equal(sum.projects[0].outcome, DOC_NO_OUTCOME);
    assert_string_equal(sum.projects[1].source, "https://github.com/Owner/b/tree/main");
    cloned(0, "https://github.com/Owner/a/tree/1111");
    assert_int_equal(read_now()->status, SUMMARY_PREPARING); /* the other one */
    assert_int_equal(sum.projects[0].phase, SUMMARY_PENDING);
    assert_string_equal(sum.projects[0].source, "https://github.com/Owner/a/tree/1111");
    ran(0);
    assert_int_equal(read_now()->status, SUMMARY_RUNNING);
    assert_int_equal(sum.projects[0].phase, SUMMARY_FINISHED);
    assert_int_equal(sum.projects[1].phase, SUMMARY_PENDING);
    assert_true(sum.projects[1].has_nota && !sum.incomplete);
}

static void all_cloned_and_nothing_planned_is_submitted(void **unused)
{
    (void)unused;
    cloned(0, "https://github.com/Owner/a/tree/1111");
    cloned(1, "https://github.com/Owner/b/tree/2222");
    assert_int_equal(read_now()->status, SUMMARY_SUBMITTED);
}

static void what_cannot_be_cloned_fails_by_whose_fault_it_is(void **unused)
{
    (void)unused;
    not_cloned(0, false);
    assert_int_equal(read_now()->projects[0].phase, SUMMARY_FINISHED);
    assert_int_equal(sum.projects[0].outcome, DOC_ERROR);
    assert_int_equal(sum.projects[0].blame, DOC_BLAME_PROJECT);
    assert_string_equal(sum.projects[0].message, "why not");
    assert_true(sum.projects[0].has_nota);
    not_cloned(1, true);
    assert_int_equal(read_now()->projects[1].blame, DOC_BLAME_CLUSTER);
    assert_true(!sum.projects[1].has_nota && sum.incomplete);
    assert_true(doc_is_complete(doc));
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_FAILED);
}

static void one_that_ran_is_enough_to_be_done(void **unused)
{
    (void)unused;
    cloned(0, "https://github.com/Owner/a/tree/1111");
    ran(0);
    not_cloned(1, false);
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_DONE);
    assert_int_equal(sum.mean_nota_e5, 1000000);
}

static void a_cancel_ends_what_was_not_cloned(void **unused)
{
    (void)unused;
    hear((struct delta){.cancel = true});
    assert_int_equal(read_now()->status, SUMMARY_PREPARING);
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_CANCELLED);
    assert_int_equal(sum.projects[0].outcome, DOC_CANCELLED);
}

/* /stats counts a repository once, whichever of its commits was run. */
static void a_commit_does_not_change_the_identity(void **unused)
{
    (void)unused;
    for (int round = 0; round < 2; round++) {
        owned_mem char *a = summary_identity(doc, 0), *b = summary_identity(doc, 1);
        assert_string_equal(a, "github.com/Owner/a");
        assert_string_equal(b, "github.com/Owner/b");
        struct share share;
        share_init(&share, doc);
        assert_int_equal(share.project_count, 2);
        share_fini(&share);
        cloned(0, "https://github.com/Owner/a/tree/1111");
        not_cloned(1, false);
    }
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, submitted, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(what_is_to_be_cloned_is_being_prepared),
        STORY(all_cloned_and_nothing_planned_is_submitted),
        STORY(what_cannot_be_cloned_fails_by_whose_fault_it_is),
        STORY(one_that_ran_is_enough_to_be_done),
        STORY(a_cancel_ends_what_was_not_cloned),
        STORY(a_commit_does_not_change_the_identity),
    };
    return cmocka_run_group_tests_name("summary_sources", tests, NULL, NULL);
}
