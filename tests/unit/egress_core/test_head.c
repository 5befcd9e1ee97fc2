/* Heads of requests to the proxy: what is taken, what is written anew, what is refused. */
#include "proto/base/mem.h"
#include "runner/egress/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct egress_head *head)
{
    return egress_head_parse(head, text, strlen(text));
}

static void a_tunnel_is_taken(void **unused)
{
    (void)unused;
    struct egress_head head;
    assert_int_equal(parse("CONNECT PyPI.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n"
                           "User-Agent: uv\r\n\r\n",
                           &head),
                     0);
    assert_true(head.is_tunnel);
    assert_string_equal(head.target.host, "pypi.org");
    assert_int_equal(head.target.port, 443);
    assert_int_equal(parse("CONNECT [::1]:443 HTTP/1.0\r\n\r\n", &head), 0);
    assert_string_equal(head.target.host, "::1");
}

static void a_request_is_written_anew(void **unused)
{
    (void)unused;
    struct egress_head head;
    assert_int_equal(parse("GET http://Index.example:8080/simple/a%20b/?x=y HTTP/1.1\r\n"
                           "Host: other.example\r\nAccept: text/html\r\nconnection: keep-alive\r\n"
                           "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic secret\r\n"
                           "Content-Length: 0\r\nAuthorization: Basic mine\r\n\r\n",
                           &head),
                     0);
    assert_false(head.is_tunnel);
    owned_buf plain = BUF_INIT;
    egress_head_put(&head, false, NULL, &plain);
    assert_string_equal(buf_str(&plain), "GET /simple/a%20b/?x=y HTTP/1.1\r\n"
                                         "Host: index.example:8080\r\nAccept: text/html\r\n"
                                         "Authorization: Basic mine\r\nConnection: close\r\n\r\n");
    owned_buf through = BUF_INIT;
    egress_head_put(&head, true, "Basic ours", &through);
    assert_string_equal(buf_str(&through),
                        "GET http://index.example:8080/simple/a%20b/?x=y HTTP/1.1\r\n"
                        "Host: index.example:8080\r\nAccept: text/html\r\n"
                        "Authorization: Basic mine\r\nProxy-Authorization: Basic ours\r\n"
                        "Connection: close\r\n\r\n");
}

static void a_bare_host_gets_a_path(void **unused)
{
    (void)unused;
    struct egress_head head;
    owned_buf out = BUF_INIT;
    assert_int_equal(parse("HEAD http://[2001:DB8::1] HTTP/1.1\r\n\r\n", &head), 0);
    egress_head_put(&head, false, NULL, &out);
    assert_string_equal(buf_str(&out),
                        "HEAD / HTTP/1.1\r\nHost: [2001:db8::1]\r\nConnection: close\r\n\r\n");
}

static void what_is_doubtful_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"", 400},
        {"\r\n\r\n", 400},
        {"CONNECT pypi.org:443 HTTP/1.1\n\n", 400},
        {"CONNECT pypi.org:443 HTTP/1.1\r\n", 400},
        {"CONNECT pypi.org HTTP/1.1\r\n\r\n", 400},
        {"CONNECT  pypi.org:443 HTTP/1.1\r\n\r\n", 400},
        {"CONNECT pypi.org:443  HTTP/1.1\r\n\r\n", 400},
        {"CONNECT pypi.org:443 HTTP/1.1 \r\n\r\n", 505},
        {"CONNECT pypi.org:443 HTTP/2\r\n\r\n", 505},
        {"CONNECT pypi.org:443\r\n\r\n", 400},
        {"CONNECT http://pypi.org/ HTTP/1.1\r\n\r\n", 400},
        {"CONNECT user@pypi.org:443 HTTP/1.1\r\n\r\n", 400},
        {"connect pypi.org:443 HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET https://pypi.org/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://user:pw@pypi.org/ HTTP/1.1\r\n\r\n", 400},
        {"GET http:/// HTTP/1.1\r\n\r\n", 400},
        {"GET http://a.example?x HTTP/1.1\r\n\r\n", 400},
        {"GET http://a.example/#x HTTP/1.1\r\n\r\n", 400},
        {"GET http://a.example/\x7f HTTP/1.1\r\n\r\n", 400},
        {"G(T http://a.example/ HTTP/1.1\r\n\r\n", 400},
        {"ABCDEFGHIJKLMNOPQ http://a.example/ HTTP/1.1\r\n\r\n", 400},
        {"POST http://a.example/ HTTP/1.1\r\n\r\n", 405},
        {"GET http://a.example/ HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nContent-Length: 00\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nA : b\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\n: b\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nA: b\rc\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
        {"GET http://a.example/ HTTP/1.1\r\n\r\nmore", 400},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct egress_head head;
        int status = parse(cases[i].text, &head);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].text, status);
    }
}

static void too_much_is_refused(void **unused)
{
    (void)unused;
    struct egress_head head;
    owned_buf many = BUF_INIT;
    buf_puts(&many, "CONNECT a.example:443 HTTP/1.1\r\n");
    for (int i = 0; i < 101; i++)
        buf_puts(&many, "A: b\r\n");
    buf_puts(&many, "\r\n");
    assert_int_equal(egress_head_parse(&head, many.data, many.len), 431);
    owned_mem char *large =
        mem_printf("CONNECT a.example:443 HTTP/1.1\r\nA: %*d\r\n\r\n", (int)EGRESS_HEAD_MAX, 1);
    assert_int_equal(parse(large, &head), 431);
}

static void a_further_proxy_is_asked_and_understood(void **unused)
{
    (void)unused;
    struct egress_target target;
    owned_buf out = BUF_INIT;
    assert_true(egress_target_parse(&target, "[::1]:443", 9, 0));
    egress_head_put_connect(&target, "Basic x", &out);
    assert_string_equal(buf_str(&out), "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"
                                       "Proxy-Authorization: Basic x\r\n\r\n");
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200}, {"HTTP/1.0 407 Who\r\n\r\n", 407},
        {"HTTP/1.1 200\r\n\r\n", 200},    {"HTTP/1.1 2000\r\n\r\n", 0},
        {"HTTP/2 200\r\n\r\n", 0},        {"SSH-2.0-x\r\n\r\n", 0},
        {"HTTP/1.1 2x0 \r\n\r\n", 0},     {"", 0},
    };
    for (size_t i = 0; i < countof(cases); i++)
        assert_int_equal(egress_head_status(cases[i].text, strlen(cases[i].text)), cases[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_is_taken),
        cmocka_unit_test(a_request_is_written_anew),
        cmocka_unit_test(a_bare_host_gets_a_path),
        cmocka_unit_test(what_is_doubtful_is_refused),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(a_further_proxy_is_asked_and_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
