#include "node/http/parse.h"
#include "node/http/problem.h"
#include "proto/base/mem.h"
#include "tests/lib/http_transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HOST    "Host: a\r\n"
#define GET     "GET / HTTP/1.1\r\n" HOST
#define POST    "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

/* The verbs. What is understood is the same for every cut of the bytes, or the test fails. */
static struct buf understood;

static void understand(const char *bytes, size_t len)
{
    buf_clear(&understood);
    transcript_http(&understood, bytes, len, (struct transcript_cut){0});
    size_t stride = len < 1000 ? 1 : 331; /* every place, but where that takes long */
    for (size_t cut = 0; cut < len; cut += stride) {
        owned_buf other = BUF_INIT;
        /* size 0, once false is the whole again; size 1 is byte by byte */
        struct transcript_cut how = {.size = cut == 1 ? 1 : cut, .once = cut != 1};
        transcript_http(&other, bytes, len, how);
        assert_string_equal(buf_str(&other), buf_str(&understood));
    }
}

static const char *refusal_of(const char *bytes, size_t len)
{
    understand(bytes, len);
    char *bad = strstr(buf_str(&understood), "\nbad ");
    if (!bad)
        return NULL;
    bad += 5;
    bad[strcspn(bad, "\n")] = '\0';
    return bad;
}

static void read_as(const char *bytes, const char *want)
{
    understand(bytes, strlen(bytes));
    assert_string_equal(buf_str(&understood), want);
}

/* ---- what is refused ---------------------------------------------------------------------- */

static const struct {
    const char *bytes;
    size_t len; /* 0: up to the zero */
    const char *reason;
    int status;
} bad[] = {
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "http-length-and-encoding",
     400},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0, "http-length-and-encoding",
     400},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0, "http-content-length-twice", 400},
    {POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", 0, "http-content-length-twice", 400},
    {POST "Content-Length: 5, 5\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: +5\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: -1\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: 0x5\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: 5 5\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length:\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: 18446744073709551621\r\n\r\n", 0, "http-content-length", 400},
    {POST "Content-Length: 9223372036854775808\r\n\r\n", 0, "http-content-length", 400},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, "http-transfer-encoding", 400},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, "http-transfer-encoding", 400},
    {POST "Transfer-Encoding: identity\r\n\r\n", 0, "http-transfer-encoding", 400},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", 0, "http-transfer-encoding", 400},
    {POST "Transfer-Encoding:\r\n\r\n", 0, "http-transfer-encoding", 400},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
     "http-transfer-encoding", 400},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0, "http-transfer-encoding",
     400},
    {POST "Content-Length : 5\r\n\r\n", 0, "http-blank-before-colon", 400},
    {POST "Transfer-Encoding\t: chunked\r\n\r\n", 0, "http-blank-before-colon", 400},
    {POST "X: a\r\n b\r\n\r\n", 0, "http-folded-header", 400},
    {POST "X: a\r\n\tb\r\n\r\n", 0, "http-folded-header", 400},
    {POST " X: a\r\n\r\n", 0, "http-folded-header", 400},
    {"GET / HTTP/1.1\n" HOST "\r\n", 0, "http-bare-lf", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 0, "http-bare-lf", 400},
    {GET "\n", 0, "http-bare-lf", 400},
    {GET "X: a\rb\r\n\r\n", 0, "http-bare-cr", 400},
    {"GET / HTTP/1.1\r\r\n" HOST "\r\n", 0, "http-bare-cr", 400},
    {"GET / HTTP/1.1\r\n\r\n", 0, "http-host-missing", 400},
    {GET HOST "\r\n", 0, "http-host-twice", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 0, "http-host", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, "http-host", 400},
    {GET "X: a\0b\r\n\r\n", sizeof GET "X: a\0b\r\n\r\n" - 1, "http-control-character", 400},
    {"GET /\0 HTTP/1.1\r\n\r\n", 19, "http-control-character", 400},
    {GET "X: a\x01\r\n\r\n", 0, "http-control-character", 400},
    {GET "X: a\x7f\r\n\r\n", 0, "http-control-character", 400},
    {GET "no colon\r\n\r\n", 0, "http-header", 400},
    {GET ": empty\r\n\r\n", 0, "http-header", 400},
    {GET "b@d: x\r\n\r\n", 0, "http-header", 400},
    {"GET /%00 HTTP/1.1\r\n" HOST "\r\n", 0, "http-escape", 400},
    {"GET /?a=%00 HTTP/1.1\r\n" HOST "\r\n", 0, "http-escape", 400},
    {"GET /%zz HTTP/1.1\r\n" HOST "\r\n", 0, "http-escape", 400},
    {"GET /%4 HTTP/1.1\r\n" HOST "\r\n", 0, "http-escape", 400},
    {"GET /?% HTTP/1.1\r\n" HOST "\r\n", 0, "http-escape", 400},
    {"GET /a%2Fb HTTP/1.1\r\n" HOST "\r\n", 0, "http-encoded-slash", 400},
    {"GET /a%2fb HTTP/1.1\r\n" HOST "\r\n", 0, "http-encoded-slash", 400},
    {"GET /evaluation/../../etc/passwd HTTP/1.1\r\n" HOST "\r\n", 0, "http-dot-segment", 400},
    {"GET /evaluation/%2e%2e HTTP/1.1\r\n" HOST "\r\n", 0, "http-dot-segment", 400},
    {"GET /evaluation/.%2E/x HTTP/1.1\r\n" HOST "\r\n", 0, "http-dot-segment", 400},
    {"GET /./x HTTP/1.1\r\n" HOST "\r\n", 0, "http-dot-segment", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-character", 400},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-character", 400},
    {"GET /a\\b HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-character", 400},
    {"GET x HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-form", 400},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-form", 400},
    {"CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-form", 400},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 0, "http-target-form", 400},
    {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 0, "http-host", 400},
    {"GET http://u:p@a/x HTTP/1.1\r\n" HOST "\r\n", 0, "http-host", 400},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 0, "http-version", 505},
    {"PRI * HTTP/2.0\r\n\r\n", 0, "http-version", 505},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 0, "http-version", 505},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", 0, "http-version", 505},
    {"GET / http/1.1\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"GET /\r\n", 0, "http-request-line", 400},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, "http-request-line", 400},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 0, "http-method", 400},
    {"AMETHODWITHOUTEND / HTTP/1.1\r\n" HOST "\r\n", 0, "http-method-unknown", 501},
    {"\x16\x03\x01\x02", 0, "http-control-character", 400}, /* TLS */
    {POST "Expect: 200-ok\r\n\r\n", 0, "http-expect", 417},
    {CHUNKED "5 \r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED " 5\r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "0x5\r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "+5\r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "-5\r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "\r\n", 0, "http-chunk-size", 400},
    {CHUNKED ";a\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "g\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "10000000000000005\r\nhello\r\n", 0, "http-chunk-size", 400},
    {CHUNKED "5\nhello\r\n", 0, "http-bare-lf", 400},
    {CHUNKED "5\r\nhello!\r\n", 0, "http-chunk-end", 400},
    {CHUNKED "5\r\nhello\n", 0, "http-chunk-end", 400},
    {CHUNKED "5;a\x01\r\nhello\r\n", 0, "http-control-character", 400},
    {CHUNKED "0\r\nno trailer\r\n\r\n", 0, "http-trailers", 400},
    {CHUNKED "0\r\n folded: x\r\n\r\n", 0, "http-trailers", 400},
};

static void what_is_doubtful_is_refused_by_name_and_status(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < countof(bad); i++) {
        size_t len = bad[i].len ? bad[i].len : strlen(bad[i].bytes);
        const char *reason = refusal_of(bad[i].bytes, len);
        if (!reason || strcmp(reason, bad[i].reason) != 0)
            fail_msg("row %zu (%.40s): %s, not %s", i, bad[i].bytes, reason ? reason : "accepted",
                     bad[i].reason);
        const struct problem *row = problem_find(reason);
        assert_non_null(row);
        assert_int_equal(row->status, bad[i].status);
    }
}

static void a_head_has_limits(void **unused)
{
    (void)unused;
    owned_buf many = BUF_INIT;
    buf_puts(&many, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 20; i++)
        buf_puts(&many, "a: b\r\n");
    assert_string_equal(refusal_of(many.data, many.len), "http-too-many-headers");

    owned_buf large = BUF_INIT;
    buf_puts(&large, "GET / HTTP/1.1\r\nHost: a\r\nx: ");
    for (size_t i = large.len; i < transcript_limits.head_bytes; i++)
        buf_putc(&large, 'y');
    assert_null(refusal_of(large.data, large.len));
    buf_putc(&large, 'y');
    assert_string_equal(refusal_of(large.data, large.len), "http-head-too-large");

    owned_buf target = BUF_INIT;
    buf_puts(&target, "GET /");
    for (int i = 0; i < 400; i++)
        buf_putc(&target, 'a');
    assert_string_equal(refusal_of(target.data, target.len), "http-target-too-long");
}

static void chunk_extensions_and_trailers_have_limits(void **unused)
{
    (void)unused;
    owned_buf extension = BUF_INIT;
    buf_puts(&extension, CHUNKED "5;");
    for (int i = 0; i < 300; i++)
        buf_putc(&extension, 'a');
    assert_string_equal(refusal_of(extension.data, extension.len), "http-chunk-size");

    /* Many small ones: 1 byte of body for 101 of extension. */
    owned_buf drip = BUF_INIT;
    buf_puts(&drip, CHUNKED);
    for (int i = 0; i < 200; i++)
        buf_printf(&drip, "1;%0100d\r\nx\r\n", 0);
    transcript_http(&understood, drip.data, drip.len, (struct transcript_cut){0});
    assert_non_null(strstr(buf_str(&understood), "bad http-chunk-size"));

    owned_buf trailers = BUF_INIT;
    buf_puts(&trailers, CHUNKED "0\r\n");
    for (int i = 0; i < 2000; i++)
        buf_puts(&trailers, "name: val\r\n");
    buf_clear(&understood);
    transcript_http(&understood, trailers.data, trailers.len, (struct transcript_cut){0});
    assert_non_null(strstr(buf_str(&understood), "bad http-trailers"));
}

/* ---- what is understood -------------------------------------------------------------------- */

static void a_request_says_what_it_says(void **unused)
{
    (void)unused;
    read_as("GET /a/b?c=d&e HTTP/1.1\r\nHost: Node:80\r\nX-Y:  two words \t\r\n\r\n",
            "GET /a/b ? c=d&e host=Node:80 1.1 keep=1 expect=0\nhost=Node:80\nx-y=two words\n"
            "body:\nend\n");
    read_as("GET / HTTP/1.0\r\n\r\n", "GET / ?  host= 1.0 keep=0 expect=0\nbody:\nend\n");
    read_as("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "GET / ?  host= 1.0 keep=1 expect=0\nconnection=Keep-Alive\nbody:\nend\n");
    read_as(GET "Connection: x, Close\r\n\r\n",
            "GET / ?  host=a 1.1 keep=0 expect=0\nhost=a\nconnection=x, Close\nbody:\nend\n");
    read_as("OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
            "OPTIONS * ?  host=a 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
}

static void one_empty_line_before_a_request_is_forgiven(void **unused)
{
    (void)unused;
    read_as("\r\n" GET "\r\n", "GET / ?  host=a 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
}

static void an_absolute_target_is_split_and_overrules_the_host(void **unused)
{
    (void)unused;
    read_as("GET http://other:1/p?q HTTP/1.1\r\n" HOST "\r\n",
            "GET /p ? q host=other:1 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
    read_as("GET HTTP://other HTTP/1.1\r\n" HOST "\r\n",
            "GET / ?  host=other 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
    read_as("GET https://[::1]:8?q HTTP/1.1\r\n" HOST "\r\n",
            "GET / ? q host=[::1]:8 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
}

static void a_body_of_known_length_ends_where_it_said(void **unused)
{
    (void)unused;
    read_as(POST "Content-Length: 5\r\n\r\nhello" GET "\r\n",
            "POST / ?  host=a 1.1 keep=1 expect=0\nhost=a\ncontent-length=5\nbody:hello\nend\n"
            "GET / ?  host=a 1.1 keep=1 expect=0\nhost=a\nbody:\nend\n");
    read_as(POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
            "POST / ?  host=a 1.1 keep=1 expect=0\nhost=a\ncontent-length=0\n"
            "expect=100-continue\nbody:\nend\n");
}

static void a_chunked_body_is_put_together_and_its_trailers_dropped(void **unused)
{
    (void)unused;
    read_as(CHUNKED "5\r\nhello\r\n00a;ext=\"x\"\r\n, world...\r\n0\r\nX: dropped\r\n\r\n",
            "POST / ?  host=a 1.1 keep=1 expect=0\nhost=a\ntransfer-encoding=chunked\n"
            "body:hello, world...\nend\n");
}

static void a_smuggled_request_stays_in_the_body(void **unused)
{
    (void)unused;
    read_as(POST "Content-Length: 27\r\n\r\nGET /secret HTTP/1.1\r\nx: y\n",
            "POST / ?  host=a 1.1 keep=1 expect=0\nhost=a\ncontent-length=27\n"
            "body:GET /secret HTTP/1.1\r\nx: y\n\nend\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_doubtful_is_refused_by_name_and_status),
        cmocka_unit_test(a_head_has_limits),
        cmocka_unit_test(chunk_extensions_and_trailers_have_limits),
        cmocka_unit_test(a_request_says_what_it_says),
        cmocka_unit_test(one_empty_line_before_a_request_is_forgiven),
        cmocka_unit_test(an_absolute_target_is_split_and_overrules_the_host),
        cmocka_unit_test(a_body_of_known_length_ends_where_it_said),
        cmocka_unit_test(a_chunked_body_is_put_together_and_its_trailers_dropped),
        cmocka_unit_test(a_smuggled_request_stays_in_the_body),
    };
    int failed = cmocka_run_group_tests_name("parse", tests, NULL, NULL);
    buf_fini(&understood);
    return failed;
}
