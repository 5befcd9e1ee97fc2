#include "proto/base/mem.h"
#include "runner/git/refs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CAN  "multi_ack side-band-64k ofs-delta shallow symref=HEAD:refs/heads/trunk agent=git/2"
#define ZERO "0000000000000000000000000000000000000000"

static struct buf said;

/* A line with a NUL in it, for what a server can. */
static void put_first(const char *ref, const char *can)
{
    buf_printf(&said, "%04zx%s", strlen(ref) + strlen(can) + 6, ref);
    buf_append(&said, "", 1);
    buf_printf(&said, "%s\n", can);
}

static void given(const char *first, const char *can)
{
    buf_clear(&said);
    pkt_put(&said, "# service=git-upload-pack\n");
    pkt_put_flush(&said);
    put_first(first, can);
}

static struct git_url url;
static struct refs refs;
static struct err err;

/* Asks for what is wanted, in pieces of `piece` bytes. Returns 0 or the error. */
static int ask_in(const char *wanted, size_t piece)
{
    owned_mem char *text = mem_printf("https://github.com/o/n%s", wanted);
    err = (struct err)ERR_INIT;
    assert_int_equal(git_url_parse(&url, text, NULL, &err), 0);
    refs_fini(&refs);
    refs_init(&refs, &url);
    int rc = 0;
    for (size_t at = 0; at < said.len && !rc; at += piece)
        rc = refs_feed(&refs, said.data + at, piece < said.len - at ? piece : said.len - at, &err);
    return rc ? rc : refs_end(&refs, &err);
}

/* The same for any split. */
static int ask(const char *wanted)
{
    int whole = ask_in(wanted, said.len);
    for (size_t piece = 1; piece < 9; piece++)
        assert_int_equal(ask_in(wanted, piece), whole);
    return whole;
}

static void is_refused(const char *wanted, const char *reason)
{
    assert_int_equal(ask(wanted), ERR_UNPROCESSABLE);
    assert_string_equal(err.reason, reason);
}

static void what_is_wanted_is_found(void **unused)
{
    (void)unused;
    given(A " HEAD", CAN);
    pkt_put(&said, B " refs/heads/dev\n");
    pkt_put(&said, A " refs/heads/trunk\n");
    pkt_put(&said, B " refs/tags/v1\n");
    pkt_put(&said, A " refs/tags/v1^{}\n");
    pkt_put_flush(&said);
    assert_int_equal(ask(""), 0);
    assert_string_equal(refs.commit, A);
    assert_string_equal(refs.branch, "trunk");
    assert_int_equal(ask("/tree/dev"), 0);
    assert_string_equal(refs.commit, B);
    is_refused("/tree/v1", "repo-branch");
    is_refused("/tree/de", "repo-branch");
    is_refused("/tree/" B, "repo-commit"); /* this server does not give out any commit */
}

static void any_commit(void **unused)
{
    (void)unused;
    given(A " HEAD", CAN " allow-reachable-sha1-in-want");
    pkt_put_flush(&said);
    assert_int_equal(ask("/tree/" B), 0);
    assert_string_equal(refs.commit, B);
}

static void nothing_there(void **unused)
{
    (void)unused;
    given(ZERO " capabilities^{}", CAN);
    pkt_put_flush(&said);
    is_refused("", "repo-empty");
    given(A " refs/heads/dev", CAN); /* HEAD leads nowhere */
    pkt_put_flush(&said);
    is_refused("", "repo-branch");
    given(A " HEAD", CAN " object-format=sha256");
    pkt_put_flush(&said);
    is_refused("", "repo-format");
}

static void what_no_git_server_says(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {
        "",          "<html>", "0000", "0003", "001e# service=git-upload-pack\n",
        "0008NAK\n", "zzzz",   "fffff"};
    for (size_t i = 0; i < countof(wrong); i++) {
        buf_clear(&said);
        buf_puts(&said, wrong[i]);
        is_refused("", "repo-not-git");
    }
    given("no commit", CAN);
    pkt_put_flush(&said);
    is_refused("", "repo-not-git");
    given(A " HEAD", CAN);
    pkt_put_flush(&said);
    pkt_put(&said, A " refs/heads/late\n");
    is_refused("", "repo-not-git");
    given(A " HEAD", "shallow");
    pkt_put_flush(&said);
    is_refused("", "repo-not-git");
    given(A " HEAD", CAN);
    is_refused("", "repo-not-git"); /* no end */
    buf_clear(&said);
    pkt_put(&said, "ERR Repository not found.\n");
    is_refused("", "repo-not-found");
}

static void the_request(void **unused)
{
    (void)unused;
    owned_buf body = BUF_INIT;
    bool is_shallow = false;
    given(A " HEAD", CAN);
    pkt_put_flush(&said);
    assert_int_equal(ask(""), 0);
    refs_put_request(&refs, &body, &is_shallow);
    assert_true(is_shallow);
    assert_string_equal(buf_str(&body),
                        "0065want " A " side-band-64k ofs-delta no-progress agent=testmesh\n"
                        "000ddeepen 1\n00000009done\n");
    given(A " HEAD", "side-band-64k");
    pkt_put_flush(&said);
    assert_int_equal(ask(""), 0);
    buf_clear(&body);
    refs_put_request(&refs, &body, &is_shallow);
    assert_false(is_shallow);
    assert_null(strstr(buf_str(&body), "deepen"));
}

static int tidy(void **unused)
{
    (void)unused;
    refs_fini(&refs);
    buf_fini(&said);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wanted_is_found),
        cmocka_unit_test(any_commit),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(what_no_git_server_says),
        cmocka_unit_test(the_request),
    };
    return cmocka_run_group_tests(tests, NULL, tidy);
}
