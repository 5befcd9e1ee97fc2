#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MARKER     ".testmesh.json"
#define MARKER_MAX 4096

/* Of the cap: byte code that is kept for environments to come. */
#define PYC_SHARE 16
/* Of the cap: the installer's wheels. They only save downloads, and the installer alone knows which
 * of them belong together: all of them go. */
#define CACHE_SHARE 4

struct entry *env_entry_new(struct env_store *self, const char *key)
{
    struct entry *entry = mem_new(sizeof *entry);
    snprintf(entry->key, sizeof entry->key, "%s", key);
    entry->store = self;
    entry->dir = mem_printf("%s/%s", self->config.dir, key);
    entry->work = mem_printf("%s/%s", self->tmp, key);
    self->entries = mem_grow(self->entries, &self->entry_capacity, self->entry_count + 1,
                             sizeof(struct entry *));
    self->entries[self->entry_count++] = entry;
    return entry;
}

void env_entry_free(struct env_store *self, struct entry *entry)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i] == entry) {
            self->entries[i] = self->entries[--self->entry_count];
            break;
        }
    }
    for (size_t i = 0; i < countof(entry->texts); i++)
        free(entry->texts[i]);
    requirements_fini(&entry->requirements);
    requirements_fini(&entry->constraints);
    free(entry->dir);
    free(entry->work);
    free(entry->message);
    free(entry->log);
    free(entry);
}

void env_entry_fill(struct env_store *self, struct entry *entry, const struct python *python)
{
    const char *root = self->config.runtime_dir != NULL ? ENV_ROOT : entry->dir;
    const char *dot = strchr(python->version, '.');
    int minor = (int)((size_t)(dot - python->version) + 1 + strcspn(dot + 1, "."));
    for (size_t i = 0; i < countof(entry->texts); i++)
        free(steal_ptr(&entry->texts[i]));
    entry->texts[0] = mem_printf("%s/bin/python", root);
    entry->texts[1] = mem_printf("%s/lib/python%.*s/site-packages", root, minor, python->version);
    entry->state = ENTRY_READY;
    entry->python = python;
    entry->env = (struct env){
        .key = entry->key,
        .dir = entry->dir,
        .root = root,
        .python = entry->texts[0],
        .site_packages = entry->texts[1],
        .interpreter = python,
        .python_version = python->version,
        .pytest_version = entry->pytest,
        .bytes = entry->bytes,
    };
    entry->env.binds[entry->env.bind_count++] = (struct env_bind){entry->dir, root};
    for (size_t i = 0; i < python->bind_count; i++)
        entry->env.binds[entry->env.bind_count++] =
            (struct env_bind){python->binds[i], python->binds[i]};
}

void env_entry_touch(struct entry *entry)
{
    entry->last_used_ms = clock_wall_ms();
    owned_mem char *marker = mem_printf("%s/" MARKER, entry->dir);
    (void)utimensat(AT_FDCWD, marker, NULL, AT_SYMLINK_NOFOLLOW); /* only the order of eviction */
}

/* Reads a marker; false: the folder is half built. */
static bool read_marker(struct entry *entry)
{
    owned_mem char *path = mem_printf("%s/" MARKER, entry->dir);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode) ||
        file_read(path, MARKER_MAX, &text, &err) != 0)
        return false;
    owned_json *marker = json_in_parse(buf_str(&text), text.len, &err);
    const char *pytest = json_in_str(marker, "pytest", NULL);
    if (pytest == NULL || *pytest == '\0')
        return false;
    snprintf(entry->pytest, sizeof entry->pytest, "%s", pytest);
    entry->bytes = (uint64_t)json_in_int(marker, "bytes", 0);
    entry->last_used_ms = (uint64_t)info.st_mtim.tv_sec * 1000;
    return true;
}

static struct sweep *sweep_start(struct env_store *self, const char *const *argv);

static void trim_when_due(struct env_store *self)
{
    if (!self->is_trim_due || self->sweeps != NULL)
        return;
    self->is_trim_due = false;
    if (!file_exists(self->pyc))
        return;
    owned_mem char *bytes =
        mem_printf("%llu", (unsigned long long)self->config.cap_bytes / PYC_SHARE);
    sweep_start(self, (const char *const[]){self->config.self, "--helper", "env", "trim", self->pyc,
                                            bytes, NULL});
}

/* An installer that runs may need what lies there. */
static void bound_cache(struct env_store *self, uint64_t bytes)
{
    struct err err = ERR_INIT;
    if (bytes <= self->config.cap_bytes / CACHE_SHARE)
        return;
    if (self->building > 0) {
        self->is_cache_size_due = true;
        return;
    }
    log_info("env_cache_removed", "more than %llu bytes of wheels",
             (unsigned long long)self->config.cap_bytes / CACHE_SHARE);
    env_disk_remove(self, self->cache);
    if (env_cache_make(self, &err) != 0)
        log_warn("env_cache", "%s", err.text);
}

void env_disk_bound_cache(struct env_store *self)
{
    if (!self->is_cache_size_due || self->building > 0)
        return;
    self->is_cache_size_due = false;
    owned_mem char *enough =
        mem_printf("%llu", (unsigned long long)self->config.cap_bytes / CACHE_SHARE);
    struct sweep *sweep =
        sweep_start(self, (const char *const[]){self->config.self, "--helper", "env", "size",
                                                enough, self->cache, NULL});
    if (sweep != NULL)
        sweep->is_cache_size = true;
}

static void on_swept(void *arg, struct child_result *result)
{
    struct sweep *sweep = arg;
    if (result->verdict.kind != SUPERVISE_EXITED || result->verdict.code != 0)
        log_warn("env_remove", "%s %s", result->text, buf_str(&result->err));
    struct sweep **at = &sweep->store->sweeps;
    while (*at != sweep)
        at = &(*at)->next;
    *at = sweep->next;
    if (sweep->is_cache_size)
        bound_cache(sweep->store, strtoull(buf_str(&result->out), NULL, 10));
    trim_when_due(sweep->store);
    free(sweep);
}

/* Returns borrowed, until on_swept(); NULL when it could not be started. */
static struct sweep *sweep_start(struct env_store *self, const char *const *argv)
{
    struct err err = ERR_INIT;
    struct sweep *sweep = mem_new(sizeof *sweep);
    const struct child_spec spec = {
        .argv = argv,
        .out = {.kind = CHILD_COLLECT, .head_bytes = 64},
        .err = {.kind = CHILD_COLLECT, .head_bytes = 1024},
        .nice = 10,
    };
    *sweep = (struct sweep){.next = self->sweeps, .store = self};
    sweep->child = child_start(self->base, &spec, on_swept, sweep, &err);
    if (sweep->child != NULL) {
        self->sweeps = sweep;
        return sweep;
    }
    log_warn("env_remove", "%s: %s", argv[4], err.text); /* the next start removes it */
    free(sweep);
    return NULL;
}

static void remove_by_child(struct env_store *self, const char *path)
{
    sweep_start(self,
                (const char *const[]){self->config.self, "--helper", "env", "remove", path, NULL});
}

void env_disk_remove(struct env_store *self, const char *path)
{
    owned_mem char *gone = mem_printf("%s/gone-%llu-%u", self->config.dir,
                                      (unsigned long long)clock_wall_ms(), self->gone++);
    if (rename(path, gone) == 0)
        remove_by_child(self, gone);
    else if (errno != ENOENT)
        log_warn("env_remove", "rename %s: %m", path);
}

void env_disk_evict(struct env_store *self)
{
    for (;;) {
        uint64_t total = 0;
        struct entry *oldest = NULL;
        for (size_t i = 0; i < self->entry_count; i++) {
            struct entry *entry = self->entries[i];
            if (entry->state != ENTRY_READY)
                continue;
            total += entry->bytes;
            if (entry->used > 0 || env_is_waited_for(self, entry))
                continue;
            if (oldest == NULL || entry->last_used_ms < oldest->last_used_ms)
                oldest = entry;
        }
        if (total <= self->config.cap_bytes || oldest == NULL)
            return;
        self->stats.evicted++;
        log_info("env_evict", "key=%.12s bytes=%llu", oldest->key,
                 (unsigned long long)oldest->bytes);
        self->is_trim_due = true;
        env_disk_remove(self, oldest->dir);
        if (self->config.evicted != NULL)
            self->config.evicted(self->config.evicted_arg, oldest->key);
        env_entry_free(self, oldest);
    }
}

static bool is_key(const char *name)
{
    struct hash hash;
    return strlen(name) == HASH_HEX - 1 && hash_from_hex(&hash, name) == 0;
}

static void take_folder(struct env_store *self, const char *name)
{
    owned_mem char *path = mem_printf("%s/%s", self->config.dir, name);
    if (strncmp(name, "gone-", 5) == 0) {
        remove_by_child(self, path);
    } else if (is_key(name)) {
        struct entry *entry = env_entry_new(self, name);
        entry->state = ENTRY_READY;
        if (!read_marker(entry)) {
            env_entry_free(self, entry);
            env_disk_remove(self, path);
        }
    }
}

int env_disk_scan(struct env_store *self, struct err *err)
{
    DIR *dir = opendir(self->config.dir);
    if (dir == NULL)
        return err_set(err, ERR_IO, "open %s: %m", self->config.dir);
    /* The names first: what goes away is renamed within the same folder. */
    char **names = NULL;
    size_t count = 0;
    size_t capacity = 0;
    for (struct dirent *at; (at = readdir(dir)) != NULL && count < ENTRIES_MAX;) {
        names = mem_grow(names, &capacity, count + 1, sizeof *names);
        names[count++] = mem_strdup(at->d_name);
    }
    closedir(dir);
    for (size_t i = 0; i < count; i++) {
        take_folder(self, names[i]);
        free(names[i]);
    }
    free(names);
    env_disk_remove(self, self->tmp);
    self->is_trim_due = true;
    trim_when_due(self);
    return file_make_dirs(self->tmp, 0755, err);
}
