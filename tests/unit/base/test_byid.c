#include "proto/base/byid.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct thing {
    uint64_t id;
    int name;
};

static void test_empty(void **state)
{
    (void)state;
    assert_null(byid_find(NULL, 0, 1));
    assert_int_equal(byid_place(NULL, 0, 1), 0);
}

static void test_any_order(void **state)
{
    (void)state;
    static const uint64_t ids[] = {5, 0, UINT64_MAX, 3, 4, UINT64_C(1) << 63, 9, 1, 2, 8};
    struct thing all[countof(ids)];
    struct thing **things = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < countof(ids); i++) {
        all[i] = (struct thing){.id = ids[i], .name = (int)i};
        things = byid_add(things, &count, &capacity, &all[i]);
    }
    assert_int_equal(count, countof(ids));
    for (size_t i = 1; i < count; i++)
        assert_true(things[i - 1]->id < things[i]->id);
    for (size_t i = 0; i < countof(ids); i++)
        assert_ptr_equal(byid_find(things, count, ids[i]), &all[i]);
    assert_null(byid_find(things, count, 7));
    assert_int_equal(byid_place(things, count, 7), 6);
    for (size_t i = 0; i < countof(ids); i++) {
        byid_remove(things, &count, ids[i]);
        assert_null(byid_find(things, count, ids[i]));
        for (size_t k = i + 1; k < countof(ids); k++)
            assert_ptr_equal(byid_find(things, count, ids[k]), &all[k]);
    }
    assert_int_equal(count, 0);
    free(things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
