/* prepare_host: what all preparations share, and the queue before the first half. */
#include "node/eval/prepare_work.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define UNITS_KEPT 1000

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

/* Keeps the UNITS_KEPT trees that were used last. Only at start: nothing uses one then. */
static void prune(const char *dir)
{
    struct unit *units = NULL;
    size_t count = 0;
    size_t capacity = 0;
    DIR *folder = opendir(dir);
    for (const struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(folder), entry->d_name, &st, 0))
            continue;
        units = mem_grow(units, &capacity, count + 1, sizeof *units);
        units[count++] = (struct unit){.path = mem_printf("%s/%s", dir, entry->d_name),
                                       .used_s = st.st_mtim.tv_sec};
    }
    if (folder)
        closedir(folder);
    if (count > UNITS_KEPT)
        qsort(units, count, sizeof *units, by_use);
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        if (i >= UNITS_KEPT && file_remove_tree(units[i].path, &err))
            log_warn("tree_not_removed", "%s", err.text);
        free(units[i].path);
    }
    free(units);
}

struct prepare_host *prepare_host_new(const struct prepare_config *config, struct err *err)
{
    if (file_make_dirs(config->dir, 0755, err))
        return NULL;
    prune(config->dir);
    struct prepare_host *self = mem_new(sizeof *self);
    self->config = *config;
    self->dir = mem_strdup(config->dir);
    self->program = mem_strdup(config->program);
    self->waiting_last = &self->waiting_first;
    if (self->config.at_once > 64)
        self->config.at_once = 64;
    set_bare_environment(self);
    return self;
}

void prepare_host_free(struct prepare_host *self)
{
    if (!self)
        return;
    free(self->dir);
    free(self->program);
    free(self->bare_key);
    free(self);
}

static void start_waiting(struct prepare_host *host)
{
    while (host->waiting_first) {
        unsigned slot = 0;
        while (slot < host->config.at_once && (host->slots_busy >> slot & 1))
            slot++;
        if (slot == host->config.at_once)
            return;
        struct prepare_work *work = host->waiting_first;
        host->waiting_first = work->next_waiting;
        if (!host->waiting_first)
            host->waiting_last = &host->waiting_first;
        work->is_waiting = false;
        work->describe_slot = (int)slot;
        host->slots_busy |= UINT64_C(1) << slot;
        prepare_later(work, prepare_first_half);
    }
}

void prepare_enter_queue(struct prepare_work *work)
{
    struct prepare_host *host = work->host;
    work->is_waiting = true;
    *host->waiting_last = work;
    host->waiting_last = &work->next_waiting;
    start_waiting(host);
}

void prepare_leave_queue(struct prepare_work *work)
{
    struct prepare_work **at = &work->host->waiting_first;
    while (*at != work)
        at = &(*at)->next_waiting;
    *at = work->next_waiting;
    if (!*at)
        work->host->waiting_last = at;
}

void prepare_give_slot_back(struct prepare_work *work)
{
    if (work->describe_slot < 0)
        return;
    work->host->slots_busy &= ~(UINT64_C(1) << work->describe_slot);
    work->describe_slot = -1;
    start_waiting(work->host);
}
