#include "cli/run.h"

#include "cli/pack.h"
#include "cli/repositories.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct run_options {
    struct verb_shared shared;
    char *name;
    char *tests;
    char *token_file;
    uint64_t module_timeout_ms;
    int64_t fail_under;
    bool statuses;
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
     .help = "File with the token for repositories, which nobody else may read; without it "
             "$GITHUB_TOKEN",
     .offset = offsetof(struct run_options, token_file)},
    {.flag = "statuses",
     .type = OPT_BOOL,
     .help = "Show the results at the commits on the repositories' host too (needs a token)",
     .offset = offsetof(struct run_options, statuses)},
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
    .usage = "[options] FOLDER… | ZIP | URL… | @FILE",
    .about = "Sends projects to a node, waits, and shows the marks. A folder is one project or a "
             "folder of projects; it is sent without version control, virtual environments and "
             "caches. A URL is a repository (https://github.com/owner/name, with /tree/BRANCH "
             "behind it for a branch); the node fetches it. @FILE has URLs, one a line, and @- is "
             "standard input. Ends with 0 when all tests passed, 1 "
             "when some failed, 2 when the "
             "evaluation was cancelled, 3 when the node failed, 4 for wrong use, 5 when there were "
             "no tests, 7 when requirements could not be installed, 8 when no node answered, 9 "
             "when --timeout was over.",
    .rows = rows,
    .row_count = countof(rows),
};

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

static void tell_repositories(const struct repositories *self, const struct http_client *http)
{
    printf("%s fetches %zu %s, with %s\n", http_url(http), self->urls.count,
           self->urls.count == 1 ? "repository" : "repositories",
           self->token != NULL ? self->token_words : "no token");
}

static void warn_of_token(const struct repositories *self, const struct http_client *http)
{
    if (self->token != NULL && !http_is_loopback(http) &&
        strncmp(http_url(http), "http://", 7) == 0)
        fprintf(stderr, "testmesh: the token goes to %s unencrypted\n", http_url(http));
}

static int prepare_repositories(const struct run_options *options, const struct opt_list *operands,
                                struct repositories *repositories, struct client_upload *upload,
                                struct err *err)
{
    int rc = repositories_read(repositories, operands, options->token_file, err);
    if (rc != 0)
        return rc;
    if (options->statuses && repositories->token == NULL)
        return err_set(err, ERR_INVALID, "--statuses needs --token-file or $GITHUB_TOKEN");
    union {
        char **in;
        const char *const *out;
    } list = {.in = repositories->urls.items};
    upload->urls = list.out;
    upload->url_count = repositories->urls.count;
    upload->token = repositories->token;
    upload->statuses = options->statuses;
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

static bool names_repositories(const struct opt_list *operands)
{
    for (size_t i = 0; i < operands->count; i++)
        if (repositories_is(operands->items[i]))
            return true;
    return false;
}

/* What is sent; owns what was read and made for it. */
struct sources {
    struct repositories repositories;
    struct pack projects;
    struct pack tests;
    struct client_upload upload;
};

static void sources_fini(struct sources *self)
{
    repositories_fini(&self->repositories);
    pack_fini(&self->projects);
    pack_fini(&self->tests);
}

static int collect(struct sources *self, const struct run_options *options,
                   const struct opt_list *operands, struct err *err)
{
    struct client_upload *upload = &self->upload;
    int rc = 0;
    if (names_repositories(operands))
        rc = prepare_repositories(options, operands, &self->repositories, upload, err);
    else if (options->token_file != NULL || options->statuses)
        rc = err_set(err, ERR_INVALID, "--token-file and --statuses go with repositories only");
    else
        rc = prepare(operands, &self->projects, upload, err);
    return rc != 0 ? rc : prepare_tests(options->tests, &self->tests, upload, err);
}

static void tell_sources(const struct sources *self, const struct http_client *http)
{
    if (self->upload.url_count > 0)
        tell_repositories(&self->repositories, http);
    tell_packed(&self->projects);
    fflush(stdout);
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)parts;
    const struct run_options *self = options;
    struct err err = ERR_INIT;
    __attribute__((cleanup(sources_fini))) struct sources sources = {.upload.name = self->name};
    owned_http *http = http_open(self->shared.node, &err);
    if (http == NULL || collect(&sources, self, operands, &err) != 0)
        return verb_fail(&err);
    warn_of_token(&sources.repositories, http);
    owned_mem char *more = NULL;
    if (self->module_timeout_ms > 0)
        more = mem_printf("{\"timeout_s\":%llu}",
                          (unsigned long long)(self->module_timeout_ms + 999) / 1000);
    sources.upload.options = more;
    if (!self->shared.json && self->wait)
        tell_sources(&sources, http);
    struct follow_options follow = {.timeout_ms = self->shared.timeout_ms,
                                    .fail_under = (double)self->fail_under,
                                    .json = self->shared.json};
    return run_upload(http, &sources.upload, &follow, self->wait);
}

const struct cli_verb run_verb = {.name = "run",
                                  .summary = "Send projects, wait, show the marks",
                                  .table = &table,
                                  .target_size = sizeof(struct run_options),
                                  .operands_min = 1,
                                  .operands_max = 10000,
                                  .run = run};
