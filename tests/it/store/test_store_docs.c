/* What the mesh's machines read of the store. */
#include "node/own/docs.h"
#include "node/store/store_docs.h"
#include "tests/it/store/world.h"

#include <dirent.h>
#include <stdlib.h>

struct sum {
    uint64_t buckets[DOCS_BUCKETS];
    size_t count, final;
};

static void add(void *arg, const struct docs_info *info)
{
    struct sum *self = arg;
    self->buckets[docs_bucket(info->id)] ^= info->digest;
    self->count++;
    self->final += info->is_final;
}

/* The digests that are kept are those of the documents. */
static uint64_t checked_root(size_t count, size_t final)
{
    struct docs docs;
    struct sum sum = {0};
    store_docs(store, &docs);
    docs.each(docs.arg, add, &sum);
    assert_int_equal(sum.count, count);
    assert_int_equal(sum.final, final);
    assert_memory_equal(sum.buckets, docs.buckets(docs.arg), sizeof sum.buckets);
    for (uint64_t id = 1; id <= count; id++) {
        struct docs_info info;
        assert_true(docs.info(docs.arg, id, &info));
        assert_true(docs.find(docs.arg, id)->digest == info.digest);
    }
    return docs_root(&docs);
}

static void digests_are_kept_over_joins_files_and_lives(void **unused)
{
    (void)unused;
    opened();
    assert_true(checked_root(0, 0) == 0);
    for (uint64_t id = 1; id <= 12; id++)
        said_up_to(id, id % 3 == 0 ? WORLD_STEPS : (unsigned)(id % WORLD_STEPS) + 1);
    size_t final = 0;
    for (uint64_t id = 1; id <= 12; id++)
        final += id % 3 == 0 || id % WORLD_STEPS == WORLD_STEPS - 1;
    uint64_t before = checked_root(12, final);
    reopened();
    assert_true(checked_root(12, final) == before);
    said_up_to(12, WORLD_STEPS); /* nothing new */
    assert_true(checked_root(12, final) == before);
    said_up_to(1, 3);
    assert_true(checked_root(12, final) != before);
}

static bool final_when_told;

static void watch(void *arg, const struct doc *doc, unsigned changed)
{
    struct docs docs;
    struct docs_info info = {0};
    (void)arg;
    store_docs(store, &docs);
    if (changed & DOC_CHANGED_COM)
        final_when_told = docs.info(docs.arg, doc->id, &info) && info.is_final;
}

static void final_is_when_it_is_committed_and_not_when_it_has_its_file(void **unused)
{
    (void)unused;
    opened();
    store_watch(store, watch, NULL);
    final_when_told = false;
    said_up_to(5, WORLD_STEPS);
    assert_true(final_when_told);
}

static void note_id(void *arg, const struct doc *doc) { *(uint64_t *)arg = doc->id; }

static void open_ones_are_walked(void **unused)
{
    (void)unused;
    opened();
    said_up_to(1, 2);
    said_up_to(2, WORLD_STEPS);
    struct docs docs;
    uint64_t id = 0;
    store_docs(store, &docs);
    docs.each_open(docs.arg, note_id, &id);
    assert_int_equal(id, 1);
}

/* Cuts the only sealed file short. */
static void damage_sealed(void)
{
    owned_mem char *folder = mem_printf("%s/evals/2026-09", dir);
    DIR *open_dir = opendir(folder);
    assert_non_null(open_dir);
    for (const struct dirent *at; (at = readdir(open_dir)) != NULL;) {
        if (at->d_name[0] == '.')
            continue;
        owned_mem char *path = mem_printf("%s/%s", folder, at->d_name);
        assert_int_equal(truncate(path, 200), 0);
    }
    closedir(open_dir);
}

static void what_is_damaged_differs_until_it_is_brought_back(void **unused)
{
    (void)unused;
    opened();
    said_up_to(1, WORLD_STEPS);
    uint64_t before = checked_root(1, 1);
    reopened(); /* now it is in its file alone, no longer in the log */
    closed();
    damage_sealed();
    opened();
    struct docs docs;
    struct docs_info info;
    store_docs(store, &docs);
    assert_true(docs_root(&docs) == before); /* nobody has looked */
    assert_null(docs.find(docs.arg, 1));
    assert_true(docs_root(&docs) == 0);
    assert_false(docs.info(docs.arg, 1, &info));
    assert_true(store_repairing(store));
    said_up_to(1, WORLD_STEPS);
    assert_true(checked_root(1, 1) == before);
    reopened();
    assert_true(checked_root(1, 1) == before);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        STORY(digests_are_kept_over_joins_files_and_lives),
        STORY(final_is_when_it_is_committed_and_not_when_it_has_its_file),
        STORY(open_ones_are_walked),
        STORY(what_is_damaged_differs_until_it_is_brought_back),
    };
    return cmocka_run_group_tests_name("store_docs", tests, NULL, NULL);
}
