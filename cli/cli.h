/* cli: the client verbs. They speak HTTP to a node, and know nothing else of it. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "proto/base/opt.h"

#include <stddef.h>

/* What only the composition root can give the client. Any member may be NULL. All borrowed. */
struct cli_parts {
    const char *describe_py; /* Python that describes a project's folder; for `inspect` */
    size_t describe_py_len;
    const void *samples; /* a zip of sample projects; for `dev` */
    size_t samples_len;
    const char *data_dir;         /* where a node of this user keeps its data by default */
    const struct opt_table *node; /* the options of `testmesh node`; for help and completion */
};

/* How a client ends. */
enum cli_exit {
    CLI_PASSED = 0,
    CLI_FAILED = 1,
    CLI_CANCELLED = 2,
    CLI_CLUSTER = 3, /* not the fault of any test: the node or the network failed */
    CLI_USAGE = 4,
    CLI_NO_TESTS = 5,
    CLI_SETUP = 7, /* what a project needs could not be installed */
    CLI_NO_NODE = 8,
    CLI_TIME = 9, /* --timeout is over; what there was has been shown */
    CLI_INTERRUPTED = 130,
};

/* Runs the verb argv[1]. Returns the exit code (enum cli_exit). */
int cli_main(int argc, char **argv, const struct cli_parts *parts);

#endif
