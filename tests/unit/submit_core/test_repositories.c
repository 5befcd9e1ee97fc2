#include "node/api/repositories.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct intake_result result;
static struct git_url first;
static struct err err;

static int name(const char *const *urls, size_t count)
{
    static const char *const more[] = {"git.example.org:8443"};
    owned_mem char **texts = mem_new_array(count, sizeof *texts);
    for (size_t i = 0; i < count; i++)
        texts[i] = (char *)(uintptr_t)urls[i];
    err = (struct err)ERR_INIT;
    return repositories_name(&(struct git_request){.urls = texts, .url_count = count},
                             &(struct git_hosts){more, 1}, &result, &first, &err);
}

static int forget(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < result.project_count; i++) {
        free(result.projects[i].name);
        free(result.projects[i].source);
        free(result.projects[i].failure);
    }
    free(result.projects);
    result = (struct intake_result){0};
    return 0;
}

static const struct intake_project *project(const char *wanted)
{
    for (size_t i = 0; i < result.project_count; i++)
        if (strcmp(result.projects[i].name, wanted) == 0)
            return &result.projects[i];
    fail_msg("there is no %s", wanted);
    return NULL;
}

static void each_has_a_name_and_a_source(void **unused)
{
    (void)unused;
    const char *const urls[] = {"https://github.com/z/Calc.git/", "http://gitlab.com/g/h/alpha",
                                "https://github.com/a/calc/tree/dev"};
    assert_int_equal(name(urls, 3), 0);
    assert_int_equal(result.project_count, 3);
    assert_string_equal(project("Calc")->source, "https://github.com/z/Calc");
    assert_string_equal(project("calc-2")->source, "https://github.com/a/calc/tree/dev");
    assert_string_equal(project("alpha")->source, "https://gitlab.com/g/h/alpha");
    for (size_t i = 0; i < 3; i++)
        assert_null(result.projects[i].failure);
    for (size_t i = 1; i < 3; i++)
        assert_true(strcmp(result.projects[i - 1].name, result.projects[i].name) < 0);
    assert_string_equal(first.path, "z/Calc");
}

static void one_that_is_wrong_fails_alone(void **unused)
{
    (void)unused;
    const char *const urls[] = {"https://me:hunter2@github.com/o/r", "https://elsewhere.org/o/r",
                                "https://git.example.org:8443/o/r"};
    assert_int_equal(name(urls, 3), 0);
    assert_int_equal(err.code, ERR_NONE);
    assert_non_null(strstr(project("project-1")->failure, "(repo-url)"));
    assert_null(strstr(project("project-1")->source, "hunter2"));
    assert_non_null(strstr(project("project-2")->failure, "(repo-host)"));
    assert_false(project("project-2")->is_clusters);
    assert_null(project("r")->failure);
    assert_string_equal(first.host, "git.example.org"); /* not one that was refused */
    assert_int_equal(first.port, 8443);
}

static void where_all_are_wrong_the_first_is_told(void **unused)
{
    (void)unused;
    const char *const urls[] = {"https://elsewhere.org/o/r", "nonsense"};
    assert_int_equal(name(urls, 2), ERR_UNPROCESSABLE);
    assert_string_equal(err.reason, "repo-host");
    assert_non_null(strstr(err.text, "projects[0]"));
}

static void a_wrong_one_does_not_take_anothers_name(void **unused)
{
    (void)unused;
    const char *const urls[] = {"https://github.com/o/project-2", "nonsense"};
    assert_int_equal(name(urls, 2), 0);
    assert_null(project("project-2")->failure);
    assert_non_null(project("project-2-2")->failure);
}

/* A class of forks. What is looked at for each must not grow with how many there are. */
static void a_thousand_of_one_name(void **unused)
{
    (void)unused;
    enum { COUNT = 1000 };
    char *urls[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        urls[i] = mem_printf("https://github.com/student-%zu/%s", i, i % 2 ? "Calc" : "calc");
    assert_int_equal(name((const char *const *)urls, COUNT), 0);
    assert_int_equal(result.project_count, COUNT);
    assert_string_equal(project("calc")->source, urls[0]);
    assert_string_equal(project("Calc-2")->source, urls[1]);
    assert_string_equal(project("Calc-1000")->source, urls[COUNT - 1]);
    for (size_t i = 1; i < COUNT; i++)
        assert_true(strcmp(result.projects[i - 1].name, result.projects[i].name) < 0);
    for (size_t i = 0; i < COUNT; i++)
        free(urls[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_has_a_name_and_a_source, forget),
        cmocka_unit_test_teardown(one_that_is_wrong_fails_alone, forget),
        cmocka_unit_test_teardown(where_all_are_wrong_the_first_is_told, forget),
        cmocka_unit_test_teardown(a_thousand_of_one_name, forget),
        cmocka_unit_test_teardown(a_wrong_one_does_not_take_anothers_name, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
