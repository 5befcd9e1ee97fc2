#include "runner/jail/confine_spec.h"

#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct confine_spec named(const char *project)
{
    struct confine_spec spec = confine_spec_default();
    snprintf(spec.project, sizeof spec.project, "%s", project);
    return spec;
}

static void the_bytes_hold_the_limits_and_the_filter(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    owned_buf bytes = BUF_INIT;
    struct confine_spec wanted = named("/work/a project");
    assert_int_equal(confine_spec_build(&wanted, &bytes, &err), 0);
    assert_null(confine_spec_check(bytes.data, bytes.len));
    struct confine_spec got;
    memcpy(&got, bytes.data, sizeof got);
    assert_int_equal(got.processes, 64);
    assert_int_equal(got.tmp_bytes, 256 << 20);
    assert_true(got.filter_count > 50);
    assert_true(bytes.len < CONFINE_SPEC_MAX);
}

static void the_filter_ends_every_path_in_an_answer(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    owned_buf bytes = BUF_INIT;
    assert_int_equal(filter_compile(&bytes, &err), 0);
    assert_int_equal(bytes.len % sizeof(struct sock_filter), 0);
    const struct sock_filter *code = (const void *)bytes.data;
    size_t count = bytes.len / sizeof *code;
    assert_int_equal(BPF_CLASS(code[count - 1].code), BPF_RET);
    assert_true(count <= BPF_MAXINSNS);
}

static void only_a_name_below_work_is_a_project(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"",        "/work",      "/work/",   "/work/a/b",
                                      "/work/.", "/work/..",   "/etc/x",   "work/a",
                                      "/worka",  "/work/a/..", "/work//a", "/work/a/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_INIT;
        owned_buf bytes = BUF_INIT;
        struct confine_spec wanted = named(bad[i]);
        assert_int_equal(confine_spec_build(&wanted, &bytes, &err), ERR_INVALID);
        assert_int_equal(bytes.len, 0);
    }
}

static void bytes_that_are_cut_or_of_another_version_are_refused(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    owned_buf bytes = BUF_INIT;
    struct confine_spec wanted = named("/work/a");
    assert_int_equal(confine_spec_build(&wanted, &bytes, &err), 0);
    for (size_t len = 0; len < bytes.len; len += 7)
        assert_non_null(confine_spec_check(bytes.data, len));
    char error[100] = "";
    bytes.data[0]++;
    assert_non_null(confine_spec_check(bytes.data, bytes.len));
    assert_int_equal(confine_enter(bytes.data, bytes.len, NULL, 0, -1, error, sizeof error), -1);
    assert_non_null(strstr(error, "version"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_hold_the_limits_and_the_filter),
        cmocka_unit_test(the_filter_ends_every_path_in_an_answer),
        cmocka_unit_test(only_a_name_below_work_is_a_project),
        cmocka_unit_test(bytes_that_are_cut_or_of_another_version_are_refused),
    };
    return cmocka_run_group_tests_name("confine_spec", tests, NULL, NULL);
}
