/* The operator's own proxies, and what does not go through them. */
#include "proto/base/mem.h"
#include "runner/egress/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct egress_upstreams read_all(const char *const *environ_)
{
    struct egress_upstreams self;
    struct err err = ERR_INIT;
    if (egress_upstreams_init(&self, environ_, &err))
        fail_msg("%s", err.text);
    return self;
}

static const struct egress_upstream *ask(const struct egress_upstreams *self, const char *text,
                                         bool is_tunnel)
{
    struct egress_target target;
    assert_true(egress_target_parse(&target, text, strlen(text), 0));
    return egress_upstreams_for(self, &target, is_tunnel);
}

static void without_variables_there_is_none(void **unused)
{
    (void)unused;
    static const char *const environ_[] = {"PATH=/bin", "HTTPS_PROXY=", "HTTPS_PROXYX=http://a",
                                           NULL};
    struct egress_upstreams self = read_all(environ_);
    assert_null(ask(&self, "pypi.org:443", true));
    assert_null(ask(&self, "pypi.org:80", false));
    egress_upstreams_fini(&self);
}

static void each_kind_has_its_own(void **unused)
{
    (void)unused;
    static const char *const environ_[] = {"https_proxy=http://me:p%40ss%3a@Tunnel.example:3128/",
                                           "HTTP_PROXY=plain.example:8080",
                                           "ALL_PROXY=http://all.example", NULL};
    struct egress_upstreams self = read_all(environ_);
    const struct egress_upstream *tunnel = ask(&self, "pypi.org:443", true);
    assert_string_equal(tunnel->at.host, "tunnel.example");
    assert_int_equal(tunnel->at.port, 3128);
    assert_string_equal(tunnel->authorization, "Basic bWU6cEBzczo="); /* me:p@ss: */
    const struct egress_upstream *plain = ask(&self, "pypi.org:80", false);
    assert_string_equal(plain->at.host, "plain.example");
    assert_null(plain->authorization);
    egress_upstreams_fini(&self);
}

static void one_for_all_serves_both(void **unused)
{
    (void)unused;
    static const char *const environ_[] = {"ALL_PROXY=http://all.example", NULL};
    struct egress_upstreams self = read_all(environ_);
    assert_string_equal(ask(&self, "pypi.org:443", true)->at.host, "all.example");
    assert_int_equal(ask(&self, "pypi.org:80", false)->at.port, 80);
    egress_upstreams_fini(&self);
}

static void what_is_not_spoken_is_named_and_fails(void **unused)
{
    (void)unused;
    static const char *const values[] = {"HTTPS_PROXY=socks5://secret@proxy.example",
                                         "HTTPS_PROXY=https://proxy.example",
                                         "HTTPS_PROXY=http://secret@", "HTTPS_PROXY=http://:1"};
    for (size_t i = 0; i < countof(values); i++) {
        const char *const environ_[] = {values[i], NULL};
        struct egress_upstreams self;
        struct err err = ERR_INIT;
        assert_int_equal(egress_upstreams_init(&self, environ_, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "HTTPS_PROXY"));
        assert_null(strstr(err.text, "secret"));
        const struct egress_upstream *upstream = ask(&self, "pypi.org:443", true);
        assert_non_null(upstream); /* not directly: that is not what the operator said */
        assert_string_equal(upstream->at.host, "");
        egress_upstreams_fini(&self);
    }
}

static void exceptions_are_direct(void **unused)
{
    (void)unused;
    static const char *const environ_[] = {
        "ALL_PROXY=http://all.example",
        "NO_PROXY=localhost, .corp.example,*.star.example plain.example,port.example:8080,"
        "10.0.0.0/8,192.168.1.7,fd00::/8,::1,,[2001:db8::1]:9",
        NULL};
    static const struct {
        const char *text;
        bool is_direct;
    } cases[] = {
        {"localhost:443", true},
        {"a.corp.example:443", true},
        {"corp.example:443", true},
        {"xcorp.example:443", false},
        {"a.star.example:443", true},
        {"plain.example:443", true},
        {"deep.plain.example:80", true},
        {"plain.example.org:443", false},
        {"port.example:8080", true},
        {"port.example:443", false},
        {"10.1.2.3:443", true},
        {"11.1.2.3:443", false},
        {"192.168.1.7:443", true},
        {"192.168.1.8:443", false},
        {"[fd12::1]:443", true},
        {"[fe12::1]:443", false},
        {"[::1]:443", true},
        {"[2001:db8::1]:9", true},
        {"[2001:db8::1]:10", false},
        {"pypi.org:443", false},
    };
    struct egress_upstreams self = read_all(environ_);
    for (size_t i = 0; i < countof(cases); i++)
        if ((ask(&self, cases[i].text, true) == NULL) != cases[i].is_direct)
            fail_msg("%s", cases[i].text);
    egress_upstreams_fini(&self);
    static const char *const none[] = {"ALL_PROXY=http://all.example", "no_proxy=*", NULL};
    self = read_all(none);
    assert_null(ask(&self, "pypi.org:443", true));
    egress_upstreams_fini(&self);
}

static void variables_of_proxies_are_known(void **unused)
{
    (void)unused;
    assert_true(egress_is_proxy_variable("HTTPS_PROXY=http://x"));
    assert_true(egress_is_proxy_variable("no_proxy=x"));
    assert_true(egress_is_proxy_variable("PIP_PROXY=x"));
    assert_false(egress_is_proxy_variable("PIP_INDEX_URL=x"));
    assert_false(egress_is_proxy_variable("HTTPS_PROXY_X=x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_variables_there_is_none),
        cmocka_unit_test(each_kind_has_its_own),
        cmocka_unit_test(one_for_all_serves_both),
        cmocka_unit_test(what_is_not_spoken_is_named_and_fails),
        cmocka_unit_test(exceptions_are_direct),
        cmocka_unit_test(variables_of_proxies_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
