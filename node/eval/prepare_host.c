/* prepare_host: what all preparations share, and the queue before the first half. */
#include "node/eval/prepare_work.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UNITS_KEPT 1000 /* trees, and what was learnt of them */

static void set_bare_environment(struct prepare_host *self)
{
    size_t count = 0;
    const struct python *python = env_store_pythons(self->config.envs, &count);
    for (size_t i = 0; i < python->bind_count; i++)
        self->bare_binds[i] =
            (struct job_bind){.source = python->binds[i], .target = python->binds[i]};
    self->bare_key = mem_printf("bare-%s", python->abi);
    self->bare = (struct job_environment){.key = self->bare_key,
                                          .python = python->executable,
                                          .binds = self->bare_binds,
                                          .bind_count = python->bind_count};
}

/* ---- folders --------------------------------------------------------------------------------- */

/* A rename, and the rest is somebody else's: what was large would block. */
void prepare_remove(struct prepare_host *self, const char *path)
{
    uint64_t random;
    rand_system(&random, sizeof random);
    owned_mem char *trash = mem_printf("%s/tree-%016" PRIx64, self->trash, random);
    if (rename(path, trash) == 0)
        self->config.remove(self->config.remove_arg, trash);
    else if (errno != ENOENT)
        log_warn("tree_not_removed", "%s: %s", path, strerror(errno));
}

struct unit {
    char *path;
    int64_t used_s;
};

static int by_use(const void *a, const void *b)
{
    const struct unit *left = a;
    const struct unit *right = b;
    return (left->used_s < right->used_s) - (left->used_s > right->used_s);
}

static bool is_in_use(const struct prepare_host *self, const char *path)
{
    for (const struct prepare_work *work = self->works; work; work = work->next)
        if (strcmp(work->unit, path) == 0)
            return true;
    return false;
}

static size_t find_units(const struct prepare_host *self, struct unit **units)
{
    size_t count = 0;
    size_t capacity = 0;
    DIR *folder = opendir(self->dir);
    for (const struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(folder), entry->d_name, &st, 0))
            continue;
        *units = mem_grow(*units, &capacity, count + 1, sizeof **units);
        (*units)[count++] = (struct unit){.path = mem_printf("%s/%s", self->dir, entry->d_name),
                                          .used_s = st.st_mtim.tv_sec};
    }
    if (folder)
        closedir(folder);
    if (count > 0)
        qsort(*units, count, sizeof **units, by_use);
    return count;
}

void prepare_host_prune(struct prepare_host *self)
{
    struct unit *units = NULL;
    size_t count = find_units(self, &units);
    for (size_t i = 0; i < count; i++) {
        if (i >= UNITS_KEPT && !is_in_use(self, units[i].path))
            prepare_remove(self, units[i].path);
        free(units[i].path);
    }
    free(units);
}

/* "src.…" and "pyc-….<16 hex digits>": half done when the last process died. */
static bool is_leftover(const char *name)
{
    const char *dot = strrchr(name, '.');
    return strncmp(name, "src.", 4) == 0 || (strncmp(name, "pyc-", 4) == 0 && dot &&
                                             strspn(dot + 1, "0123456789abcdef") == 16 && !dot[17]);
}

static void remove_leftovers(struct prepare_host *self)
{
    struct unit *units = NULL;
    size_t count = find_units(self, &units);
    for (size_t i = 0; i < count; i++) {
        DIR *folder = opendir(units[i].path);
        for (const struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
            owned_mem char *path = mem_printf("%s/%s", units[i].path, entry->d_name);
            if (is_leftover(entry->d_name))
                prepare_remove(self, path);
        }
        if (folder)
            closedir(folder);
        free(units[i].path);
    }
    free(units);
}

struct prepare_host *prepare_host_new(const struct prepare_config *config, struct err *err)
{
    if (file_make_dirs(config->dir, 0755, err))
        return NULL;
    struct prepare_host *self = mem_new(sizeof *self);
    self->config = *config;
    uint64_t *wall_ms = &self->config.limits.wall_ms;
    if (*wall_ms > PREPARE_WALL_MAX_MS)
        *wall_ms = PREPARE_WALL_MAX_MS;
    if (*wall_ms < PREPARE_WALL_MIN_MS)
        *wall_ms = PREPARE_WALL_MIN_MS;
    self->dir = mem_strdup(config->dir);
    self->program = mem_strdup(config->program);
    self->trash = mem_strdup(config->trash);
    self->waiting_end = &self->waiting;
    if (self->config.at_once > PREPARE_AT_ONCE_MAX)
        self->config.at_once = PREPARE_AT_ONCE_MAX;
    set_bare_environment(self);
    remove_leftovers(self);
    prepare_host_prune(self);
    return self;
}

void prepare_host_free(struct prepare_host *self)
{
    if (!self)
        return;
    free(self->dir);
    free(self->program);
    free(self->trash);
    free(self->bare_key);
    free(self);
}

/* ---- all works ------------------------------------------------------------------------------- */

void prepare_add_work(struct prepare_work *work)
{
    work->next = work->host->works;
    work->host->works = work;
}

void prepare_drop_work(struct prepare_work *work)
{
    struct prepare_work **at = &work->host->works;
    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static unsigned busy_of_group(const struct prepare_host *self, uint64_t group)
{
    unsigned count = 0;
    for (unsigned i = 0; i < self->config.at_once; i++)
        count += self->busy[i] && self->busy[i]->group == group;
    return count;
}

static bool is_unit_busy(const struct prepare_host *self, const char *unit)
{
    for (unsigned i = 0; i < self->config.at_once; i++)
        if (self->busy[i] && strcmp(self->busy[i]->unit, unit) == 0)
            return true;
    return false;
}

/* The oldest of the group that has the fewest slots, as the dispatcher does it: a single project
 * does not wait for a class. NULL when all that wait are for trees that somebody works on. */
static struct prepare_work *choose(const struct prepare_host *self)
{
    struct prepare_work *best = NULL;
    unsigned fewest = UINT_MAX;
    for (struct prepare_work *work = self->waiting; work && fewest > 0; work = work->next_waiting) {
        unsigned count = busy_of_group(self, work->group);
        if (count >= fewest || is_unit_busy(self, work->unit))
            continue;
        best = work;
        fewest = count;
    }
    return best;
}

static void start_waiting(struct prepare_host *self)
{
    for (unsigned slot = 0; slot < self->config.at_once; slot++) {
        struct prepare_work *work = self->busy[slot] ? NULL : choose(self);
        if (!work)
            continue;
        prepare_leave_queue(work);
        work->describe_slot = (int)slot;
        self->busy[slot] = work;
        prepare_later(work, prepare_first_half);
    }
}

void prepare_enter_queue(struct prepare_work *work)
{
    struct prepare_host *host = work->host;
    work->is_waiting = true;
    work->next_waiting = NULL;
    *host->waiting_end = work;
    host->waiting_end = &work->next_waiting;
    start_waiting(host);
}

void prepare_leave_queue(struct prepare_work *work)
{
    struct prepare_work **at = &work->host->waiting;
    if (!work->is_waiting)
        return;
    while (*at != work)
        at = &(*at)->next_waiting;
    *at = work->next_waiting;
    if (!*at)
        work->host->waiting_end = at;
    work->is_waiting = false;
}

void prepare_give_slot_back(struct prepare_work *work)
{
    if (work->describe_slot < 0)
        return;
    work->host->busy[work->describe_slot] = NULL;
    work->describe_slot = -1;
    start_waiting(work->host);
}
