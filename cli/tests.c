#include "cli/client.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PAGE_SIZE    200
#define NAME_SHOWN   2000
#define DETAIL_SHOWN 65536

struct tests_options {
    struct verb_shared shared;
    bool failed;
    bool detail;
    char *project;
    char *module;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct tests_options),
    {.flag = "failed",
     .short_flag = 'f',
     .type = OPT_BOOL,
     .help = "Only tests that failed or are in error, with what they said",
     .offset = offsetof(struct tests_options, failed)},
    {.flag = "detail",
     .short_flag = 'd',
     .type = OPT_BOOL,
     .help = "With tracebacks and captured output",
     .offset = offsetof(struct tests_options, detail)},
    {.flag = "project",
     .short_flag = 'p',
     .type = OPT_STRING,
     .metavar = "NAME",
     .help = "Only this project",
     .offset = offsetof(struct tests_options, project)},
    {.flag = "module",
     .short_flag = 'm',
     .type = OPT_STRING,
     .metavar = "PATH",
     .help = "Only this module",
     .offset = offsetof(struct tests_options, module)},
    VERB_JSON_ROW(struct tests_options, "One JSON object a line"),
};

static const struct opt_table table = {
    .program = "testmesh tests",
    .usage = "[options] ID",
    .about = "Lists single tests of an evaluation and how they ended.",
    .rows = rows,
    .row_count = countof(rows),
};

struct listing {
    const struct tests_options *options;
    struct terminal terminal;
    size_t count;
};

static void put_block(const json_t *item, const char *key, struct buf *out)
{
    const char *text = json_in_str(item, key, "");
    if (*text == '\0')
        return;
    buf_printf(out, "    --- %s\n", key);
    owned_buf safe = BUF_INIT;
    text_safe_lines(text, DETAIL_SHOWN, &safe);
    for (const char *line = buf_str(&safe); *line != '\0';) {
        size_t len = strcspn(line, "\n");
        buf_puts(out, "    ");
        buf_append(out, line, len);
        buf_putc(out, '\n');
        line += len + (line[len] == '\n');
    }
}

static void put_item(const struct listing *self, const json_t *item, struct buf *out)
{
    const char *outcome = json_in_str(item, "outcome", "");
    bool bad = strcmp(outcome, "failed") == 0 || strcmp(outcome, "error") == 0;
    bool good = strcmp(outcome, "passed") == 0;
    owned_buf cell = BUF_INIT;
    owned_buf safe = BUF_INIT;
    text_safe(outcome, 10, &safe);
    text_cell(buf_str(&safe), 8, true, &cell);
    text_styled(bad    ? TEXT_BAD
                : good ? TEXT_GOOD
                       : TEXT_ODD,
                buf_str(&cell), self->terminal.colour, out);
    buf_putc(out, ' ');
    text_safe(json_in_str(item, "project", ""), NAME_SHOWN, out);
    buf_puts(out, "  ");
    text_safe(json_in_str(item, "test", ""), NAME_SHOWN, out);
    buf_puts(out, "  ");
    text_duration(json_in_real(item, "time", 0), out);
    buf_putc(out, '\n');
    if ((bad || self->options->detail) && json_in_str(item, "message", NULL) != NULL) {
        buf_puts(out, "         ");
        text_safe(json_in_str(item, "message", ""), NAME_SHOWN, out);
        buf_putc(out, '\n');
    }
    if (!self->options->detail)
        return;
    put_block(item, "longrepr", out);
    put_block(item, "stdout", out);
    put_block(item, "stderr", out);
}

static bool take_item(void *arg, const json_t *item)
{
    struct listing *self = arg;
    owned_buf out = BUF_INIT;
    self->count++;
    if (self->options->shared.json) {
        struct json_out json;
        json_out_init(&json, &out);
        json_out_value(&json, item);
        buf_putc(&out, '\n');
    } else {
        put_item(self, item, &out);
    }
    verb_print(&out);
    return true;
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    struct listing self = {.options = options};
    struct err err = ERR_INIT;
    terminal_init(&self.terminal, stdout);
    owned_http *http = http_open(self.options->shared.node, &err);
    if (http == NULL || client_check_id(operands->items[0], &err) != 0)
        return verb_fail(&err);
    static const char *const bad[] = {"failed", "error"};
    struct client_test_query query = {.id = operands->items[0],
                                      .project = self.options->project,
                                      .module = self.options->module,
                                      .detail = self.options->detail || self.options->failed,
                                      .limit = PAGE_SIZE};
    size_t rounds = self.options->failed ? countof(bad) : 1;
    for (size_t i = 0; i < rounds; i++) {
        query.outcome = self.options->failed ? bad[i] : NULL;
        if (client_each_test(http, &query, take_item, &self, &err) != 0)
            return verb_fail(&err);
    }
    if (self.count == 0 && !self.options->shared.json)
        puts(self.options->failed ? "no test failed" : "no tests");
    return CLI_PASSED;
}

const struct cli_verb tests_verb = {.name = "tests",
                                    .summary = "List the tests of an evaluation",
                                    .table = &table,
                                    .target_size = sizeof(struct tests_options),
                                    .operands_min = 1,
                                    .operands_max = 1,
                                    .run = run};
