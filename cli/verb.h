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
    cancel_verb, inspect_verb, doctor_verb, dev_verb, version_verb, completion_verb, markdown_verb;

/* The verbs in order of help; NULL behind the last. */
const struct cli_verb *verb_at(size_t index);

#define VERB_NODE_DEFAULT "http://127.0.0.1:5001"

/* The row that every verb has which speaks to a node. */
#define VERB_NODE_ROW(type_, member_)                                                              \
    {                                                                                              \
        .flag = "node", .short_flag = 'n', .env = "TESTMESH_NODE", .type = OPT_STRING,             \
        .fallback = VERB_NODE_DEFAULT, .metavar = "URL", .help = "Any node of the mesh",           \
        .offset = offsetof(type_, member_)                                                         \
    }

/* Prints "testmesh: …" with the error's text to standard error, and returns the exit code that
 * fits it: CLI_NO_NODE, CLI_USAGE, CLI_CLUSTER, … */
int verb_fail(const struct err *err);

/* Columns that a help text may take. */
unsigned verb_help_width(void);

/* Writes `text` to standard output; an error there (a closed pipe) ends the program. */
void verb_print(const struct buf *text);

#endif
