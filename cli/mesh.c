/* mesh: who is there, as one node sees it, and what is wrong with that. */
#include "cli/client.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

#define NAME_WIDTH    16
#define ADDRESS_WIDTH 22
#define STATE_WIDTH   12
#define FIELD_SHOWN   300

struct mesh_options {
    struct verb_shared shared;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct mesh_options),
    VERB_JSON_ROW(struct mesh_options, "Print the nodes as they were told, and the warnings"),
};

static const struct opt_table table = {
    .program = "testmesh mesh",
    .usage = "[options]",
    .about = "Shows the nodes of the mesh as one of them sees it: their slots, what waits at them, "
             "and how many modules they have run. Warns of what keeps nodes apart.",
    .rows = rows,
    .row_count = countof(rows),
};

/* ---- warnings -------------------------------------------------------------------------------- */

/* Packets that were refused, by the reasons that an operator can do something about. */
static const struct {
    const char *counters[3]; /* of "net"; added up */
    const char *words;
} refusals[] = {
    {{"datagrams_keyless", "datagrams_forged", "links_forged"},
     "came with another key, or from another cluster: compare --key-file and --cluster"},
    {{"links_mismatched", NULL, NULL},
     "were of another node, another cluster or another version of the protocol"},
    {{"datagrams_foreign", "links_foreign", NULL},
     "came from other machines: without a key (--key-file) a node meets others on its own only"},
};

static const char *name_of(const json_t *node)
{
    const char *name = json_in_str(node, "name", "");
    return *name ? name : json_in_str(node, "address", "?");
}

static void warn(json_t *warnings, const char *who, const char *what)
{
    owned_buf line = BUF_INIT;
    text_safe(who, FIELD_SHOWN, &line);
    buf_puts(&line, what);
    json_array_append_new(warnings, json_string(buf_str(&line)));
}

static void warn_of_node(json_t *warnings, const json_t *node)
{
    const char *state = json_in_str(node, "state", "");
    bool is_there = strcmp(state, "alive") == 0 || strcmp(state, "draining") == 0;
    if (strcmp(state, "incompatible") == 0)
        warn(warnings, name_of(node),
             " speaks another version of the protocol: it gets no work until one of the two is "
             "brought up to date");
    if (strcmp(state, "repairing") == 0)
        warn(warnings, name_of(node), " has lost records and is getting them back from others");
    if (is_there && json_is_false(json_object_get(node, "agrees")))
        warn(warnings, name_of(node),
             " sees other members than this node: where that lasts, some cannot reach each other");
}

static void warn_of_refusals(json_t *warnings, const json_t *counters)
{
    const json_t *net = json_object_get(counters, "net");
    for (size_t i = 0; i < countof(refusals); i++) {
        int64_t count = 0;
        for (size_t j = 0; j < countof(refusals[i].counters) && refusals[i].counters[j]; j++)
            count += json_in_int(net, refusals[i].counters[j], 0);
        owned_mem char *text =
            mem_printf("%" PRId64 " refused packets or links %s", count, refusals[i].words);
        if (count > 0)
            warn(warnings, "", text);
    }
    int64_t degraded = json_in_int(json_object_get(counters, "own"), "degraded", 0);
    owned_mem char *text = mem_printf(
        "%" PRId64 " results were settled without a majority of their replicas", degraded);
    if (degraded > 0)
        warn(warnings, "", text);
}

/* Returns owned. */
static json_t *find_warnings(const json_t *nodes)
{
    json_t *warnings = json_array();
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        warn_of_node(warnings, node);
        if (json_object_get(node, "counters"))
            warn_of_refusals(warnings, json_object_get(node, "counters"));
    }
    return warnings;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void put_cell(const char *text, size_t width, struct buf *out)
{
    owned_buf safe = BUF_INIT;
    text_safe(text, FIELD_SHOWN, &safe);
    text_cell(buf_str(&safe), width, true, out);
    buf_puts(out, "  ");
}

static void put_number(const json_t *value, int width, struct buf *out)
{
    if (json_is_integer(value))
        buf_printf(out, "%*" JSON_INTEGER_FORMAT "  ", width, json_integer_value(value));
    else
        buf_printf(out, "%*s  ", width, "-");
}

static enum text_style style_of(const char *state)
{
    if (strcmp(state, "alive") == 0)
        return TEXT_GOOD;
    if (strcmp(state, "dead") == 0 || strcmp(state, "incompatible") == 0)
        return TEXT_BAD;
    return strcmp(state, "left") == 0 ? TEXT_DIM : TEXT_ODD;
}

static void put_node(const json_t *node, bool colour, struct buf *out)
{
    const json_t *load = json_object_get(node, "load");
    const char *state = json_in_str(node, "state", "?");
    owned_buf cell = BUF_INIT;
    owned_buf safe = BUF_INIT;
    put_cell(json_in_str(node, "address", "?"), ADDRESS_WIDTH, out);
    put_cell(json_in_str(node, "name", ""), NAME_WIDTH, out);
    text_safe(state, FIELD_SHOWN, &safe);
    text_cell(buf_str(&safe), STATE_WIDTH, true, &cell);
    text_styled(style_of(state), buf_str(&cell), colour, out);
    buf_puts(out, "  ");
    put_number(json_object_get(load, "slots"), 5, out);
    put_number(json_object_get(load, "free"), 4, out);
    put_number(json_object_get(load, "waiting"), 7, out);
    put_number(json_object_get(node, "rtt_ms"), 6, out);
    put_number(json_object_get(node, "modules"), 7, out);
    while (out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    buf_putc(out, '\n');
}

static void put_table(const json_t *nodes, const json_t *warnings, struct buf *out)
{
    struct terminal terminal;
    size_t i;
    json_t *row;
    terminal_init(&terminal, stdout);
    buf_printf(out, "%-*s  %-*s  %-*s  %5s  %4s  %7s  %6s  %7s\n", ADDRESS_WIDTH, "address",
               NAME_WIDTH, "name", STATE_WIDTH, "state", "slots", "free", "waiting", "rtt ms",
               "modules");
    json_array_foreach(nodes, i, row) put_node(row, terminal.colour, out);
    json_array_foreach(warnings, i, row)
    {
        text_styled(TEXT_ODD, "warning: ", terminal.colour, out);
        buf_printf(out, "%s\n", json_string_value(row));
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* How many modules each of those that are there has run, from /stats. */
static void add_modules(json_t *nodes, const json_t *stats)
{
    size_t i, j;
    json_t *node, *row;
    json_array_foreach(nodes, i, node)
    {
        json_array_foreach(json_object_get(stats, "nodes"), j, row)
        {
            if (strcmp(json_in_str(row, "address", ""), json_in_str(node, "address", "?")) == 0 &&
                strcmp(json_in_str(node, "state", ""), "dead") != 0 &&
                strcmp(json_in_str(node, "state", ""), "left") != 0)
                json_object_set(node, "modules", json_object_get(row, "modules"));
        }
    }
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)operands;
    (void)parts;
    const struct mesh_options *self = options;
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL)
        return verb_fail(&err);
    owned_json *told = client_get_json(http, "/nodes", &err);
    owned_json *stats = told != NULL ? client_get_json(http, "/stats", &err) : NULL;
    if (stats == NULL)
        return verb_fail(&err);
    json_t *nodes = json_object_get(told, "nodes");
    owned_json *warnings = find_warnings(nodes);
    owned_buf out = BUF_INIT;
    add_modules(nodes, stats);
    if (self->shared.json) {
        struct json_out json;
        json_object_set(told, "warnings", warnings);
        json_out_init(&json, &out);
        json_out_value(&json, told);
        buf_putc(&out, '\n');
    } else {
        put_table(nodes, warnings, &out);
    }
    verb_print(&out);
    return CLI_PASSED;
}

const struct cli_verb mesh_verb = {.name = "mesh",
                                   .summary = "Show the nodes, and what keeps them apart",
                                   .table = &table,
                                   .target_size = sizeof(struct mesh_options),
                                   .run = run};
