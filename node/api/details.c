/* details: every test of an evaluation, and what its modules printed. */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TESTS_LIMIT_DEFAULT 200
#define TESTS_LIMIT_MAX     1000
#define TESTS_ANSWER_MAX    (8u << 20) /* a page ends early here, … */
#define TESTS_WORK_MS       30 /* … or when it has kept the loop so long; there is a next */
#define CASES_MAX           (64u << 20)

struct page {
    struct json_out out;
    struct buf *text;
    const char *project;
    const char *module;
    const char *outcome;
    bool has_detail;
    bool has_read;
    uint64_t end_ms;
    size_t left;
    uint64_t from_module; /* the cursor: index over all modules, then line in it */
    uint64_t from_line;
    uint64_t next_module;
    uint64_t next_line;
    bool is_cut;
};

static void put_item(struct page *page, const struct summary_module *module,
                     const struct summary_project *project, const json_t *test)
{
    static const char *const texts[] = {"message", "longrepr", "stdout", "stderr"};
    struct json_out *out = &page->out;
    json_out_open_object(out);
    json_out_key_str(out, "project", project->name);
    json_out_key_str(out, "module", module->path);
    json_out_key_str(out, "test", json_in_str(test, "test", module->path));
    json_out_key_str(out, "outcome", json_in_str(test, "outcome", "error"));
    json_out_key_real(out, "time", json_in_real(test, "time", 0), 6);
    for (size_t i = 0; page->has_detail && i < countof(texts); i++) {
        const char *text = json_in_str(test, texts[i], NULL);
        if (text && *text)
            json_out_key_str(out, texts[i], text);
    }
    json_out_close_object(out);
}

/* Returns false when the page is full. */
static bool offer(struct page *page, const struct summary_module *module,
                  const struct summary_project *project, const json_t *test)
{
    if (page->outcome && strcmp(page->outcome, json_in_str(test, "outcome", "error")) != 0)
        return true;
    if (page->left == 0 || page->text->len > TESTS_ANSWER_MAX) {
        page->is_cut = true;
        return false;
    }
    page->left--;
    put_item(page, module, project, test);
    return true;
}

/* A module that ended without a word on any test is one item: the module itself. */
static bool offer_module_itself(struct page *page, const struct summary_module *module,
                                const struct summary_project *project)
{
    const char *message = module->rec ? module->rec->message : project->message;
    owned_json *test = json_pack("{s:s, s:s, s:f, s:s?}", "test", module->path, "outcome", "error",
                                 "time", (double)module->ms / 1e3, "message", message);
    return offer(page, module, project, test);
}

/* Says whether a module with records can have a test that is asked for, without reading them. */
static bool may_have(const struct page *page, const struct doc_tally *tally)
{
    const struct {
        const char *name;
        uint32_t count;
    } counts[] = {{"passed", tally->passed},   {"failed", tally->failed},
                  {"error", tally->errors},    {"skipped", tally->skipped},
                  {"xfailed", tally->xfailed}, {"xpassed", tally->xpassed}};
    for (size_t i = 0; page->outcome && i < countof(counts); i++)
        if (strcmp(page->outcome, counts[i].name) == 0)
            return counts[i].count > 0;
    return true;
}

static bool is_bad_end(enum doc_outcome outcome)
{
    return outcome != DOC_NO_OUTCOME && outcome != DOC_PASSED && outcome != DOC_NO_TESTS &&
           outcome != DOC_SKIPPED && outcome != DOC_CANCELLED;
}

static bool offer_module(struct api *self, struct page *page, const struct summary_module *module,
                         const struct summary_project *project)
{
    owned_buf cases = BUF_INIT;
    uint64_t line = 0;
    if (module->phase != SUMMARY_FINISHED)
        return true;
    if (!module->rec || !doc_hash_is_set(&module->rec->cases))
        return page->next_line > 0 || !is_bad_end(module->outcome) ||
               offer_module_itself(page, module, project);
    if (!may_have(page, &module->rec->tally))
        return true;
    if (page->has_read && clock_mono_ms() >= page->end_ms) { /* each page gets on */
        page->is_cut = true;
        return false;
    }
    page->has_read = true;
    if (store_read_blob(self->config.store, &module->rec->cases, "jsonl", CASES_MAX, &cases, NULL))
        return true;
    for (const char *at = cases.data; at < cases.data + cases.len; line++) {
        const char *end = memchr(at, '\n', (size_t)(cases.data + cases.len - at));
        if (!end)
            break;
        if (line >= page->next_line) {
            owned_json *test = json_in_parse(at, (size_t)(end - at), NULL);
            if (test && !offer(page, module, project, test)) {
                page->next_line = line;
                return false;
            }
        }
        at = end + 1;
    }
    return true;
}

static void put_page(struct api *self, struct page *page, const struct summary *summary)
{
    uint64_t index = 0;
    page->next_line = page->from_line;
    for (size_t p = 0; p < summary->project_count; p++) {
        const struct summary_project *project = &summary->projects[p];
        for (size_t m = 0; m < project->module_count; m++, index++) {
            const struct summary_module *module = &summary->modules[project->first_module + m];
            if (index < page->from_module ||
                (page->project && strcmp(page->project, project->name) != 0) ||
                (page->module && strcmp(page->module, module->path) != 0))
                continue;
            page->next_module = index;
            if (!offer_module(self, page, module, project))
                return;
            page->next_line = 0;
        }
    }
}

static bool is_test_outcome(const char *text)
{
    static const char *const outcomes[] = {"passed",  "failed",  "error",
                                           "skipped", "xfailed", "xpassed"};
    for (size_t i = 0; i < countof(outcomes); i++)
        if (strcmp(text, outcomes[i]) == 0)
            return true;
    return false;
}

static int read_page(const struct http_exchange *x, struct page *page, struct err *err)
{
    int64_t limit;
    int64_t detail;
    int used = 0;
    if (http_query_int(x, "limit", TESTS_LIMIT_DEFAULT, 1, TESTS_LIMIT_MAX, &limit, err) ||
        http_query_int(x, "detail", 1, 0, 1, &detail, err))
        return err->code;
    page->end_ms = clock_mono_ms() + TESTS_WORK_MS;
    page->left = (size_t)limit;
    page->has_detail = detail != 0;
    page->project = http_query(x, "project");
    page->module = http_query(x, "module");
    page->outcome = http_query(x, "outcome");
    if (page->outcome && !is_test_outcome(page->outcome))
        return err_refuse(err, ERR_INVALID, "bad-query", "outcome: \"%.40s\" is not one of a test",
                          page->outcome);
    const char *cursor = http_query(x, "cursor");
    if (cursor && (sscanf(cursor, "%" SCNu64 "-%" SCNu64 "%n", &page->from_module, &page->from_line,
                          &used) != 2 ||
                   cursor[used]))
        return err_refuse(err, ERR_INVALID, "bad-query", "cursor: not one of ours");
    return 0;
}

static void answer_tests(struct api *self, struct http_exchange *x, const struct doc *doc,
                         uint64_t stale_ms)
{
    struct err err = ERR_INIT;
    owned_buf text = BUF_INIT;
    struct page page = {.text = &text};
    (void)stale_ms;
    if (read_page(x, &page, &err)) {
        http_reply_problem(x, &err);
        return;
    }
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    json_out_init(&page.out, &text);
    json_out_open_object(&page.out);
    json_out_key(&page.out, "items");
    json_out_open_array(&page.out);
    put_page(self, &page, &summary);
    json_out_close_array(&page.out);
    owned_mem char *next =
        page.is_cut ? mem_printf("%" PRIu64 "-%" PRIu64, page.next_module, page.next_line) : NULL;
    json_out_key_str(&page.out, "next", next);
    json_out_close_object(&page.out);
    buf_putc(&text, '\n');
    http_reply_json(x, 200, &text);
}

void details_tests(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, answer_tests); }

/* ---- logs ------------------------------------------------------------------------------------ */

static void answer_blob(struct api *self, struct http_exchange *x, const struct hash *blob,
                        const char *ext)
{
    owned_mem char *path = store_blob_path(self->config.store, blob, ext);
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct err err = ERR_INIT;
    if (fd < 0 || fstat(fd, &st)) {
        err_refuse(&err, ERR_NOT_FOUND, "log-not-found", "the log is not on this node any more");
        http_reply_problem(x, &err);
        return;
    }
    http_reply_file(x, 200, "text/plain; charset=utf-8", steal_fd(&fd), 0, (uint64_t)st.st_size);
}

static const struct summary_project *find_project(const struct summary *summary, const char *name)
{
    for (size_t p = 0; p < summary->project_count; p++)
        if (strcmp(summary->projects[p].name, name) == 0)
            return &summary->projects[p];
    return NULL;
}

static const struct summary_module *
find_module(const struct summary *summary, const struct summary_project *project, const char *path)
{
    for (size_t m = 0; m < project->module_count; m++) {
        const struct summary_module *module = &summary->modules[project->first_module + m];
        if (strcmp(module->path, path) == 0)
            return module;
    }
    return NULL;
}

static void no_log(struct http_exchange *x, const char *what)
{
    struct err err = ERR_INIT;
    err_refuse(&err, ERR_NOT_FOUND, "log-not-found", "%s", what);
    http_reply_problem(x, &err);
}

/* What is there of one project. Each answers. */
typedef void log_fn(struct api *self, struct http_exchange *x, const struct summary *summary,
                    const struct summary_project *project);

static void answer_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                       log_fn *answer)
{
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    const struct summary_project *project = find_project(&summary, http_param(x, "project"));
    if (project)
        answer(self, x, &summary, project);
    else
        no_log(x, "the evaluation has no such project");
}

static void answer_module_log(struct api *self, struct http_exchange *x,
                              const struct summary *summary, const struct summary_project *project)
{
    const struct summary_module *module = find_module(summary, project, http_param(x, "module"));
    if (!module)
        no_log(x, "the project has no such module");
    else if (module->rec && doc_hash_is_set(&module->rec->out))
        answer_blob(self, x, &module->rec->out, "log");
    else
        no_log(x, module->phase == SUMMARY_FINISHED ? "the module printed nothing"
                                                    : "the module has not finished");
}

static void answer_build_log(struct api *self, struct http_exchange *x,
                             const struct summary *summary, const struct summary_project *project)
{
    (void)summary;
    if (project->log && doc_hash_is_set(project->log))
        answer_blob(self, x, project->log, "txt");
    else
        no_log(x, "the project's set-up left no log");
}

static void module_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                       uint64_t stale_ms)
{
    (void)stale_ms;
    answer_log(self, x, doc, answer_module_log);
}

static void build_log(struct api *self, struct http_exchange *x, const struct doc *doc,
                      uint64_t stale_ms)
{
    (void)stale_ms;
    answer_log(self, x, doc, answer_build_log);
}

void details_log(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, module_log); }

void details_build_log(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, build_log); }
