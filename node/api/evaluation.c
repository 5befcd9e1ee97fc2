/* evaluation: GET /evaluation, GET and DELETE /evaluation/<id>, and answers that wait for the end.
 */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX     1000

/* ---- pieces of JSON -------------------------------------------------------------------------- */

static void put_percentages(struct json_out *out, const struct summary_marks *marks)
{
    json_out_key_real(out, "%passed", marks->passed_e4 / 1e4, 4);
    json_out_key_real(out, "%failed", marks->failed_e4 / 1e4, 4);
}

static void put_mark(struct json_out *out, const char *key, bool is_known, uint32_t nota_e5)
{
    json_out_key(out, key);
    if (is_known)
        json_out_real(out, nota_e5 / 1e5, 5);
    else
        json_out_null(out);
}

static void put_seconds(struct json_out *out, const char *key, uint64_t ms)
{
    json_out_key_real(out, key, (double)ms / 1e3, 3);
}

static void put_time(struct json_out *out, const char *key, uint64_t wall_ms)
{
    char when[CLOCK_TEXT];
    json_out_key_str(out, key, clock_format(wall_ms, when));
}

static void put_limit(struct json_out *out, const struct doc_limit *limit)
{
    if (!limit->name)
        return;
    json_out_key(out, "limit");
    json_out_open_object(out);
    json_out_key_str(out, "name", limit->name);
    json_out_key_uint(out, "used", limit->used);
    json_out_key_uint(out, "allowed", limit->allowed);
    json_out_close_object(out);
}

/* Nobody to blame is null here. */
static const char *blame_name(enum doc_blame blame)
{
    return blame == DOC_BLAME_NONE ? NULL : doc_blame_name(blame);
}

static void put_module(struct json_out *out, const struct summary_module *module)
{
    json_out_open_object(out);
    put_percentages(out, &module->marks);
    json_out_key_uint(out, "passed", module->tally.passed + module->tally.xpassed);
    json_out_key_uint(out, "failed", module->tally.failed);
    json_out_key_uint(out, "errors", module->tally.errors);
    json_out_key_uint(out, "skipped", module->tally.skipped);
    json_out_key_uint(out, "xfailed", module->tally.xfailed);
    json_out_key_uint(out, "xpassed", module->tally.xpassed);
    json_out_key_uint(out, "deselected", module->tally.deselected);
    put_seconds(out, "time", module->ms);
    json_out_key_str(out, "status", summary_phase_name(module->phase));
    json_out_key_str(out, "outcome", doc_outcome_name(module->outcome));
    json_out_key_str(out, "blame", blame_name(module->blame));
    json_out_key_str(out, "node", module->addr);
    json_out_key_uint(out, "attempts", module->attempts);
    json_out_key_bool(out, "cached", module->cached);
    if (module->rec) {
        char tier[2] = {module->rec->tier, '\0'};
        json_out_key_str(out, "message", module->rec->message);
        json_out_key_str(out, "tier", tier[0] ? tier : NULL);
        json_out_key_int(out, "exit_code", module->rec->exit_code);
        put_limit(out, &module->rec->limit);
    }
    json_out_close_object(out);
}

static void put_project(struct json_out *out, const struct summary_project *project)
{
    json_out_open_object(out);
    put_percentages(out, &project->marks);
    put_mark(out, "nota", project->has_nota, project->marks.nota_e5);
    json_out_key_uint(out, "executed", project->executed);
    json_out_key_uint(out, "executing", project->executing);
    json_out_key_uint(out, "pending", project->pending);
    put_seconds(out, "time", project->ms);
    json_out_key_str(out, "source", project->source);
    json_out_key_str(out, "requirements", project->requirements);
    json_out_key_uint(out, "passed", summary_good(&project->tally));
    json_out_key_uint(out, "failed", project->tally.failed);
    json_out_key_uint(out, "errors", project->tally.errors);
    json_out_key_uint(out, "skipped", project->tally.skipped);
    json_out_key_str(out, "status", summary_phase_name(project->phase));
    json_out_key_str(out, "outcome", doc_outcome_name(project->outcome));
    json_out_key_str(out, "blame", blame_name(project->blame));
    json_out_key_str(out, "message", project->message);
    json_out_close_object(out);
}

static void put_run_info(struct json_out *out, const struct summary *summary)
{
    json_out_key(out, "_run_info");
    json_out_open_object(out);
    json_out_key_uint(out, "errors", summary->tally.errors);
    put_percentages(out, &summary->marks);
    json_out_key_real(out, "nota", summary->marks.nota_e5 / 1e5, 5);
    put_mark(out, "mean_nota", summary->has_mean_nota, summary->mean_nota_e5);
    put_seconds(out, "eval_time", summary->eval_ms);
    json_out_close_object(out);
}

static void put_module_results(struct json_out *out, const struct summary *summary)
{
    json_out_key(out, "module_results");
    json_out_open_object(out);
    for (size_t p = 0; p < summary->project_count; p++) {
        const struct summary_project *project = &summary->projects[p];
        json_out_key(out, project->name);
        json_out_open_object(out);
        for (size_t m = 0; m < project->module_count; m++) {
            const struct summary_module *module = &summary->modules[project->first_module + m];
            json_out_key(out, module->path);
            put_module(out, module);
        }
        json_out_close_object(out);
    }
    json_out_close_object(out);
}

static void put_ignored(struct json_out *out, const struct doc *doc)
{
    json_out_key(out, "ignored");
    json_out_open_array(out);
    for (size_t i = 0; i < doc->req->ignored_count; i++) {
        json_out_open_object(out);
        json_out_key_str(out, "path", doc->req->ignored[i].path);
        json_out_key_str(out, "why", doc->req->ignored[i].why);
        json_out_close_object(out);
    }
    json_out_close_array(out);
}

static void put_document(struct buf *text, const struct doc *doc, const struct summary *summary)
{
    struct json_out out;
    char id[ID_EVAL_TEXT];
    json_out_init(&out, text);
    json_out_open_object(&out);
    json_out_key_str(&out, "id", id_eval_format(summary->id, id));
    json_out_key_str(&out, "name", summary->name);
    json_out_key_str(&out, "status", summary_status_name(summary->status));
    put_time(&out, "submitted_at", summary->created_ms);
    put_run_info(&out, summary);
    if (summary->incomplete)
        json_out_key_bool(&out, "incomplete", true);
    json_out_key_uint(&out, "executed", summary->executed);
    json_out_key_uint(&out, "executing", summary->executing);
    json_out_key_uint(&out, "pending", summary->pending);
    put_module_results(&out, summary);
    json_out_key(&out, "projects");
    json_out_open_object(&out);
    for (size_t p = 0; p < summary->project_count; p++) {
        json_out_key(&out, summary->projects[p].name);
        put_project(&out, &summary->projects[p]);
    }
    json_out_close_object(&out);
    put_ignored(&out, doc);
    json_out_close_object(&out);
    buf_putc(text, '\n');
}

/* ---- GET /evaluation/<id> -------------------------------------------------------------------- */

const struct doc *evaluation_find(struct api *self, struct http_exchange *x, uint64_t *id)
{
    const char *text = http_param(x, "id");
    struct err err = ERR_INIT;
    const struct doc *doc = NULL;
    if (!id_eval_parse(text, id))
        err_refuse(&err, ERR_NOT_FOUND, "evaluation-not-found",
                   "\"%.40s\" is not the id of an evaluation", text);
    else if (!(doc = store_find(self->config.store, *id, &err)) && err.code == ERR_NOT_FOUND)
        err_refuse(&err, ERR_NOT_FOUND, "evaluation-not-found", "there is no evaluation %s", text);
    if (!doc)
        http_reply_problem(x, &err);
    return doc;
}

static void answer_document(struct api *self, struct http_exchange *x, const struct doc *doc)
{
    struct evals_live live;
    evals_live(self->config.evals, doc->id, &live);
    owned_mem char *tag =
        mem_printf("%" PRIx64 "-%" PRIx64, doc->digest, doc_is_final(doc) ? 0 : live.revision);
    if (!http_not_modified(x, tag)) {
        owned_summary summary;
        owned_buf text = BUF_INIT;
        summary_init(&summary, doc, &live.live);
        put_document(&text, doc, &summary);
        http_reply_json(x, 200, &text);
    }
    evals_live_fini(&live);
}

int evaluation_wait_seconds(const struct http_exchange *x, int64_t *seconds, struct err *err)
{
    return http_query_int(x, "wait", 0, 0, WAIT_MAX_S, seconds, err);
}

void evaluation_show(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    struct err err = ERR_INIT;
    uint64_t id;
    int64_t seconds;
    if (evaluation_wait_seconds(x, &seconds, &err)) {
        http_reply_problem(x, &err);
        return;
    }
    const struct doc *doc = evaluation_find(self, x, &id);
    if (!doc)
        return;
    if (seconds > 0 && !doc_is_final(doc))
        evaluation_wait(self, x, id, seconds);
    else
        answer_document(self, x, doc);
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct waiter {
    struct api *api;
    struct http_exchange *x;
    uint64_t id;
    struct event *timer;
    struct waiter *next;
};

static void waiter_free(struct waiter *waiter)
{
    struct waiter **at = &waiter->api->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    event_free(waiter->timer);
    free(waiter);
}

static void on_waiter_gone(void *arg) { waiter_free(arg); }

static void answer_waiter(struct waiter *waiter)
{
    struct api *self = waiter->api;
    struct http_exchange *x = waiter->x;
    struct err err = ERR_INIT;
    const struct doc *doc = store_find(self->config.store, waiter->id, &err);
    waiter_free(waiter);
    http_on_gone(x, NULL, NULL);
    if (doc)
        answer_document(self, x, doc);
    else
        http_reply_problem(x, &err);
}

static void on_waited(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    answer_waiter(arg);
}

void evaluation_wait(struct api *self, struct http_exchange *x, uint64_t id, int64_t seconds)
{
    struct waiter *waiter = mem_new(sizeof *waiter);
    *waiter = (struct waiter){.api = self, .x = x, .id = id, .next = self->waiters};
    waiter->timer = event_new(self->config.base, -1, 0, on_waited, waiter);
    event_add(waiter->timer, &(struct timeval){.tv_sec = seconds});
    self->waiters = waiter;
    http_on_gone(x, on_waiter_gone, waiter);
}

void evaluation_final(void *arg, uint64_t id)
{
    struct api *self = arg;
    for (struct waiter *waiter = self->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->id == id)
            answer_waiter(waiter);
    }
}

void evaluation_free_waiters(struct api *self)
{
    while (self->waiters)
        waiter_free(self->waiters);
}

/* ---- DELETE /evaluation/<id> ----------------------------------------------------------------- */

struct cancel {
    struct api *api;
    struct http_exchange *x; /* NULL: the client has left */
    uint64_t id;
};

static void on_cancel_gone(void *arg) { ((struct cancel *)arg)->x = NULL; }

static void on_cancelled(void *arg, const struct err *err, unsigned changed)
{
    (void)changed;
    owned_mem struct cancel *cancel = arg;
    if (!cancel->x)
        return;
    http_on_gone(cancel->x, NULL, NULL);
    if (err && err->code != ERR_NONE) {
        http_reply_problem(cancel->x, err);
        return;
    }
    owned_buf text = BUF_INIT;
    struct json_out out;
    char id[ID_EVAL_TEXT];
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_str(&out, "id", id_eval_format(cancel->id, id));
    json_out_key_str(&out, "status", "cancelling");
    json_out_close_object(&out);
    buf_putc(&text, '\n');
    http_set_headerf(cancel->x, "Location", "/evaluation/%s", id);
    http_reply_json(cancel->x, 202, &text);
}

void evaluation_cancel(struct http_exchange *x, void *arg)
{
    struct api *self = arg;
    uint64_t id;
    const struct doc *doc = evaluation_find(self, x, &id);
    if (!doc)
        return;
    if (doc_is_final(doc)) {
        struct err err = ERR_INIT;
        err_refuse(&err, ERR_CONFLICT, "evaluation-over", "the evaluation is over already");
        http_reply_problem(x, &err);
        return;
    }
    struct cancel *cancel = mem_new(sizeof *cancel);
    *cancel = (struct cancel){.api = self, .x = x, .id = id};
    http_on_gone(x, on_cancel_gone, cancel);
    evals_cancel(self->config.evals, id, on_cancelled, cancel);
}

/* ---- GET /evaluation ------------------------------------------------------------------------- */

struct listing {
    struct api *api;
    struct json_out ids;
    struct json_out items;
    size_t left;
    bool has_status;
    enum summary_status status;
    uint64_t last_ms;
    uint64_t last_id;
    bool is_cut;
};

static void put_entry(struct json_out *out, const struct store_entry *entry)
{
    char id[ID_EVAL_TEXT];
    json_out_open_object(out);
    json_out_key_str(out, "id", id_eval_format(entry->id, id));
    json_out_key_str(out, "name", entry->name);
    json_out_key_str(out, "status", summary_status_name(entry->status));
    put_time(out, "submitted_at", entry->created_ms);
    json_out_key_uint(out, "projects", entry->projects);
    json_out_key_uint(out, "modules", entry->modules);
    json_out_key_real(out, "%passed", entry->marks.passed_e4 / 1e4, 4);
    json_out_key_real(out, "nota", entry->marks.nota_e5 / 1e5, 5);
    put_mark(out, "mean_nota", entry->has_mean_nota, entry->mean_nota_e5);
    json_out_close_object(out);
}

static bool list_entry(void *arg, const struct store_entry *entry)
{
    struct listing *listing = arg;
    char id[ID_EVAL_TEXT];
    if (listing->has_status && entry->status != listing->status)
        return true;
    if (listing->left == 0) {
        listing->is_cut = true;
        return false;
    }
    listing->left--;
    listing->last_ms = entry->created_ms;
    listing->last_id = entry->id;
    json_out_str(&listing->ids, id_eval_format(entry->id, id));
    put_entry(&listing->items, entry);
    return true;
}

/* "<created_ms>-<id>" of the last entry that was shown. */
static int read_cursor(const char *cursor, uint64_t *ms, uint64_t *id, struct err *err)
{
    int used = 0;
    *ms = *id = UINT64_MAX;
    if (!cursor)
        return 0;
    if (sscanf(cursor, "%" SCNu64 "-%" SCNu64 "%n", ms, id, &used) != 2 || cursor[used])
        return err_refuse(err, ERR_INVALID, "bad-query", "cursor: not one of ours");
    return 0;
}

void evaluation_list(struct http_exchange *x, void *arg)
{
    struct listing listing = {.api = arg};
    struct err err = ERR_INIT;
    int64_t limit;
    uint64_t before_ms;
    uint64_t before_id;
    const char *status = http_query(x, "status");
    if (http_query_int(x, "limit", LIST_LIMIT_DEFAULT, 1, LIST_LIMIT_MAX, &limit, &err) ||
        read_cursor(http_query(x, "cursor"), &before_ms, &before_id, &err)) {
        http_reply_problem(x, &err);
        return;
    }
    listing.has_status = status != NULL;
    if (status && !summary_status_parse(status, &listing.status)) {
        err_refuse(&err, ERR_INVALID, "bad-query", "status: \"%.40s\" is not a status", status);
        http_reply_problem(x, &err);
        return;
    }
    owned_buf ids = BUF_INIT;
    owned_buf text = BUF_INIT;
    owned_buf items = BUF_INIT;
    listing.left = (size_t)limit;
    json_out_init(&listing.ids, &ids);
    json_out_init(&listing.items, &items);
    json_out_open_array(&listing.ids);
    json_out_open_array(&listing.items);
    store_each(listing.api->config.store, before_ms, before_id, list_entry, &listing);
    json_out_close_array(&listing.ids);
    json_out_close_array(&listing.items);
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key(&out, "evaluations");
    json_out_raw(&out, ids.data, ids.len);
    json_out_key(&out, "items");
    json_out_raw(&out, items.data, items.len);
    owned_mem char *next =
        listing.is_cut ? mem_printf("%" PRIu64 "-%" PRIu64, listing.last_ms, listing.last_id)
                       : NULL;
    json_out_key_str(&out, "next", next);
    json_out_close_object(&out);
    buf_putc(&text, '\n');
    http_reply_json(x, 200, &text);
}
