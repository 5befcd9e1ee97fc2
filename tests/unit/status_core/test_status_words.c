#include "node/eval/status_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct status_stand complete = {.is_complete = true};

static void says(struct summary_project project, struct status_stand stand, enum status_state state,
                 const char *text)
{
    owned_buf words = BUF_INIT;
    project.marks = summary_marks_of(&project.tally);
    assert_int_equal(status_words(&project, stand, &words), state);
    assert_string_equal(buf_str(&words), text);
}

static struct summary_project of(uint64_t passed, uint64_t failed, uint64_t errors)
{
    return (struct summary_project){
        .has_nota = true, .tally = {.passed = passed, .failed = failed, .errors = errors}};
}

static void marks(void **unused)
{
    (void)unused;
    says(of(40, 0, 0), complete, STATUS_SUCCESS, "20/20, 40 of 40 passed");
    says(of(35, 4, 1), complete, STATUS_FAILURE, "17.5/20, 35 of 40 passed");
    says(of(2, 1, 0), complete, STATUS_FAILURE, "13.33/20, 2 of 3 passed");
    says(of(0, 1, 0), complete, STATUS_FAILURE, "0/20, 0 of 1 passed");
    says(of(399, 1, 0), complete, STATUS_FAILURE, "19.95/20, 399 of 400 passed");
    says(of(201, 199, 0), complete, STATUS_FAILURE, "10.05/20, 201 of 400 passed");
    says(of(0, 0, 0), complete, STATUS_ERROR, "no tests");
}

static void whose_fault(void **unused)
{
    (void)unused;
    struct summary_project ours = of(3, 0, 1);
    ours.has_nota = false;
    says(ours, complete, STATUS_ERROR, "not the tests' fault, no mark");
    ours.message = "github.com: it does not answer\nin time";
    says(ours, complete, STATUS_ERROR,
         "not the tests' fault, no mark: github.com: it does not answer");
    struct summary_project setup = of(0, 0, 2);
    setup.outcome = DOC_SETUP_FAILED;
    setup.message = "no such package";
    says(setup, complete, STATUS_ERROR, "could not be run: no such package");
}

static void before_the_end(void **unused)
{
    (void)unused;
    says(of(3, 1, 0), (struct status_stand){0}, STATUS_PENDING, "the tests are to run");
    says(of(3, 1, 0), (struct status_stand){.is_cancelled = true}, STATUS_ERROR, "cancelled");
    says(of(3, 1, 0), (struct status_stand){true, true}, STATUS_FAILURE, "15/20, 3 of 4 passed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(marks), cmocka_unit_test(whose_fault),
                                       cmocka_unit_test(before_the_end)};
    return cmocka_run_group_tests_name("status_words", tests, NULL, NULL);
}
