#include "tests/it/store/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void a_record_is_seen_once_it_is_durable(void **unused)
{
    (void)unused;
    opened();
    struct statement statement;
    struct answer answer = {0};
    store_apply(store, say(&statement, 5, 0), on_answer, &answer);
    assert_false(store_has(store, 5));
    while (!answer.came)
        event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(answer.changed, DOC_CHANGED_REQ | DOC_CHANGED_FENCE);
    assert_true(knows(5, 0));
    reopened();
    assert_true(knows(5, 0));
    assert_false(knows(5, 1));
}

static void a_staging_folder_goes_with_all_in_it(void **unused)
{
    (void)unused;
    opened();
    owned_mem char *folder = mem_printf("%s/upload", store_tmp_dir(store));
    owned_mem char *inner = mem_printf("%s/file", folder);
    owned_mem char *path = mem_printf("%s/a.zst", inner);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    store_remove_tmp(store, folder);
    store_remove_tmp(store, folder); /* what is gone is no failure */
    store_flush(store);
    assert_false(file_exists(folder));
    assert_true(file_exists(store_tmp_dir(store)));
}

static void another_request_is_refused_and_stays_refused(void **unused)
{
    (void)unused;
    opened();
    said_up_to(5, 1);
    struct statement statement;
    struct answer answer = {0};
    (void)say(&statement, 5, 0);
    statement.req.name = "other";
    store_apply(store, &statement.delta, on_answer, &answer);
    store_flush(store);
    assert_int_equal(answer.code, ERR_CONFLICT);
    reopened();
    assert_true(knows(5, 0));
}

static void a_final_evaluation_becomes_a_file_and_its_marks_stay(void **unused)
{
    (void)unused;
    opened();
    said_up_to(7, WORLD_STEPS);
    said_up_to(9, 3);
    store_flush(store);
    struct store_entry before, after;
    owned_totals totals_before, totals_after;
    assert_true(store_entry(store, 7, &before));
    assert_true(before.final);
    assert_int_equal(before.status, SUMMARY_DONE);
    assert_int_equal(before.tally.passed, 8);
    assert_int_equal(files_in("evals"), 2); /* with the index */
    store_totals(store, &totals_before);
    reopened();
    store_totals(store, &totals_after);
    assert_true(store_entry(store, 7, &after));
    assert_true(after.final && after.digest == before.digest);
    assert_int_equal(after.tally.passed, 8);
    assert_int_equal(after.marks.nota_e5, 2000000);
    assert_int_equal(after.eval_ms, before.eval_ms);
    assert_int_equal(totals_after.passed, totals_before.passed);
    assert_int_equal(totals_after.passed, 10);
    assert_int_equal(totals_after.nodes[0].evaluation_count, 2);
    assert_true(knows(7, WORLD_STEPS - 1));
    assert_int_equal(files_in("log"), 0); /* compacted at the start */
}

static bool collect(void *arg, const struct store_entry *entry)
{
    buf_printf(arg, "%u ", (unsigned)entry->id);
    return true;
}

static void lists_are_newest_first_and_can_be_continued(void **unused)
{
    (void)unused;
    opened();
    for (uint64_t id = 1; id <= 5; id++)
        said_up_to(id, id == 3 ? WORLD_STEPS : 1);
    owned_buf all = BUF_INIT, rest = BUF_INIT;
    store_each(store, UINT64_MAX, UINT64_MAX, collect, &all);
    assert_string_equal(buf_str(&all), "5 4 3 2 1 ");
    store_each(store, 1790000000003, 3, collect, &rest);
    assert_string_equal(buf_str(&rest), "2 1 ");
}

static void the_second_process_is_turned_away(void **unused)
{
    (void)unused;
    opened();
    struct err err = ERR_INIT;
    struct store_options options = {.dir = dir, .base = base};
    assert_null(store_open(&options, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_non_null(strstr(err.text, "--data"));
}

static void a_node_keeps_its_name_and_every_life_has_a_later_generation(void **unused)
{
    (void)unused;
    opened();
    struct store_identity first = *store_identity(store);
    uint64_t gen = first.gen;
    for (int i = 0; i < 3; i++) {
        reopened();
        assert_memory_equal(&store_identity(store)->nid, &first.nid, sizeof first.nid);
        assert_true(store_identity(store)->gen > gen);
        gen = store_identity(store)->gen;
    }
    owned_mem char *newest = mem_printf("%s/node.b.json", dir); /* the fourth life's */
    closed();
    assert_int_equal(truncate(newest, 20), 0);
    opened();
    assert_memory_equal(&store_identity(store)->nid, &first.nid, sizeof first.nid);
    closed();
    owned_mem char *other = mem_printf("%s/node.a.json", dir);
    assert_int_equal(truncate(newest, 20) | truncate(other, 20), 0);
    struct err err = ERR_INIT;
    open_with(NULL, 0, 0, &err);
    assert_null(store);
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void a_small_log_is_compacted_while_it_is_written(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    open_with(NULL, 2000, 6000, &err);
    for (uint64_t id = 1; id <= 12; id++)
        said_up_to(id, id % 3 ? WORLD_STEPS : 4);
    store_flush(store);
    assert_true(files_in("snap") == 1);
    assert_true(files_in("log") < 8);
    reopened();
    for (uint64_t id = 1; id <= 12; id++)
        for (unsigned step = 0; step < (id % 3 ? WORLD_STEPS : 4); step++)
            assert_true(knows(id, step));
    assert_int_equal(files_in("evals"), 9);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static struct hash put_hash;
static enum err_code put_code;

static void on_blob(void *arg, const struct err *err, const struct hash *hash)
{
    (void)arg;
    put_hash = *hash;
    put_code = err->code;
}

static struct hash put(const char *text)
{
    store_put_blob(store, text, strlen(text), "txt", on_blob, NULL);
    store_flush(store);
    assert_int_equal(put_code, ERR_NONE);
    return put_hash;
}

static void blobs_are_put_adopted_and_read(void **unused)
{
    (void)unused;
    opened();
    struct hash hash = put("hello");
    (void)put("hello");
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(store_read_blob(store, &hash, "txt", 100, &text, &err), 0);
    assert_string_equal(buf_str(&text), "hello");
    assert_int_equal(store_read_blob(store, &hash, "txt", 3, &text, &err), ERR_TOO_LARGE);
    owned_mem char *path = mem_printf("%s/upload", store_tmp_dir(store));
    for (int i = 0; i < 2; i++) { /* the second time it is there already */
        struct hash bundle = hash_of("bundle", 6);
        assert_int_equal(file_replace(path, "bundle", 6, 0600, &err), 0);
        store_adopt_blob(store, path, &bundle, "zst", on_blob, NULL);
        store_flush(store);
        assert_int_equal(put_code, ERR_NONE);
        assert_true(store_has_blob(store, &bundle, "zst"));
        assert_false(file_exists(path));
    }
    store_adopt_blob(store, path, &(struct hash){{3}}, "", on_blob, NULL);
    store_flush(store);
    assert_int_equal(put_code, ERR_IO);
}

static void on_gc(void *arg, uint64_t before, uint64_t after)
{
    ((uint64_t *)arg)[0] = before;
    ((uint64_t *)arg)[1] = after;
}

static void made_old(const struct hash *hash, time_t age)
{
    owned_mem char *path = store_blob_path(store, hash, "txt");
    struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_least_used_blobs_go_and_needed_ones_stay(void **unused)
{
    (void)unused;
    opened();
    said_up_to(4, 1);
    struct hash named = put("named"), pinned = put("pinned"), old = put("old..");
    struct hash older = put("older"), young = put("young");
    struct doc_plan plan = {.ballot = WORLD_BALLOT, .setup = {.log = named}};
    struct delta delta = {.id = 4, .plans = &plan, .plan_count = 1};
    store_apply(store, &delta, NULL, NULL);
    store_flush(store);
    store_pin_blob(store, &pinned);
    made_old(&named, 90000);
    made_old(&pinned, 80000);
    made_old(&older, 70000);
    made_old(&old, 60000);
    uint64_t sizes[2];
    store_collect_blobs(store, 21, on_gc, sizes);
    store_flush(store);
    assert_int_equal(sizes[0], 26);
    assert_int_equal(sizes[1], 21);
    assert_false(store_has_blob(store, &older, "txt"));
    assert_true(store_has_blob(store, &old, "txt"));
    store_unpin_blob(store, &pinned);
    store_collect_blobs(store, 0, on_gc, sizes);
    store_flush(store);
    assert_int_equal(sizes[1], 10);
    assert_true(store_has_blob(store, &named, "txt") && store_has_blob(store, &young, "txt"));
}

static void durations_are_averaged_and_outlive_the_process(void **unused)
{
    (void)unused;
    opened();
    assert_int_equal(store_duration_get(store, "p", "a.py"), 0);
    store_duration_put(store, "p", "a.py", 1000);
    store_duration_put(store, "p", "a.py", 501);
    assert_int_equal(store_duration_get(store, "p", "a.py"), 750);
    for (int i = 0; i < 300; i++) {
        owned_mem char *name = mem_printf("m%d", i);
        store_duration_put(store, "q", name, (uint32_t)i + 1);
    }
    reopened();
    assert_int_equal(store_duration_get(store, "p", "a.py"), 750);
    assert_int_equal(store_duration_get(store, "q", "m299"), 300);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        STORY(a_record_is_seen_once_it_is_durable),
        STORY(another_request_is_refused_and_stays_refused),
        STORY(a_staging_folder_goes_with_all_in_it),
        STORY(a_final_evaluation_becomes_a_file_and_its_marks_stay),
        STORY(lists_are_newest_first_and_can_be_continued),
        STORY(the_second_process_is_turned_away),
        STORY(a_node_keeps_its_name_and_every_life_has_a_later_generation),
        STORY(a_small_log_is_compacted_while_it_is_written),
        STORY(blobs_are_put_adopted_and_read),
        STORY(the_least_used_blobs_go_and_needed_ones_stay),
        STORY(durations_are_averaged_and_outlive_the_process),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
