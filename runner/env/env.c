#include "runner/env/env.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env_inner.h"

#include <stdio.h>
#include <string.h>

/* Changes when what is built from the same request changes. */
#define KEY_VERSION "2"

/* How long a failure of the cluster's is remembered at most. */
#define CLUSTER_MS 15000

static void kick(struct env_store *self)
{
    static const struct timeval now = {0, 0};
    event_add(self->kick, &now);
}

static struct entry *find_entry(const struct env_store *self, const char *key)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        if (strcmp(self->entries[i]->key, key) == 0)
            return self->entries[i];
    }
    return NULL;
}

bool env_is_waited_for(const struct env_store *self, const struct entry *entry)
{
    for (const struct env_ticket *at = self->tickets; at != NULL; at = at->next) {
        if (at->entry == entry)
            return true;
    }
    return false;
}

/* ---- builds ---- */

static void start_queued(struct env_store *self);

static void on_built(void *arg, const struct build_result *result)
{
    struct entry *entry = arg;
    struct env_store *self = entry->store;
    entry->build = NULL;
    self->building--;
    env_disk_remove(self, entry->work);
    if (result->is_done) {
        entry->bytes = result->bytes;
        snprintf(entry->pytest, sizeof entry->pytest, "%s", result->pytest_version);
        env_entry_fill(self, entry, entry->python);
        env_entry_touch(entry);
        log_info("env_built", "key=%.12s ms=%llu bytes=%llu pytest=%s", entry->key,
                 (unsigned long long)(clock_mono_ms() - entry->queued_ms),
                 (unsigned long long)entry->bytes, entry->pytest);
        self->stats.built++;
        histogram_add(&self->stats.build, (clock_mono_ms() - entry->queued_ms) * 1000);
    } else {
        env_disk_remove(self, entry->dir);
        entry->state = ENTRY_FAILED;
        entry->blame = result->blame;
        entry->reason = result->reason;
        entry->message = mem_strdup(result->message);
        entry->log = mem_strdup(result->log);
        /* What is the cluster's may be over soon. */
        uint64_t hold = result->blame == ENV_BLAME_CLUSTER && self->config.failure_ms > CLUSTER_MS
                            ? CLUSTER_MS
                            : self->config.failure_ms;
        entry->until_ms = clock_mono_ms() + hold;
        log_info("env_failed", "key=%.12s reason=%s", entry->key, entry->reason);
        self->stats.failed[entry->blame]++;
    }
    self->is_cache_size_due |= self->uv != NULL;
    start_queued(self);
    env_disk_bound_cache(self);
    kick(self);
}

static void start_build(struct env_store *self, struct entry *entry)
{
    struct err err = ERR_INIT;
    const struct build_spec spec = {
        .config = &self->config,
        .settings = &self->settings,
        .reach = &self->reach,
        .python = entry->python,
        .uv = self->uv,
        .key = entry->key,
        .dir = entry->dir,
        .work = entry->work,
        .cache = self->cache,
        .pyc = self->pyc,
        .turn = &self->turn,
        .requirements = &entry->requirements,
        .constraints = &entry->constraints,
        .is_pytest_added = entry->is_pytest_added,
    };
    entry->state = ENTRY_BUILDING;
    self->building++;
    entry->build = build_start(self->base, &spec, on_built, entry, &err);
    if (entry->build == NULL)
        on_built(entry, &(struct build_result){.blame = ENV_BLAME_CLUSTER,
                                               .reason = "environment",
                                               .message = err.text,
                                               .log = ""});
}

static void start_queued(struct env_store *self)
{
    while (self->building < self->config.builds_max) {
        struct entry *first = NULL;
        for (size_t i = 0; i < self->entry_count; i++) {
            struct entry *entry = self->entries[i];
            if (entry->state == ENTRY_QUEUED &&
                (first == NULL || entry->queued_ms < first->queued_ms))
                first = entry;
        }
        if (first == NULL)
            return;
        start_build(self, first);
    }
}

/* ---- requests ---- */

static void answer(struct env_store *self, struct env_ticket *ticket)
{
    struct entry *entry = ticket->entry;
    env_done_fn *done = ticket->done;
    void *arg = ticket->arg;
    bool waited = ticket->waited;
    struct err refusal = ticket->refusal;
    free(ticket);
    if (entry == NULL) {
        const struct env_failure failure = {.blame = ENV_BLAME_PROJECT,
                                            .reason = err_name(&refusal),
                                            .message = refusal.text,
                                            .log = ""};
        done(arg, NULL, &failure);
    } else if (entry->state == ENTRY_READY) {
        entry->used++;
        entry->env.hit = !waited;
        env_entry_touch(entry);
        env_disk_evict(self);
        done(arg, &entry->env, NULL);
    } else {
        owned_mem char *message = mem_strdup(entry->message);
        owned_mem char *log = mem_strdup(entry->log);
        const struct env_failure failure = {
            .blame = entry->blame, .reason = entry->reason, .message = message, .log = log};
        done(arg, NULL, &failure);
    }
}

/* Takes the first ticket that has its answer, from the list. */
static struct env_ticket *take_answered(struct env_store *self)
{
    for (struct env_ticket **at = &self->tickets; *at != NULL; at = &(*at)->next) {
        struct env_ticket *ticket = *at;
        if (ticket->entry == NULL || ticket->entry->state == ENTRY_READY ||
            ticket->entry->state == ENTRY_FAILED) {
            *at = ticket->next;
            return ticket;
        }
    }
    return NULL;
}

void env_on_kick(evutil_socket_t fd, short events, void *arg)
{
    struct env_store *self = arg;
    struct env_ticket *ticket;
    (void)fd;
    (void)events;
    while ((ticket = take_answered(self)) != NULL)
        answer(self, ticket);
}

static void make_key(const struct env_store *self, const struct entry *wanted,
                     const struct python *python, char hex[HASH_HEX])
{
    owned_buf text = BUF_INIT;
    buf_printf(&text, "env " KEY_VERSION "\n%s\n%s\n%s\n%s\n%s\n%s\n", python->abi, python->version,
               python->executable, python->platform, self->uv != NULL ? "uv" : "pip",
               self->config.runtime_dir != NULL ? ENV_ROOT : self->config.dir);
    buf_printf(&text, "index:\n%srequirements:\n", self->settings.index);
    requirements_format(&wanted->requirements, &text);
    buf_puts(&text, "constraints:\n");
    requirements_format(&wanted->constraints, &text);
    struct hash hash = hash_of(text.data, text.len);
    hash_hex(&hash, hex);
}

static int parse_text(const struct env_store *self, const char *text, struct requirements *out,
                      struct err *err)
{
    const struct requirements_policy policy = {.allow_urls = self->config.allow_urls};
    return text != NULL ? requirements_parse(out, text, strlen(text), &policy, err) : 0;
}

/* Reads a request into `out`, which is no entry of the store's, only a place for its texts. */
static int read_request(const struct env_store *self, const struct env_request *request,
                        struct entry *out, struct err *err)
{
    int rc = parse_text(self, request->requirements, &out->requirements, err);
    if (rc == 0)
        rc = parse_text(self, request->constraints, &out->constraints, err);
    if (rc != 0 || requirements_has(&out->requirements, "pytest"))
        return rc;
    bool hashes = out->requirements.require_hashes;
    out->is_pytest_added = true;
    rc = requirements_parse(&out->requirements, "pytest", 6, NULL, err);
    out->requirements.require_hashes = hashes;
    return rc;
}

static void forget_failures(struct env_store *self)
{
    uint64_t now = clock_mono_ms();
    for (size_t i = self->entry_count; i > 0; i--) {
        struct entry *entry = self->entries[i - 1];
        if (entry->state == ENTRY_FAILED && now >= entry->until_ms &&
            !env_is_waited_for(self, entry))
            env_entry_free(self, entry);
    }
}

static struct entry *entry_for(struct env_store *self, struct entry *wanted,
                               const struct python *python)
{
    char key[HASH_HEX];
    make_key(self, wanted, python, key);
    forget_failures(self);
    struct entry *entry = find_entry(self, key);
    if (entry != NULL) {
        if (entry->state == ENTRY_READY && entry->python == NULL) /* found at start */
            env_entry_fill(self, entry, python);
        return entry;
    }
    entry = env_entry_new(self, key);
    entry->state = ENTRY_QUEUED;
    entry->queued_ms = clock_mono_ms();
    entry->python = python;
    entry->requirements = wanted->requirements;
    entry->constraints = wanted->constraints;
    entry->is_pytest_added = wanted->is_pytest_added;
    wanted->requirements = (struct requirements)REQUIREMENTS_INIT;
    wanted->constraints = (struct requirements)REQUIREMENTS_INIT;
    return entry;
}

struct env_ticket *env_acquire(struct env_store *self, const struct env_request *request,
                               env_done_fn *done, void *arg)
{
    struct env_ticket *ticket = mem_new(sizeof *ticket);
    *ticket = (struct env_ticket){.store = self, .done = done, .arg = arg};
    struct env_ticket **end = &self->tickets;
    while (*end != NULL)
        end = &(*end)->next;
    *end = ticket;
    struct entry wanted = {.state = ENTRY_QUEUED};
    bool fits;
    const struct python *python =
        python_choose(self->pythons, self->python_count, request->python, &fits);
    if (read_request(self, request, &wanted, &ticket->refusal) == 0) {
        ticket->entry = entry_for(self, &wanted, python);
        ticket->waited = ticket->entry->state != ENTRY_READY;
        self->stats.hits += !ticket->waited;
        self->stats.misses += ticket->waited;
        log_debug("env_ask", "name=%s key=%.12s hit=%d fits=%d",
                  request->name != NULL ? request->name : "", ticket->entry->key, !ticket->waited,
                  fits);
        start_queued(self);
    }
    requirements_fini(&wanted.requirements);
    requirements_fini(&wanted.constraints);
    kick(self);
    return ticket;
}

void env_cancel(struct env_ticket *ticket_owned)
{
    struct env_store *self = ticket_owned->store;
    struct entry *entry = ticket_owned->entry;
    struct env_ticket **at = &self->tickets;
    while (*at != ticket_owned)
        at = &(*at)->next;
    *at = ticket_owned->next;
    free(ticket_owned);
    if (entry == NULL || env_is_waited_for(self, entry) ||
        (entry->state != ENTRY_QUEUED && entry->state != ENTRY_BUILDING))
        return;
    if (entry->build != NULL) {
        build_drop(steal_ptr(&entry->build));
        self->building--;
        env_disk_remove(self, entry->work);
        env_disk_remove(self, entry->dir);
    }
    env_entry_free(self, entry);
    start_queued(self);
}

void env_release(struct env_store *self, const struct env *env)
{
    struct entry *entry = find_entry(self, env->key);
    if (entry == NULL || entry->used == 0)
        return;
    entry->used--;
    env_entry_touch(entry);
    env_disk_evict(self);
}
