#include "runner/env/env.h"

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env_inner.h"
#include "runner/env/probe.h"
#include "runner/jail/jail.h"

#include <stdio.h>
#include <string.h>

/* Changes when what is built from the same request changes. */
#define KEY_VERSION "1"

extern char **environ;

static char *dup_or_null(const char *text) { return text != NULL ? mem_strdup(text) : NULL; }

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

static bool is_waited_for(const struct env_store *self, const struct entry *entry)
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
    } else {
        env_disk_remove(self, entry->dir);
        entry->state = ENTRY_FAILED;
        entry->blame = result->blame;
        entry->reason = result->reason;
        entry->message = mem_strdup(result->message);
        entry->log = mem_strdup(result->log);
        entry->until_ms = clock_mono_ms() + self->config.failure_ms;
        log_info("env_failed", "key=%.12s reason=%s", entry->key, entry->reason);
    }
    start_queued(self);
    kick(self);
}

static void start_build(struct env_store *self, struct entry *entry)
{
    struct err err = ERR_INIT;
    const struct build_spec spec = {
        .config = &self->config,
        .settings = &self->settings,
        .python = entry->python,
        .uv = self->uv,
        .key = entry->key,
        .dir = entry->dir,
        .work = entry->work,
        .cache = self->cache,
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

static void on_kick(evutil_socket_t fd, short events, void *arg)
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
        if (entry->state == ENTRY_FAILED && now >= entry->until_ms && !is_waited_for(self, entry))
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
    if (entry == NULL || is_waited_for(self, entry) ||
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

/* ---- the store ---- */

static void copy_config(struct env_config *to, const struct env_config *from)
{
    *to = *from;
    to->dir = mem_strdup(from->dir);
    to->self = dup_or_null(from->self);
    to->runtime_dir = dup_or_null(from->runtime_dir);
    to->pythons = NULL;
    to->settings = NULL;
    to->uv = NULL;
    if (to->uid == 0)
        to->uid = JAIL_UID_BASE;
    if (to->build_wall_ms == 0)
        to->build_wall_ms = 600000;
    if (to->failure_ms == 0)
        to->failure_ms = 300000;
    if (to->cap_bytes == 0)
        to->cap_bytes = (uint64_t)8 << 30;
    if (to->builds_max == 0)
        to->builds_max = 2;
}

/* Returns what a program says its version is, in one line, owned; NULL when it cannot be run. */
static char *ask_version(const char *const *argv, struct err *err)
{
    static const char *const clean[] = {"LANG=C.UTF-8", "PATH=/usr/bin:/bin",
                                        "PIP_DISABLE_PIP_VERSION_CHECK=1", NULL};
    owned_buf text = BUF_INIT;
    const struct probe probe = {.argv = argv, .envp = clean, .uid = (uid_t)-1};
    if (probe_run(&probe, &text, err) != 0)
        return NULL;
    const char *line = buf_str(&text);
    size_t len = strcspn(line, "\n");
    const char *cut = strstr(line, " from "); /* pip says where it is */
    const char *more = strstr(line, " (");
    if (cut != NULL && (size_t)(cut - line) < len)
        len = (size_t)(cut - line);
    if (more != NULL && (size_t)(more - line) < len)
        len = (size_t)(more - line);
    return mem_strndup(line, len < 60 ? len : 60);
}

static int find_installer(struct env_store *self, const struct env_config *config, struct err *err)
{
    if (config->installer != ENV_INSTALLER_PIP) {
        self->uv = file_find_program(config->uv != NULL ? config->uv : "uv", NULL);
        const char *const argv[] = {self->uv, "--version", NULL};
        self->installer = self->uv != NULL ? ask_version(argv, err) : NULL;
        if (self->installer != NULL)
            return 0;
        free(steal_ptr(&self->uv));
        if (config->installer == ENV_INSTALLER_UV)
            return err_set(err, ERR_UNAVAILABLE, "uv cannot be run");
    }
    const char *const argv[] = {self->pythons[0].executable, "-I", "-m", "pip", "--version", NULL};
    self->installer = ask_version(argv, err);
    if (self->installer != NULL)
        return 0;
    return err_set(err, ERR_UNAVAILABLE,
                   "neither uv nor pip for %s was found: install uv, or the "
                   "package python3-pip",
                   self->pythons[0].executable);
}

static int open_store(struct env_store *self, const struct env_config *config, struct err *err)
{
    bool is_jailed = config->runtime_dir != NULL;
    self->pythons = python_probe_all(config->pythons, config->python_count, (uid_t)-1,
                                     &self->python_count, &self->warning, err);
    if (self->pythons == NULL)
        return (int)err->code;
    int rc = find_installer(self, config, err);
    if (rc != 0)
        return rc;
    const char *const *settings =
        config->settings != NULL ? config->settings : (const char *const *)environ;
    env_settings_init(&self->settings, settings, self->uv != NULL);
    rc = file_make_dirs(self->cache, 0755, err);
    if (rc == 0 && is_jailed && geteuid() == 0 &&
        chown(self->cache, self->config.uid, self->config.uid) != 0)
        rc = err_set(err, ERR_IO, "chown %s: %m", self->cache);
    return rc == 0 ? env_disk_scan(self, err) : rc;
}

struct env_store *env_store_new(struct event_base *base, const struct env_config *config,
                                struct err *err)
{
    struct env_store *self = mem_new(sizeof *self);
    struct err local = ERR_INIT;
    self->base = base;
    copy_config(&self->config, config);
    self->cache = mem_printf("%s/cache", config->dir);
    self->tmp = mem_printf("%s/tmp", config->dir);
    self->kick = evtimer_new(base, on_kick, self);
    if (open_store(self, config, err != NULL ? err : &local) == 0)
        return self;
    env_store_free(self);
    return NULL;
}

void env_store_free(struct env_store *self_owned)
{
    struct env_store *self = self_owned;
    while (self->tickets != NULL) {
        struct env_ticket *ticket = self->tickets;
        self->tickets = ticket->next;
        free(ticket);
    }
    while (self->sweeps != NULL) {
        struct sweep *sweep = self->sweeps;
        self->sweeps = sweep->next;
        child_drop(sweep->child);
        free(sweep);
    }
    while (self->entry_count > 0) {
        struct entry *entry = self->entries[self->entry_count - 1];
        if (entry->build != NULL)
            build_drop(entry->build);
        env_entry_free(self, entry);
    }
    free(self->entries);
    event_free(self->kick);
    env_settings_fini(&self->settings);
    python_free_all(self->pythons, self->python_count);
    free((char *)self->config.dir);
    free((char *)self->config.self);
    free((char *)self->config.runtime_dir);
    free(self->cache);
    free(self->tmp);
    free(self->uv);
    free(self->installer);
    free(self->warning);
    free(self);
}

const struct python *env_store_pythons(const struct env_store *self, size_t *count)
{
    *count = self->python_count;
    return self->pythons;
}

const char *env_store_installer(const struct env_store *self) { return self->installer; }

const char *env_store_warning(const struct env_store *self) { return self->warning; }
