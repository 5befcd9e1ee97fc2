#include "runner/child/capture.h"

#include "proto/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct capture *kept, const char *wanted)
{
    owned_buf text = BUF_INIT;
    capture_text(kept, &text);
    assert_string_equal(buf_str(&text), wanted);
}

static void what_fits_is_kept_whole(void **unused)
{
    (void)unused;
    struct capture kept;
    capture_init(&kept, 4, 4);
    capture_add(&kept, "abc", 3);
    capture_add(&kept, "defgh", 5);
    expect(&kept, "abcdefgh");
    assert_int_equal(capture_dropped(&kept), 0);
    capture_fini(&kept);
}

static void the_middle_is_left_out_and_counted(void **unused)
{
    (void)unused;
    struct capture kept;
    capture_init(&kept, 4, 4);
    capture_add(&kept, "abcdefghijkl", 12);
    expect(&kept, "abcd\n[... 4 bytes left out ...]\nijkl");
    assert_int_equal(kept.total_bytes, 12);
    capture_fini(&kept);
}

static void a_head_alone_needs_no_tail(void **unused)
{
    (void)unused;
    struct capture kept;
    capture_init(&kept, 2, 0);
    capture_add(&kept, "abc", 3);
    expect(&kept, "ab\n[... 1 bytes left out ...]\n");
    capture_fini(&kept);
}

/* However the bytes are cut into pieces, the same is kept. */
static void pieces_do_not_matter(void **unused)
{
    (void)unused;
    char all[1000];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)('a' + i % 26);
    struct rand rand;
    rand_init(&rand, 7);
    for (int round = 0; round < 200; round++) {
        size_t len = rand_below(&rand, sizeof all);
        struct capture whole, cut;
        capture_init(&whole, 50, 70);
        capture_init(&cut, 50, 70);
        capture_add(&whole, all, len);
        for (size_t at = 0; at < len;) {
            size_t piece = 1 + rand_below(&rand, len - at);
            capture_add(&cut, all + at, piece);
            at += piece;
        }
        owned_buf one = BUF_INIT;
        owned_buf other = BUF_INIT;
        capture_text(&whole, &one);
        capture_text(&cut, &other);
        assert_string_equal(buf_str(&one), buf_str(&other));
        capture_fini(&whole);
        capture_fini(&cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_kept_whole),
        cmocka_unit_test(the_middle_is_left_out_and_counted),
        cmocka_unit_test(a_head_alone_needs_no_tail),
        cmocka_unit_test(pieces_do_not_matter),
    };
    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
