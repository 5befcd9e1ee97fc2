#include "proto/base/mem.h"
#include "proto/base/opt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct settings {
    char *name;
    int64_t slots;
    uint64_t memory;
    uint64_t wait_ms;
    bool open;
    bool warm;
    struct opt_list python;
    int level;
};

#define AT(member) .offset = offsetof(struct settings, member)

static const struct opt_row rows[] = {
    {.flag = "name",
     .short_flag = 'n',
     .type = OPT_STRING,
     .key = "name",
     .help = "A name",
     AT(name)},
    {.flag = "slots",
     .short_flag = 's',
     .env = "T_SLOTS",
     .key = "slots",
     .type = OPT_INT,
     .min = 1,
     .max = 512,
     .fallback = "4",
     .help = "Modules at once",
     AT(slots)},
    {.section = "Limits",
     .flag = "memory",
     .env = "T_MEMORY",
     .key = "memory",
     .type = OPT_BYTES,
     .min = 1 << 20,
     .fallback = "1G",
     .zero_word = "no limit",
     .help = "Memory",
     AT(memory)},
    {.flag = "wait",
     .key = "wait",
     .type = OPT_DURATION,
     .max = 3600000,
     .fallback = "90s",
     .help = "Time | patience",
     AT(wait_ms)},
    {.flag = "open", .short_flag = 'o', .type = OPT_BOOL, .help = "Serve all", AT(open)},
    {.flag = "warm",
     .short_flag = 'w',
     .env = "T_WARM",
     .type = OPT_BOOL,
     .fallback = "yes",
     .help = "Start cold",
     AT(warm)},
    {.flag = "python",
     .env = "T_PYTHON",
     .key = "python",
     .type = OPT_LIST,
     .help = "Interpreter",
     AT(python)},
    {.flag = "level",
     .key = "level",
     .type = OPT_CHOICE,
     .choices = "debug info warn",
     .fallback = "info",
     .help = "Log level",
     AT(level)},
};

static const struct opt_table table = {.program = "prog verb",
                                       .usage = "[options]",
                                       .about = "Does it.",
                                       .rows = rows,
                                       .row_count = countof(rows)};

/* The verbs of the stories. */
static struct settings got;
static struct opt_parsed parsed;
static struct err err;

#define given(...) given_words((char *[]){__VA_ARGS__, NULL}, NULL, NULL)

static int given_words(char *const *argv, char *const *env, const char *config)
{
    struct opt_input in = {.argv = argv, .env = env, .config = config, .config_name = "t.conf"};
    while (argv[in.argc] != NULL)
        in.argc++;
    opt_fini(&table, &got);
    opt_parsed_fini(&parsed);
    got = (struct settings){0};
    err = (struct err)ERR_INIT;
    return opt_parse(&table, &in, &got, &parsed, &err);
}

static int forget(void **unused)
{
    (void)unused;
    opt_fini(&table, &got);
    opt_parsed_fini(&parsed);
    return 0;
}

static char *no_words[] = {NULL};

static void refused(int rc, const char *text)
{
    assert_int_equal(rc, ERR_INVALID);
    assert_string_equal(err.text, text);
}

static void without_words_the_defaults_hold(void **unused)
{
    (void)unused;
    assert_int_equal(given_words(no_words, NULL, NULL), 0);
    assert_null(got.name);
    assert_int_equal(got.slots, 4);
    assert_int_equal(got.memory, 1 << 30);
    assert_int_equal(got.wait_ms, 90000);
    assert_false(got.open);
    assert_true(got.warm);
    assert_int_equal(got.python.count, 0);
    assert_int_equal(got.level, 1);
}

static void every_way_to_write_a_flag(void **unused)
{
    (void)unused;
    assert_int_equal(given("--name=a=b", "-s8", "--memory", "64m", "one", "--python", "a", "-o",
                           "--python=b", "--no-warm", "--level", "warn", "--", "--two"),
                     0);
    assert_string_equal(got.name, "a=b");
    assert_int_equal(got.slots, 8);
    assert_int_equal(got.memory, 64 << 20);
    assert_true(got.open);
    assert_false(got.warm);
    assert_int_equal(got.python.count, 2);
    assert_string_equal(got.python.items[1], "b");
    assert_int_equal(got.level, 2);
    assert_int_equal(parsed.operands.count, 2);
    assert_string_equal(parsed.operands.items[1], "--two");
    assert_int_equal(given("-own", "joe", "--open=no"), 0);
    assert_string_equal(got.name, "joe");
    assert_false(got.open); /* the last one counts */
    assert_int_equal(given("-"), 0);
    assert_string_equal(parsed.operands.items[0], "-");
}

static void flags_beat_environment_beats_file_beats_default(void **unused)
{
    (void)unused;
    char *env[] = {"T_SLOTS=7", "T_MEMORY=", "T_PYTHON=x,,y", "T_WARM=off", "OTHER=1", NULL};
    const char *config = "# mine\n\n slots = 3\r\n memory=2M\npython = z\nlevel = debug";
    char *flags[] = {"--slots", "9", NULL};
    assert_int_equal(given_words(flags, env, config), 0);
    assert_int_equal(got.slots, 9);
    assert_int_equal(got.memory, 2 << 20); /* an empty variable is as good as none */
    assert_int_equal(got.python.count, 2);
    assert_string_equal(got.python.items[1], "y");
    assert_false(got.warm);
    assert_int_equal(got.level, 0);
    assert_int_equal(got.wait_ms, 90000);
    assert_int_equal(given_words(no_words, env, config), 0);
    assert_int_equal(got.slots, 7);
    assert_int_equal(given_words(no_words, NULL, config), 0);
    assert_int_equal(got.slots, 3);
}

static void a_refusal_names_the_place_the_value_and_the_bounds(void **unused)
{
    (void)unused;
    refused(given("--slots", "0"), "--slots 0: must be 1 to 512");
    refused(given("-s", "513"), "--slots 513: must be 1 to 512");
    refused(given("--slots", "many"), "--slots many: not a whole number");
    refused(given("--slots=9223372036854775808"),
            "--slots 9223372036854775808: not a whole number");
    refused(given("--memory", "1K"), "--memory 1K: must be at least 1M, or 0 (no limit)");
    assert_int_equal(given("--memory", "0"), 0);
    refused(given("--memory", "9999999T"),
            "--memory 9999999T: not a size (examples: 4096, 64K, 512M, 2G)");
    refused(given("--wait", "2h"), "--wait 2h: must be at most 1h");
    refused(given("--open=maybe"), "--open maybe: must be yes or no");
    refused(given("--level", "loud"), "--level loud: must be one of: debug info warn");
    refused(given("--python", ""), "--python : must not be empty");
    refused(given("--name"), "--name: needs a value");
    refused(given("--slot", "1"), "--slot: no such option; did you mean --slots?");
    refused(given("--zzzzzz"), "--zzzzzz: no such option");
    refused(given("--no-slots"), "--no-slots: no such option; did you mean --slots?");
    refused(given("-x"), "-x: no such option");
    refused(given("--slots", "\x1b[2J"), "--slots ?[2J: not a whole number");
    char *env[] = {"T_SLOTS=-1", NULL};
    refused(given_words(no_words, env, NULL), "T_SLOTS=-1: must be 1 to 512");
    refused(given_words(no_words, NULL, "\nslots = x\n"),
            "t.conf:2: slots = x: not a whole number");
    refused(given_words(no_words, NULL, "slotz = 1"),
            "t.conf:1: slotz: no such option; did you mean slots?");
    refused(given_words(no_words, NULL, "slots"), "t.conf:1: not of the form key = value");
}

static void a_refusal_leaves_nothing_to_free(void **unused)
{
    (void)unused;
    assert_int_equal(given("--name", "x", "--python", "y", "operand", "--slots", "0"), ERR_INVALID);
    assert_null(got.name);
    assert_null(got.python.items);
    assert_null(parsed.operands.items);
}

static void a_list_and_a_value_have_an_end(void **unused)
{
    (void)unused;
    owned_buf config = BUF_INIT;
    for (int i = 0; i <= OPT_LIST_MAX; i++)
        buf_puts(&config, "python = p\n");
    refused(given_words(no_words, NULL, buf_str(&config)),
            "t.conf:65: python = p: too many of these");
    owned_mem char *name = mem_new(OPT_VALUE_MAX + 2);
    memset(name, 'n', OPT_VALUE_MAX + 1);
    assert_int_equal(given("--name", name), ERR_INVALID);
    assert_non_null(strstr(err.text, "too long"));
}

static void help_is_asked_for_before_all_else(void **unused)
{
    (void)unused;
    assert_int_equal(given("--slots", "0", "--help"), 0);
    assert_true(parsed.help);
    assert_int_equal(given("-h"), 0);
    assert_true(parsed.help);
    assert_int_equal(given("--", "-h"), 0);
    assert_false(parsed.help);
}

static void help_tells_every_row_and_keeps_its_width(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    opt_help(&table, 70, &out);
    const char *text = buf_str(&out);
    assert_non_null(strstr(text, "Usage: prog verb [options]\n\nDoes it.\n\nOptions:\n"));
    assert_non_null(strstr(text, "  -s, --slots N "));
    assert_non_null(strstr(text, "\nLimits:\n      --memory SIZE"));
    assert_non_null(strstr(text, "--no-warm"));
    assert_non_null(strstr(text, "--help"));
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        assert_in_range(len, 0, 70);
        line += len + 1;
    }
}

static void markdown_has_a_row_for_each_option(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    opt_markdown(&table, &out);
    assert_non_null(strstr(buf_str(&out), "| `-s, --slots N` | 4 | `T_SLOTS` | Modules at once "
                                          "(1 to 512) |\n"));
    assert_non_null(strstr(buf_str(&out), "| **Limits** | | | |\n"));
    assert_non_null(strstr(buf_str(&out), "Time \\| patience"));
}

static void completion_names_verbs_and_flags(void **unused)
{
    (void)unused;
    owned_buf out = BUF_INIT;
    opt_bash("prog", (const struct opt_table *const[]){&table}, 1, &out);
    assert_non_null(strstr(buf_str(&out), "words=\"verb\""));
    assert_non_null(strstr(buf_str(&out), "verb) words=\"--name --slots "));
}

static void the_nearest_word_is_near(void **unused)
{
    (void)unused;
    size_t len = 0;
    const char *words = "run show ls watch";
    assert_int_equal(opt_nearest("wtach", words, &len) - words, 12);
    assert_int_equal(len, 5);
    assert_null(opt_nearest("evaluate", words, &len));
    assert_null(opt_nearest("", words, &len));
}

static void quantities_are_read_whole_or_not_at_all(void **unused)
{
    (void)unused;
    uint64_t value;
    int64_t number;
    assert_true(opt_read_bytes("3GiB", &value) && value == UINT64_C(3) << 30);
    assert_true(opt_read_duration_ms("1500ms", &value) && value == 1500);
    assert_true(opt_read_duration_ms("2", &value) && value == 2000);
    assert_true(opt_read_duration_ms("5min", &value) && value == 300000);
    assert_false(opt_read_bytes("1 G", &value));
    assert_false(opt_read_bytes("-1", &value));
    assert_false(opt_read_bytes("1.5G", &value));
    assert_false(opt_read_bytes("", &value));
    assert_false(opt_read_bytes("18446744073709551616", &value));
    assert_false(opt_read_bytes("9223372036854775808", &value));
    assert_false(opt_read_duration_ms("3 s", &value));
    assert_true(opt_read_int("-9223372036854775807", &number));
    assert_false(opt_read_int("+1", &number));
    assert_false(opt_read_int("0x1", &number));
    assert_false(opt_read_int("", &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_words_the_defaults_hold, forget),
        cmocka_unit_test_teardown(every_way_to_write_a_flag, forget),
        cmocka_unit_test_teardown(flags_beat_environment_beats_file_beats_default, forget),
        cmocka_unit_test_teardown(a_refusal_names_the_place_the_value_and_the_bounds, forget),
        cmocka_unit_test_teardown(a_refusal_leaves_nothing_to_free, forget),
        cmocka_unit_test_teardown(a_list_and_a_value_have_an_end, forget),
        cmocka_unit_test_teardown(help_is_asked_for_before_all_else, forget),
        cmocka_unit_test(help_tells_every_row_and_keeps_its_width),
        cmocka_unit_test(markdown_has_a_row_for_each_option),
        cmocka_unit_test(completion_names_verbs_and_flags),
        cmocka_unit_test(the_nearest_word_is_near),
        cmocka_unit_test(quantities_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
