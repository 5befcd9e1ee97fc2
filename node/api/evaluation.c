/* evaluation: GET /evaluation, GET and DELETE /evaluation/<id>, and answers that wait for the end.
 */
#include "node/api/internal.h"

#include "proto/base/mem.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX     1000

/* ---- GET /evaluation/<id> -------------------------------------------------------------------- */

/* A final document is kept as text: when a class ends, all who waited get the same. */
static void keep_text(struct api *self, const char *tag, const struct buf *text)
{
    free(self->final_tag);
    buf_fini(&self->final_text);
    self->final_tag = mem_strdup(tag);
    buf_append(&self->final_text, text->data, text->len);
}

static void answer_text(struct api *self, struct http_exchange *x, const struct doc *doc,
                        const struct host_live *live, const char *tag, uint64_t stale_ms)
{
    owned_summary summary = {0};
    owned_buf text = BUF_INIT;
    if (doc_is_final(doc) && self->final_tag && strcmp(self->final_tag, tag) == 0) {
        http_reply(x, 200, "application/json", &self->final_text);
        return;
    }
    summary_init(&summary, doc, &live->live);
    document_put(&text, doc, &summary, live, stale_ms);
    if (doc_is_final(doc))
        keep_text(self, tag, &text);
    http_reply_json(x, 200, &text);
}

/* The tag changes with every progress, but not with the clocks of what runs. */
static void answer_document(struct api *self, struct http_exchange *x, const struct doc *doc,
                            uint64_t stale_ms)
{
    struct host_live live;
    host_live(self->config.host, doc->id, &live);
    owned_mem char *tag = mem_printf("%" PRIu64 "-%" PRIx64 "-%" PRIx64, doc->id, doc->digest,
                                     doc_is_final(doc) ? 0 : live.revision);
    if (!http_not_modified(x, tag))
        answer_text(self, x, doc, &live, tag, stale_ms);
    host_live_fini(&live);
}

int evaluation_wait_seconds(const struct http_exchange *x, int64_t *seconds, struct err *err)
{
    return http_query_int(x, "wait", 0, 0, WAIT_MAX_S, seconds, err);
}

static void show(struct api *self, struct http_exchange *x, const struct doc *doc,
                 uint64_t stale_ms)
{
    struct err err = ERR_INIT;
    int64_t seconds;
    if (evaluation_wait_seconds(x, &seconds, &err))
        http_reply_problem(x, &err);
    else if (seconds > 0)
        evaluation_wait(self, x, doc->id, seconds);
    else
        answer_document(self, x, doc, stale_ms);
}

void evaluation_show(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, show); }

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

/* What is final is here; else it is asked for once more. */
static void answer_waiter(struct waiter *waiter)
{
    struct api *self = waiter->api;
    struct http_exchange *x = waiter->x;
    uint64_t id = waiter->id;
    waiter_free(waiter);
    http_on_gone(x, NULL, NULL);
    lookup_id(self, x, id, answer_document);
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
    const struct doc *doc = store_find(self->config.store, id, NULL);
    *waiter = (struct waiter){.api = self, .x = x, .id = id, .next = self->waiters};
    waiter->timer = event_new(self->config.base, -1, 0, on_waited, waiter);
    event_add(waiter->timer, &(struct timeval){.tv_sec = seconds});
    self->waiters = waiter;
    http_on_gone(x, on_waiter_gone, waiter);
    if ((doc && doc_is_final(doc)) || self->is_draining)
        answer_waiter(waiter);
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

void evaluation_answer_waiters(struct api *self)
{
    for (struct waiter *waiter = self->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
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

static void on_cancelled(void *arg, bool is_known)
{
    owned_mem struct cancel *cancel = arg;
    if (!cancel->x)
        return;
    http_on_gone(cancel->x, NULL, NULL);
    if (!is_known) {
        struct err err = ERR_INIT;
        err_refuse(&err, ERR_UNAVAILABLE, "store-not-writable", "the wish could not be kept");
        http_reply_problem(cancel->x, &err);
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

static void cancel(struct api *self, struct http_exchange *x, const struct doc *doc,
                   uint64_t stale_ms)
{
    (void)stale_ms;
    if (doc_is_final(doc)) {
        struct err err = ERR_INIT;
        err_refuse(&err, ERR_CONFLICT, "evaluation-over", "the evaluation is over already");
        http_reply_problem(x, &err);
        return;
    }
    struct cancel *wish = mem_new(sizeof *wish);
    *wish = (struct cancel){.api = self, .x = x, .id = doc->id};
    http_on_gone(x, on_cancel_gone, wish);
    host_cancel(self->config.host, doc->id, on_cancelled, wish);
}

void evaluation_cancel(struct http_exchange *x, void *arg) { lookup_evaluation(arg, x, cancel); }

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
    document_put_time(out, "submitted_at", entry->created_ms);
    json_out_key_uint(out, "projects", entry->projects);
    json_out_key_uint(out, "modules", entry->modules);
    json_out_key_real(out, "%passed", entry->marks.passed_e4 / 1e4, 4);
    json_out_key_real(out, "nota", entry->marks.nota_e5 / 1e5, 5);
    document_put_mark(out, "mean_nota", entry->has_mean_nota, entry->mean_nota_e5);
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

static int read_listing(const struct http_exchange *x, struct listing *listing, uint64_t *before_ms,
                        uint64_t *before_id, struct err *err)
{
    int64_t limit;
    const char *status = http_query(x, "status");
    if (http_query_int(x, "limit", LIST_LIMIT_DEFAULT, 1, LIST_LIMIT_MAX, &limit, err) ||
        read_cursor(http_query(x, "cursor"), before_ms, before_id, err))
        return err->code;
    listing->left = (size_t)limit;
    listing->has_status = status != NULL;
    if (status && !summary_status_parse(status, &listing->status))
        return err_refuse(err, ERR_INVALID, "bad-query", "status: \"%.40s\" is not a status",
                          status);
    return 0;
}

static void answer_list(struct http_exchange *x, const struct listing *listing)
{
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key(&out, "evaluations");
    json_out_raw(&out, listing->ids.to->data, listing->ids.to->len);
    json_out_key(&out, "items");
    json_out_raw(&out, listing->items.to->data, listing->items.to->len);
    owned_mem char *next =
        listing->is_cut ? mem_printf("%" PRIu64 "-%" PRIu64, listing->last_ms, listing->last_id)
                        : NULL;
    json_out_key_str(&out, "next", next);
    json_out_close_object(&out);
    buf_putc(&text, '\n');
    http_reply_json(x, 200, &text);
}

void evaluation_list(struct http_exchange *x, void *arg)
{
    struct listing listing = {.api = arg};
    struct err err = ERR_INIT;
    uint64_t before_ms;
    uint64_t before_id;
    owned_buf ids = BUF_INIT;
    owned_buf items = BUF_INIT;
    if (read_listing(x, &listing, &before_ms, &before_id, &err)) {
        http_reply_problem(x, &err);
        return;
    }
    json_out_init(&listing.ids, &ids);
    json_out_init(&listing.items, &items);
    json_out_open_array(&listing.ids);
    json_out_open_array(&listing.items);
    store_each(listing.api->config.store, before_ms, before_id, list_entry, &listing);
    json_out_close_array(&listing.ids);
    json_out_close_array(&listing.items);
    answer_list(x, &listing);
}
