#include "proto/base/mem.h"
#include "runner/git/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_allowed(const char *text, const struct git_networks *also)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return git_address_is_allowed((struct sockaddr *)&v4, also);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return git_address_is_allowed((struct sockaddr *)&v6, also);
}

static void public_addresses(void **unused)
{
    (void)unused;
    static const char *const fine[] = {"140.82.121.3",      "1.1.1.1",       "172.15.255.255",
                                       "172.32.0.1",        "100.63.0.1",    "198.17.0.1",
                                       "223.255.255.255",   "192.0.1.1",     "2606:50c0:8000::64",
                                       "2a00:1450:4001::1", "::ffff:1.1.1.1"};
    for (size_t i = 0; i < countof(fine); i++)
        if (!is_allowed(fine[i], NULL))
            fail_msg("%s was refused", fine[i]);
}

static void all_others(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"0.0.0.0",       "10.1.2.3",         "100.64.0.1",
                                        "127.0.0.1",     "127.255.0.1",      "169.254.169.254",
                                        "172.16.0.1",    "172.31.255.255",   "192.0.0.8",
                                        "192.0.2.1",     "192.168.1.1",      "198.18.0.1",
                                        "198.51.100.1",  "203.0.113.9",      "224.0.0.1",
                                        "240.0.0.1",     "255.255.255.255",  "::",
                                        "::1",           "::ffff:127.0.0.1", "::ffff:10.0.0.1",
                                        "::127.0.0.1",   "64:ff9b::7f00:1",  "64:ff9b:1::1",
                                        "100::1",        "2001::1",          "2001:db8::1",
                                        "2002:7f00:1::", "3fff::1",          "fc00::1",
                                        "fd12::1",       "fe80::1",          "fec0::1",
                                        "ff02::1",       "5f00::1"};
    for (size_t i = 0; i < countof(wrong); i++)
        if (is_allowed(wrong[i], NULL))
            fail_msg("%s was taken", wrong[i]);
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(git_address_is_allowed(&local, NULL));
}

static void what_the_operator_allows(void **unused)
{
    (void)unused;
    struct git_network items[3];
    const struct git_networks also = {items, countof(items)};
    assert_int_equal(git_network_parse(&items[0], "10.20.0.0/14", NULL), 0);
    assert_int_equal(git_network_parse(&items[1], "127.0.0.1", NULL), 0);
    assert_int_equal(git_network_parse(&items[2], "fd00:1::/33", NULL), 0);
    assert_true(is_allowed("10.20.0.1", &also));
    assert_true(is_allowed("10.23.255.255", &also));
    assert_false(is_allowed("10.24.0.0", &also));
    assert_false(is_allowed("10.19.255.255", &also));
    assert_true(is_allowed("127.0.0.1", &also));
    assert_false(is_allowed("127.0.0.2", &also));
    assert_true(is_allowed("fd00:1:7fff::1", &also));
    assert_false(is_allowed("fd00:1:8000::1", &also));
    assert_false(is_allowed("169.254.169.254", &also));
}

static void networks_in_words(void **unused)
{
    (void)unused;
    struct git_network network;
    static const char *const wrong[] = {
        "",          "x",      "1.2.3",  "1.2.3.4/",      "1.2.3.4/33",
        "1.2.3.4/x", "::/129", "::1/-1", "1.2.3.4/99999", "01.2.3.4.5"};
    for (size_t i = 0; i < countof(wrong); i++)
        assert_int_not_equal(git_network_parse(&network, wrong[i], NULL), 0);
    assert_int_equal(git_network_parse(&network, "0.0.0.0/0", NULL), 0);
    assert_int_equal(network.bits, 96);
    assert_int_equal(git_network_parse(&network, "::ffff:7f00:1/128", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses),
        cmocka_unit_test(all_others),
        cmocka_unit_test(what_the_operator_allows),
        cmocka_unit_test(networks_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
