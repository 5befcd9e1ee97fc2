/* operator: what only who runs a node may ask of it: to join a mesh, to take no more work, to
 * leave. The node's data folder has the token that proves it. */
#include "cli/client.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_MAX 4096 /* of the file */

struct operator_options {
    struct verb_shared shared;
    char *data;
    char *token_file;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct operator_options),
    {.flag = "data",
     .short_flag = 'd',
     .env = "TESTMESH_DATA",
     .type = OPT_STRING,
     .metavar = "PATH",
     .help = "The node's data folder, for its token; without it the folder that `testmesh node` "
             "takes by itself",
     .offset = offsetof(struct operator_options, data)},
    {.flag = "operator-token-file",
     .env = "TESTMESH_OPERATOR_TOKEN_FILE",
     .type = OPT_STRING,
     .metavar = "PATH",
     .help = "The file with the token, in place of operator.token in the data folder",
     .offset = offsetof(struct operator_options, token_file)},
};

static const struct opt_table join_table = {
    .program = "testmesh join",
    .usage = "[options] HOST:PORT",
    .about = "Makes the node look for a mesh at an address: HOST:PORT, a name, or dns:NAME for all "
             "addresses of a name. It goes on doing so as long as it runs; --join of `testmesh "
             "node` is for every start.",
    .rows = rows,
    .row_count = countof(rows),
};

static const struct opt_table drain_table = {
    .program = "testmesh drain",
    .usage = "[options]",
    .about = "Makes the node take no more work. What runs there ends; what waits there goes to "
             "other nodes. It stays in the mesh and answers.",
    .rows = rows,
    .row_count = countof(rows),
};

static const struct opt_table leave_table = {
    .program = "testmesh leave",
    .usage = "[options]",
    .about = "Makes the node drain, tell the others that it goes, and end.",
    .rows = rows,
    .row_count = countof(rows),
};

/* A token from the folder of this machine's node is for this machine: whoever names another node
 * must name the file, too. Returns owned. */
static char *read_token(const struct operator_options *self, const struct http_client *http,
                        const struct cli_parts *parts, struct err *err)
{
    const char *data = self->data != NULL ? self->data : parts->data_dir;
    if (self->token_file == NULL && !http_is_loopback(http)) {
        err_set(err, ERR_INVALID,
                "%s is another machine: name the file with its token (--operator-token-file)",
                http_url(http));
        return NULL;
    }
    if (self->token_file == NULL && data == NULL) {
        err_set(err, ERR_INVALID, "--data: name the node's data folder");
        return NULL;
    }
    owned_mem char *path = self->token_file != NULL ? mem_strdup(self->token_file)
                                                    : mem_printf("%s/operator.token", data);
    owned_buf text = BUF_INIT;
    if (file_read(path, TOKEN_MAX, &text, err) != 0) {
        err_wrap(err, "the operator's token");
        err->code = ERR_INVALID; /* not the node's trouble */
        return NULL;
    }
    return mem_strndup(buf_str(&text), strcspn(buf_str(&text), "\r\n"));
}

static int post(const struct operator_options *self, const struct cli_parts *parts,
                const char *path, const char *json)
{
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->shared.node, &err);
    owned_mem char *token = http != NULL ? read_token(self, http, parts, &err) : NULL;
    owned_answer answer = {0};
    struct http_request request = {.method = "POST", .path = path, .json = json, .token = token};
    if (token == NULL || http_expect(http, &request, &answer, &err) != 0)
        return verb_fail(&err);
    return CLI_PASSED;
}

static int run_join(const void *options, const struct opt_list *operands,
                    const struct cli_parts *parts)
{
    const struct operator_options *self = options;
    owned_buf body = BUF_INIT;
    owned_buf shown = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &body);
    json_out_open_object(&out);
    json_out_key_str(&out, "address", operands->items[0]);
    json_out_close_object(&out);
    int code = post(self, parts, "/join", buf_str(&body));
    text_safe(operands->items[0], 200, &shown);
    if (code == CLI_PASSED)
        printf("the node looks for others at %s; `testmesh mesh` shows who is there\n",
               buf_str(&shown));
    return code;
}

static int run_drain(const void *options, const struct opt_list *operands,
                     const struct cli_parts *parts)
{
    (void)operands;
    int code = post(options, parts, "/drain", NULL);
    if (code == CLI_PASSED)
        puts("the node takes no more work; what runs there ends first");
    return code;
}

static int run_leave(const void *options, const struct opt_list *operands,
                     const struct cli_parts *parts)
{
    (void)operands;
    int code = post(options, parts, "/kill", NULL);
    if (code == CLI_PASSED)
        puts("the node leaves the mesh and ends when what runs there has ended");
    return code;
}

const struct cli_verb join_verb = {.name = "join",
                                   .summary = "Make a node join a mesh",
                                   .table = &join_table,
                                   .target_size = sizeof(struct operator_options),
                                   .operands_min = 1,
                                   .operands_max = 1,
                                   .run = run_join};
const struct cli_verb drain_verb = {.name = "drain",
                                    .summary = "Make a node take no more work",
                                    .table = &drain_table,
                                    .target_size = sizeof(struct operator_options),
                                    .run = run_drain};
const struct cli_verb leave_verb = {.name = "leave",
                                    .summary = "Make a node leave the mesh and end",
                                    .table = &leave_table,
                                    .target_size = sizeof(struct operator_options),
                                    .run = run_leave};
