#include "cli/run.h"

#include "cli/pack.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_FILE_MAX 4096

struct run_options {
    struct verb_shared shared;
    char *name;
    char *tests;
    char *token_file;
    uint64_t module_timeout_ms;
    int64_t fail_under;
    bool wait;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct run_options),
    {.flag = "name",
     .type = OPT_STRING,
     .help = "Name of the evaluation in lists",
     .offset = offsetof(struct run_options, name)},
    {.flag = "tests",
     .type = OPT_STRING,
     .metavar = "ZIP|FOLDER",
     .help = "Tests that are laid over every project, in place of its own of the same names",
     .offset = offsetof(struct run_options, tests)},
    {.flag = "token-file",
     .type = OPT_STRING,
     .metavar = "PATH",
     .help = "File with the token for private repositories; without it $GITHUB_TOKEN",
     .offset = offsetof(struct run_options, token_file)},
    VERB_TIMEOUT_ROW(struct run_options,
                     "Wait no longer; what there is then is shown, and the evaluation goes on"),
    {.flag = "module-timeout",
     .type = OPT_DURATION,
     .fallback = "0",
     .zero_word = "the node's own",
     .min = 1000,
     .max = 86400000,
     .help = "Time that one module may take",
     .offset = offsetof(struct run_options, module_timeout_ms)},
    {.flag = "fail-under",
     .type = OPT_INT,
     .min = -1,
     .max = 100,
     .fallback = "-1",
     .metavar = "PERCENT",
     .help = "End with 0 when at least so many of the tests passed; -1: all",
     .offset = offsetof(struct run_options, fail_under)},
    {.flag = "wait",
     .short_flag = 'w',
     .type = OPT_BOOL,
     .fallback = "yes",
     .help = "Print the id and end",
     .offset = offsetof(struct run_options, wait)},
    VERB_JSON_ROW(struct run_options, "Print the result as JSON"),
};

static const struct opt_table table = {
    .program = "testmesh run",
    .usage = "[options] FOLDER… | ZIP | URL…",
    .about = "Sends projects to a node, waits, and shows the marks. A folder is one project or a "
             "folder of projects; it is sent without version control, virtual environments and "
             "caches. A URL is a repository (https://github.com/owner/name, with /tree/BRANCH "
             "behind it for a branch); the node fetches it. Ends with 0 when all tests passed, 1 "
             "when some failed, 2 when the "
             "evaluation was cancelled, 3 when the node failed, 4 for wrong use, 5 when there were "
             "no tests, 7 when requirements could not be installed, 8 when no node answered, 9 "
             "when --timeout was over.",
    .rows = rows,
    .row_count = countof(rows),
};

static void wipe_token(char **token)
{
    if (*token != NULL)
        explicit_bzero(*token, strlen(*token));
    free(*token);
}
#define owned_token __attribute__((cleanup(wipe_token)))

int run_upload(struct http_client *http, const struct client_upload *upload,
               struct follow_options *follow, bool wait)
{
    struct err err = ERR_INIT;
    owned_mem char *id = NULL;
    owned_buf body = BUF_INIT;
    if (client_submit(http, upload, &id, &body, &err) != 0)
        return verb_fail(&err);
    if (wait) {
        if (!follow->json)
            printf("evaluation %s at %s\n", id, http_url(http));
        fflush(stdout);
        follow->id = id;
        return follow_evaluation(http, follow);
    }
    if (!follow->json) {
        buf_clear(&body);
        buf_puts(&body, id);
    }
    buf_putc(&body, '\n');
    verb_print(&body);
    return CLI_PASSED;
}

static bool is_folder(const char *path)
{
    struct stat stat_;
    return stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

/* ---- repositories ---------------------------------------------------------------------------- */

static bool is_url(const char *text)
{
    return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0;
}

/* The first line of the file, or the variable that tools for GitHub read. Writes it, owned. */
static int read_token(const char *path, char **token, struct err *err)
{
    const char *variable = getenv("GITHUB_TOKEN");
    if (path == NULL) {
        *token = variable != NULL && variable[0] != '\0' ? mem_strdup(variable) : NULL;
        return 0;
    }
    owned_buf text = BUF_INIT;
    if (file_read(path, TOKEN_FILE_MAX, &text, err) != 0)
        return err_wrap(err, "--token-file");
    *token = mem_strndup(buf_str(&text), strcspn(buf_str(&text), " \t\r\n"));
    explicit_bzero(text.data, text.len);
    return **token != '\0' ? 0 : err_set(err, ERR_INVALID, "--token-file %.300s: is empty", path);
}

static int prepare_urls(const struct run_options *self, const struct opt_list *urls,
                        struct http_client *http, struct client_upload *upload, char **token,
                        struct err *err)
{
    for (size_t i = 0; i < urls->count; i++)
        if (!is_url(urls->items[i]))
            return err_set(err, ERR_INVALID, "give folders, or one zip, or URLs of repositories");
    if (self->tests != NULL)
        return err_set(err, ERR_INVALID, "--tests goes with folders and zips only");
    if (read_token(self->token_file, token, err) != 0)
        return err->code;
    if (*token != NULL && !http_is_loopback(http) && strncmp(http_url(http), "http://", 7) == 0)
        fprintf(stderr, "testmesh: the token goes to %s unencrypted\n", http_url(http));
    union {
        char **in;
        const char *const *out;
    } list = {.in = urls->items};
    upload->urls = list.out;
    upload->url_count = urls->count;
    upload->token = *token;
    return 0;
}

/* ---- what is sent ---------------------------------------------------------------------------- */

/* What is to be sent: the user's zip, or one made of the folders. */
static int prepare(const struct opt_list *paths, struct pack *pack, struct client_upload *upload,
                   struct err *err)
{
    size_t folders = 0;
    for (size_t i = 0; i < paths->count; i++) {
        if (access(paths->items[i], R_OK) != 0)
            return err_set(err, ERR_NOT_FOUND, "%.300s: %m", paths->items[i]);
        folders += is_folder(paths->items[i]);
    }
    if (folders == 0 && paths->count == 1) {
        const char *base = strrchr(paths->items[0], '/');
        upload->zip = paths->items[0];
        upload->zip_name = base != NULL ? base + 1 : upload->zip;
        return 0;
    }
    if (folders != paths->count)
        return err_set(err, ERR_INVALID, "give folders, or one zip, not both");
    int rc = pack_folders(pack, paths->items, paths->count, false, err);
    upload->zip = pack->path;
    upload->zip_name = "projects.zip";
    return rc;
}

static int prepare_tests(const char *path, struct pack *pack, struct client_upload *upload,
                         struct err *err)
{
    if (path == NULL)
        return 0;
    if (access(path, R_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "--tests %.300s: %m", path);
    upload->tests = path;
    if (!is_folder(path))
        return 0;
    int rc = pack_folders(pack, (char *[]){(char *)(uintptr_t)path}, 1, true, err);
    upload->tests = pack->path;
    return rc;
}

static void tell_packed(const struct pack *pack)
{
    if (pack->path == NULL)
        return;
    owned_buf line = BUF_INIT;
    buf_printf(&line, "sending %zu files and folders, ", pack->files);
    text_size(pack->bytes, &line);
    if (pack->skipped > 0)
        buf_printf(&line, " (%zu left out: version control, environments, caches)", pack->skipped);
    puts(buf_str(&line));
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct run_options *self = options;
    struct err err = ERR_INIT;
    owned_pack projects = {0};
    owned_pack tests = {0};
    struct client_upload upload = {.name = self->name};
    owned_http *http = http_open(self->shared.node, &err);
    owned_token char *token = NULL;
    if (http == NULL)
        return verb_fail(&err);
    if (is_url(operands->items[0])) {
        if (prepare_urls(self, operands, http, &upload, &token, &err) != 0)
            return verb_fail(&err);
        if (!self->shared.json && self->wait)
            printf("%s fetches %zu %s\n", http_url(http), operands->count,
                   operands->count == 1 ? "repository" : "repositories");
        fflush(stdout);
    } else if (prepare(operands, &projects, &upload, &err) != 0 ||
               prepare_tests(self->tests, &tests, &upload, &err) != 0) {
        return verb_fail(&err);
    }
    owned_mem char *more = NULL;
    if (self->module_timeout_ms > 0)
        more = mem_printf("{\"timeout_s\":%llu}",
                          (unsigned long long)(self->module_timeout_ms + 999) / 1000);
    upload.options = more;
    if (!self->shared.json && self->wait)
        tell_packed(&projects);
    struct follow_options follow = {.timeout_ms = self->shared.timeout_ms,
                                    .fail_under = (double)self->fail_under,
                                    .json = self->shared.json};
    return run_upload(http, &upload, &follow, self->wait);
}

const struct cli_verb run_verb = {.name = "run",
                                  .summary = "Send projects, wait, show the marks",
                                  .table = &table,
                                  .target_size = sizeof(struct run_options),
                                  .operands_min = 1,
                                  .operands_max = 10000,
                                  .run = run};
