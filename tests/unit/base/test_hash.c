#include "proto/base/hash.h"

#include "proto/base/mem.h"
#include "proto/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720, appendix B.4, and the check value of the CRC catalogues. */
static void crc32c_gives_the_published_values(void **unused)
{
    (void)unused;
    uint8_t bytes[32] = {0};
    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(hash_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(hash_crc32c(0, bytes, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(hash_crc32c(0, bytes, 32), 0x46dd794e);
}

static void crc32c_may_be_taken_in_pieces_of_any_size(void **unused)
{
    (void)unused;
    const char *text = "pieces of any size, at any place, give what the whole gives";
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++)
        assert_int_equal(hash_crc32c(hash_crc32c(0, text, cut), text + cut, len - cut),
                         hash_crc32c(0, text, len));
}

static void utf8_is_repaired_and_cut_at_whole_characters(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *fixed;
        size_t max;
    } cases[] = {
        {"plain", "plain", 10},
        {"gr\303\274n", "gr\303\274n", 10},
        {"gr\303\274n", "gr", 3},
        {"a\377b", "a\357\277\275b", 10},
        {"a\377b", "a", 3},
        {"\355\240\200", "\357\277\275\357\277\275\357\277\275", 10}, /* a surrogate */
        {"\303", "\357\277\275", 10},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        owned_buf out = BUF_INIT;
        utf8_repair(cases[i].text, strlen(cases[i].text), cases[i].max, &out);
        assert_string_equal(buf_str(&out), cases[i].fixed);
        assert_true(utf8_is_valid(out.data, out.len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(crc32c_may_be_taken_in_pieces_of_any_size),
        cmocka_unit_test(utf8_is_repaired_and_cut_at_whole_characters),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
