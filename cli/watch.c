#include "cli/client.h"
#include "cli/follow.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

struct watch_options {
    char *node;
    bool json;
    uint64_t timeout_ms;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct watch_options, node),
    {.flag = "timeout",
     .short_flag = 't',
     .type = OPT_DURATION,
     .fallback = "0",
     .zero_word = "no limit",
     .max = INT64_C(7) * 86400000,
     .help = "Wait no longer",
     .offset = offsetof(struct watch_options, timeout_ms)},
    {.flag = "json",
     .short_flag = 'j',
     .type = OPT_BOOL,
     .help = "Print the result as JSON",
     .offset = offsetof(struct watch_options, json)},
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
    owned_http *http = http_open(self->node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    struct follow_options follow = {.id = operands->items[0],
                                    .timeout_ms = self->timeout_ms,
                                    .fail_under = -1,
                                    .json = self->json};
    return follow_evaluation(http, &follow);
}

const struct cli_verb watch_verb = {.name = "watch",
                                    .summary = "Follow an evaluation until it ends",
                                    .table = &table,
                                    .target_size = sizeof(struct watch_options),
                                    .operands_min = 1,
                                    .operands_max = 1,
                                    .run = run};
