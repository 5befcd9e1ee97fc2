#include "node/http/guard.h"
#include "node/http/problem.h"
#include "node/http/query.h"
#include "node/http/router.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/"},
    {.method = "GET", .pattern = "/evaluation"},
    {.method = "POST", .pattern = "/evaluation"},
    {.method = "GET", .pattern = "/evaluation/:id"},
    {.method = "DELETE", .pattern = "/evaluation/:id"},
    {.method = "GET", .pattern = "/evaluation/:id/logs/:project/*module"},
    {.method = "POST", .pattern = "/kill"},
};

static struct router_match match;
static struct err err;

/* The row that a request finds, or the error's code. */
static int row_of(const char *method, const char *path)
{
    router_match_fini(&match);
    int rc = router_find(&match, routes, countof(routes), method, path, &err);
    return rc ? rc : (int)(match.route - routes);
}

static void a_path_finds_its_row(void **unused)
{
    (void)unused;
    assert_int_equal(row_of("GET", "/"), 0);
    assert_int_equal(row_of("GET", "/evaluation"), 1);
    assert_int_equal(row_of("HEAD", "/evaluation"), 1);
    assert_int_equal(row_of("GET", "/evaluation/"), 1);
    assert_int_equal(row_of("POST", "/ev%61luation"), 2);
    assert_int_equal(row_of("GET", "/evaluation/17"), 3);
    assert_string_equal(router_param(&match, "id"), "17");
    assert_int_equal(row_of("DELETE", "/evaluation/a%20b"), 4);
    assert_string_equal(router_param(&match, "id"), "a b");
    assert_null(router_param(&match, "project"));
}

static void the_rest_of_a_path_keeps_its_slashes(void **unused)
{
    (void)unused;
    assert_int_equal(row_of("GET", "/evaluation/1/logs/my%20app/tests/unit/test_a%2bb.py"), 5);
    assert_string_equal(router_param(&match, "project"), "my app");
    assert_string_equal(router_param(&match, "module"), "tests/unit/test_a+b.py");
}

static void an_unknown_path_is_not_found(void **unused)
{
    (void)unused;
    assert_int_equal(row_of("GET", "/evaluations"), ERR_NOT_FOUND);
    assert_int_equal(row_of("GET", "/evaluation/1/2"), ERR_NOT_FOUND);
    assert_int_equal(row_of("GET", "//evaluation"), ERR_NOT_FOUND);
    assert_int_equal(row_of("GET", "/evaluation//logs/p/m"), ERR_NOT_FOUND);
    assert_int_equal(row_of("GET", "/evaluation/1/logs/p"), ERR_NOT_FOUND);
    assert_int_equal(row_of("OPTIONS", "*"), ERR_NOT_FOUND);
}

static void another_method_is_told_which_there_are(void **unused)
{
    (void)unused;
    assert_int_equal(row_of("PUT", "/evaluation/1"), ERR_METHOD);
    assert_int_equal(row_of("GET", "/kill"), ERR_METHOD);
    owned_buf allow = BUF_INIT;
    assert_true(router_allow(&allow, routes, countof(routes), "/evaluation"));
    assert_string_equal(buf_str(&allow), "GET, HEAD, POST, OPTIONS");
    buf_clear(&allow);
    assert_false(router_allow(&allow, routes, countof(routes), "/nowhere"));
}

static void a_query_is_decoded(void **unused)
{
    (void)unused;
    struct query query = {0};
    assert_int_equal(query_parse(&query, "a=1+2%263&&b&c=%3D=x&a=again", &err), 0);
    assert_string_equal(query_value(&query, "a"), "1 2&3");
    assert_string_equal(query_value(&query, "b"), "");
    assert_string_equal(query_value(&query, "c"), "==x");
    assert_null(query_value(&query, "d"));
    query_fini(&query);
    owned_buf many = BUF_INIT;
    for (int i = 0; i < 65; i++)
        buf_puts(&many, "a&");
    assert_int_equal(query_parse(&query, buf_str(&many), &err), ERR_INVALID);
    assert_string_equal(err_name(&err), "bad-query");
    query_fini(&query);
}

static void a_number_in_a_query_is_whole_and_in_range(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {
        "", "x", "1x", "+1", " 1", "1.0", "0x1", "11", "-6", "-", "99999999999999999999"};
    int64_t got;
    assert_int_equal(query_int("n", "-5", -5, 10, &got, &err), 0);
    assert_int_equal(got, -5);
    for (size_t i = 0; i < countof(wrong); i++)
        assert_int_equal(query_int("n", wrong[i], -5, 10, &got, &err), ERR_INVALID);
}

static void only_our_own_names_are_answered_to(void **unused)
{
    (void)unused;
    static const char *const ours[] = {"Grades.Example", NULL};
    static const char *const any[] = {"*", NULL};
    static const char *const good[] = {"127.0.0.1",
                                       "127.0.0.1:80",
                                       "[::1]:8080",
                                       "10.1.2.3:1",
                                       "localhost",
                                       "LOCALHOST:1",
                                       "a.localhost",
                                       "grades.example",
                                       "grades.example.",
                                       "GRADES.example:443",
                                       ""};
    static const char *const wrong[] = {"evil.example",
                                        "grades.example.evil.example",
                                        "127.0.0.1.evil.example",
                                        "localhost.evil.example",
                                        "xlocalhost",
                                        "1.2.3",
                                        "grades"};
    for (size_t i = 0; i < countof(good); i++)
        assert_true(guard_host_ok(good[i], ours));
    for (size_t i = 0; i < countof(wrong); i++) {
        assert_false(guard_host_ok(wrong[i], ours));
        assert_false(guard_host_ok(wrong[i], NULL));
        assert_true(guard_host_ok(wrong[i], any));
    }
}

static void only_pages_of_ours_may_write(void **unused)
{
    (void)unused;
    static const char *const friends[] = {"https://grades.example", NULL};
    assert_true(guard_origin_ok(NULL, NULL, "a:1", NULL)); /* a program */
    assert_true(guard_origin_ok("http://a:1", NULL, "a:1", NULL));
    assert_true(guard_origin_ok("https://a", NULL, "a:443", NULL));
    assert_true(guard_origin_ok("http://a:1", "same-origin", "a:1", NULL));
    assert_true(guard_origin_ok(NULL, "none", "a:1", NULL));
    assert_true(guard_origin_ok("https://grades.example", "cross-site", "a:1", friends));
    assert_false(guard_origin_ok("https://evil.example", NULL, "a:1", friends));
    assert_false(guard_origin_ok("http://a:2", NULL, "a:1", NULL));
    assert_false(guard_origin_ok("http://ab", NULL, "a", NULL));
    assert_false(guard_origin_ok("null", NULL, "a:1", NULL));
    assert_false(guard_origin_ok("http://a:1", "cross-site", "a:1", NULL));
    assert_false(guard_origin_ok(NULL, "same-site", "a:1", NULL));
}

static void a_problem_says_what_and_what_to_do(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    err_refuse(&err, ERR_UNAVAILABLE, "busy-bodies", "too \"much\"");
    const struct problem_field field = {"limit", "too large"};
    problem_write(&out, &err, "/evaluation", &field, 1);
    owned_json *doc = json_in_parse(out.data, out.len, &err);
    assert_non_null(doc);
    assert_string_equal(json_in_str(doc, "type", ""), "/problems/busy-bodies");
    assert_int_equal(json_in_int(doc, "status", 0), 503);
    assert_string_equal(json_in_str(doc, "detail", ""), "too \"much\"");
    assert_string_equal(json_in_str(doc, "error", ""), "too \"much\"");
    assert_string_equal(json_in_str(doc, "instance", ""), "/evaluation");
    assert_true(strlen(json_in_str(doc, "hint", "")) > 0);
    const json_t *item = json_array_get(json_object_get(doc, "errors"), 0);
    assert_string_equal(json_in_str(item, "field", ""), "limit");
}

static void a_reason_without_a_row_falls_back_to_its_code(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    err_refuse(&err, ERR_CONFLICT, "never-heard-of", "%s", "");
    assert_int_equal(problem_status(&err), 409);
    problem_write(&out, &err, NULL, NULL, 0);
    assert_non_null(strstr(buf_str(&out), "/problems/never-heard-of"));
    assert_non_null(strstr(buf_str(&out), problem_find("conflict")->title));
}

static void each_row_of_the_table_stands_once_and_each_code_has_one(void **unused)
{
    (void)unused;
    for (size_t i = 0; problem_at(i); i++) {
        assert_ptr_equal(problem_find(problem_at(i)->code), problem_at(i));
        assert_in_range(problem_at(i)->status, 400, 599);
    }
    for (int code = ERR_INVALID; code >= ERR_INTERNAL; code--) {
        const struct problem *row = problem_find(err_code_name(code));
        assert_non_null(row);
        assert_int_equal(row->status, err_http_status(code));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_finds_its_row),
        cmocka_unit_test(the_rest_of_a_path_keeps_its_slashes),
        cmocka_unit_test(an_unknown_path_is_not_found),
        cmocka_unit_test(another_method_is_told_which_there_are),
        cmocka_unit_test(a_query_is_decoded),
        cmocka_unit_test(a_number_in_a_query_is_whole_and_in_range),
        cmocka_unit_test(only_our_own_names_are_answered_to),
        cmocka_unit_test(only_pages_of_ours_may_write),
        cmocka_unit_test(a_problem_says_what_and_what_to_do),
        cmocka_unit_test(a_reason_without_a_row_falls_back_to_its_code),
        cmocka_unit_test(each_row_of_the_table_stands_once_and_each_code_has_one),
    };
    int failed = cmocka_run_group_tests_name("router", tests, NULL, NULL);
    router_match_fini(&match);
    return failed;
}
