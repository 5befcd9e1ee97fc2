/* The composition root: the one file that knows every part of the program. It chooses which of them
 * runs and hands the client what only a node's parts have. */
#include "cli/cli.h"
#include "node/machine.h"
#include "node/node.h"
#include "node/options.h"
#include "runner/env/describe.h"
#include "runner/env/env.h"
#include "runner/git/fetch.h"
#include "runner/git/status.h"
#include "runner/intake/intake.h"
#include "runner/jail/jail.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 4

extern const unsigned char sample_projects[]; /* a zip of examples/, made when this is built */
extern const size_t sample_projects_len;

struct helper {
    const char *name;
    int (*run)(int argc, char **argv);
    bool has_whole_line; /* its argv is main's; else its own name is argv[0] */
};

/* Parts of the node that run as children of it, `testmesh --helper NAME …`: what blocks, and what
 * reads strangers' bytes with a large library. */
static const struct helper helpers[] = {
    {"jail", helper_jail_main, true},
    {"jail-probe", helper_jail_probe_main, true},
    {"env", helper_env_main, true},
    {"intake", helper_intake_main, false},
    {"materialise", helper_materialise_main, false},
    {"fetch", helper_fetch_main, false},
    {"status", helper_status_main, false},
};

static int run_helper(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof(helpers) / sizeof(helpers[0]); i++) {
        if (strcmp(argv[2], helpers[i].name) == 0)
            return helpers[i].has_whole_line ? helpers[i].run(argc, argv)
                                             : helpers[i].run(argc - 2, argv + 2);
    }
    fputs("testmesh: no such helper\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--helper") == 0)
        return run_helper(argc, argv);
    if (argc > 1 && strcmp(argv[1], "node") == 0) {
        machine_keep_secrets();
        return node_main(argc - 1, argv + 1);
    }
    char *data_dir = node_options_data_dir();
    const struct cli_parts parts = {
        .describe_py = (const char *)describe_py,
        .describe_py_len = describe_py_len,
        .samples = sample_projects,
        .samples_len = sample_projects_len,
        .data_dir = data_dir,
        .node = &node_option_table,
    };
    int code = cli_main(argc, argv, &parts);
    free(data_dir);
    return code;
}
