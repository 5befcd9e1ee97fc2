#include "node/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct node_options options;
static struct err err;
static bool help;

#define given(...) given_words((char *[]){__VA_ARGS__, NULL})

static int given_words(char *const *argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    node_options_fini(&options);
    options = (struct node_options){0};
    err = (struct err)ERR_INIT;
    return node_options_load(&options, argc, argv, &help, &err);
}

static int forget(void **unused)
{
    (void)unused;
    node_options_fini(&options);
    return 0;
}

static void a_node_without_words_is_complete(void **unused)
{
    (void)unused;
    char *none[] = {NULL};
    assert_int_equal(given_words(none), 0);
    assert_int_equal(options.listen.count, 1);
    assert_string_equal(options.listen.items[0], "127.0.0.1:5001");
    assert_non_null(options.data);
    assert_int_equal(options.data[0], '/');
    assert_int_equal(options.slots, 0);
    assert_true(options.fork_server);
    assert_false(options.open);
    assert_int_equal(options.module_timeout_ms, 300000);
    assert_int_equal(options.module_memory_bytes, 1 << 30);
    assert_int_equal(options.upload_max_bytes, 512 << 20);
}

static void what_contradicts_itself_is_refused(void **unused)
{
    (void)unused;
    assert_int_equal(given("--allow-unsandboxed", "--require-isolation", "A"), ERR_INVALID);
    assert_int_equal(given("--module-disk", "8M", "--module-file-size", "16M"), ERR_INVALID);
    assert_int_equal(given("--listen", "localhost"), ERR_INVALID);
    assert_int_equal(given("--listen", "a:65536"), ERR_INVALID);
    assert_int_equal(given("extra"), ERR_INVALID);
    assert_int_equal(given("--config", "/nonexistent/testmesh.conf"), ERR_NOT_FOUND);
    assert_int_equal(given("--listen", "[::1]:0", "--listen", "127.0.0.1:0", "--data", "d"), 0);
    assert_string_equal(options.data, "d");
}

static void a_configuration_file_is_read(void **unused)
{
    (void)unused;
    char path[] = "/tmp/testmesh-options-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "slots = 3\nmodule-timeout = 5m\nfork-server = no\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    int rc = given("--config", path, "--slots", "2");
    unlink(path);
    assert_int_equal(rc, 0);
    assert_int_equal(options.slots, 2);
    assert_int_equal(options.module_timeout_ms, 300000);
    assert_false(options.fork_server);
}

/* Flags, environment names and keys of the table are each there once, and follow one rule. */
static void names_follow_the_rule(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < node_option_table.row_count; i++) {
        const struct opt_row *row = &node_option_table.rows[i];
        assert_memory_equal(row->env, "TESTMESH_", 9);
        assert_int_equal(strlen(row->env + 9), strlen(row->flag));
        for (size_t c = 0; row->flag[c] != '\0'; c++) {
            char upper = row->flag[c] == '-' ? '_' : (char)(row->flag[c] - 'a' + 'A');
            assert_int_equal(row->env[9 + c], upper);
        }
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row->flag, node_option_table.rows[j].flag);
            if (row->short_flag != 0)
                assert_int_not_equal(row->short_flag, node_option_table.rows[j].short_flag);
        }
    }
}

int main(void)
{
    /* The surroundings of whoever runs the tests are no part of them. */
    for (size_t i = 0; i < node_option_table.row_count; i++)
        unsetenv(node_option_table.rows[i].env);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_node_without_words_is_complete, forget),
        cmocka_unit_test_teardown(what_contradicts_itself_is_refused, forget),
        cmocka_unit_test_teardown(a_configuration_file_is_read, forget),
        cmocka_unit_test(names_follow_the_rule),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
