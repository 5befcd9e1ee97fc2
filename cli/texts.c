/* Texts that are made from the option tables: shell completion, and the README's table. */
#include "cli/verb.h"
#include "proto/base/mem.h"

struct texts_options {
    char unused;
};

#define TABLES_MAX 32

static const struct opt_table completion_table = {
    .program = "testmesh completion",
    .usage = "",
    .about = "Prints a completion script for bash: eval \"$(testmesh completion)\"",
};

static int run_completion(const void *options, const struct opt_list *operands,
                          const struct cli_parts *parts)
{
    (void)options;
    (void)operands;
    const struct opt_table *tables[TABLES_MAX];
    size_t count = 0;
    if (parts->node != NULL)
        tables[count++] = parts->node;
    for (size_t i = 0; verb_at(i) != NULL && count < TABLES_MAX; i++) {
        if (!verb_at(i)->hidden)
            tables[count++] = verb_at(i)->table;
    }
    owned_buf out = BUF_INIT;
    opt_bash("testmesh", tables, count, &out);
    verb_print(&out);
    return CLI_PASSED;
}

const struct cli_verb completion_verb = {.name = "completion",
                                         .summary = "Print a completion script for bash",
                                         .table = &completion_table,
                                         .target_size = sizeof(struct texts_options),
                                         .run = run_completion};

static const struct opt_table markdown_table = {
    .program = "testmesh options-markdown",
    .usage = "",
    .about = "Prints the options of `testmesh node` as Markdown, for the README.",
};

static int run_markdown(const void *options, const struct opt_list *operands,
                        const struct cli_parts *parts)
{
    (void)options;
    (void)operands;
    owned_buf out = BUF_INIT;
    if (parts->node != NULL)
        opt_markdown(parts->node, &out);
    verb_print(&out);
    return CLI_PASSED;
}

const struct cli_verb markdown_verb = {.name = "options-markdown",
                                       .summary = "Print the node's options as Markdown",
                                       .table = &markdown_table,
                                       .target_size = sizeof(struct texts_options),
                                       .run = run_markdown,
                                       .hidden = true};
