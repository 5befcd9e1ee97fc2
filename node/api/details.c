/* details: every test of an evaluation, page by page. What modules said of their tests are blobs,
 * on the nodes that ran them: those that a page needs and that are not here are fetched first. */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TESTS_LIMIT_DEFAULT 200
#define TESTS_LIMIT_MAX     1000
#define TESTS_ANSWER_MAX    (8u << 20) /* a page ends early here, … */
#define TESTS_WORK_MS       30 /* … or when it has kept the loop so long; there is a next */
#define CASES_MAX           (64u << 20)
#define GATHER_MS           5000 /* to bring records here; then the page ends where one lacks */
#define GATHER_MAX          64   /* at once */

/* What is kept while records are brought here. */
struct fetching {
    uint64_t eval;
    uint64_t until_ms;
    struct hash *gone; /* nobody has them */
    size_t gone_count;
    size_t gone_room;
    struct gather_blob wanted[GATHER_MAX];
    size_t wanted_count;
};

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
    struct fetching *fetching;
    struct json_out missing; /* modules whose records nobody has */
    bool has_missing;
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

static bool is_gone(const struct fetching *self, const struct hash *blob)
{
    for (size_t i = 0; i < self->gone_count; i++)
        if (memcmp(&self->gone[i], blob, sizeof *blob) == 0)
            return true;
    return false;
}

static void want(struct fetching *self, const struct summary_module *module)
{
    if (self->wanted_count < GATHER_MAX)
        self->wanted[self->wanted_count++] = (struct gather_blob){
            .hash = module->rec->cases, .ext = "jsonl", .node = module->rec->node};
}

static void say_missing(struct page *page, const struct summary_module *module,
                        const struct summary_project *project)
{
    struct json_out *out = &page->missing;
    page->has_missing = true;
    json_out_open_object(out);
    json_out_key_str(out, "project", project->name);
    json_out_key_str(out, "module", module->path);
    json_out_close_object(out);
}

/* Returns false when the page ends before this module. */
static bool offer_absent(struct page *page, const struct summary_module *module,
                         const struct summary_project *project)
{
    if (is_gone(page->fetching, &module->rec->cases)) {
        say_missing(page, module, project);
        return true;
    }
    want(page->fetching, module);
    page->is_cut = true;
    return false;
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
    if (!store_has_blob(self->config.store, &module->rec->cases, "jsonl"))
        return offer_absent(page, module, project);
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

static bool is_asked_for(const struct page *page, const struct summary_module *module,
                         const struct summary_project *project)
{
    return (!page->project || strcmp(page->project, project->name) == 0) &&
           (!page->module || strcmp(page->module, module->path) == 0);
}

static void put_page(struct api *self, struct page *page, const struct summary *summary)
{
    uint64_t index = 0;
    page->next_line = page->from_line;
    for (size_t p = 0; p < summary->project_count; p++) {
        const struct summary_project *project = &summary->projects[p];
        for (size_t m = 0; m < project->module_count; m++, index++) {
            const struct summary_module *module = &summary->modules[project->first_module + m];
            if (index < page->from_module || !is_asked_for(page, module, project))
                continue;
            page->next_module = index;
            if (!offer_module(self, page, module, project))
                return;
            page->next_line = 0;
        }
    }
}

/* What this page, and perhaps the next one, needs behind the module at which it ended. */
static void want_more(const struct api *self, const struct page *page,
                      const struct summary *summary)
{
    uint64_t index = 0;
    for (size_t p = 0; p < summary->project_count; p++) {
        const struct summary_project *project = &summary->projects[p];
        for (size_t m = 0; m < project->module_count; m++, index++) {
            const struct summary_module *module = &summary->modules[project->first_module + m];
            if (index > page->next_module && is_asked_for(page, module, project) && module->rec &&
                doc_hash_is_set(&module->rec->cases) && may_have(page, &module->rec->tally) &&
                !store_has_blob(self->config.store, &module->rec->cases, "jsonl") &&
                !is_gone(page->fetching, &module->rec->cases))
                want(page->fetching, module);
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

static void reply_page(struct http_exchange *x, struct page *page, const struct buf *missing)
{
    json_out_close_array(&page->out);
    owned_mem char *next =
        page->is_cut ? mem_printf("%" PRIu64 "-%" PRIu64, page->next_module, page->next_line)
                     : NULL;
    json_out_key_str(&page->out, "next", next);
    if (page->has_missing) {
        json_out_key(&page->out, "missing");
        json_out_raw(&page->out, missing->data, missing->len);
    }
    json_out_close_object(&page->out);
    buf_putc(page->text, '\n');
    http_reply_json(x, 200, page->text);
}

static void free_fetching(void *state)
{
    struct fetching *self = state;
    free(self->gone);
    free(self);
}

static void on_gathered(struct api *self, struct http_exchange *x, void *state);

static void answer_page(struct api *self, struct http_exchange *x, const struct doc *doc,
                        struct fetching *fetching)
{
    struct err err = ERR_INIT;
    owned_buf text = BUF_INIT;
    owned_buf missing = BUF_INIT;
    struct page page = {.text = &text, .fetching = fetching};
    if (read_page(x, &page, &err)) {
        http_reply_problem(x, &err);
        free_fetching(fetching);
        return;
    }
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    json_out_init(&page.missing, &missing);
    json_out_open_array(&page.missing);
    json_out_init(&page.out, &text);
    json_out_open_object(&page.out);
    json_out_key(&page.out, "items");
    json_out_open_array(&page.out);
    fetching->wanted_count = 0;
    put_page(self, &page, &summary);
    json_out_close_array(&page.missing);
    if (fetching->wanted_count > 0 && clock_mono_ms() < fetching->until_ms) {
        want_more(self, &page, &summary);
        gather_blobs(self, x,
                     &(struct gather_wish){.eval = doc->id,
                                           .blobs = fetching->wanted,
                                           .count = fetching->wanted_count,
                                           .then = on_gathered,
                                           .state = fetching,
                                           .free_state = free_fetching});
        return;
    }
    reply_page(x, &page, &missing);
    free_fetching(fetching);
}

/* What was asked for and did not come is nowhere: so each round gets on. */
static void on_gathered(struct api *self, struct http_exchange *x, void *state)
{
    struct fetching *fetching = state;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < fetching->wanted_count; i++) {
        const struct gather_blob *blob = &fetching->wanted[i];
        if (store_has_blob(self->config.store, &blob->hash, blob->ext))
            continue;
        fetching->gone = mem_grow(fetching->gone, &fetching->gone_room, fetching->gone_count + 1,
                                  sizeof *fetching->gone);
        fetching->gone[fetching->gone_count++] = blob->hash;
    }
    const struct doc *doc = store_find(self->config.store, fetching->eval, &err);
    if (doc) {
        answer_page(self, x, doc, fetching);
        return;
    }
    http_reply_problem(x, &err);
    free_fetching(fetching);
}

static void answer_tests(struct api *self, struct http_exchange *x, const struct doc *doc,
                         uint64_t stale_ms)
{
    (void)stale_ms;
    struct fetching *fetching = mem_new(sizeof *fetching);
    fetching->eval = doc->id;
    fetching->until_ms = clock_mono_ms() + GATHER_MS;
    answer_page(self, x, doc, fetching);
}

void details_tests(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, answer_tests); }
