#include "cli/follow.h"

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/report.h"
#include "cli/seen.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS           300   /* between questions to a node that does not hold */
#define PATIENCE_MS        30000 /* with a node that has stopped answering */
#define FAILURES_PER_GROUP 20    /* of one module, shown when they happen */
#define FAILURES_KEPT      100   /* shown again at the end */

struct failure {
    char *project, *test, *outcome, *message;
};

struct follow {
    struct http_client *http;
    const struct follow_options *options;
    struct terminal terminal;
    struct doc doc; /* the last one */
    struct buf body;
    char etag[HTTP_ETAG_MAX];
    uint64_t start_ms, answered_ms;
    unsigned ticks;
    struct seen seen; /* modules that have been told of */
    struct failure *failures;
    size_t failure_count, failure_capacity;
    size_t failures_more; /* that were not kept */
    size_t group;         /* failures told of the module at hand */
};

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool follow_interrupted(void) { return interrupted != 0; }

/* A second signal finds the default action: whoever is in a hurry is not held up. */
void follow_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool is_over(const struct follow *self)
{
    uint64_t limit_ms = self->options->timeout_ms;
    return limit_ms != 0 && clock_mono_ms() - self->start_ms >= limit_ms;
}

static void show_status(struct follow *self)
{
    if (!self->terminal.live || self->doc.id == NULL)
        return;
    owned_buf line = BUF_INIT;
    double elapsed_s = (double)(clock_mono_ms() - self->start_ms) / 1000;
    report_status(&self->doc, elapsed_s, self->ticks++, terminal_width(&self->terminal) - 1, &line);
    terminal_status(&self->terminal, buf_str(&line));
}

static bool on_tick(void *arg, uint64_t sent, uint64_t to_send)
{
    struct follow *self = arg;
    (void)sent;
    (void)to_send;
    show_status(self);
    return follow_interrupted() || is_over(self);
}

static bool keep_failure(void *arg, const json_t *item)
{
    struct follow *self = arg;
    const struct report_failure failure = {
        .project = json_in_str(item, "project", ""),
        .test = json_in_str(item, "test", ""),
        .outcome = json_in_str(item, "outcome", "failed"),
        .message = json_in_str(item, "message", NULL),
    };
    if (self->group++ == FAILURES_PER_GROUP) {
        terminal_printf(&self->terminal, "  … and more: testmesh tests %s --failed\n",
                        self->options->id);
        return false;
    }
    owned_buf lines = BUF_INIT;
    report_failure(&failure, self->terminal.colour, &lines);
    if (!self->options->json || self->terminal.live)
        terminal_print(&self->terminal, &lines);
    if (self->failure_count == FAILURES_KEPT) {
        self->failures_more++;
        return true;
    }
    self->failures = mem_grow(self->failures, &self->failure_capacity, self->failure_count + 1,
                              sizeof(*self->failures));
    self->failures[self->failure_count++] = (struct failure){
        .project = mem_strdup(failure.project),
        .test = mem_strdup(failure.test),
        .outcome = mem_strdup(failure.outcome),
        .message = failure.message != NULL ? mem_strdup(failure.message) : NULL,
    };
    return true;
}

/* Details are a comfort: where the node does not give them the counts still tell the truth. */
static void show_failures(struct follow *self, const struct doc_module *module)
{
    static const char *const outcomes[] = {"failed", "error"};
    const uint64_t counts[] = {module->counts.failed, module->counts.errors};
    self->group = 0;
    for (size_t i = 0; i < countof(outcomes); i++) {
        struct err err = ERR_INIT;
        const struct client_test_query query = {
            .id = self->options->id,
            .project = self->doc.projects[module->project].name,
            .module = module->path,
            .outcome = outcomes[i],
            .detail = true,
            .limit = FAILURES_PER_GROUP + 1,
        };
        if (counts[i] > 0 && self->group <= FAILURES_PER_GROUP &&
            client_each_test(self->http, &query, keep_failure, self, &err) != 0)
            terminal_printf(&self->terminal, "  (no details: %s)\n", err.text);
    }
}

/* How a fetch ended, and each time that it has to begin anew. */
static void show_fetches(struct follow *self)
{
    for (size_t i = 0; i < self->doc.project_count; i++) {
        const struct doc_project *project = &self->doc.projects[i];
        const struct doc_fetch *fetch = &project->fetch;
        if (fetch->phase == NULL || (doc_is_fetching(fetch) && !fetch->has_next_try))
            continue;
        owned_mem char *what =
            mem_printf("fetch %s %llu", fetch->phase, (unsigned long long)fetch->tries);
        bool is_bad = strcmp(fetch->phase, "done") != 0;
        if (!seen_add(&self->seen, project->name, what) || (self->terminal.live && !is_bad))
            continue;
        owned_buf line = BUF_INIT;
        report_fetch(project, self->terminal.colour, &line);
        terminal_print(&self->terminal, &line);
    }
}

static void show_news(struct follow *self)
{
    bool quiet = self->options->json && !self->terminal.live;
    if (!quiet)
        show_fetches(self);
    for (size_t i = 0; i < self->doc.module_count; i++) {
        const struct doc_module *module = &self->doc.modules[i];
        const char *project = self->doc.projects[module->project].name;
        if (module->state != DOC_DONE || !seen_add(&self->seen, project, module->path))
            continue;
        bool bad = module->counts.failed + module->counts.errors > 0;
        if (!quiet && (bad || !self->terminal.live)) {
            owned_buf line = BUF_INIT;
            report_module(&self->doc, module, self->terminal.colour, &line);
            terminal_print(&self->terminal, &line);
        }
        if (bad && !quiet)
            show_failures(self, module);
    }
}

static int take_answer(struct follow *self, struct http_answer *answer, struct err *err)
{
    struct doc doc = {0};
    int rc = doc_read_answer(&doc, buf_str(&answer->body), answer->body.len, err);
    if (rc != 0)
        return rc;
    doc_fini(&self->doc);
    self->doc = doc;
    memcpy(self->etag, answer->etag, sizeof(self->etag));
    buf_fini(&self->body);
    self->body = answer->body;
    answer->body = (struct buf)BUF_INIT;
    show_news(self);
    return 0;
}

static void pause_ms(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static bool gives_hope(const struct follow *self, const struct err *err)
{
    bool passing =
        err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_BUSY;
    return passing && self->doc.id != NULL && clock_mono_ms() - self->answered_ms < PATIENCE_MS;
}

/* Asks once for news; the node holds its answer for a second, or until all is done. Returns 0 also
 * where the node is away for a moment. */
static int ask(struct follow *self, struct err *err)
{
    owned_answer answer = {0};
    owned_mem char *path =
        mem_printf("/evaluation/%s%s", self->options->id, self->doc.id != NULL ? "?wait=1" : "");
    struct http_request request = {.path = path, .if_none_match = self->etag};
    uint64_t asked_ms = clock_mono_ms();
    int rc = http_expect(self->http, &request, &answer, err);
    if (rc != 0 && gives_hope(self, err)) {
        terminal_status(&self->terminal, "the node does not answer; trying again");
        pause_ms(PAUSE_MS * 3);
        return 0;
    }
    if (rc != 0)
        return rc;
    self->answered_ms = clock_mono_ms();
    if (answer.status != 304)
        rc = take_answer(self, &answer, err);
    show_status(self);
    if (rc == 0 && !self->doc.final && self->answered_ms - asked_ms < PAUSE_MS)
        pause_ms(PAUSE_MS - (self->answered_ms - asked_ms));
    return rc;
}

static void show_failures_again(struct follow *self)
{
    if (self->failure_count == 0)
        return;
    owned_buf lines = BUF_INIT;
    buf_puts(&lines, "\nFailures:\n");
    for (size_t i = 0; i < self->failure_count; i++) {
        const struct failure *failure = &self->failures[i];
        report_failure(&(struct report_failure){failure->project, failure->test, failure->outcome,
                                                failure->message},
                       self->terminal.colour, &lines);
    }
    if (self->failures_more > 0)
        buf_printf(&lines, "  … and %zu more: testmesh tests %s --failed\n", self->failures_more,
                   self->options->id);
    terminal_print(&self->terminal, &lines);
}

static void show_end(struct follow *self)
{
    terminal_clear(&self->terminal);
    if (self->options->json) {
        buf_putc(&self->body, '\n');
        verb_print(&self->body);
        return;
    }
    show_failures_again(self);
    owned_buf table = BUF_INIT;
    buf_putc(&table, '\n');
    report_table(&self->doc, terminal_width(&self->terminal), self->terminal.colour, &table);
    terminal_print(&self->terminal, &table);
}

static int finish(struct follow *self)
{
    if (self->doc.final) {
        show_end(self);
        return doc_exit_code(&self->doc, self->options->fail_under);
    }
    if (self->doc.id != NULL)
        show_end(self);
    const char *why = follow_interrupted() ? "interrupted" : "the time is over";
    fprintf(stderr,
            "testmesh: %s; evaluation %s goes on\n"
            "  testmesh watch %s     to follow it again\n"
            "  testmesh cancel %s    to stop it\n",
            why, self->options->id, self->options->id, self->options->id);
    return follow_interrupted() ? CLI_INTERRUPTED : CLI_TIME;
}

static void follow_fini(struct follow *self)
{
    for (size_t i = 0; i < self->failure_count; i++) {
        free(self->failures[i].project);
        free(self->failures[i].test);
        free(self->failures[i].outcome);
        free(self->failures[i].message);
    }
    free(self->failures);
    seen_fini(&self->seen);
    doc_fini(&self->doc);
    buf_fini(&self->body);
}

int follow_evaluation(struct http_client *http, const struct follow_options *options)
{
    struct follow self = {.http = http, .options = options, .start_ms = clock_mono_ms()};
    struct err err = ERR_INIT;
    self.answered_ms = self.start_ms;
    terminal_init(&self.terminal, options->json ? stderr : stdout);
    follow_catch_signals();
    http_on_tick(http, on_tick, &self);
    int rc = 0;
    while (rc == 0 && !self.doc.final && !follow_interrupted() && !is_over(&self))
        rc = ask(&self, &err);
    http_on_tick(http, NULL, NULL);
    terminal_clear(&self.terminal);
    int code = rc != 0 && err.code != ERR_CANCELLED ? verb_fail(&err) : finish(&self);
    follow_fini(&self);
    return code;
}
