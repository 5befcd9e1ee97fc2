#include "cli/client.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

#include <unistd.h>

struct logs_options {
    struct verb_shared shared;
    bool full;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct logs_options),
    {.flag = "full",
     .short_flag = 'f',
     .type = OPT_BOOL,
     .help = "All that was kept, not its head and tail",
     .offset = offsetof(struct logs_options, full)},
};

static const struct opt_table table = {
    .program = "testmesh logs",
    .usage = "[options] ID PROJECT MODULE",
    .about = "Prints what a module wrote while its tests ran.",
    .rows = rows,
    .row_count = countof(rows),
};

/* A file gets the bytes as they were; a terminal gets nothing that it would obey. */
static void print_log(const struct buf *log)
{
    if (!isatty(STDOUT_FILENO)) {
        verb_print(log);
        return;
    }
    owned_buf safe = BUF_INIT;
    text_safe_lines(buf_str(log), log->len, &safe);
    verb_print(&safe);
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct logs_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    owned_buf path = BUF_INIT;
    buf_printf(&path, "/evaluation/%s/logs/", operands->items[0]);
    http_escape(operands->items[1], "", &path);
    buf_putc(&path, '/');
    http_escape(operands->items[2], "/", &path);
    if (self->full)
        buf_puts(&path, "?full=1");
    owned_answer answer = {0};
    struct http_request request = {.path = buf_str(&path)};
    if (http_expect(http, &request, &answer, &err) != 0)
        return verb_fail(&err);
    print_log(&answer.body);
    return CLI_PASSED;
}

const struct cli_verb logs_verb = {.name = "logs",
                                   .summary = "Print what a module wrote",
                                   .table = &table,
                                   .target_size = sizeof(struct logs_options),
                                   .operands_min = 3,
                                   .operands_max = 3,
                                   .run = run};
