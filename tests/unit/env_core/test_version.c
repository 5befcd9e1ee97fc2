#include "proto/base/mem.h"
#include "runner/env/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void clauses_decide(void **unused)
{
    (void)unused;
    static const struct {
        const char *spec;
        bool fits; /* 3.11.7 */
    } rows[] = {
        {"", true},
        {">=3.8", true},
        {">=3.12", false},
        {"<4", true},
        {"<3.11", false},
        {">3.11", true},
        {"<=3.11", false},
        {"==3.11.*", true},
        {"==3.11", false},
        {"!=3.11.*", false},
        {"~=3.8", true},
        {"~=3.11.2", true},
        {"~=3.10.0", false},
        {">=3.8,<3.11", false},
        {" >= 3.8 , < 3.12 ", true},
        {"nonsense", true},
        {">=", true},
        {">=2.7, !=3.0.*", true},
        {"===3.11.7", true},
        {">=3.999999999999", false},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        if (version_satisfies("3.11.7", rows[i].spec) != rows[i].fits)
            fail_msg("%s", rows[i].spec);
    }
}

static void releases_have_an_order(void **unused)
{
    (void)unused;
    assert_true(version_compare("3.9", "3.11") < 0);
    assert_true(version_compare("3.11.0", "3.11") == 0);
    assert_true(version_compare("8.4.2", "8.4.1rc1") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clauses_decide),
        cmocka_unit_test(releases_have_an_order),
    };
    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
