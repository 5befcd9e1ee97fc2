#include "runner/child/supervise.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The verbs that the stories below are told in. */
static struct supervise child;
static struct supervise_out out;

static void given_a_child(struct supervise_spec spec)
{
    supervise_init(&child, &spec);
    supervise_step(&child, &(struct supervise_event){.kind = SUPERVISE_STARTED}, &out);
}

static void at(uint64_t now_ms, enum supervise_event_kind kind)
{
    supervise_step(&child, &(struct supervise_event){.kind = kind, .now_ms = now_ms}, &out);
}

static void exits(uint64_t now_ms, int status)
{
    supervise_step(
        &child,
        &(struct supervise_event){.kind = SUPERVISE_EXIT, .now_ms = now_ms, .status = status},
        &out);
}

static void says(uint64_t now_ms, uint64_t bytes)
{
    supervise_step(
        &child,
        &(struct supervise_event){.kind = SUPERVISE_OUTPUT, .now_ms = now_ms, .value = bytes},
        &out);
}

static void uses(uint64_t now_ms, enum supervise_limit limit, uint64_t used, uint64_t allowed)
{
    supervise_step(&child,
                   &(struct supervise_event){.kind = SUPERVISE_LIMIT,
                                             .now_ms = now_ms,
                                             .limit = limit,
                                             .value = used,
                                             .allowed = allowed},
                   &out);
}

static void a_child_is_done_when_it_has_exited_and_its_streams_have_ended(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.stream_count = 2});
    assert_true(supervise_deadline(&child) == UINT64_MAX);
    exits(10, 3 << 8);
    assert_false(out.done);
    assert_int_equal(supervise_deadline(&child), 510);
    at(11, SUPERVISE_STREAM_EOF);
    assert_false(out.done);
    at(12, SUPERVISE_STREAM_EOF);
    assert_true(out.done);
    assert_false(out.close_streams);
    assert_int_equal(child.verdict.kind, SUPERVISE_EXITED);
    assert_int_equal(child.verdict.code, 3);
}

static void streams_that_end_first_change_nothing(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.stream_count = 1});
    at(1, SUPERVISE_STREAM_EOF);
    assert_false(out.done);
    exits(2, SIGSEGV);
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_SIGNALLED);
    assert_int_equal(child.verdict.signal, SIGSEGV);
}

static void a_grandchild_that_holds_a_stream_is_not_waited_for(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.stream_count = 1, .drain_ms = 200});
    exits(1000, 0);
    at(1199, SUPERVISE_TICK);
    assert_false(out.done); /* not before its time ... */
    at(1200, SUPERVISE_TICK);
    assert_true(out.done); /* ... and not after it */
    assert_true(out.close_streams);
    assert_int_equal(child.verdict.kind, SUPERVISE_EXITED);
}

static void a_polite_child_is_never_killed(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){0});
    at(100, SUPERVISE_STOP);
    assert_int_equal(out.signal, SIGTERM);
    assert_int_equal(supervise_deadline(&child), 400);
    exits(150, SIGTERM);
    assert_int_equal(out.signal, SIGKILL); /* for what is left of its tree */
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_CANCELLED);
    assert_int_equal(child.verdict.signal, SIGTERM);
}

static void a_stubborn_child_climbs_the_ladder(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){0});
    at(0, SUPERVISE_STOP);
    at(299, SUPERVISE_TICK);
    assert_int_equal(out.signal, 0);
    at(299, SUPERVISE_STOP); /* stopping twice does not hurry */
    assert_int_equal(out.signal, 0);
    at(300, SUPERVISE_TICK);
    assert_int_equal(out.signal, SIGKILL);
    at(800, SUPERVISE_TICK);
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_STUCK);
}

static void the_wall_limit_names_what_was_used_and_allowed(void **unused)
{
    (void)unused;
    supervise_init(&child, &(struct supervise_spec){.wall_ms = 1000});
    at(5000, SUPERVISE_STARTED);
    assert_int_equal(supervise_deadline(&child), 6000);
    at(5999, SUPERVISE_TICK);
    assert_int_equal(out.signal, 0);
    at(6003, SUPERVISE_TICK);
    assert_int_equal(out.signal, SIGTERM);
    exits(6010, SIGTERM);
    assert_int_equal(child.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(child.verdict.limit, SUPERVISE_LIMIT_WALL);
    assert_int_equal(child.verdict.used, 1003);
    assert_int_equal(child.verdict.allowed, 1000);
}

static void an_output_flood_is_stopped_at_the_limit(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.output_bytes = 100, .stream_count = 1});
    says(1, 100);
    assert_int_equal(out.signal, 0);
    says(2, 1);
    assert_int_equal(out.signal, SIGTERM);
    says(3, 5000); /* what follows is not its measure */
    exits(4, SIGTERM);
    at(5, SUPERVISE_STREAM_EOF);
    assert_int_equal(child.verdict.limit, SUPERVISE_LIMIT_OUTPUT);
    assert_int_equal(child.verdict.used, 101);
}

static void output_behind_the_exit_counts_too(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.output_bytes = 100, .stream_count = 1});
    exits(1, 0);
    says(2, 101);
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_LIMITED);
}

static void the_first_cause_names_the_verdict(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){0});
    uses(1, SUPERVISE_LIMIT_MEMORY, 300, 256);
    assert_int_equal(out.signal, SIGTERM);
    uses(2, SUPERVISE_LIMIT_CPU, 9, 8);
    at(3, SUPERVISE_STOP);
    exits(4, SIGKILL);
    assert_int_equal(child.verdict.kind, SUPERVISE_LIMITED);
    assert_int_equal(child.verdict.limit, SUPERVISE_LIMIT_MEMORY);
    assert_int_equal(child.verdict.used, 300);
    assert_int_equal(child.verdict.allowed, 256);
    uses(5, SUPERVISE_LIMIT_CPU, 9, 8); /* done is done */
    assert_int_equal(child.verdict.limit, SUPERVISE_LIMIT_MEMORY);
}

static void a_limit_behind_the_exit_is_no_longer_its_fate(void **unused)
{
    (void)unused;
    given_a_child((struct supervise_spec){.stream_count = 1, .wall_ms = 100});
    exits(50, 0);
    at(120, SUPERVISE_TICK);
    uses(121, SUPERVISE_LIMIT_CPU, 9, 8);
    at(122, SUPERVISE_STOP);
    at(123, SUPERVISE_STREAM_EOF);
    assert_int_equal(child.verdict.kind, SUPERVISE_EXITED);
}

static void what_never_ran_has_failed_or_was_cancelled(void **unused)
{
    (void)unused;
    supervise_init(&child, &(struct supervise_spec){.stream_count = 2});
    supervise_step(&child, &(struct supervise_event){.kind = SUPERVISE_START_FAILED, .value = 2},
                   &out);
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_SPAWN_FAILED);
    assert_int_equal(child.verdict.code, 2);
    supervise_init(&child, &(struct supervise_spec){0});
    at(1, SUPERVISE_STOP);
    assert_true(out.done);
    assert_int_equal(child.verdict.kind, SUPERVISE_CANCELLED);
}

static void every_name_is_said(void **unused)
{
    (void)unused;
    assert_string_equal(supervise_limit_name(SUPERVISE_LIMIT_MEMORY), "memory");
    assert_string_equal(supervise_limit_unit(SUPERVISE_LIMIT_WALL), "ms");
    assert_string_equal(supervise_limit_name((enum supervise_limit)99), "none");
    assert_string_equal(supervise_verdict_name(SUPERVISE_STUCK), "stuck");
    assert_string_equal(supervise_verdict_name((enum supervise_verdict_kind)99), "pending");
}

static void a_verdict_is_said_in_words(void **unused)
{
    (void)unused;
    char text[128];
    struct supervise_verdict verdict = {.kind = SUPERVISE_LIMITED,
                                        .limit = SUPERVISE_LIMIT_MEMORY,
                                        .used = 312 << 20,
                                        .allowed = 256 << 20};
    assert_string_equal(supervise_describe(&verdict, text, sizeof text),
                        "memory limit: used 312.0 MiB of 256.0 MiB");
    verdict.limit = SUPERVISE_LIMIT_WALL;
    verdict.used = 1250;
    verdict.allowed = 900;
    assert_string_equal(supervise_describe(&verdict, text, sizeof text),
                        "wall limit: used 1.2 s of 900 ms");
    verdict = (struct supervise_verdict){.kind = SUPERVISE_SIGNALLED, .signal = SIGSEGV};
    assert_string_equal(supervise_describe(&verdict, text, sizeof text),
                        "ended by signal 11 (Segmentation fault)");
    verdict = (struct supervise_verdict){.kind = SUPERVISE_SPAWN_FAILED, .code = 2};
    assert_string_equal(supervise_describe(&verdict, text, sizeof text),
                        "could not be started: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_done_when_it_has_exited_and_its_streams_have_ended),
        cmocka_unit_test(streams_that_end_first_change_nothing),
        cmocka_unit_test(a_grandchild_that_holds_a_stream_is_not_waited_for),
        cmocka_unit_test(a_polite_child_is_never_killed),
        cmocka_unit_test(a_stubborn_child_climbs_the_ladder),
        cmocka_unit_test(the_wall_limit_names_what_was_used_and_allowed),
        cmocka_unit_test(an_output_flood_is_stopped_at_the_limit),
        cmocka_unit_test(output_behind_the_exit_counts_too),
        cmocka_unit_test(the_first_cause_names_the_verdict),
        cmocka_unit_test(a_limit_behind_the_exit_is_no_longer_its_fate),
        cmocka_unit_test(what_never_ran_has_failed_or_was_cancelled),
        cmocka_unit_test(every_name_is_said),
        cmocka_unit_test(a_verdict_is_said_in_words),
    };
    return cmocka_run_group_tests_name("supervise", tests, NULL, NULL);
}
