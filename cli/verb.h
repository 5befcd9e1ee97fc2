/* verb: what the files of the verbs share. */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "cli/cli.h"
#include "cli/http.h"

#include <stdbool.h>

struct cli_verb {
    const char *name;
    const char *summary; /* one line for the list of verbs */
    const struct opt_table *table;
    size_t target_size; /* of the struct that the table fills */
    size_t operands_min, operands_max;
    int (*run)(const void *options, const struct opt_list *operands, const struct cli_parts *parts);
    bool hidden;
};

/* The verbs, one file each; cli.c has the list. */
extern const struct cli_verb run_verb, show_verb, ls_verb, watch_verb, tests_verb, logs_verb,
    cancel_verb, mesh_verb, join_verb, drain_verb, leave_verb, inspect_verb, doctor_verb, dev_verb,
    version_verb, completion_verb, markdown_verb;

/* The verbs in order of help; NULL behind the last. */
const struct cli_verb *verb_at(size_t index);

#define VERB_NODE_DEFAULT "http://127.0.0.1:5001"

/* Options that several verbs have: each has the name, letter and bounds of its row here, and says
 * with `help_` only what it does with it. They fill the member `shared` of the verb's struct. */
struct verb_shared {
    char *node; /* URL */
    bool json;
    uint64_t timeout_ms;
};

#define VERB_NODE_ROW(type_)                                                                       \
    {                                                                                              \
        .flag = "node", .short_flag = 'n', .env = "TESTMESH_NODE", .type = OPT_STRING,             \
        .fallback = VERB_NODE_DEFAULT, .metavar = "URL", .help = "Any node of the mesh",           \
        .offset = offsetof(type_, shared.node)                                                     \
    }

#define VERB_JSON_ROW(type_, help_)                                                                \
    {                                                                                              \
        .flag = "json", .short_flag = 'j', .type = OPT_BOOL, .help = (help_),                      \
        .offset = offsetof(type_, shared.json)                                                     \
    }

#define VERB_TIMEOUT_ROW(type_, help_)                                                             \
    {                                                                                              \
        .flag = "timeout", .short_flag = 't', .type = OPT_DURATION, .fallback = "0",               \
        .zero_word = "no limit", .max = INT64_C(7) * 86400000, .help = (help_),                    \
        .offset = offsetof(type_, shared.timeout_ms)                                               \
    }

/* Prints "testmesh: …" with the error's text to standard error, and returns the exit code that
 * fits it: CLI_NO_NODE, CLI_USAGE, CLI_CLUSTER, … */
int verb_fail(const struct err *err);

/* Columns that a help text may take. */
unsigned verb_help_width(void);

/* Writes `text` to standard output; an error there (a closed pipe) ends the program. */
void verb_print(const struct buf *text);

#endif
