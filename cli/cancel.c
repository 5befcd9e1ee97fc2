#include "cli/client.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

#include <stdio.h>

struct cancel_options {
    struct verb_shared shared;
};

static const struct opt_row rows[] = {VERB_NODE_ROW(struct cancel_options)};

static const struct opt_table table = {
    .program = "testmesh cancel",
    .usage = "[options] ID",
    .about = "Stops an evaluation. What has been found until then stays.",
    .rows = rows,
    .row_count = countof(rows),
};

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct cancel_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    owned_mem char *path = mem_printf("/evaluation/%s", operands->items[0]);
    owned_answer answer = {0};
    struct http_request request = {.method = "DELETE", .path = path};
    if (http_expect(http, &request, &answer, &err) != 0)
        return verb_fail(&err);
    printf("evaluation %s is being stopped\n", operands->items[0]);
    return CLI_PASSED;
}

const struct cli_verb cancel_verb = {.name = "cancel",
                                     .summary = "Stop an evaluation",
                                     .table = &table,
                                     .target_size = sizeof(struct cancel_options),
                                     .operands_min = 1,
                                     .operands_max = 1,
                                     .run = run};
