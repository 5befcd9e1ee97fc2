#include "node/api/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

static struct buf text;
static struct exposition out;

static int set_up(void **unused)
{
    (void)unused;
    buf_clear(&text);
    exposition_init(&out, &text);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    buf_fini(&text);
    return 0;
}

static void a_counter_has_help_and_type(void **unused)
{
    (void)unused;
    exposition_counter(&out, "a_total", "What it is.", UINT64_MAX);
    assert_string_equal(buf_str(&text), "# HELP a_total What it is.\n"
                                        "# TYPE a_total counter\n"
                                        "a_total 18446744073709551615\n");
}

static void labels_stand_in_their_order(void **unused)
{
    (void)unused;
    exposition_family(&out, EXPOSITION_GAUGE, "g", "G.");
    exposition_uint(&out, &(struct exposition_labels){{{"one", "1"}, {"two", ""}}}, 3);
    exposition_uint(
        &out, &(struct exposition_labels){{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}}, 4);
    assert_string_equal(buf_str(&text), "# HELP g G.\n# TYPE g gauge\n"
                                        "g{one=\"1\",two=\"\"} 3\n"
                                        "g{a=\"1\",b=\"2\",c=\"3\",d=\"4\"} 4\n");
}

static void what_would_end_a_text_is_escaped(void **unused)
{
    (void)unused;
    exposition_family(&out, EXPOSITION_GAUGE, "g", "A \"word\",\na back\\slash.");
    exposition_uint(&out, EXPOSITION_LABEL("l", "\"\\\n\xc3\xa9{},="), 1);
    assert_string_equal(buf_str(&text), "# HELP g A \"word\",\\na back\\\\slash.\n"
                                        "# TYPE g gauge\n"
                                        "g{l=\"\\\"\\\\\\n\xc3\xa9{},=\"} 1\n");
}

static void real_numbers_are_go_s(void **unused)
{
    (void)unused;
    static const struct {
        double value;
        const char *line;
    } cases[] = {{0, "g 0\n"},
                 {0.25, "g 0.25\n"},
                 {-1.5, "g -1.5\n"},
                 {1e18, "g 1e+18\n"},
                 {12345678901234.0, "g 12345678901234\n"},
                 {INFINITY, "g +Inf\n"},
                 {-INFINITY, "g -Inf\n"},
                 {NAN, "g NaN\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        exposition_family(&out, EXPOSITION_GAUGE, "g", "G.");
        buf_clear(&text);
        exposition_real(&out, EXPOSITION_NONE, cases[i].value);
        assert_string_equal(buf_str(&text), cases[i].line);
    }
}

static void times_are_exact_seconds(void **unused)
{
    (void)unused;
    exposition_family(&out, EXPOSITION_GAUGE, "t_seconds", "T.");
    buf_clear(&text);
    exposition_ms(&out, EXPOSITION_NONE, 0);
    exposition_ms(&out, EXPOSITION_NONE, 1500);
    exposition_ms(&out, EXPOSITION_NONE, 60000);
    exposition_ms(&out, EXPOSITION_NONE, 7);
    exposition_ms(&out, EXPOSITION_NONE, UINT64_C(1763757768123));
    assert_string_equal(buf_str(&text), "t_seconds 0\nt_seconds 1.5\nt_seconds 60\n"
                                        "t_seconds 0.007\nt_seconds 1763757768.123\n");
}

static void buckets_are_added_up(void **unused)
{
    (void)unused;
    struct histogram histogram = HISTOGRAM_SHORT;
    histogram_add(&histogram, 1000);     /* the first bound itself */
    histogram_add(&histogram, 2000);     /* 0.0025 */
    histogram_add(&histogram, 99000000); /* above all */
    exposition_family(&out, EXPOSITION_HISTOGRAM, "h_seconds", "H.");
    buf_clear(&text);
    exposition_histogram(&out, EXPOSITION_LABEL("route", "/a"), &histogram);
    assert_string_equal(buf_str(&text), "h_seconds_bucket{route=\"/a\",le=\"0.001\"} 1\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.0025\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.005\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.01\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.025\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.05\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.1\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.25\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"0.5\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"1\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"2.5\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"5\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"10\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"30\"} 2\n"
                                        "h_seconds_bucket{route=\"/a\",le=\"+Inf\"} 3\n"
                                        "h_seconds_sum{route=\"/a\"} 99.003\n"
                                        "h_seconds_count{route=\"/a\"} 3\n");
}

static void an_empty_histogram_is_whole(void **unused)
{
    (void)unused;
    struct histogram histogram = HISTOGRAM_LONG;
    exposition_family(&out, EXPOSITION_HISTOGRAM, "h_seconds", "H.");
    exposition_histogram(&out, EXPOSITION_NONE, &histogram);
    assert_non_null(strstr(buf_str(&text), "h_seconds_bucket{le=\"0.1\"} 0\n"));
    assert_non_null(strstr(buf_str(&text), "h_seconds_bucket{le=\"+Inf\"} 0\n"
                                           "h_seconds_sum 0\nh_seconds_count 0\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_counter_has_help_and_type, set_up),
        cmocka_unit_test_setup(labels_stand_in_their_order, set_up),
        cmocka_unit_test_setup(what_would_end_a_text_is_escaped, set_up),
        cmocka_unit_test_setup(real_numbers_are_go_s, set_up),
        cmocka_unit_test_setup(times_are_exact_seconds, set_up),
        cmocka_unit_test_setup(buckets_are_added_up, set_up),
        cmocka_unit_test_setup(an_empty_histogram_is_whole, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
