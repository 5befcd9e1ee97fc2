#include "proto/wire/squeeze.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

static enum link_verdict open_bytes(const void *bytes, size_t len)
{
    owned_buf out = BUF_INIT;
    owned_mem char *copy = mem_dup(bytes, len);
    enum link_verdict verdict = unsqueeze(copy, len, &out);
    assert_true(out.capacity <= 2 * LINK_BODY_MAX); /* a buffer grows by doubling */
    return verdict;
}

static void what_would_not_shrink_stays_as_it_is(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    assert_false(squeeze("a", 1, &out));
    assert_int_equal(out.len, 0);
}

static void a_bomb_is_refused_by_its_header(void **unused)
{
    (void)unused;
    size_t len = LINK_BODY_MAX + 1;
    owned_mem char *zeros = mem_new(len);
    owned_buf small = BUF_INIT;
    assert_true(squeeze(zeros, len, &small));
    assert_int_equal(open_bytes(small.data, small.len), LINK_OVERSIZED);
    assert_true(squeeze(zeros, len - 1, &small));
    assert_int_equal(open_bytes(small.data, small.len), LINK_OK);
    /* A header that says 2^64-1, and nothing behind it. */
    static const char huge[] = "\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f";
    assert_int_equal(open_bytes(huge, sizeof huge - 1), LINK_OVERSIZED);
}

static void a_header_that_lies_is_refused(void **unused)
{
    (void)unused;
    char text[5000];
    memset(text, 'x', sizeof text);
    owned_buf small = BUF_INIT;
    assert_true(squeeze(text, sizeof text, &small));
    /* Another frame behind it: more than the first one's header says. */
    owned_buf two = BUF_INIT;
    buf_append(&two, small.data, small.len);
    buf_append(&two, small.data, small.len);
    assert_int_equal(open_bytes(two.data, two.len), LINK_MALFORMED);
    for (size_t len = 0; len < small.len; len++)
        assert_int_equal(open_bytes(small.data, len), LINK_MALFORMED);
    small.data[5]--; /* the low byte of the size */
    assert_int_not_equal(open_bytes(small.data, small.len), LINK_OK);
}

static void what_has_no_size_or_none_to_give_is_refused(void **unused)
{
    (void)unused;
    char out[100];
    assert_int_equal(open_bytes(out, ZSTD_compress(out, sizeof out, "", 0, 1)), LINK_MALFORMED);
    assert_int_equal(open_bytes("not zstd at all", 15), LINK_MALFORMED);
    assert_int_equal(open_bytes("", 0), LINK_MALFORMED);
    assert_int_equal(open_bytes("\x50\x2a\x4d\x18\x01\0\0\0x", 9), LINK_MALFORMED); /* skippable */
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    size_t len = ZSTD_compress2(context, out, sizeof out, "some text", 9);
    ZSTD_freeCCtx(context);
    assert_int_equal(open_bytes(out, len), LINK_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_not_shrink_stays_as_it_is),
        cmocka_unit_test(a_bomb_is_refused_by_its_header),
        cmocka_unit_test(a_header_that_lies_is_refused),
        cmocka_unit_test(what_has_no_size_or_none_to_give_is_refused),
    };
    return cmocka_run_group_tests_name("squeeze", tests, NULL, NULL);
}
