#include "proto/base/mem.h"
#include "runner/env/blame.h"
#include "runner/env/describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_description_is_read(void **unused)
{
    (void)unused;
    static const char json[] =
        "{\"name\":\"demo\",\"pytest\":{\"config_file\":\"tox.ini\"},\"candidates\":[\"tests/"
        "test_a.py\",\"/etc/passwd\",\"../x.py\",\"a/../b.py\",\"a//b.py\",\"\",7],"
        "\"requirements\":{\"source\":\"requirements.txt\",\"why\":\"w\",\"text\":\"attrs\\n\","
        "\"constraints\":\"\"},\"requires_python\":\">=3.8\",\"src_layout\":true,\"notes\":[\"n\"],"
        "\"build\":{\"requires\":\"hatchling\\n\",\"backend\":\"hatchling.build\",\"path\":[\"b\"]}"
        "}";
    owned_describe got = DESCRIBE_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(describe_decode(&got, json, strlen(json), &err), 0);
    assert_string_equal(got.name, "demo");
    assert_string_equal(got.python, ">=3.8");
    assert_string_equal(got.pytest_config, "tox.ini");
    assert_string_equal(got.requirements, "attrs\n");
    assert_true(got.src_layout);
    assert_false(got.editable);
    assert_int_equal(got.candidate_count, 1);
    assert_string_equal(got.candidates[0], "tests/test_a.py");
    assert_int_equal(got.note_count, 1);
    assert_string_equal(got.build_requires, "hatchling\n");
    assert_string_equal(got.build_backend, "hatchling.build");
    assert_int_equal(got.build_path_count, 1);
}

static void a_project_that_says_nothing_is_built_by_setuptools(void **unused)
{
    (void)unused;
    static const char json[] = "{\"requirements\":{}}";
    owned_describe got = DESCRIBE_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(describe_decode(&got, json, strlen(json), &err), 0);
    assert_string_equal(got.build_requires, "setuptools>=64\n");
    assert_string_equal(got.build_backend, "setuptools.build_meta:__legacy__");
    assert_int_equal(got.build_path_count, 0);
}

static void junk_is_refused(void **unused)
{
    (void)unused;
    static const char *const rows[] = {"", "[]", "{}", "{\"requirements\":[]}", "Traceback"};
    for (size_t i = 0; i < countof(rows); i++) {
        owned_describe got = DESCRIBE_INIT;
        struct err err = ERR_INIT;
        assert_int_equal(describe_decode(&got, rows[i], strlen(rows[i]), &err), ERR_INVALID);
    }
}

static void the_program_is_embedded(void **unused)
{
    (void)unused;
    assert_true(describe_py_len > 1000);
    assert_non_null(strstr((const char *)describe_py, "def describe(root):"));
}

static void installers_words_tell_whose_fault_it_is(void **unused)
{
    (void)unused;
    static const struct {
        const char *output;
        const char *reason;
        bool is_cluster;
        const char *kept;
    } rows[] = {
        {"error: No solution found when resolving dependencies\n  cause: Because nosuch was not "
         "found "
         "in the package registry and you require nosuch, we can conclude\n",
         "package-not-found", false, "nosuch was not found"},
        {"error: No solution found\n  cause: Because you require a<7 and a>8, we can conclude that "
         "your requirements are unsatisfiable.\n",
         "package-conflict", false, "a<7"},
        {"error: Request failed after 3 retries in 6.1s\n  cause: Failed to fetch: http://h/\n  "
         "cause: "
         "Connection refused (os error 111)\n",
         "index-unreachable", true, "Connection refused"},
        {"Looking in indexes: http://h\nERROR: Could not find a version that satisfies the "
         "requirement nosuch (from versions: none)\nERROR: No matching distribution found for "
         "nosuch\n",
         "package-not-found", false, "nosuch"},
        {"WARNING: Retrying after connection broken by 'NewConnectionError(...)'\nERROR: Could not "
         "find a version that satisfies the requirement x (from versions: none)\n",
         "index-unreachable", true, "Could not find"},
        {"WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', "
         "OSError('Tunnel connection failed: 504 Gateway Timeout'))'\nERROR: Could not find a "
         "version that satisfies the requirement x (from versions: none)\n",
         "index-unreachable", true, "Could not find"},
        {"ERROR: Could not install requirement x because of HTTP error 403 Client Error: "
         "Forbidden for url: http://h/x.tar.gz\n",
         "index-unreachable", true, "403"},
        {"  error: subprocess-exited-with-error\n  OSError: Tunnel connection failed: 403\n",
         "package-build", false, "error:"},
        {"  error: subprocess-exited-with-error\n  boom\n", "package-build", false, "error:"},
        {"error: failed to write: No space left on device (os error 28)\n", "disk-full", true,
         "write"},
        {"whatever\n", "package-install", false, "whatever"},
        {"", "package-install", false, ""},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        owned_buf message = BUF_INIT;
        struct blame got = blame_read(rows[i].output, &message);
        assert_string_equal(got.reason, rows[i].reason);
        assert_int_equal(got.is_cluster, rows[i].is_cluster);
        assert_non_null(strstr(buf_str(&message), rows[i].kept));
        assert_null(strstr(buf_str(&message), "Looking in"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_is_read),
        cmocka_unit_test(a_project_that_says_nothing_is_built_by_setuptools),
        cmocka_unit_test(junk_is_refused),
        cmocka_unit_test(the_program_is_embedded),
        cmocka_unit_test(installers_words_tell_whose_fault_it_is),
    };
    return cmocka_run_group_tests_name("describe", tests, NULL, NULL);
}
