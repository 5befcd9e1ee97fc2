#include "cli/verb.h"

#include <stdio.h>

struct version_options {
    char unused;
};

static const struct opt_table table = {
    .program = "testmesh version", .usage = "", .about = "Prints the version of this program."};

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)options;
    (void)operands;
    (void)parts;
    puts("testmesh " TESTMESH_VERSION);
    return CLI_PASSED;
}

const struct cli_verb version_verb = {.name = "version",
                                      .summary = "Print the version",
                                      .table = &table,
                                      .target_size = sizeof(struct version_options),
                                      .run = run};
