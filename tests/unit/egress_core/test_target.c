/* What is read as a host and a port, and which hosts a list has. */
#include "proto/base/mem.h"
#include "runner/egress/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void hosts_are_read_in_one_form(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *form; /* NULL: refused */
    } cases[] = {
        {"pypi.org:443", "pypi.org:443"},
        {"PyPI.Org.:443", "pypi.org:443"},
        {"pypi.org", "pypi.org:80"},
        {"a_b-c.example:1", "a_b-c.example:1"},
        {"127.0.0.1:65535", "127.0.0.1:65535"},
        {"[::1]:8080", "[::1]:8080"},
        {"[FE80::1]", "[fe80::1]:80"},
        {"", NULL},
        {":443", NULL},
        {"pypi.org:", NULL},
        {"pypi.org:0", NULL},
        {"pypi.org:65536", NULL},
        {"pypi.org:+1", NULL},
        {"pypi.org:443:443", NULL},
        {"user@pypi.org:443", NULL},
        {"pypi org:443", NULL},
        {"pypi..org:443", NULL},
        {"pypi.org..:443", NULL},
        {".org:443", NULL},
        {"-a:443", NULL},
        {"::1:443", NULL},
        {"[::1", NULL},
        {"[::1]443", NULL},
        {"[fe80::1%eth0]:443", NULL},
        {"[127.0.0.1]:443", NULL},
        {"p\xc3\xbcpi.org:443", NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct egress_target target;
        bool is_read = egress_target_parse(&target, cases[i].text, strlen(cases[i].text), 80);
        if (is_read != (cases[i].form != NULL))
            fail_msg("%s: read %d", cases[i].text, is_read);
        owned_buf form = BUF_INIT;
        if (is_read)
            egress_target_put(&target, &form);
        if (is_read)
            assert_string_equal(buf_str(&form), cases[i].form);
    }
}

static void a_port_is_needed_where_none_is_given(void **unused)
{
    (void)unused;
    struct egress_target target;
    assert_false(egress_target_parse(&target, "pypi.org", 8, 0));
    assert_true(egress_target_parse(&target, "pypi.org:443", 12, 0));
}

static void zero_bytes_are_no_end(void **unused)
{
    (void)unused;
    struct egress_target target;
    assert_false(egress_target_parse(&target, "pypi.org\0x:443", 14, 0));
    assert_false(egress_target_parse(&target, "[::1\0]:443", 10, 0));
}

static bool have(const struct egress_places *places, const char *text)
{
    struct egress_target target;
    assert_true(egress_target_parse(&target, text, strlen(text), 0));
    return egress_places_have(places, &target);
}

static void urls_are_found_in_any_text(void **unused)
{
    (void)unused;
    struct egress_places places = {0};
    egress_places_add_urls(&places,
                           "PIP_INDEX_URL=https://me:se@cret@Index.example/simple\n"
                           "PIP_EXTRA_INDEX_URL=http://a.example:8080/x https://[2001:db8::1]:9/\n"
                           "name=https://b.example,file:///srv/wheels ftp://c.example/ ://d");
    assert_int_equal(places.count, 4);
    assert_true(have(&places, "index.example:443"));
    assert_false(have(&places, "index.example:80"));
    assert_true(have(&places, "a.example:8080"));
    assert_true(have(&places, "[2001:db8::1]:9"));
    assert_true(have(&places, "b.example:443"));
    assert_false(have(&places, "c.example:443"));
    assert_false(have(&places, "sub.b.example:443"));
    egress_places_fini(&places);
}

static void what_operators_write_has_both_ports_or_its_own(void **unused)
{
    (void)unused;
    struct egress_places places = {0};
    struct err err = ERR_INIT;
    assert_int_equal(egress_places_add_text(&places, "Files.example", &err), 0);
    assert_int_equal(egress_places_add_text(&places, "Files.example", &err), 0);
    assert_int_equal(egress_places_add_text(&places, "other.example:8443", &err), 0);
    assert_int_equal(places.count, 2);
    assert_true(have(&places, "files.example:80"));
    assert_true(have(&places, "files.example:443"));
    assert_false(have(&places, "files.example:22"));
    assert_true(have(&places, "other.example:8443"));
    assert_false(have(&places, "other.example:443"));
    assert_int_equal(egress_places_add_text(&places, "https://x.example", &err), ERR_INVALID);
    assert_int_equal(egress_places_add_text(&places, "", &err), ERR_INVALID);
    egress_places_fini(&places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_read_in_one_form),
        cmocka_unit_test(a_port_is_needed_where_none_is_given),
        cmocka_unit_test(zero_bytes_are_no_end),
        cmocka_unit_test(urls_are_found_in_any_text),
        cmocka_unit_test(what_operators_write_has_both_ports_or_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
