#include "tests/it/store/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* A log as a node left it that was killed: one segment, taken before the store is closed. */
static struct buf recorded;
static char *segment;

static void a_log_was_left(void)
{
    struct err err = ERR_INIT;
    opened();
    said_up_to(3, 3);
    said_up_to(4, WORLD_STEPS - 1);
    segment = mem_printf("%s/log/000001.jsonl", dir);
    buf_clear(&recorded);
    assert_int_equal(file_read(segment, 1 << 20, &recorded, &err), 0);
    closed();
}

static void found_at_start(const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    owned_mem char *snap = mem_printf("%s/snap", dir), *log = mem_printf("%s/log", dir);
    closed();
    assert_int_equal(file_remove_tree(snap, &err) | file_remove_tree(log, &err), 0);
    assert_int_equal(file_make_dirs(log, 0700, &err), 0);
    assert_int_equal(file_replace(segment, bytes, len, 0600, &err), 0);
    opened();
}

static int forget(void **state)
{
    mem_free_at(&segment);
    buf_fini(&recorded);
    return remove_dir(state);
}

/* How many of the nine lines of the log are known, if they are the first ones; else -1. */
static int known_in_order(void)
{
    int known = 0;
    bool gap = false;
    for (unsigned i = 0; i < 3 + WORLD_STEPS - 1; i++) {
        if (!knows(i < 3 ? 3 : 4, i < 3 ? i : i - 3))
            gap = true;
        else if (gap)
            return -1;
        else
            known++;
    }
    return known;
}

static void every_cut_log_gives_the_lines_before_the_cut(void **unused)
{
    (void)unused;
    a_log_was_left();
    int lines = 0;
    for (size_t len = 0; len <= recorded.len; len++) {
        lines += len > 0 && recorded.data[len - 1] == '\n';
        bool edge = len == recorded.len || recorded.data[len] == '\n' ||
                    (len > 0 && recorded.data[len - 1] == '\n');
        if (!edge && len % 41 != 0) /* the pure scan is tested at every byte */
            continue;
        found_at_start(recorded.data, len);
        assert_int_equal(known_in_order(), lines);
        assert_false(store_repairing(store));
        assert_int_equal(files_in("quarantine"), 0);
    }
}

static void a_torn_last_sector_is_forgotten(void **unused)
{
    (void)unused;
    a_log_was_left();
    memset(recorded.data + recorded.len - 100, 0, 100);
    found_at_start(recorded.data, recorded.len);
    assert_int_equal(known_in_order(), 8);
    assert_false(store_repairing(store));
    said_up_to(4, WORLD_STEPS); /* and can be written over */
    reopened();
    assert_int_equal(known_in_order(), 9);
}

static void rot_in_the_middle_is_kept_reported_and_stepped_over(void **unused)
{
    (void)unused;
    a_log_was_left();
    recorded.data[recorded.len / 2] ^= 4;
    found_at_start(recorded.data, recorded.len);
    assert_true(store_repairing(store));
    assert_int_equal(files_in("quarantine"), 1);
    assert_true(knows(3, 0) && knows(4, WORLD_STEPS - 2)); /* before it and behind it */
    reopened(); /* the damaged segment is gone from the log, but nobody has said that all is well */
    assert_true(store_repairing(store));
    store_repaired(store);
    assert_false(store_repairing(store));
    reopened();
    assert_false(store_repairing(store));
    assert_true(knows(3, 0) && knows(4, WORLD_STEPS - 2));
}

static void a_lost_rename_of_the_snapshot_loses_nothing(void **unused)
{
    (void)unused;
    a_log_was_left();
    struct err err = ERR_INIT;
    owned_mem char *tmp = mem_printf("%s/snap/snap.tmp", dir);
    opened();
    closed();
    /* as if neither the rename nor the removals had happened */
    owned_mem char *snap = mem_printf("%s/snap/000001.jsonl", dir);
    assert_int_equal(rename(snap, tmp), 0);
    assert_int_equal(file_replace(segment, recorded.data, recorded.len, 0600, &err), 0);
    opened();
    assert_int_equal(known_in_order(), 9);
    assert_false(file_exists(tmp));
    /* as if the snapshot were there and the removals had not happened */
    closed();
    assert_int_equal(file_replace(segment, recorded.data, recorded.len, 0600, &err), 0);
    opened();
    assert_int_equal(known_in_order(), 9);
    assert_int_equal(files_in("log"), 0);
}

static char *the_sealed_file(void)
{
    owned_mem char *command = mem_printf("ls %s/evals/2*/*.json", dir);
    char line[512] = "";
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(line, sizeof line, pipe))
        abort();
    pclose(pipe);
    line[strcspn(line, "\n")] = '\0';
    return mem_strdup(line);
}

static void a_sealed_document_that_does_not_match_its_name_is_put_aside(void **unused)
{
    (void)unused;
    opened();
    said_up_to(4, WORLD_STEPS);
    reopened();
    owned_mem char *path = the_sealed_file();
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(file_read(path, 1 << 20, &text, &err), 0);
    char *at = strstr(text.data, "\"passed\":2");
    assert_non_null(at);
    at[9] = '9';
    assert_int_equal(file_replace(path, text.data, text.len, 0600, &err), 0);
    assert_null(store_find(store, 4, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_true(store_repairing(store));
    assert_int_equal(files_in("quarantine"), 1);
    reopened();
    assert_false(store_has(store, 4));
}

static void the_index_is_made_again(void **unused)
{
    (void)unused;
    opened();
    said_up_to(4, WORLD_STEPS);
    said_up_to(6, WORLD_STEPS);
    closed();
    owned_mem char *index = mem_printf("%s/evals/index.jsonl", dir);
    owned_mem char *file = NULL;
    struct err err = ERR_INIT;
    struct stat before, after;
    assert_int_equal(stat(index, &before), 0);
    assert_int_equal(truncate(index, before.st_size / 2), 0);
    owned_mem char *half = mem_printf("%s/evals/2026-09/9.0000000000000000.json.tmp", dir);
    assert_int_equal(file_replace(half, "{", 1, 0600, &err), 0);
    opened();
    assert_false(file_exists(half));
    struct store_entry entry;
    assert_true(store_entry(store, 6, &entry));
    assert_int_equal(entry.tally.passed, 8);
    assert_int_equal(stat(index, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    file = the_sealed_file();
    assert_int_equal(unlink(file), 0); /* an operator's hand */
    reopened();
    assert_int_equal(store_count(store), 1);
}

static void a_late_statement_about_a_sealed_evaluation_is_sealed_again(void **unused)
{
    (void)unused;
    opened();
    said_up_to(4, WORLD_STEPS);
    reopened();
    struct statement late;
    (void)say(&late, 4, 2);
    late.rec.ballot.epoch = 9; /* it outranks the sealed one, and comes too late */
    late.rec.tally.passed = 100;
    struct answer answer;
    store_apply(store, &late.delta, on_answer, &answer);
    store_flush(store);
    assert_int_equal(answer.changed, DOC_CHANGED_RES);
    for (int i = 0; i < 2; i++) {
        struct store_entry entry;
        assert_true(store_entry(store, 4, &entry));
        assert_true(entry.final);
        assert_int_equal(entry.tally.passed, 8);
        assert_int_equal(files_in("evals"), 2);
        struct err err = ERR_INIT;
        assert_int_equal(doc_result(store_find(store, 4, &err), 0, 0)->tally.passed, 100);
        reopened();
    }
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, fresh_dir, forget)
    const struct CMUnitTest tests[] = {
        STORY(every_cut_log_gives_the_lines_before_the_cut),
        STORY(a_torn_last_sector_is_forgotten),
        STORY(rot_in_the_middle_is_kept_reported_and_stepped_over),
        STORY(a_lost_rename_of_the_snapshot_loses_nothing),
        STORY(a_sealed_document_that_does_not_match_its_name_is_put_aside),
        STORY(the_index_is_made_again),
        STORY(a_late_statement_about_a_sealed_evaluation_is_sealed_again),
    };
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
