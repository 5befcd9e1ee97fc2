#include "proto/base/mem.h"
#include "runner/git/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf said;
static struct buf got;
static struct err err;

static int take_in(bool is_shallow, size_t piece)
{
    struct answer answer;
    int rc = 0;
    err = (struct err)ERR_INIT;
    buf_clear(&got);
    answer_init(&answer, is_shallow);
    for (size_t at = 0; at < said.len && !rc; at += piece) {
        const char *bytes = said.data + at;
        size_t len = piece < said.len - at ? piece : said.len - at;
        while (len > 0 && !rc) {
            struct answer_out out;
            rc = answer_step(&answer, bytes, len, &out, &err);
            buf_append(&got, out.data ? out.data : "", out.data_len);
            bytes += out.used;
            len -= out.used;
        }
    }
    if (!rc)
        rc = answer_end(&answer, &err);
    answer_fini(&answer);
    return rc;
}

static int take(bool is_shallow)
{
    int whole = take_in(is_shallow, said.len);
    owned_mem char *text = mem_strdup(buf_str(&got));
    for (size_t piece = 1; piece < 12; piece++) {
        assert_int_equal(take_in(is_shallow, piece), whole);
        assert_string_equal(buf_str(&got), text);
    }
    return whole;
}

static void given(const char *text)
{
    buf_clear(&said);
    buf_puts(&said, text);
}

static void the_packs_bytes_come_out(void **unused)
{
    (void)unused;
    given("0008NAK\n0009\1PACK000c\2wordsX\n0005\1"
          "0008\1def0000");
    assert_int_equal(take(false), 0);
    assert_string_equal(buf_str(&got), "PACKdef");
    given("0034shallow aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000008NAK\n0009\1PACK0000");
    assert_int_equal(take(true), 0);
    assert_string_equal(buf_str(&got), "PACK");
}

static void is_refused(bool is_shallow, int code, const char *reason)
{
    assert_int_equal(take(is_shallow), code);
    assert_string_equal(err.reason, reason);
}

static void what_goes_wrong(void **unused)
{
    (void)unused;
    given("0008NAK\n0010\3out of luck");
    is_refused(false, ERR_UNAVAILABLE, "repo-unreachable");
    assert_non_null(strstr(err.text, "out of luck"));
    given("0026ERR upload-pack: not our ref aaaaaa");
    is_refused(false, ERR_UNPROCESSABLE, "repo-commit");
    given("0008NAK\n0009\1PACK");
    is_refused(false, ERR_UNAVAILABLE, "repo-unreachable");
    given("0008NAK\n0009\1PACK00");
    is_refused(false, ERR_UNAVAILABLE, "repo-unreachable");
    static const char *const wrong[] = {"0000",
                                        "0008ACK\n",
                                        "0008NAK\n0006\4x0000",
                                        "xxxx",
                                        "0001",
                                        "0008NAK\n00000005x",
                                        "0034shallow aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < countof(wrong); i++) {
        given(wrong[i]);
        is_refused(false, ERR_UNPROCESSABLE, "repo-not-git");
    }
}

/* The words of a server are bounded, and steer no terminal. */
static void a_servers_words(void **unused)
{
    (void)unused;
    given("0008NAK\n0010\3a\x1b[2Jb\nc\x7f x");
    is_refused(false, ERR_UNAVAILABLE, "repo-unreachable");
    assert_non_null(strstr(err.text, "a [2Jb c  x"));
    given("0008NAK\nfff0\3");
    for (size_t i = 0; i < 0xfff0 - 5; i++)
        buf_putc(&said, 'x');
    assert_int_equal(take_in(false, 1000), ERR_UNAVAILABLE);
}

static int tidy(void **unused)
{
    (void)unused;
    buf_fini(&said);
    buf_fini(&got);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_packs_bytes_come_out),
        cmocka_unit_test(what_goes_wrong),
        cmocka_unit_test(a_servers_words),
    };
    return cmocka_run_group_tests(tests, NULL, tidy);
}
