#include "node/eval/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <string.h>

/* Without history: what a module of so many bytes may take. The order depends on it, and whether
 * other nodes get the project ready to help: with a process, its sandbox and pytest's imports alone
 * at 100 ms to 300 ms, a guess that is too low would leave a new project to its first node. */
#define GUESS_MS_PER_KIB 4
#define GUESS_MS_BASE    300

struct project *executor_project(const struct executor *self, uint64_t eval, uint32_t p)
{
    for (struct project *project = self->projects; project; project = project->next)
        if (project->eval == eval && project->p == p && !project->is_dropped)
            return project;
    return NULL;
}

const struct doc *executor_doc(const struct executor *self, uint64_t eval)
{
    return store_find(self->config.store, eval, NULL);
}

/* ---- what is known at once ------------------------------------------------------------------- */

static void keep_news(struct executor *self, const struct news *news)
{
    struct news **at = &self->news;
    while (*at)
        at = &(*at)->next;
    *at = mem_dup(news, sizeof *news);
    event_active(self->tell_news, 0, 0);
}

void executor_fail(struct executor *self, const struct work *work, enum work_end end)
{
    keep_news(self, &(struct news){.work = *work, .end = end});
}

void executor_want_slot(struct executor *self, const struct work *work)
{
    keep_news(self, &(struct news){.work = *work, .wants_slot = true});
}

static void on_tell_news(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct executor *self = arg;
    const struct executor_events *events = self->config.events;
    while (self->news) {
        owned_mem struct news *news = self->news;
        self->news = news->next;
        if (news->wants_slot)
            events->wants_slot(self->config.arg, &news->work);
        else
            events->ended(self->config.arg, &news->work, news->end, WORK_BLAME_CLUSTER, 0, NULL);
    }
}

/* ---- projects -------------------------------------------------------------------------------- */

static void project_free(struct project *project)
{
    struct project **at = &project->owner->projects;
    while (*at != project)
        at = &(*at)->next;
    *at = project->next;
    prepare_free(project->prepared);
    free(project);
}

void executor_settle(struct project *project)
{
    if (project->is_dropped && !project->is_preparing && !project->is_telling &&
        project->attempts == 0)
        project_free(project);
}

static void drop(struct project *project)
{
    project->is_dropped = true;
    if (project->is_preparing)
        prepare_cancel(project->prepared);
    executor_settle(project);
}

void executor_drop(struct executor *self, uint64_t eval)
{
    for (struct project *project = self->projects, *next; project; project = next) {
        next = project->next;
        if (project->eval == eval && !project->is_dropped)
            drop(project);
    }
}

/* ---- work ------------------------------------------------------------------------------------ */

/* The tree that the project has now: none while its repository is not cloned. */
static bool find_tree(const struct executor *self, const struct work *work, struct hash *out)
{
    const struct doc *doc = executor_doc(self, work->eval);
    struct doc_project source;
    if (!doc || !doc->req || work->p >= doc->req->project_count)
        return false;
    doc_project(doc, work->p, &source);
    *out = source.tree;
    return doc_hash_is_set(&source.bundle);
}

static bool is_of(const struct project *project, const struct hash *tree)
{
    return memcmp(&project->tree, tree, sizeof *tree) == 0;
}

void executor_prepare(struct executor *self, const struct work *work)
{
    struct project *project = executor_project(self, work->eval, work->p);
    struct hash tree;
    bool is_known = find_tree(self, work, &tree);
    bool is_same = is_known && project && is_of(project, &tree);
    if (!is_known || (is_same && project->is_preparing)) {
        executor_fail(self, work, WORK_UNPREPARED);
        return;
    }
    /* A chore that failed before, or that was of another commit. */
    if (project && (!is_same || !project->has_modules)) {
        drop(project);
        project = NULL;
    }
    if (!project) {
        project = mem_new(sizeof *project);
        *project = (struct project){.owner = self, .eval = work->eval, .p = work->p, .tree = tree};
        project->next = self->projects;
        self->projects = project;
    }
    project->chore = *work;
    project->started_ms = clock_mono_ms();
    project->is_preparing = true;
    project_prepare(project, executor_doc(self, work->eval));
}

void executor_start(struct executor *self, const struct work *work, unsigned slot)
{
    struct project *project = executor_project(self, work->eval, work->p);
    struct hash tree;
    if (project && project->has_modules && find_tree(self, work, &tree) && is_of(project, &tree))
        attempt_start(project, work, slot);
    else
        executor_fail(self, work, WORK_REFUSED);
}

static void stop_module(struct executor *self, const struct work *work)
{
    for (struct attempt *attempt = self->attempts; attempt; attempt = attempt->next)
        if (work_is_same(&attempt->work, work))
            job_cancel(attempt->job);
}

void executor_stop(struct executor *self, const struct work *work)
{
    struct project *project = executor_project(self, work->eval, work->p);
    if (work->m != WORK_CHORE)
        stop_module(self, work);
    else if (project && project->is_preparing && work_is_same(&project->chore, work))
        prepare_cancel(project->prepared);
}

uint32_t executor_estimate(void *arg, const struct doc *doc, uint32_t p, uint32_t m,
                           bool *is_measured)
{
    const struct executor *self = arg;
    const struct doc_module *module = &doc_plan(doc, p)->modules[m];
    owned_mem char *identity = summary_identity(doc, p);
    uint32_t known = store_duration_get(self->config.store, identity, module->path);
    *is_measured = known > 0;
    if (known)
        return known;
    uint64_t guess = GUESS_MS_BASE + module->bytes / 1024 * GUESS_MS_PER_KIB;
    return guess < UINT32_MAX ? (uint32_t)guess : UINT32_MAX;
}

void executor_learn(struct executor *self, const struct delta *delta)
{
    const struct doc *doc = delta->res_count ? executor_doc(self, delta->id) : NULL;
    for (size_t i = 0; doc && doc->req && i < delta->res_count; i++) {
        const struct doc_rec *rec = &delta->res[i];
        const struct doc_plan *plan = doc_plan(doc, rec->p);
        if (!plan || plan->hash != rec->plan || rec->m >= plan->module_count || !rec->real ||
            (rec->outcome != DOC_PASSED && rec->outcome != DOC_FAILED))
            continue;
        owned_mem char *identity = summary_identity(doc, rec->p);
        store_duration_put(self->config.store, identity, plan->modules[rec->m].path,
                           rec->ms ? rec->ms : 1);
    }
}

const struct executor_stats *executor_stats(const struct executor *self) { return &self->stats; }

/* ---- life ------------------------------------------------------------------------------------ */

struct executor *executor_new(const struct executor_config *config)
{
    struct executor *self = mem_new(sizeof *self);
    self->config = *config;
    self->stats.module = HISTOGRAM_LONG;
    self->stats.prepare = HISTOGRAM_LONG;
    self->tell_news = event_new(config->base, -1, 0, on_tell_news, self);
    return self;
}

void executor_free(struct executor *self)
{
    if (!self)
        return;
    while (self->attempts) {
        struct attempt *next = self->attempts->next;
        free(self->attempts);
        self->attempts = next;
    }
    while (self->projects)
        project_free(self->projects);
    while (self->news) {
        struct news *next = self->news->next;
        free(self->news);
        self->news = next;
    }
    event_free(self->tell_news);
    free(self);
}
