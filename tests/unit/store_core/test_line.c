#include "node/store/line.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf text;
static const char *const lines[] = {"{\"id\":1}", "{}", "{\"id\":2,\"cancel\":true}"};

static int set_up(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < countof(lines); i++)
        line_encode(lines[i], strlen(lines[i]), &text);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    buf_fini(&text);
    return 0;
}

/* Scans `len` bytes of the text; each line that is found must be one of those written, in order. */
static struct line_scan scanned(size_t len)
{
    owned_mem char *exact = mem_dup(text.data, len + 1); /* so that reading beyond is noticed */
    struct line_scan scan;
    const char *json;
    size_t json_len, next = 0;
    line_scan_init(&scan, exact, len);
    while (line_scan_next(&scan, &json, &json_len)) {
        while (next < countof(lines) &&
               (strlen(lines[next]) != json_len || memcmp(lines[next], json, json_len) != 0))
            next++;
        assert_true(next++ < countof(lines));
    }
    return scan;
}

static void a_line_is_crc_length_and_json(void **unused)
{
    (void)unused;
    assert_memory_equal(text.data + 8, " 00000008 {\"id\":1}\n", 19);
    struct line_scan scan = scanned(text.len);
    assert_int_equal(scan.good_count, 3);
    assert_int_equal(scan.good_end, text.len);
    assert_int_equal(scan.bad_bytes, 0);
}

static void every_cut_is_a_torn_tail_and_never_rot(void **unused)
{
    (void)unused;
    for (size_t len = 0; len < text.len; len++) {
        struct line_scan scan = scanned(len);
        assert_int_equal(scan.bad_bytes, 0);
        assert_true(scan.good_end <= len);
        assert_int_equal(scan.good_count, (len >= 27) + (len >= 27 + 21));
    }
}

static void every_flipped_bit_costs_its_own_line_and_is_noticed(void **unused)
{
    (void)unused;
    for (size_t bit = 0; bit < text.len * 8; bit++) {
        text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
        struct line_scan scan = scanned(text.len);
        assert_true(scan.bad_bytes > 0 || scan.good_end < text.len);
        /* a lost line feed makes two lines one, that is lost as well */
        assert_true(scan.good_count >= 1);
        text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
    }
}

static void a_lying_length_reads_nothing_beyond_the_end(void **unused)
{
    (void)unused;
    memcpy(text.data + 9, "ffffffff", 8);
    assert_int_equal(scanned(text.len).good_count, 2);
    memcpy(text.data + 9, "00000fff", 8);
    assert_int_equal(scanned(text.len).good_count, 2);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(a_line_is_crc_length_and_json),
        STORY(every_cut_is_a_torn_tail_and_never_rot),
        STORY(every_flipped_bit_costs_its_own_line_and_is_noticed),
        STORY(a_lying_length_reads_nothing_beyond_the_end),
    };
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
