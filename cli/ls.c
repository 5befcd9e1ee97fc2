#include "cli/client.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <string.h>

#define YEAR_9999_MS 253370764800000.0

#define NAME_WIDTH  24
#define FIELD_SHOWN 64

struct ls_options {
    struct verb_shared shared;
    int64_t limit;
    char *status;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct ls_options),
    {.flag = "limit",
     .short_flag = 'l',
     .type = OPT_INT,
     .min = 1,
     .max = 1000,
     .fallback = "20",
     .help = "Evaluations to list, newest first",
     .offset = offsetof(struct ls_options, limit)},
    {.flag = "status",
     .type = OPT_STRING,
     .metavar = "WORD",
     .help = "Only those that are submitted, preparing, running, done, cancelled or failed",
     .offset = offsetof(struct ls_options, status)},
    VERB_JSON_ROW(struct ls_options, "Print the node's own list"),
};

static const struct opt_table table = {
    .program = "testmesh ls",
    .usage = "[options]",
    .about = "Lists evaluations, newest first.",
    .rows = rows,
    .row_count = countof(rows),
};

/* A moment as the node tells it: RFC 3339 text, or milliseconds since 1970. */
static void put_time(const json_t *value, struct buf *out)
{
    char text[CLOCK_TEXT];
    owned_buf safe = BUF_INIT;
    if (json_is_string(value))
        text_safe(json_string_value(value), 19, &safe);
    else if (json_is_number(value) && json_number_value(value) >= 0 &&
             json_number_value(value) < YEAR_9999_MS)
        buf_printf(&safe, "%.19s", clock_format((uint64_t)json_number_value(value), text));
    char *t = safe.len > 10 ? strchr(safe.data, 'T') : NULL;
    if (t != NULL)
        *t = ' ';
    owned_mem char *cut = mem_strndup(buf_str(&safe), 19);
    text_cell(cut, 19, true, out);
}

static void put_text(const json_t *item, const char *key, size_t width, struct buf *out)
{
    owned_buf safe = BUF_INIT;
    text_safe(json_in_str(item, key, ""), FIELD_SHOWN, &safe);
    text_cell(buf_str(&safe), width, true, out);
    buf_puts(out, "  ");
}

static void put_item(const json_t *item, struct buf *out)
{
    put_text(item, "id", 16, out);
    put_text(item, "status", 10, out);
    put_time(json_object_get(item, "submitted_at"), out);
    buf_printf(out, "  %8lld  %7lld  ", (long long)json_in_int(item, "projects", 0),
               (long long)json_in_int(item, "modules", 0));
    if (json_is_number(json_object_get(item, "nota")))
        buf_printf(out, "%7.2f  ", json_in_real(item, "nota", 0));
    else
        buf_printf(out, "%7s  ", "-");
    put_text(item, "name", NAME_WIDTH, out);
    while (out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    buf_putc(out, '\n');
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)operands;
    (void)parts;
    const struct ls_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL)
        return verb_fail(&err);
    owned_buf path = BUF_INIT;
    buf_printf(&path, "/evaluation?limit=%lld", (long long)self->limit);
    if (self->status != NULL) {
        buf_puts(&path, "&status=");
        http_escape(self->status, "", &path);
    }
    owned_json *list = client_get_json(http, buf_str(&path), &err);
    if (list == NULL)
        return verb_fail(&err);
    owned_buf out = BUF_INIT;
    if (self->shared.json) {
        struct json_out json;
        json_out_init(&json, &out);
        json_out_value(&json, list);
        buf_putc(&out, '\n');
        verb_print(&out);
        return CLI_PASSED;
    }
    buf_printf(&out, "%-16s  %-10s  %-19s  %8s  %7s  %7s  %s\n", "id", "status", "submitted",
               "projects", "modules", "mark/20", "name");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item) put_item(item, &out);
    if (i == 0) {
        buf_clear(&out);
        buf_puts(&out, "no evaluations yet: `testmesh run FOLDER` begins one\n");
    }
    verb_print(&out);
    return CLI_PASSED;
}

const struct cli_verb ls_verb = {.name = "ls",
                                 .summary = "List evaluations",
                                 .table = &table,
                                 .target_size = sizeof(struct ls_options),
                                 .run = run};
