#include "runner/env/pins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void read_into(struct requirements *to, const char *text)
{
    struct err err = ERR_INIT;
    *to = (struct requirements)REQUIREMENTS_INIT;
    if (requirements_parse(to, text, strlen(text), NULL, &err) != 0)
        fail_msg("%s", err.text);
}

static void only_one_version_is_exact(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        bool exact;
    } cases[] = {
        {"a==1", true},
        {"A == 1.0\nb[x,y]==2.0.post1", true},
        {"a==1 ; python_version > '3'", true},
        {"a==1 --hash=sha256:"
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         true},
        {"", false},
        {"a", false},
        {"a==1\nb", false},
        {"a>=1", false},
        {"a==1.*", false},
        {"a===1", false},
        {"a==1,!=2", false},
        {"b[x]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        owned_requirements list;
        read_into(&list, cases[i].text);
        if (pins_are_exact(&list) != cases[i].exact)
            fail_msg("%s", cases[i].text);
    }
}

static void what_came_along_is_noticed(void **unused)
{
    (void)unused;
    owned_requirements list;
    read_into(&list, "jaraco.classes==3.4.0\nPyYAML==6\nmore-itertools==1\n"
                     "old==1 ; python_version < '3'\n");
    assert_true(pins_cover(&list, ""));
    assert_true(pins_cover(&list, "jaraco.classes-3.4.0.dist-info\nPyYAML-6.dist-info\n"));
    assert_true(pins_cover(&list, "jaraco_classes-3.4.0.dist-info\nmore_itertools-1.dist-info"));
    assert_false(pins_cover(&list, "jaraco.classes-3.4.0.dist-info\nother-1.dist-info\n"));
    assert_false(pins_cover(&list, "jaraco-3.4.0.dist-info"));
    /* Its marker may not hold: then something else asked for it, in whatever version. */
    assert_false(pins_cover(&list, "old-1.dist-info"));
    assert_false(pins_cover(&list, "PyYAML"));
    assert_false(pins_cover(&list, "PyYAML-6.egg-info"));
    assert_false(pins_cover(&list, "-6.dist-info"));
    assert_false(pins_cover(&list, ".dist-info"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_version_is_exact),
        cmocka_unit_test(what_came_along_is_noticed),
    };
    return cmocka_run_group_tests_name("pins", tests, NULL, NULL);
}
