/* Options from any bytes: words separated by zero bytes, then 0xff and a configuration file. What
 * is accepted obeys its row's bounds, and reads the same when it is written out as flags again. */
#include "proto/base/mem.h"
#include "proto/base/opt.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 32

struct settings {
    char *name;
    int64_t slots;
    uint64_t memory;
    uint64_t wait_ms;
    bool open;
    struct opt_list python;
    int level;
};

#define AT(member) .key = #member, .offset = offsetof(struct settings, member)

static const struct opt_row rows[] = {
    {.flag = "name", .short_flag = 'n', .type = OPT_STRING, AT(name)},
    {.flag = "slots",
     .short_flag = 's',
     .type = OPT_INT,
     .min = 1,
     .max = 512,
     .fallback = "4",
     AT(slots)},
    {.flag = "memory",
     .type = OPT_BYTES,
     .min = 1 << 20,
     .fallback = "1G",
     .zero_word = "no limit",
     AT(memory)},
    {.flag = "wait", .type = OPT_DURATION, .max = 3600000, .fallback = "90s", AT(wait_ms)},
    {.flag = "open", .short_flag = 'o', .type = OPT_BOOL, AT(open)},
    {.flag = "python", .short_flag = 'p', .type = OPT_LIST, AT(python)},
    {.flag = "level",
     .type = OPT_CHOICE,
     .choices = "debug info warn",
     .fallback = "info",
     AT(level)},
};

static const struct opt_table table = {
    .program = "fuzz", .usage = "", .about = "", .rows = rows, .row_count = countof(rows)};

static void check_bounds(const struct settings *got)
{
    assert(got->slots >= 1 && got->slots <= 512);
    assert(got->memory == 0 || got->memory >= 1 << 20);
    assert(got->wait_ms <= 3600000);
    assert(got->level >= 0 && got->level <= 2);
    assert(got->python.count <= OPT_LIST_MAX);
}

static void check_round_trip(struct settings *got)
{
    owned_mem char *slots = mem_printf("--slots=%lld", (long long)got->slots);
    owned_mem char *memory = mem_printf("--memory=%llu", (unsigned long long)got->memory);
    owned_mem char *wait = mem_printf("--wait=%llums", (unsigned long long)got->wait_ms);
    owned_mem char *name = mem_printf("--name=%s", got->name != NULL ? got->name : "");
    char *argv[] = {slots, memory, wait, name, got->open ? "--open" : "--no-open"};
    struct opt_input in = {.argc = countof(argv), .argv = argv};
    struct settings again = {0};
    struct opt_parsed parsed = {0};
    int rc = opt_parse(&table, &in, &again, &parsed, NULL);
    assert(rc == 0 && parsed.operands.count == 0);
    assert(again.slots == got->slots && again.memory == got->memory);
    assert(again.wait_ms == got->wait_ms && again.open == got->open);
    assert((again.name == NULL) == (got->name == NULL));
    assert(got->name == NULL || strcmp(again.name, got->name) == 0);
    opt_fini(&table, &again);
    opt_parsed_fini(&parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    owned_mem char *text = mem_strndup("", 0);
    text = mem_resize(text, size + 1, 1);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    char *config = memchr(text, 0xff, size);
    char *end = config != NULL ? config : text + size;
    *end = '\0';
    char *argv[WORDS_MAX];
    struct opt_input in = {
        .argv = argv, .config = config != NULL ? config + 1 : NULL, .config_name = "fuzz.conf"};
    for (char *word = text; word < end && in.argc < WORDS_MAX; word += strlen(word) + 1)
        argv[in.argc++] = word;
    struct settings got = {0};
    struct opt_parsed parsed = {0};
    struct err err = ERR_INIT;
    if (opt_parse(&table, &in, &got, &parsed, &err) != 0) {
        assert(err.code == ERR_INVALID && err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
    } else if (!parsed.help) {
        check_bounds(&got);
        check_round_trip(&got);
    }
    opt_fini(&table, &got);
    opt_parsed_fini(&parsed);
    return 0;
}
