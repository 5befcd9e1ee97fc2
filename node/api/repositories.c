#include "node/api/repositories.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/git/reason.h"
#include "runner/intake/fold.h"
#include "runner/intake/layout.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

struct item {
    struct repositories *batch;
    struct git_url url;
    struct fetch *fetch;
    bool is_started;
    struct intake_project project; /* at the end */
    struct intake_result notes;    /* its ignored and remarks */
};

struct repositories {
    struct repositories_pool *pool;
    struct repositories *next;
    const struct git_request *request;
    const struct git_url *token_for; /* the first: its host is the one that sees the token */
    char *folder;
    struct item *items;
    size_t left; /* items that have not ended */
    uint64_t deadline_ms;
    repositories_done_fn *done;
    void *arg;
};

struct repositories_pool {
    struct event_base *base;
    struct repositories_config config;
    struct repositories *batches; /* whose turn it is first */
    unsigned running;
    struct repositories_stats stats; /* but for `running` */
    struct event *turn;              /* what may be started or is over, looked at from the loop */
};

/* ---- the result ------------------------------------------------------------------------------ */

static bool is_taken(const struct intake_result *result, const char *name)
{
    char want[2 * LAYOUT_NAME_MAX];
    char have[2 * LAYOUT_NAME_MAX];
    fold_path(name, want, sizeof want);
    for (size_t i = 0; i < result->project_count; i++) {
        fold_path(result->projects[i].name, have, sizeof have);
        if (strcmp(want, have) == 0)
            return true;
    }
    return false;
}

/* Returns owned: the project's own name, or with a number behind it where that is taken. */
static char *name_for(const struct intake_result *result, const char *raw)
{
    char clean[LAYOUT_NAME_MAX + 1];
    char name[LAYOUT_NAME_MAX + 1];
    layout_name_clean(raw, clean);
    memcpy(name, clean, sizeof name);
    for (unsigned number = 2; is_taken(result, name); number++)
        layout_name_number(clean, number, name);
    return mem_strdup(name);
}

static void take_notes(struct intake_note **to, size_t *count, const struct intake_note *from,
                       size_t from_count, const char *project)
{
    *to = mem_resize(*to, *count + from_count + 1, sizeof **to);
    for (size_t i = 0; i < from_count; i++)
        (*to)[(*count)++] = (struct intake_note){mem_printf("%s/%s", project, from[i].path),
                                                 mem_strdup(from[i].why)};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct intake_project *)a)->name,
                  ((const struct intake_project *)b)->name);
}

/* Names are given in the order of the request, so that the first of two has the plain one. */
static void collect(struct repositories *self, struct intake_result *out)
{
    size_t count = self->request->url_count;
    *out = (struct intake_result){.projects = mem_new_array(count, sizeof *out->projects)};
    for (size_t i = 0; i < count; i++) {
        struct item *item = &self->items[i];
        struct intake_result *notes = &item->notes;
        char *name = name_for(out, item->project.name);
        free(item->project.name);
        item->project.name = name;
        take_notes(&out->ignored, &out->ignored_count, notes->ignored, notes->ignored_count, name);
        take_notes(&out->remarks, &out->remark_count, notes->remarks, notes->remark_count, name);
        out->ignored_more += notes->ignored_more;
        out->remarks_more += notes->remarks_more;
        out->projects[out->project_count++] = item->project;
        item->project = (struct intake_project){0};
    }
    qsort(out->projects, count, sizeof *out->projects, by_name);
}

/* ---- one of them ----------------------------------------------------------------------------- */

static char *source_of(const struct item *item, const char *commit)
{
    struct buf text = BUF_INIT;
    git_url_put(&item->url, commit, &text);
    return buf_steal(&text);
}

static void fail(struct item *self, const char *source, const struct err *err)
{
    bool is_projects = git_reason_is_projects(err->reason);
    self->project.failure = mem_printf("%s (%s)", err->text, err_name(err));
    self->project.is_clusters = !is_projects;
    self->project.source = mem_strdup(source);
    if (is_projects)
        self->batch->pool->stats.failed_projects++;
    else
        self->batch->pool->stats.failed_clusters++;
    log_info("repository_failed", "reason=%s blame=%s source=%s text=%s", err_name(err),
             is_projects ? "project" : "cluster", source, err->text);
}

/* As fail(), for what is wrong with the tree. */
static void name_failure(struct intake_project *project)
{
    char *words = project->failure;
    if (!words)
        return;
    project->failure = mem_printf("%s (%s)", words, project->reason);
    free(words);
}

static void on_fetched(void *arg, struct intake_result *result, const struct fetch_facts *facts,
                       const struct err *err)
{
    struct item *self = arg;
    struct repositories *batch = self->batch;
    owned_mem char *source = source_of(self, facts->commit);
    self->fetch = NULL;
    if (result) {
        free(self->project.name);
        self->project = result->projects[0];
        self->project.source = steal_ptr(&source);
        name_failure(&self->project);
        result->projects[0] = (struct intake_project){0};
        result->project_count = 0;
        self->notes = *result;
        *result = (struct intake_result){0};
        batch->pool->stats.fetched++;
        batch->pool->stats.bytes += facts->received_bytes;
        log_info("repository_fetched", "source=%s bytes=%" PRIu64 " tries=%u", self->project.source,
                 facts->received_bytes, facts->tries);
    } else {
        fail(self, source, err);
    }
    batch->left--;
    batch->pool->running--;
    event_active(batch->pool->turn, 0, 0);
}

/* One token is for one host: a second one that the request names shall not learn it. */
static const char *token_for(const struct item *self)
{
    const struct git_url *first = self->batch->token_for;
    bool is_same = strcmp(first->host, self->url.host) == 0 && first->port == self->url.port;
    return is_same ? self->batch->request->token : NULL;
}

static void start(struct item *self, size_t number)
{
    struct repositories *batch = self->batch;
    uint64_t now = clock_mono_ms();
    struct err err = ERR_INIT;
    owned_mem char *out = mem_printf("%s/git-%zu", batch->folder, number);
    self->is_started = true;
    if (now >= batch->deadline_ms)
        err_refuse(&err, ERR_UNAVAILABLE, "repo-timeout",
                   "the time for all repositories of the request was over before its turn");
    else
        self->fetch = fetch_start(batch->pool->base,
                                  &(struct fetch_spec){.policy = &batch->pool->config.policy,
                                                       .url = &self->url,
                                                       .token = token_for(self),
                                                       .out_dir = out,
                                                       .timeout_ms = batch->deadline_ms - now},
                                  on_fetched, self, &err);
    if (self->fetch) {
        batch->pool->running++;
        return;
    }
    owned_mem char *source = source_of(self, NULL);
    fail(self, source, &err);
    batch->left--;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool start_next(struct repositories *self)
{
    for (size_t i = 0; i < self->request->url_count; i++) {
        if (!self->items[i].is_started) {
            start(&self->items[i], i);
            return true;
        }
    }
    return false;
}

static void unlink_batch(struct repositories *self)
{
    struct repositories **at = &self->pool->batches;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
}

/* The first goes to the end, so that a request of hundreds does not keep a small one waiting. */
static void rotate(struct repositories_pool *self)
{
    struct repositories *first = self->batches;
    struct repositories **at = &self->batches;
    unlink_batch(first);
    while (*at)
        at = &(*at)->next;
    first->next = NULL;
    *at = first;
}

static void batch_free(struct repositories *self)
{
    for (size_t i = 0; i < self->request->url_count; i++) {
        struct intake_result *notes = &self->items[i].notes;
        struct intake_project *project = &self->items[i].project;
        if (self->items[i].fetch) {
            fetch_cancel(self->items[i].fetch);
            self->pool->running--;
        }
        if (project->name) { /* one that nobody took: freed as a result of one project */
            free(notes->projects);
            notes->projects = mem_dup(project, sizeof *project);
            notes->project_count = 1;
        }
        intake_result_fini(notes);
    }
    free(self->items);
    free(self->folder);
    free(self);
}

static void finish(struct repositories *self)
{
    struct intake_result result;
    unlink_batch(self);
    collect(self, &result);
    repositories_done_fn *done = self->done;
    void *arg = self->arg;
    batch_free(self);
    done(arg, &result);
    intake_result_fini(&result);
}

static struct repositories *find_finished(const struct repositories_pool *self)
{
    struct repositories *at = self->batches;
    while (at && at->left > 0)
        at = at->next;
    return at;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct repositories_pool *self = arg;
    (void)fd;
    (void)what;
    size_t idle = 0, batches = 0;
    for (struct repositories *at = self->batches; at; at = at->next)
        batches++;
    while (idle < batches && self->running < self->config.at_once) {
        idle = start_next(self->batches) ? 0 : idle + 1;
        rotate(self);
    }
    struct repositories *finished = find_finished(self);
    if (finished) {
        event_active(self->turn, 0, 0); /* there may be another one */
        finish(finished);
    }
}

/* ---- a request ------------------------------------------------------------------------------- */

/* What may be told again of text that is no URL which we take: it may hold a password. */
static const char *shown(const char *url)
{
    return strpbrk(url, "@?#") || strlen(url) > GIT_URL_MAX ? "(a URL that may hold a secret)"
                                                            : url;
}

/* Reads the URLs. Returns how many there are to fetch; `err` has what is wrong with the first. */
static size_t read_urls(struct repositories *self, struct err *err)
{
    size_t good = 0;
    for (size_t i = 0; i < self->request->url_count; i++) {
        struct item *item = &self->items[i];
        struct err why = ERR_INIT;
        item->batch = self;
        if (git_url_parse(&item->url, self->request->urls[i], &self->pool->config.policy.hosts,
                          &why) == 0) {
            item->project.name = mem_strdup(git_url_name(&item->url));
            if (!self->token_for)
                self->token_for = &item->url;
            good++;
            continue;
        }
        item->is_started = true;
        item->project.name = mem_printf("project-%zu", i + 1);
        fail(item, shown(self->request->urls[i]), &why);
        if (err->code == ERR_NONE)
            err_refuse(err, why.code, why.reason, "projects[%zu]: %.400s", i, why.text);
    }
    return good;
}

struct repositories *repositories_start(struct repositories_pool *pool,
                                        const struct git_request *request, const char *folder,
                                        repositories_done_fn *done, void *arg, struct err *err)
{
    struct repositories *self = mem_new(sizeof *self);
    *self = (struct repositories){.pool = pool,
                                  .request = request,
                                  .folder = mem_strdup(folder),
                                  .items = mem_new_array(request->url_count, sizeof *self->items),
                                  .deadline_ms = clock_mono_ms() + pool->config.timeout_ms,
                                  .done = done,
                                  .arg = arg};
    struct err first = ERR_INIT;
    self->left = read_urls(self, &first);
    if (self->left == 0) {
        *err = first;
        batch_free(self);
        return NULL;
    }
    self->next = pool->batches;
    pool->batches = self;
    event_active(pool->turn, 0, 0);
    return self;
}

void repositories_cancel(struct repositories *self)
{
    struct repositories_pool *pool = self->pool;
    unlink_batch(self);
    batch_free(self);
    event_active(pool->turn, 0, 0);
}

struct repositories_pool *repositories_pool_new(struct event_base *base,
                                                const struct repositories_config *config)
{
    struct repositories_pool *self = mem_new(sizeof *self);
    *self = (struct repositories_pool){.base = base, .config = *config};
    self->turn = event_new(base, -1, EV_PERSIST, on_turn, self);
    return self;
}

struct repositories_stats repositories_pool_stats(const struct repositories_pool *self)
{
    struct repositories_stats stats = self->stats;
    stats.running = self->running;
    return stats;
}

void repositories_pool_free(struct repositories_pool *self)
{
    if (!self)
        return;
    event_free(self->turn);
    free(self);
}
