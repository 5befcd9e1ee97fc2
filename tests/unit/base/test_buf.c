#include "proto/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void room_that_is_not_used_leaves_a_text(void **unused)
{
    (void)unused;
    owned_buf text = BUF_INIT;
    assert_string_equal(buf_str(&text), "");
    memset(buf_reserve(&text, 64), 'x', 64);
    buf_reserve(&text, 64);
    assert_string_equal(buf_str(&text), "");
    buf_puts(&text, "ab");
    buf_reserve(&text, 1000);
    assert_string_equal(buf_str(&text), "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(room_that_is_not_used_leaves_a_text)};
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
