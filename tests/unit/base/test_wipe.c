#include "proto/base/wipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_block_that_moves_keeps_its_bytes(void **unused)
{
    (void)unused;
    char *text = wipe_realloc(NULL, 8);
    assert_non_null(text);
    memcpy(text, "hunter2", 8);
    text = wipe_realloc(text, 100000);
    assert_non_null(text);
    assert_string_equal(text, "hunter2");
    text = wipe_realloc(text, 3);
    assert_non_null(text);
    assert_memory_equal(text, "hun", 3);
    assert_null(wipe_realloc(text, 0));
    wipe_free(NULL);
}

static void a_secret_is_a_text_of_its_own(void **unused)
{
    (void)unused;
    char given[] = "hunter2 and more";
    char *kept = wipe_keep(given, 7);
    memset(given, 'x', sizeof given - 1);
    assert_string_equal(kept, "hunter2");
    wipe_drop(kept);
    kept = wipe_keep("", 0);
    assert_string_equal(kept, "");
    wipe_drop(kept);
    wipe_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_that_moves_keeps_its_bytes),
        cmocka_unit_test(a_secret_is_a_text_of_its_own),
    };
    return cmocka_run_group_tests_name("wipe", tests, NULL, NULL);
}
