#include "proto/base/mem.h"
#include "runner/intake/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf tar;
static size_t at;
static struct tar_item item;

static int take(void *arg, void *out, size_t len, struct err *err)
{
    (void)arg;
    if (tar.len - at < len)
        return err_set(err, ERR_CORRUPT, "short");
    memcpy(out, tar.data + at, len);
    at += len;
    return 0;
}

static int get(void)
{
    static const struct tar_source source = {take, NULL};
    return tar_get_head(&item, &source, NULL);
}

static void given(const char *path, enum archive_kind kind, const char *target)
{
    static struct tar_item made;
    made = (struct tar_item){.kind = kind, .size_bytes = kind == ARCHIVE_FILE ? 700 : 0};
    strcpy(made.path, path);
    strcpy(made.target, target);
    buf_clear(&tar);
    at = 0;
    tar_put_head(&tar, &made);
}

static char *lengthy(size_t len)
{
    static char text[5000];
    memset(text, 'n', len);
    for (size_t i = 200; i < len; i += 200)
        text[i] = '/';
    text[len] = '\0';
    return text;
}

static void what_is_written_is_read(void **unused)
{
    (void)unused;
    static const size_t lengths[] = {1, 98, 99, 100, 101, 102, 255, 1000, ARCHIVE_PATH_MAX};
    static const enum archive_kind kinds[] = {ARCHIVE_FILE, ARCHIVE_FOLDER, ARCHIVE_LINK};
    for (size_t i = 0; i < countof(lengths); i++)
        for (size_t k = 0; k < countof(kinds); k++) {
            owned_mem char *path = mem_strdup(lengthy(lengths[i]));
            const char *target = kinds[k] == ARCHIVE_LINK ? lengthy(lengths[i] * 3 + 1) : "";
            given(path, kinds[k], target);
            assert_int_equal(tar.len % TAR_BLOCK, 0);
            assert_int_equal(get(), 1);
            assert_string_equal(item.path, path);
            assert_string_equal(item.target, target);
            assert_int_equal(item.kind, kinds[k]);
            assert_int_equal(item.size_bytes, kinds[k] == ARCHIVE_FILE ? 700 : 0);
            assert_int_equal(at, tar.len);
        }
}

static void the_end_is_two_blocks_of_nothing(void **unused)
{
    (void)unused;
    buf_clear(&tar);
    at = 0;
    tar_put_end(&tar);
    assert_int_equal(get(), 0);
    assert_int_equal(at, tar.len);
    at = 0;
    tar.data[700] = 1;
    assert_int_equal(get(), ERR_CORRUPT);
    at = 0;
    tar.data[700] = 0;
    tar.data[7] = 1;
    assert_int_equal(get(), ERR_CORRUPT);
}

/* Each header has one form: no byte of it can be another one and still mean the same. */
static void any_other_byte_is_corrupt_or_another_item(void **unused)
{
    (void)unused;
    given(lengthy(150), ARCHIVE_FILE, "");
    assert_int_equal(get(), 1);
    owned_mem struct tar_item *first = mem_dup(&item, sizeof item);
    for (size_t i = 0; i < tar.len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            tar.data[i] ^= (char)(1u << bit);
            at = 0;
            if (get() == 1)
                assert_memory_not_equal(&item, first, sizeof item);
            tar.data[i] ^= (char)(1u << bit);
        }
}

static int nothing_is_left(void **unused)
{
    (void)unused;
    buf_fini(&tar);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_end_is_two_blocks_of_nothing),
        cmocka_unit_test(any_other_byte_is_corrupt_or_another_item),
    };
    return cmocka_run_group_tests_name("tar", tests, NULL, nothing_is_left);
}
