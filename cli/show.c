#include "cli/client.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

struct show_options {
    struct verb_shared shared;
    bool modules;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct show_options),
    {.flag = "modules",
     .short_flag = 'm',
     .type = OPT_BOOL,
     .help = "A line for each module too",
     .offset = offsetof(struct show_options, modules)},
    VERB_JSON_ROW(struct show_options, "Print the node's own document"),
};

static const struct opt_table table = {
    .program = "testmesh show",
    .usage = "[options] ID",
    .about = "Shows the marks of an evaluation as they are now. Ends as `run` does.",
    .rows = rows,
    .row_count = countof(rows),
};

static void show(const struct doc *doc, bool modules)
{
    struct terminal terminal;
    owned_buf out = BUF_INIT;
    terminal_init(&terminal, stdout);
    for (size_t i = 0; modules && i < doc->module_count; i++) {
        if (doc->modules[i].state == DOC_DONE)
            report_module(doc, &doc->modules[i], terminal.colour, &out);
    }
    if (out.len > 0)
        buf_putc(&out, '\n');
    report_table(doc, terminal_width(&terminal), terminal.colour, &out);
    verb_print(&out);
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct show_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    owned_mem char *path = mem_printf("/evaluation/%s", operands->items[0]);
    owned_answer answer = {0};
    struct http_request request = {.path = path};
    owned_doc doc = {0};
    if (http_expect(http, &request, &answer, &err) != 0 ||
        doc_read_answer(&doc, buf_str(&answer.body), answer.body.len, &err) != 0)
        return verb_fail(&err);
    if (self->shared.json) {
        buf_putc(&answer.body, '\n');
        verb_print(&answer.body);
    } else {
        show(&doc, self->modules);
    }
    return doc.final ? doc_exit_code(&doc, -1) : CLI_PASSED;
}

const struct cli_verb show_verb = {.name = "show",
                                   .summary = "Show the marks of an evaluation",
                                   .table = &table,
                                   .target_size = sizeof(struct show_options),
                                   .operands_min = 1,
                                   .operands_max = 1,
                                   .run = run};
