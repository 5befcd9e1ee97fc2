#include "runner/git/objects.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <git2/sys/repository.h>
#include <stdbool.h>
#include <string.h>

#define MIB         20
#define WINDOW      ((size_t)16 << MIB)
#define WINDOWS_MAX ((size_t)128 << MIB)
#define CACHE_MAX   ((ssize_t)32 << MIB)

static bool says(const git_error *error, const char *words)
{
    return error && error->message && strstr(error->message, words);
}

int objects_error(const char *what, struct err *err)
{
    int code = errno; /* of what failed a moment ago */
    const git_error *error = git_error_last();
    bool is_system = error && error->klass == GIT_ERROR_OS;
    bool is_memory = (error && error->klass == GIT_ERROR_NOMEMORY) || (is_system && code == ENOMEM);
    if (is_system && (code == ENOSPC || code == EDQUOT))
        return err_refuse(err, ERR_UNAVAILABLE, "disk-full", "there is no room for the repository");
    if (is_memory || says(error, "maximum") || says(error, "too many") ||
        says(error, "too large") || says(error, "large object"))
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-too-large",
                          "%s: an object is too large, or there are too many", what);
    if (is_system)
        return err_set(err, ERR_IO, "%s: %s", what, strerror(code));
    return err_refuse(err, ERR_UNPROCESSABLE, "repo-damaged", "%s: %s", what,
                      error && error->message ? error->message : "it makes no sense");
}

/* All of libgit2's settings, in one place: nothing of the machine's configuration is read. */
static void set_up(const struct objects_limits *limits)
{
    static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                                 GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
    for (size_t i = 0; i < countof(levels); i++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
    git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)limits->count);
    git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, (size_t)limits->object_bytes);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, WINDOW);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, WINDOWS_MAX);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, CACHE_MAX);
    git_libgit2_opts(GIT_OPT_DISABLE_PACK_KEEP_FILE_CHECKS, 1);
}

static void tell(const struct objects *self, const git_indexer_progress *progress)
{
    if (self->watch)
        self->watch(self->watch_arg, progress->received_objects, self->is_whole);
}

static int on_progress(const git_indexer_progress *progress, void *arg)
{
    const struct objects *self = arg;
    tell(self, progress);
    return progress->total_objects > self->limits.count ? -1 : 0;
}

int objects_begin(struct objects *self, const char *folder, const struct objects_limits *limits,
                  struct err *err)
{
    *self = (struct objects){.limits = *limits, .folder = mem_strdup(folder)};
    git_libgit2_init();
    set_up(limits);
    git_indexer_options options = {.version = GIT_INDEXER_OPTIONS_VERSION,
                                   .progress_cb = on_progress,
                                   .progress_cb_payload = self};
    if (git_indexer_new(&self->indexer, folder, 0600, NULL, &options))
        return err_set(err, ERR_INTERNAL, "a pack cannot be begun: %s", git_error_last()->message);
    return 0;
}

static int check_count(const struct objects *self, struct err *err)
{
    if (self->progress.total_objects <= self->limits.count)
        return 0;
    return err_refuse(err, ERR_UNPROCESSABLE, "repo-too-large",
                      "it has %u objects; at most %u are taken", self->progress.total_objects,
                      self->limits.count);
}

int objects_feed(struct objects *self, const char *bytes, size_t len, struct err *err)
{
    errno = 0;
    int failed = git_indexer_append(self->indexer, bytes, len, &self->progress);
    tell(self, &self->progress);
    int rc = check_count(self, err);
    return rc || !failed ? rc : objects_error("the pack", err);
}

int objects_end(struct objects *self, struct err *err)
{
    self->is_whole = true;
    tell(self, &self->progress);
    errno = 0;
    if (git_indexer_commit(self->indexer, &self->progress))
        return objects_error("the pack", err);
    char hex[GIT_OID_HEXSZ + 1];
    git_oid_tostr(hex, sizeof hex, git_indexer_hash(self->indexer));
    owned_mem char *index = mem_printf("%s/pack-%s.idx", self->folder, hex);
    git_odb_backend *backend;
    if (git_odb_new(&self->odb) || git_odb_backend_one_pack(&backend, index) ||
        git_odb_add_backend(self->odb, backend, 1) ||
        git_repository_wrap_odb(&self->view, self->odb))
        return objects_error("the pack", err);
    return 0;
}

void objects_fini(struct objects *self)
{
    if (!self->folder)
        return;
    git_repository_free(self->view);
    git_odb_free(self->odb);
    git_indexer_free(self->indexer);
    git_libgit2_shutdown();
    free(self->folder);
    *self = (struct objects){0};
}
