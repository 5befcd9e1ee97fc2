#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "runner/git/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char commit[] = "0123456789abcdef0123456789abcdef01234567";

/* The URL that a status of a commit of `text` goes to. Returns owned. */
static char *url_of(const char *text, const char *host, const char *const *items, size_t count)
{
    struct git_url url;
    struct status_base base;
    struct buf out = BUF_INIT;
    assert_int_equal(git_url_parse(&url, text, &(struct git_hosts){&host, 1}, NULL), 0);
    status_base_find(&base, &url, items, count);
    status_put_url(&base, url.path, commit, &out);
    status_base_fini(&base);
    return buf_steal(&out);
}

static void goes_to(const char *text, const char *host, const char *const *items, size_t count,
                    const char *wanted)
{
    owned_mem char *got = url_of(text, host, items, count);
    owned_mem char *want = mem_printf("%s/statuses/%s", wanted, commit);
    assert_string_equal(got, want);
}

static void every_host_has_its_place(void **unused)
{
    (void)unused;
    goes_to("https://github.com/o/n", "x", NULL, 0, "https://api.github.com/repos/o/n");
    goes_to("https://gitlab.com/g/s/n", "x", NULL, 0,
            "https://gitlab.com/api/v4/projects/g%2Fs%2Fn");
    goes_to("https://git.example.org/o/n", "git.example.org", NULL, 0,
            "https://git.example.org/api/v3/repos/o/n");
    goes_to("https://git.example.org:8443/o/n", "git.example.org:8443", NULL, 0,
            "https://git.example.org:8443/api/v3/repos/o/n");
}

static void the_operator_knows_better(void **unused)
{
    (void)unused;
    const char *const items[] = {"git.example.org:8443=https://a.example.org/x/",
                                 "GIT.example.org=https://lab.example.org/api/v4",
                                 "github.com=https://proxy.example.org"};
    goes_to("https://git.example.org:8443/o/n", "git.example.org:8443", items, countof(items),
            "https://a.example.org/x/repos/o/n");
    goes_to("https://git.example.org/o/n", "git.example.org", items, countof(items),
            "https://lab.example.org/api/v4/projects/o%2Fn");
    goes_to("https://github.com/o/n", "x", items, countof(items),
            "https://proxy.example.org/repos/o/n");
    goes_to("https://gitlab.com/o/n", "x", items, countof(items),
            "https://gitlab.com/api/v4/projects/o%2Fn");
}

static void what_an_operator_may_write(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"",
                                      "a",
                                      "=https://x",
                                      "a=http://x",
                                      "a=https://",
                                      "a=https://u@x",
                                      "a=https://x/?a=b",
                                      "a=https://x/#",
                                      "a=https://x y",
                                      "a b=https://x",
                                      "a:0=https://x",
                                      "a=https://x:70000"};
    static const char *const good[] = {"a=https://x", "a:8443=https://x.y:1/api/v4/"};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < countof(bad); i++)
        if (status_api_check(bad[i], &err) == 0)
            fail_msg("%s is taken", bad[i]);
    for (size_t i = 0; i < countof(good); i++)
        if (status_api_check(good[i], &err))
            fail_msg("%s: %s", good[i], err.text);
}

static void what_is_said(void **unused)
{
    (void)unused;
    owned_buf hub = BUF_INIT;
    owned_buf lab = BUF_INIT;
    owned_buf cut = BUF_INIT;
    char many[400];
    memset(many, 'x', sizeof many);
    memcpy(many + 139, "\xc3\xa9", 2); /* a character over the limit: all of it goes */
    many[sizeof many - 1] = '\0';
    status_put_body(STATUS_GITHUB, STATUS_FAILURE, "testmesh/a", "1 of 2", "https://x/1", &hub);
    assert_string_equal(buf_str(&hub),
                        "{\"state\":\"failure\",\"context\":\"testmesh/a\","
                        "\"description\":\"1 of 2\",\"target_url\":\"https://x/1\"}");
    status_put_body(STATUS_GITLAB, STATUS_ERROR, "a\"b", "", NULL, &lab);
    assert_string_equal(buf_str(&lab),
                        "{\"state\":\"failed\",\"name\":\"a\\\"b\",\"description\":\"\"}");
    status_put_body(STATUS_GITHUB, STATUS_PENDING, "c", many, NULL, &cut);
    many[139] = '\0';
    owned_mem char *want = mem_printf("{\"state\":\"pending\",\"context\":\"c\","
                                      "\"description\":\"%s\"}",
                                      many);
    assert_string_equal(buf_str(&cut), want);
}

static void what_may_do_better_later(void **unused)
{
    (void)unused;
    static const long passing[] = {0, 408, 429, 500, 502, 503};
    static const long final[] = {200, 201, 301, 400, 401, 403, 404, 422};
    for (size_t i = 0; i < countof(passing); i++)
        assert_true(status_is_passing(&(struct status_answer){.http = passing[i]}));
    for (size_t i = 0; i < countof(final); i++)
        assert_false(status_is_passing(&(struct status_answer){.http = final[i]}));
    assert_true(status_is_passing(&(struct status_answer){.http = 403, .is_limited = true}));
    assert_true(status_is_passing(&(struct status_answer){.http = 403, .retry_after_s = 5}));
    assert_true(status_is_taken(&(struct status_answer){.http = 201}));
    assert_false(status_is_taken(&(struct status_answer){.http = 302}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_host_has_its_place), cmocka_unit_test(the_operator_knows_better),
        cmocka_unit_test(what_an_operator_may_write), cmocka_unit_test(what_is_said),
        cmocka_unit_test(what_may_do_better_later)};
    return cmocka_run_group_tests_name("status_text", tests, NULL, NULL);
}
