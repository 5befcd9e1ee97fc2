#include "cli/cli.h"

#include "cli/verb.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HELP_WIDTH_MAX 100

static const struct cli_verb *const verbs[] = {
    &run_verb,    &show_verb, &watch_verb,   &tests_verb,      &logs_verb,     &ls_verb,
    &cancel_verb, &mesh_verb, &join_verb,    &drain_verb,      &leave_verb,    &inspect_verb,
    &doctor_verb, &dev_verb,  &version_verb, &completion_verb, &markdown_verb,
};

const struct cli_verb *verb_at(size_t index)
{
    return index < countof(verbs) ? verbs[index] : NULL;
}

unsigned verb_help_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < HELP_WIDTH_MAX ? size.ws_col : HELP_WIDTH_MAX;
}

void verb_print(const struct buf *text)
{
    if (fwrite(buf_str(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0)
        exit(CLI_CLUSTER);
}

int verb_fail(const struct err *err)
{
    fprintf(stderr, "testmesh: %s\n", err->text);
    if (err->code == ERR_UNAVAILABLE) {
        fprintf(stderr, "  start one with `testmesh node`, try `testmesh dev`, or name one with "
                        "--node URL or TESTMESH_NODE\n");
        return CLI_NO_NODE;
    }
    bool ours = err->code == ERR_INVALID || err->code == ERR_NOT_FOUND ||
                err->code == ERR_UNPROCESSABLE || err->code == ERR_TOO_LARGE ||
                err->code == ERR_MEDIA_TYPE || err->code == ERR_UNAUTHORIZED ||
                err->code == ERR_FORBIDDEN;
    return ours ? CLI_USAGE : CLI_CLUSTER;
}

static void list_verbs(struct buf *out)
{
    buf_puts(out, "Usage: testmesh VERB [options] …\n\n"
                  "Runs the tests of Python projects in sandboxes, on one node or many, and gives "
                  "marks.\n\nVerbs:\n"
                  "  node        Run a node\n");
    for (size_t i = 0; i < countof(verbs); i++) {
        if (!verbs[i]->hidden)
            buf_printf(out, "  %-11s %s\n", verbs[i]->name, verbs[i]->summary);
    }
    buf_puts(out, "\n`testmesh VERB --help` tells what a verb takes.\n");
}

static int refuse_verb(const char *name)
{
    owned_buf words = BUF_INIT;
    buf_puts(&words, "node");
    for (size_t i = 0; i < countof(verbs); i++)
        buf_printf(&words, " %s", verbs[i]->name);
    size_t len = 0;
    const char *near = opt_nearest(name, buf_str(&words), &len);
    fprintf(stderr, "testmesh: %.60s: no such verb", name);
    if (near != NULL)
        fprintf(stderr, "; did you mean %.*s?", (int)len, near);
    fprintf(stderr, "\n  `testmesh help` lists them\n");
    return CLI_USAGE;
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < countof(verbs); i++) {
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    }
    return NULL;
}

static int check_operands(const struct cli_verb *verb, const struct opt_list *operands)
{
    bool few = operands->count < verb->operands_min;
    if (!few && operands->count <= verb->operands_max)
        return 0;
    if (few)
        fprintf(stderr, "testmesh %s: something is missing\n", verb->name);
    else
        fprintf(stderr, "testmesh %s: %.100s: too many words\n", verb->name,
                operands->items[verb->operands_max]);
    fprintf(stderr, "  usage: %s %s\n", verb->table->program, verb->table->usage);
    return CLI_USAGE;
}

static int run_verb_of(const struct cli_verb *verb, int argc, char **argv,
                       const struct cli_parts *parts)
{
    owned_mem void *options = mem_new(verb->target_size);
    struct opt_parsed parsed = {0};
    struct err err = ERR_INIT;
    if (opt_load(verb->table, argc, argv, options, &parsed, &err) != 0) {
        fprintf(stderr, "testmesh %s: %s\n", verb->name, err.text);
        return CLI_USAGE;
    }
    int code = CLI_PASSED;
    if (parsed.help) {
        owned_buf text = BUF_INIT;
        opt_help(verb->table, verb_help_width(), &text);
        verb_print(&text);
    } else {
        code = check_operands(verb, &parsed.operands);
        if (code == 0)
            code = verb->run(options, &parsed.operands, parts);
    }
    opt_fini(verb->table, options);
    opt_parsed_fini(&parsed);
    return code;
}

int cli_main(int argc, char **argv, const struct cli_parts *parts)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        owned_buf text = BUF_INIT;
        list_verbs(&text);
        verb_print(&text);
        return argc > 1 ? CLI_PASSED : CLI_USAGE;
    }
    const struct cli_verb *verb = find_verb(strcmp(name, "--version") == 0 ? "version" : name);
    if (verb == NULL)
        return refuse_verb(name);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int code = run_verb_of(verb, argc - 2, argv + 2, parts);
    curl_global_cleanup();
    return code;
}
