/* Intake and materialise with a real child. Run by itself it is a test; with arguments it is the
 * program that tests/it/test_intake.py drives: a helper, or one call whose outcome it prints. */
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/intake/intake.h"
#include "runner/intake/lockin.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <zip.h>

/* What the callback said, as one JSON document. */
struct seen {
    struct event_base *base;
    struct buf text;
    struct err err;
    unsigned calls;
    size_t project_count;
    struct hash bundle;
    char *path;
};

static void put_notes(struct json_out *json, const char *key, const struct intake_note *notes,
                      size_t count)
{
    json_out_key(json, key);
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++) {
        json_out_open_array(json);
        json_out_str(json, notes[i].path);
        json_out_str(json, notes[i].why);
        json_out_close_array(json);
    }
    json_out_close_array(json);
}

static void put_project(struct json_out *json, const struct intake_project *project)
{
    char hex[HASH_HEX];
    json_out_open_object(json);
    json_out_key_str(json, "name", project->name);
    json_out_key_str(json, "folder", project->folder);
    json_out_key_str(json, "failure", project->failure);
    json_out_key_str(json, "reason", project->reason);
    json_out_key_str(json, "path", project->path);
    json_out_key_str(json, "bundle", hash_hex(&project->bundle, hex));
    json_out_key_str(json, "tree", hash_hex(&project->tree, hex));
    json_out_key_uint(json, "bundle_bytes", project->bundle_bytes);
    json_out_key_uint(json, "source_bytes", project->source_bytes);
    json_out_key_uint(json, "file_count", project->file_count);
    json_out_close_object(json);
}

static void put_error(struct json_out *json, const struct err *err)
{
    json_out_key_str(json, "code", err->code ? err_code_name(err->code) : NULL);
    json_out_key_str(json, "reason", err->code ? err->reason : NULL);
    json_out_key_str(json, "text", err->code ? err->text : NULL);
}

static void on_intake(void *arg, struct intake_result *result, const struct err *err)
{
    struct seen *self = arg;
    struct json_out json;
    json_out_init(&json, &self->text);
    json_out_open_object(&json);
    put_error(&json, err);
    self->err = *err;
    if (result) {
        json_out_key(&json, "projects");
        json_out_open_array(&json);
        for (size_t i = 0; i < result->project_count; i++)
            put_project(&json, &result->projects[i]);
        json_out_close_array(&json);
        put_notes(&json, "ignored", result->ignored, result->ignored_count);
        put_notes(&json, "remarks", result->remarks, result->remark_count);
        json_out_key_uint(&json, "ignored_more", result->ignored_more);
        self->project_count = result->project_count;
        self->bundle = result->projects[0].bundle;
        self->path = result->projects[0].path ? mem_strdup(result->projects[0].path) : NULL;
    }
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    json_out_key_int(&json, "rss_kib", usage.ru_maxrss);
    json_out_close_object(&json);
    self->calls++;
    event_base_loopbreak(self->base);
}

static void on_tree(void *arg, const struct err *err)
{
    struct seen *self = arg;
    struct json_out json;
    json_out_init(&json, &self->text);
    json_out_open_object(&json);
    self->err = err ? *err : (struct err)ERR_INIT;
    put_error(&json, &self->err);
    json_out_close_object(&json);
    self->calls++;
    event_base_loopbreak(self->base);
}

static int print_and_free(struct seen *seen)
{
    puts(buf_str(&seen->text));
    buf_fini(&seen->text);
    free(seen->path);
    event_base_free(seen->base);
    return seen->calls == 1 ? 0 : 1;
}

/* intake ZIP OUT [name=N] [overlay] [limit=VALUE …] */
static int call_intake(int argc, char **argv)
{
    struct seen seen = {.base = event_base_new()};
    struct intake_spec spec = {
        .zip_path = argv[2], .out_dir = argv[3], .limits = ARCHIVE_LIMITS_DEFAULT};
    spec.limits_set = true;
    for (int i = 4; i < argc; i++) {
        unsigned long long value =
            strchr(argv[i], '=') ? strtoull(strchr(argv[i], '=') + 1, NULL, 10) : 0;
        if (strncmp(argv[i], "name=", 5) == 0)
            spec.name = argv[i] + 5;
        else if (strcmp(argv[i], "overlay") == 0)
            spec.overlay = true;
        else if (strncmp(argv[i], "total=", 6) == 0)
            spec.limits.total_bytes = value;
        else if (strncmp(argv[i], "project=", 8) == 0)
            spec.limits.project_bytes = value;
        else if (strncmp(argv[i], "file=", 5) == 0)
            spec.limits.file_bytes = value;
        else if (strncmp(argv[i], "project_entries=", 16) == 0)
            spec.limits.project_entry_count = (uint32_t)value;
        else if (strncmp(argv[i], "timeout=", 8) == 0)
            spec.timeout_ms = (uint32_t)value;
        else
            return 2;
    }
    struct err err = ERR_INIT;
    if (!intake_start(seen.base, &spec, on_intake, &seen, &err))
        on_intake(&seen, NULL, &err);
    else
        event_base_dispatch(seen.base);
    return print_and_free(&seen);
}

/* materialise OUT BUNDLE HASH [OVERLAY HASH] */
static int call_materialise(int argc, char **argv)
{
    struct seen seen = {.base = event_base_new()};
    struct materialise_spec spec = {.out_dir = argv[2], .bundle_path = argv[3]};
    if (argc < 5 || hash_from_hex(&spec.bundle, argv[4]))
        return 2;
    if (argc == 7) {
        spec.overlay_path = argv[5];
        if (hash_from_hex(&spec.overlay, argv[6]))
            return 2;
    }
    struct err err = ERR_INIT;
    if (!materialise_start(seen.base, &spec, on_tree, &seen, &err))
        on_tree(&seen, &err);
    else
        event_base_dispatch(seen.base);
    return print_and_free(&seen);
}

/* The verbs of the stories below. */
static char folder[] = "/tmp/testmesh-intake-XXXXXX";
static struct seen seen;

static char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int given_a_folder(void **unused)
{
    (void)unused;
    strcpy(folder, "/tmp/testmesh-intake-XXXXXX");
    seen = (struct seen){.base = event_base_new()};
    return mkdtemp(folder) ? 0 : -1;
}

static int nothing_is_left(void **unused)
{
    (void)unused;
    buf_fini(&seen.text);
    free(seen.path);
    event_base_free(seen.base);
    return file_remove_tree(folder, NULL);
}

static void given_a_zip(const char *path)
{
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_EXCL, NULL);
    assert_non_null(zip);
    static const char text[] = "def test_one():\n    assert 1\n";
    zip_source_t *source = zip_source_buffer(zip, text, sizeof text - 1, 0);
    assert_true(zip_file_add(zip, "alice/tests/test_one.py", source, 0) >= 0);
    assert_int_equal(zip_close(zip), 0);
}

static struct intake *start(const char *program)
{
    struct intake_spec spec = {
        .zip_path = in_folder("in.zip"), .out_dir = in_folder("out"), .program = program};
    struct err err = ERR_INIT;
    struct intake *intake = intake_start(seen.base, &spec, on_intake, &seen, &err);
    seen.err = err;
    return intake;
}

static void a_zip_becomes_a_bundle_and_a_tree(void **unused)
{
    (void)unused;
    given_a_zip(in_folder("in.zip"));
    assert_non_null(start(NULL));
    assert_int_equal(seen.calls, 0); /* never from within the start */
    event_base_dispatch(seen.base);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.err.code, 0);
    assert_int_equal(seen.project_count, 1);
    struct materialise_spec spec = {
        .bundle_path = seen.path, .bundle = seen.bundle, .out_dir = in_folder("tree")};
    assert_non_null(materialise_start(seen.base, &spec, on_tree, &seen, NULL));
    event_base_dispatch(seen.base);
    assert_int_equal(seen.err.code, 0);
    struct stat st;
    assert_int_equal(stat(in_folder("tree/tests/test_one.py"), &st), 0);
    assert_int_equal(st.st_mtime, INTAKE_MTIME);
    assert_int_equal(st.st_mode & 07777, 0644);
}

static void a_cancelled_intake_leaves_nothing_and_says_nothing(void **unused)
{
    (void)unused;
    given_a_zip(in_folder("in.zip"));
    struct intake *intake = start(NULL);
    assert_non_null(intake);
    intake_cancel(intake);
    event_base_loop(seen.base, EVLOOP_NONBLOCK);
    assert_int_equal(seen.calls, 0);
    assert_false(file_exists(in_folder("out")));
}

static void a_folder_that_exists_is_not_written_into(void **unused)
{
    (void)unused;
    given_a_zip(in_folder("in.zip"));
    assert_int_equal(mkdir(in_folder("out"), 0700), 0);
    assert_null(start(NULL));
    assert_int_equal(seen.err.code, ERR_CONFLICT);
}

static void a_program_that_is_no_helper_is_our_fault(void **unused)
{
    (void)unused;
    given_a_zip(in_folder("in.zip"));
    static const char *const programs[] = {"/bin/false", "/bin/echo", "/bin/true"};
    for (size_t i = 0; i < countof(programs); i++) {
        assert_non_null(start(programs[i]));
        event_base_dispatch(seen.base);
        assert_int_equal(seen.err.code, ERR_INTERNAL);
        assert_false(file_exists(in_folder("out")));
    }
    assert_null(start("/nonexistent/program"));
    assert_int_equal(seen.err.code, ERR_NOT_FOUND);
}

/* Runs in a process of its own, since what is given up does not come back. */
static int look_around_locked_in(void)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lockin(dir, 1 << 20);
    bool outside = open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
    bool inside = openat(dir, "made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
    return (outside ? 1 : 0) | (inside ? 2 : 0);
}

static void a_helper_sees_no_file_but_its_own(void **unused)
{
    (void)unused;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
        print_message("skipped: this kernel has no Landlock\n");
        skip();
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(look_around_locked_in());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 3) {
        print_message("skipped: Landlock is left out under a sanitizer\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 2);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0 && strcmp(argv[2], "intake") == 0)
        return helper_intake_main(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "--helper") == 0 && strcmp(argv[2], "materialise") == 0)
        return helper_materialise_main(argc - 2, argv + 2);
    if (argc > 3 && strcmp(argv[1], "intake") == 0)
        return call_intake(argc, argv);
    if (argc > 3 && strcmp(argv[1], "materialise") == 0)
        return call_materialise(argc, argv);
#define STORY(f) cmocka_unit_test_setup_teardown(f, given_a_folder, nothing_is_left)
    const struct CMUnitTest tests[] = {
        STORY(a_zip_becomes_a_bundle_and_a_tree),
        STORY(a_cancelled_intake_leaves_nothing_and_says_nothing),
        STORY(a_folder_that_exists_is_not_written_into),
        STORY(a_program_that_is_no_helper_is_our_fault),
        STORY(a_helper_sees_no_file_but_its_own),
    };
    return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
