#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "runner/intake/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The verbs that the stories below are told in. An archive is a list of paths in tree order. */
static struct archive archive;
static struct layout layout;
static struct err err;
static struct buf told;

static void given(const char *const *paths, size_t count)
{
    static struct archive_entry entries[64];
    memset(entries, 0, sizeof entries);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(paths[i]);
        bool folder = paths[i][len - 1] == '/';
        char *path = mem_strndup(paths[i], len - folder);
        entries[i] = (struct archive_entry){.path = path,
                                            .path_len = (uint16_t)(len - folder),
                                            .kind = folder ? ARCHIVE_FOLDER : ARCHIVE_FILE,
                                            .size_bytes = folder ? 0 : 10,
                                            .packed_bytes = folder ? 0 : 10};
        if (i > 0)
            assert_true(archive_path_compare(entries[i - 1].path, path) < 0);
    }
    archive = (struct archive){.entries = entries, .count = count};
}

#define GIVEN(...)                                                                                 \
    given((const char *const[]){__VA_ARGS__},                                                      \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static int find_with(struct layout_spec spec)
{
    int rc = layout_find(&layout, &archive, &spec, &err);
    buf_clear(&told);
    for (size_t p = 0; p < layout.project_count; p++) {
        const struct layout_project *project = &layout.projects[p];
        buf_printf(&told, "%s(", project->name);
        const char *gap = "";
        for (size_t i = project->first; i < project->end; i++)
            if (!archive.entries[i].skipped && archive.entries[i].path_len > project->strip) {
                buf_printf(&told, "%s%s", gap, archive.entries[i].path + project->strip);
                gap = " ";
            }
        buf_puts(&told, ")");
    }
    return rc;
}

/* Returns the projects and what is in them: "alice(test_a.py)bob(test_b.py)". */
static const char *found(void)
{
    int rc = find_with((struct layout_spec){.limits = ARCHIVE_LIMITS_DEFAULT});
    return rc ? err_name(&err) : buf_str(&told);
}

static int done(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < archive.count; i++) {
        char *path;
        memcpy(&path, &archive.entries[i].path, sizeof path);
        free(path);
    }
    archive.count = 0;
    layout_fini(&layout);
    buf_fini(&told);
    return 0;
}

static void a_top_with_tests_is_one_project(void **unused)
{
    (void)unused;
    GIVEN("main.py", "tests/test_a.py");
    assert_string_equal(found(), "project(main.py tests/test_a.py)");
}

static void wrappers_are_looked_through(void **unused)
{
    (void)unused;
    GIVEN("x/", "x/y/", "x/y/alice/", "x/y/alice/test_a.py", "x/y/bob/test_b.py");
    assert_string_equal(found(), "alice(test_a.py)bob(test_b.py)");
    assert_int_equal(layout.ignored.count, 0);
}

static void a_students_one_folder_is_looked_through_and_named_after_the_student(void **unused)
{
    (void)unused;
    GIVEN("al/hw/test_a.py", "bo/hw/test_b.py", "bo/x.txt");
    assert_string_equal(found(), "al(test_a.py)bo(test_b.py)");
    assert_string_equal(layout.ignored.rows[0].path, "bo/x.txt");
}

static void a_package_keeps_the_folder_it_is_imported_from(void **unused)
{
    (void)unused;
    GIVEN("al/pkg/__init__.py", "al/pkg/test_a.py", "bo/test_b.py");
    assert_string_equal(found(), "al(pkg/__init__.py pkg/test_a.py)bo(test_b.py)");
}

static void environments_and_caches_are_skipped_by_what_they_are(void **unused)
{
    (void)unused;
    GIVEN("p/__pycache__/a.pyc", "p/cache/x.py", "p/env/settings.py", "p/my/bin/python",
          "p/my/pyvenv.cfg", "p/test_a.py", "p/venv/bin/activate");
    assert_string_equal(found(), "p(cache/x.py env/settings.py test_a.py)");
    assert_int_equal(layout.ignored.count, 3);
}

static void nothing_but_metadata_is_empty(void **unused)
{
    (void)unused;
    GIVEN(".DS_Store", "__MACOSX/._a");
    assert_string_equal(found(), "archive-empty");
}

static void twins_of_names_are_kept_apart(void **unused)
{
    (void)unused;
    GIVEN("A/test_a.py", "a/test_a.py", "a-2/test_a.py");
    assert_string_equal(found(), "A(test_a.py)a-2(test_a.py)a-2-2(test_a.py)");
}

static void an_overlay_is_one_tree(void **unused)
{
    (void)unused;
    struct layout_spec spec = {.overlay = true, .limits = ARCHIVE_LIMITS_DEFAULT};
    GIVEN("all/alice/x.py", "all/tests/test_a.py");
    assert_int_equal(find_with(spec), 0);
    assert_string_equal(buf_str(&told), "overlay(alice/x.py tests/test_a.py)");
}

static void a_repository_is_one_project(void **unused)
{
    (void)unused;
    struct layout_spec spec = {.name = "x", .whole = true, .limits = ARCHIVE_LIMITS_DEFAULT};
    GIVEN("a/.venv/pyvenv.cfg", "a/test_a.py", "b/test_b.py");
    assert_int_equal(find_with(spec), 0);
    assert_string_equal(buf_str(&told), "x(a/test_a.py b/test_b.py)");
}

static void a_tests_folder_is_no_wrapper_of_an_overlay(void **unused)
{
    (void)unused;
    struct layout_spec spec = {.overlay = true, .limits = ARCHIVE_LIMITS_DEFAULT};
    GIVEN("tests/test_a.py");
    assert_int_equal(find_with(spec), 0);
    assert_string_equal(buf_str(&told), "overlay(tests/test_a.py)");
}

static void sums_of_lies_do_not_wrap(void **unused)
{
    (void)unused;
    GIVEN("a/test_a.py", "b/test_b.py");
    archive.entries[0].size_bytes = archive.entries[1].size_bytes = UINT64_MAX - 5;
    assert_string_equal(found(), "archive-bomb");
}

int main(void)
{
#define STORY(f) cmocka_unit_test_teardown(f, done)
    const struct CMUnitTest tests[] = {
        STORY(a_top_with_tests_is_one_project),
        STORY(wrappers_are_looked_through),
        STORY(a_students_one_folder_is_looked_through_and_named_after_the_student),
        STORY(a_package_keeps_the_folder_it_is_imported_from),
        STORY(environments_and_caches_are_skipped_by_what_they_are),
        STORY(nothing_but_metadata_is_empty),
        STORY(twins_of_names_are_kept_apart),
        STORY(an_overlay_is_one_tree),
        STORY(a_repository_is_one_project),
        STORY(a_tests_folder_is_no_wrapper_of_an_overlay),
        STORY(sums_of_lies_do_not_wrap),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
