#include "node/eval/clones.h"

#include "node/eval/clones_source.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

enum clone_state { CLONE_WAITING, CLONE_FETCHING, CLONE_ADOPTING, CLONE_OVER };

/* One repository. In ADOPTING it outlives a stop: the store holds on to it. */
struct clone {
    struct clones *owner; /* NULL: nobody wants it any more */
    struct store *store;  /* NULL: the node is about to end */
    struct clone *next;   /* of its evaluation */
    struct work work;
    enum clone_state state;
    struct git_url url;
    char *folder; /* of the child; gone at the end */
    struct fetch *fetch;
    struct found found; /* from the end of the fetch */
};

/* Those of one evaluation, in the order asked for. */
struct group {
    uint64_t eval;
    struct clone *clones;
    struct group *next;
};

struct clones {
    struct clones_config config;
    struct group *groups; /* whose turn it is first */
    unsigned running;
    uint64_t folders;          /* named so far */
    struct clones_stats stats; /* but for `running` */
    struct event *turn;        /* what may be started or is over, looked at from the loop */
};

static void kick(struct clones *self) { event_active(self->turn, 0, 0); }

/* ---- who is there ---------------------------------------------------------------------------- */

static struct group **group_at(struct clones *self, uint64_t eval)
{
    struct group **at = &self->groups;
    while (*at && (*at)->eval != eval)
        at = &(*at)->next;
    return at;
}

static struct clone **clone_at(struct group *self, uint32_t p)
{
    struct clone **at = &self->clones;
    while (*at && (*at)->work.p != p)
        at = &(*at)->next;
    return at;
}

static void clone_free(struct clone *self)
{
    found_fini(&self->found);
    free(self->folder);
    free(self);
}

/* Takes it out of its evaluation, and that out of the list with its last. */
static void unlink_clone(struct clone *self)
{
    struct group **group = group_at(self->owner, self->work.eval);
    struct clone **at = clone_at(*group, self->work.p);
    *at = self->next;
    if ((*group)->clones)
        return;
    struct group *empty = *group;
    *group = empty->next;
    free(empty);
}

/* ---- its end --------------------------------------------------------------------------------- */

static void clear_up(struct clone *self)
{
    if (self->folder && self->store)
        store_remove_tmp(self->store, self->folder);
    clone_free(self);
}

/* Its place is free before anybody hears of it, who may ask for the same again. */
static void tell(struct clone *self)
{
    struct clones *owner = self->owner;
    struct work work = self->work;
    struct doc_source source = self->found.source;
    source.p = work.p;
    source.ballot = (struct doc_ballot){work.ballot.epoch, work.ballot.owner};
    const struct delta delta = {.id = work.eval, .sources = &source, .source_count = 1};
    unlink_clone(self);
    owner->stats.fetched += !source.failure;
    owner->stats.failed_projects += source.failure && !source.is_clusters;
    owner->stats.failed_clusters += source.failure && source.is_clusters;
    owner->config.events->cloned(owner->config.arg, &work, &delta);
    clear_up(self);
}

static void on_adopted(void *arg, const struct err *err, const struct hash *hash)
{
    struct clone *self = arg;
    (void)hash;
    if (!self->owner) {
        clear_up(self);
        return;
    }
    if (err->code != ERR_NONE)
        found_fail(&self->found, self->found.source.source, err);
    self->state = CLONE_OVER;
    kick(self->owner);
}

static void on_fetched(void *arg, struct intake_result *result, const struct fetch_facts *facts,
                       const struct err *err)
{
    struct clone *self = arg;
    struct clones *owner = self->owner;
    owned_buf source = BUF_INIT;
    git_url_put(&self->url, facts->commit, &source);
    self->fetch = NULL;
    self->state = CLONE_OVER;
    owner->running--;
    kick(owner);
    if (!result) {
        found_fail(&self->found, buf_str(&source), err);
        return;
    }
    log_info("repository_fetched", "source=%s bytes=%" PRIu64 " tries=%u", buf_str(&source),
             facts->received_bytes, facts->tries);
    owner->stats.bytes += facts->received_bytes;
    found_take(&self->found, buf_str(&source), result);
    if (!self->found.path)
        return;
    self->state = CLONE_ADOPTING;
    store_adopt_blob(self->store, self->found.path, &self->found.source.bundle, "zst", on_adopted,
                     self);
}

static void on_progress(void *arg, const struct fetch_progress *progress)
{
    const struct clone *self = arg;
    self->owner->config.events->progress(self->owner->config.arg, &self->work, progress);
}

/* ---- its turn -------------------------------------------------------------------------------- */

static void remove_later(void *arg, const char *path) { store_remove_tmp(arg, path); }

/* The token goes to the host that it was given for, and to no other. */
static int start_child(struct clone *self, const struct doc_req *req, struct err *err)
{
    struct clones *owner = self->owner;
    struct secret secret = {0};
    int rc = 0;
    if (doc_hash_is_set(&req->secret))
        rc = secret_open(&owner->config.secrets, req, &secret, err);
    if (rc) {
        struct err why = *err;
        return err_refuse(err, ERR_UNAVAILABLE, "repo-secret",
                          "this node cannot open the token of the request: %s", why.text);
    }
    bool is_its_host =
        secret.host && strcmp(secret.host, self->url.host) == 0 && secret.port == self->url.port;
    self->folder = mem_printf("%s/clone-%" PRIu64, store_tmp_dir(self->store), ++owner->folders);
    self->fetch = fetch_start(owner->config.base,
                              &(struct fetch_spec){.policy = &owner->config.policy,
                                                   .url = &self->url,
                                                   .token = is_its_host ? secret.token : NULL,
                                                   .out_dir = self->folder,
                                                   .timeout_ms = owner->config.timeout_ms,
                                                   .remove = remove_later,
                                                   .remove_arg = self->store,
                                                   .on_progress = on_progress},
                              on_fetched, self, err);
    secret_close(&secret);
    return self->fetch ? 0 : err->code;
}

/* What another node took this one may not fetch: that is no fault of the project's. */
static void start(struct clone *self)
{
    const struct doc *doc = store_find(self->store, self->work.eval, NULL);
    struct doc_project project = {.name = "", .source = ""};
    struct err err = ERR_INIT;
    int rc = 0;
    if (doc && doc->req && self->work.p < doc->req->project_count)
        doc_project(doc, self->work.p, &project);
    else
        rc = err_set(&err, ERR_INTERNAL, "its request is not here");
    found_begin(&self->found, project.name);
    if (!rc &&
        (rc = git_url_parse(&self->url, project.source, &self->owner->config.policy.hosts, &err))) {
        struct err why = err;
        (void)err_refuse(&err, ERR_UNAVAILABLE, "repo-elsewhere",
                         "the node that had to fetch it may not: %.400s", why.text);
    }
    if (!rc)
        rc = start_child(self, doc->req, &err);
    if (!rc) {
        self->state = CLONE_FETCHING;
        self->owner->running++;
        return;
    }
    found_fail(&self->found, project.source, &err);
    self->state = CLONE_OVER;
    kick(self->owner);
}

static struct clone *find_state(const struct group *self, enum clone_state state)
{
    struct clone *at = self->clones;
    while (at && at->state != state)
        at = at->next;
    return at;
}

/* The first goes to the end. */
static void rotate(struct clones *self)
{
    struct group *first = self->groups;
    struct group **at = &self->groups;
    *at = first->next;
    while (*at)
        at = &(*at)->next;
    first->next = NULL;
    *at = first;
}

static void start_some(struct clones *self)
{
    size_t idle = 0, count = 0;
    for (const struct group *at = self->groups; at; at = at->next)
        count++;
    while (idle < count && self->running < self->config.at_once) {
        struct clone *next = find_state(self->groups, CLONE_WAITING);
        if (next)
            start(next);
        idle = next ? 0 : idle + 1;
        rotate(self);
    }
}

static struct clone *find_over(const struct clones *self)
{
    struct clone *found = NULL;
    for (const struct group *at = self->groups; at && !found; at = at->next)
        found = find_state(at, CLONE_OVER);
    return found;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct clones *self = arg;
    struct clone *over;
    (void)fd;
    (void)what;
    while ((over = find_over(self)))
        tell(over);
    start_some(self);
}

/* ---- what is wanted -------------------------------------------------------------------------- */

void clones_start(struct clones *self, const struct work *work)
{
    struct group **group = group_at(self, work->eval);
    if (!*group) {
        *group = mem_new(sizeof **group);
        (*group)->eval = work->eval;
    }
    struct clone **at = clone_at(*group, work->p);
    if (!*at) {
        *at = mem_new(sizeof **at);
        (*at)->owner = self;
        (*at)->store = self->config.secrets.store;
    }
    (*at)->work = *work;
    kick(self);
}

/* The child is killed; what it wrote goes with it. */
static void stop(struct clone *self)
{
    struct clones *owner = self->owner;
    unlink_clone(self);
    if (self->state == CLONE_FETCHING) {
        fetch_cancel(self->fetch);
        owner->running--;
        kick(owner);
    }
    self->owner = NULL;
    if (self->state != CLONE_ADOPTING)
        clear_up(self);
}

void clones_stop(struct clones *self, const struct work *work)
{
    struct group *group = *group_at(self, work->eval);
    for (struct clone *at = group ? group->clones : NULL, *next; at; at = next) {
        next = at->next;
        if (work->p == WORK_CHORE || at->work.p == work->p)
            stop(at);
    }
}

struct clones_stats clones_stats(const struct clones *self)
{
    struct clones_stats stats = self->stats;
    stats.running = self->running;
    return stats;
}

struct clones *clones_new(const struct clones_config *config)
{
    struct clones *self = mem_new(sizeof *self);
    self->config = *config;
    self->turn = event_new(config->base, -1, EV_PERSIST, on_turn, self);
    return self;
}

void clones_free(struct clones *self)
{
    if (!self)
        return;
    while (self->groups) {
        self->groups->clones->store = NULL;
        stop(self->groups->clones);
    }
    event_free(self->turn);
    free(self);
}
