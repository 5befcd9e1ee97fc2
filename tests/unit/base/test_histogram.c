#include "proto/base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void bounds_ascend(void **unused)
{
    (void)unused;
    const struct histogram_scale *const scales[] = {&histogram_short, &histogram_long};
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++)
            assert_true(scales[s]->bounds_us[i] > (i ? scales[s]->bounds_us[i - 1] : 0));
}

static void a_value_falls_into_the_first_bucket_that_holds_it(void **unused)
{
    (void)unused;
    struct histogram histogram = HISTOGRAM_SHORT;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        histogram_add(&histogram, histogram_short.bounds_us[i]);
        assert_int_equal(histogram.counts[i], i ? 2 : 1);
        histogram_add(&histogram, histogram_short.bounds_us[i] + 1);
        assert_int_equal(histogram.counts[i + 1], 1);
    }
    histogram_add(&histogram, 0);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram_count(&histogram), 2 * HISTOGRAM_BOUNDS + 1);
}

static void above_all_bounds_is_counted_too(void **unused)
{
    (void)unused;
    struct histogram histogram = HISTOGRAM_LONG;
    histogram_add(&histogram, UINT64_C(1) << 40);
    assert_int_equal(histogram.counts[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram.sum_us, UINT64_C(1) << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_ascend),
        cmocka_unit_test(a_value_falls_into_the_first_bucket_that_holds_it),
        cmocka_unit_test(above_all_bounds_is_counted_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
