#include "node/api/git_request.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct git_request request;
static struct err err;

/* Reads a body, and sees that nothing of it is left where it was. */
static int read_body(const char *body)
{
    size_t len = strlen(body);
    owned_mem char *text = mem_strdup(body);
    git_request_fini(&request);
    err = (struct err)ERR_INIT;
    int rc = git_request_read(&request, text, len, &err);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], 0);
    return rc;
}

static struct hash digest_of(const char *body)
{
    if (read_body(body))
        fail_msg("%s: %s", body, err.text);
    return request.digest;
}

static void is_refused(const char *body, const char *reason)
{
    assert_int_not_equal(read_body(body), 0);
    assert_string_equal(err.reason, reason);
}

static void a_whole_request(void **unused)
{
    (void)unused;
    assert_int_equal(
        read_body("{\"auth_token\": \"ghp_x\", \"projects\": [\"https://github.com/o/a\","
                  "\"http://github.com/o/b\"], \"name\": \"week 3\","
                  "\"options\": {\"timeout_s\": 5}}"),
        0);
    assert_string_equal(request.token, "ghp_x");
    assert_int_equal(request.url_count, 2);
    assert_string_equal(request.urls[1], "http://github.com/o/b");
    assert_string_equal(request.name, "week 3");
    assert_string_equal(request.options, "{\"timeout_s\":5}");
    assert_int_equal(read_body("{\"projects\": [\"x\"], \"auth_token\": null, \"name\": null}"), 0);
    assert_null(request.token);
    assert_null(request.name);
    assert_int_equal(read_body("{\"projects\": [\"x\"], \"auth_token\": \"\"}"), 0);
    assert_null(request.token);
}

static void what_makes_no_sense(void **unused)
{
    (void)unused;
    is_refused("", "bad-json");
    is_refused("{\"projects\": [\"a\"], \"projects\": [\"b\"]}", "bad-json");
    is_refused("[]", "bad-projects");
    is_refused("{}", "bad-projects");
    is_refused("{\"projects\": \"https://github.com/o/a\"}", "bad-projects");
    is_refused("{\"projects\": [null]}", "bad-projects");
    is_refused("{\"projects\": [\"a\"], \"auth_token\": [1]}", "bad-token");
    is_refused("{\"projects\": [\"a\"], \"auth_token\": \"a b\"}", "bad-token");
    is_refused("{\"projects\": [\"a\"], \"auth_token\": \"a\\n\"}", "bad-token");
    is_refused("{\"projects\": [\"a\"], \"name\": 3}", "unprocessable");
    is_refused("{\"projects\": [\"a\"], \"token\": \"x\"}", "unprocessable");
}

/* The parser's words show where it stopped, which may be within a token. */
static void errors_show_no_token(void **unused)
{
    (void)unused;
    is_refused("{\"auth_token\": \"hunter2\", \"projects\": [}", "bad-json");
    assert_null(strstr(err.text, "hunter2"));
    is_refused("{\"auth_token\": \"hunter2\", \"projects\": 1}", "bad-projects");
    assert_null(strstr(err.text, "hunter2"));
    is_refused("{\"auth_token\": \"hunter2 x\", \"projects\": [\"a\"]}", "bad-token");
    assert_null(strstr(err.text, "hunter2"));
}

static void what_makes_it_the_same_request(void **unused)
{
    (void)unused;
    struct hash one = digest_of("{\"projects\": [\"https://github.com/o/a\"]}");
    static const char *const same[] = {
        "{\"projects\": [\"http://github.com/o/a.git/\"], \"auth_token\": \"x\"}",
        "{\"auth_token\": \"y\", \"name\": null, \"projects\": [\"https://GITHUB.com:443/o/a/\"]}",
    };
    static const char *const other[] = {
        "{\"projects\": [\"https://github.com/o/b\"]}",
        "{\"projects\": [\"https://github.com/o/a/tree/dev\"]}",
        "{\"projects\": [\"https://github.com/o/a\", \"https://github.com/o/a\"]}",
        "{\"projects\": [\"https://github.com/o/a\"], \"name\": \"x\"}",
        "{\"projects\": [\"https://github.com/o/a\"], \"options\": {\"timeout_s\": 1}}",
    };
    for (size_t i = 0; i < countof(same); i++) {
        struct hash again = digest_of(same[i]);
        assert_memory_equal(&again, &one, sizeof one);
    }
    for (size_t i = 0; i < countof(other); i++) {
        struct hash another = digest_of(other[i]);
        assert_memory_not_equal(&another, &one, sizeof one);
    }
    struct hash left = digest_of("{\"projects\": [\"x\"], \"options\": {\"a\": 1, \"b\": 2}}");
    struct hash right = digest_of("{\"options\": {\"b\": 2, \"a\": 1}, \"projects\": [\"x\"]}");
    assert_memory_equal(&left, &right, sizeof left);
}

static int tidy(void **unused)
{
    (void)unused;
    git_request_fini(&request);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_request),
        cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(errors_show_no_token),
        cmocka_unit_test(what_makes_it_the_same_request),
    };
    return cmocka_run_group_tests(tests, NULL, tidy);
}
