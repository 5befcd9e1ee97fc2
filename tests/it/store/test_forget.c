/* Blobs that are taken away by name. */
#include "tests/it/store/world.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <utime.h>

static struct hash put(const char *text, const char *ext)
{
    store_put_blob(store, text, strlen(text), ext, NULL, NULL);
    store_flush(store);
    return hash_of(text, strlen(text));
}

static void aged(const struct hash *hash, const char *ext, time_t seconds)
{
    owned_mem char *path = store_blob_path(store, hash, ext);
    struct utimbuf when = {time(NULL) - seconds, time(NULL) - seconds};
    assert_int_equal(utime(path, &when), 0);
}

static void a_blob_is_its_owners_alone_and_goes(void **unused)
{
    (void)unused;
    opened();
    struct stat st;
    struct hash hash = put("one", STORE_EXT_SECRET);
    struct hash other = put("two", STORE_EXT_SECRET);
    owned_mem char *path = store_blob_path(store, &hash, STORE_EXT_SECRET);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_remove_blob(store, &hash, STORE_EXT_SECRET);
    store_remove_blob(store, &hash, STORE_EXT_SECRET); /* is gone already */
    store_flush(store);
    assert_false(store_has_blob(store, &hash, STORE_EXT_SECRET));
    assert_true(store_has_blob(store, &other, STORE_EXT_SECRET));
}

/* What is asked for first is done first: a put that is still on its way is taken away, too. */
static void a_removal_comes_after_the_put_before_it(void **unused)
{
    (void)unused;
    opened();
    struct hash hash = hash_of("late", 4);
    store_put_blob(store, "late", 4, STORE_EXT_SECRET, NULL, NULL);
    store_remove_blob(store, &hash, STORE_EXT_SECRET);
    store_flush(store);
    assert_false(store_has_blob(store, &hash, STORE_EXT_SECRET));
}

static void a_sweep_takes_what_is_not_named(void **unused)
{
    (void)unused;
    opened();
    struct hash kept = put("kept", STORE_EXT_SECRET);
    struct hash stray = put("stray", STORE_EXT_SECRET);
    struct hash young = put("young", STORE_EXT_SECRET);
    struct hash bundle = put("stray", "zst");
    aged(&kept, STORE_EXT_SECRET, 1000);
    aged(&stray, STORE_EXT_SECRET, 1000);
    store_sweep_blobs(store, STORE_EXT_SECRET, &kept, 1, 600);
    store_flush(store);
    assert_true(store_has_blob(store, &kept, STORE_EXT_SECRET));
    assert_false(store_has_blob(store, &stray, STORE_EXT_SECRET));
    assert_true(store_has_blob(store, &young, STORE_EXT_SECRET));
    assert_true(store_has_blob(store, &bundle, "zst"));
    store_sweep_blobs(store, STORE_EXT_SECRET, &kept, 1, 0);
    store_flush(store);
    assert_true(store_has_blob(store, &kept, STORE_EXT_SECRET));
    assert_false(store_has_blob(store, &young, STORE_EXT_SECRET));
    assert_true(store_has_blob(store, &bundle, "zst"));
    store_sweep_blobs(store, STORE_EXT_SECRET, NULL, 0, 0);
    store_flush(store);
    assert_false(store_has_blob(store, &kept, STORE_EXT_SECRET));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_blob_is_its_owners_alone_and_goes, fresh_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_removal_comes_after_the_put_before_it, fresh_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_sweep_takes_what_is_not_named, fresh_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
