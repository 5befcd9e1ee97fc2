#include "node/store/summary.h"

#include "node/store/totals.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Three projects, the second fetched from a repository; the stories say what became of them. */
static const struct doc_project projects[] = {
    {.name = "anna", .source = "class.zip"},
    {.name = "bob", .source = "https://GitHub.com/Owner/Repo.git"},
    {.name = "cy", .source = "class.zip"},
};
static const struct doc_module modules[] = {{"a.py", 1}, {"b.py", 1}, {"c.py", 1}};
static struct doc *doc;
static struct summary sum;

static void hear(struct delta delta)
{
    unsigned changed;
    struct err err = ERR_INIT;
    delta.id = doc->id;
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), 0);
}

static void submitted(size_t project_count)
{
    struct doc_req req = {.created_ms = 1000000,
                          .name = "class",
                          .projects = projects,
                          .project_count = project_count};
    doc_free(doc);
    doc = doc_new(12345);
    hear((struct delta){.req = &req});
}

static void planned(uint32_t p, size_t count)
{
    struct doc_plan plan = {.p = p, .ballot = {1, 1}, .modules = modules, .module_count = count};
    hear((struct delta){.plans = &plan, .plan_count = 1});
}

static void not_set_up(uint32_t p, size_t count, enum doc_blame blame)
{
    struct doc_plan plan = {.p = p,
                            .ballot = {1, 1},
                            .setup = {.outcome = DOC_SETUP_FAILED, .blame = blame},
                            .modules = modules,
                            .module_count = count};
    hear((struct delta){.plans = &plan, .plan_count = 1});
}

static void ended(uint32_t p, uint32_t m, enum doc_outcome outcome, struct doc_tally tally)
{
    struct doc_rec rec = {.p = p,
                          .plan = doc_plan(doc, p)->hash,
                          .m = m,
                          .ballot = {1, 1},
                          .n = 1,
                          .node = 1,
                          .addr = "h:1",
                          .real = true,
                          .outcome = outcome,
                          .tally = tally,
                          .start_ms = 1001000,
                          .ms = 250};
    hear((struct delta){.res = &rec, .res_count = 1});
}

static void lost_by_the_cluster(uint32_t p, uint32_t m)
{
    struct doc_rec rec = {.p = p,
                          .plan = doc_plan(doc, p)->hash,
                          .m = m,
                          .ballot = {1, 1},
                          .n = 2,
                          .outcome = DOC_LOST,
                          .blame = DOC_BLAME_CLUSTER,
                          .tally = {.passed = 3}};
    hear((struct delta){.res = &rec, .res_count = 1});
}

static void sealed(void)
{
    owned_delta seal = {0};
    doc_make_seal(doc, (struct doc_ballot){1, 1}, 7, 1060500, &seal);
    seal.com = (struct doc_ballot){1, 1};
    hear(seal);
}

static const struct summary *read_live(const struct summary_live *live)
{
    summary_fini(&sum);
    summary_init(&sum, doc, live);
    return &sum;
}

static const struct summary *read_now(void) { return read_live(NULL); }

static int tear_down(void **unused)
{
    (void)unused;
    summary_fini(&sum);
    doc_free(doc);
    doc = NULL;
    return 0;
}

static void marks_are(struct summary_marks marks, uint32_t passed, uint32_t failed, uint32_t nota)
{
    assert_int_equal(marks.passed_e4, passed);
    assert_int_equal(marks.failed_e4, failed);
    assert_int_equal(marks.nota_e5, nota);
}

static void percentages_are_rounded_once_and_add_up(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t good, bad;
        uint32_t passed, failed, nota;
    } cases[] = {
        {0, 0, 0, 0, 0},
        {1, 0, 1000000, 0, 2000000},
        {0, 1, 0, 1000000, 0},
        {1, 1, 500000, 500000, 1000000},
        {3, 1, 750000, 250000, 1500000},
        {1, 2, 333333, 666667, 666666},  /* 33.3333 %: nota 6.66666 */
        {2, 1, 666667, 333333, 1333334}, /* 66.6667 % */
        {1, 31, 31250, 968750, 62500},
        {1, 63, 15625, 984375, 31250},
        {1, 127, 7813, 992187, 15626}, /* 0.78125 %: half goes up, the other is what is left */
        {999999999, 1, 1000000, 0, 2000000},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct summary_tally tally = {.passed = cases[i].good, .failed = cases[i].bad};
        marks_are(summary_marks_of(&tally), cases[i].passed, cases[i].failed, cases[i].nota);
    }
}

static void xpassed_is_good_an_error_is_bad_and_skips_are_neither(void **unused)
{
    (void)unused;
    submitted(1);
    planned(0, 1);
    ended(0, 0, DOC_FAILED,
          (struct doc_tally){.passed = 2,
                             .xpassed = 1,
                             .failed = 1,
                             .errors = 1,
                             .skipped = 40,
                             .xfailed = 50,
                             .deselected = 60});
    marks_are(read_now()->modules[0].marks, 600000, 400000, 1200000);
    marks_are(sum.projects[0].marks, 600000, 400000, 1200000);
    marks_are(sum.marks, 600000, 400000, 1200000);
    assert_int_equal(summary_good(&sum.tally), 3);
    assert_int_equal(summary_bad(&sum.tally), 2);
    assert_int_equal(sum.tally.errors, 1);
}

static void nota_is_over_all_tests_and_mean_nota_over_the_projects(void **unused)
{
    (void)unused;
    submitted(2);
    planned(0, 1);
    planned(1, 1);
    ended(0, 0, DOC_PASSED, (struct doc_tally){.passed = 9});
    ended(1, 0, DOC_FAILED, (struct doc_tally){.failed = 1});
    marks_are(read_now()->marks, 900000, 100000, 1800000);
    assert_int_equal(sum.mean_nota_e5, 1000000);
    assert_true(sum.has_mean_nota && !sum.incomplete);
}

static void nothing_to_count_is_zero_of_both(void **unused)
{
    (void)unused;
    submitted(3);
    planned(0, 0);
    planned(1, 2);
    planned(2, 1);
    ended(1, 0, DOC_SKIPPED, (struct doc_tally){.skipped = 4});
    ended(1, 1, DOC_NO_TESTS, (struct doc_tally){0});
    ended(2, 0, DOC_PASSED, (struct doc_tally){.passed = 1});
    sealed();
    read_now();
    assert_int_equal(sum.projects[0].outcome, DOC_NO_TESTS);
    assert_int_equal(sum.projects[1].outcome, DOC_SKIPPED);
    assert_int_equal(sum.projects[2].outcome, DOC_PASSED);
    marks_are(sum.projects[1].marks, 0, 0, 0);
    assert_true(sum.projects[0].has_nota && sum.projects[1].has_nota);
    assert_int_equal(sum.mean_nota_e5, 666667); /* (0 + 0 + 20) / 3 */
    marks_are(sum.marks, 1000000, 0, 2000000);
}

static void ending_badly_with_nothing_reported_is_one_error(void **unused)
{
    (void)unused;
    static const enum doc_outcome bad[] = {DOC_FAILED,       DOC_ERROR,   DOC_TIMEOUT,
                                           DOC_OOM,          DOC_CRASHED, DOC_OUTPUT_LIMIT,
                                           DOC_SETUP_FAILED, DOC_LOST};
    for (size_t i = 0; i < countof(bad); i++) {
        submitted(1);
        planned(0, 1);
        ended(0, 0, bad[i], (struct doc_tally){.passed = 3});
        assert_int_equal(read_now()->tally.errors, 1);
        marks_are(sum.marks, 750000, 250000, 1500000);
        submitted(1);
        planned(0, 1);
        ended(0, 0, bad[i], (struct doc_tally){.passed = 3, .failed = 1});
        assert_int_equal(read_now()->tally.errors, 0);
    }
}

static void a_failed_setup_is_one_error_a_module(void **unused)
{
    (void)unused;
    submitted(2);
    not_set_up(0, 3, DOC_BLAME_PROJECT);
    planned(1, 1);
    ended(1, 0, DOC_PASSED, (struct doc_tally){.passed = 1});
    assert_int_equal(read_now()->tally.errors, 3);
    assert_int_equal(sum.projects[0].outcome, DOC_SETUP_FAILED);
    assert_int_equal(sum.projects[0].phase, SUMMARY_FINISHED);
    assert_int_equal(sum.executed, 4);
    assert_int_equal(sum.mean_nota_e5, 1000000);
    assert_true(doc_is_complete(doc));
}

static void what_the_cluster_did_costs_no_mark(void **unused)
{
    (void)unused;
    submitted(3);
    planned(0, 2);
    not_set_up(1, 2, DOC_BLAME_CLUSTER);
    planned(2, 1);
    ended(0, 0, DOC_PASSED, (struct doc_tally){.passed = 1});
    lost_by_the_cluster(0, 1);
    ended(2, 0, DOC_FAILED, (struct doc_tally){.passed = 1, .failed = 1});
    sealed();
    read_now();
    assert_false(sum.projects[0].has_nota);
    assert_false(sum.projects[1].has_nota);
    assert_true(sum.projects[2].has_nota);
    assert_true(sum.incomplete);
    assert_int_equal(sum.mean_nota_e5, 1000000);
    assert_int_equal(summary_good(&sum.tally), 2); /* not the three of the lost one */
    assert_int_equal(summary_bad(&sum.tally), 1);
    assert_int_equal(sum.status, SUMMARY_DONE);
}

static void an_evaluation_goes_its_way(void **unused)
{
    (void)unused;
    submitted(1);
    assert_int_equal(read_now()->status, SUMMARY_SUBMITTED);
    struct summary_running run = {.n = 2, .m = 1, .addr = "h:2", .start_ms = 1004000};
    struct summary_live live = {.now_ms = 1005000, .preparing = true};
    assert_int_equal(read_live(&live)->status, SUMMARY_PREPARING);
    planned(0, 3);
    assert_int_equal(read_now()->status, SUMMARY_PREPARING);
    assert_int_equal(sum.pending, 3);
    assert_int_equal(sum.modules[2].phase, SUMMARY_PENDING);
    ended(0, 0, DOC_PASSED, (struct doc_tally){.passed = 2});
    run.tally.passed = 5;
    live.running = &run;
    live.running_count = 1;
    assert_int_equal(read_live(&live)->status, SUMMARY_RUNNING);
    assert_true(sum.executed == 1 && sum.executing == 1 && sum.pending == 1);
    assert_int_equal(sum.modules[1].tally.passed, 5);
    assert_int_equal(sum.modules[1].ms, 1000);
    assert_int_equal(sum.modules[1].attempts, 2);
    assert_int_equal(sum.tally.passed, 2); /* sums are of finished modules */
    assert_int_equal(sum.eval_ms, 5000);
    assert_int_equal(sum.projects[0].outcome, DOC_NO_OUTCOME);
    ended(0, 1, DOC_PASSED, (struct doc_tally){.passed = 5});
    ended(0, 2, DOC_FAILED, (struct doc_tally){.failed = 1});
    assert_int_equal(read_now()->status, SUMMARY_RUNNING); /* not before the seal is committed */
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_DONE);
    assert_int_equal(sum.eval_ms, 60500);
    assert_int_equal(sum.projects[0].ms, 750);
    assert_int_equal(sum.projects[0].outcome, DOC_FAILED);
}

static void a_cancelled_evaluation_keeps_what_had_run(void **unused)
{
    (void)unused;
    submitted(2);
    planned(0, 2);
    ended(0, 0, DOC_PASSED, (struct doc_tally){.passed = 2});
    hear((struct delta){.cancel = true});
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_CANCELLED);
    assert_int_equal(sum.modules[0].outcome, DOC_PASSED);
    assert_int_equal(sum.modules[1].outcome, DOC_CANCELLED);
    assert_int_equal(sum.projects[0].outcome, DOC_CANCELLED);
    assert_int_equal(sum.projects[1].outcome, DOC_CANCELLED);
    assert_int_equal(summary_bad(&sum.tally), 0);
    assert_int_equal(sum.pending + sum.executing, 0);
}

static void failed_means_that_nothing_could_be_planned(void **unused)
{
    (void)unused;
    struct doc_project broken = {.name = "d", .source = "z", .failure = "a device file"};
    struct doc_req req = {.projects = &broken, .project_count = 1};
    doc = doc_new(1);
    hear((struct delta){.req = &req});
    sealed();
    assert_int_equal(read_now()->status, SUMMARY_FAILED);
    assert_string_equal(sum.projects[0].message, "a device file");
    assert_int_equal(sum.projects[0].blame, DOC_BLAME_PROJECT);
    assert_true(sum.has_mean_nota && sum.mean_nota_e5 == 0);
}

/* A repository that did not come because of the network. */
static void what_the_cluster_failed_at_costs_no_mark(void **unused)
{
    (void)unused;
    struct doc_project lost = {
        .name = "d", .source = "z", .failure = "no route", .is_clusters = true};
    struct doc_req req = {.projects = &lost, .project_count = 1};
    doc = doc_new(1);
    hear((struct delta){.req = &req});
    sealed();
    assert_int_equal(read_now()->projects[0].blame, DOC_BLAME_CLUSTER);
    assert_false(sum.projects[0].has_nota);
    assert_false(sum.has_mean_nota);
    assert_true(sum.incomplete);
}

static void one_repository_has_one_identity(void **unused)
{
    (void)unused;
    static const char *const same[] = {
        "https://github.com/Owner/Repo",           "http://GITHUB.com/Owner/Repo.git",
        "https://www.github.com/Owner/Repo/",      "https://github.com/Owner/Repo.git/",
        "https://github.com/Owner/Repo/tree/main", "https://tok:x@github.com/Owner/Repo?a=b"};
    for (size_t i = 0; i < countof(same); i++) {
        struct doc_project project = {.name = "n", .source = same[i]};
        struct doc_req req = {.projects = &project, .project_count = 1};
        doc_free(doc);
        doc = doc_new(1);
        hear((struct delta){.req = &req});
        owned_mem char *identity = summary_identity(doc, 0);
        assert_string_equal(identity, "github.com/Owner/Repo");
    }
}

static void totals_count_each_test_and_each_project_once(void **unused)
{
    (void)unused;
    owned_totals totals;
    struct share shares[2];
    for (int i = 0; i < 2; i++) { /* the same class twice: projects are counted once */
        submitted(3);
        planned(0, 2);
        planned(1, 1);
        not_set_up(2, 1, DOC_BLAME_PROJECT); /* its planner's, and one error of the whole */
        ended(0, 0, DOC_PASSED, (struct doc_tally){.passed = 10, .xpassed = 1});
        ended(0, 1, DOC_FAILED, (struct doc_tally){.failed = 1, .errors = 1});
        ended(1, 0, DOC_PASSED, (struct doc_tally){.passed = 4, .skipped = 2});
        share_init(&shares[i], doc);
    }
    owned_buf text = BUF_INIT;
    struct json_out json;
    json_out_init(&json, &text);
    share_encode(&shares[1], &json);
    share_fini(&shares[1]);
    struct err err = ERR_INIT;
    owned_json *read = json_in_parse(buf_str(&text), text.len, &err);
    assert_int_equal(share_decode(read, &shares[1], &err), 0);
    totals_begin(&totals);
    totals_add(&totals, 77, &shares[0]);
    totals_add(&totals, 12, &shares[1]);
    totals_end(&totals);
    assert_int_equal(totals.passed, 30);
    assert_int_equal(totals.failed, 6);
    assert_int_equal(totals.projects, 3);
    assert_int_equal(totals.evaluations, 2);
    assert_int_equal(totals.node_count, 1);
    assert_string_equal(totals.nodes[0].name, "0000000000000001");
    assert_int_equal(totals.nodes[0].passed, 30);
    assert_int_equal(totals.nodes[0].failed, 6);
    assert_int_equal(totals.nodes[0].modules, 8);
    assert_int_equal(totals.nodes[0].projects, 3);
    assert_int_equal(totals.nodes[0].evaluations[0], 12);
    assert_int_equal(totals.nodes[0].evaluations[1], 77);
    share_fini(&shares[0]);
    share_fini(&shares[1]);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(percentages_are_rounded_once_and_add_up),
        STORY(xpassed_is_good_an_error_is_bad_and_skips_are_neither),
        STORY(nota_is_over_all_tests_and_mean_nota_over_the_projects),
        STORY(nothing_to_count_is_zero_of_both),
        STORY(ending_badly_with_nothing_reported_is_one_error),
        STORY(a_failed_setup_is_one_error_a_module),
        STORY(what_the_cluster_did_costs_no_mark),
        STORY(an_evaluation_goes_its_way),
        STORY(a_cancelled_evaluation_keeps_what_had_run),
        STORY(failed_means_that_nothing_could_be_planned),
        STORY(what_the_cluster_failed_at_costs_no_mark),
        STORY(one_repository_has_one_identity),
        STORY(totals_count_each_test_and_each_project_once),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
