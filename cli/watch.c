#include "cli/client.h"
#include "cli/follow.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

struct watch_options {
    struct verb_shared shared;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct watch_options),
    VERB_TIMEOUT_ROW(struct watch_options, "Wait no longer"),
    VERB_JSON_ROW(struct watch_options, "Print the result as JSON"),
};

static const struct opt_table table = {
    .program = "testmesh watch",
    .usage = "[options] ID",
    .about = "Follows an evaluation until it ends, and shows the marks. Ends as `run` does.",
    .rows = rows,
    .row_count = countof(rows),
};

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct watch_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    struct follow_options follow = {.id = operands->items[0],
                                    .timeout_ms = self->shared.timeout_ms,
                                    .fail_under = -1,
                                    .json = self->shared.json};
    return follow_evaluation(http, &follow);
}

const struct cli_verb watch_verb = {.name = "watch",
                                    .summary = "Follow an evaluation until it ends",
                                    .table = &table,
                                    .target_size = sizeof(struct watch_options),
                                    .operands_min = 1,
                                    .operands_max = 1,
                                    .run = run};
