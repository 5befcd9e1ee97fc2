#include "runner/git/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_line_is_read_as_it_was_written(void **unused)
{
    (void)unused;
    for (unsigned phase = 0; phase < FETCH_PHASES; phase++) {
        const struct fetch_progress told = {.phase = (enum fetch_phase)phase,
                                            .received_bytes = UINT64_C(5) << 32,
                                            .objects = 7,
                                            .tries = 2};
        struct fetch_progress read = {0};
        owned_buf line = BUF_INIT;
        progress_put(&told, &line);
        assert_int_equal(line.data[line.len - 1], '\n');
        assert_ptr_equal(memchr(line.data, '\n', line.len), line.data + line.len - 1);
        assert_true(progress_is_line(line.data, line.len - 1));
        assert_true(progress_read(&read, line.data, line.len - 1));
        assert_int_equal(read.phase, phase);
        assert_true(read.received_bytes == told.received_bytes);
        assert_int_equal(read.objects, 7);
        assert_int_equal(read.tries, 2);
    }
}

static void what_makes_no_sense_is_not_taken(void **unused)
{
    (void)unused;
    static const char *const lines[] = {
        "",
        "{\"phase\":",
        "{\"phase\":\"asleep\",\"received\":1,\"objects\":1,\"tries\":1}",
        "{\"phase\":\"waiting\",\"received\":-1,\"objects\":1,\"tries\":1}",
        "{\"phase\":\"waiting\",\"received\":1,\"objects\":4294967296,\"tries\":1}",
        "{\"phase\":\"waiting\",\"received\":1,\"objects\":1,\"tries\":\"1\"}",
        "{\"phase\":\"waiting\",\"received\":1,\"objects\":1}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct fetch_progress read;
        assert_false(progress_read(&read, lines[i], strlen(lines[i])));
    }
    static const char facts[] = "{\"commit\":\"\",\"branch\":\"\",\"received\":0,\"tries\":1}";
    assert_false(progress_is_line(facts, sizeof facts - 1));
    assert_false(progress_is_line("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_as_it_was_written),
        cmocka_unit_test(what_makes_no_sense_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
