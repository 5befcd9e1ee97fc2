#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/env/env_inner.h"
#include "runner/env/probe.h"
#include "runner/jail/jail.h"

#include <string.h>
#include <sys/stat.h>

/* However little all of them may take: pytest alone is a twentieth of it. */
#define BUILD_FLOOR_BYTES ((uint64_t)256 << 20)

extern char **environ;

static char *dup_or_null(const char *text) { return text != NULL ? mem_strdup(text) : NULL; }

static void copy_config(struct env_config *to, const struct env_config *from)
{
    *to = *from;
    to->dir = mem_strdup(from->dir);
    to->self = dup_or_null(from->self);
    to->runtime_dir = dup_or_null(from->runtime_dir);
    to->pythons = NULL;
    to->settings = NULL;
    to->index_hosts = NULL;
    to->uv = NULL;
    if (to->uid == 0)
        to->uid = JAIL_UID_BASE;
    if (to->build_wall_ms == 0)
        to->build_wall_ms = 600000;
    if (to->failure_ms == 0)
        to->failure_ms = 300000;
    if (to->cap_bytes == 0)
        to->cap_bytes = (uint64_t)8 << 30;
    if (to->build_max_bytes == 0)
        to->build_max_bytes =
            to->cap_bytes / 2 > BUILD_FLOOR_BYTES ? to->cap_bytes / 2 : BUILD_FLOOR_BYTES;
    if (to->builds_max == 0)
        to->builds_max = 4;
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
        char *before = steal_ptr(&self->warning);
        self->warning = mem_printf("%s%suv was not found: pip installs, which takes longer",
                                   before != NULL ? before : "", before != NULL ? "; " : "");
        free(before);
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

/* The installer's cache belongs to the uid that installs. One of another uid (the operator has
 * changed
 * --uid-base, or who runs the node) is of no use to it. */
int env_cache_make(struct env_store *self, struct err *err)
{
    bool has_owner = self->config.runtime_dir != NULL && geteuid() == 0;
    struct stat st;
    if (has_owner && stat(self->cache, &st) == 0 && st.st_uid != self->config.uid &&
        file_remove_tree(self->cache, err))
        return (int)err->code;
    if (file_make_dirs(self->cache, 0755, err))
        return (int)err->code;
    if (has_owner && chown(self->cache, self->config.uid, self->config.uid) != 0)
        return err_set(err, ERR_IO, "chown %s: %m", self->cache);
    return 0;
}

/* The hosts of the operator's index, or of the one that installers have built in; and the one that
 * PyPI's files come from, and those of most of its mirrors. */
static int find_reach(struct env_store *self, const struct env_config *config, struct err *err)
{
    static const char index[] = "PIP_INDEX_URL=";
    struct egress_places *places = &self->reach.places;
    int rc = 0;
    egress_places_add_urls(places, self->settings.index);
    if (!self->settings.no_index) {
        if (strncmp(self->settings.index, index, sizeof index - 1) != 0)
            rc = egress_places_add_text(places, "pypi.org:443", err);
        if (rc == 0)
            rc = egress_places_add_text(places, "files.pythonhosted.org:443", err);
    }
    for (size_t i = 0; i < config->index_host_count && rc == 0; i++)
        rc = egress_places_add_text(places, config->index_hosts[i], err);
    return rc == 0 ? 0 : err_wrap(err, "hosts of the index");
}

static int open_store(struct env_store *self, const struct env_config *config, struct err *err)
{
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
    rc = find_reach(self, config, err);
    if (rc != 0)
        return rc;
    if (config->is_cache_suspect) {
        env_disk_remove(self, self->cache);
        env_disk_remove(self, self->pyc);
    }
    rc = env_cache_make(self, err);
    return rc == 0 ? env_disk_scan(self, err) : rc;
}

struct env_store *env_store_new(struct event_base *base, const struct env_config *config,
                                struct err *err)
{
    struct env_store *self = mem_new(sizeof *self);
    struct err local = ERR_INIT;
    self->base = base;
    self->stats.build = HISTOGRAM_LONG;
    copy_config(&self->config, config);
    self->cache = mem_printf("%s/cache", config->dir);
    self->pyc = mem_printf("%s/pyc", config->dir);
    self->tmp = mem_printf("%s/tmp", config->dir);
    self->kick = evtimer_new(base, env_on_kick, self);
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
    egress_places_fini(&self->reach.places);
    python_free_all(self->pythons, self->python_count);
    free((char *)self->config.dir);
    free((char *)self->config.self);
    free((char *)self->config.runtime_dir);
    free(self->cache);
    free(self->pyc);
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

void env_store_stats(const struct env_store *self, struct env_stats *out)
{
    *out = self->stats;
    out->building = self->building;
    for (size_t i = 0; i < self->entry_count; i++) {
        const struct entry *entry = self->entries[i];
        out->waiting += entry->state == ENTRY_QUEUED;
        out->ready += entry->state == ENTRY_READY;
        out->bytes += entry->state == ENTRY_READY ? entry->bytes : 0;
    }
}

const char *env_store_installer(const struct env_store *self) { return self->installer; }

const char *env_store_warning(const struct env_store *self) { return self->warning; }
