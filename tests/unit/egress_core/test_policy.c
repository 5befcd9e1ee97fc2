/* Who may reach what: the table of policy.h, row by row. */
#include "proto/base/mem.h"
#include "runner/egress/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct egress_own own = {{5001, 5002}, 2};
static struct egress_policy indexes;
static struct egress_policy repositories = {.public_only = true};
static struct git_network also;

static struct egress_target target(const char *text)
{
    struct egress_target at;
    assert_true(egress_target_parse(&at, text, strlen(text), 0));
    return at;
}

static enum egress_verdict of_target(const struct egress_policy *policy, const char *text)
{
    struct egress_target at = target(text);
    return egress_policy_target(policy, &own, &at, false);
}

static enum egress_verdict of_address(const struct egress_policy *policy, const char *text,
                                      bool is_here)
{
    struct wire_addr addr;
    assert_true(wire_addr_parse(text, &addr));
    return egress_policy_address(policy, &own, &addr, is_here);
}

static void what_is_asked_for(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum egress_verdict verdict;
    } cases[] = {
        {"pypi.org:443", EGRESS_FINE},
        {"PYPI.ORG.:443", EGRESS_FINE},
        {"pypi.org:22", EGRESS_NOT_ALLOWED},
        {"evil.example:443", EGRESS_NOT_ALLOWED},
        {"pypi.org.evil.example:443", EGRESS_NOT_ALLOWED},
        {"127.0.0.1:3141", EGRESS_FINE}, /* the operator's index may live there */
        {"127.0.0.1:5001", EGRESS_OWN},
        {"127.8.8.8:5002", EGRESS_OWN},
        {"127.1:5001", EGRESS_OWN},
        {"2130706433:5001", EGRESS_OWN},
        {"0x7f.1:5001", EGRESS_OWN},
        {"0.0.0.0:5001", EGRESS_OWN},
        {"[::1]:5001", EGRESS_OWN},
        {"[::]:5001", EGRESS_OWN},
        {"[::ffff:127.0.0.1]:5001", EGRESS_OWN},
        {"[64:ff9b::7f00:1]:5001", EGRESS_OWN},
        {"localhost:5001", EGRESS_OWN},
        {"a.localhost:5001", EGRESS_OWN},
        {"localhost:22", EGRESS_NOT_ALLOWED},
        {"notlocalhost:5001", EGRESS_NOT_ALLOWED},
        {"127.0.0.1:22", EGRESS_NOT_ALLOWED},
        {"10.0.0.1:5001", EGRESS_NOT_ALLOWED},
        {"169.254.169.254:80", EGRESS_LINK_LOCAL},
        {"0xa9fea9fe:80", EGRESS_LINK_LOCAL},
        {"[::ffff:169.254.1.1]:80", EGRESS_LINK_LOCAL},
        {"[64:ff9b::a9fe:a9fe]:80", EGRESS_LINK_LOCAL},
        {"[fe80::1]:80", EGRESS_LINK_LOCAL},
        {"[febf::1]:80", EGRESS_LINK_LOCAL},
        {"[fec0::1]:80", EGRESS_NOT_ALLOWED},
        {"[fd00:ec2::254]:80", EGRESS_LINK_LOCAL},
        {"100.100.100.200:80", EGRESS_LINK_LOCAL},
        {"168.63.129.16:80", EGRESS_LINK_LOCAL},
    };
    for (size_t i = 0; i < countof(cases); i++)
        if (of_target(&indexes, cases[i].text) != cases[i].verdict)
            fail_msg("%s: %d", cases[i].text, of_target(&indexes, cases[i].text));
    /* An address of this machine's that is no loopback: the caller knows. */
    struct egress_target here = target("192.168.1.20:5001");
    assert_int_equal(egress_policy_target(&indexes, &own, &here, true), EGRESS_OWN);
    assert_int_equal(egress_policy_target(&indexes, &own, &here, false), EGRESS_NOT_ALLOWED);
}

static void an_index_may_have_any_address_but_ours_and_the_links(void **unused)
{
    (void)unused;
    assert_int_equal(of_address(&indexes, "151.101.0.223:443", false), EGRESS_FINE);
    assert_int_equal(of_address(&indexes, "10.1.2.3:443", false), EGRESS_FINE);
    assert_int_equal(of_address(&indexes, "203.0.113.80:443", false), EGRESS_FINE);
    assert_int_equal(of_address(&indexes, "127.0.0.1:443", true), EGRESS_FINE);
    assert_int_equal(of_address(&indexes, "127.0.0.1:5001", true), EGRESS_OWN);
    assert_int_equal(of_address(&indexes, "192.168.1.20:5001", true), EGRESS_OWN);
    assert_int_equal(of_address(&indexes, "192.168.1.21:5001", false), EGRESS_FINE);
    assert_int_equal(of_address(&indexes, "0.0.0.0:5002", false), EGRESS_OWN);
    assert_int_equal(of_address(&indexes, "169.254.169.254:443", false), EGRESS_LINK_LOCAL);
    assert_int_equal(of_address(&indexes, "[fe80::2]:443", false), EGRESS_LINK_LOCAL);
    assert_int_equal(of_address(&indexes, "[2606:4700::1]:443", false), EGRESS_FINE);
}

static void a_repository_has_a_public_address_or_one_that_is_allowed(void **unused)
{
    (void)unused;
    assert_int_equal(of_target(&repositories, "git.example:443"), EGRESS_FINE);
    assert_int_equal(of_target(&repositories, "pypi.org:443"), EGRESS_NOT_ALLOWED);
    assert_int_equal(of_target(&repositories, "10.0.0.1:443"), EGRESS_NOT_PUBLIC);
    assert_int_equal(of_address(&repositories, "140.82.121.4:443", false), EGRESS_FINE);
    assert_int_equal(of_address(&repositories, "10.0.0.1:443", false), EGRESS_NOT_PUBLIC);
    assert_int_equal(of_address(&repositories, "127.0.0.1:443", true), EGRESS_NOT_PUBLIC);
    assert_int_equal(of_address(&repositories, "169.254.169.254:443", false), EGRESS_NOT_PUBLIC);
    assert_int_equal(of_address(&repositories, "[64:ff9b::a00:1]:443", false), EGRESS_NOT_PUBLIC);
    assert_int_equal(of_address(&repositories, "192.168.7.7:443", false), EGRESS_FINE);
    assert_int_equal(of_address(&repositories, "192.168.7.7:5001", true), EGRESS_OWN);
}

static void every_verdict_has_a_name_and_words(void **unused)
{
    (void)unused;
    for (int i = EGRESS_NOT_ALLOWED; i <= EGRESS_NOT_PUBLIC; i++) {
        const char *reason = egress_verdict_reason((enum egress_verdict)i);
        assert_int_equal(strncmp(reason, "egress-", 7), 0);
        assert_true(strlen(egress_verdict_words((enum egress_verdict)i)) > 10);
    }
}

static int set_up(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    struct egress_target literal = target("10.0.0.1:443");
    egress_places_add_urls(&indexes.places, "https://pypi.org/simple http://127.0.0.1:3141/");
    egress_places_add_urls(&repositories.places, "https://git.example");
    egress_places_add(&repositories.places, &literal);
    repositories.also = (struct git_networks){&also, 1};
    return git_network_parse(&also, "192.168.7.0/24", &err);
}

static int tear_down(void **unused)
{
    (void)unused;
    egress_places_fini(&indexes.places);
    egress_places_fini(&repositories.places);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_for),
        cmocka_unit_test(an_index_may_have_any_address_but_ours_and_the_links),
        cmocka_unit_test(a_repository_has_a_public_address_or_one_that_is_allowed),
        cmocka_unit_test(every_verdict_has_a_name_and_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
