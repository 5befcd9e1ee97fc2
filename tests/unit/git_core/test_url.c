#include "proto/base/mem.h"
#include "runner/git/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const host_items[] = {"git.school.example:8443", "Code.Example"};
static const struct git_hosts hosts = {host_items, countof(host_items)};

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* What it is in its one form; and that reads as the same again. */
static void becomes(const char *text, const char *wanted)
{
    struct git_url url, again;
    struct err err = ERR_INIT;
    owned_buf form = BUF_INIT;
    if (git_url_parse(&url, text, &hosts, &err))
        fail_msg("%s: %s", text, err.text);
    git_url_put(&url, NULL, &form);
    assert_string_equal(buf_str(&form), wanted);
    assert_int_equal(git_url_parse(&again, buf_str(&form), &hosts, &err), 0);
    assert_memory_equal(&again, &url, sizeof url);
}

static void is_refused(const char *text, const char *reason)
{
    struct git_url url;
    struct err err = ERR_INIT;
    if (git_url_parse(&url, text, &hosts, &err) == 0)
        fail_msg("%s was taken", text);
    assert_int_equal(err.code, ERR_UNPROCESSABLE);
    assert_string_equal(err.reason, reason);
}

static void the_ways_to_write_one(void **unused)
{
    (void)unused;
    static const char *const same[] = {
        "https://github.com/owner/name",     "https://github.com/owner/name.git",
        "https://github.com/owner/name/",    "https://github.com/owner/name.git/",
        "http://github.com/owner/name",      "http://github.com:80/owner/name",
        "HTTPS://GitHub.com:443/owner/name", "https://github.com/owner/name//",
    };
    for (size_t i = 0; i < countof(same); i++)
        becomes(same[i], "https://github.com/owner/name");
    becomes("https://gitlab.com/group/sub/name", "https://gitlab.com/group/sub/name");
    becomes("https://code.example/o/n.js", "https://code.example/o/n.js");
    becomes("https://git.school.example:8443/o/n", "https://git.school.example:8443/o/n");
}

static void branches_and_commits(void **unused)
{
    (void)unused;
    becomes("https://github.com/o/n/tree/main", "https://github.com/o/n/tree/main");
    becomes("https://github.com/o/n/tree/feature/x/", "https://github.com/o/n/tree/feature/x");
    becomes("https://github.com/o/n/tree/a%23b", "https://github.com/o/n/tree/a%23b");
    becomes("https://gitlab.com/o/n/-/tree/dev", "https://gitlab.com/o/n/tree/dev");
    becomes("https://github.com/o/n/commit/" COMMIT, "https://github.com/o/n/tree/" COMMIT);
    becomes("https://github.com/o/n.git/tree/" COMMIT, "https://github.com/o/n/tree/" COMMIT);
    becomes("https://github.com/o/tree/tree/tree", "https://github.com/o/tree/tree/tree");
}

static void a_commit_pins(void **unused)
{
    (void)unused;
    struct git_url url;
    owned_buf form = BUF_INIT;
    assert_int_equal(git_url_parse(&url, "https://github.com/o/n/tree/main", NULL, NULL), 0);
    git_url_put(&url, COMMIT, &form);
    assert_string_equal(buf_str(&form), "https://github.com/o/n/tree/" COMMIT);
    buf_clear(&form);
    git_url_put(&url, "", &form);
    assert_string_equal(buf_str(&form), "https://github.com/o/n/tree/main");
    assert_string_equal(git_url_name(&url), "n");
}

static void what_is_no_url(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {
        "",
        "github.com/o/n",
        "file:///etc/passwd",
        "ssh://git@github.com/o/n",
        "git@github.com:o/n",
        "https://",
        "https:///o/n",
        "https://github.com",
        "https://github.com/o",
        "https://github.com/o/",
        "https://github.com/o/.git",
        "https://github.com/o/.git.git",
        "https://github.com/o/../n",
        "https://github.com/./n",
        "https://github.com/o//n",
        "https://github.com/o/n\\x",
        "https://github.com/o/n x",
        "https://github.com/o/n\n",
        "https://github.com/-o/n",
        "https://github.com/o/n?x=1",
        "https://github.com/o/n#x",
        "https://user@github.com/o/n",
        "https://user:word@github.com/o/n",
        "https://github.com:0/o/n",
        "https://github.com:65536/o/n",
        "https://github.com:443x/o/n",
        "https://github.com:/o/n",
        "https://[::1]/o/n",
        "https://.github.com/o/n",
        "https://github.com./o/n",
        "https://github.com/o/n/tree/",
        "https://github.com/o/n/tree/a..b",
        "https://github.com/o/n/tree/-x",
        "https://github.com/o/n/tree/a%00b",
        "https://github.com/o/n/tree/a%2",
        "https://github.com/o/n/tree/a%zz",
        "https://github.com/o/n/tree/a.lock",
        "https://github.com/o/n/commit/main",
        "https://github.com/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u",
    };
    for (size_t i = 0; i < countof(wrong); i++)
        is_refused(wrong[i], "repo-url");
}

static void hosts_that_nobody_named(void **unused)
{
    (void)unused;
    static const char *const strangers[] = {
        "https://example.org/o/n",
        "https://github.com.example.org/o/n",
        "https://notgithub.com/o/n",
        "https://github.com:8443/o/n",
        "https://127.0.0.1/o/n",
        "https://2130706433/o/n",
        "https://0x7f.1/o/n",
        "https://localhost/o/n",
        "https://git.school.example/o/n",
        "https://code.example:8443/o/n",
        "http://code.example:8080/o/n",
    };
    for (size_t i = 0; i < countof(strangers); i++)
        is_refused(strangers[i], "repo-host");
}

/* The words may be shown to everybody. */
static void secrets_are_not_repeated(void **unused)
{
    (void)unused;
    static const char *const secret[] = {
        "https://hunter2@github.com/o/n", "https://x:hunter2@example.org/o/n",
        "https://github.com/o/n?hunter2", "https://hunter2@/o/n", "https://@hunter2@x/o/n"};
    for (size_t i = 0; i < countof(secret); i++) {
        struct git_url url;
        struct err err = ERR_INIT;
        assert_int_not_equal(git_url_parse(&url, secret[i], &hosts, &err), 0);
        assert_null(strstr(err.text, "hunter2"));
    }
}

static void long_ones(void **unused)
{
    (void)unused;
    char text[GIT_URL_MAX + 100] = "https://github.com/o/";
    size_t begin = strlen(text);
    memset(text + begin, 'n', GIT_URL_PATH_MAX + 1);
    is_refused(text, "repo-url");
    memset(text + begin, 'n', GIT_URL_MAX);
    is_refused(text, "repo-url");
    char branch[400] = "https://github.com/o/n/tree/";
    memset(branch + strlen(branch), 'b', GIT_BRANCH_MAX + 1);
    is_refused(branch, "repo-url");
}

static void an_operators_hosts(void **unused)
{
    (void)unused;
    assert_int_equal(git_host_check("git.example.org", NULL), 0);
    assert_int_equal(git_host_check("git.example.org:8443", NULL), 0);
    static const char *const wrong[] = {
        "", "https://x", "a/b", "a:", "a:0", "a:99999", "a b", ":1"};
    for (size_t i = 0; i < countof(wrong); i++)
        assert_int_not_equal(git_host_check(wrong[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ways_to_write_one),
        cmocka_unit_test(branches_and_commits),
        cmocka_unit_test(a_commit_pins),
        cmocka_unit_test(what_is_no_url),
        cmocka_unit_test(hosts_that_nobody_named),
        cmocka_unit_test(secrets_are_not_repeated),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(an_operators_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
